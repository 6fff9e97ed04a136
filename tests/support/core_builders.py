"""Tiers whose every answer a test writes down, and ways to ask them: what the tests of the core are built from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import log
from typing import Any, TypeAlias

from frugal_core.decision import Decision
from frugal_core.engine import Batch, Flow, adrive, adrive_many, adrive_stream, drive, drive_many, drive_stream
from frugal_core.policies import Policy
from frugal_core.pricing import Price
from frugal_core.types import Answer, Call, Message, Query, Tier, TokenLogprob, Usage

Outcome: TypeAlias = "Answer | Exception"

USAGE = Usage(1000, 100)


def make_tiers(count: int, *, priced: bool = True) -> tuple[Tier, ...]:
    """`tier0` costs 1 USD a request, each further one ten times its neighbour."""
    return tuple(Tier(f"tier{n}", f"model-{n}", Price(0.0, 0.0, request=10.0**n) if priced else None) for n in range(count))


def make_query(tiers: int | Sequence[Tier] = 2, text: str = "What is the capital of France?", **rest: Any) -> Query:
    """A question to so many tiers."""
    return Query((Message("user", text),), make_tiers(tiers) if isinstance(tiers, int) else tuple(tiers), **rest)


def says(text: str = "Paris", score: Any = None, cost: float | None = 1.0, **rest: Any) -> Answer:
    """An answer of known cost; `recorded` scores it `score`."""
    return Answer(text, usage=rest.pop("usage", USAGE), cost_usd=cost, latency_s=0.0, raw=score, **rest)


def recorded(query: Query, answer: Answer) -> Any:
    """The scorer that gives the score written into the answer; an exception there is raised."""
    if isinstance(answer.raw, Exception):
        raise answer.raw
    return answer.raw


def token(text: str, *rivals: tuple[str, float], p: float) -> TokenLogprob:
    """A generated token of probability `p`, with its rivals' probabilities."""
    ranked = sorted([(text, p), *rivals], key=lambda item: -item[1])
    return TokenLogprob(text, log(p), tuple((name, log(value)) for name, value in ranked))


@dataclass
class Script:
    """What each tier will do for one query, and what it was asked.

    Attributes:
        outcomes: An answer or an exception for each tier.
    """

    outcomes: Sequence[Outcome]
    calls: list[Call] = field(default_factory=list)

    def perform(self, call: Call) -> Answer:
        """Answer or raise, as written down."""
        self.calls.append(call)
        outcome = self.outcomes[call.tier]
        if isinstance(outcome, Exception):
            raise outcome
        return replace(outcome, tier=call.tier)

    async def aperform(self, call: Call) -> Answer:
        """As `perform`, once every other task had its turn."""
        await asyncio.sleep(0)
        return self.perform(call)

    def stream(self, call: Call) -> Iterator[str | Answer]:
        """Word by word, then the answer."""
        answer = self.perform(call)
        yield from answer.text.split()
        yield answer

    async def astream(self, call: Call) -> AsyncIterator[str | Answer]:
        """As `stream`."""
        answer = await self.aperform(call)
        for word in answer.text.split():
            yield word
        yield answer

    @property
    def asked(self) -> list[int]:
        """Tiers in the order in which they were called."""
        return [call.tier for call in self.calls]


def ask(policy: Policy, *outcomes: Outcome, query: Query | None = None) -> tuple[Decision, Script]:
    """Drive one query through tiers that do as told."""
    script = Script(outcomes)
    return drive(policy.decide(query or make_query(len(outcomes))), script.perform), script


def batch_of(scripts: Sequence[Script]) -> Callable[[int, Batch], list[Outcome]]:
    """A batch call for `drive_many`: an answer or an exception for each."""

    def perform(tier: int, batch: Batch) -> list[Outcome]:
        return [_caught(scripts[index].perform, call) for index, call in batch]

    return perform


def abatch_of(scripts: Sequence[Script]) -> Callable[[int, Batch], Awaitable[list[Outcome]]]:
    """As `batch_of`, once every other task had its turn."""

    async def perform(tier: int, batch: Batch) -> list[Outcome]:
        await asyncio.sleep(0)
        return batch_of(scripts)(tier, batch)

    return perform


def in_every_way(
    policy: Callable[[], Policy], queries: Sequence[Query], outcomes: Sequence[Sequence[Outcome]]
) -> dict[str, tuple[list[Any], list[Script]]]:
    """What each driver makes of the same queries: by driver, its decisions (or exceptions) and the scripts it played.

    Every driver gets a policy of its own, so that none learns from another's queries.
    """

    def fresh() -> tuple[list[Flow], list[Script]]:
        made = policy()
        return [made.decide(query) for query in queries], [Script(one) for one in outcomes]

    async def awaited() -> dict[str, tuple[list[Any], list[Script]]]:
        flows, scripts = fresh()
        one = [await _acaught(adrive(flow, script.aperform)) for flow, script in zip(flows, scripts, strict=True)]
        flows, streamed = fresh()
        stream = [await _acaught(_alast(flow, script)) for flow, script in zip(flows, streamed, strict=True)]
        flows, batched = fresh()
        many = await adrive_many(flows, abatch_of(batched), return_exceptions=True)
        return {"adrive": (one, scripts), "adrive_stream": (stream, streamed), "adrive_many": (many, batched)}

    flows, scripts = fresh()
    one = [_caught(drive, flow, script.perform) for flow, script in zip(flows, scripts, strict=True)]
    flows, streamed = fresh()
    stream = [_caught(_last, flow, script) for flow, script in zip(flows, streamed, strict=True)]
    flows, batched = fresh()
    many = drive_many(flows, batch_of(batched), return_exceptions=True)
    ways = {"drive": (one, scripts), "drive_stream": (stream, streamed), "drive_many": (list(many), batched)}
    return {**ways, **asyncio.run(awaited())}


def _last(flow: Flow, script: Script) -> Any:
    return list(drive_stream(flow, script.perform, script.stream))[-1]


async def _alast(flow: Flow, script: Script) -> Any:
    return [item async for item in adrive_stream(flow, script.aperform, script.astream)][-1]


def _caught(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        return error


async def _acaught(awaitable: Awaitable[Any]) -> Any:
    try:
        return await awaitable
    except Exception as error:
        return error
