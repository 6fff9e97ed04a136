"""Retrieval with FrugalLLM: query engines answered for real by tiny language models, and the parts around them, scripted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from llama_index.core import PromptHelper, Settings, SummaryIndex, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.embeddings.mock_embed_model import MockEmbedding
from llama_index.core.evaluation import FaithfulnessEvaluator
from llama_index.core.extractors import TitleExtractor
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.postprocessor import LLMRerank, StructuredLLMRerank
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine, RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.response_synthesizers import Accumulate, CompactAndRefine, Refine, SimpleSummarize, TreeSummarize
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.selectors import LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel

import li
import rag
from frugal_core.playground.questions import is_correct
from frugal_core.pricing import PriceBook
from li import accepting, calls_tool, escalating, frugal, large, small
from llamaindex_frugal import FrugalDecisionEvent, FrugalLLM
from llamaindex_frugal.playground import PlaygroundLLM

WAYS = ("sync", "async")
both_ways = pytest.mark.parametrize("way", WAYS)
either = pytest.mark.parametrize("make", [accepting, escalating])
SERVED = {accepting: "the small answer", escalating: "the large answer"}
QUESTION = "How many apples does Ann have now?"


class Stock(BaseModel):
    amount: int


class Trip(BaseModel):
    city: str
    days: int


class Spent(BaseEventHandler):
    """As a user writes it: adds up what all questions cost."""

    usd: float = 0.0
    tiers: list[str | None] = []

    @classmethod
    def class_name(cls) -> str:
        return "Spent"

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, FrugalDecisionEvent):
            self.usd += event.decision["cost_usd"]
            self.tiers.append(event.decision["tier"])


@pytest.fixture
def spent() -> Iterator[Spent]:
    handlers, handler = get_dispatcher().event_handlers, Spent()
    handlers.append(handler)
    yield handler
    handlers.remove(handler)


@pytest.fixture(scope="module")
def ledger() -> VectorStoreIndex:
    return rag.index()


@pytest.fixture
def restored() -> Iterator[None]:
    """Settings are global."""
    before = vars(Settings).copy()
    yield
    vars(Settings).update(before)


def tiny(size: str) -> PlaygroundLLM:
    return PlaygroundLLM(model=f"playground-{size}")


def cascade(**settings: Any) -> FrugalLLM:
    return FrugalLLM([tiny("small"), tiny("large")], **(settings or {"threshold": 0.5}))


def decisions(events: Sequence[Any]) -> list[dict[str, Any]]:
    return [event.decision for event in events if isinstance(event, FrugalDecisionEvent)]


def paid(events: Sequence[Any]) -> float:
    """What the calls themselves cost, by the usage that the models reported."""
    book, usd = PriceBook.default(), 0.0
    for event in events:
        raw = event.response.raw if isinstance(event, LLMChatEndEvent) and event.response is not None else None
        if isinstance(raw, dict):  # a structured model tells its calls as well
            price = book.price(raw["model"])
            assert price is not None
            usd += (raw["usage"]["prompt_tokens"] * price.input + raw["usage"]["completion_tokens"] * price.output) / 1e6
    return usd


async def query(engine: Any, way: str, question: str = QUESTION) -> Any:
    return engine.query(question) if way == "sync" else await engine.aquery(question)


async def read(response: Any) -> list[str]:
    """The pieces of a streamed response."""
    pieces = response.response_gen if hasattr(response, "response_gen") else response.async_response_gen()
    return [piece async for piece in pieces] if hasattr(pieces, "__aiter__") else list(pieces)


# --- questions and answers, for real ---


def test_the_cascade_pays_less_than_the_large_model_and_knows_more_than_the_small(ledger: VectorStoreIndex) -> None:
    right, cost, share = {}, {}, 0.0
    for name, llm in {
        "small": FrugalLLM([tiny("small")]),
        "large": FrugalLLM([tiny("large")]),
        "cascade": cascade(call_large=0.5),
        "sure": cascade(threshold=0.5),
    }.items():
        engine = rag.query_engine(llm, ledger)
        with li.listening() as events:
            answers = [str(engine.query(note.question)) for note in rag.NOTES]
        right[name] = sum(is_correct(answer, note.answer) for answer, note in zip(answers, rag.NOTES, strict=True))
        cost[name] = sum(decision["cost_usd"] for decision in decisions(events))
        assert cost[name] == pytest.approx(paid(events))
        baseline = sum(decision["baseline_cost_usd"] for decision in decisions(events))
        if name == "cascade":
            share = sum(decision["tier"] == "playground-large" for decision in decisions(events)) / len(rag.NOTES)
            assert baseline == pytest.approx(cost["large"], rel=0.02)
    assert right["small"] <= 30  # 23 of 45
    assert right["large"] >= 44  # 45
    assert right["cascade"] >= right["small"] + 10  # 37
    assert cost["cascade"] <= 0.5 * cost["large"]  # 0.43
    by_chance = right["small"] + share * (right["large"] - right["small"])
    assert right["cascade"] >= by_chance + 3  # 37, where as many calls of the large model at random bring 32
    assert right["sure"] >= right["large"] - 1  # 45
    assert cost["sure"] <= 0.85 * cost["large"]  # 0.76


async def test_all_ways_of_asking_give_the_same_answers_and_decisions(ledger: VectorStoreIndex) -> None:
    notes = [note for place, note in enumerate(rag.NOTES) if place % 5 == 0]
    seen = []
    for way in WAYS:
        for streaming in (False, True):
            llm = cascade()
            engine = rag.query_engine(llm, ledger, streaming=streaming)
            with li.listening() as events:
                texts = []
                for note in notes:
                    response = await query(engine, way, note.question)
                    texts.append("".join(await read(response)) if streaming else str(response))
                    assert [node.node.get_content() for node in response.source_nodes] == [note.text]
            told = [(decision["tier"], len(decision["steps"]), decision["cost_usd"]) for decision in decisions(events)]
            seen.append((texts, told))
    assert all(one == seen[0] for one in seen)
    assert {tier for tier, _, _ in seen[0][1]} == {"playground-small", "playground-large"}
    assert seen[0][0] == [note.answer for note in notes]


@both_ways
@pytest.mark.parametrize(
    ("mode", "calls"), [("compact", 1), ("refine", 3), ("tree_summarize", 4), ("simple_summarize", 1), ("accumulate", 3)]
)
async def test_a_synthesizer_of_many_calls_tells_what_each_cost(
    mode: str, calls: int, way: str, ledger: VectorStoreIndex, spent: Spent
) -> None:
    parallel = way == "async"
    whole = {"text_qa_template": rag.QA_TEMPLATE, "refine_template": rag.REFINE_TEMPLATE, "response_padding_size": 16}
    short = PromptHelper(256, 64, chunk_size_limit=14)  # a note each
    llm = cascade()
    synthesizer = {
        "compact": lambda: CompactAndRefine(llm, **whole),
        "refine": lambda: Refine(llm, **whole),
        "tree_summarize": lambda: TreeSummarize(llm, None, short, rag.QA_TEMPLATE, use_async=parallel),
        "simple_summarize": lambda: SimpleSummarize(llm, text_qa_template=rag.QA_TEMPLATE),
        "accumulate": lambda: Accumulate(llm, text_qa_template=rag.QA_TEMPLATE, use_async=parallel),
    }[mode]()
    engine = RetrieverQueryEngine(ledger.as_retriever(similarity_top_k=3), synthesizer)
    with li.listening() as events:
        response = await query(engine, way)
    assert str(response)
    assert len(spent.tiers) == calls
    assert spent.usd == pytest.approx(paid(events))
    assert spent.usd > 0


def test_parallel_calls_of_a_synchronous_synthesizer(ledger: VectorStoreIndex, spent: Spent) -> None:
    """`use_async` runs an event loop of its own inside `query`."""
    synthesizer = Accumulate(cascade(), text_qa_template=rag.QA_TEMPLATE, use_async=True)
    engine = RetrieverQueryEngine(ledger.as_retriever(similarity_top_k=4), synthesizer)
    with li.listening() as events:
        engine.query(QUESTION)
    assert len(spent.tiers) == 4
    assert spent.usd == pytest.approx(paid(events))


@both_ways
async def test_a_query_engine_over_the_structured_model(way: str, ledger: VectorStoreIndex) -> None:
    engine = ledger.as_query_engine(
        llm=cascade().as_structured_llm(Stock),
        similarity_top_k=1,
        summary_template=rag.QA_TEMPLATE,
        response_mode="tree_summarize",
    )
    with li.listening() as events:
        response = await query(engine, way)
    assert response.response == Stock(amount=83)
    (told,) = decisions(events)
    assert told["cost_usd"] == pytest.approx(paid(events))


# --- settings, callbacks ---


@pytest.mark.usefixtures("restored")
@both_ways
@pytest.mark.parametrize("streaming", [False, True])
async def test_settings_and_the_token_counter(way: str, streaming: bool, ledger: VectorStoreIndex) -> None:
    Settings.llm = cascade()
    counter = TokenCountingHandler()
    Settings.callback_manager = CallbackManager([counter])  # after the models were built: they are told
    Settings.embed_model = rag.embedding()
    engine = ledger.as_query_engine(
        similarity_top_k=1,
        summary_template=rag.QA_TEMPLATE,
        response_mode="tree_summarize",
        streaming=streaming,
    )
    with li.listening() as events:
        for note in rag.NOTES[:6]:
            response = await query(engine, way, note.question)
            text = "".join(await read(response)) if streaming else str(response)
            assert is_correct(text, note.answer)
    steps = [step for decision in decisions(events) for step in decision["steps"]]
    assert len(steps) > 6  # some were asked of both
    assert len(counter.llm_token_counts) == len(steps)
    assert counter.prompt_llm_token_count == sum(step["input_tokens"] for step in steps)
    assert counter.completion_llm_token_count == sum(step["output_tokens"] for step in steps)


@pytest.mark.usefixtures("restored")
def test_settings_serve_everything_that_is_not_given_a_model() -> None:
    Settings.llm, first, _ = accepting()
    Settings.embed_model = MockEmbedding(embed_dim=3)
    nodes = [TextNode(text="Ann has 53 apples.")]
    assert str(VectorStoreIndex(nodes).as_query_engine().query(QUESTION)) == "the small answer"
    assert str(SummaryIndex(nodes).as_query_engine().query(QUESTION)) == "the small answer"
    memory = ChatMemoryBuffer.from_defaults(token_limit=500)
    assert str(VectorStoreIndex(nodes).as_chat_engine(chat_mode="context", memory=memory).chat("hi")) == "the small answer"
    assert len(first.log) == 3


# --- what is built around a query engine; models that write in formats are scripted ---


def engine_of(llm: Any, *texts: str, **settings: Any) -> Any:
    index = VectorStoreIndex([TextNode(text=text) for text in texts], embed_model=MockEmbedding(embed_dim=3))
    return index.as_query_engine(llm=llm, **settings)


@both_ways
@either
async def test_default_prompts_and_a_stream_without_drafts(make: Any, way: str) -> None:
    llm, _, _ = make()
    response = await query(engine_of(llm, "Ann has 53 apples.", streaming=True), way)
    pieces = await read(response)
    assert "".join(pieces) == SERVED[make]
    assert len(pieces) >= (3 if make is escalating else 1)  # the last model is live
    assert "SECRET" not in repr(response)


def written(first: str, second: str = "", sure: float = 0.1) -> tuple[FrugalLLM, li.Fake, li.Fake]:
    """A small model that writes `first` and is not believed, a large one that writes `second`."""
    models = small(first, sure=sure), large(second)
    return frugal(*models), *models


@pytest.mark.parametrize("parallel", [False, True])
def test_sub_questions(parallel: bool, ledger: VectorStoreIndex, spent: Spent) -> None:
    """The large model takes the question apart, playground models answer the parts, the large one sums up."""
    asked = [rag.NOTES[0].question, rag.NOTES[17].question]
    parts = json.dumps({"items": [{"sub_question": text, "tool_name": "ledger"} for text in asked]})
    planner, _, planned = written("SECRET, no JSON", f"```json\n{parts}\n```")
    tool = QueryEngineTool.from_defaults(rag.query_engine(cascade(), ledger), name="ledger", description="What was bought.")
    summarist, heard, _ = accepting()
    engine = SubQuestionQueryEngine.from_defaults(
        [tool],
        llm=summarist,
        question_gen=LLMQuestionGenerator.from_defaults(llm=planner),
        use_async=parallel,
        verbose=False,
    )
    response = engine.query("What do Ann and Mia have?")
    assert str(response) == "the small answer"
    assert len(planned.log) == 1
    prompt = heard.log.calls[0].messages[-1].content or ""
    assert all(f"Sub question: {text}\nResponse: {answer}" in prompt for text, answer in zip(asked, ["83", "25"], strict=True))
    assert len(spent.tiers) == 4


async def test_sub_questions_awaited(ledger: VectorStoreIndex) -> None:
    parts = json.dumps([{"sub_question": rag.NOTES[0].question, "tool_name": "ledger"}])
    planner, _, _ = written("SECRET", parts)
    tool = QueryEngineTool.from_defaults(rag.query_engine(cascade(), ledger), name="ledger", description="What was bought.")
    summarist, heard, _ = accepting()
    questions = LLMQuestionGenerator.from_defaults(llm=planner)
    engine = SubQuestionQueryEngine.from_defaults([tool], llm=summarist, question_gen=questions, verbose=False)
    assert str(await engine.aquery("What does Ann have?")) == "the small answer"
    assert "Response: 83" in (heard.log.calls[0].messages[-1].content or "")


def routed(selector: Any) -> RouterQueryEngine:
    tools = [
        QueryEngineTool.from_defaults(engine_of(frugal(small(f"from {name}"), large()), "A note."), name=name, description=name)
        for name in ("books", "maps")
    ]
    return RouterQueryEngine(selector, tools, llm=frugal(small(), large()))


@both_ways
async def test_a_router_over_text(way: str) -> None:
    llm, drafted, asked = written("SECRET", '[{"choice": 2, "reason": "It asks for a place."}]')
    response = await query(routed(LLMSingleSelector.from_defaults(llm=llm)), way)
    assert str(response) == "from maps"
    assert response.metadata["selector_result"].ind == 1
    assert (len(drafted.log), len(asked.log)) == (1, 1)


@both_ways
async def test_a_router_over_function_calls(way: str) -> None:
    choices = [calls_tool("SingleSelection", {"index": index, "reason": "It asks for a place."}) for index in (1, 2)]
    llm = frugal(small(choices[0], sure=0.1), large(choices[1]))
    response = await query(routed(PydanticSingleSelector.from_defaults(llm=llm)), way)
    assert str(response) == "from maps"


def scored() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text), score=0.5) for text in ("one", "two", "three")]


@both_ways
async def test_reranking(way: str) -> None:
    llm, drafted, asked = written("Doc: 1, Relevance: 1", "Doc: 3, Relevance: 9\nDoc: 1, Relevance: 4")
    rerank = LLMRerank(llm=llm, top_n=2)
    bundle = QueryBundle("which?")
    nodes = (
        rerank.postprocess_nodes(scored(), bundle)
        if way == "sync"
        else await rerank.apostprocess_nodes(scored(), query_bundle=bundle)
    )
    assert [(node.text, node.score) for node in nodes] == [("three", 9.0), ("one", 4.0)]
    assert (len(drafted.log), len(asked.log)) == (1, 1)


@both_ways
async def test_reranking_by_structure(way: str) -> None:
    """What the small model writes does not fit the class, and is escalated however sure it is."""
    good = {"documents": [{"document_number": 2, "relevance": 8}]}
    asked = large(calls_tool("DocumentRelevanceList", good))
    drafted = small(calls_tool("DocumentRelevanceList", {"documents": "SECRET"}), sure=0.99)
    rerank = StructuredLLMRerank(llm=frugal(drafted, asked), top_n=2)
    bundle = QueryBundle("which?")
    nodes = (
        rerank.postprocess_nodes(scored(), bundle)
        if way == "sync"
        else await rerank.apostprocess_nodes(scored(), query_bundle=bundle)
    )
    assert [(node.text, node.score) for node in nodes] == [("two", 8.0)]
    assert (len(drafted.log), len(asked.log)) == (1, 1)


@pytest.mark.parametrize(("verdict", "passing"), [("YES", True), ("NO", False)])
async def test_an_evaluator(verdict: str, passing: bool) -> None:
    llm, drafted, _ = written("SECRET", verdict)
    evaluator = FaithfulnessEvaluator(llm=llm)
    result = await evaluator.aevaluate(response="Ann has 53 apples.", contexts=["Ann has 53 apples and buys 30 more."])
    assert (result.passing, result.feedback) == (passing, verdict)
    assert len(drafted.log) == 1


def test_an_ingestion_pipeline_remembers_by_wrapper() -> None:
    """LlamaIndex's cache goes by what a transformation says of itself: another cascade, another entry."""

    def run(llm: FrugalLLM, cache: Any) -> tuple[Any, Any]:
        pipeline = IngestionPipeline(transformations=[TitleExtractor(llm=llm, num_workers=1, show_progress=False)], cache=cache)
        nodes = pipeline.run(nodes=[TextNode(text="Ann has 53 apples.", id_="one")], show_progress=False)
        return nodes[0].metadata["document_title"], pipeline.cache

    llm, first, _ = accepting()
    title, cache = run(llm, None)
    assert title == "the small answer"
    once = len(first.log)
    assert run(llm, cache)[0] == title
    assert len(first.log) == once  # from the cache
    assert run(frugal(small("another"), large(), threshold=0.8), cache)[0] == "another"


@both_ways
@pytest.mark.usefixtures("restored")
async def test_several_wordings_of_a_question(way: str, ledger: VectorStoreIndex) -> None:
    other = rag.NOTES[17]
    llm, drafted, _ = written("SECRET nonsense", f"1. {other.question}\n2. {QUESTION}")
    retriever = QueryFusionRetriever(
        [ledger.as_retriever(similarity_top_k=1)], llm=llm, num_queries=3, similarity_top_k=2, use_async=False
    )
    bundle = QueryBundle(QUESTION)
    nodes = retriever.retrieve(bundle) if way == "sync" else await retriever.aretrieve(bundle)
    assert {node.text for node in nodes} == {rag.NOTES[0].text, other.text}
    assert len(drafted.log) == 1


# --- structured models as such ---


@pytest.mark.parametrize("how", ["chat", "achat", "complete", "acomplete"])
async def test_the_structured_model(how: str) -> None:
    bad, good = ({"city": "SECRET"}, {"city": "Rome", "days": 3})
    llm = frugal(small(calls_tool("Trip", bad), sure=0.99), large(calls_tool("Trip", good)))
    structured = llm.as_structured_llm(Trip)
    with li.listening() as events:
        response = await li.ask(structured, how)
    assert response.raw == Trip(**good)
    assert json.loads(response.text if "complete" in how else response.message.content) == good
    (told,) = decisions(events)
    assert [(step["tier"], step["reason"]) for step in told["steps"]] == [("small", "invalid"), ("large", "last_tier")]
    assert told["cost_usd"] > 0


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # core's own streams call it
@pytest.mark.parametrize("how", ["stream_chat", "astream_chat"])
async def test_the_structured_model_streams(how: str) -> None:
    """An accepted draft comes whole, the large model's object grows."""
    served = []
    for note in (rag.NOTES[1], rag.NOTES[28]):
        with li.listening() as events:
            pieces = await li.stream(cascade().as_structured_llm(Stock), how, f"{note.text} {note.question}")
        assert pieces[-1].raw == Stock(amount=int(note.answer))
        assert {piece.raw.amount for piece in pieces} <= {None, 9, int(note.answer)}  # never the draft's 99
        (told,) = decisions(events)
        served.append((told["tier"], len(pieces) > 1))
    assert served == [("playground-large", True), ("playground-small", False)]


async def test_the_structured_model_reads_the_conversation() -> None:
    llm, first, _ = accepting()
    first.reply = lambda messages: calls_tool("Trip", {"city": messages[-1].content, "days": len(messages)})
    conversation = [ChatMessage("Hello", role="system"), ChatMessage("Rome")]
    assert llm.as_structured_llm(Trip).chat(conversation).raw == Trip(city="Rome", days=2)
    assert await llm.astructured_predict(Trip, PromptTemplate("{city}"), city="Oslo") == Trip(city="Oslo", days=1)
