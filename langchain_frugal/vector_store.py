"""Any vector store of LangChain's as the place where the semantic cache looks for neighbours."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores.base import Changes, Neighbour, Size, Store
from frugal_core.cache.stores.memory import MemoryStore
from frugal_core.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats


class VectorStoreBackend(Store):
    """Searches a vector store, and keeps the entries themselves in another store, which has what vector stores lack.

    Time to live, limits, eviction, invalidation, locks and what deciders learn are the other store's; what it lets go of is
    deleted from the vector store. Similarities are computed here, from the vectors the cache made, so that they are cosines
    whatever the vector store measures; and what it returns of another partition is dropped, whatever it makes of the filter.

    Vector stores embed what they are given with their own embeddings: give the cache the same.

        SemanticCache(VectorStoreBackend(vectors), embed=vectors.embeddings)

    Args:
        vectors: The vector store, with `similarity_search_by_vector` and `delete`.
        entries: Where the entries are; default: this process's memory. A `disk:` store makes them last as long as the vectors.
        filter: From a partition to the vector store's own filter on the metadata field `partition`; default: what
            `InMemoryVectorStore` takes, or for others `{"partition": partition}`.

    Raises:
        ConfigurationError: An argument is something else.
    """

    remote = True
    searches = True

    def __init__(
        self, vectors: VectorStore, entries: Store | None = None, *, filter: Callable[[str], Any] | None = None
    ) -> None:
        if not isinstance(vectors, VectorStore):
            raise ConfigurationError(f"vectors={vectors!r} must be a VectorStore of LangChain's.")
        if entries is not None and (not isinstance(entries, Store) or entries.searches):
            raise ConfigurationError(f"entries={entries!r} must be a store without a search of its own: open_store('disk:…').")
        if filter is not None and not callable(filter):
            raise ConfigurationError(f"filter={filter!r} must be a function from a partition to the vector store's own filter.")
        self._vectors = vectors
        self._entries = MemoryStore() if entries is None else entries
        self._filter = filter or (_in_memory if isinstance(vectors, InMemoryVectorStore) else _by_mapping)
        self.limits = self._entries.limits
        self._lock = Lock()
        self._cursor = self._entries.changes(0).cursor

    def __repr__(self) -> str:
        return f"VectorStoreBackend({type(self._vectors).__name__}, {self._entries!r})"

    def get(self, key: str) -> Entry | None:
        """The entry of a key."""
        return self._entries.get(key)

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """The entries of keys."""
        return self._entries.get_many(keys)

    def put(self, entry: Entry) -> None:
        """Store an entry, and its vector if it has one."""
        self._entries.put(entry)
        if entry.vector:
            metadata = {
                "key": entry.key,
                "partition": entry.partition,
                "embedder": entry.embedder,
                "vector": base64.b64encode(entry.vector).decode(),
            }
            document = Document(entry.question, id=entry.key, metadata=metadata)
            self._reach(lambda: self._vectors.add_documents([document], ids=[entry.key]))
        self._sweep()

    def delete(self, keys: Iterable[str]) -> int:
        """Remove entries and their vectors."""
        count = self._entries.delete(keys)
        self._sweep()
        return count

    def scan(self) -> Iterator[Entry]:
        """All live entries."""
        return self._entries.scan()

    def changes(self, cursor: int) -> Changes:
        """What happened to the entries."""
        return self._entries.changes(cursor)

    def size(self) -> Size:
        """How many entries there are."""
        return self._entries.size()

    def nearest(self, partition: str, vector: Floats, embedder: str, count: int) -> list[Neighbour]:
        """What the vector store finds, by the cosine."""
        import numpy as np

        chosen, place = self._filter(partition), vector.tolist()
        found = self._reach(lambda: self._vectors.similarity_search_by_vector(place, k=count, filter=chosen))
        neighbours = []
        for document in found:
            told = document.metadata
            if told.get("partition") == partition and told.get("embedder") == embedder:
                own = np.frombuffer(base64.b64decode(told["vector"]), dtype="<f2").astype(np.float32)
                neighbours.append(Neighbour(told["key"], document.page_content, float(own @ vector)))
        return sorted(neighbours, key=lambda each: -each.similarity)

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
            self._reach(lambda: self._vectors.delete(keys))
        self._sweep()

    def close(self) -> None:
        """Let go of the entries' store. The vector store is its owner's to close."""
        self._entries.close()

    def _sweep(self) -> None:
        """Delete the vectors of entries that are gone: removed, expired or evicted."""
        with self._lock:
            changes = self._entries.changes(self._cursor)
            if changes.removed:
                self._reach(lambda: self._vectors.delete(list(changes.removed)))
            self._cursor = changes.cursor

    def _reach(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except Exception as error:
            raise StoreError(f"{type(self._vectors).__name__} failed: {type(error).__name__}: {error}") from error


def _in_memory(partition: str) -> Callable[[Document], bool]:
    return lambda document: document.metadata.get("partition") == partition


def _by_mapping(partition: str) -> dict[str, str]:
    return {"partition": partition}
