"""One model object, many threads and tasks: every answer keeps its own decision, and what is cancelled stays cancelled."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import ConfigurableField
from pydantic import BaseModel

from frugal_core.types import Answer, Query
from langchain_frugal import BudgetedThreshold, Cascade, ChatFrugal
from lc import PRICES, USAGE, Fake, Recorder, calls_tool, collect, decision, frugal, heard_by, joined, large, small

THREADS, QUERIES = 8, 2_000


class Echo(Fake):
    """Says its name and the question, and no more than that."""

    asked: int = 0

    def _answer(self, how: str, messages: Any, stop: Any, kwargs: Any) -> AIMessage:
        with self.log.lock:
            self.asked += 1
        return AIMessage(f"{self.model} {messages[-1].content}", usage_metadata=USAGE)  # type: ignore[arg-type]


def even_is_easy(query: Query, answer: Answer) -> float:
    return 1.0 - int(answer.text.split(" ")[1]) % 2


def echoes(**settings: Any) -> tuple[ChatFrugal, Echo, Echo]:
    first, last = Echo(model="small"), Echo(model="large")
    return frugal(first, last, scorer=even_is_easy, **settings), first, last


def in_threads(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """The results of as many threads that set out together."""
    start = threading.Barrier(count)

    def run(number: int) -> Any:
        start.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def right(number: int, message: AIMessage) -> bool:
    """Whether an answer is the one to that question, and its decision too."""
    tier = "large" if number % 2 else "small"
    return (
        message.text == f"{tier} {number}"
        and decision(message)["tier"] == tier
        and len(decision(message)["steps"]) == 1 + number % 2
    )


# --- threads ---


def test_every_answer_keeps_its_own_decision() -> None:
    llm, first, last = echoes()

    def work(thread: int) -> int:
        numbers = range(thread * QUERIES, (thread + 1) * QUERIES)
        return sum(right(number, llm.invoke([HumanMessage(str(number))])) for number in numbers)

    assert in_threads(work) == [QUERIES] * THREADS
    assert (first.asked, last.asked) == (THREADS * QUERIES, THREADS * QUERIES // 2)


def test_every_way_of_asking_at_once() -> None:
    llm, first, last = echoes()

    def work(thread: int) -> bool:
        numbers = list(range(thread * 100, thread * 100 + 40))
        texts = [str(number) for number in numbers]
        match thread % 4:
            case 0:
                answers = llm.batch(texts)
            case 1:
                answers = [joined(list(llm.stream(text))) for text in texts]
            case 2:
                answers = asyncio.run(llm.abatch(texts))
            case _:
                answers = [asyncio.run(llm.ainvoke(text)) for text in texts]
        return all(right(number, answer) for number, answer in zip(numbers, answers, strict=True))

    assert in_threads(work) == [True] * THREADS
    assert (first.asked, last.asked) == (THREADS * 40, THREADS * 20)


def test_the_dynamic_threshold_counts_every_query_once() -> None:
    threshold = BudgetedThreshold(0.25)
    llm = ChatFrugal(
        [Echo(model="small"), Echo(model="large")], policy=Cascade(lambda query, answer: 0.5, threshold), prices=PRICES
    )
    tiers = in_threads(lambda thread: Counter(decision(llm.invoke(str(number)))["tier"] for number in range(250)))
    total = sum(tiers, Counter())
    state = threshold.export()
    assert state["seen"] == THREADS * 250
    assert len(state["scores"]["0"]) == THREADS * 250
    assert state["large"] == total["large"]
    assert total["large"] / THREADS / 250 == pytest.approx(0.25, abs=0.02)


def test_a_cache_under_threads() -> None:
    llm, first, _ = echoes(cache=InMemoryCache())
    found = in_threads(lambda thread: [llm.invoke(str(number)).text for number in range(50)])
    assert all(texts == found[0] for texts in found)
    assert first.asked <= THREADS * 50
    before = first.asked
    llm.batch([str(number) for number in range(50)])
    assert first.asked == before


def test_copies_made_in_threads_learn_together() -> None:
    """Each call of a configurable model makes a copy."""
    llm = ChatFrugal([Echo(model="small"), Echo(model="large")], call_large=0.5, scorer=even_is_easy, prices=PRICES)
    configurable: Any = llm.configurable_fields(call_large=ConfigurableField(id="share"))
    config: Any = {"configurable": {"share": 0.25}}
    in_threads(lambda thread: [configurable.invoke(str(number), config) for number in range(25)])
    policies = [made for _, made in llm.shared.values() if isinstance(made, Cascade)]
    seen = sorted(policy.threshold.export()["seen"] for policy in policies)  # type: ignore[attr-defined]
    assert seen == [0, THREADS * 25]


def test_tools_and_structures_beside_plain_questions() -> None:
    class Number(BaseModel):
        """A number."""

        value: int

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    first = small(calls_tool("Number", {"value": 7}))
    llm = frugal(first, large(), threshold=0.0)
    structured, bound = (
        llm.with_structured_output(Number),
        llm.bind_tools([add]),
    )  # core's conversion of functions is not for threads

    def work(thread: int) -> Any:
        match thread % 3:
            case 0:
                return [structured.invoke("hi") for _ in range(20)] == [Number(value=7)] * 20
            case 1:
                return all(bound.invoke("hi").tool_calls for _ in range(20))
            case _:
                return all(decision(llm.invoke("hi"))["tier"] == "small" for _ in range(20))

    assert all(in_threads(work))
    assert len(first.log) == THREADS * 20
    offered = Counter(len(call.kwargs.get("tools", ())) for call in first.log.calls)
    assert offered == {1: 120, 0: 40}


def test_handlers_of_one_thread_hear_nothing_of_another() -> None:
    llm, _, _ = echoes()

    def work(thread: int) -> bool:
        recorder = Recorder()
        for number in range(20):
            llm.invoke(str(number), heard_by(recorder))
        return recorder.models == [model for number in range(20) for model in (["small", "large"] if number % 2 else ["small"])]

    assert all(in_threads(work))


# --- tasks ---


async def test_thousands_of_tasks() -> None:
    llm, first, last = echoes()
    answers = await asyncio.gather(*(llm.ainvoke(str(number)) for number in range(2_000)))
    assert all(right(number, answer) for number, answer in enumerate(answers))
    assert (first.asked, last.asked) == (2_000, 1_000)


async def test_streams_side_by_side() -> None:
    llm = frugal(small(sure=0.1), large(lambda messages: f"to {messages[-1].text} this"))
    found = await asyncio.gather(*(collect(llm.astream(str(number))) for number in range(50)))
    assert [joined(chunks).text for chunks in found] == [f"to {number} this" for number in range(50)]


# --- cancellation ---


class Stuck(Fake):
    """Never answers."""

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        self.log.add(running=1)
        try:
            await asyncio.Event().wait()
        finally:
            self.log.add(running=-1, closed=1)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self.log.add(running=1)
        try:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
                await asyncio.Event().wait()
        finally:
            self.log.add(running=-1)


async def until(condition: Callable[[], Any]) -> None:
    """Let the others run until it holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("how", ["ainvoke", "abatch", "astream"])
async def test_after_a_cancellation_no_later_model_is_called(how: str) -> None:
    stuck, last, recorder = Stuck(model="small"), large(), Recorder()
    llm = frugal(stuck, last)
    config = heard_by(recorder)
    asking: dict[str, Callable[[], Any]] = {
        "ainvoke": lambda: llm.ainvoke("hi", config),
        "abatch": lambda: llm.abatch(["hi", "ho"], config),
        "astream": lambda: collect(llm.astream("hi", config)),
    }
    task = asyncio.ensure_future(asking[how]())
    await until(lambda: stuck.log.running == (2 if how == "abatch" else 1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (stuck.log.running, len(last.log)) == (0, 0)
    await until(lambda: all(run.ended == 1 for run in recorder.of("chain")))  # core itself leaves a cancelled model's run open
    assert {type(run.error) for run in recorder.of("chain")} == {asyncio.CancelledError}


async def test_a_cancelled_stream_closes_the_last_model() -> None:
    stuck = Stuck(model="large")
    llm = frugal(small(sure=0.1), stuck)
    chunks = []

    async def read() -> None:
        async for chunk in llm.astream("hi"):
            chunks.append(chunk)

    task = asyncio.create_task(read())
    await until(lambda: chunks)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: (stuck.log.running, stuck.log.closed) == (0, 1))


async def test_one_cancelled_task_leaves_the_others_alone() -> None:
    class Sometimes(Stuck):
        async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            if messages[-1].text == "stuck":
                return await super()._agenerate(messages)
            return await Fake._agenerate(self, messages)

    first = Sometimes(model="small", sure=0.1)
    llm = frugal(first, large())
    tasks = [asyncio.create_task(llm.ainvoke(text)) for text in ("a", "stuck", "b")]
    await until(lambda: tasks[0].done() and tasks[2].done())
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["AIMessage", "CancelledError", "AIMessage"]


async def test_what_was_set_aside_for_a_cancelled_call_is_given_back() -> None:
    threshold = BudgetedThreshold(usd=5e-5)
    llm = ChatFrugal([small(), Stuck(model="large")], policy=Cascade(lambda query, answer: None, threshold), prices=PRICES)
    stuck: Any = llm._runner.tiers[1].model
    task = asyncio.create_task(llm.ainvoke("hi"))
    await until(lambda: stuck.log.running == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threshold.export()["spent"] == pytest.approx(6e-6)
    assert threshold._reserved == pytest.approx(0.0)


def test_an_interruption_from_the_keyboard_is_no_failure_of_a_model() -> None:
    recorder, last = Recorder(), large()
    with pytest.raises(KeyboardInterrupt):
        frugal(small(KeyboardInterrupt()), last, escalate_on=Exception).invoke("hi", heard_by(recorder))
    assert len(last.log) == 0
    assert [run.ended for run in recorder.runs.values()] == [1, 1]


async def test_leaving_a_v3_stream() -> None:
    last = large("one two three")
    stream = frugal(small(sure=0.1), last).stream_events("hi", version="v3")
    assert next(iter(stream.text)) == "one"
    del stream
    gc.collect()  # core's stream and its pump refer to each other
    assert last.log.closed == 1
