"""Always the same tier: the plain program, with a decision attached. Baseline of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frugal_core.decision import Trace
from frugal_core.engine import Flow
from frugal_core.errors import ConfigurationError
from frugal_core.policies.base import Policy
from frugal_core.policies.places import places_of
from frugal_core.saving import saveable
from frugal_core.types import Call, Query, Tier


@saveable("single")
@dataclass(frozen=True)
class Single(Policy):
    """Asks one tier and nothing else.

    Attributes:
        tier: Its index (negative ones count from the dearest), or its name.
    """

    tier: int | str = -1

    def __post_init__(self) -> None:
        if not isinstance(self.tier, (int, str)) or isinstance(self.tier, bool):
            raise ConfigurationError(
                f"tier={self.tier!r} is not the index of a model, nor its name: give an integer, such as 0 or -1, or a text."
            )

    def check(self, tiers: Sequence[Tier]) -> None:
        """There must be such a tier."""
        _check(_place(self.tier, tiers), tiers)

    def decide(self, query: Query) -> Flow:
        """One call, to `self.tier`."""
        return ask(self, query, _place(self.tier, query.tiers))


def ask(policy: Policy, query: Query, tier: int) -> Flow:
    """One final call to one tier, on behalf of `policy`.

    Raises:
        ConfigurationError: There is no such tier.
    """
    _check(tier, query.tiers)
    trace = Trace(policy, query)
    answer = yield Call(tier % len(query.tiers), query, final=True)
    trace.answered(answer, "routed", accepted=True)
    return trace.close(answer)


def _place(tier: int | str, tiers: Sequence[Tier]) -> int:
    return tier if isinstance(tier, int) else places_of([tier], tiers)[0]


def _check(tier: int, tiers: Sequence[Tier]) -> None:
    if not -len(tiers) <= tier < len(tiers):
        raise ConfigurationError(f"There is no tier {tier}: there are {len(tiers)} models, 0 to {len(tiers) - 1}.")
