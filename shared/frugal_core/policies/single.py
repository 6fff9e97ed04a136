"""Always the same tier: the plain program, with a decision attached. Baseline of every comparison."""

from __future__ import annotations

from dataclasses import dataclass

from frugal_core.decision import Trace
from frugal_core.engine import Flow
from frugal_core.errors import ConfigurationError
from frugal_core.policies.base import Policy
from frugal_core.saving import saveable
from frugal_core.types import Call, Query


@saveable("single")
@dataclass(frozen=True)
class Single(Policy):
    """Asks one tier and nothing else.

    Attributes:
        tier: Its index; negative ones count from the dearest.
    """

    tier: int = -1

    def decide(self, query: Query) -> Flow:
        """One call, to `self.tier`."""
        return ask(self, query, self.tier)


def ask(policy: Policy, query: Query, tier: int) -> Flow:
    """One final call to one tier, on behalf of `policy`.

    Raises:
        ConfigurationError: There is no such tier.
    """
    if not -len(query.tiers) <= tier < len(query.tiers):
        raise ConfigurationError(f"There is no tier {tier}: this query has {len(query.tiers)}, 0 to {len(query.tiers) - 1}.")
    trace = Trace(policy, query)
    answer = yield Call(tier % len(query.tiers), query, final=True)
    trace.answered(answer, "routed", accepted=True)
    return trace.close(answer)
