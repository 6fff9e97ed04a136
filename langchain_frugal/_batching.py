"""Hands a tier the calls of many queries as few batches."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextvars import Context, copy_context
from dataclasses import replace
from time import perf_counter
from typing import Any

from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.runnables.utils import coro_with_context

from frugal_core.engine import Batch
from frugal_core.types import Answer, Call, samples
from langchain_frugal._asking import Asking
from langchain_frugal._tiers import TierModel

Replies = defaultdict[int, "list[Answer | Exception]"]
"""What each query's calls brought: one reply, or one for each sample."""


def perform_batch(askings: Sequence[Asking], tier: TierModel, batch: Batch) -> Sequence[Answer | Exception]:
    """Make the calls of many queries to one tier; a failed call's exception stands in its place."""
    replies: Replies = defaultdict(list)
    for calls in _alike(askings, batch):
        inputs, configs, kwargs = _gather(askings, calls)
        runnable = askings[calls[0][0]].called(calls[0][1])
        since = perf_counter()
        outputs = _detached().run(runnable.batch, inputs, configs, return_exceptions=True, **kwargs)
        for asking, call in _read(askings, tier, calls, outputs, perf_counter() - since, replies):
            try:
                replies[id(asking)].append(asking.perform(call))
            except Exception as error:
                replies[id(asking)].append(error)
    return [_one(replies[id(askings[index])]) for index, _ in batch]


async def aperform_batch(askings: Sequence[Asking], tier: TierModel, batch: Batch) -> Sequence[Answer | Exception]:
    """As `perform_batch`, awaiting the calls."""
    replies: Replies = defaultdict(list)
    for calls in _alike(askings, batch):
        inputs, configs, kwargs = _gather(askings, calls)
        runnable = askings[calls[0][0]].called(calls[0][1])
        since = perf_counter()
        context = _detached()
        reply = context.run(runnable.abatch, inputs, configs, return_exceptions=True, **kwargs)
        outputs = await coro_with_context(reply, context)
        again = list(_read(askings, tier, calls, outputs, perf_counter() - since, replies))
        for (asking, _), result in zip(
            again, await asyncio.gather(*(asking.aperform(call) for asking, call in again), return_exceptions=True), strict=True
        ):
            if isinstance(result, BaseException) and not isinstance(result, Exception):
                raise result
            replies[id(asking)].append(result)
    return [_one(replies[id(askings[index])]) for index, _ in batch]


def _alike(askings: Sequence[Asking], batch: Batch) -> Iterable[Batch]:
    """Calls that can be made with the same arguments; one for each sample."""
    groups: dict[Any, Batch] = defaultdict(list)
    for index, call in batch:
        one = (index, replace(call, n=1) if call.n > 1 else call)
        groups[call.final, call.temperature, askings[index].made_up(call)] += [one] * call.n
    return groups.values()


def _gather(askings: Sequence[Asking], calls: Batch) -> tuple[list[Any], list[Any], dict[str, Any]]:
    items = [askings[index].batch_item(call) for index, call in calls]
    return [item[0] for item in items], [item[1] for item in items], items[0][2]


def _read(
    askings: Sequence[Asking], tier: TierModel, calls: Batch, outputs: Sequence[Any], latency_s: float, replies: Replies
) -> Iterator[tuple[Asking, Call]]:
    """Sort a batch's outputs into `replies`; yields the calls that have to be made again, one by one."""
    for (index, call), output in zip(calls, outputs, strict=True):
        asking = askings[index]
        told = output
        if isinstance(output, Exception):
            if tier.forgoes_logprobs(output):
                yield asking, call
                continue
            told = asking.unparsed(call, output)
            if told is None:
                replies[id(asking)].append(output)
                continue
        try:
            replies[id(asking)].append(asking.read(call, told, latency_s))
        except Exception as error:
            replies[id(asking)].append(error)


def _one(replies: Sequence[Answer | Exception]) -> Answer | Exception:
    """The reply to a call, its samples together. A sample that failed is the call's failure."""
    answers: list[Answer] = []
    for reply in replies:
        if isinstance(reply, Exception):
            return reply
        answers.append(reply)
    return answers[0] if len(answers) == 1 else samples(answers)


def _detached() -> Context:
    """A context without an ambient config: each item brings its own, and core would mix the two."""
    context = copy_context()
    context.run(var_child_runnable_config.set, None)
    return context
