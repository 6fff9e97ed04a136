"""Confidence from the log-probabilities of a whole answer."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, floor
from typing import Any

from frugal_core.errors import ConfigurationError
from frugal_core.saving import saveable
from frugal_core.scorers.base import Scorer
from frugal_core.types import Answer, Query

_ROUNDING = 1e-3


@saveable("mean_logprob")
@dataclass(frozen=True)
class MeanLogprob(Scorer):
    """Geometric mean of the tokens' probabilities. Over-corrects for length: one bad token drowns in a long answer."""

    needs_logprobs = True

    def __call__(self, query: Query, answer: Answer) -> float | None:
        """exp(mean log p), in [0, 1]; `None` without log-probabilities."""
        values = logprobs_of(answer)
        return exp(sum(values) / len(values)) if values else None


@saveable("min_logprob")
@dataclass(frozen=True)
class MinLogprob(Scorer):
    """Probability of the least likely token."""

    needs_logprobs = True

    def __call__(self, query: Query, answer: Answer) -> float | None:
        """exp(min log p), in [0, 1]; `None` without log-probabilities."""
        values = logprobs_of(answer)
        return exp(min(values)) if values else None


@saveable("logprob_quantile")
@dataclass(frozen=True)
class LogprobQuantile(Scorer):
    """A quantile of the tokens' probabilities: steadier than the minimum, and no less blind to length (Gupta et al. 2024).

    Attributes:
        quantile: In [0, 1]; 0 is the minimum, 0.5 the median. Interpolated linearly.
    """

    quantile: float = 0.1
    needs_logprobs = True

    def __post_init__(self) -> None:
        if not isinstance(self.quantile, (int, float)) or isinstance(self.quantile, bool) or not 0 <= self.quantile <= 1:
            raise ConfigurationError(f"quantile={self.quantile!r} is out of range: give a number from 0 to 1.")

    def __call__(self, query: Query, answer: Answer) -> float | None:
        """The quantile of p, in [0, 1]; `None` without log-probabilities."""
        values = sorted(exp(value) for value in logprobs_of(answer))
        if not values:
            return None
        place = self.quantile * (len(values) - 1)
        low = floor(place)
        high = min(low + 1, len(values) - 1)
        return values[low] + (place - low) * (values[high] - values[low])


def probability(logprob: Any) -> float | None:
    """Probability of a token; `None` where what was reported is no natural logarithm of one (a little rounding is forgiven).

    >>> probability(0.0), probability(1e-9), probability(float("-inf")), probability(0.7)
    (1.0, 1.0, 0.0, None)
    """
    return exp(min(0.0, logprob)) if isinstance(logprob, (int, float)) and logprob <= _ROUNDING else None


def logprobs_of(answer: Answer) -> list[float]:
    """Log-probabilities of all tokens, or of none when one of them is malformed."""
    values = [token.logprob for token in answer.logprobs]
    return [] if any(probability(value) is None for value in values) else [min(0.0, value) for value in values]
