"""What every scorer is: confidence in an answer, from nothing but the query and the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from math import nan
from typing import Any, TypeAlias

from frugal_core.decision import Trace
from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.saving import saveable
from frugal_core.types import Answer, Call, Query

Scoring: TypeAlias = Generator[Call, Answer, "float | None"]
"""A scorer at work that makes calls."""

Scored: TypeAlias = "float | Scoring | None"
"""A score in [0, 1], `None` for no signal, or a generator of further calls that ends in one of them."""

ScoreFunction: TypeAlias = Callable[[Query, Answer], Scored]
"""Any plain function of this form serves as a scorer."""


class Scorer(ABC):
    """Confidence that an answer is right (or equals the reference's), in [0, 1]; `None` when there is no signal.

    Scorers combine: `a & b` is the lower of both scores, `a | b` the higher, `a.or_else(b)` is b's where a has no signal. One
    that does not apply to an answer is passed over.
    """

    needs_logprobs: bool = False

    @abstractmethod
    def __call__(self, query: Query, answer: Answer) -> Scored:
        """Score one answer. A scorer that must ask something itself returns a generator of `Call`s."""

    def applies(self, query: Query, answer: Answer) -> bool:
        """Whether such an answer is any of its business, as a schema is not of free text. If not, it is no signal either."""
        return True

    def __and__(self, other: ScoreFunction) -> Scorer:
        return Both(self, other)

    def __or__(self, other: ScoreFunction) -> Scorer:
        return Either(self, other)

    def or_else(self, other: ScoreFunction) -> Scorer:
        """This score where there is one, else the other's."""
        return OrElse(self, other)


@dataclass(frozen=True)
class _Pair(Scorer):
    first: ScoreFunction
    second: ScoreFunction

    def __post_init__(self) -> None:
        for part in (self.first, self.second):
            if not callable(part):
                raise ConfigurationError(f"{part!r} must be a scorer or a function (query, answer) -> float | None.")

    @property
    def needs_logprobs(self) -> bool:  # type: ignore[override]
        return needs_logprobs(self.first) or needs_logprobs(self.second)

    def applies(self, query: Query, answer: Answer) -> bool:
        """Where either does."""
        return _applies(self.first, query, answer) or _applies(self.second, query, answer)

    def __call__(self, query: Query, answer: Answer) -> Scored:
        if not _applies(self.second, query, answer):
            return self.first(query, answer)
        if not _applies(self.first, query, answer):
            return self.second(query, answer)
        first = self.first(query, answer)
        if isinstance(first, Generator):
            return self._later(first, query, answer)
        first = as_score(self.first, first)
        if self.settled(first):
            return first
        second = self.second(query, answer)
        if isinstance(second, Generator):
            return self._last(first, second)
        return self.combine(first, as_score(self.second, second))

    def _later(self, scoring: Scoring, query: Query, answer: Answer) -> Scoring:
        first = as_score(self.first, (yield from scoring))
        if self.settled(first):
            return first
        second = self.second(query, answer)
        if isinstance(second, Generator):
            second = yield from second
        return self.combine(first, as_score(self.second, second))

    def _last(self, first: float | None, scoring: Scoring) -> Scoring:
        return self.combine(first, as_score(self.second, (yield from scoring)))

    @abstractmethod
    def settled(self, first: float | None) -> bool:
        """Whether the first score is the result whatever the second: nothing is paid for the second then."""

    @abstractmethod
    def combine(self, first: float | None, second: float | None) -> float | None:
        """The score of two scores."""


@saveable("both")
@dataclass(frozen=True)
class Both(_Pair):
    """The lower of two scores. A missing one leaves it missing, unless the other is 0 and settles it."""

    def settled(self, first: float | None) -> bool:
        """Nothing is lower than 0."""
        return first == 0

    def combine(self, first: float | None, second: float | None) -> float | None:
        """Minimum."""
        if first is None or second is None:
            return 0.0 if first == 0 or second == 0 else None
        return min(first, second)


@saveable("either")
@dataclass(frozen=True)
class Either(_Pair):
    """The higher of two scores; the one there is when the other is missing."""

    def settled(self, first: float | None) -> bool:
        """Nothing is higher than 1."""
        return first == 1

    def combine(self, first: float | None, second: float | None) -> float | None:
        """Maximum."""
        if first is None or second is None:
            return second if first is None else first
        return max(first, second)


@saveable("or_else")
@dataclass(frozen=True)
class OrElse(_Pair):
    """The first score, or the second where the first is missing."""

    def settled(self, first: float | None) -> bool:
        """A score is a score."""
        return first is not None

    def combine(self, first: float | None, second: float | None) -> float | None:
        """First that is not `None`."""
        return second if first is None else first


def _applies(scorer: ScoreFunction, query: Query, answer: Answer) -> bool:
    """Whether a scorer applies; a plain function always does."""
    return scorer.applies(query, answer) if isinstance(scorer, Scorer) else True


def needs_logprobs(scorer: ScoreFunction) -> bool:
    """Whether a scorer may look at log-probabilities; a plain function may, for all we know."""
    return bool(getattr(scorer, "needs_logprobs", True))


def evaluate(
    scorer: ScoreFunction, query: Query, answer: Answer, trace: Trace
) -> Generator[Call, Answer, tuple[float | None, str | None]]:
    """Score an answer, whatever the scorer does.

    Calls it makes are charged to the query. A scorer that raises, or returns something that is not a score, gives no signal.

    Returns:
        The score, and what was wrong where there is none because of a fault.
    """
    try:
        scored: Any = scorer(query, answer)
        if isinstance(scored, Generator):
            scored = yield from _charged(scored, trace)
        return as_score(scorer, scored), None
    except ScorerError as error:
        return None, str(error)
    except Exception as error:
        return None, f"The scorer {_name(scorer)} raised {type(error).__name__}: {error}"


def as_score(scorer: ScoreFunction, scored: Any) -> float | None:
    """What a scorer returned, as a float.

    Raises:
        ScorerError: It is neither a number in [0, 1] nor `None`.
    """
    if scored is None:
        return None
    try:
        score = nan if isinstance(scored, (str, bytes)) else float(scored)
    except (TypeError, ValueError, OverflowError):
        score = nan
    if not 0 <= score <= 1:
        raise ScorerError(
            f"The scorer {_name(scorer)} returned {scored!r}: a score is a number from 0 to 1, or None for no signal."
        )
    return score


def _charged(scoring: Scoring, trace: Trace) -> Scoring:
    """Pass a scorer's calls on to the driver and note their cost."""
    try:
        call = next(scoring)
        while True:
            try:
                answer = yield replace(call, purpose="score", final=False)
            except Exception as error:
                trace.failed(call.tier, error, call.n)
                call = scoring.throw(error)
            else:
                trace.answered(answer, "sample", accepted=False)
                call = scoring.send(answer)
    except StopIteration as done:
        score: float | None = done.value
        return score
    finally:
        scoring.close()


def _name(scorer: ScoreFunction) -> str:
    return getattr(scorer, "__name__", None) or repr(scorer)
