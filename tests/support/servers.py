"""Real servers for tests: private ones on free ports and in temporary folders, which end with the tests.

Where one is not installed, the tests that need it are skipped, and say so; where `CI` or `FRUGAL_SERVERS` is set they fail.
`make servers` installs them all.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

NOBODY = 65534
"""Who runs PostgreSQL when root runs the tests: it refuses to be root."""


def unavailable(what):
    """Skip a test whose server is not installed, or fail where it must be."""
    message = f"{what} is not installed: run `make servers`."
    if os.environ.get("CI") or os.environ.get("FRUGAL_SERVERS"):
        pytest.fail(message)
    pytest.skip(message)


class Server:
    """A server's process, which can be ended, started again, and held up.

    Attributes:
        url: Where clients find it.
    """

    url: str
    ready: str

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="frugal-"))
        self.process = None
        self.said = []

    def command(self):
        """Its command line, its environment, and further arguments of `Popen`."""
        raise NotImplementedError

    def start(self):
        """Start it, and wait until it answers."""
        words, environment, more = self.command()
        self.process = subprocess.Popen(
            words,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            **more,
        )
        self.said = []
        for line in self.process.stdout:
            self.said.append(line)
            if self.ready in line:
                threading.Thread(target=self._drain, args=(self.process.stdout,), daemon=True).start()
                return self
        self.process.stdout.close()
        self.process.wait()
        raise RuntimeError("".join(self.said))

    def _drain(self, stream):
        with stream:
            for line in stream:
                self.said.append(line)

    def end(self):
        """End it at once, without ceremony."""
        if self.process is not None:
            self.go_on()
            self.process.send_signal(self.ending)
            self.process.wait()
            self.process = None

    ending = signal.SIGKILL

    def hold_up(self):
        """Stop its processes, so that it accepts connections but says nothing any more."""
        self._signal(signal.SIGSTOP)

    def go_on(self):
        """Let it go on after `hold_up`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        parent = psutil.Process(self.process.pid)
        for process in (parent, *parent.children(recursive=True)):
            process.send_signal(number)

    def close(self):
        """End it, and remove its folder."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *about):
        self.close()


class Redis(Server):
    """A Redis server that keeps nothing on disk.

    Args:
        search: Whether it has the search module.
        password: It asks for.
    """

    ready = "Ready to accept connections"

    def __init__(self, *, search=False, password=None):
        self.program, self.search, self.password = self.installed(search), search, password
        super().__init__()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    @staticmethod
    def installed(search):
        """The program, or the test is skipped."""
        own = Path(sys.prefix) / "redis-search"
        if search:
            return own / "redis-server" if (own / "done").exists() else unavailable("Redis with its search module")
        return shutil.which("redis-server") or unavailable("Redis")

    def command(self):
        words = [str(self.program), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        if self.password:
            words += ["--requirepass", self.password]
        if self.search:
            words += ["--loadmodule", str(self.program.parent / "redisearch.so")]
        return words, ({"LD_LIBRARY_PATH": str(self.program.parent / "lib")} if self.search else {}), {}


class Postgres(Server):
    """A PostgreSQL server with pgvector, which a Python package brings along."""

    ready = "ready to accept connections"
    ending = signal.SIGQUIT  # all its processes end at once, as in a crash

    def __init__(self):
        found = importlib.util.find_spec("pgserver")
        if found is None:
            unavailable("PostgreSQL with pgvector (the package pgserver)")
        super().__init__()
        self.programs = Path(found.origin).parent / "pginstall" / "bin"
        self.more = {}
        if os.geteuid() == 0:
            self.more = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chown(self.folder, NOBODY, NOBODY)
            if not all(folder.stat().st_mode & 0o001 for folder in self.programs.parents):
                package = self.programs.parent.parent  # nobody may read it where it is; its libraries lie beside it
                for each in package.parent.glob(f"{package.name}*"):
                    if each.is_dir():
                        shutil.copytree(each, self.folder / each.name, symlinks=True)
                self.programs = self.folder / package.name / "pginstall" / "bin"
        self.url = f"postgresql://postgres@/postgres?host={self.folder}"
        words = [str(self.programs / "initdb"), "-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust", "-E", "utf8"]
        subprocess.run([*words, "--no-sync"], check=True, capture_output=True, cwd="/", **self.more)

    def command(self):
        words = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), "-h", "", "-F"]
        return words, {}, self.more


def free_port():
    """A port of this machine that nobody uses."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


@pytest.fixture(scope="session")
def redis_url():
    """A plain Redis."""
    with Redis() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_search_url():
    """A Redis with the search module."""
    with Redis(search=True) as server:
        yield server.url


@pytest.fixture(scope="session")
def postgres_url():
    """A PostgreSQL."""
    with Postgres() as server:
        yield server.url
