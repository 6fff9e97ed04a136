"""Runs what a cache wants done, sync and async.

Looking up and storing are written once, as generators that yield what they want done: reach into the store, embed texts, wait.
As with policies, these two functions are where it is done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from frugal_core.cache.embedders.base import Embedder
from frugal_core.cache.entry import Entry
from frugal_core.cache.flights import await_, wait
from frugal_core.cache.retrieval import Validator

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reach:
    """Reach into the store; the reply is what the function returns."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Embed:
    """Embed texts; the reply has shape (texts, numbers)."""

    embedder: Embedder
    texts: list[str]


@dataclass(frozen=True, slots=True)
class Work:
    """Compute something that takes a while, such as opening an embedder or asking a model about candidates."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Check:
    """Find out whether a stored answer still holds; the reply says so."""

    validator: Validator
    entry: Entry


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for who asks the same, no longer than this."""

    flight: Future[None]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait a moment."""

    seconds: float


Want: TypeAlias = "Reach | Embed | Work | Check | Await | Pause"
Steps: TypeAlias = Generator[Want, Any, T]


def run(steps: Steps[T]) -> T:
    """Do all that is wanted, in this thread."""
    try:
        want = next(steps)
        while True:
            try:
                reply = _done(want)
            except Exception as error:
                want = steps.throw(error)
            else:
                want = steps.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        steps.close()


async def arun(steps: Steps[T], *, remote: bool) -> T:
    """Do all that is wanted without blocking the event loop.

    Args:
        steps: What is wanted.
        remote: Whether reaching into the store may wait for a network.
    """
    try:
        want = next(steps)
        while True:
            try:
                reply = await _adone(want, remote)
            except Exception as error:
                want = steps.throw(error)
            else:
                want = steps.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        steps.close()


def _done(want: Want) -> Any:
    if isinstance(want, (Reach, Work)):
        return want.function()
    if isinstance(want, Embed):
        return want.embedder.embed(want.texts)
    if isinstance(want, Check):
        return want.validator.valid(want.entry)
    if isinstance(want, Await):
        return wait(want.flight, want.timeout_s)
    return time.sleep(want.seconds)


async def _adone(want: Want, remote: bool) -> Any:
    if isinstance(want, Reach) and not remote:
        return want.function()
    if isinstance(want, (Reach, Work)):
        return await asyncio.to_thread(want.function)
    if isinstance(want, Embed):
        return await want.embedder.aembed(want.texts)
    if isinstance(want, Check):
        return await want.validator.avalid(want.entry)
    if isinstance(want, Await):
        return await await_(want.flight, want.timeout_s)
    return await asyncio.sleep(want.seconds)
