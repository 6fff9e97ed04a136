"""Entries in this process's memory."""

from __future__ import annotations

import heapq
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from threading import RLock
from time import time

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores.base import Changes, Limits, Log, Size, Store
from frugal_core.cache.stores.eviction import Frequency, Order, Recency
from frugal_core.errors import StoreError

LOG_LINES = 100_000
"""Lines of a log that are kept."""

GONE_KEPT = 10_000
"""Removals after which those who have not followed begin anew."""


class MemoryStore(Store):
    """A store that ends with its process. All it does takes the same time however much it holds, but for telling all of it.

    Args:
        limits: How much it may hold.

    >>> store = MemoryStore()
    >>> store.get("unknown") is None
    True
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._lock = RLock()
        self._closed = False
        self._entries: dict[str, Entry] = {}
        self._order = self._new_order()
        self._expiring: list[tuple[float, str]] = []  # a heap: who expires first; what was replaced may still stand in it
        self._bytes = 0
        self._evicted = 0
        self._changes = 0
        self._stored: OrderedDict[str, int] = OrderedDict()  # number of the change that stored an entry, oldest first
        self._gone: OrderedDict[str, int] = OrderedDict()  # number of the change that removed one, of late
        self._told_from = 0  # those who know less are told all
        self._logs: defaultdict[str, Log] = defaultdict(Log)

    def get(self, key: str) -> Entry | None:
        """The entry, which is then the one used last."""
        entry = self._entries.get(key)
        if entry is None:
            self._check()
            return None
        if entry.expires_s is not None and entry.expires_s <= time():
            self.delete([key])
            return None
        with self._lock:
            self._order.use(key)
        return entry

    def put(self, entry: Entry) -> None:
        """Store an entry."""
        with self._lock:
            self._check()
            key, size = entry.key, entry.size
            self._sweep()
            self._forget(key)
            self._make_room(size)
            self._entries[key] = entry
            self._order.add(key)
            self._bytes += size
            self._changes += 1
            self._stored[key] = self._changes
            self._gone.pop(key, None)
            if entry.expires_s is not None:
                heapq.heappush(self._expiring, (entry.expires_s, key))

    def delete(self, keys: Iterable[str]) -> int:
        """Remove entries."""
        with self._lock:
            self._check()
            return sum(self._remove(key) for key in keys)

    def scan(self) -> Iterator[Entry]:
        """All live entries."""
        with self._lock:
            self._check()
            entries = list(self._entries.values())
        return (entry for entry in entries if entry.alive())

    def changes(self, cursor: int) -> Changes:
        """What happened since `cursor`."""
        if cursor == self._changes and not self._closed:
            return Changes(cursor, whole=cursor == 0)
        with self._lock:
            self._check()
            whole = cursor == 0 or cursor < self._told_from
            entries = [self._entries[key] for key in (self._stored if whole else _since(self._stored, cursor))]
            told = [entry for entry in entries if entry.vector]
            removed = [] if whole else [*_since(self._gone, cursor), *(entry.key for entry in entries if not entry.vector)]
            return Changes(
                self._changes,
                [entry.key for entry in told],
                [entry.partition for entry in told],
                [entry.question for entry in told],
                [entry.vector for entry in told],
                [entry.embedder for entry in told],
                removed,
                whole,
            )

    def size(self) -> Size:
        """How much it holds."""
        with self._lock:
            self._check()
            return Size(len(self._entries), self._bytes, self._evicted)

    def append(self, log: str, lines: Sequence[str]) -> None:
        """Write lines at the end of a log."""
        with self._lock:
            self._check()
            self._logs[log].append(lines, LOG_LINES)

    def read(self, log: str, cursor: int) -> tuple[list[str], int]:
        """Lines of a log since `cursor`."""
        with self._lock:
            self._check()
            return self._logs[log].read(cursor)

    def acquire(self, key: str, ttl_s: float) -> bool:
        """Always: nobody else shares this store."""
        self._check()
        return True

    def release(self, key: str) -> None:
        """Nothing to give back."""

    def clear(self) -> None:
        """Remove all entries and logs."""
        with self._lock:
            self._check()
            self._empty()
            for log in self._logs.values():  # whose readers go on from where they are
                log.first += len(log.lines)
                log.lines.clear()

    def close(self) -> None:
        """Let go of all entries."""
        with self._lock:
            self._closed = True
            self._empty()
            self._logs.clear()

    def _check(self) -> None:
        if self._closed:
            raise StoreError("The store is closed: make another.")

    def _new_order(self) -> Order:
        return Recency() if self.limits.eviction == "lru" else Frequency()

    def _sweep(self) -> None:
        """Remove what has expired, whether anybody asks for it or not."""
        now = time()
        while self._expiring and self._expiring[0][0] <= now:
            _, key = heapq.heappop(self._expiring)
            entry = self._entries.get(key)
            if entry is not None and not entry.alive(now):
                self._remove(key)
        if len(self._expiring) > 2 * len(self._entries) + 1_000:
            self._expiring = [(entry.expires_s, key) for key, entry in self._entries.items() if entry.expires_s is not None]
            heapq.heapify(self._expiring)

    def _empty(self) -> None:
        self._entries.clear()
        self._expiring.clear()
        self._order = self._new_order()
        self._bytes = 0
        self._stored.clear()
        self._gone.clear()
        self._changes += 1
        self._told_from = self._changes

    def _forget(self, key: str) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._order.remove(key)
        self._bytes -= entry.size
        del self._stored[key]
        return True

    def _remove(self, key: str) -> bool:
        if not self._forget(key):
            return False
        self._changes += 1
        self._gone[key] = self._changes
        if len(self._gone) > GONE_KEPT:
            _, self._told_from = self._gone.popitem(last=False)
        return True

    def _make_room(self, size: int) -> None:
        most, most_bytes = self.limits.max_entries, self.limits.max_bytes
        while self._entries and (
            (most is not None and len(self._entries) >= most) or (most_bytes is not None and self._bytes + size > most_bytes)
        ):
            self._remove(self._order.first())
            self._evicted += 1


def _since(numbers: OrderedDict[str, int], cursor: int) -> list[str]:
    """Keys whose numbers are above `cursor`, latest first."""
    keys = []
    for key in reversed(numbers):
        if numbers[key] <= cursor:
            break
        keys.append(key)
    return keys
