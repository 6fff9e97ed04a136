"""Entries in a folder of this machine, which several processes may share."""

from __future__ import annotations

import json
import os
import sqlite3
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import RLock
from time import monotonic, time
from typing import Any
from uuid import uuid4

import diskcache

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores import disk_tables as tables
from frugal_core.cache.stores.base import Changes, Limits, Size, Store
from frugal_core.cache.stores.bell import Bell
from frugal_core.cache.stores.disk_tables import Execute
from frugal_core.cache.stores.memory import LOG_LINES, MemoryStore
from frugal_core.cache.stores.safe_disk import BUSY_S, SafeCache, own_folder
from frugal_core.errors import StoreError

IN_FRONT = Limits(max_entries=10_000, max_bytes=2**26)
"""What is held in memory in front of the disk."""

_LISTEN_S = 0.1  # the database itself is asked this often, should somebody have died before ringing
_USES, _USES_S = 10_000, 10.0  # uses are written down when there are so many, or after so long,
_USES_AT_ONCE = 500  # and no more of them at once than nobody notices
_NEWS = 2000
_BATCH = 256


class DiskStore(Store):
    """A store in a folder: diskcache's database without pickle, with the entries used last in memory in front of it.

    What `put` has stored survives the death of any process; a loss of power may take the last moments with it, never more.
    Processes that share the folder see what others store at their next call, and their locks hold for all. When entries were
    last used is told to other processes after ten seconds, or when it is closed: a full store evicts by this process's own uses
    and what others have told. A store that was open when its process forked works in both.

    The folder is made with access for its owner only. One that others may have written into is refused, and so is whatever
    is in a database that this class would not have written: no value and no key is ever unpickled.

    Args:
        folder: Path of the folder; `~` and `$NAME` are replaced.
        limits: How much it may hold. Processes that share a folder should agree on it. Above 1,000 entries, making room
            removes a few more than it must, up to 64.

    Attributes:
        folder: Absolute path of the folder.

    Raises:
        StoreError: The folder cannot be used.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, DiskStore(folder) as store:
    ...     store.size().entries
    0
    """

    def __init__(self, folder: str | os.PathLike[str], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.folder = own_folder(folder)
        self._closed = False
        self._evicted = 0
        self._puts = 0
        self._seen = 0  # number of the last change that `_front` knows of
        self._begin()
        with self._failures("opened", ValueError, TypeError, LookupError, AttributeError):  # as diskcache stumbles over damage
            self._cache = SafeCache(self.folder)
            self._bell = Bell(Path(self.folder) / "bell")
        with self._writing() as sql:
            tables.create_tables(sql, self.limits.eviction)
            self._seen = tables.latest(sql)
            last = self._expire(sql, self._seen)
        self._tell(self._seen + 1, last)
        if hasattr(os, "register_at_fork"):
            _close_at_fork(weakref.ref(self))

    def __repr__(self) -> str:
        return f"DiskStore({self.folder!r})"

    # --- entries ---

    def get(self, key: str) -> Entry | None:
        """The entry, from memory if nobody has changed anything."""
        entry = self._front.get(key) if self._up_to_date() else None
        if entry is None:
            entry = self._fetched(key)
            if entry is None:
                return None
        count, _ = self._uses.get(key, (0, 0.0))
        self._uses[key] = (count + 1, time())
        return entry

    def put(self, entry: Entry) -> None:
        """Store an entry, and give back the lock on its key."""
        value = _sealed(entry)
        with self._lock:
            with self._writing() as sql:
                number = self._insert(sql, entry, value)
                last = self._make_room(sql, number)
                if entry.key in self._held:
                    self._give_back(sql, entry.key)
            self._uses.pop(entry.key, None)
            self._tell(number, last, entry)

    def delete(self, keys: Iterable[str]) -> int:
        """Remove entries."""
        keys = list(keys)
        with self._lock:
            with self._writing() as sql:
                first = last = tables.latest(sql)
                for key in keys:
                    for (row,) in sql(tables.ROW, (key,)).fetchall():
                        last += 1
                        tables.remove(sql, last, row, key)
            self._tell(first + 1, last)
        return last - first

    def revise(self, key: str, vector: bytes, embedder: str) -> None:
        """Give an entry another vector. Its uses and its place in the order stay."""
        with self._lock:
            with self._writing() as sql:
                found = sql(tables.FIND, (key,)).fetchone()
                if found is None:
                    return
                ((row,),) = sql(tables.ROW, (key,)).fetchall()
                entry = replace(self._entry(found), vector=vector, embedder=embedder)
                number = sql(tables.INSERT_FEED, _as_fed(entry)).lastrowid or 0
                sql("DELETE FROM Frugal_feed WHERE number = ?", (row,))
                sql(
                    "UPDATE Cache SET rowid = ?, size = ?, value = ? WHERE rowid = ?", (number, entry.size, _sealed(entry), row)
                )
            self._tell(number, number, entry)

    def scan(self) -> Iterator[Entry]:
        """All live entries, read in batches."""
        return self._mentioning([])

    def select(self, *, namespace: str | None = None, tag: str | None = None, document: str | None = None) -> Iterator[Entry]:
        """The live entries for which all that is given holds."""
        for entry in self._mentioning([word for word in (namespace, tag, document) if word is not None]):
            if (
                (namespace is None or entry.namespace == namespace)
                and (tag is None or tag in entry.tags)
                and (document is None or document in entry.documents)
            ):
                yield entry

    def changes(self, cursor: int) -> Changes:
        """What happened since `cursor`."""
        if cursor == self._seen and self._up_to_date():
            return Changes(cursor)
        with self._reading() as sql:
            self._follow()
            seen = self._seen
            if cursor == seen:
                return Changes(cursor)
            whole = cursor < max(1, seen - tables.TOLD_KEPT)
            rows = sql(tables.CHANGED, (0, seen) if whole else (cursor, cursor)).fetchall()
        return tables.changes_of(rows, seen if whole else cursor, whole=whole)

    def size(self) -> Size:
        """How much it holds."""
        with self._reading() as sql:
            entries, taken = tables.held(sql)
        return Size(entries, taken, self._evicted)

    # --- logs and locks ---

    def append(self, log: str, lines: Sequence[str]) -> None:
        """Write lines at the end of a log."""
        with self._writing() as sql:
            self._cache.connection.executemany(
                "INSERT INTO Frugal_log(log, line) VALUES (?, ?)", ((log, line) for line in lines)
            )
            ((last,),) = sql("SELECT ifnull(max(number), 0) FROM Frugal_log").fetchall()
            if (last - len(lines)) // 1000 < last // 1000:
                sql(tables.DELETE_OLD_LINES, (log, LOG_LINES))

    def read(self, log: str, cursor: int) -> tuple[list[str], int]:
        """Lines of a log since `cursor`."""
        with self._reading() as sql:
            rows = sql(tables.READ_LINES, (log, cursor)).fetchall()
        return [line for _, line in rows], rows[-1][0] if rows else cursor

    def acquire(self, key: str, ttl_s: float) -> bool:
        """Take a lock, across processes."""
        now = time()
        with self._writing() as sql:
            taken = sql(tables.TAKE_LOCK, (key, self._owner, now + ttl_s, now)).rowcount == 1
        if taken:
            self._held.add(key)
        return taken

    def release(self, key: str) -> None:
        """Give back a lock that this object took; nothing to do where `put` has done it."""
        if key in self._held:
            with self._writing() as sql:
                self._give_back(sql, key)

    # --- all of it ---

    def clear(self) -> None:
        """Remove all entries and logs."""
        with self._lock:
            with self._writing() as sql:
                number = tables.latest(sql) + tables.TOLD_KEPT + 1  # too far on to be followed: all begin anew
                for table in ("Cache", "Frugal_feed", "Frugal_gone", "Frugal_log"):
                    sql(f"DELETE FROM {table}")  # noqa: S608 - one of the four above
                sql("INSERT INTO Frugal_gone VALUES (?, '')", (number,))
            self._uses.clear()
            self._tell(number, number)

    def close(self) -> None:
        """Write down what is not yet, and let go of the database."""
        with self._lock:
            if not self._closed:
                with suppress(StoreError):
                    self._note_uses()
                self._closed, self._until = True, 0.0
                self._cache.close()

    # --- what is in memory ---

    def _begin(self) -> None:
        """Know nothing, as in a process that has just opened the store."""
        self._lock = RLock()
        self._owner = uuid4().hex
        self._held: set[str] = set()
        self._front = MemoryStore(IN_FRONT)
        self._uses: dict[str, tuple[int, float]] = {}
        self._told_s = monotonic()
        self._heard = -1  # what the bell rang when `_front` was up to date
        self._until = 0.0

    def _up_to_date(self) -> bool:
        """Whether `_front` knows of all changes; False where that is not sure."""
        return monotonic() < self._until and self._bell.rung == self._heard

    def _follow(self) -> None:
        """Forget what others have changed. Call with the lock."""
        heard = self._bell.rung
        sql = self._cache.execute
        news = sql(tables.NEWS, (self._seen, self._seen, _NEWS)).fetchall()
        if len(news) == _NEWS or any(key == "" for _, key in news):
            self._front.clear()
            self._seen = tables.latest(sql)
        elif news:
            self._front.delete([key for _, key in news])
            self._seen = max(number for number, _ in news)
        self._heard, self._until = heard, monotonic() + _LISTEN_S
        if self._uses and (len(self._uses) >= _USES or monotonic() > self._told_s + _USES_S):
            with suppress(StoreError):  # they are worth less than an answer
                self._note_uses(_USES_AT_ONCE)

    def _fetched(self, key: str) -> Entry | None:
        with self._reading() as sql:
            if not self._up_to_date():
                self._follow()
                entry = self._front.get(key)
                if entry is not None:
                    return entry
            row = sql(tables.FIND, (key,)).fetchone()
            if row is None:
                return None
            entry = self._entry(row)
            if entry.key != key:
                raise StoreError(f"The cache in {self.folder} is damaged: {key!r} leads to another entry. Delete the folder.")
            if not entry.alive():
                self.delete([key])
                return None
            self._front.put(entry)
            return entry

    def _tell(self, first: int, last: int, entry: Entry | None = None) -> None:
        """Say that changes `first` to `last` were made, and hold the entry in front if they were this one's alone."""
        if last < first:
            return
        self._bell.ring(last)
        if entry is not None and first == last == self._seen + 1:
            self._front.put(entry)
            self._seen = last

    # --- writing ---

    def _insert(self, sql: Execute, entry: Entry, value: bytes) -> int:
        key, raw = self._cache.disk.put(entry.key)
        _, mode, filename, stored = self._cache.disk.store(value, False)
        words = json.dumps([entry.namespace, *entry.tags, *entry.documents])
        now = time()
        return tables.insert(
            sql, _as_fed(entry), (key, raw, now, entry.expires_s, now, words, entry.size, mode, filename, stored)
        )

    def _make_room(self, sql: Execute, newest: int) -> int:
        """Evict what is too much; number of the last change."""
        last = newest
        self._puts += 1
        if self._puts % 64 == 0:
            last = self._expire(sql, last)
            sql("DELETE FROM Frugal_gone WHERE number < ?", (last - tables.TOLD_KEPT,))
            sql(tables.DELETE_OLD_LOCKS, (time(),))
        if self._excess(*tables.held(sql)):
            last = self._expire(sql, last)
            last = self._evict(sql, newest, last)
        return last

    def _excess(self, entries: int, taken: int, spare: int = 0) -> bool:
        most, most_bytes = self.limits.max_entries, self.limits.max_bytes
        return (most is not None and entries > most - spare) or (most_bytes is not None and taken > most_bytes)

    def _evict(self, sql: Execute, newest: int, last: int) -> int:
        entries, taken = tables.held(sql)
        most = self.limits.max_entries
        spare = 0 if most is None or entries <= most else min(64, most // 1000)
        while self._excess(entries, taken, spare):
            candidates = sql(tables.CANDIDATES[self.limits.eviction], (newest,)).fetchall()
            if not candidates:
                break
            for row, key, size in candidates:
                if not self._excess(entries, taken, spare):
                    break
                if key in self._uses:  # used since that was last written down: its turn is later
                    self._note_use(sql, key, *self._uses.pop(key))
                    continue
                last += 1
                tables.remove(sql, last, row, key)
                self._evicted += 1
                entries, taken = entries - 1, taken - size
        return last

    def _expire(self, sql: Execute, last: int) -> int:
        """Remove what has expired; number of the last change."""
        for row, key in sql(tables.EXPIRED, (time(),)).fetchall():
            last += 1
            tables.remove(sql, last, row, key)
        return last

    def _note_uses(self, most: int | None = None) -> None:
        """Tell other processes what was used."""
        keys = list(self._uses)[:most]
        with self._writing() as sql:
            for key in keys:
                self._note_use(sql, key, *self._uses.pop(key, (0, 0.0)))
        if not self._uses:
            self._told_s = monotonic()

    def _note_use(self, sql: Execute, key: str, count: int, when_s: float) -> None:
        sql(tables.NOTE_USE, (when_s, count, key))

    def _give_back(self, sql: Execute, key: str) -> None:
        sql(tables.GIVE_LOCK, (key, self._owner))
        self._held.discard(key)

    # --- reading ---

    def _mentioning(self, words: Sequence[str]) -> Iterator[Entry]:
        """Live entries that have all words among namespace, tags and documents."""
        statement = tables.SCAN.format("".join(" AND instr(Cache.tag, ?)" for _ in words))
        mentioned = [json.dumps(word) for word in words]
        row = 0
        with self._reading() as sql:
            end = tables.latest(sql)
        while True:
            with self._reading() as sql:
                rows = sql(statement, (row, end, time(), *mentioned, _BATCH)).fetchall()
            for _, key, raw, *found in rows:
                self._cache.disk.get(key, raw)
                yield self._entry(found)
            if len(rows) < _BATCH:
                return
            row = rows[-1][0]

    def _entry(self, found: Sequence[Any]) -> Entry:
        mode, filename, value, vector = found
        value = self._cache.disk.fetch(mode, filename, value, False)
        if type(vector) is not bytes or _seal(value[4:], vector) != value[:4]:
            raise StoreError(f"The cache in {self.folder} is damaged: an entry is not as it was stored. Delete the folder.")
        return Entry.from_json(value[4:], vector)

    # --- transactions ---

    @contextmanager
    def _reading(self) -> Iterator[Execute]:
        with self._lock:
            if self._closed:
                raise StoreError(f"The store in {self.folder} is closed: open it again.")
            with self._failures("read"):
                yield self._cache.execute

    @contextmanager
    def _writing(self) -> Iterator[Execute]:
        """A transaction, beside which nobody writes; undone where it fails."""
        with self._reading() as sql, self._failures("written"):
            sql("BEGIN IMMEDIATE")
            try:
                yield sql
                sql("COMMIT")
            except BaseException:
                self._cache.undo()
                raise

    @contextmanager
    def _failures(self, what: str, *more: type[Exception]) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, diskcache.Timeout, OSError, UnicodeDecodeError, *more) as error:
            raise StoreError(f"The cache in {self.folder} cannot be {what}: {_why(error)}") from error


def _close_at_fork(own: weakref.ref[DiskStore]) -> None:
    """Have a store's database closed while its process forks: what SQLite has open then works in neither.

    Both open it again when they need it.
    """

    def before() -> None:
        store = own()
        if store is not None:
            store._lock.acquire()
            store._cache.close()

    def in_parent() -> None:
        store = own()
        if store is not None:
            store._lock.release()

    def in_child() -> None:
        store = own()
        if store is not None:
            store._begin()

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def _sealed(entry: Entry) -> bytes:
    """An entry without its vector, and a checksum of both: disks err, and a wrong answer is worse than none."""
    text = entry.to_json().encode("utf-8", "surrogatepass")
    return _seal(text, entry.vector) + text


def _seal(text: bytes, vector: bytes) -> bytes:
    return zlib.crc32(text, zlib.crc32(vector)).to_bytes(4, "little")


def _as_fed(entry: Entry) -> tuple[str, str, str, bytes, str]:
    question = entry.question.encode("utf-8", "replace").decode("utf-8")  # halves of characters fit in no database
    return entry.key, entry.partition, question, entry.vector, entry.embedder


def _why(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, diskcache.Timeout) or "locked" in text:
        return f"other processes have been writing for more than {BUSY_S:g} seconds ({text})."
    if "full" in text or "too large" in text:
        return f"the disk is full ({text})."
    if isinstance(error, (sqlite3.OperationalError, OSError)) and "no such" not in text:
        return f"{text}."
    return f"its database is damaged ({text}). Delete the folder."
