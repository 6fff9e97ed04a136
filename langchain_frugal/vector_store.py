"""Any vector store of LangChain's as the place where a cache's neighbours are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores.base import Store
from frugal_core.cache.stores.beside import BesideVectors
from frugal_core.errors import ConfigurationError

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats


class VectorStoreBackend(BesideVectors):
    """Questions' vectors in a vector store of LangChain's, the entries themselves in another store.

    Vector stores embed what they are given with their own embeddings: give the cache the same.

        SemanticCache(VectorStoreBackend(vectors), embed=vectors.embeddings)

    Args:
        vectors: The vector store, with `similarity_search_by_vector` and `delete`. It should be used for nothing else.
        entries: The store of the entries, or its URL. A `disk:` store makes them last as long as the vectors.
        filter: From a partition to the vector store's own filter on the metadata field `partition`; default: what
            `InMemoryVectorStore` takes, or for others `{"partition": partition}`.

    Raises:
        ConfigurationError: An argument is something else.
    """

    def __init__(
        self, vectors: VectorStore, entries: Store | str = "memory://", *, filter: Callable[[str], Any] | None = None
    ) -> None:
        if not isinstance(vectors, VectorStore):
            raise ConfigurationError(f"vectors={vectors!r} must be a VectorStore of LangChain's.")
        if filter is not None and not callable(filter):
            raise ConfigurationError(f"filter={filter!r} must be a function from a partition to the vector store's own filter.")
        super().__init__(vectors, entries)
        self._filter = filter or (_in_memory if isinstance(vectors, InMemoryVectorStore) else _by_mapping)

    def _add(self, entry: Entry) -> None:
        metadata = {"key": entry.key, "partition": entry.partition}
        self._vectors.add_documents([Document(entry.question, id=entry.key, metadata=metadata)], ids=[entry.key])

    def _remove(self, keys: list[str]) -> None:
        self._vectors.delete(keys)

    def _find(self, partition: str, vector: Floats, embedder: str, count: int) -> list[str]:
        found = self._vectors.similarity_search_by_vector(vector.tolist(), k=count, filter=self._filter(partition))
        return [document.metadata["key"] for document in found if "key" in document.metadata]


def _in_memory(partition: str) -> Callable[[Document], bool]:
    return lambda document: document.metadata.get("partition") == partition


def _by_mapping(partition: str) -> dict[str, str]:
    return {"partition": partition}
