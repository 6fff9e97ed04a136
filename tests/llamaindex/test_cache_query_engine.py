"""Query engines in front of a cache: right sources, right tenant, nothing stale, whole or streamed, sync or async."""

import contextvars
import re

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    PydanticResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine import CondenseQuestionChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine, RouterQueryEngine
from llama_index.core.schema import QueryBundle
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.core.vector_stores import ExactMatchFilter, MetadataFilters
from pydantic import BaseModel

import caching
import rag
from frugal_core.cache import cache_options
from li import Fake, frugal, large, listening, small
from llamaindex_frugal import CachedQueryEngine, ConfigurationError, SemanticCacheQueryEngine
from llamaindex_frugal.playground import PlaygroundLLM

ASKED, ALIKE, OTHER = "what are the opening hours of the shop", "what are the opening hours of the shop now", "who owns it"
NOTES = ("The opening hours of the shop are nine to five.", "It owns: Ann.", "Bread is sold by Tom.")


class Embedding(BaseEmbedding):
    """By the words of a text."""

    def _get_text_embedding(self, text):
        return caching.Words().vector(text).tolist()

    _get_query_embedding = _get_text_embedding

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


def reader():
    """A model that says what it was shown."""

    def reply(messages):
        found = re.search(r"-{10,}\n(.*?)\n-{10,}", messages[-1].content, re.DOTALL)
        return f"It says: {found.group(1).strip() if found else messages[-1].content}"

    return Fake(model="small", reply=reply)


def index_of(notes=NOTES):
    documents = [Document(text=text, id_=f"note-{number}") for number, text in enumerate(notes)]
    return VectorStoreIndex.from_documents(documents, embed_model=Embedding())


def engine_over(index, model, **settings):
    return index.as_query_engine(llm=model, similarity_top_k=1, **settings)


def cached(model=None, index=None, streaming=False, **settings):
    """An engine that is made anew for each query, and its parts."""
    model, index = model or reader(), index or index_of()
    settings.setdefault("cache", caching.cache())
    engine = SemanticCacheQueryEngine(lambda: engine_over(index, model, streaming=streaming), **settings)
    return engine, model, index


async def query(engine, way, text):
    """The response, read to its end."""
    response = engine.query(text) if way == "sync" else await engine.aquery(text)
    if isinstance(response, StreamingResponse):
        response.response_txt = "".join(response.response_gen)
    elif isinstance(response, AsyncStreamingResponse):
        response.response_txt = "".join([token async for token in response.async_response_gen()])
    return response


def said(response):
    return getattr(response, "response", None) or response.response_txt


ways = pytest.mark.parametrize("way", ["sync", "async"])
streamings = pytest.mark.parametrize("streaming", [False, True])
SHAPES = {
    ("sync", False): Response,
    ("async", False): Response,
    ("sync", True): StreamingResponse,
    ("async", True): AsyncStreamingResponse,
}


@ways
@streamings
@pytest.mark.parametrize("validate", ["retrieval", "version", "none"])
async def test_alike_questions_are_answered_with_their_sources_and_no_model(way, streaming, validate):
    version = {"version": "1"} if validate == "version" else {}
    engine, model, _ = cached(streaming=streaming, validate=validate, **version)
    missed = await query(engine, way, ASKED)
    hits = [await query(engine, way, each) for each in (ASKED, ALIKE)]
    assert len(model.log) == 1
    for each in (missed, *hits):
        assert type(each) is SHAPES[way, streaming]
        assert said(each) == "It says: The opening hours of the shop are nine to five."
        assert [node.node.ref_doc_id for node in each.source_nodes] == ["note-0"]
        assert each.source_nodes[0].score is not None
        assert each.metadata == missed.metadata
    assert [each.frugal["cache"] for each in (missed, *hits)] == ["miss", "hit", "hit"]
    assert 0.9 < hits[1].frugal["similarity"] < 1
    assert hits[1].frugal["cache_key"] == missed.frugal["cache_key"]
    await query(engine, way, OTHER)
    assert len(model.log) == 2


@ways
@streamings
async def test_what_is_inserted_or_deleted_makes_an_answer_stale(way, streaming):
    engine, model, index = cached(streaming=streaming)
    await query(engine, way, ASKED)
    index.insert(Document(text="what are the opening hours of the shop: ten to four", id_="note-9"))
    fresh = await query(engine, way, ALIKE)
    assert said(fresh) == "It says: what are the opening hours of the shop: ten to four"
    assert any("stale" in note for note in fresh.frugal["cache_notes"])
    assert engine.cache.stats().stale == 1
    assert engine.cache.stats().entries == 1
    assert (await query(engine, way, ALIKE)).frugal["cache"] == "hit"
    index.delete_ref_doc("note-9", delete_from_docstore=True)
    assert said(await query(engine, way, ALIKE)) == "It says: The opening hours of the shop are nine to five."
    assert len(model.log) == 3


@ways
async def test_several_candidates_are_tried_and_those_that_are_stale_removed(way):
    engine, model, index = cached()
    near, nearer = f"{ALIKE} today", ALIKE
    for each in (near, nearer):
        with cache_options(refresh=True):
            await query(engine, way, each)
    assert engine.cache.stats().entries == 2
    index.insert(Document(text=nearer, id_="note-9"))  # the nearest find of both
    index.delete_ref_doc("note-0", delete_from_docstore=True)
    await query(engine, way, ASKED)
    assert engine.cache.stats().stale == 2
    assert len(model.log) == 3


@ways
async def test_a_change_elsewhere_leaves_an_answer_valid(way):
    engine, model, index = cached()
    await query(engine, way, ASKED)
    index.insert(Document(text="Fish is sold by Eve."))
    assert (await query(engine, way, ALIKE)).frugal["cache"] == "hit"
    assert len(model.log) == 1


@ways
async def test_answers_go_by_version_or_by_document(way):
    version = ["1"]
    engine, _model, _ = cached(validate="version", version=lambda: version[0])
    await query(engine, way, ASKED)
    version[0] = "2"
    assert (await query(engine, way, ASKED)).frugal["cache"] == "miss"
    assert (await query(engine, way, ASKED)).frugal["cache"] == "hit"
    other, _, _ = cached(cache=engine.cache)
    await query(other, way, ASKED)
    assert engine.cache.invalidate(document="note-0") == 1


@ways
async def test_two_tenants_never_share(way):
    tenant = contextvars.ContextVar("tenant")
    engine, model, _ = cached(namespace_fn=lambda bundle: tenant.get(), validate="none")
    told = []
    for each in ("a", "b", "a", "b"):
        tenant.set(each)
        told.append((await query(engine, way, ALIKE if told else ASKED)).frugal["cache"])
    assert told == ["miss", "miss", "hit", "hit"]
    assert len(model.log) == 2
    tenant.set(7)
    with pytest.raises(ConfigurationError, match="namespace=7"):
        await query(engine, way, ASKED)


@ways
@pytest.mark.parametrize("validate", ["retrieval", "none"])
async def test_engines_over_other_documents_filters_or_prompts_share_nothing(way, validate):
    cache, model = caching.cache(), reader()
    one, other = index_of(), index_of(("The opening hours of the shop are six to seven.",))
    filters = MetadataFilters(filters=[ExactMatchFilter(key="tenant", value="a")])
    engines = [
        SemanticCacheQueryEngine(each, cache, validate=validate)
        for each in (
            engine_over(one, model),
            engine_over(other, model),
            engine_over(one, model, text_qa_template=PromptTemplate("{context_str} Briefly: {query_str}")),
            RetrieverQueryEngine.from_args(one.as_retriever(similarity_top_k=1, filters=filters), llm=model),
        )
    ]
    told = [(await query(each, way, ASKED)).frugal["cache"] for each in engines]
    assert told == ["miss"] * 4
    again = [(await query(each, way, ALIKE)).frugal["cache"] for each in engines]
    assert again == ["hit", "hit", "hit", "miss"]  # the last finds nothing, which is not kept


@ways
async def test_a_stream_is_kept_only_when_it_was_read_to_its_end(way):
    engine, _model, _ = cached(streaming=True)
    response = engine.query(ASKED) if way == "sync" else await engine.aquery(ASKED)
    if way == "sync":
        assert next(response.response_gen) == "It"
        response.response_gen.close()
    else:
        tokens = response.async_response_gen()
        assert await anext(tokens) == "It"
        await tokens.aclose()
        await response.response_gen.aclose()
    assert engine.cache.stats().stored == 0
    assert not engine.cache._flights._flying
    assert engine.query(ASKED).frugal["cache"] == "miss"


async def test_a_stream_that_nobody_reads_holds_nobody_up():
    engine, _model, _ = cached(streaming=True)
    unread = engine.query(ASKED)
    assert str(engine.query(ASKED)) == str(unread) == "It says: The opening hours of the shop are nine to five."
    assert engine.query(ASKED).frugal["cache"] == "hit"


async def test_a_failure_is_the_users_and_holds_nobody_up():
    engine, _model, _ = cached(Fake(model="small", reply=RuntimeError("broken")))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            engine.query(ASKED)
        with pytest.raises(RuntimeError, match="broken"):
            await engine.aquery(ASKED)
    assert not engine.cache._flights._flying


@ways
async def test_an_error_that_the_synthesizer_swallows_is_not_kept(way):
    """Core logs a model's `ValueError` and says "Empty Response"."""
    engine, model, _ = cached(Fake(model="small", reply=ValueError("broken")))
    for _ in range(2):
        assert said(await query(engine, way, ASKED)) == "Empty Response"
    assert len(model.log) == 2
    assert engine.cache.stats().kept_out == {"empty": 2}


@ways
async def test_options_and_custom_queries(way):
    engine, model, _ = cached()
    await query(engine, way, ASKED)
    with cache_options(no_cache=True):
        assert (await query(engine, way, ASKED)).frugal["cache"] == "off"
    with cache_options(refresh=True):
        assert (await query(engine, way, ASKED)).frugal["cache"] == "miss"
    assert len(model.log) == 3
    custom = QueryBundle(ALIKE, custom_embedding_strs=["who owns it"])
    told = [(await query(engine, way, custom)).frugal["cache"] for _ in range(2)]
    assert told == ["miss", "hit"]
    assert said(await query(engine, way, custom)) == "It says: It owns: Ann."


@ways
async def test_what_should_not_be_served_again_is_not_kept(way):
    refusing, _, _ = cached(Fake(model="small", reply="I'm sorry, but I can't help with that."))
    await query(refusing, way, ASKED)
    assert refusing.cache.stats().kept_out == {"refusal": 1}
    sampled, _, _ = cached(frugal(small(temperature=0.8), large()))
    await query(sampled, way, ASKED)
    assert sampled.cache.stats().kept_out == {"sampled": 1}
    empty, _, _ = cached(index=index_of(()))
    await query(empty, way, ASKED)
    assert empty.cache.stats().kept_out == {"empty": 1}


class Hours(BaseModel):
    """Opening hours."""

    opens: int
    closes: int


@ways
async def test_values_come_back_as_values(way):
    model = Fake(model="small", tools=False, reply='{"opens": 9, "closes": 17}')
    index, cache = index_of(), caching.cache()
    engine = SemanticCacheQueryEngine(engine_over(index, model, output_cls=Hours), cache)
    responses = [await query(engine, way, each) for each in (ASKED, ALIKE)]
    assert [type(each) for each in responses] == [PydanticResponse] * 2
    assert [each.response for each in responses] == [Hours(opens=9, closes=17)] * 2
    assert responses[1].frugal["cache"] == "hit"


async def test_hits_tell_an_event_and_call_no_model_and_callbacks_hear_the_query():
    engine, _model, _ = cached()
    engine.query(ASKED)
    with listening() as heard:
        response = engine.query(ALIKE)
    names = [type(event).__name__ for event in heard]
    assert not [name for name in names if name.startswith("LLM")]
    (told,) = [event.decision for event in heard if type(event).__name__ == "FrugalDecisionEvent"]
    assert told == response.frugal
    assert (told["policy"], told["version"]) == ("query_engine", "retrieval")
    assert isinstance(engine.callback_manager, CallbackManager)


def test_it_is_a_retriever_query_engine_in_all_else():
    engine, model, index = cached()
    assert isinstance(engine, RetrieverQueryEngine)
    assert [node.node.ref_doc_id for node in engine.retrieve(QueryBundle(ASKED))] == ["note-0"]
    assert "response_synthesizer:text_qa_template" in engine.get_prompts()
    engine.query(ASKED)
    engine.update_prompts({"response_synthesizer:text_qa_template": PromptTemplate("{context_str}? {query_str}!")})
    assert engine.query(ASKED).frugal["cache"] == "miss"
    other = engine.with_retriever(index_of(("Nothing else.",)).as_retriever())
    assert type(other) is SemanticCacheQueryEngine
    assert "Nothing else." in str(other.query(ASKED))
    args = SemanticCacheQueryEngine.from_args(index.as_retriever(), cache=caching.cache(), llm=model, validate="none")
    assert [args.query(ASKED).frugal["cache"] for _ in range(2)] == ["miss", "hit"]


def test_an_engine_made_once_does_not_see_what_is_inserted_and_a_factory_does():
    """LlamaIndex's own retrievers over a store in memory keep the nodes they were made with (issue 16271)."""
    index, model = index_of(), reader()
    once, anew = engine_over(index, model), lambda: engine_over(index, model)
    frozen = SemanticCacheQueryEngine(once, caching.cache())
    fresh = SemanticCacheQueryEngine(anew, caching.cache())
    index.insert(Document(text=ASKED, id_="note-9"))
    assert ASKED not in str(frozen.query(ASKED))
    assert ASKED in str(fresh.query(ASKED))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validate": "always"}, 'must be "retrieval", "version" or "none"'),
        ({"validate": "version"}, "go together"),
        ({"version": "1"}, "go together"),
        ({"namespace_fn": "a"}, "must be a function"),
        ({"cache": 7}, "is no cache"),
    ],
)
def test_bad_arguments_say_what_is_wrong(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        cached(**settings)


# --- chat engines over it ---


@pytest.mark.parametrize("how", ["chat", "achat", "stream_chat", "astream_chat"])
@streamings
async def test_a_condensing_chat_engine_toggles_its_streaming_and_gets_hits_in_shape(how, streaming):
    engine, model, _ = cached(streaming=streaming)
    await query(engine, "sync", ASKED)
    chat = CondenseQuestionChatEngine.from_defaults(
        query_engine=engine, llm=model, memory=ChatMemoryBuffer.from_defaults(token_limit=2000)
    )
    reply = getattr(chat, how)(ALIKE)
    if how.startswith("a"):
        reply = await reply
    if how == "stream_chat":
        text = "".join(reply.response_gen)  # joins the thread that writes the history
    elif how == "astream_chat":
        text = "".join([token async for token in reply.async_response_gen()])
    else:
        text = reply.response
    assert text == "It says: The opening hours of the shop are nine to five."
    assert [message.content for message in chat.chat_history] == [ALIKE, text]
    assert len(model.log) == 1
    assert engine._response_synthesizer._streaming is streaming


# --- any other engine ---


class Own(BaseQueryEngine):
    """Written by a user."""

    def __init__(self, streaming=False):
        super().__init__(CallbackManager([]))
        self.asked, self.streaming = [], streaming

    def _get_prompt_modules(self):
        return {}

    def _query(self, query_bundle):
        self.asked.append(query_bundle.query_str)
        if self.streaming:
            return StreamingResponse((word for word in ("my ", "answer")), [], {"plain": 1, "odd": object()})
        return Response("my answer", [], {"plain": 1, "odd": object()})

    async def _aquery(self, query_bundle):
        return self._query(query_bundle)


@ways
@streamings
async def test_any_engine_is_cached_in_the_shape_it_gave(way, streaming):
    own = Own(streaming)
    engine = CachedQueryEngine(own, caching.cache(), validate="none", name="own")
    responses = [await query(engine, way, each) for each in (ASKED, ALIKE, OTHER)]
    assert [each.frugal["cache"] for each in responses] == ["miss", "hit", "miss"]
    assert own.asked == [ASKED, OTHER]
    assert said(responses[1]) == "my answer"
    assert responses[1].metadata == {"plain": 1}
    assert type(responses[1]) is (SHAPES[way, True] if streaming else Response)


def test_an_engine_that_cannot_retrieve_says_what_to_do_and_names_keep_engines_apart():
    with pytest.raises(ConfigurationError, match=r'Own cannot retrieve.*validate="version"'):
        CachedQueryEngine(Own(), caching.cache())
    with pytest.raises(ConfigurationError, match="give name="):
        CachedQueryEngine(Own(), caching.cache(), validate="none")
    with pytest.raises(ConfigurationError, match="is no query engine"):
        CachedQueryEngine(object(), caching.cache())
    with pytest.raises(ConfigurationError, match="wrap engines of other kinds"):
        SemanticCacheQueryEngine(Own(), caching.cache())
    cache = caching.cache()
    engines = [CachedQueryEngine(Own(), cache, validate="none", name=name) for name in ("a", "b")]
    assert [engine.query(ASKED).frugal["cache"] for engine in engines] == ["miss", "miss"]


@ways
async def test_a_router_is_cached_by_version(way):
    index = index_of()
    tool = QueryEngineTool.from_defaults(engine_over(index, reader()), description="hours")
    selector = LLMSingleSelector.from_defaults(Fake(reply='[{"choice": 1, "reason": "hours"}]'))
    router = RouterQueryEngine(selector, [tool], llm=reader())
    engine = CachedQueryEngine(router, caching.cache(), validate="version", version="1", name="router")
    responses = [await query(engine, way, each) for each in (ASKED, ALIKE)]
    assert [each.frugal["cache"] for each in responses] == ["miss", "hit"]
    assert said(responses[0]) == said(responses[1])
    assert [node.node.ref_doc_id for node in responses[1].source_nodes] == ["note-0"]


def test_an_engine_that_can_retrieve_is_checked_by_it():
    index, model = index_of(), reader()
    engine = CachedQueryEngine(CitationQueryEngine.from_args(index, llm=model, similarity_top_k=1), caching.cache())
    assert [engine.query(each).frugal["cache"] for each in (ASKED, ALIKE)] == ["miss", "hit"]
    index.delete_ref_doc("note-0", delete_from_docstore=True)
    assert engine.query(ALIKE).frugal["cache"] == "miss"


# --- for real ---


def test_small_models_over_the_ledger():
    notes = rag.index()
    model = PlaygroundLLM(model="playground-large")
    cache = caching.cache(embed=rag.embedding(), decider=0.93)
    engine = SemanticCacheQueryEngine(rag.query_engine(model, notes), cache)
    note = rag.NOTES[0]
    first, second = engine.query(note.question), engine.query(note.question.replace("How many", "how many"))
    assert (first.frugal["cache"], second.frugal["cache"]) == ("miss", "hit")
    assert first.response == second.response
    assert second.source_nodes[0].node.text == note.text
    assert engine.query(rag.NOTES[1].question).frugal["cache"] == "miss"
