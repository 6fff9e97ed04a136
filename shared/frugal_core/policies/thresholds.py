"""When a score is good enough: the threshold interface, and thresholds that never move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, NamedTuple

from frugal_core.errors import ConfigurationError
from frugal_core.saving import saveable
from frugal_core.types import Answer, Query, Tier


class Verdict(NamedTuple):
    """What a threshold says to a score.

    Attributes:
        accept: Serve the answer; otherwise ask the next tier.
        threshold: What the score was compared with.
        reason: Why, as it stands in the decision.
        reserved: What is set aside for the next call, given back by `Threshold.settle`.
    """

    accept: bool
    threshold: float | None
    reason: Literal["confident", "unsure", "warm_up", "budget_spent", "hopeless"]
    reserved: float = 0.0


class Threshold(ABC):
    """Judges scores, one query after another. May learn from what it sees; must be thread-safe."""

    def begin(self, query: Query, tier: int) -> None:
        """A query's first call, to `tier`, is over: it is one more to pay for, whatever came of the call."""
        return None

    @abstractmethod
    def judge(self, query: Query, answer: Answer, score: float, following: int) -> Verdict:
        """Accept `answer`, or escalate to tier `following`?"""

    def forced(self, query: Query, answer: Answer | None, following: int) -> Verdict | None:
        """Take note that `following` will be asked for another reason than a low score (no signal, no usable answer).

        Returns:
            `None` when there is no objection, or a verdict to accept: a hard budget is spent. Ignored if there is no answer.
        """
        return None

    def settle(self, reserved: float, answer: Answer | None) -> None:
        """A call is over (`answer` is `None` when it failed or was given up): replace what was set aside by what it cost."""
        return None

    def charge(self, tier: int, usd: float) -> None:
        """Take note that scoring an answer of `tier` cost this much, on top of the answer itself."""
        return None

    def check(self, tiers: Sequence[Tier]) -> None:
        """Refuse tiers this threshold cannot work with.

        Raises:
            ConfigurationError: Says what does not fit, and what would.
        """
        return None


@saveable("fixed_threshold")
@dataclass(frozen=True)
class FixedThreshold(Threshold):
    """Accepts a score that reaches a fixed value.

    Attributes:
        value: In [0, 1]; one for every escalation, or one number for all.

    >>> FixedThreshold(0.8)
    FixedThreshold(value=0.8)
    """

    value: float | Sequence[float]

    def __post_init__(self) -> None:
        if isinstance(self.value, Iterable):
            object.__setattr__(self, "value", tuple(map(plain_number, self.value)))
        else:
            object.__setattr__(self, "value", plain_number(self.value))
        for value in self.value if isinstance(self.value, tuple) else (self.value,):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ConfigurationError(f"threshold={value!r} is out of range: scores and thresholds are numbers from 0 to 1.")

    def judge(self, query: Query, answer: Answer, score: float, following: int) -> Verdict:
        """Accept when `score` reaches this tier's value."""
        value = self.value if isinstance(self.value, (int, float)) else self.value[answer.tier]
        return Verdict(True, value, "confident") if score >= value else Verdict(False, value, "unsure")

    def check(self, tiers: Sequence[Tier]) -> None:
        """There must be one value for every escalation."""
        if not isinstance(self.value, (int, float)) and len(self.value) != len(tiers) - 1:
            raise ConfigurationError(
                f"{len(self.value)} thresholds for {len(tiers)} models: give one per escalation, that is {len(tiers) - 1}, "
                "or a single number for all of them."
            )


def as_threshold(value: float | Sequence[float] | Threshold) -> Threshold:
    """A threshold from what a user may give as one.

    Raises:
        ConfigurationError: It is neither a number in [0, 1], nor a list of them, nor a threshold.
    """
    if isinstance(value, Threshold):
        return value
    if isinstance(value, (Real, list, tuple)):
        return FixedThreshold(value)
    raise ConfigurationError(f"threshold={value!r} must be a number from 0 to 1, a list, one per escalation, or a Threshold.")


def plain_number(value: Any) -> Any:
    """A number of numpy's as Python's own, which can be written to a file; anything else as it is."""
    return value.item() if isinstance(value, Real) and hasattr(value, "item") else value
