"""Spans nest as the calls do, events tell each query once, and queries that run at once do not mix."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatStartEvent
from llama_index.core.instrumentation.span import BaseSpan, active_span_id
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from li import HOWS, Fake, accepting, ask, calls_tool, decision, escalating, frugal, large, listening, small, stream
from llamaindex_frugal import FrugalDecisionEvent, FrugalLLM, FrugalTierSkippedEvent

each_way = pytest.mark.parametrize("how", HOWS)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOLS = [FunctionTool.from_defaults(add)]


class Number(BaseModel):
    """A number."""

    value: int


NUMBER = calls_tool("Number", {"value": 7})
PROMPT = PromptTemplate("Give me {what}.")


# --- every way in ---


async def _predict(llm: Any) -> Any:
    return llm.predict(PROMPT, what="it")


async def _apredict(llm: Any) -> Any:
    return await llm.apredict(PROMPT, what="it")


async def _stream(llm: Any) -> Any:
    return "".join(llm.stream(PROMPT, what="it"))


async def _astream(llm: Any) -> Any:
    return "".join([token async for token in await llm.astream(PROMPT, what="it")])


async def _chat_with_tools(llm: Any) -> Any:
    return llm.chat_with_tools(TOOLS, "hi")


async def _achat_with_tools(llm: Any) -> Any:
    return await llm.achat_with_tools(TOOLS, "hi")


async def _stream_chat_with_tools(llm: Any) -> Any:
    return list(llm.stream_chat_with_tools(TOOLS, "hi"))


async def _astream_chat_with_tools(llm: Any) -> Any:
    return [piece async for piece in await llm.astream_chat_with_tools(TOOLS, "hi")]


async def _structured(llm: Any) -> Any:
    return llm.structured_predict(Number, PROMPT, what="it")


async def _astructured(llm: Any) -> Any:
    return await llm.astructured_predict(Number, PROMPT, what="it")


async def _stream_structured(llm: Any) -> Any:
    return list(llm.stream_structured_predict(Number, PROMPT, what="it"))


async def _astream_structured(llm: Any) -> Any:
    return [value async for value in await llm.astream_structured_predict(Number, PROMPT, what="it")]


async def _as_structured(llm: Any) -> Any:
    return llm.as_structured_llm(Number).chat([ChatMessage("hi")])


def _endpoint(how: str) -> Callable[[Any], Awaitable[Any]]:
    async def asked(llm: Any) -> Any:
        return await ask(llm, how)

    return asked


WAYS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    **{how: _endpoint(how) for how in HOWS},
    "predict": _predict,
    "apredict": _apredict,
    "stream": _stream,
    "astream": _astream,
    "chat_with_tools": _chat_with_tools,
    "achat_with_tools": _achat_with_tools,
    "stream_chat_with_tools": _stream_chat_with_tools,
    "astream_chat_with_tools": _astream_chat_with_tools,
    "structured_predict": _structured,
    "astructured_predict": _astructured,
    "stream_structured_predict": _stream_structured,
    "astream_structured_predict": _astream_structured,
    "as_structured_llm": _as_structured,
}
each_way_in = pytest.mark.parametrize("way", WAYS)


def reply(way: str, words: str) -> Any:
    """What a model says: a value where one is asked for."""
    return NUMBER if "structured" in way else words


# --- events ---


@each_way_in
async def test_a_query_is_told_by_one_event_however_it_was_asked(way: str) -> None:
    first, last = small(reply(way, "draft"), sure=0.1), large(reply(way, "answer"))
    llm = frugal(first, last)
    with listening() as events:
        await WAYS[way](llm)
    (told,) = [event for event in events if isinstance(event, FrugalDecisionEvent)]
    assert [(step["tier"], step["reason"]) for step in told.decision["steps"]] == [("small", "unsure"), ("large", "last_tier")]
    assert told.decision["cost_usd"] == pytest.approx(6e-6 + 6e-5)
    assert not [event for event in events if isinstance(event, FrugalTierSkippedEvent)]


@each_way_in
async def test_the_models_alone_tell_of_calls_and_each_call_once(way: str) -> None:
    llm = frugal(small(reply(way, "draft"), sure=0.1), large(reply(way, "answer")))
    with listening() as events:
        await WAYS[way](llm)
    by_core = ["small > large"] if way == "as_structured_llm" else []  # core's own wrapper is an LLM to itself
    assert [event.model_dict["model_name"] for event in events if isinstance(event, LLMChatStartEvent)] == [
        *by_core,
        "small",
        "large",
    ]
    assert sum(isinstance(event, LLMChatEndEvent) for event in events) == len(by_core) + 2


@each_way_in
async def test_a_model_that_was_passed_over_is_told_by_one_event(way: str) -> None:
    llm = frugal(small(reply(way, "draft"), window=10), large(reply(way, "answer")), context_window="max")
    long = [ChatMessage("word " * 100)]
    asked: dict[str, Any] = {
        "chat": lambda: llm.chat(long),
        "structured": lambda: llm.structured_predict(Number, PROMPT, what="word " * 100),
    }
    with listening() as events:
        asked["structured" if "structured" in way else "chat"]()
    ours = [event for event in events if isinstance(event, (FrugalTierSkippedEvent, FrugalDecisionEvent))]
    assert [event.class_name() for event in ours] == ["FrugalTierSkippedEvent", "FrugalDecisionEvent"]
    assert (ours[0].tier, ours[0].reason) == ("small", "too_long")


@each_way_in
async def test_what_the_event_tells_is_plain_json(way: str) -> None:
    with listening() as events:
        await WAYS[way](frugal(small(reply(way, "draft")), large()))
    (told,) = [event for event in events if isinstance(event, FrugalDecisionEvent)]
    assert FrugalDecisionEvent.model_validate_json(told.model_dump_json()).decision == told.decision


@each_way
async def test_a_response_and_its_event_tell_the_same(how: str) -> None:
    llm, _, _ = escalating()
    with listening() as events:
        response = await ask(llm, how)
    (told,) = [event for event in events if isinstance(event, FrugalDecisionEvent)]
    assert told.decision == decision(response)


@each_way
async def test_a_query_that_fails_is_told_as_answered_by_nobody(how: str) -> None:
    with listening() as events, pytest.raises(TimeoutError):
        await ask(frugal(small(sure=0.1), large(TimeoutError("slow"))), how)
    assert not [event for event in events if isinstance(event, FrugalDecisionEvent)]


@each_way
async def test_a_listener_that_fails_harms_nobody(how: str) -> None:
    class Broken(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            raise RuntimeError("broken")

    handlers, broken = get_dispatcher().event_handlers, Broken()
    handlers.append(broken)
    try:
        llm, _, _ = escalating()
        assert decision(await ask(llm, how))["tier"] == "large"
    finally:
        handlers.remove(broken)


# --- spans ---


@dataclass
class Spans:
    """Spans in the order of their start: a readable name, and the parent's."""

    ids: list[str] = field(default_factory=list)
    parents: dict[str, str | None] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    dropped: list[str] = field(default_factory=list)

    def name(self, id_: str) -> str:
        return id_.split("-")[0]

    def of(self, start: str) -> list[str]:
        return [id_ for id_ in self.ids if id_.startswith(start)]

    def ancestors(self, id_: str) -> list[str]:
        found: list[str] = []
        while (id_ := self.parents.get(id_) or "") != "":
            found.append(id_)
        return found


class Writer(BaseSpanHandler[BaseSpan]):
    spans: Any = None

    def new_span(
        self, id_: str, bound_args: inspect.BoundArguments, instance: Any = None, parent_span_id: Any = None, **more: Any
    ) -> BaseSpan:
        self.spans.ids.append(id_)
        self.spans.parents[id_] = parent_span_id
        return BaseSpan(id_=id_, parent_id=parent_span_id)

    def prepare_to_exit_span(self, id_: str, bound_args: Any, instance: Any = None, result: Any = None, **more: Any) -> Any:
        self.spans.ended[id_] += 1
        return self.open_spans.get(id_)

    def prepare_to_drop_span(self, id_: str, bound_args: Any, instance: Any = None, err: Any = None, **more: Any) -> Any:
        self.spans.dropped.append(id_)
        self.spans.ended[id_] += 1
        return self.open_spans.get(id_)


@contextmanager
def watching() -> Iterator[Spans]:
    handlers, spans = get_dispatcher().span_handlers, Spans()
    writer = Writer()
    writer.spans = spans
    handlers.append(writer)
    try:
        yield spans
    finally:
        handlers.remove(writer)


@each_way
async def test_the_models_spans_lie_within_the_wrappers(how: str) -> None:
    llm, _, _ = escalating()
    with watching() as spans:
        await ask(llm, how)
    (ours,) = spans.of("FrugalLLM.")
    theirs = spans.of("Fake.")
    assert spans.name(ours) == f"FrugalLLM.{how}"
    assert spans.parents[ours] is None
    assert len(theirs) == 2
    assert [spans.parents[id_] for id_ in theirs] == [ours, ours], "beside one another, not one in the other"
    assert set(spans.ended.values()) == {1}
    assert not spans.dropped


@each_way_in
async def test_no_models_span_is_an_orphan(way: str) -> None:
    llm = frugal(small(reply(way, "draft"), sure=0.1), large(reply(way, "answer")))
    with watching() as spans:
        await WAYS[way](llm)
    theirs = spans.of("Fake.")
    asked = [id_ for id_ in theirs if spans.name(id_).rsplit(".")[-1] in {"chat", "achat", "stream_chat", "astream_chat"}]
    assert len(asked) == 2
    above = {next((id for id in spans.ancestors(id_) if id.startswith("FrugalLLM.")), None) for id_ in theirs}
    assert len(above) == 1, "one and the same span of the wrapper's"
    assert None not in above
    assert set(spans.ended.values()) == {1}
    assert set(spans.ended) == set(spans.ids)


@each_way_in
async def test_a_method_has_one_span_a_call(way: str) -> None:
    llm = frugal(small(reply(way, "answer")), large(reply(way, "answer")))
    with watching() as spans:
        await WAYS[way](llm)
    assert max(Counter(spans.name(id_) for id_ in spans.of("FrugalLLM.")).values()) == 1


@each_way
async def test_the_events_of_a_query_belong_to_its_span(how: str) -> None:
    llm, _, _ = escalating()
    with watching() as spans, listening() as events:
        await ask(llm, how)
    (ours,) = spans.of("FrugalLLM.")
    (told,) = [event for event in events if isinstance(event, FrugalDecisionEvent)]
    assert told.span_id == ours
    starts = [event.span_id for event in events if isinstance(event, LLMChatStartEvent)]
    assert starts == spans.of("Fake.")


@pytest.mark.parametrize("how", ["stream_chat", "stream_complete"])
@pytest.mark.parametrize("make", [accepting, escalating])
def test_whoever_reads_a_stream_keeps_his_own_span(how: str, make: Any) -> None:
    llm, _, _ = make()
    with watching() as spans:
        pieces = getattr(llm, how)("hi" if "complete" in how else [ChatMessage("hi")])
        token = active_span_id.set("reader")
        try:
            for _ in pieces:
                assert active_span_id.get() == "reader"
                active_span_id.set("reader")
            assert active_span_id.get() == "reader"
        finally:
            active_span_id.reset(token)
    (ours,) = spans.of("FrugalLLM.")
    assert {spans.parents[id_] for id_ in spans.of("Fake.")} == {ours}


@pytest.mark.parametrize("how", ["astream_chat", "astream_complete"])
@pytest.mark.parametrize("make", [accepting, escalating])
async def test_whoever_reads_an_async_stream_keeps_his_own_span(how: str, make: Any) -> None:
    llm, _, _ = make()
    with watching() as spans:
        pieces = await getattr(llm, how)("hi" if "complete" in how else [ChatMessage("hi")])
        token = active_span_id.set("reader")
        try:
            async for _ in pieces:
                assert active_span_id.get() == "reader"
            assert active_span_id.get() == "reader"
        finally:
            active_span_id.reset(token)
    (ours,) = spans.of("FrugalLLM.")
    assert {spans.parents[id_] for id_ in spans.of("Fake.")} == {ours}


@each_way
async def test_a_failing_query_drops_its_span_and_leaves_no_span_active(how: str) -> None:
    llm = frugal(small(TimeoutError("slow")), large(TimeoutError("slow")))
    with watching() as spans, pytest.raises(TimeoutError):
        await ask(llm, how)
    assert active_span_id.get() is None
    assert set(spans.ended) == set(spans.ids)
    if "stream" not in how:
        assert spans.of("FrugalLLM.")[0] in spans.dropped


@each_way
async def test_where_no_span_handler_listens_the_wrapper_opens_no_span(how: str) -> None:
    """Seen from its scorer, which runs inside of it and outside of any model."""
    seen: list[str | None] = []

    def score(query: Any, answer: Any) -> float:
        seen.append(active_span_id.get())
        return 0.9

    llm = frugal(small(), large(), scorer=score)
    await ask(llm, how)
    with watching() as spans:
        await ask(llm, how)
    await ask(llm, how)
    assert seen == [None, spans.of("FrugalLLM.")[0], None]
    assert active_span_id.get() is None


async def test_a_span_handler_is_heard_as_soon_as_it_is_added() -> None:
    llm, _, _ = accepting()
    await ask(llm, "achat")
    with watching() as spans:
        await ask(llm, "achat")
    assert len(spans.of("FrugalLLM.achat")) == 1
    before = len(spans.ids)
    await ask(llm, "achat")
    assert len(spans.ids) == before


# --- at the same time ---


def echo(model: str) -> Fake:
    """Answers with what it was asked, and with a usage that tells it."""

    def said(messages: Any) -> ChatResponse:
        question = messages[-1].content
        raw = {"choices": [{"finish_reason": "stop"}], "usage": used(int(question))}
        return ChatResponse(message=ChatMessage(f"{model} {question}", role="assistant"), raw=raw)

    return Fake(model=model, reply=said)


def used(number: int) -> dict[str, int]:
    return {"prompt_tokens": 1000 + number, "completion_tokens": 1}


def even(query: Any, answer: Any) -> float:
    """Sure of even numbers."""
    return float(int(query.text) % 2 == 0)


def checked(number: int, response: Any) -> None:
    text = response.message.content if hasattr(response, "message") else response.text
    tier = "small" if number % 2 == 0 else "large"
    assert text == f"{tier} {number}"
    steps = decision(response)["steps"]
    assert decision(response)["tier"] == tier
    assert len(steps) == (1 if tier == "small" else 2)
    assert steps[0]["input_tokens"] == 1000 + number


@each_way
async def test_queries_at_once_do_not_mix_their_decisions(how: str) -> None:
    llm = frugal(echo("small"), echo("large"), scorer=even)

    async def one(number: int) -> None:
        checked(number, await ask(llm, how, str(number)))

    if how.startswith("a"):
        await asyncio.gather(*map(one, range(40)))
    else:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: asyncio.run(one(number)), range(40)))


class Meeting(Fake):
    """Answers once all questions are there."""

    meet: Any = None

    def chat(self, messages: Any, **kwargs: Any) -> Any:
        self.meet.wait(10)
        return super().chat(messages, **kwargs)

    async def achat(self, messages: Any, **kwargs: Any) -> Any:
        await self.meet.wait()
        return await super().achat(messages, **kwargs)


def number(messages: Any) -> ChatResponse:
    """The number that was asked for, with a usage that tells it."""
    value = int(messages[-1].content.split()[-1].rstrip("."))
    raw = {"choices": [{"finish_reason": "tool_calls"}], "usage": used(value)}
    return ChatResponse(message=calls_tool("Number", {"value": value}), raw=raw)


class Gate:
    """`asyncio.Barrier`, which Python 3.10 has not."""

    def __init__(self, many: int) -> None:
        self._missing, self._open = many, asyncio.Event()

    async def wait(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._open.set()
        await self._open.wait()


def own_usage(query: Any, answer: Any) -> float:
    return float(answer.usage.input_tokens == 1000 + answer.parsed.value)


@pytest.mark.parametrize("way", ["threads", "gather"])
async def test_structured_queries_at_once_overhear_their_own_models_only(way: str) -> None:
    """The usage of each is read off responses overheard on the side: a neighbour's would make the scorer doubt."""
    many = 6
    meet = threading.Barrier(many) if way == "threads" else Gate(many)
    llm = frugal(Meeting(model="small", reply=number, meet=meet), large(), scorer=own_usage)
    with listening() as events:
        if way == "threads":
            with ThreadPoolExecutor(many) as pool:
                values = list(pool.map(lambda which: llm.structured_predict(Number, PROMPT, what=str(which)), range(many)))
        else:
            values = await asyncio.gather(*(llm.astructured_predict(Number, PROMPT, what=str(which)) for which in range(many)))
    assert [value.value for value in values] == list(range(many))
    steps = [event.decision["steps"] for event in events if isinstance(event, FrugalDecisionEvent)]
    assert sorted(step["input_tokens"] for (step,) in steps) == [1000 + which for which in range(many)]
    assert {step["output_tokens"] for (step,) in steps} == {1}, "each response is counted once"
    assert {step["estimated"] for (step,) in steps} == {False}


async def test_a_reader_of_a_structured_stream_may_call_models_that_are_not_charged_to_it() -> None:
    llm, other = frugal(large(NUMBER)), small("something else")
    with listening() as events:
        for _ in llm.stream_structured_predict(Number, PROMPT, what="it"):
            other.chat([ChatMessage("hi")])
        async for _ in await llm.astream_structured_predict(Number, PROMPT, what="it"):
            await other.achat([ChatMessage("hi")])
    told = [event.decision for event in events if isinstance(event, FrugalDecisionEvent)]
    assert [one["cost_usd"] for one in told] == [pytest.approx(6e-5)] * 2
    assert len(other.log) >= 2


async def test_streams_read_in_turns_do_not_mix() -> None:
    llm = frugal(echo("small"), echo("large"), scorer=even)
    streams = [llm.stream_chat([ChatMessage(str(number))]) for number in range(6)]
    lasts: dict[int, Any] = {}
    while len(lasts) < 12 and streams:
        for number, pieces in enumerate(streams):
            piece = next(pieces, None)
            if piece is not None:
                lasts[number] = piece
        if all(inspect.getgeneratorstate(pieces) == "GEN_CLOSED" for pieces in streams):  # type: ignore[arg-type]
            break
    for number, last in lasts.items():
        assert decision(last)["tier"] == ("small" if number % 2 == 0 else "large")
        assert last.message.content.endswith(f" {number}")


async def test_no_wrapper_remembers_a_query() -> None:
    llm: FrugalLLM = escalating()[0]
    first = await ask(llm, "chat", "one")
    again = await ask(llm, "chat", "two")
    assert decision(first) is not decision(again)
    assert (await stream(llm, "stream_chat"))[-1].additional_kwargs["frugal"] != {}
