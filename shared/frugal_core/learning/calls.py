"""Makes the calls that a piece of work names, so many at a time: on an executor, or in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Protocol

from frugal_core.engine import is_control_flow
from frugal_core.learning.grading import Entry
from frugal_core.learning.recording import Asked


class Work(Protocol):
    """Names calls, and is told what came of them."""

    def next(self) -> Asked | None:
        """A call to make now; `None` for none before `receive` is told of one that is being made, or for none at all."""

    def receive(self, asked: Asked, came: Entry | Exception) -> None:
        """What came of a call, or the exception that ended it."""


def make_calls(work: Work, submit: Callable[[Asked], Future[Entry]], at_once: int, tick: Callable[[], None]) -> None:
    """Make all calls of a piece of work.

    Whatever ends it early, an interrupt too, calls under way are waited for and kept: they are being paid for.

    Args:
        work: Names the calls.
        submit: Begins one.
        at_once: How many may be under way.
        tick: Told after each.
    """
    pending: dict[Future[Entry], Asked] = {}
    try:
        while True:
            while len(pending) < at_once and (asked := work.next()) is not None:
                pending[submit(asked)] = asked
            if not pending:
                return
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                came = _outcome(future)
                work.receive(pending.pop(future), came)
                tick()
    except BaseException:
        wait(pending)
        _keep_finished(work, pending)
        raise


async def amake_calls(
    work: Work, perform: Callable[[Asked], Awaitable[Entry]], at_once: int, tick: Callable[[], None], *, slow: bool = False
) -> None:
    """As `make_calls`, in the event loop. When this is cancelled or interrupted, calls under way are cancelled as well.

    Args:
        work: Names the calls.
        perform: Makes one.
        at_once: How many may be under way.
        tick: Told after each.
        slow: Whether `work.next` may take its time; it then has a thread.
    """
    pending: dict[asyncio.Future[Entry], Asked] = {}
    try:
        while True:
            while len(pending) < at_once and (asked := await _next(work) if slow else work.next()) is not None:
                pending[asyncio.ensure_future(perform(asked))] = asked
            if not pending:
                return
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                came = _outcome(task)
                work.receive(pending.pop(task), came)
                tick()
    except BaseException as error:
        if not isinstance(error, Exception):
            for task in pending:
                task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        _keep_finished(work, pending)
        raise


async def _next(work: Work) -> Asked | None:
    """On a thread. A thread cannot be cancelled, so it is waited for: nothing else may touch the work meanwhile."""
    thread = asyncio.ensure_future(asyncio.to_thread(work.next))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        raise


def _outcome(future: Future[Entry] | asyncio.Future[Entry]) -> Entry | Exception:
    """What a call came to. An interrupt, or a framework's way to leave a graph, is no failure: it rises."""
    error = future.exception()
    if error is None:
        return future.result()
    if not isinstance(error, Exception) or is_control_flow(error):
        raise error
    return error


def _keep_finished(work: Work, pending: Mapping[Any, Asked]) -> None:
    for future, asked in pending.items():
        if future.done() and not future.cancelled() and future.exception() is None:
            work.receive(asked, future.result())
