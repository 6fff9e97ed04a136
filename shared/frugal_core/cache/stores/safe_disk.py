"""diskcache without pickle, in a folder that is its user's alone.

Whoever can write into a diskcache folder can have code run by those who read it: values and keys of other types than text,
bytes and numbers are pickled (CVE-2025-69872), and its `JSONDisk` decodes what the pickle path has already run. File names in
the database are followed wherever they lead, and rows of its table of settings become attributes. None of that is done here.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NoReturn

import diskcache

from frugal_core.errors import StoreError

BUSY_S = 10.0
"""Longest wait for another process that is writing, in seconds."""

_BUSY_POLL_S = 0.0005
_MODE_RAW = 1
_OWN_SETTINGS = {**diskcache.DEFAULT_SETTINGS, "eviction_policy": "none", "cull_limit": 0, "sqlite_auto_vacuum": 0}
_PRAGMAS = (
    "trusted_schema = OFF",
    "synchronous = NORMAL",
    "cache_size = 8192",
    "mmap_size = 67108864",
    "wal_autocheckpoint = 4000",
)
_SETTINGS = frozenset({*diskcache.DEFAULT_SETTINGS, "count", "size", "hits", "misses"})


class SafeDisk(diskcache.Disk):  # type: ignore[misc]
    """Keys that are texts and values that are bytes, all in the database; anything else is refused, written or read."""

    def put(self, key: Any) -> tuple[str, bool]:
        """A key for the database."""
        if type(key) is not str:
            _refuse(f"a key of type {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: Any) -> str:
        """A key from the database."""
        if raw != 1 or type(key) is not str:
            _refuse("a key that is no text")
        return str(key)

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, bytes]:
        """A value for the database: size, mode, file name and bytes."""
        if type(value) is not bytes or read:
            _refuse(f"a value of type {type(value).__name__}")
        return len(value), _MODE_RAW, None, value

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> bytes:
        """A value from the database."""
        if mode != _MODE_RAW or filename is not None or type(value) is not bytes or read:
            _refuse("a value that is not plain bytes")
        return bytes(value)

    def filename(self, key: Any = None, value: Any = None) -> NoReturn:
        """No value has a file of its own."""
        _refuse("a file beside the database")

    def remove(self, file_path: Any) -> None:
        """Nothing: the name may be anybody's file."""


class SafeCache(diskcache.Cache):  # type: ignore[misc]
    """diskcache's tables behind one connection, which all threads of a process share. Not thread-safe by itself.

    Transactions are in the write-ahead log when they are done, and survive the death of any process; after a loss of power
    the last of them may be missing (`synchronous = NORMAL`), and the rest is whole.

    Args:
        folder: Absolute path of an existing folder.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._connection: sqlite3.Connection | None = None
        self._check_settings()
        super().__init__(folder, timeout=0, disk=SafeDisk, **_OWN_SETTINGS)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, opened when it is needed."""
        if self._connection is None:
            self._connection = sqlite3.connect(
                Path(self._folder) / "cache.db", timeout=0, isolation_level=None, check_same_thread=False
            )
            for pragma in _PRAGMAS:
                self._connection.execute(f"PRAGMA {pragma}")
        return self._connection

    def execute(self, statement: str, arguments: Sequence[object] = ()) -> sqlite3.Cursor:
        """Execute a statement, when no other process is writing.

        SQLite itself would look every 100 ms whether it may write, which is as good as never where others write all the time.
        """
        try:
            return self.connection.execute(statement, arguments)
        except sqlite3.OperationalError as error:
            return self._patiently(statement, arguments, error)

    def _patiently(self, statement: str, arguments: Sequence[object], error: sqlite3.OperationalError) -> sqlite3.Cursor:
        until = monotonic() + BUSY_S
        while "locked" in str(error) and monotonic() < until:
            sleep(_BUSY_POLL_S)
            try:
                return self.connection.execute(statement, arguments)
            except sqlite3.OperationalError as another:
                error = another
        raise error

    _con = connection  # diskcache's own would be one for each thread, and would obey the settings in the database

    def close(self) -> None:
        """Let go of the connection. It is opened again if it is needed."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def undo(self) -> None:
        """Undo a transaction that has failed. What cannot be undone is closed, which undoes it, too."""
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()

    def _check_settings(self) -> None:
        try:
            found = self.execute("SELECT key FROM Settings").fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return
        for (key,) in found:
            if key not in _SETTINGS:
                _refuse(f"the setting {key!r:.80}")


def own_folder(path: str | os.PathLike[str]) -> str:
    """A folder for a cache: made if it is not there, and open to nobody but its owner.

    Returns:
        Its absolute path, without links.

    Raises:
        StoreError: It cannot be used, or others may have written into it.
    """
    folder = Path(os.path.expandvars(Path(path).expanduser())).resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except OSError as error:
        raise StoreError(f"The cache's folder {folder} cannot be made ({error.strerror}): give another folder.") from error
    if hasattr(os, "getuid"):
        _check_access(folder, about)
    return str(folder)


def _check_access(folder: Path, about: os.stat_result) -> None:
    if about.st_uid != os.getuid():
        raise StoreError(
            f"The cache's folder {folder} belongs to user {about.st_uid}, not to {os.getuid()}: give one of your own."
        )
    mode = stat.S_IMODE(about.st_mode)
    if not mode & 0o077:
        return
    try:
        inside = sorted(each.name for each in folder.iterdir())
        if mode & 0o022 and inside:
            raise StoreError(
                f"Others may write into the cache's folder {folder} (mode {mode:o}), and so have put answers there: give "
                f"another folder, or delete this one. If you trust what is in it: chmod 700 {folder}"
            )
        if inside and "cache.db" not in inside:
            raise StoreError(
                f"The folder {folder} is open to others (mode {mode:o}) and holds other things than a cache, such as "
                f"{inside[0]!r}: give a folder of its own."
            )
        folder.chmod(0o700)
    except OSError as error:
        raise StoreError(f"The cache's folder {folder} cannot be closed to others ({error.strerror}).") from error


def _refuse(what: str) -> NoReturn:
    raise StoreError(
        f"The cache's database holds or was to hold {what}, which this package never writes and will not read: somebody "
        "else has written into it. Nothing of it was run. Delete the cache's folder, and see who may write into it."
    )
