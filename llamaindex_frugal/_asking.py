"""One request on its way through the tiers: makes the calls its policy asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from frugal_core.engine import aclosed, closed
from frugal_core.types import Answer, Call, Query, samples
from llamaindex_frugal._requests import Request, made_up
from llamaindex_frugal._tiers import TierModel

if TYPE_CHECKING:
    from llamaindex_frugal._runner import Runner


class Asking:
    """State of one request: its flow, and what its tiers said.

    Args:
        runner: The wrapper's tiers and policy.
        request: What is asked for.
        query: The same as policies see it, if it has been made.
    """

    __slots__ = ("_request", "_runner", "answers", "flow", "live", "query")

    def __init__(self, runner: Runner, request: Request, query: Query | None = None) -> None:
        self._runner = runner
        self._request = request
        self.answers: dict[str, Answer] = {}  # by the names of their tiers
        self.live = False
        self.query = query or request.query(runner.abouts, runner.reference)
        self.flow = runner.policy.decide(self.query)

    def perform(self, call: Call) -> Answer:
        """Make a call."""
        if call.n > 1:
            return samples([self.perform(replace(call, n=1)) for _ in range(call.n)])
        request, tier = self._asked(call)
        since, kwargs = perf_counter(), self._kwargs(tier, call, request)
        try:
            output = request.ask(tier, kwargs)
        except Exception as error:
            if not tier.forgoes(error) or (fewer := self._kwargs(tier, call, request)).keys() == kwargs.keys():
                raise
            output = request.ask(tier, fewer)
        return self._read(call, request, output, since)

    async def aperform(self, call: Call) -> Answer:
        """Make a call, awaiting it."""
        if call.n > 1:
            return samples([await self.aperform(replace(call, n=1)) for _ in range(call.n)])
        request, tier = self._asked(call)
        since, kwargs = perf_counter(), self._kwargs(tier, call, request)
        try:
            output = await request.aask(tier, kwargs)
        except Exception as error:
            if not tier.forgoes(error) or (fewer := self._kwargs(tier, call, request)).keys() == kwargs.keys():
                raise
            output = await request.aask(tier, fewer)
        return self._read(call, request, output, since)

    def stream(self, call: Call) -> Iterator[Any]:
        """Make a final call: its pieces as they come, then the whole answer."""
        request, tier = self._asked(call)
        since, last, reason = perf_counter(), None, None
        heeds = self._runner.heeds
        while True:
            kwargs = tier.stream_kwargs(request.given)
            try:
                with closed(request.stream(tier, kwargs)) as pieces:
                    for last in pieces:
                        self.live = True
                        if heeds:
                            reason = request.reason(last) or reason
                        yield request.chunk(last, tier)
            except Exception as error:
                if self.live or not tier.forgoes(error) or tier.stream_kwargs(request.given).keys() == kwargs.keys():
                    raise
                continue
            yield self._whole(call, request, last, since, reason)
            return

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        """As `stream`, awaiting the pieces."""
        request, tier = self._asked(call)
        since, last, reason = perf_counter(), None, None
        heeds = self._runner.heeds
        while True:
            kwargs = tier.stream_kwargs(request.given)
            try:
                async with aclosed(request.astream(tier, kwargs)) as pieces:
                    async for last in pieces:
                        self.live = True
                        if heeds:
                            reason = request.reason(last) or reason
                        yield request.chunk(last, tier)
            except Exception as error:
                if self.live or not tier.forgoes(error) or tier.stream_kwargs(request.given).keys() == kwargs.keys():
                    raise
                continue
            yield self._whole(call, request, last, since, reason)
            return

    def _asked(self, call: Call) -> tuple[Request, TierModel]:
        return self._request if call.query is self.query else made_up(call.query), self._runner.tiers[call.tier]

    def _kwargs(self, tier: TierModel, call: Call, request: Request) -> dict[str, Any]:
        return tier.kwargs(call, request.given, logprobs=self._runner.needs_logprobs)

    def _whole(self, call: Call, request: Request, last: Any, since: float, reason: str | None) -> Answer:
        if last is None:
            raise ValueError(f"The stream of tier {self.query.tiers[call.tier].name!r} ended without a chunk.")
        answer = self._read(call, request, last, since)
        return answer if reason is None or answer.finish_reason else replace(answer, finish_reason=reason)

    def _read(self, call: Call, request: Request, output: Any, since: float) -> Answer:
        query = self.query if call.query is self.query else replace(call.query, tiers=self.query.tiers)
        answer = request.answer(output, query, call.tier, perf_counter() - since, self._runner.tiers[call.tier])
        if call.purpose == "answer":
            self.answers[self.query.tiers[call.tier].name] = answer
        return answer
