"""Calibration on top of any scorer."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from frugal_core.errors import ConfigurationError
from frugal_core.saving import saveable
from frugal_core.scorers.base import Scored, ScoreFunction, Scorer, Scoring, as_score, needs_logprobs
from frugal_core.scorers.features import graded_rows, plain_score
from frugal_core.types import Answer, Query

if TYPE_CHECKING:  # deciding by a margin loads no numpy
    from frugal_core.learning.calibration import Calibration, Form, Method


@saveable("calibrated")
@dataclass(frozen=True)
class Calibrated(Scorer):
    """Another scorer's score, turned into the probability that the answer is right: `Calibrated(Margin(), calibration)`.

    Attributes:
        scorer: The scorer, also one that makes calls.
        calibration: From score to probability.

    No score stays no score.
    """

    scorer: ScoreFunction
    calibration: Calibration

    def __post_init__(self) -> None:
        if not callable(self.scorer):
            raise ConfigurationError(f"{self.scorer!r} must be a scorer or a function (query, answer) -> float | None.")
        if not callable(self.calibration):
            raise ConfigurationError(f"calibration={self.calibration!r} must be a Calibration: learn one by Calibrated.fit.")

    @classmethod
    def fit(
        cls,
        scorer: ScoreFunction,
        queries: Sequence[Query],
        answers: Sequence[Answer],
        correct: Sequence[float | None],
        *,
        form: Form = "one_sided",
        method: Method | None = None,
    ) -> Calibrated:
        """Learn the calibration of a scorer; rows without a score, or that nobody graded, are left out.

        Args:
            scorer: One that makes no calls. Of one that does, record the scores and use `Calibration.fit`.
            queries: The queries, one per answer.
            answers: An answer to each.
            correct: From 0 (wrong) to 1 (right), `None` where unknown.
            form: `"one_sided"` for the probability of a choice, `"two_sided"` for P(True) of a free text.
            method: As in `Calibration.fit`.

        Raises:
            ConfigurationError: Fewer than 10 rows with a score and a grade, or values that do not fit.
        """
        from frugal_core.learning.calibration import Calibration

        graded = [
            (score, label)
            for query, answer, label in graded_rows(queries, answers, correct)
            if label == label and (score := plain_score(scorer, query, answer)) is not None
        ]
        scores, labels = [score for score, _ in graded], [label for _, label in graded]
        return cls(scorer, Calibration.fit(scores, labels, form=form, method=method))

    @property
    def needs_logprobs(self) -> bool:  # type: ignore[override]
        """As the scorer."""
        return needs_logprobs(self.scorer)

    def applies(self, query: Query, answer: Answer) -> bool:
        """Where the scorer does."""
        return self.scorer.applies(query, answer) if isinstance(self.scorer, Scorer) else True

    def __call__(self, query: Query, answer: Answer) -> Scored:
        """P(right), in [0, 1]; `None` where the scorer has no signal."""
        scored = self.scorer(query, answer)
        return self._later(scored) if isinstance(scored, Generator) else self._calibrated(scored)

    def state(self) -> Mapping[str, Any]:
        """Scorer and calibration."""
        return {"scorer": self.scorer, "calibration": vars(self.calibration)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Calibrated:
        """Back from `state`."""
        from frugal_core.learning.calibration import Calibration

        return cls(state.get("scorer"), Calibration(**state.get("calibration", {})))  # type: ignore[arg-type]

    def _later(self, scoring: Scoring) -> Scoring:
        return self._calibrated((yield from scoring))

    def _calibrated(self, scored: Any) -> float | None:
        score = as_score(self.scorer, scored)
        return None if score is None else self.calibration(score)
