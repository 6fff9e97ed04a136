"""A file of JSON objects that grows line by line and survives being killed in the middle of one."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from frugal_core.errors import RecordingsError
from frugal_core.learning.lines import read_objects
from frugal_core.learning.parquet import is_parquet

_GZIP = b"\x1f\x8b"
_NEWLINE = b"\n"
_CHUNK = 1 << 16


class RowFile:
    """Rows on disk, for one writer at a time.

    A row is handed to the operating system at once, so that a crash of the program loses none. Of a line that was torn the
    rest is cut off when the file is opened next; a whole one that only lacks its end gets it.

    Args:
        path: The file; it is made if there is none. Not compressed.

    Attributes:
        rows: What stood in it when it was opened.

    Raises:
        RecordingsError: It cannot be opened, is compressed, is being written by another process, or holds a line that is no
            JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.suffix == ".gz" or _starts_compressed(path):
            raise RecordingsError(f"{path}: is compressed, and nothing can be appended to it. Record into a plain .jsonl file.")
        if path.suffix == ".parquet" or is_parquet(path):
            raise RecordingsError(
                f"{path}: is a Parquet file, and nothing can be appended to it. Record into a .jsonl file, and convert that by "
                "frugal_core.learning.parquet."
            )
        try:
            self._file = self._opened(path)
        except OSError as error:
            seen = error.strerror or error
            raise RecordingsError(f"{path}: cannot be written ({seen}). Check folder and permissions.") from error
        try:
            self._mend()
            self.rows = self.read()
        except BaseException:
            self.close()
            raise

    def read(self) -> list[dict[str, Any]]:
        """What stands in it now."""
        return [row for _, row in read_objects(self.path)] if self.path.stat().st_size else []

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row behind the others."""
        self._file.write(written_line(row))
        self._file.flush()

    def rewrite(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace all rows at once: whatever happens, the file holds either the old ones or the new."""
        beside = self.path.with_name(f"{self.path.name}.new")
        with contextlib.closing(self._opened(beside)) as file:
            file.truncate(0)
            file.writelines(map(written_line, rows))
            file.flush()
            os.fsync(file.fileno())
        self.close()
        beside.replace(self.path)
        self._file = self._opened(self.path)

    @property
    def closed(self) -> bool:
        """Whether it was let go of."""
        return bool(self._file.closed)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete it."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _opened(self, path: Path) -> Any:
        file = path.open("a+b")
        try:
            _lock(file, path)
        except BaseException:
            file.close()
            raise
        return file

    def _mend(self) -> None:
        """Cut a torn last line off, or end it if it is whole."""
        file = self._file
        end = size = file.seek(0, os.SEEK_END)
        tail = b""
        while end > 0 and _NEWLINE not in tail:
            start = max(0, end - _CHUNK)
            file.seek(start)
            tail = file.read(end - start) + tail
            end = start
        last = tail.rpartition(_NEWLINE)[2]
        if not last:
            return
        try:
            whole = isinstance(json.loads(last), dict)
        except ValueError:
            whole = False
        if whole:
            file.write(_NEWLINE)
        else:
            file.truncate(size - len(last))
        file.flush()


def written_line(row: Mapping[str, Any]) -> bytes:
    """A row as it stands in the file."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + _NEWLINE


def _starts_compressed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == _GZIP
    except OSError:
        return False


def _lock(file: Any, path: Path) -> None:
    """Keep other processes out; the lock ends with the process, however that ends."""
    try:
        fcntl: Any = importlib.import_module("fcntl")
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RecordingsError(f"{path}: another process is recording into it. Wait for it, or give another path.") from error
    except OSError:  # a file system without locks
        return
