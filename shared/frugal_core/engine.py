"""Runs a policy: the only place where a decision meets the outside world.

A policy is a generator (a *flow*) that yields the calls it wants and receives their answers. The drivers below perform those
calls: one query, one query streamed, or many, each sync and async; nothing else in Frugal does I/O on a policy's behalf. A
call that fails is thrown into the flow, which either goes on (yields another call) or lets the exception rise. The shape is
httpx's `auth_flow`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, aclosing, closing, nullcontext
from typing import TypeAlias, TypeVar

from frugal_core.decision import Decision
from frugal_core.types import Answer, Call

Flow: TypeAlias = Generator[Call, Answer, Decision]
Batch: TypeAlias = list[tuple[int, Call]]
"""Calls to one tier, each with the index of the flow that wants it."""

Chunk = TypeVar("Chunk")
T = TypeVar("T")

_NO_ANSWER = "A stream of chunks must end with the whole answer: an object of frugal_core.types.Answer."


def is_control_flow(error: BaseException) -> bool:
    """Whether an exception is LangGraph's way to interrupt or leave a graph: no failure, so no policy hears of it."""
    return any(cls.__name__ == "GraphBubbleUp" for cls in type(error).__mro__)


def closed(items: Iterator[T]) -> AbstractContextManager[Iterator[T]]:
    """Close a stream when the block is left, if it is one that can be: its provider's connection is not left to chance."""
    return closing(items) if isinstance(items, Generator) else nullcontext(items)


def aclosed(items: AsyncIterator[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]:
    """As `closed`."""
    return aclosing(items) if isinstance(items, AsyncGenerator) else nullcontext(items)


def drive(flow: Flow, perform: Callable[[Call], Answer]) -> Decision:
    """Run one flow to its decision.

    Args:
        flow: What `Policy.decide` returned.
        perform: Makes a call and returns its answer, or raises.

    Raises:
        Exception: Whatever `perform` raised and the policy did not handle.
    """
    try:
        call = next(flow)
        while True:
            try:
                answer = perform(call)
            except Exception as error:
                if is_control_flow(error):
                    raise
                call = flow.throw(error)
            else:
                call = flow.send(answer)
    except StopIteration as done:
        decision: Decision = done.value
        return decision
    finally:
        flow.close()


async def adrive(flow: Flow, perform: Callable[[Call], Awaitable[Answer]]) -> Decision:
    """Run one flow to its decision, awaiting its calls. A cancelled flow is closed and calls nothing further."""
    try:
        call = next(flow)
        while True:
            try:
                answer = await perform(call)
            except Exception as error:
                if is_control_flow(error):
                    raise
                call = flow.throw(error)
            else:
                call = flow.send(answer)
    except StopIteration as done:
        decision: Decision = done.value
        return decision
    finally:
        flow.close()


def drive_stream(
    flow: Flow, perform: Callable[[Call], Answer], stream: Callable[[Call], Iterator[Chunk | Answer]]
) -> Iterator[Chunk | Decision]:
    """Run one flow, passing a final call's chunks through as they come.

    Args:
        flow: What `Policy.decide` returned.
        perform: Makes a call whose answer is still to be judged.
        stream: Makes a final call; yields its chunks and then the whole answer.

    Yields:
        The chunks of final calls, then the decision. A final call that fails after its first chunk is not replaced by another.
    """
    begun = False
    try:
        call = next(flow)
        while True:
            try:
                if call.final:
                    answer: Answer | None = None
                    with closed(stream(call)) as items:
                        for item in items:
                            if isinstance(item, Answer):
                                answer = item
                            else:
                                begun = True
                                yield item
                    if answer is None:
                        raise RuntimeError(_NO_ANSWER)
                else:
                    answer = perform(call)
            except Exception as error:
                if begun or is_control_flow(error):
                    raise
                call = flow.throw(error)
            else:
                call = flow.send(answer)
    except StopIteration as done:
        yield done.value
    finally:
        flow.close()


async def adrive_stream(
    flow: Flow, perform: Callable[[Call], Awaitable[Answer]], stream: Callable[[Call], AsyncIterator[Chunk | Answer]]
) -> AsyncIterator[Chunk | Decision]:
    """As `drive_stream`, awaiting the calls."""
    begun = False
    try:
        call = next(flow)
        while True:
            try:
                if call.final:
                    answer: Answer | None = None
                    items = stream(call)
                    async with aclosed(items):
                        async for item in items:
                            if isinstance(item, Answer):
                                answer = item
                            else:
                                begun = True
                                yield item
                    if answer is None:
                        raise RuntimeError(_NO_ANSWER)
                else:
                    answer = await perform(call)
            except Exception as error:
                if begun or is_control_flow(error):
                    raise
                call = flow.throw(error)
            else:
                call = flow.send(answer)
    except StopIteration as done:
        yield done.value
    finally:
        flow.close()


def drive_many(
    flows: Sequence[Flow], perform: Callable[[int, Batch], Sequence[Answer | Exception]], *, return_exceptions: bool = False
) -> list[Decision | Exception]:
    """Advance many flows in lock-step; every round hands each tier its calls as one batch.

    Args:
        flows: One flow a query.
        perform: Given a tier and its batch, returns an answer or an exception for each call, in order.
        return_exceptions: Put a failed flow's exception in its place instead of raising the first one at the end of its round.

    Returns:
        A decision (or exception) for each flow, in order.
    """
    rounds = _rounds(flows, return_exceptions)
    try:
        batches = next(rounds)
        while True:
            batches = rounds.send([perform(tier, batch) for tier, batch in batches.items()])
    except StopIteration as done:
        outcomes: list[Decision | Exception] = done.value
        return outcomes
    finally:
        rounds.close()


async def adrive_many(
    flows: Sequence[Flow],
    perform: Callable[[int, Batch], Awaitable[Sequence[Answer | Exception]]],
    *,
    return_exceptions: bool = False,
) -> list[Decision | Exception]:
    """As `drive_many`; the batches of one round are awaited together."""
    rounds = _rounds(flows, return_exceptions)
    try:
        batches = next(rounds)
        while True:
            batches = rounds.send(await _together([perform(tier, batch) for tier, batch in batches.items()]))
    except StopIteration as done:
        outcomes: list[Decision | Exception] = done.value
        return outcomes
    finally:
        rounds.close()


async def _together(batches: Sequence[Awaitable[T]]) -> list[T]:
    """Await all; when one fails, the others are cancelled rather than left to run up costs."""
    tasks = [asyncio.ensure_future(batch) for batch in batches]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _rounds(
    flows: Sequence[Flow], return_exceptions: bool
) -> Generator[Mapping[int, Batch], Sequence[Sequence[Answer | Exception]], list[Decision | Exception]]:
    outcomes: dict[int, Decision | Exception] = {}
    failed: list[Exception] = []

    def advance(index: int, result: Answer | Exception | None) -> Call | None:
        flow = flows[index]
        try:
            if isinstance(result, Exception):
                if is_control_flow(result):
                    raise result
                return flow.throw(result)
            return next(flow) if result is None else flow.send(result)
        except StopIteration as done:
            outcomes[index] = done.value
        except Exception as error:
            outcomes[index] = error
            failed.append(error)
        return None

    try:
        calls = {index: advance(index, None) for index in range(len(flows))}
        while True:
            batches: dict[int, Batch] = defaultdict(list)
            for index, call in calls.items():
                if call is not None:
                    batches[call.tier].append((index, call))
            if failed and not return_exceptions:
                raise failed[0]
            if not batches:
                return [outcomes[index] for index in range(len(flows))]
            replies = yield batches
            calls = {
                index: advance(index, result)
                for batch, results in zip(batches.values(), replies, strict=True)
                for (index, _), result in zip(batch, results, strict=True)
            }
    finally:
        for flow in flows:
            flow.close()
