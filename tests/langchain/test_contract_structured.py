"""Structured output: each model by its provider's own method, and what cannot be parsed goes to the next."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from pydantic import BaseModel, ValidationError
from typing_extensions import TypedDict

from frugal_core.types import Answer, Call, Query
from langchain_frugal import ChatFrugal
from langchain_frugal.playground import ChatPlayground
from lc import (
    USAGE,
    Fake,
    Recorder,
    ToollessFake,
    accepting,
    calls_tool,
    collect,
    decision,
    escalating,
    frugal,
    heard_by,
    large,
    reasons,
    small,
    wired,
)

HOWS = ("invoke", "ainvoke", "stream", "astream", "batch", "abatch")
each_way = pytest.mark.parametrize("how", HOWS)


class Larger(BaseModel):
    """The larger number."""

    value: int


class LargerDict(TypedDict):
    """The larger number."""

    value: int


SCHEMA = {
    "title": "Larger",
    "description": "The larger number.",
    "type": "object",
    "properties": {"value": {"type": "integer"}},
    "required": ["value"],
}
VALUES = [(Larger, Larger(value=3)), (LargerDict, {"value": 3}), (SCHEMA, {"value": 3})]
each_schema = pytest.mark.parametrize(("schema", "value"), VALUES, ids=["pydantic", "TypedDict", "JSON schema"])


def says(value: Any, name: str = "Larger") -> AIMessage:
    return calls_tool(name, {"value": value})


async def ask(runnable: Runnable[Any, Any], how: str, config: Any = None) -> Any:
    """One value; the last of a stream, or none."""
    if how in {"batch", "abatch"}:
        return (runnable.batch(["hi"], config) if how == "batch" else await runnable.abatch(["hi"], config))[0]
    if how == "stream":
        return [None, *runnable.stream("hi", config)][-1]
    if how == "astream":
        return [None, *await collect(runnable.astream("hi", config))][-1]
    return runnable.invoke("hi", config) if how == "invoke" else await runnable.ainvoke("hi", config)


# --- values ---


@each_way
@each_schema
@pytest.mark.parametrize("draft", [True, False])
async def test_the_value(how: str, schema: Any, value: Any, draft: bool) -> None:
    name = "LargerDict" if schema is LargerDict else "Larger"
    said = says(3, name)
    llm = frugal(small(said), large()) if draft else frugal(small(says(666, name), sure=0.1), large(said))
    assert await ask(llm.with_structured_output(schema), how) == value


@each_way
@each_schema
async def test_the_value_with_its_message(how: str, schema: Any, value: Any) -> None:
    name = "LargerDict" if schema is LargerDict else "Larger"
    llm = frugal(small(says(666, name), sure=0.1), large(says(3, name)))
    output = await ask(llm.with_structured_output(schema, include_raw=True), how)
    assert set(output) == {"raw", "parsed", "parsing_error"}
    assert (output["parsed"], output["parsing_error"]) == (value, None)
    assert output["raw"].usage_metadata == USAGE
    assert reasons(output["raw"]) == [("small", "unsure"), ("large", "last_tier")]


@each_way
async def test_the_keyword_arguments_reach_each_models_own_method(how: str) -> None:
    seen: list[Any] = []

    class Own(Fake):
        def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Any:
            seen.append((self.model, include_raw, kwargs))
            return super().with_structured_output(schema, include_raw=include_raw)

    first, last = Own(model="small", reply=says(1), sure=0.1), Own(model="large", reply=says(2))
    value = await ask(frugal(first, last).with_structured_output(Larger, method="json_schema", strict=True), how)
    assert value == Larger(value=2)
    assert {(model, raw, tuple(given.items())) for model, raw, given in seen} == {
        ("small", True, (("method", "json_schema"), ("strict", True))),
        ("large", True, (("method", "json_schema"), ("strict", True))),
    }


# --- what cannot be parsed ---


@each_way
@pytest.mark.parametrize("bad", [says("many"), AIMessage("just text")], ids=["wrong type", "no call"])
async def test_what_cannot_be_parsed_is_escalated_however_sure(how: str, bad: AIMessage) -> None:
    llm = frugal(small(bad, sure=1.0), large(says(3)), threshold=0.0)
    output = await ask(llm.with_structured_output(Larger, include_raw=True), how)
    assert output["parsed"] == Larger(value=3)
    assert reasons(output["raw"]) == [("small", "invalid"), ("large", "last_tier")]
    assert decision(output["raw"])["steps"][0]["error"]


@each_way
async def test_the_last_models_error_is_raised(how: str) -> None:
    llm = frugal(small(says("many")), large(says("lots")))
    with pytest.raises((OutputParserException, ValidationError), match="lots"):
        await ask(llm.with_structured_output(Larger), how)


@each_way
async def test_the_last_models_error_is_returned_with_its_message(how: str) -> None:
    llm = frugal(small(says("many")), large(says("lots")))
    output = await ask(llm.with_structured_output(Larger, include_raw=True), how)
    assert output["parsed"] is None
    assert "lots" in str(output["parsing_error"])
    assert reasons(output["raw"]) == [("small", "invalid"), ("large", "last_tier")]


@each_way
async def test_no_value_at_all_is_none_as_from_any_model(how: str) -> None:
    llm = frugal(small("text"), large("text"))
    expected = await ask(large("text").with_structured_output(Larger), how)
    assert await ask(llm.with_structured_output(Larger), how) is expected is None


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_an_unparsable_value_in_a_batch(how: str) -> None:
    llm = frugal(small("text"), large(lambda messages: says(messages[0].text)))
    structured: Any = llm.with_structured_output(Larger)
    inputs = ["1", "two", "3"]
    call: Any = structured.batch if how == "batch" else structured.abatch
    results = call(inputs, return_exceptions=True) if how == "batch" else await call(inputs, return_exceptions=True)
    assert (results[0], results[2]) == (Larger(value=1), Larger(value=3))
    assert isinstance(results[1], Exception)
    with pytest.raises((OutputParserException, ValidationError), match="two"):
        _ = call(inputs) if how == "batch" else await call(inputs)


# --- models that cannot ---


@each_way
async def test_a_model_without_structured_output_is_skipped(how: str) -> None:
    first = ToollessFake(model="small", reply=says(1))
    output = await ask(frugal(first, large(says(3))).with_structured_output(Larger, include_raw=True), how)
    assert output["parsed"] == Larger(value=3)
    assert reasons(output["raw"]) == [("small", "no_schema"), ("large", "last_tier")]
    assert len(first.log) == 0


def test_when_no_model_can() -> None:
    with pytest.raises(NotImplementedError, match="None of the models can do structured output"):
        frugal(ToollessFake(model="small"), ToollessFake(model="large")).with_structured_output(Larger)


# --- runs ---


@each_way
async def test_one_chat_run_with_the_format_when_the_draft_is_accepted(how: str) -> None:
    recorder = Recorder()
    llm = frugal(small(says(3)), large(says(4)))
    await ask(llm.with_structured_output(Larger), how, heard_by(recorder))
    (run,) = recorder.of("chat")
    assert run.options["ls_structured_output_format"]["schema"]["title" if "title" in str(run.options) else "name"]
    assert all(run.ended == 1 for run in recorder.runs.values())
    roots = [run for run in recorder.of("chain") if run.parent is None]
    assert [run.name for run in roots] == ["ChatFrugal"]


@each_way
async def test_tokens_are_counted_once(how: str) -> None:
    llm = frugal(small(says(3), sure=0.1), large(says(4)))
    with get_usage_metadata_callback() as counter:
        await ask(llm.with_structured_output(Larger), how)
    assert counter.usage_metadata == {"small": USAGE, "large": USAGE}


@each_way
async def test_tags_metadata_callbacks_and_name_are_the_models(how: str) -> None:
    recorder = Recorder()
    llm = frugal(small(says(3)), large(), callbacks=[recorder], tags=["own"], metadata={"team": "a"}, name="support")
    await ask(llm.with_structured_output(Larger), how, {"tags": ["given"], "run_name": "mine"})
    (run,) = recorder.of("chat")
    assert {"own", "given"} <= set(run.tags)
    assert run.metadata["team"] == "a"
    assert [run.name for run in recorder.of("chain") if run.parent is None] == ["mine"]
    recorder.runs.clear()
    await ask(llm.with_structured_output(Larger), how)
    assert [run.name for run in recorder.of("chain") if run.parent is None] == ["support"]


# --- streams ---


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_nothing_of_a_rejected_draft(how: str) -> None:
    structured: Any = frugal(small(says(666666666), sure=0.1), large(says(3))).with_structured_output(Larger)
    values = list(structured.stream("hi")) if how == "stream" else await collect(structured.astream("hi"))
    assert values[-1] == Larger(value=3)
    assert "666666666" not in repr(values)
    accepted: Any = frugal(small(says(3)), large()).with_structured_output(Larger)
    values = list(accepted.stream("hi")) if how == "stream" else await collect(accepted.astream("hi"))
    assert values == [Larger(value=3)]


# --- arguments ---


@each_way
async def test_what_was_bound_to_a_model_stays_bound(how: str) -> None:
    first, last = small(says(1), sure=0.1), large(says(3))
    llm = frugal(first.bind(seed=1), last.bind(seed=2))
    await ask(llm.with_structured_output(Larger), how)
    assert (first.log.calls[0].kwargs["seed"], last.log.calls[0].kwargs["seed"]) == (1, 2)
    assert "tools" in first.log.calls[0].kwargs


@each_way
async def test_arguments_of_a_call_reach_the_models(how: str) -> None:
    first, last = small(says(1), sure=0.1), large(says(3))
    llm = frugal(first.bind(temperature=0), last).with_structured_output(Larger)
    await ask(llm.bind(stop=["."], temperature=0.7), how)
    for model in (first, last):
        (call,) = model.log.calls
        assert (call.kwargs["stop"], call.kwargs["temperature"]) == (["."], 0.7)
        assert "tools" in call.kwargs


@each_way
async def test_samples_that_a_scorer_draws_are_warm(how: str) -> None:
    first = small(says(1))

    def consistency(query: Query, answer: Answer) -> Any:
        samples = (yield Call(answer.tier, query, purpose="score", n=2, temperature=1.0)).samples
        return sum(sample.parsed == answer.parsed for sample in samples) / 2

    llm = frugal(first.bind(temperature=0), large(), scorer=consistency)
    assert await ask(llm.with_structured_output(Larger), how) == Larger(value=1)
    assert [call.kwargs["temperature"] for call in first.log.calls] == [0, 1.0, 1.0]


@each_way
async def test_models_with_retries(how: str) -> None:
    first, last = small(says(1), sure=0.1), large(says(3))
    llm = frugal(first.with_retry(stop_after_attempt=2), last)
    assert await ask(llm.with_structured_output(Larger), how) == Larger(value=3)
    assert len(first.log) == 1


def test_structured_output_of_a_model_with_tools() -> None:
    """As from any model, the tools are gone."""

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    first = small(says(3))
    bound: Any = frugal(first, large()).bind_tools([add])
    assert bound.with_structured_output(Larger).invoke("hi") == Larger(value=3)
    assert [each["function"]["name"] for each in first.log.calls[0].kwargs["tools"]] == ["Larger"]


async def test_in_a_chain() -> None:
    llm = frugal(small(says(3)), large())
    chain = ChatPromptTemplate.from_template("{x}") | llm.with_structured_output(Larger) | (lambda larger: larger.value)
    assert chain.invoke({"x": "hi"}) == await chain.ainvoke({"x": "hi"}) == 3
    assert chain.batch([{"x": "a"}, {"x": "b"}]) == [3, 3]


def test_any_form_of_input() -> None:
    structured = frugal(small(says(3)), large()).with_structured_output(Larger)
    for input in (
        "hi",
        [("user", "hi")],
        [{"role": "user", "content": "hi"}],
        ChatPromptTemplate.from_template("hi").invoke({}),
    ):
        assert structured.invoke(input) == Larger(value=3)


def test_a_schema_that_is_none() -> None:
    llm, _, _ = accepting()
    with pytest.raises(ValueError, match=r"(?i)schema|function"):
        llm.with_structured_output({"no": "schema"})


def test_the_rate_limiter_is_acquired_once() -> None:
    from langchain_core.rate_limiters import BaseRateLimiter

    class Counting(BaseRateLimiter):
        acquired = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.acquired += 1
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            return self.acquire()

    limiter = Counting()
    llm, first, last = escalating(rate_limiter=limiter)
    first.reply, last.reply = says(1), says(3)
    llm.with_structured_output(Larger).invoke("hi")
    assert limiter.acquired == 1


# --- real models ---


@each_schema
@pytest.mark.parametrize(
    ("how", "method"), [("invoke", "json_schema"), ("abatch", "json_schema"), ("astream", "function_calling")]
)
async def test_the_playgrounds_models(how: str, schema: Any, value: Any, method: str) -> None:
    models = [ChatPlayground(model="playground-small"), ChatPlayground(model="playground-medium")]
    for threshold, tier in ((0.0, 0), (1.0, 1)):
        llm = ChatFrugal(models=models, threshold=threshold, scorer=lambda query, answer: 0.5)
        found = await ask(llm.with_structured_output(schema, method=method), how)
        assert found == models[tier].with_structured_output(schema, method=method).invoke("hi")
        assert isinstance(found, type(value))


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the client's own, on parsed answers
@each_way
async def test_real_clients_are_asked_for_logprobs(how: str) -> None:
    prices = {"playground-small": (0.05, 0.05), "playground-medium": (3, 3)}
    async with wired() as wire:
        models = [wire.client("playground-small"), wire.client("playground-medium")]
        value = await ask(ChatFrugal(models=models, threshold=1.0, prices=prices).with_structured_output(Larger), how)
        first, last = wire.server.requests
    assert isinstance(value, Larger)
    assert (first.body["logprobs"], last.body.get("logprobs")) == (True, None)
    assert first.body["response_format"]["type"] == last.body["response_format"]["type"] == "json_schema"
