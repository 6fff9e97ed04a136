"""The semantic cache in front of `ChatFrugal`: it answers in every call shape, and only what it may."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from langchain_core.runnables import ConfigurableField
from pydantic import BaseModel

from caching import cache
from frugal_core.cache import SemanticCache, cache_options
from frugal_core.errors import ConfigurationError
from langchain_frugal import ChatFrugal
from langchain_frugal._convert import to_chunk
from lc import (
    HOWS,
    PRICES,
    USAGE,
    Fake,
    Recorder,
    accepting,
    ask,
    calls_tool,
    collect,
    decision,
    escalating,
    frugal,
    heard_by,
    joined,
    large,
    small,
)

each_way = pytest.mark.parametrize("how", HOWS)
QUESTION = "What is the capital of France?"
NEAR = "What is the capital city of France?"


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def tenant(name: str, **more: Any) -> Any:
    """A config that says whose call it is."""
    return {"configurable": {"cache_namespace": name, **more}}


# --- hits ---


@each_way
@pytest.mark.parametrize("before", ["invoke", "astream", "abatch"])
async def test_the_same_question_is_answered_from_the_cache(how: str, before: str) -> None:
    llm, first, last = escalating(cache=cache())
    missed, hit = await ask(llm, before, QUESTION), await ask(llm, how, QUESTION)
    assert (len(first.log), len(last.log)) == (1, 1)
    assert (decision(missed)["cache"], decision(hit)["cache"]) == ("miss", "hit")
    assert decision(missed)["cache_key"] == decision(hit)["cache_key"]
    assert (hit.content, hit.id) == (missed.content, None)
    assert hit.usage_metadata == {**USAGE, "total_cost": 0}
    assert (decision(hit)["cost_usd"], decision(hit)["steps"], decision(hit)["similarity"]) == (0.0, [], 1.0)
    assert decision(hit)["saved_usd"] == decision(missed)["baseline_cost_usd"] > 0
    assert decision(hit)["cache_age_s"] >= 0


@each_way
async def test_a_near_question_is_answered_too(how: str) -> None:
    llm, first, _ = accepting(cache=cache())
    await ask(llm, how, QUESTION)
    hit = await ask(llm, how, NEAR)
    assert len(first.log) == 1
    assert 0.8 < decision(hit)["similarity"] < 1


@each_way
async def test_a_far_question_is_not(how: str) -> None:
    llm, first, _ = accepting(cache=cache())
    await ask(llm, how, QUESTION)
    missed = await ask(llm, how, "How do magnets work?")
    assert (len(first.log), decision(missed)["cache"], decision(missed)["similarity"]) == (2, "miss", None)


def test_guards_veto_and_say_so() -> None:
    llm, first, _ = accepting(cache=cache(guards=[lambda asked, cached: "no two are alike"]))
    llm.invoke(QUESTION)
    missed = llm.invoke(NEAR)
    assert len(first.log) == 2
    assert "no two are alike" in decision(missed)["cache_notes"][0]


@pytest.mark.parametrize("how", ["generate", "agenerate"])
async def test_generate(how: str) -> None:
    llm, first, _ = accepting(cache=cache())
    messages: list[Any] = [[HumanMessage(QUESTION)]]
    for _ in range(2):
        result = llm.generate(messages) if how == "generate" else await llm.agenerate(messages)
    assert len(first.log) == 1
    generation: Any = result.generations[0][0]
    assert decision(generation.message)["cache"] == "hit"


def test_a_hit_is_a_fresh_copy() -> None:
    llm, _, _ = accepting(cache=cache())
    llm.invoke(QUESTION).response_metadata["logprobs"]["content"].clear()
    one = llm.invoke(QUESTION)
    one.response_metadata["logprobs"]["content"].clear()
    assert llm.invoke(QUESTION).response_metadata["logprobs"]["content"]


def test_a_url_names_the_store() -> None:
    llm, _, _ = accepting(cache="memory://")
    assert isinstance(llm.cache, SemanticCache)
    with pytest.raises(ConfigurationError, match="names no store"):
        accepting(cache="nowhere://")


@pytest.mark.parametrize("given", [7, object(), dict])
def test_what_is_no_cache_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no cache: give a SemanticCache"):
        accepting(cache=given)
    llm, _, _ = accepting()
    llm.cache = given
    with pytest.raises(ConfigurationError, match="is no cache"):
        llm.invoke(QUESTION)


# --- streams, events and traces ---


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_hit_is_replayed_as_a_stream(how: str) -> None:
    llm, _, _ = accepting(cache=cache())
    llm.invoke(QUESTION)
    chunks = list(llm.stream(QUESTION)) if how == "stream" else await collect(llm.astream(QUESTION))
    assert [chunk.content for chunk in chunks] == ["the ", "small ", "answer", ""]
    assert [chunk.chunk_position for chunk in chunks] == [None, None, None, "last"]
    assert ["frugal" in chunk.response_metadata for chunk in chunks] == [False, False, False, True]


@pytest.mark.parametrize(
    "message",
    [AIMessage("  spaces \n\n and lines\t"), calls_tool("add", {"a": 1}), AIMessage([{"type": "text", "text": "a b"}])],
)
def test_a_replayed_stream_adds_up_to_the_message(message: AIMessage) -> None:
    llm = frugal(small(message), large(), cache=cache())
    llm.invoke(QUESTION)
    whole, sum_ = llm.invoke(QUESTION), joined(list(llm.stream(QUESTION)))
    expected = to_chunk(whole)
    for each in (expected, sum_):
        each.response_metadata["frugal"].pop("cache_age_s")
    assert sum_ == expected
    assert sum_.tool_calls == message.tool_calls


def test_a_hit_through_events() -> None:
    llm, first, _ = accepting(cache=cache())
    llm.invoke(QUESTION)
    stream = llm.stream_events(QUESTION, version="v3")
    assert "".join(stream.text) == "the small answer"
    assert len(first.log) == 1


@each_way
async def test_a_hit_is_a_chain_run_and_no_llm_run(how: str) -> None:
    llm, _, _ = accepting(cache=cache())
    llm.invoke(QUESTION)
    recorder = Recorder()
    with get_usage_metadata_callback() as usage:
        await ask(llm, how, QUESTION, heard_by(recorder))
    assert recorder.models == []
    (run,) = recorder.of("chain")
    assert decision(run.output)["cache"] == "hit"
    assert usage.usage_metadata == {}


# --- what makes a difference ---


def test_all_that_an_answer_depends_on_makes_a_difference() -> None:
    llm, first, _ = accepting(cache=cache())

    def subtract(a: int, b: int) -> int:
        """Subtract."""
        return a - b

    asked: list[Any] = [
        llm,
        llm.bind(stop=["."]),
        llm.bind(seed=1),
        llm.bind_tools([add]),
        llm.bind_tools([subtract]),
        llm.bind_tools([add], tool_choice="any"),
        llm.bind_tools([add], parallel_tool_calls=False),
        llm.bind_tools([{"type": "web_search_preview"}]),
        llm.bind_tools([{"type": "code_interpreter"}]),
        llm.model_copy(update={"threshold": 0.6}),
        llm.model_copy(update={"output_version": "v1"}),
    ]
    for _ in range(2):
        for runnable in asked:
            runnable.invoke(QUESTION)
    assert len(first.log) == len(asked)


def _image(url: str) -> HumanMessage:
    return HumanMessage([{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": url}}])


def _asked_twice(first: str, second: str) -> list[Any]:
    calls = [tool_call(name="add", args={"a": 1}, id="x"), tool_call(name="add", args={"a": 2}, id="y")]
    results = [ToolMessage("three", tool_call_id=first), ToolMessage("four", tool_call_id=second)]
    return [HumanMessage("hi"), AIMessage("", tool_calls=calls), *results]


CONVERSATIONS: list[Any] = [
    [HumanMessage(QUESTION)],
    [SystemMessage("be short"), HumanMessage(QUESTION)],
    [SystemMessage("be long"), HumanMessage(QUESTION)],
    [HumanMessage(QUESTION, name="alice")],
    [HumanMessage("hi"), AIMessage("yes?"), HumanMessage(QUESTION)],
    [HumanMessage("hi"), AIMessage("no."), HumanMessage(QUESTION)],
    [HumanMessage("hi"), SystemMessage("be short"), HumanMessage(QUESTION)],
    [SystemMessage("be short"), HumanMessage("hi"), HumanMessage(QUESTION)],
    [_image("a")],
    [_image("b")],
    _asked_twice("x", "y"),
    _asked_twice("y", "x"),
]


def test_conversations_are_told_apart() -> None:
    llm, first, _ = accepting(cache=cache())
    for _ in range(2):
        for conversation in CONVERSATIONS:
            llm.invoke(conversation)
    assert len(first.log) == len(CONVERSATIONS)


@pytest.mark.parametrize("conversation", CONVERSATIONS[1:])
def test_a_neighbour_answers_only_where_all_else_agrees(conversation: Any) -> None:
    llm, first, _ = accepting(cache=cache())
    llm.invoke(NEAR)
    llm.invoke(conversation)
    assert len(first.log) == 2


def test_ids_and_usage_of_the_history_make_no_difference() -> None:
    llm, first, _ = accepting(cache=cache())
    for number in range(3):
        turn = AIMessage(
            "yes?", id=f"a-{number}", usage_metadata={**USAGE, "input_tokens": number}, response_metadata={"n": number}
        )  # type: ignore[typeddict-item]
        llm.invoke([HumanMessage("hi", id=f"h-{number}"), turn, HumanMessage(QUESTION, id=f"i-{number}")])
    assert len(first.log) == 1


def test_blocks_with_random_ids_hit_all_the_same() -> None:
    llm, first, _ = accepting(cache=cache())
    for number in range(2):
        audio: Any = {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav", "id": f"lc_{number}"}
        file = {"type": "file", "base64": "AA", "mime_type": "application/pdf"}
        llm.invoke([HumanMessage(content_blocks=[audio]), HumanMessage([file])])
    assert len(first.log) == 1
    llm.invoke([HumanMessage([{"type": "file", "file_id": "another"}])])
    llm.invoke([HumanMessage([{"type": "file", "id": "mine-1"}])])
    llm.invoke([HumanMessage([{"type": "file", "id": "mine-2"}])])
    assert len(first.log) == 4


def test_what_a_config_chooses_makes_a_difference() -> None:
    tier: Any = small().configurable_fields(temperature=ConfigurableField(id="heat"))
    prices: Any = {**PRICES, "RunnableConfigurableFields": (1, 1)}
    llm = frugal(tier, large(), scorer=lambda query, answer: 1.0, prices=prices, cache=cache())
    for _ in range(2):
        assert [decision(llm.invoke(QUESTION, {"configurable": {"heat": heat}}))["cache"] for heat in (0, None)] in (
            ["miss", "miss"],
            ["hit", "hit"],
        )


def test_an_argument_that_is_no_plain_data_is_not_cached() -> None:
    llm, first, _ = accepting(cache=cache())
    for _ in range(2):
        assert decision(llm.invoke(QUESTION, hook=object()))["cache"] == "off"
    assert len(first.log) == 2


# --- options ---


@each_way
async def test_a_call_may_leave_the_cache_out(how: str) -> None:
    llm, first, _ = accepting(cache=cache())
    await ask(llm, how, QUESTION)
    left_out = [
        await ask(llm, how, QUESTION, no_cache=True),
        await ask(llm, how, QUESTION, {"configurable": {"no_cache": True}}),
    ]
    with cache_options(no_cache=True):
        left_out.append(await ask(llm, how, QUESTION))
    assert [decision(each)["cache"] for each in left_out] == ["off"] * 3
    assert len(first.log) == 4
    assert all("no_cache" not in call.kwargs for call in first.log.calls)


@each_way
async def test_a_call_may_renew_what_is_cached(how: str) -> None:
    llm, first, _ = accepting(cache=cache())
    await ask(llm, how, QUESTION)
    first.reply = "newer"
    assert (await ask(llm, how, QUESTION, refresh=True)).text == "newer"
    assert (await ask(llm, how, QUESTION)).text == "newer"
    first.reply = "newest"
    assert (await ask(llm, how, QUESTION, {"configurable": {"refresh_cache": True}})).text == "newest"
    assert len(first.log) == 3


@each_way
async def test_tenants_never_share(how: str) -> None:
    llm, first, _ = accepting(cache=cache())
    for _ in range(2):
        for name in ("a", "b"):
            await ask(llm, how, QUESTION, tenant(name))
        await ask(llm, how, QUESTION)
    assert len(first.log) == 3


def test_tags_and_documents_come_with_the_config() -> None:
    own = cache()
    llm, _, _ = accepting(cache=own)
    llm.invoke(QUESTION, tenant("a", cache_tags=["geo"], cache_documents=["atlas"], cache_ttl_s=60))
    (entry,) = own.store.scan()
    assert (entry.namespace, entry.tags, entry.documents) == ("a", ("geo",), ("atlas",))
    assert entry.expires_s is not None
    assert own.invalidate(tag="geo") == 1


def test_a_call_says_more_than_its_config_and_that_more_than_the_block_around() -> None:
    llm, first, _ = accepting(cache=cache())
    with cache_options(namespace="b"):
        llm.invoke(QUESTION, tenant("a"))
    assert decision(llm.invoke(QUESTION, tenant("a", no_cache=True), no_cache=False))["cache"] == "hit"
    with pytest.raises(ConfigurationError, match="no_cache='yes'"):
        llm.invoke(QUESTION, no_cache="yes")
    assert len(first.log) == 1


@pytest.mark.parametrize("option", ["no_cache", "refresh"])
def test_the_arguments_of_the_cache_never_reach_a_model(option: str) -> None:
    llm, first, _ = accepting()
    llm.invoke(QUESTION, **{option: True})
    assert option not in first.log.calls[0].kwargs


# --- what is kept ---


@pytest.mark.parametrize(
    ("reply", "kept"),
    [
        ("Paris", True),
        ("I'm sorry, but I can't help with that.", False),
        (AIMessage("Par", response_metadata={"finish_reason": "length"}), False),
        (AIMessage("Paris", additional_kwargs={"odd": object()}), False),
    ],
)
def test_what_should_not_be_served_again_is_not_kept(reply: Any, kept: bool) -> None:
    own = cache()
    model = large(reply)
    llm = ChatFrugal([model], policy=None, prices=PRICES, cache=own)
    for _ in range(2):
        llm.invoke(QUESTION)
    assert len(model.log) == (1 if kept else 2)


@pytest.mark.parametrize("given", ["model", "call", "wrapper"])
def test_sampled_answers_are_not_kept(given: str) -> None:
    first = small(temperature=0.7) if given == "model" else small()
    llm = frugal(first, large(), cache=cache(), **({"temperature": 0.7} if given == "wrapper" else {}))
    for _ in range(2):
        llm.invoke(QUESTION, **({"temperature": 0.7} if given == "call" else {}))
    stats = llm.cache.stats()
    assert stats.kept_out == {"sampled": 2}


@each_way
async def test_failures_let_the_next_one_ask(how: str) -> None:
    last = large(ConnectionError("cut"))
    llm = frugal(small(sure=0.1), last, cache=cache(wait_s=1e-3))
    with pytest.raises(ConnectionError):
        await ask(llm, how, QUESTION)
    last.reply = "well again"
    assert (await ask(llm, how, QUESTION)).text == "well again"
    assert decision(await ask(llm, how, QUESTION))["cache"] == "hit"
    assert not llm.cache._flights._flying


@pytest.mark.parametrize("how", ["stream", "astream"])
@pytest.mark.parametrize("complete", [False, True])
async def test_a_stream_that_was_left_is_kept_only_when_it_was_whole(how: str, complete: bool) -> None:
    llm, _, last = escalating(cache=cache())
    if how == "stream":
        stream = llm.stream(QUESTION)
        for chunk in stream:
            if chunk.chunk_position == "last" or not complete:
                break
        stream.close()  # type: ignore[attr-defined]
    else:
        astream = llm.astream(QUESTION)
        async for chunk in astream:
            if chunk.chunk_position == "last" or not complete:
                break
        await astream.aclose()  # type: ignore[attr-defined]
    assert not llm.cache._flights._flying
    assert decision(llm.invoke(QUESTION))["cache"] == ("hit" if complete else "miss")
    assert len(last.log) == (1 if complete else 2)


async def test_a_cancelled_call_lets_the_next_one_ask() -> None:
    reached, never = asyncio.Event(), asyncio.Event()

    class Stuck(Fake):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            reached.set()
            await never.wait()

    llm = ChatFrugal([Stuck(model="large")], prices=PRICES, cache=cache())
    task = asyncio.create_task(llm.ainvoke(QUESTION))
    await reached.wait()
    assert llm.cache._flights._flying
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not llm.cache._flights._flying


def test_tool_calls_come_back_for_the_same_question_alone() -> None:
    wish = calls_tool("add", {"a": 1, "b": 2})
    first = small(wish)
    llm = frugal(first, large(), cache=cache()).bind_tools([add])
    llm.invoke(QUESTION)
    assert llm.invoke(QUESTION).tool_calls == wish.tool_calls
    llm.invoke(NEAR)
    assert len(first.log) == 2


def test_an_answer_that_cannot_be_read_any_more_is_asked_for_anew() -> None:
    own = cache()
    llm, first, _ = accepting(cache=own)
    llm.invoke(QUESTION)
    from dataclasses import replace

    (entry,) = own.store.scan()
    own.store.put(replace(entry, payload="{"))
    message = llm.invoke(QUESTION)
    assert (decision(message)["cache"], len(first.log)) == ("miss", 2)
    assert decision(llm.invoke(QUESTION))["cache"] == "hit"


# --- many at once ---


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_a_batch_asks_each_question_once_and_embeds_in_one_call(how: str) -> None:
    own = cache()
    llm, first, _ = accepting(cache=own)
    llm.invoke("How do magnets work?")
    inputs: list[Any] = [QUESTION, "How do magnets work?", "Who wrote Faust?", QUESTION, QUESTION]
    embedder: Any = own.embedder
    before = len(embedder.embedder._batch.__self__.calls)
    messages = llm.batch(inputs) if how == "batch" else await llm.abatch(inputs)
    assert [decision(message)["cache"] for message in messages] == ["miss", "hit", "miss", "hit", "hit"]
    assert first.log.batches == [2]
    assert len(embedder.embedder._batch.__self__.calls) == before + 1
    assert len(own._flights._flying) == 0


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_a_failure_in_a_batch_keeps_nobody_waiting(how: str) -> None:
    def reply(messages: Any) -> Any:
        return ValueError("broken") if messages[-1].text == "bad" else "fine"

    llm = frugal(small(reply), large(reply), cache=cache(), escalate_on=ConnectionError)
    inputs: list[Any] = ["bad", "good", "bad", "good", 7]
    if how == "batch":
        results: list[Any] = llm.batch(inputs, return_exceptions=True)
    else:
        results = await llm.abatch(inputs, return_exceptions=True)
    assert [type(result).__name__ for result in results] == [
        "ValueError",
        "AIMessage",
        "ValueError",
        "AIMessage",
        "ConfigurationError",
    ]
    with pytest.raises(ValueError, match="broken"):
        _ = llm.batch(inputs[:4]) if how == "batch" else await llm.abatch(inputs[:4])
    assert not llm.cache._flights._flying


async def test_tasks_that_ask_the_same_cost_one_call() -> None:
    reached, begun = asyncio.Event(), asyncio.Event()

    class Slow(Fake):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            reached.set()
            await begun.wait()
            return await super()._agenerate(*args, **kwargs)

    model = Slow(model="large")
    llm = ChatFrugal([model], prices=PRICES, cache=cache())
    tasks = [asyncio.create_task(llm.ainvoke(QUESTION)) for _ in range(5)]
    await reached.wait()
    begun.set()
    messages = await asyncio.gather(*tasks)
    assert sorted(decision(message)["cache"] for message in messages) == ["hit"] * 4 + ["miss"]
    assert len(model.log) == 1


def test_threads_that_ask_the_same_cost_one_call() -> None:
    gate = threading.Event()

    def reply(messages: Any) -> str:
        gate.wait(10)
        return "late"

    model = large(reply)
    llm = ChatFrugal([model], prices=PRICES, cache=cache())
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(llm.invoke(QUESTION))) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert len(model.log) == 1
    assert sorted(decision(message)["cache"] for message in found) == ["hit"] * 3 + ["miss"]


# --- structured output ---


class Number(BaseModel):
    """A number."""

    value: int


class Figure(BaseModel):
    """A figure."""

    value: int


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "batch", "abatch"])
@pytest.mark.parametrize("include_raw", [False, True])
async def test_structured_values_come_back_as_values(how: str, include_raw: bool) -> None:
    first = small(calls_tool("Number", {"value": 7}))
    llm = frugal(first, large(), cache=cache())
    for _ in range(2):  # a schema bound anew finds what was kept
        structured: Any = llm.with_structured_output(Number, include_raw=include_raw)
        for _ in range(2):
            found = await ask(structured, how, QUESTION)
            value = found["parsed"] if include_raw else found
            assert value == Number(value=7)
            assert isinstance(value, Number)
    assert len(first.log) == 1
    if include_raw:
        assert decision(found["raw"])["cache"] == "hit"
        assert found["parsing_error"] is None


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_structured_values_stream_from_the_cache(how: str) -> None:
    first = small(calls_tool("Number", {"value": 7}))
    structured: Any = frugal(first, large(), cache=cache()).with_structured_output(Number)
    for _ in range(2):
        chunks = list(structured.stream(QUESTION)) if how == "stream" else await collect(structured.astream(QUESTION))
        assert chunks == [Number(value=7)]
    assert len(first.log) == 1


def test_a_structured_hit_is_no_llm_run() -> None:
    structured: Any = frugal(small(calls_tool("Number", {"value": 7})), large(), cache=cache()).with_structured_output(Number)
    structured.invoke(QUESTION)
    recorder = Recorder()
    structured.invoke(QUESTION, heard_by(recorder))
    assert [run.kind for run in recorder.runs.values()] == ["chain"]


def test_schemas_methods_and_plain_answers_are_told_apart() -> None:
    first = small(AIMessage("", tool_calls=[tool_call(name="Number", args={"value": 7}, id="1")]))
    last = large(AIMessage("", tool_calls=[tool_call(name="Figure", args={"value": 7}, id="1")]))
    llm = frugal(first, last, cache=cache())
    asked: list[Any] = [
        llm.with_structured_output(Number),
        llm.with_structured_output(Figure),
        llm.with_structured_output(Number, strict=True),
        llm,
    ]
    for _ in range(2):
        values = [runnable.invoke(QUESTION) for runnable in asked]
    assert values[:3] == [Number(value=7), Figure(value=7), Number(value=7)]
    assert len(first.log) == 4


def test_what_cannot_be_parsed_is_not_kept() -> None:
    first, last = small(calls_tool("Number", {"value": "x"})), large(calls_tool("Number", {"value": "y"}))
    structured: Any = frugal(first, last, cache=cache()).with_structured_output(Number, include_raw=True)
    for _ in range(2):
        assert structured.invoke(QUESTION)["parsing_error"] is not None
    assert len(last.log) == 2


# --- warming up ---


def test_known_answers_can_be_put_in_beforehand() -> None:
    llm, first, _ = accepting(cache=cache())
    rows: list[Any] = [
        ("What are your opening hours?", "9 to 5"),
        ([SystemMessage("be short"), HumanMessage("Where are you?")], AIMessage("Here.")),
    ]
    assert llm.warm_cache(rows) == 2
    assert llm.invoke("What are your opening hours?").text == "9 to 5"
    assert llm.invoke("What are the opening hours?").text == "9 to 5"
    assert llm.invoke([SystemMessage("be short"), HumanMessage("Where are you?")]).text == "Here."
    assert len(first.log) == 0


def test_known_answers_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "known.jsonl"
    path.write_text(
        '{"question": "Hours?", "answer": "9 to 5"}\n\n'
        '{"messages": [["system", "s"], ["human", "Where?"]], "answer": "Here."}\n'
    )
    llm, first, _ = accepting(cache=cache())
    with cache_options(namespace="a"):
        assert llm.warm_cache(path) == 2
    assert llm.invoke("Hours?", tenant("a")).text == "9 to 5"
    assert llm.invoke([("system", "s"), ("human", "Where?")], tenant("a")).text == "Here."
    llm.invoke("Hours?")
    assert len(first.log) == 1


def test_warming_up_needs_a_cache_and_rows(tmp_path: Any) -> None:
    llm, _, _ = accepting()
    with pytest.raises(ConfigurationError, match="has no semantic cache"):
        llm.warm_cache([("a", "b")])
    llm, _, _ = accepting(cache=cache())
    with pytest.raises(ConfigurationError, match="row 1"):
        llm.warm_cache([("a", "b"), ("a",)])  # type: ignore[list-item]
    path = tmp_path / "known.jsonl"
    path.write_text('{"question": "Hours?"}\n')
    with pytest.raises(ConfigurationError, match="line 1"):
        llm.warm_cache(path)
