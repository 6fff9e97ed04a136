"""Drives a policy over LLMs: sync and async, whole or streamed.

Every decision is taken in `frugal_core`; here calls are made and responses converted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from frugal_core.audit import Audit
from frugal_core.cache.options import taken_options
from frugal_core.decision import Decision
from frugal_core.engine import aclosed, adrive, adrive_stream, drive, drive_stream
from frugal_core.policies import Policy
from frugal_core.policies.audited import Audited
from frugal_core.tiers import unscored
from frugal_core.types import Tier
from llamaindex_frugal._asking import Asking
from llamaindex_frugal._auditing import watch
from llamaindex_frugal._requests import Request
from llamaindex_frugal._tiers import TierModel
from llamaindex_frugal.events import dispatch


@dataclass(frozen=True)
class Runner:
    """All that does not change from call to call.

    Attributes:
        tiers: The models, cheapest first.
        policy: Who decides.
        reference: Index of the reference tier.
    """

    tiers: tuple[TierModel, ...]
    policy: Policy
    reference: int

    @cached_property
    def abouts(self) -> tuple[Tier, ...]:
        """What policies may know of the tiers."""
        return tuple(tier.about for tier in self.tiers)

    @cached_property
    def audit(self) -> Audit | None:
        """Who watches what is served, if anybody does."""
        return self.policy.audit if isinstance(self.policy, Audited) else None

    @cached_property
    def needs_logprobs(self) -> bool:
        """Whether drafts are asked for with log-probabilities."""
        return self.policy.needs_logprobs

    @property
    def heeds(self) -> bool:
        """Whether the reason for which a stream ended is looked for in all its pieces."""
        return False

    @cached_property
    def by_name(self) -> Mapping[str, TierModel]:
        """Tiers by their names."""
        return {tier.about.name: tier for tier in self.tiers}

    def prepare(self, request: Request) -> None:
        """Take note of what a caller asks for beside the answer, when he asks: a stream begins later, elsewhere perhaps."""
        if request.given:
            taken_options(request.given)

    def answer(self, request: Request) -> Any:
        """Answer one request."""
        request.pace()
        asking = Asking(self, request)
        decision = drive(asking.flow, asking.perform)
        self._tell(asking, decision, request)
        return request.serve(decision.answer.raw, decision.to_dict())

    async def aanswer(self, request: Request) -> Any:
        """Answer one request, awaiting the tiers."""
        await request.apace()
        asking = Asking(self, request)
        decision = await adrive(asking.flow, asking.aperform)
        self._tell(asking, decision, request, awaited=True)
        return request.serve(decision.answer.raw, decision.to_dict())

    def stream(self, request: Request) -> Iterator[Any]:
        """Answer one request as a stream: nothing of a draft before it is accepted, the last tier live."""
        request.pace()
        asking = Asking(self, request)
        for item in drive_stream(asking.flow, asking.perform, asking.stream):
            if not isinstance(item, Decision):
                yield item
            elif (last := self._last(asking, request, item)) is not None:
                yield last

    async def astream(self, request: Request) -> AsyncIterator[Any]:
        """As `stream`, awaiting the tiers."""
        await request.apace()
        asking = Asking(self, request)
        async with aclosed(adrive_stream(asking.flow, asking.aperform, asking.astream)) as items:
            async for item in items:
                if not isinstance(item, Decision):
                    yield item
                elif (last := self._last(asking, request, item, awaited=True)) is not None:
                    yield last

    def _last(self, asking: Asking, request: Request, decision: Decision, *, awaited: bool = False) -> Any:
        self._tell(asking, decision, request, awaited=awaited)
        output, frugal = decision.answer.raw, decision.to_dict()
        return request.closing(output, frugal) if asking.live else request.drafted(output, frugal)

    def _tell(self, asking: Asking, decision: Decision, request: Request, *, awaited: bool = False) -> None:
        for step in unscored(decision, asking.answers, needs_logprobs=self.needs_logprobs):
            self.by_name[step.tier].warn_unscored(step.error)
        dispatch(decision)
        if self.audit is not None:
            watch(self.audit, self, request, asking, decision, awaited=awaited)
