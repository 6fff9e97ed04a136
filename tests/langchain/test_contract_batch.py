"""Batches in two phases: each model is handed all inputs that reach it at once, and nobody else's failure is anybody's."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from frugal_core.types import Answer, Call, Query
from langchain_frugal import ChatFrugal, ConfigurationError
from langchain_frugal.playground import ChatPlayground
from lc import Fake, Recorder, accepting, calls_tool, decision, escalating, frugal, heard_by, large, reasons, small

both_ways = pytest.mark.parametrize("how", ["batch", "abatch"])


async def batch(runnable: Any, how: str, inputs: list[Any], config: Any = None, **kwargs: Any) -> list[Any]:
    """All answers, in order."""
    return runnable.batch(inputs, config, **kwargs) if how == "batch" else await runnable.abatch(inputs, config, **kwargs)


def doubtful(word: str) -> Any:
    """Scores an answer with that word 0 and all others 1."""
    return lambda query, answer: 0.0 if word in answer.text else 1.0


def echo(messages: list[Any]) -> str:
    return f"echo {messages[-1].text}"


def sorting() -> tuple[ChatFrugal, Fake, Fake]:
    """Inputs with "hard" in them go to the last model."""
    first, last = small(echo), large(lambda messages: f"solved {messages[-1].text}")
    return frugal(first, last, scorer=doubtful("hard")), first, last


# --- rounds ---


@both_ways
async def test_one_batch_per_model_and_round(how: str) -> None:
    llm, first, last = sorting()
    answers = await batch(llm, how, ["a", "hard b", "c", "hard d", "hard e"])
    assert [answer.text for answer in answers] == ["echo a", "solved hard b", "echo c", "solved hard d", "solved hard e"]
    assert (first.log.batches, last.log.batches) == ([5], [3])
    assert (len(first.log), len(last.log)) == (5, 3)


@both_ways
async def test_nothing_deferred_nothing_asked(how: str) -> None:
    llm, _, last = accepting()
    await batch(llm, how, ["a", "b"])
    assert last.log.batches == []


@both_ways
async def test_three_models(how: str) -> None:
    first, middle, last = small(echo), Fake(model="mid", reply=echo), large(echo)
    llm = frugal(first, middle, last, scorer=lambda query, answer: float("abc".index(answer.text[-1]) <= answer.tier))
    answers = await batch(llm, how, ["c", "a", "b", "c"])
    assert [decision(answer)["tier"] for answer in answers] == ["large", "small", "mid", "large"]
    assert (first.log.batches, middle.log.batches, last.log.batches) == ([4], [3], [2])


@both_ways
async def test_a_thousand_inputs(how: str) -> None:
    llm, first, last = sorting()
    inputs = [f"hard {number}" if number % 3 == 0 else f"easy {number}" for number in range(1000)]
    answers = await batch(llm, how, inputs)
    assert [answer.text.split(" ", 1)[1] for answer in answers] == inputs
    assert [answer.text.split(" ")[0] for answer in answers] == [
        "solved" if number % 3 == 0 else "echo" for number in range(1000)
    ]
    assert (first.log.batches, last.log.batches) == ([1000], [334])
    assert all(decision(answer)["steps"][0]["tier"] == "small" for answer in answers)
    assert len({id(answer) for answer in answers}) == 1000


@both_ways
async def test_no_inputs(how: str) -> None:
    llm, first, _ = accepting()
    assert await batch(llm, how, []) == []
    assert first.log.batches == []


@both_ways
async def test_any_form_of_input(how: str) -> None:
    llm, _, _ = sorting()
    inputs = ["a", [("user", "b")], [{"role": "user", "content": "c"}], RunnableLambda(lambda x: x).invoke([AIMessage("d")])]
    assert [answer.text for answer in await batch(llm, how, inputs)] == ["echo a", "echo b", "echo c", "echo d"]


@both_ways
async def test_one_call_argument_for_all(how: str) -> None:
    llm, first, last = escalating()
    await batch(llm, how, ["a", "b"], stop=["."], seed=1)
    assert [call.kwargs for call in first.log.calls + last.log.calls] == [{"stop": ["."], "seed": 1}] * 4


# --- concurrency and configs ---


@both_ways
async def test_max_concurrency_holds(how: str) -> None:
    llm, first, last = escalating()
    await batch(llm, how, ["a"] * 12, {"max_concurrency": 3})
    assert first.log.most_running <= 3
    assert last.log.most_running <= 3
    assert [config[0]["max_concurrency"] for config in first.log.configs + last.log.configs] == [3, 3]


def test_a_batch_runs_in_parallel() -> None:
    meeting = threading.Barrier(4, timeout=30)

    def meet(messages: list[Any]) -> str:
        meeting.wait()
        return "met"

    assert [answer.text for answer in frugal(small(meet), large()).batch(["a"] * 4, {"max_concurrency": 4})] == ["met"] * 4


async def test_an_async_batch_runs_at_once() -> None:
    arrived, all_there = [], asyncio.Event()

    class Meeting(Fake):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            arrived.append(1)
            if len(arrived) == 4:
                all_there.set()
            await asyncio.wait_for(all_there.wait(), 30)
            return await super()._agenerate(*args, **kwargs)

    await frugal(Meeting(), large()).abatch(["a"] * 4)
    assert len(arrived) == 4


@both_ways
async def test_a_config_for_each_input(how: str) -> None:
    recorders = [Recorder(), Recorder(), Recorder()]
    llm, _, _ = sorting()
    configs = [heard_by(recorder, run_name=f"n{number}", metadata={"n": number}) for number, recorder in enumerate(recorders)]
    await batch(llm, how, ["a", "hard b", "c"], configs)
    assert [recorder.models for recorder in recorders] == [["small"], ["small", "large"], ["small"]]
    for number, recorder in enumerate(recorders):
        (wrapper,) = recorder.of("chain")
        assert wrapper.name == f"n{number}"
        assert {run.parent for run in recorder.of("chat")} == {wrapper.id}
        assert all(run.metadata["n"] == number and run.ended == 1 for run in recorder.runs.values())


@both_ways
async def test_a_wrong_number_of_configs(how: str) -> None:
    llm, first, _ = accepting()
    with pytest.raises(ValueError, match="config must be a list of the same length"):
        await batch(llm, how, ["a", "b"], [{}])
    assert len(first.log) == 0


# --- failures ---


def failing_on(word: str, error: Exception) -> Any:
    return lambda messages: error if word in messages[-1].text else echo(messages)


@both_ways
async def test_a_models_failure_escalates_its_inputs_only(how: str) -> None:
    first, last = small(failing_on("bad", TimeoutError("slow"))), large(echo)
    answers = await batch(frugal(first, last), how, ["a", "bad b", "c"])
    assert [decision(answer)["tier"] for answer in answers] == ["small", "large", "small"]
    assert reasons(answers[1]) == [("small", "failed"), ("large", "last_tier")]
    assert last.log.batches == [1]


@both_ways
async def test_the_first_failure_is_raised(how: str) -> None:
    recorder = Recorder()
    llm = frugal(small(failing_on("bad", ValueError("no luck"))), large())
    with pytest.raises(ValueError, match="no luck"):
        await batch(llm, how, ["a", "bad b", "c"], heard_by(recorder))
    assert all(run.ended == 1 for run in recorder.runs.values())


@both_ways
async def test_failures_are_returned_in_their_places(how: str) -> None:
    recorder = Recorder()
    error = ValueError("no luck")
    llm = frugal(small(failing_on("bad", error)), large(echo), scorer=doubtful("hard"))
    answers = await batch(llm, how, ["a", "bad b", "hard c"], heard_by(recorder), return_exceptions=True)
    assert answers[0].text == "echo a"
    assert answers[1] is error
    assert answers[2].text == "echo hard c"
    wrappers = recorder.of("chain")
    assert [run.error for run in wrappers] == [None, error, None]
    assert all(run.ended == 1 for run in recorder.runs.values())


@both_ways
async def test_a_failure_of_the_last_model_is_returned_too(how: str) -> None:
    llm = frugal(small(echo), large(failing_on("hard", ConnectionError("cut"))), scorer=doubtful("hard"))
    answers = await batch(llm, how, ["a", "hard b", "c"], return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["AIMessage", "ConnectionError", "AIMessage"]


@both_ways
async def test_an_answer_that_is_no_message_is_its_inputs_failure_alone(how: str) -> None:
    chain = RunnableLambda(lambda messages: {"no": "message"} if "bad" in messages[-1].text else echo(messages))
    llm = frugal(chain, prices={"RunnableLambda": (1, 1)})
    answers = await batch(llm, how, ["a", "bad b", "c"], return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["AIMessage", "ConfigurationError", "AIMessage"]
    with pytest.raises(ConfigurationError, match="answered with a dict"):
        await batch(llm, how, ["a", "bad b", "c"])


@both_ways
async def test_an_input_that_is_none_is_its_own_failure_alone(how: str) -> None:
    llm, _, _ = accepting()
    answers = await batch(llm, how, ["a", 5, []], return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["AIMessage", "ConfigurationError", "ConfigurationError"]
    with pytest.raises(ConfigurationError, match="Invalid input type"):
        await batch(llm, how, ["a", 5])


# --- samples ---


@both_ways
async def test_samples_that_a_scorer_draws(how: str) -> None:
    """A scorer that asks the model thrice more, at once."""
    first, last = small("x"), large()

    def consistency(query: Query, answer: Answer) -> Any:
        samples = (yield Call(answer.tier, query, purpose="score", n=3, temperature=1.0)).samples
        return sum(sample.text == answer.text for sample in samples) / 3

    answers = await batch(frugal(first, last, scorer=consistency), how, ["a", "b"])
    assert [reasons(answer) for answer in answers] == [[("small", "sample"), ("small", "confident")]] * 2
    assert len(first.log) == 8
    assert [call.kwargs.get("temperature") for call in first.log.calls].count(1.0) == 6
    single = frugal(small("x"), large(), scorer=consistency).invoke("a")
    assert [step["cost_usd"] for step in decision(single)["steps"]] == [
        step["cost_usd"] for step in decision(answers[0])["steps"]
    ]
    assert decision(single)["cost_usd"] == decision(answers[0])["cost_usd"]


# --- as completed ---


def test_batch_as_completed() -> None:
    llm, _, _ = sorting()
    answers: dict[int, Any] = dict(llm.batch_as_completed(["a", "hard b", "c"]))
    assert [answers[number].text for number in range(3)] == ["echo a", "solved hard b", "echo c"]


async def test_abatch_as_completed() -> None:
    llm, _, _ = sorting()
    answers: dict[int, Any] = {number: answer async for number, answer in llm.abatch_as_completed(["a", "hard b", "c"])}
    assert [answers[number].text for number in range(3)] == ["echo a", "solved hard b", "echo c"]


# --- bound, structured, real ---


@both_ways
async def test_bound_tools_in_a_batch(how: str) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    first, last = small("hard"), large(calls_tool("add", {"a": 1, "b": 2}))
    answers = await batch(frugal(first, last, scorer=doubtful("hard")).bind_tools([add]), how, ["a", "b"])
    assert (first.log.batches, last.log.batches) == ([2], [2])
    assert all(answer.tool_calls for answer in answers)


@both_ways
async def test_structured_output_in_a_batch(how: str) -> None:
    class Number(BaseModel):
        """A number."""

        value: int

    first = small(lambda messages: calls_tool("Number", {"value": messages[-1].text}))
    last = large(calls_tool("Number", {"value": 7}))
    structured = frugal(first, last).with_structured_output(Number)
    assert await batch(structured, how, ["1", "two", "3"]) == [Number(value=1), Number(value=7), Number(value=3)]
    assert (len(first.log), len(last.log)) == (3, 1)


@both_ways
async def test_a_batch_decides_as_single_calls_do(how: str) -> None:
    models = [ChatPlayground(model="playground-small"), ChatPlayground(model="playground-medium")]
    questions = ["What is 2 plus 3?", "What is 41 plus 17?", "Hello", "Which is larger, 3 or 88?"]
    llm = ChatFrugal(models=models, threshold=0.7)
    answers, singly = await batch(llm, how, questions), [llm.invoke(question) for question in questions]
    assert [answer.text for answer in answers] == [answer.text for answer in singly]
    assert [reasons(answer) for answer in answers] == [reasons(answer) for answer in singly]
    scores = [[step["score"] for step in decision(answer)["steps"]] for answer in answers]
    assert scores == [[step["score"] for step in decision(answer)["steps"]] for answer in singly]
