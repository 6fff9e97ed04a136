"""Entries in one store, and a framework's vector store beside it that finds which of them lie near."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores.base import Changes, Neighbour, Size, Store
from frugal_core.cache.stores.opening import open_store
from frugal_core.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

T = TypeVar("T")


class BesideVectors(Store):
    """What every adapter of a vector store has: entries, limits, expiry, logs and locks are those of another store.

    The vector store only says which entries lie near; what they are is read from the other one. A neighbour counts by its own
    partition and its own vector, whatever the vector store makes of a filter or measures. Vectors of entries that are gone are
    removed at the next change, and when they are met.

    Args:
        vectors: The vector store. It should be used for nothing else.
        entries: The store of the entries, or its URL.

    Raises:
        ConfigurationError: `entries` is no store, or one that searches by itself.
    """

    remote = True  # nobody knows of a vector store whether it is on a network
    searches = True

    def __init__(self, vectors: Any, entries: Store | str = "memory://") -> None:
        opened = open_store(entries) if isinstance(entries, str) else entries
        if not isinstance(opened, Store) or opened.searches:
            raise ConfigurationError(f"entries={entries!r} must be a store without a search of its own, such as 'disk:…'.")
        self._vectors = vectors
        self._entries = opened
        self.limits = opened.limits
        self._lock = RLock()
        self._cursor = opened.changes(0).cursor

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self._vectors).__name__}, {self._entries!r})"

    @abstractmethod
    def _add(self, entry: Entry) -> None:
        """Put an entry's vector into the vector store, in place of one with its key."""

    @abstractmethod
    def _remove(self, keys: list[str]) -> None:
        """Remove vectors from the vector store; some may not be there."""

    @abstractmethod
    def _find(self, partition: str, vector: Floats, embedder: str, count: int) -> list[str]:
        """Keys of the nearest entries, as far as the vector store can say."""

    def get(self, key: str) -> Entry | None:
        """The entry of a key."""
        return self._entries.get(key)

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """The entries of keys."""
        return self._entries.get_many(keys)

    def put(self, entry: Entry) -> None:
        """Store an entry, and then its vector if it has one."""
        self._entries.put(entry)
        if entry.vector:
            self._reach(lambda: self._add(entry))
        self._sweep()

    def delete(self, keys: Iterable[str]) -> int:
        """Remove entries and their vectors."""
        count = self._entries.delete(keys)
        self._sweep()
        return count

    def scan(self) -> Iterator[Entry]:
        """All live entries."""
        return self._entries.scan()

    def select(self, *, namespace: str | None = None, tag: str | None = None, document: str | None = None) -> Iterator[Entry]:
        """As the store of the entries does."""
        return self._entries.select(namespace=namespace, tag=tag, document=document)

    def changes(self, cursor: int) -> Changes:
        """What happened to the entries."""
        return self._entries.changes(cursor)

    def size(self) -> Size:
        """How many entries there are."""
        return self._entries.size()

    def nearest(self, partition: str, vector: Floats, embedder: str, count: int) -> list[Neighbour]:
        """What the vector store finds, each checked and measured by its own entry."""
        import numpy as np

        keys = self._reach(lambda: self._find(partition, vector, embedder, count))
        entries = self._entries.get_many(keys)
        gone = [key for key, entry in zip(keys, entries, strict=True) if entry is None]
        if gone:
            self._reach(lambda: self._remove(gone))
        near = [
            Neighbour(entry.key, entry.question, float(np.frombuffer(entry.vector, dtype="<f2").astype(np.float32) @ vector))
            for entry in entries
            if entry is not None and entry.partition == partition and entry.embedder == embedder and entry.vector
        ]
        return sorted(near, key=lambda neighbour: -neighbour.similarity)

    def append(self, log: str, lines: Sequence[str]) -> None:
        """Write lines at the end of a log."""
        self._entries.append(log, lines)

    def read(self, log: str, cursor: int) -> tuple[list[str], int]:
        """Lines of a log since `cursor`."""
        return self._entries.read(log, cursor)

    def acquire(self, key: str, ttl_s: float) -> bool:
        """Take a lock."""
        return self._entries.acquire(key, ttl_s)

    def release(self, key: str) -> None:
        """Give a lock back."""
        self._entries.release(key)

    def clear(self) -> None:
        """Remove all entries with their vectors, and all logs."""
        keys = [entry.key for entry in self._entries.scan() if entry.vector]
        self._entries.clear()
        if keys:
            self._reach(lambda: self._remove(keys))
        self._sweep()

    def close(self) -> None:
        """Let go of the store of the entries; a vector store is its owner's to close."""
        self._entries.close()

    def _sweep(self) -> None:
        """Remove the vectors of entries that are gone: deleted, expired or evicted."""
        with self._lock:
            changes = self._entries.changes(self._cursor)
            gone = list(changes.removed)
            if gone:
                self._reach(lambda: self._remove(gone))
            self._cursor = changes.cursor

    def _reach(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except Exception as error:  # whatever its client raises
            raise StoreError(f"{type(self._vectors).__name__} failed: {type(error).__name__}: {error}") from error
