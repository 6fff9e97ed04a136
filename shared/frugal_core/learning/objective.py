"""What a policy is to be best at: an objective chooses among policies by expected cost and quality."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from frugal_core.errors import ConfigurationError
from frugal_core.learning.columns import Floats

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Objective:
    """One of: the best quality within a budget, the least cost at a quality, the best quality.

    Attributes:
        kind: Which.
        value: The budget (mean cost per query) or the quality; not used for the best.

    >>> Objective("budget", 2.0).place(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.7, 0.9]))
    1
    """

    kind: Literal["budget", "quality", "best"]
    value: float = math.nan

    def __post_init__(self) -> None:
        if self.kind == "best":
            return
        given = self.value
        number = isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given)
        if self.kind == "budget" and not (number and given > 0):
            raise ConfigurationError(f"budget_usd={given!r} is out of range: it is the mean cost per query, above 0.")
        if self.kind == "quality" and not (number and 0 <= given <= 1):
            raise ConfigurationError(f"quality={given!r} is out of range: it is a mean quality, from 0 to 1.")

    def __str__(self) -> str:
        if self.kind == "budget":
            return f"the best quality for at most {self.value:g} per query"
        return f"the least cost at a quality of {self.value:g}" if self.kind == "quality" else "the best quality"

    def place(self, cost: Floats, quality: Floats) -> int:
        """Which policy to take.

        Args:
            cost: Shape (policies,): expected cost, at least one.
            quality: Shape (policies,): expected quality.

        Returns:
            The best one that keeps the objective; where none does, the cheapest (for a budget) or the best (for a quality).
        """
        if self.kind == "budget":
            within = cost <= self.value * (1 + _ROUNDING)
            return _best(cost, np.where(within, quality, -math.inf)) if within.any() else _cheapest(cost, quality)
        if self.kind == "quality":
            reached = quality >= self.value - _ROUNDING
            return _cheapest(np.where(reached, cost, math.inf), quality) if reached.any() else _best(cost, quality)
        return _best(cost, quality)

    def kept(self, cost: float, quality: float, slack: float = 0.0) -> bool:
        """Whether a policy of this cost and quality keeps it, but for a share `slack` of the budget, or so much quality."""
        if self.kind == "budget":
            return cost <= self.value * (1 + slack + _ROUNDING)
        return self.kind == "best" or quality >= self.value - slack - _ROUNDING


def _best(cost: Floats, quality: Floats) -> int:
    """The best, the cheapest of equals."""
    return int(np.lexsort((cost, -quality))[0])


def _cheapest(cost: Floats, quality: Floats) -> int:
    """The cheapest, the best of equals."""
    return int(np.lexsort((-quality, cost))[0])
