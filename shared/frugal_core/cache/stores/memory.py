"""Entries in this process's memory."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from threading import RLock

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores.base import Changes, Limits, Log, Size, Store

LOG_LINES = 100_000
"""Lines of a log that are kept."""


class MemoryStore(Store):
    """A store that ends with its process.

    Args:
        limits: How much it may hold.

    >>> store = MemoryStore()
    >>> store.get("unknown") is None
    True
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._lock = RLock()
        self._entries: OrderedDict[str, Entry] = OrderedDict()  # least recently used first
        self._uses: Counter[str] = Counter()
        self._bytes = 0
        self._evicted = 0
        self._changed: OrderedDict[str, int] = OrderedDict()  # key: number of its last change, oldest first
        self._changes = 0
        self._logs: defaultdict[str, Log] = defaultdict(Log)

    def get(self, key: str) -> Entry | None:
        """The entry, as the one used last."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        with self._lock:
            if not entry.alive():
                self.delete([key])
                return None
            if key in self._entries:
                self._entries.move_to_end(key)
                self._uses[key] += 1
        return entry

    def put(self, entry: Entry) -> None:
        """Store an entry."""
        with self._lock:
            self._forget(entry.key)
            self._entries[entry.key] = entry
            self._bytes += entry.size
            self._uses[entry.key] += 1
            self._note(entry.key)
            self._make_room(entry.key)

    def delete(self, keys: Iterable[str]) -> int:
        """Remove entries."""
        with self._lock:
            gone = [key for key in keys if self._forget(key)]
            for key in gone:
                self._note(key)
        return len(gone)

    def scan(self) -> Iterator[Entry]:
        """All live entries."""
        with self._lock:
            entries = list(self._entries.values())
        return (entry for entry in entries if entry.alive())

    def changes(self, cursor: int) -> Changes:
        """What happened since `cursor`."""
        if cursor == self._changes:
            return Changes(cursor)
        with self._lock:
            changed = []
            for key in reversed(self._changed):
                if self._changed[key] <= cursor:
                    break
                changed.append(key)
            entries = [entry for key in changed if (entry := self._entries.get(key)) is not None and entry.vector]
            kept = {entry.key for entry in entries}
            return Changes(
                self._changes,
                [entry.key for entry in entries],
                [entry.partition for entry in entries],
                [entry.question for entry in entries],
                [entry.vector for entry in entries],
                [entry.embedder for entry in entries],
                [key for key in changed if key not in kept],
                whole=cursor == 0,
            )

    def size(self) -> Size:
        """How much it holds."""
        with self._lock:
            return Size(len(self._entries), self._bytes, self._evicted)

    def append(self, log: str, lines: Sequence[str]) -> None:
        """Write lines at the end of a log."""
        with self._lock:
            self._logs[log].append(lines, LOG_LINES)

    def read(self, log: str, cursor: int) -> tuple[list[str], int]:
        """Lines of a log since `cursor`."""
        with self._lock:
            return self._logs[log].read(cursor)

    def acquire(self, key: str, ttl_s: float) -> bool:
        """Always: nobody else shares this store."""
        return True

    def release(self, key: str) -> None:
        """Nothing to give back."""

    def clear(self) -> None:
        """Remove all entries and logs."""
        with self._lock:
            self.delete(list(self._entries))
            self._logs.clear()

    def close(self) -> None:
        """Nothing to let go of."""

    def _forget(self, key: str) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._bytes -= entry.size
        self._uses.pop(key, None)
        return True

    def _note(self, key: str) -> None:
        self._changes += 1
        self._changed[key] = self._changes
        self._changed.move_to_end(key)

    def _make_room(self, newest: str) -> None:
        limits = self.limits
        while len(self._entries) > 1 and (
            (limits.max_entries is not None and len(self._entries) > limits.max_entries)
            or (limits.max_bytes is not None and self._bytes > limits.max_bytes)
        ):
            key = next(iter(self._entries)) if limits.eviction == "lru" else self._least_used(newest)
            self._forget(key)
            self._note(key)
            self._evicted += 1

    def _least_used(self, newest: str) -> str:
        return min((key for key in self._entries if key != newest), key=self._uses.__getitem__)
