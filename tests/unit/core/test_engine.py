"""The drivers: what a flow is told, what is never called, and that everything is closed behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from core_builders import Script, abatch_of, ask, batch_of, in_every_way, make_query, recorded, says
from frugal_core.decision import Decision, Trace
from frugal_core.engine import Batch, Flow, adrive, adrive_many, adrive_stream, drive, drive_many, drive_stream
from frugal_core.policies import Cascade, Policy, Single
from frugal_core.types import Answer, Call, Query


class Watched(Policy):
    """Asks every tier in turn whatever happens, and writes down what it is told."""

    def __init__(self, *, final: bool = False) -> None:
        self.final = final
        self.told: list[str] = []

    def decide(self, query: Query) -> Flow:
        trace = Trace(self, query)
        answer = says("none")
        for tier in range(len(query.tiers)):
            try:
                answer = yield Call(tier, query, final=self.final)
                self.told.append(answer.text)
                trace.answered(answer, "routed", accepted=tier == len(query.tiers) - 1)
            except Exception as error:
                self.told.append(repr(error))
                trace.failed(tier, error)
            except GeneratorExit:
                self.told.append("closed")
                raise
        return trace.close(answer)


def cascade(**rest: Any) -> Cascade:
    return Cascade(recorded, 0.5, **rest)


# One query


def test_a_flow_is_told_answers_and_exceptions_and_goes_on() -> None:
    policy = Watched()
    decision, script = ask(policy, says("one"), ValueError("broken"), says("three"))
    assert policy.told == ["one", "ValueError('broken')", "three"]
    assert script.asked == [0, 1, 2]
    assert decision.answer.text == "three"


async def test_an_awaited_flow_is_told_the_same() -> None:
    policy, script = Watched(), Script([says("one"), ValueError("broken"), says("three")])
    decision = await adrive(policy.decide(make_query(3)), script.aperform)
    assert policy.told == ["one", "ValueError('broken')", "three"]
    assert decision.answer.text == "three"


def test_what_a_flow_does_not_handle_rises_as_it_is() -> None:
    error = ValueError("not mine")
    with pytest.raises(ValueError) as caught:
        ask(Single(0), error)
    assert caught.value is error


@pytest.mark.parametrize("how", ["drive", "drive_stream", "drive_many"])
def test_an_interrupt_closes_the_flow_and_asks_nobody_else(how: str) -> None:
    policy, asked = Watched(), []

    def interrupt(*call: Any) -> Any:
        asked.append(call)
        raise KeyboardInterrupt

    flow = policy.decide(make_query(3))
    drivers: dict[str, Callable[[], Any]] = {
        "drive": lambda: drive(flow, interrupt),
        "drive_stream": lambda: list(drive_stream(flow, interrupt, interrupt)),
        "drive_many": lambda: drive_many([flow], interrupt),
    }
    with pytest.raises(KeyboardInterrupt):
        drivers[how]()
    assert policy.told == ["closed"]
    assert len(asked) == 1


@pytest.mark.parametrize("how", ["adrive", "adrive_stream", "adrive_many"])
async def test_cancelling_a_call_closes_the_flow_and_asks_nobody_else(how: str) -> None:
    policy, asked, begun = Watched(), [], asyncio.Event()

    async def hang(*call: Any) -> Any:
        asked.append(call)
        begun.set()
        await asyncio.Event().wait()

    def stream(call: Call) -> AsyncIterator[Any]:
        raise AssertionError("no call of this flow is final")

    flow = policy.decide(make_query(3))
    if how == "adrive":
        task: asyncio.Task[Any] = asyncio.ensure_future(adrive(flow, hang))
    elif how == "adrive_many":
        task = asyncio.ensure_future(adrive_many([flow], hang))
    else:
        items = adrive_stream(flow, hang, stream)
        task = asyncio.ensure_future(items.__anext__())  # type: ignore[arg-type]
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert policy.told == ["closed"]
    assert len(asked) == 1


async def test_a_cancelled_cascade_calls_no_later_tier_even_if_every_failure_escalates() -> None:
    begun, asked = asyncio.Event(), []

    async def hang(call: Call) -> Answer:
        asked.append(call.tier)
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.ensure_future(adrive(cascade(escalate_on=[Exception]).decide(make_query(2)), hang))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked == [0]


def test_a_provider_that_raises_stopiteration_is_a_failed_call_like_any_other() -> None:
    for results, scripts in in_every_way(
        lambda: cascade(escalate_on=[StopIteration, RuntimeError]), [make_query(2)], [[StopIteration("odd"), says("Rome")]]
    ).values():
        assert results[0].answer.text == "Rome"
        assert scripts[0].asked == [0, 1]


def test_an_unhandled_stopiteration_is_no_decision() -> None:
    for results, _ in in_every_way(lambda: Single(0), [make_query(1)], [[StopIteration("odd")]]).values():
        assert isinstance(results[0], RuntimeError)


async def test_a_stream_that_raises_stopasynciteration_is_no_decision() -> None:
    async def stream(call: Call) -> AsyncIterator[Any]:
        yield "a"
        raise StopAsyncIteration

    with pytest.raises(RuntimeError):
        [item async for item in adrive_stream(Single(0).decide(make_query(1)), Script([]).aperform, stream)]


def test_an_interrupt_of_a_graph_is_no_failure_and_no_policy_hears_of_it() -> None:
    errors = pytest.importorskip("langgraph.errors")
    interrupt = errors.GraphInterrupt()
    for results, scripts in in_every_way(
        lambda: cascade(escalate_on=[Exception]), [make_query(2)] * 2, [[interrupt, says()], [says("fine", 0.9), says()]]
    ).values():
        assert results[0] is interrupt
        assert scripts[0].asked == [0]
        assert results[1].answer.text == "fine"
    policy = Watched()
    with pytest.raises(errors.GraphInterrupt):
        ask(policy, interrupt, says())
    assert policy.told == ["closed"]


# Streams


def test_only_the_final_call_is_streamed_and_the_decision_comes_last() -> None:
    script = Script([says("a draft", 0.1), says("the last word")])
    items = list(drive_stream(cascade().decide(make_query(2)), script.perform, script.stream))
    assert items[:-1] == ["the", "last", "word"]
    assert isinstance(items[-1], Decision)
    assert items[-1].answer.text == "the last word"


def test_an_accepted_draft_is_not_streamed() -> None:
    script = Script([says("sure enough", 0.9), says("the last word")])
    items = list(drive_stream(cascade().decide(make_query(2)), script.perform, script.stream))
    assert [type(item) for item in items] == [Decision]


def breaks(call: Call, error: Exception, *, after: int) -> Iterator[str | Answer]:
    for number in range(after):
        yield f"chunk{number}"
    raise error


async def abreaks(call: Call, error: Exception, *, after: int) -> AsyncIterator[str | Answer]:
    for chunk in breaks(call, error, after=after):
        yield chunk


@pytest.mark.parametrize("after", [1, 3])
def test_a_stream_that_breaks_after_its_first_chunk_is_not_replaced(after: int) -> None:
    policy, script, error = Watched(final=True), Script([says(), says()]), ConnectionError("reset")
    items = drive_stream(policy.decide(make_query(2)), script.perform, lambda call: breaks(call, error, after=after))
    seen = [next(items) for _ in range(after)]
    with pytest.raises(ConnectionError) as caught:
        next(items)
    assert caught.value is error
    assert seen == [f"chunk{n}" for n in range(after)]
    assert policy.told == ["closed"]
    assert script.asked == []


async def test_an_awaited_stream_that_breaks_after_its_first_chunk_is_not_replaced() -> None:
    policy, script = Watched(final=True), Script([says(), says()])
    items = adrive_stream(
        policy.decide(make_query(2)), script.aperform, lambda call: abreaks(call, ConnectionError("reset"), after=1)
    )
    assert await items.__anext__() == "chunk0"
    with pytest.raises(ConnectionError, match="reset"):
        await items.__anext__()
    assert policy.told == ["closed"]
    assert script.asked == []


def test_a_stream_that_breaks_before_its_first_chunk_is_told_to_the_flow() -> None:
    policy, script = Watched(final=True), Script([ConnectionError("refused"), says("all good")])
    items = list(drive_stream(policy.decide(make_query(2)), script.perform, script.stream))
    assert policy.told == ["ConnectionError('refused')", "all good"]
    assert items[:-1] == ["all", "good"]


async def test_an_awaited_stream_that_breaks_before_its_first_chunk_is_told_to_the_flow() -> None:
    policy, script = Watched(final=True), Script([ConnectionError("refused"), says("all good")])
    items = [item async for item in adrive_stream(policy.decide(make_query(2)), script.aperform, script.astream)]
    assert policy.told == ["ConnectionError('refused')", "all good"]
    assert items[:-1] == ["all", "good"]


def test_a_reader_who_goes_away_closes_flow_and_provider() -> None:
    policy, closed = Watched(final=True), []

    def stream(call: Call) -> Iterator[Any]:
        try:
            yield "one"
            yield "two"
        finally:
            closed.append(call.tier)

    kept: list[Any] = []  # a reference to the stream: closing must not be left to the garbage collector

    def keep(call: Call) -> Iterator[Any]:
        kept.append(stream(call))
        return kept[0]  # type: ignore[no-any-return]

    items = drive_stream(policy.decide(make_query(2)), Script([]).perform, keep)
    assert next(items) == "one"
    items.close()  # type: ignore[attr-defined]
    assert closed == [0]
    assert policy.told == ["closed"]


async def test_an_awaiting_reader_who_goes_away_closes_flow_and_provider() -> None:
    policy, closed = Watched(final=True), []
    kept: list[Any] = []

    async def stream(call: Call) -> AsyncIterator[Any]:
        try:
            yield "one"
            yield "two"
        finally:
            closed.append(call.tier)

    def keep(call: Call) -> AsyncIterator[Any]:
        kept.append(stream(call))
        return kept[0]  # type: ignore[no-any-return]

    items = adrive_stream(policy.decide(make_query(2)), Script([]).aperform, keep)
    assert await items.__anext__() == "one"
    await items.aclose()  # type: ignore[attr-defined]
    assert closed == [0]
    assert policy.told == ["closed"]


def test_a_stream_without_its_answer_is_an_error_and_not_a_second_call() -> None:
    script = Script([says(), says()])
    with pytest.raises(RuntimeError, match="must end with the whole answer"):
        list(drive_stream(Single(0).decide(make_query(2)), script.perform, lambda call: iter(["half an answer"])))
    assert script.asked == []


async def test_an_awaited_stream_without_its_answer_is_an_error_and_not_a_second_call() -> None:
    async def stream(call: Call) -> AsyncIterator[str | Answer]:
        yield "half an answer"

    script = Script([says(), says()])
    items = adrive_stream(Single(0).decide(make_query(2)), script.aperform, stream)
    assert await items.__anext__() == "half an answer"
    with pytest.raises(RuntimeError, match="must end with the whole answer"):
        await items.__anext__()
    assert script.asked == []


def test_a_plain_iterator_serves_as_stream() -> None:
    items = list(drive_stream(Single(0).decide(make_query(1)), Script([]).perform, lambda call: iter(["a", says("a")])))
    assert items[0] == "a"
    assert isinstance(items[1], Decision)


# Many queries


def test_each_round_hands_each_tier_its_calls_as_one_batch() -> None:
    scripts = [
        Script([says("a", 0.9), says(), says()]),
        Script([says("b", 0.1), says("b", 0.9), says()]),
        Script([says("c", 0.1), says("c", 0.1), says()]),
        Script([says("d", 0.1), says("d", 0.1), says()]),
    ]
    rounds: list[tuple[int, list[int]]] = []

    def perform(tier: int, batch: Batch) -> list[Any]:
        rounds.append((tier, [index for index, _ in batch]))
        return batch_of(scripts)(tier, batch)

    decisions = drive_many([cascade().decide(make_query(3)) for _ in scripts], perform)
    assert rounds == [(0, [0, 1, 2, 3]), (1, [1, 2, 3]), (2, [2, 3])]
    assert [decision.tier for decision in decisions] == ["tier0", "tier1", "tier2", "tier2"]  # type: ignore[union-attr]


def test_a_round_with_several_tiers_is_one_batch_for_each() -> None:
    rounds: list[tuple[int, list[int]]] = []
    scripts = [Script([says(), says()]) for _ in range(4)]

    def perform(tier: int, batch: Batch) -> list[Any]:
        rounds.append((tier, [index for index, _ in batch]))
        return batch_of(scripts)(tier, batch)

    drive_many([Single(tier).decide(make_query(2)) for tier in (0, 1, 0, 1)], perform)
    assert rounds == [(0, [0, 2]), (1, [1, 3])]


async def test_the_batches_of_one_round_are_awaited_together() -> None:
    started = [asyncio.Event(), asyncio.Event()]
    scripts = [Script([says(), says()]) for _ in range(2)]

    async def perform(tier: int, batch: Batch) -> list[Any]:
        started[tier].set()
        await started[1 - tier].wait()  # would wait for ever if the other batch came after this one
        return batch_of(scripts)(tier, batch)

    flows = [Single(tier).decide(make_query(2)) for tier in (0, 1)]
    decisions = await asyncio.wait_for(adrive_many(flows, perform), 10)
    assert [decision.tier for decision in decisions] == ["tier0", "tier1"]  # type: ignore[union-attr]


async def test_a_batch_that_raises_as_a_whole_cancels_its_neighbours() -> None:
    ended, hanging = asyncio.Event(), asyncio.Event()

    async def perform(tier: int, batch: Batch) -> list[Any]:
        if tier == 0:
            await hanging.wait()
            raise OSError("no network")
        try:
            hanging.set()
            return [await asyncio.Event().wait()]
        finally:
            ended.set()

    with pytest.raises(OSError, match="no network"):
        await adrive_many([Single(tier).decide(make_query(2)) for tier in (0, 1)], perform)
    await asyncio.wait_for(ended.wait(), 10)


def failing_batch() -> tuple[list[Flow], list[Script], Watched]:
    watched = Watched()
    scripts = [
        Script([says("fine", 0.9), says()]),
        Script([ValueError("first"), says()]),
        Script([says("unsure", 0.1), says("sure")]),
    ]
    flows = [cascade().decide(make_query(2)), cascade().decide(make_query(2)), watched.decide(make_query(2))]
    return flows, scripts, watched


def test_failures_stand_in_their_places_when_they_are_asked_for() -> None:
    flows, scripts, watched = failing_batch()
    fine, failed, other = drive_many(flows, batch_of(scripts), return_exceptions=True)
    assert isinstance(fine, Decision)
    assert isinstance(failed, ValueError)
    assert isinstance(other, Decision)
    assert watched.told == ["unsure", "sure"]


def test_the_first_failure_rises_after_its_round_and_closes_the_rest() -> None:
    flows, scripts, watched = failing_batch()
    with pytest.raises(ValueError, match="first"):
        drive_many(flows, batch_of(scripts))
    assert watched.told == ["unsure", "closed"]
    assert scripts[2].asked == [0]


async def test_awaited_failures_behave_alike() -> None:
    flows, scripts, watched = failing_batch()
    fine, failed, other = await adrive_many(flows, abatch_of(scripts), return_exceptions=True)
    assert isinstance(fine, Decision)
    assert isinstance(failed, ValueError)
    assert isinstance(other, Decision)
    flows, scripts, watched = failing_batch()
    with pytest.raises(ValueError, match="first"):
        await adrive_many(flows, abatch_of(scripts))
    assert watched.told == ["unsure", "closed"]
    assert scripts[2].asked == [0]


@pytest.mark.parametrize("replies", [[], [says(), says(), says()]])
def test_a_batch_with_too_few_or_too_many_replies_is_refused(replies: list[Answer]) -> None:
    policy = Watched()
    with pytest.raises(ValueError, match=r"zip\(\)"):
        drive_many([policy.decide(make_query(2)) for _ in range(2)], lambda tier, batch: replies)
    assert policy.told[-1] == "closed"


def test_a_batch_that_raises_as_a_whole_closes_all_flows() -> None:
    policy = Watched()

    def perform(tier: int, batch: Batch) -> list[Answer]:
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        drive_many([policy.decide(make_query(2)) for _ in range(3)], perform)
    assert policy.told == ["closed"] * 3


def test_no_queries_make_no_calls() -> None:
    def perform(tier: int, batch: Batch) -> list[Answer]:
        raise AssertionError("nothing to ask")

    assert drive_many([], perform) == []


def test_a_flow_that_asks_nobody_is_decided_at_once() -> None:
    class Knows(Policy):
        def decide(self, query: Query) -> Flow:
            return Trace(self, query).close(says("known"))
            yield

    def unasked(*_: Any) -> Any:
        raise AssertionError("nobody is to be asked")

    assert drive(Knows().decide(make_query()), unasked).answer.text == "known"
    assert [d.answer.text for d in drive_many([Knows().decide(make_query())], unasked)] == ["known"]  # type: ignore[union-attr]


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), TimeoutError("x")])
def test_all_drivers_raise_the_very_exception_of_the_last_tier(error: Exception) -> None:
    make: Callable[[], Policy] = cascade
    for results, _ in in_every_way(make, [make_query(2)], [[says("unsure", 0.1), error]]).values():
        assert results[0] is error
