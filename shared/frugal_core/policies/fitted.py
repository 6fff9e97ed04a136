"""A policy that was learned from recordings, with what is known of it: its rivals, and its guarantee."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from frugal_core.engine import Flow
from frugal_core.policies.base import Policy
from frugal_core.saving import saveable
from frugal_core.types import Query, Tier

if TYPE_CHECKING:
    from frugal_core.learning.guarantee import Guarantee


@saveable("candidate")
@dataclass(frozen=True)
class Candidate:
    """A family of policies that was compared, on queries that taught it nothing.

    Attributes:
        family: Its name.
        cost: Mean cost per query; `None` where it could not be tried.
        quality: Mean quality, in [0, 1]; under a guarantee the share of answers that agree with the reference's.
        cost_error: Standard error of the cost.
        quality_error: Standard error of the quality.
        reason: Why it could not be tried.
    """

    family: str
    cost: float | None = None
    quality: float | None = None
    cost_error: float | None = None
    quality_error: float | None = None
    reason: str | None = None


@saveable("fitted")
class Fitted(Policy):
    """What `fit` returns. Decides as the policy in it does.

    Attributes:
        policy: The policy that was chosen.
        family: Name of its family.
        objective: What it was chosen for, in words.
        reason: Why this one, in words.
        candidates: All that were compared.
        guarantee: The certificate, where one was asked for.
        notes: What is served costs, what the recordings lacked, and what was left out.
        kept: Whether the objective is kept, on queries that taught the policy nothing; else it is the nearest to it.
    """

    def __init__(
        self,
        policy: Policy,
        family: str,
        objective: str,
        reason: str,
        candidates: Sequence[Candidate] = (),
        guarantee: Guarantee | None = None,
        notes: Sequence[str] = (),
        kept: bool = True,
    ) -> None:
        self.policy = policy
        self.family = family
        self.objective = objective
        self.reason = reason
        self.candidates = tuple(candidates)
        self.guarantee = guarantee
        self.notes = tuple(notes)
        self.kept = kept

    def __repr__(self) -> str:
        return f"Fitted({self.policy!r}, {self.family!r})"

    def __str__(self) -> str:
        if self.guarantee is None:
            return "\n".join([self.reason, *self.notes])
        return "\n".join([str(self.guarantee), *self.notes, self.reason])

    @property
    def name(self) -> str:
        """That of the policy in it."""
        return self.policy.name

    @property
    def needs_logprobs(self) -> bool:
        """As the policy in it."""
        return self.policy.needs_logprobs

    def state(self) -> Mapping[str, Any]:
        """All of it."""
        names = ("policy", "family", "objective", "reason", "candidates", "guarantee", "notes", "kept")
        return {name: getattr(self, name) for name in names}

    def check(self, tiers: Sequence[Tier]) -> None:
        """As the policy in it."""
        self.policy.check(tiers)

    def decide(self, query: Query) -> Flow:
        """As the policy in it."""
        return self.policy.decide(query)
