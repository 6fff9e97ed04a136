"""LangChain's LLM cache in front of a cascade: it answers however the cascade is called, and never what was not asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.outputs import Generation
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from langchain_frugal import ChatFrugal, Single
from lc import (
    HOWS,
    PRICES,
    USAGE,
    Fake,
    Recorder,
    accepting,
    ask,
    calls_tool,
    decision,
    escalating,
    frugal,
    heard_by,
    joined,
    large,
    reasons,
    small,
)

each_way = pytest.mark.parametrize("how", HOWS)


@pytest.fixture
def global_cache() -> Iterator[InMemoryCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


class Counting(BaseRateLimiter):
    """Counts."""

    def __init__(self) -> None:
        self.acquired = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.acquired += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


# --- hits ---


@each_way
@pytest.mark.parametrize("before", ["invoke", "astream", "abatch"])
async def test_the_second_time_nobody_is_asked(how: str, before: str) -> None:
    llm, first, last = escalating(cache=InMemoryCache())
    missed = await ask(llm, before, "hi")
    hit = await ask(llm, how, "hi")
    assert (len(first.log), len(last.log)) == (1, 1)
    assert (decision(missed)["cache"], decision(hit)["cache"]) == ("miss", "hit")
    assert hit.content == missed.content
    assert (decision(hit)["cost_usd"], decision(hit)["steps"], decision(hit)["tier"]) == (0.0, [], None)
    assert decision(hit)["policy"] == "cascade"
    assert hit.usage_metadata == {**USAGE, "total_cost": 0}
    assert hit.id is None
    assert isinstance(hit, AIMessageChunk) == (how in {"stream", "astream"})
    assert isinstance(missed, AIMessageChunk) == (before == "astream")


@each_way
async def test_the_global_cache(how: str, global_cache: InMemoryCache) -> None:
    llm, first, last = accepting()
    await ask(llm, how)
    hit = await ask(llm, how)
    assert (len(first.log), len(last.log)) == (1, 0)
    assert decision(hit)["cache"] == "hit"


@each_way
async def test_switched_off(how: str, global_cache: InMemoryCache) -> None:
    first = small(cache=False)
    llm = frugal(first, large(cache=False), cache=False)
    assert decision(await ask(llm, how))["cache"] == "off"
    await ask(llm, how)
    assert len(first.log) == 2


def test_true_means_the_global_cache(global_cache: InMemoryCache) -> None:
    llm, first, _ = accepting(cache=True)
    llm.invoke("hi")
    assert decision(llm.invoke("hi"))["cache"] == "hit"
    set_llm_cache(None)
    with pytest.raises(ValueError, match="no cache is set"):
        llm.invoke("hi")
    assert len(first.log) == 1


def test_without_a_cache_there_is_none() -> None:
    llm, first, _ = accepting()
    assert decision(llm.invoke("hi"))["cache"] == "off"
    llm.invoke("hi")
    assert len(first.log) == 2


def test_a_hit_is_a_fresh_copy() -> None:
    llm, _, _ = accepting(cache=InMemoryCache())
    llm.invoke("hi").response_metadata["logprobs"]["content"].clear()
    one, other = llm.invoke("hi"), llm.invoke("hi")
    assert one is not other
    one.response_metadata["frugal"]["cost_usd"] = 99
    one.response_metadata["model_name"] = "changed"
    assert decision(llm.invoke("hi"))["cost_usd"] == 0.0
    assert llm.invoke("hi").response_metadata["model_name"] == "small"


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_hit_streams_as_one_last_chunk(how: str) -> None:
    llm, _, _ = escalating(cache=InMemoryCache())
    llm.invoke("hi")
    chunks = list(llm.stream("hi")) if how == "stream" else [chunk async for chunk in llm.astream("hi")]
    (chunk,) = chunks
    assert isinstance(chunk, AIMessageChunk)
    assert (chunk.text, chunk.chunk_position) == ("the large answer", "last")
    assert joined(chunks).usage_metadata == {**USAGE, "total_cost": 0}


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_hits_and_misses_in_one_batch(how: str) -> None:
    llm, first, _ = accepting(cache=InMemoryCache())
    first.reply = lambda messages: f"echo {messages[-1].text}"
    llm.invoke("b")
    inputs: list[Any] = ["a", "b", "c"]
    recorder = Recorder()
    answers = llm.batch(inputs, heard_by(recorder)) if how == "batch" else await llm.abatch(inputs, heard_by(recorder))
    assert [decision(answer)["cache"] for answer in answers] == ["miss", "hit", "miss"]
    assert [answer.text for answer in answers] == ["echo a", "echo b", "echo c"]
    assert first.log.batches == [2]
    assert [len(recorder.of("chain")), len(recorder.of("chat"))] == [3, 2]
    assert all(run.ended == 1 for run in recorder.runs.values())


@each_way
async def test_a_hit_counts_no_tokens(how: str) -> None:
    llm, _, _ = accepting(cache=InMemoryCache())
    await ask(llm, how)
    with get_usage_metadata_callback() as counter:
        await ask(llm, how)
    assert sum(usage["total_tokens"] for usage in counter.usage_metadata.values()) == 0


async def test_a_native_async_cache_is_awaited() -> None:
    class Native(InMemoryCache):
        awaited = 0

        async def alookup(self, prompt: str, llm_string: str) -> Any:
            self.awaited += 1
            return super().lookup(prompt, llm_string)

        async def aupdate(self, prompt: str, llm_string: str, return_val: Any) -> None:
            self.awaited += 1
            super().update(prompt, llm_string, return_val)

    cache = Native()
    llm, _, _ = accepting(cache=cache)
    for how in ("ainvoke", "astream", "abatch"):
        await ask(llm, how)
    assert cache.awaited == 4


def test_a_cache_that_keeps_text_only() -> None:
    class TextOnly(BaseCache):
        def lookup(self, prompt: str, llm_string: str) -> Any:
            return [Generation(text="from the cache")]

        def update(self, prompt: str, llm_string: str, return_val: Any) -> None: ...

        def clear(self, **kwargs: Any) -> None: ...

    llm, first, _ = accepting(cache=TextOnly())
    message = llm.invoke("hi")
    assert (message.text, decision(message)["cache"], len(first.log)) == ("from the cache", "hit", 0)


@each_way
async def test_a_models_own_cache_makes_its_answer_free(how: str) -> None:
    first = small(cache=InMemoryCache())
    llm = frugal(first, large())
    if how in {"stream", "astream"}:  # a draft is not streamed, so it is looked up all the same
        llm.invoke("hi")
    else:
        await ask(llm, how)
    message = await ask(llm, how)
    assert len(first.log) == 1
    assert (decision(message)["cost_usd"], decision(message)["cache"]) == (0.0, "off")
    assert reasons(message) == [("small", "confident")]


# --- what a hit must not be ---


def shares(cache: InMemoryCache, one: Any, other: Any, input: Any = "hi", second: Any = None) -> bool:
    """Whether the second is answered from what the first put into the cache."""
    one.invoke(input)
    return bool(decision(other.invoke(input if second is None else second))["cache"] == "hit")


def pairs() -> dict[str, tuple[ChatFrugal, ChatFrugal, InMemoryCache]]:
    """Cascades that differ in one thing."""
    cache = InMemoryCache()
    plain: dict[str, Any] = {"threshold": 0.5, "prices": PRICES, "cache": cache}
    adaptive: dict[str, Any] = {"prices": PRICES, "cache": cache}
    other_models = {
        "models": ([small(), large()], [small("other"), large()]),
        "order": ([small(), small("b"), large()], [small("b"), small(), large()]),
        "number": ([small(), large()], [small()]),
        "temperature": ([small(), large()], [small(temperature=1), large()]),
        "binding": ([small(), large()], [small().bind(seed=1), large()]),
        "closures": ([answering("a"), large()], [answering("b"), large()]),
        "chains": ([PROMPT | small("a"), large()], [PROMPT | small("b"), large()]),
    }
    prices = {**PRICES, "RunnableLambda": (1, 1), "RunnableSequence": (1, 1)}
    found = {
        name: (ChatFrugal(one, **{**plain, "prices": prices}), ChatFrugal(other, **{**plain, "prices": prices}))
        for name, (one, other) in other_models.items()
    }
    settings: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "threshold": (plain, {**plain, "threshold": 0.6}),
        "scorer": (plain, {**plain, "scorer": lambda query, answer: 1.0}),
        "functions": ({**plain, "scorer": lambda query, answer: 1.0}, {**plain, "scorer": lambda query, answer: 0.0}),
        "on_missing": (plain, {**plain, "on_missing": "accept"}),
        "call_large": ({**adaptive, "call_large": 0.2}, {**adaptive, "call_large": 0.4}),
        "policy": ({**adaptive, "policy": Single(0)}, {**adaptive, "policy": Single(1)}),
        "output_version": (plain, {**plain, "output_version": "v1"}),
    }
    found |= {
        name: (ChatFrugal([small(), large()], **one), ChatFrugal([small(), large()], **other))
        for name, (one, other) in settings.items()
    }
    return {name: (one, other, cache) for name, (one, other) in found.items()}


def answering(text: str) -> RunnableLambda[Any, AIMessage]:
    return RunnableLambda(lambda messages: AIMessage(text, response_metadata={"finish_reason": "stop"}))


PROMPT = RunnableLambda(lambda messages: {"m": messages}) | ChatPromptTemplate.from_messages([("placeholder", "{m}")])


@pytest.mark.filterwarnings("ignore::langchain_frugal.FrugalWarning")  # of chains without log-probabilities
@pytest.mark.parametrize("difference", pairs())
def test_cascades_that_differ_share_nothing(difference: str) -> None:
    one, other, cache = pairs()[difference]
    assert not shares(cache, one, other)
    assert decision(one.invoke("hi"))["cache"] == "hit", "of course it finds its own"
    assert decision(other.invoke("hi"))["cache"] == "hit"


def test_equal_cascades_share() -> None:
    cache = InMemoryCache()
    one, other = (frugal(small(), large(), cache=cache) for _ in range(2))
    assert shares(cache, one, other)


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream", "batch", "abatch"])
async def test_a_rejected_draft_is_never_served_from_the_cache(how: str, global_cache: InMemoryCache) -> None:
    """The draft stands in the global cache too, under its own model's key."""
    llm, first, last = escalating()
    await ask(llm, how)
    assert (await ask(llm, how)).text == "the large answer"
    trusting = frugal(first, last, threshold=0.0)
    assert (await ask(trusting, how)).text == "SECRET draft words"
    assert (await ask(llm, how)).text == "the large answer"


def test_what_is_asked_makes_a_difference() -> None:
    llm, first, _ = accepting(cache=InMemoryCache())
    inputs: list[Any] = [
        "hi",
        "Hi",
        [SystemMessage("Be brief."), HumanMessage("hi")],
        [SystemMessage("Be long."), HumanMessage("hi")],
        [HumanMessage("ho"), AIMessage("what?"), HumanMessage("hi")],
        [HumanMessage([{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "a"}}])],
        [HumanMessage([{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "b"}}])],
    ]
    for _ in range(2):
        for input in inputs:
            llm.invoke(input)
    assert len(first.log) == len(inputs)


def test_how_it_is_asked_makes_a_difference() -> None:
    llm, first, _ = accepting(cache=InMemoryCache())

    def subtract(a: int, b: int) -> int:
        """Subtract."""
        return a - b

    asked: list[Any] = [
        llm,
        llm.bind(stop=["."]),
        llm.bind(temperature=1),
        llm.bind_tools([add]),
        llm.bind_tools([subtract]),
        llm.bind_tools([add], tool_choice="any"),
        llm.bind_tools([add], parallel_tool_calls=False),
        llm.bind_tools([{"type": "web_search_preview"}]),
        llm.bind_tools([{"type": "code_interpreter"}]),
    ]
    for _ in range(2):
        for runnable in asked:
            runnable.invoke("hi")
    assert len(first.log) == len(asked)


def test_ids_make_no_difference() -> None:
    llm, first, _ = accepting(cache=InMemoryCache())
    for number in range(3):
        llm.invoke([HumanMessage("hi", id=f"id-{number}")])
    assert len(first.log) == 1


def test_media_whose_blocks_get_random_ids_hit_all_the_same() -> None:
    llm, first, _ = accepting(cache=InMemoryCache())
    for _ in range(2):
        audio = {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}
        llm.invoke(
            [
                HumanMessage(content_blocks=[audio]),
                HumanMessage(content=[{"type": "file", "base64": "AA", "mime_type": "application/pdf"}]),
            ]
        )
    assert len(first.log) == 1


def test_a_copy_with_other_settings_has_its_own_entries() -> None:
    llm, first, last = accepting(cache=InMemoryCache())
    llm.invoke("hi")
    _ = llm._serialized  # core caches it on first use
    strict = llm.model_copy(update={"threshold": 1.0})
    assert strict.invoke("hi").text == "the large answer"
    assert strict._get_llm_string() != llm._get_llm_string()
    assert (len(first.log), len(last.log)) == (2, 1)


# --- what is kept ---


@each_way
async def test_failures_are_not_kept(how: str) -> None:
    last = large(ConnectionError("cut"))
    llm = frugal(small(sure=0.1), last, cache=InMemoryCache())
    with pytest.raises(ConnectionError):
        await ask(llm, how)
    last.reply = "well again"
    assert (await ask(llm, how)).text == "well again"
    assert decision(await ask(llm, how))["cache"] == "hit"


@each_way
async def test_tool_calls_come_back_from_the_cache(how: str) -> None:
    wish = calls_tool("add", {"a": 1, "b": 2})
    llm = frugal(small(wish), large(), cache=InMemoryCache()).bind_tools([add])
    await ask(llm, how)
    hit = await ask(llm, how)
    assert decision(hit)["cache"] == "hit"
    assert hit.tool_calls == wish.tool_calls


@each_way
async def test_a_stream_that_was_left_is_not_kept(how: str) -> None:
    llm, _, _ = escalating(cache=InMemoryCache())
    stream = llm.stream("hi")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    message = await ask(llm, how)
    assert (message.text, decision(message)["cache"]) == ("the large answer", "miss")


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_stream_that_was_left_with_its_last_chunk_is_kept(how: str) -> None:
    llm, _, last = escalating(cache=InMemoryCache())
    if how == "stream":
        for chunk in llm.stream("hi"):
            if chunk.chunk_position == "last":
                break
    else:
        async for chunk in llm.astream("hi"):
            if chunk.chunk_position == "last":
                break
    assert decision(llm.invoke("hi"))["cache"] == "hit"
    assert len(last.log) == 1


@each_way
async def test_blocks_in_standard_form_come_back(how: str) -> None:
    llm, first, _ = accepting(cache=InMemoryCache(), output_version="v1")
    missed, hit = await ask(llm, how), await ask(llm, how)
    assert hit.content == missed.content
    assert hit.content[0]["type"] == "text"
    assert len(first.log) == 1


# --- rate limits ---


@each_way
async def test_the_rate_limiter_is_acquired_once_per_query_and_not_for_hits(how: str) -> None:
    limiter = Counting()
    llm, _, _ = escalating(rate_limiter=limiter, cache=InMemoryCache())
    await ask(llm, how)
    assert limiter.acquired == 1
    await ask(llm, how)
    assert limiter.acquired == 1
    await ask(llm, how, "ho")
    assert limiter.acquired == 2


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_the_rate_limiter_in_a_batch(how: str) -> None:
    limiter = Counting()
    llm, _, _ = escalating(rate_limiter=limiter, cache=InMemoryCache())
    llm.invoke("b")
    inputs: list[Any] = ["a", "b", "c"]
    _ = llm.batch(inputs) if how == "batch" else await llm.abatch(inputs)
    assert limiter.acquired == 3


@each_way
async def test_the_models_own_limiters_are_their_own(how: str) -> None:
    own, whole = Counting(), Counting()
    first = Fake(model="small", sure=0.1, rate_limiter=own)
    await ask(frugal(first, large(), rate_limiter=whole), how)
    assert (own.acquired, whole.acquired) == (1, 1)


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_structured_output_uses_the_cache_given_to_the_wrapper(how: str) -> None:
    class Number(BaseModel):
        """A number."""

        value: int

    first = small(calls_tool("Number", {"value": 7}))
    structured: Any = frugal(first, large(), cache=InMemoryCache()).with_structured_output(Number)
    assert [(await ask(structured, "seven", how)).value for _ in range(2)] == [7, 7]
    assert len(first.log) == 1


@pytest.mark.parametrize("how", HOWS)
async def test_a_tiers_own_cache_hit_costs_nothing_even_without_usage(how: str) -> None:
    """Core marks such a hit by a usage of nothing but `total_cost`."""
    tier = FakeListChatModel(responses=["Paris"], cache=InMemoryCache())
    llm = ChatFrugal(
        [tier, large()], scorer=lambda query, answer: 1.0, threshold=0.5, prices={**PRICES, "FakeListChatModel": (1, 1)}
    )
    first, second = [decision(await ask(llm, how, "hi"))["steps"][0] for _ in range(2)]
    assert first["cost_usd"] > 0
    assert second["cost_usd"] == 0
    assert first["estimated"]
    assert second["estimated"]
    assert second["input_tokens"] == first["input_tokens"] > 0


@pytest.mark.parametrize("how", HOWS)
async def test_a_hit_on_an_answer_without_usage(how: str) -> None:
    tiers = [FakeListChatModel(responses=["Paris"]), large()]
    prices = {**PRICES, "FakeListChatModel": (1, 1)}
    llm = ChatFrugal(tiers, scorer=lambda query, answer: 1.0, threshold=0.5, prices=prices, cache=InMemoryCache())
    await ask(llm, "invoke", "hi")
    hit = await ask(llm, how, "hi")
    assert (hit.content, decision(hit)["cache"], decision(hit)["cost_usd"]) == ("Paris", "hit", 0.0)
