"""Hopeless answers: so little confidence that asking a dearer model is not thought to help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from frugal_core.errors import ConfigurationError
from frugal_core.policies.thresholds import Threshold, Verdict, as_threshold, plain_number
from frugal_core.saving import saveable
from frugal_core.types import Answer, Query, Tier


@saveable("hopeless")
class Hopeless(Threshold):
    """Serves an answer whose score is below a floor instead of escalating it, with the reason `"hopeless"`.

    The thought is AutoMix's (Aggarwal et al. 2023, arXiv 2310.12963): what the cheap model is surest to have wrong, the dear
    one mostly gets wrong as well, so its price is better spent on the undecided queries. It holds for some pairs of models
    only: from Llama 3.1 8B to GPT-5 the least confident queries gain most. Look at recordings of yours first. An answer served
    so is probably wrong; the decision says why it was served.

    Args:
        threshold: What judges all other scores: a number, one number per escalation, or a `Threshold`. It does not hear of
            hopeless ones, so a budget is spent on the rest.
        below: The floor, in [0, 1]; a score on it is not hopeless.

    Raises:
        ConfigurationError: One of them is out of range.

    >>> Hopeless(0.7, below=0.2)
    Hopeless(FixedThreshold(value=0.7), below=0.2)
    """

    def __init__(self, threshold: float | Sequence[float] | Threshold, *, below: float) -> None:
        below = plain_number(below)
        if not isinstance(below, (int, float)) or isinstance(below, bool) or not 0 <= below <= 1:
            raise ConfigurationError(f"below={below!r} is out of range: scores are numbers from 0 to 1.")
        self.threshold = as_threshold(threshold)
        self.below = below

    def __repr__(self) -> str:
        return f"Hopeless({self.threshold!r}, below={self.below!r})"

    def state(self) -> Mapping[str, Any]:
        """What it was built from."""
        return {"threshold": self.threshold, "below": self.below}

    def begin(self, query: Query, tier: int) -> None:
        """Passed on."""
        self.threshold.begin(query, tier)

    def judge(self, query: Query, answer: Answer, score: float, following: int) -> Verdict:
        """Accept what is hopeless; let the threshold judge the rest."""
        if score < self.below:
            return Verdict(True, self.below, "hopeless")
        return self.threshold.judge(query, answer, score, following)

    def forced(self, query: Query, answer: Answer | None, following: int) -> Verdict | None:
        """Passed on: a missing score is no hopeless one."""
        return self.threshold.forced(query, answer, following)

    def settle(self, reserved: float, answer: Answer | None) -> None:
        """Passed on."""
        self.threshold.settle(reserved, answer)

    def charge(self, tier: int, usd: float) -> None:
        """Passed on."""
        self.threshold.charge(tier, usd)

    def check(self, tiers: Sequence[Tier]) -> None:
        """Passed on."""
        self.threshold.check(tiers)
