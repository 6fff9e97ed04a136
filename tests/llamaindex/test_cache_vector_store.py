"""A vector store of LlamaIndex finds the neighbours, and is believed nothing else."""

import threading
from dataclasses import replace
from uuid import UUID

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import BasePydanticVectorStore, VectorStoreQueryResult

import caching
from frugal_core.cache import cache_options
from frugal_core.cache.stores import Limits, MemoryStore
from li import accepting, decision
from llamaindex_frugal import ConfigurationError, VectorStoreBackend

ASKED, ALIKE = "what is the capital of france", "what is the capital of the france"


class Careless(BasePydanticVectorStore):
    """Keeps text, ignores filters, scores as it likes, and returns everything it has; has a `client`."""

    stores_text: bool = True
    nodes: dict = {}
    broken: bool = False

    @property
    def client(self):
        return self

    def add(self, nodes, **kwargs):
        self.nodes.update({node.node_id: node for node in nodes})
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id, **kwargs):
        for node in [node for node in self.nodes.values() if node.ref_doc_id == ref_doc_id]:
            del self.nodes[node.node_id]

    def query(self, query, **kwargs):
        if self.broken:
            raise TimeoutError("no answer")
        return VectorStoreQueryResult(nodes=list(self.nodes.values()), similarities=[99.0] * len(self.nodes))


@pytest.fixture(params=[SimpleVectorStore, Careless], ids=["simple", "careless"])
def vectors(request):
    return request.param()


def count(vectors):
    return len(vectors.nodes if isinstance(vectors, Careless) else vectors.data.embedding_dict)


def wrapper(vectors, entries="memory://"):
    cache = caching.cache(VectorStoreBackend(vectors, entries))
    llm, first, _ = accepting(cache=cache)
    return llm, first, cache


def ask(llm, text):
    return decision(llm.chat([ChatMessage(text)]))


async def test_neighbours_are_found_and_their_similarity_is_the_cosine(vectors):
    llm, first, _ = wrapper(vectors)
    assert ask(llm, ASKED)["cache"] == "miss"
    hit = ask(llm, ALIKE)
    assert (hit["cache"], decision(await llm.achat([ChatMessage(ALIKE)]))["cache"]) == ("hit", "hit")
    plain, _, _ = accepting(cache=caching.cache())
    ask(plain, ASKED)
    assert hit["similarity"] == pytest.approx(ask(plain, ALIKE)["similarity"], abs=1e-3)
    assert ask(llm, "who won the cup")["cache"] == "miss"
    assert len(first.log) == 2


def test_tenants_share_nothing_even_where_filters_are_ignored(vectors):
    llm, _, cache = wrapper(vectors)
    for tenant in ("a", "b"):
        with cache_options(namespace=tenant):
            assert ask(llm, ASKED)["cache"] == "miss"
    with cache_options(namespace="c"):
        assert ask(llm, ALIKE)["cache"] == "miss"
    entries = list(cache.store.scan())
    vector = caching.Words().vector(ASKED)
    assert len(entries) == 3
    for entry in entries:
        near = cache.store.nearest(entry.partition, vector / (vector @ vector) ** 0.5, entry.embedder, 8)
        assert [neighbour.key for neighbour in near] == [entry.key]
    assert cache.store.nearest(entries[0].partition, vector, "another embedder", 8) == []


def test_what_is_removed_refreshed_or_evicted_takes_its_vector_along(vectors):
    llm, _, cache = wrapper(vectors, MemoryStore(Limits(max_entries=2)))
    key = ask(llm, ASKED)["cache_key"]
    with cache_options(refresh=True):
        ask(llm, ASKED)
    assert count(vectors) == 1
    assert cache.invalidate(key=key) == 1
    assert count(vectors) == 0
    for text in (ASKED, "who won the cup", "how old is the king"):
        ask(llm, text)
    assert cache.stats().entries == 2
    assert ask(llm, ALIKE)["cache"] == "miss"  # and the orphan is removed when it is met
    keys = {entry.key for entry in cache.store.scan()}
    assert cache.store.changes(0).whole
    assert len(keys) == 2
    cache.clear()
    assert cache.stats().entries == 0
    assert ask(llm, ASKED)["cache"] == "miss"


def test_an_expired_entry_does_not_answer_and_its_vector_goes(vectors):
    entries = MemoryStore()
    llm, _, _ = wrapper(vectors, entries)
    ask(llm, ASKED)
    (entry,) = entries.scan()
    entries.put(replace(entry, expires_s=1.0))
    with cache_options(no_cache=True):
        ask(llm, ALIKE)
    assert count(vectors) == 1
    assert ask(llm, ALIKE)["cache"] == "miss"
    assert {entry.question for entry in entries.scan()} == {ALIKE}
    assert count(vectors) == 1


def test_a_vector_store_that_is_down_is_a_miss_and_a_note():
    vectors = Careless()
    llm, _, _ = wrapper(vectors)
    ask(llm, ASKED)
    vectors.broken = True
    with pytest.warns(UserWarning, match="StoreError: Careless failed: TimeoutError: no answer"):
        told = ask(llm, ALIKE)
    assert told["cache"] == "miss"
    assert "TimeoutError" in told["cache_notes"][0]
    assert ask(llm, ASKED)["cache"] == "hit"  # exactly, which needs no vectors


def test_several_threads_at_once(vectors):
    llm, _, cache = wrapper(vectors)
    failures = []

    def work(number):
        try:
            for turn in range(20):
                ask(llm, f"question {number} number {turn} about things")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert cache.stats().errors == 0


def test_it_takes_vector_stores_alone_and_ids_are_uuids():
    with pytest.raises(ConfigurationError, match="is no vector store"):
        VectorStoreBackend(object())
    vectors = Careless()
    llm, _, _ = wrapper(vectors)
    key = ask(llm, ASKED)["cache_key"]
    ((id, node),) = vectors.nodes.items()
    assert UUID(id).hex == key
    assert isinstance(node, TextNode)
    assert node.text == ASKED
