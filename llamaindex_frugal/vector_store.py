"""Any vector store of LlamaIndex as the place where a cache's neighbours are found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores.base import Changes, Neighbour, Size, Store
from frugal_core.cache.stores.opening import open_store
from frugal_core.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

T = TypeVar("T")


class VectorStoreBackend(Store):
    """Questions' vectors in a vector store of LlamaIndex, the entries themselves in another store.

    The vector store finds which entries lie near; what they are is read from the other, so expiry, limits, logs, locks and
    isolation are as they are there whatever the vector store does: a neighbour counts by its own partition and its own vector,
    not by what the vector store says of it. Vectors of entries that are gone are removed when they are met.

    Args:
        vectors: The vector store. It must filter by metadata, and should be used for nothing else.
        entries: The store of the entries, or its URL.

    Raises:
        ConfigurationError: `vectors` is no vector store of LlamaIndex.

    >>> from llama_index.core.vector_stores import SimpleVectorStore
    >>> from frugal_core.cache import SemanticCache
    >>> SemanticCache(VectorStoreBackend(SimpleVectorStore()), embed=None, decider=0.9).store.searches
    True
    """

    searches = True

    def __init__(self, vectors: BasePydanticVectorStore, entries: Store | str = "memory://") -> None:
        if not isinstance(vectors, BasePydanticVectorStore):
            raise ConfigurationError(f"{type(vectors).__name__} is no vector store of LlamaIndex.")
        self._vectors = vectors
        self._entries = open_store(entries) if isinstance(entries, str) else entries
        self.limits = self._entries.limits
        self.remote = True  # nobody knows of a vector store whether it is on a network
        self._turn: AbstractContextManager[Any] = RLock() if vectors.client is None else nullcontext()  # a plain dict within

    def __repr__(self) -> str:
        return f"VectorStoreBackend({type(self._vectors).__name__}, {self._entries!r})"

    def get(self, key: str) -> Entry | None:
        """The entry."""
        return self._entries.get(key)

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """The entries."""
        return self._entries.get_many(keys)

    def put(self, entry: Entry) -> None:
        """Store the entry, and then its vector."""
        before = self._entries.get(entry.key)
        self._entries.put(entry)
        if before is not None and before.vector:
            self._reach(lambda: self._vectors.delete(_id(entry.key)))
        if entry.vector:
            self._reach(lambda: self._vectors.add([_node(entry)]))

    def delete(self, keys: Iterable[str]) -> int:
        """Remove entries and their vectors."""
        keys = list(keys)
        gone = self._entries.delete(keys)
        self._forget(keys)
        return gone

    def scan(self) -> Iterator[Entry]:
        """All live entries."""
        return self._entries.scan()

    def select(self, *, namespace: str | None = None, tag: str | None = None, document: str | None = None) -> Iterator[Entry]:
        """As the store of the entries does."""
        return self._entries.select(namespace=namespace, tag=tag, document=document)

    def changes(self, cursor: int) -> Changes:
        """Those of the store of the entries."""
        return self._entries.changes(cursor)

    def size(self) -> Size:
        """That of the store of the entries."""
        return self._entries.size()

    def nearest(self, partition: str, vector: Floats, embedder: str, count: int) -> list[Neighbour]:
        """The nearest by the vector store, each checked by its own entry."""
        import numpy as np

        filters = MetadataFilters(
            filters=[MetadataFilter(key="partition", value=partition), MetadataFilter(key="embedder", value=embedder)]
        )
        query = VectorStoreQuery(query_embedding=vector.tolist(), similarity_top_k=count, filters=filters)
        found = self._reach(lambda: self._vectors.query(query))
        ids = found.ids if found.ids is not None else [node.node_id for node in found.nodes or ()]
        keys = [UUID(each).hex for each in ids]
        entries = self._entries.get_many(keys)
        self._forget([key for key, entry in zip(keys, entries, strict=True) if entry is None])
        near = [
            Neighbour(entry.key, entry.question, float(np.frombuffer(entry.vector, dtype="<f2").astype(np.float32) @ vector))
            for entry in entries
            if entry is not None and entry.partition == partition and entry.embedder == embedder and entry.vector
        ]
        return sorted(near, key=lambda neighbour: -neighbour.similarity)

    def append(self, log: str, lines: Sequence[str]) -> None:
        """To the log of the store of the entries."""
        self._entries.append(log, lines)

    def read(self, log: str, cursor: int) -> tuple[list[str], int]:
        """From the log of the store of the entries."""
        return self._entries.read(log, cursor)

    def acquire(self, key: str, ttl_s: float) -> bool:
        """Take the lock of the store of the entries."""
        return self._entries.acquire(key, ttl_s)

    def release(self, key: str) -> None:
        """Give it back."""
        self._entries.release(key)

    def clear(self) -> None:
        """Remove all entries, logs, and the vectors of these entries."""
        keys = [entry.key for entry in self._entries.scan() if entry.vector]
        self._entries.clear()
        self._forget(keys)

    def close(self) -> None:
        """Close the store of the entries; a vector store is its owner's."""
        self._entries.close()

    def _forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._reach(lambda key=key: self._vectors.delete(_id(key)))  # type: ignore[misc]

    def _reach(self, call: Callable[[], T]) -> T:
        try:
            with self._turn:
                return call()
        except Exception as error:  # whatever its client raises
            name = type(self._vectors).__name__
            raise StoreError(f"{name} did not do as it was asked: {type(error).__name__}: {error}") from error


def _id(key: str) -> str:
    """A key as an identifier: some stores take UUIDs alone, and keys have just their 32 digits."""
    return str(UUID(key))


def _node(entry: Entry) -> TextNode:
    import numpy as np

    vector = np.frombuffer(entry.vector, dtype="<f2").astype(np.float32).tolist()
    own = RelatedNodeInfo(node_id=_id(entry.key))  # its own document, since every store can delete by that
    metadata = {"partition": entry.partition, "embedder": entry.embedder}
    return TextNode(
        id_=_id(entry.key),
        text=entry.question,
        embedding=vector,
        metadata=metadata,
        relationships={NodeRelationship.SOURCE: own},
    )
