"""A vector store of LangChain's as the place where the semantic cache looks for neighbours."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from caching import Words, ask, cache, filled
from frugal_core.cache import SemanticCache
from frugal_core.cache.stores.base import Limits
from frugal_core.cache.stores.memory import MemoryStore
from frugal_core.errors import ConfigurationError, FrugalWarning
from langchain_frugal import VectorStoreBackend
from lc import accepting, decision

QUESTION = "What is the capital of France?"
NEAR = "What is the capital city of France?"


class Embedding(Embeddings):
    """By the words of a text."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [list(vector) for vector in Words().embed_documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class Careless(InMemoryVectorStore):
    """Passes over the filter."""

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        return super().similarity_search_by_vector(embedding, k)


def backed(vectors: Any = None, entries: Any = "memory://", **settings: Any) -> tuple[SemanticCache, Any]:
    """A cache over a vector store, and that."""
    vectors = InMemoryVectorStore(Embedding()) if vectors is None else vectors
    return cache(VectorStoreBackend(vectors, entries), embed=vectors.embeddings, **settings), vectors


def test_neighbours_are_found() -> None:
    own, _ = backed()
    filled(own, QUESTION, "How do magnets work?")
    hit = own.lookup(ask(NEAR)).hit
    assert hit is not None
    assert (hit.kind, hit.entry.question) == ("semantic", QUESTION)
    assert hit.similarity == pytest.approx(own.embedder.embed([QUESTION])[0] @ own.embedder.embed([NEAR])[0], abs=1e-3)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", [InMemoryVectorStore, Careless])
def test_partitions_are_never_mixed(kind: Any) -> None:
    own, _ = backed(kind(Embedding()))
    filled(own, QUESTION, identity="other")
    filled(own, QUESTION, namespace="tenant")
    assert own.lookup(ask(NEAR)).hit is None


def test_what_a_careless_store_finds_elsewhere_is_dropped() -> None:
    own, _ = backed(Careless(Embedding()))
    filled(own, QUESTION)
    vector = own.embedder.embed([QUESTION])[0]  # type: ignore[union-attr]
    fingerprint = own.embedder.fingerprint  # type: ignore[union-attr]
    assert len(own.store.nearest(ask(QUESTION).partition, vector, fingerprint, 8)) == 1
    assert own.store.nearest("another", vector, fingerprint, 8) == []


async def test_chat_frugal_over_it() -> None:
    own, _ = backed()
    llm, first, _ = accepting(cache=own)
    await llm.ainvoke(QUESTION)
    assert decision(await llm.ainvoke(NEAR))["cache"] == "hit"
    assert len(first.log) == 1


def test_what_goes_goes_from_the_vector_store_too() -> None:
    own, vectors = backed(entries=MemoryStore(Limits(max_entries=2)))
    filled(own, "one thing", "two other things", "three more of them")
    assert sorted(document["text"] for document in vectors.store.values()) == ["three more of them", "two other things"]
    assert own.invalidate(key=ask("two other things").key) == 1
    assert [document["text"] for document in vectors.store.values()] == ["three more of them"]
    own.clear()
    assert not vectors.store
    assert own.lookup(ask("three more of them")).hit is None


def test_entries_of_another_embedder_are_not_compared() -> None:
    vectors = InMemoryVectorStore(Embedding())
    backend = VectorStoreBackend(vectors)
    filled(cache(backend, embed=Embedding()), QUESTION)
    other = cache(backend, embed=Words())
    assert other.lookup(ask(NEAR)).hit is None


def test_a_filter_of_ones_own() -> None:
    seen: list[str] = []

    def chosen(partition: str) -> Any:
        seen.append(partition)
        return lambda document: document.metadata["partition"] == partition

    own = cache(VectorStoreBackend(InMemoryVectorStore(Embedding()), filter=chosen), embed=Embedding())
    filled(own, QUESTION)
    assert own.lookup(ask(NEAR)).hit is not None
    assert set(seen) == {ask(QUESTION).partition}


def test_a_store_that_fails_is_a_miss_with_a_note() -> None:
    class Down(InMemoryVectorStore):
        def similarity_search_by_vector(self, embedding: Any, k: int = 4, **kwargs: Any) -> Any:
            raise ConnectionError("down")

    own, _ = backed(Down(Embedding()))
    with pytest.warns(FrugalWarning, match="Down failed: ConnectionError"):
        lookup = own.lookup(ask(QUESTION))
    assert lookup.hit is None
    assert "Down failed" in lookup.notes[0]
    lookup.abandon()


def test_bad_arguments() -> None:
    with pytest.raises(ConfigurationError, match="vectors=7 must be a VectorStore"):
        VectorStoreBackend(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="entries=7 must be a store"):
        VectorStoreBackend(InMemoryVectorStore(Embedding()), 7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="filter=7 must be a function"):
        VectorStoreBackend(InMemoryVectorStore(Embedding()), filter=7)  # type: ignore[arg-type]
