"""Any vector store of LlamaIndex as the place where a cache's neighbours are found."""

from __future__ import annotations

from collections.abc import Callable
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
from frugal_core.cache.stores.base import Store
from frugal_core.cache.stores.beside import BesideVectors
from frugal_core.errors import ConfigurationError

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

T = TypeVar("T")


class VectorStoreBackend(BesideVectors):
    """Questions' vectors in a vector store of LlamaIndex, the entries themselves in another store.

    Args:
        vectors: The vector store. It must filter by metadata, and should be used for nothing else.
        entries: The store of the entries, or its URL. A `disk:` store makes them last as long as the vectors.

    Raises:
        ConfigurationError: An argument is something else.

    >>> from llama_index.core.vector_stores import SimpleVectorStore
    >>> from frugal_core.cache import SemanticCache
    >>> SemanticCache(VectorStoreBackend(SimpleVectorStore()), embed=None, decider=0.9).store.searches
    True
    """

    def __init__(self, vectors: BasePydanticVectorStore, entries: Store | str = "memory://") -> None:
        if not isinstance(vectors, BasePydanticVectorStore):
            raise ConfigurationError(f"{type(vectors).__name__} is no vector store of LlamaIndex.")
        super().__init__(vectors, entries)
        self._turn: AbstractContextManager[Any] = RLock() if vectors.client is None else nullcontext()  # a plain dict within

    def _add(self, entry: Entry) -> None:
        self._vectors.delete(_id(entry.key))
        self._vectors.add([_node(entry)])

    def _remove(self, keys: list[str]) -> None:
        for key in keys:
            self._vectors.delete(_id(key))

    def _find(self, partition: str, vector: Floats, embedder: str, count: int) -> list[str]:
        filters = MetadataFilters(
            filters=[MetadataFilter(key="partition", value=partition), MetadataFilter(key="embedder", value=embedder)]
        )
        query = VectorStoreQuery(query_embedding=vector.tolist(), similarity_top_k=count, filters=filters)
        found = self._vectors.query(query)
        ids = found.ids if found.ids is not None else [node.node_id for node in found.nodes or ()]
        return [UUID(each).hex for each in ids]

    def _reach(self, call: Callable[[], T]) -> T:
        with self._turn:
            return super()._reach(call)


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
