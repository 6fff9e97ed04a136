"""FrugalGPT's cascades on a learned score: P(right) from all that an answer shows of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.learning.cascade_path import CascadePath, CascadeSearch
from frugal_core.learning.columns import Floats
from frugal_core.learning.path import Path, Replayed
from frugal_core.learning.recorded_answers import RecordedSignal, recorded_answer, recorded_query
from frugal_core.learning.setting import Setting, flawed_answers
from frugal_core.policies.base import Policy
from frugal_core.scorers.base import ScoreFunction
from frugal_core.scorers.learned import Embed, LearnedScorer
from frugal_core.types import Answer, Query, Tier

_PENALTY = 10.0


@dataclass(frozen=True)
class LearnedCascadePath(Path):
    """Cascades on a learned score.

    Attributes:
        found: The cascades, on what `scorer` says.
        scorer: The learned scorer; it looks at recorded signals.
        live: What measures the signal in live answers.
    """

    found: CascadePath
    scorer: LearnedScorer
    live: ScoreFunction

    def __post_init__(self) -> None:
        for name in ("family", "models", "cost", "quality"):
            object.__setattr__(self, name, getattr(self.found, name))

    def replay(self, setting: Setting) -> Replayed:
        """Score the recorded answers, and compare the scores with the thresholds."""
        return self.found.replay(_scored(setting, self.probabilities(setting)))

    def probabilities(self, setting: Setting) -> Floats:
        """Scores of the recorded answers, which are probabilities: shape (queries, models)."""
        queries, answers = _seen(setting)
        scores = [self.scorer(query, answer) for query, answer in zip(queries, answers, strict=True)]
        return np.array(scores, dtype=np.float64).reshape(setting.correct.shape)

    def policy(self, place: int) -> Policy:
        """The cascade, on live answers."""
        live = replace(self.scorer, signals=(self.live,) * len(self.scorer.signals))
        return replace(self.found, scorer=live).policy(place)


@dataclass(frozen=True)
class LearnedCascade:
    """Learns a score of answers, then order and thresholds of cascades on it.

    Chen, Zaharia & Zou 2023 (arXiv 2305.05176), section 3, with a regression for their encoder. Thresholds are not tuned on
    what a scorer was learned from, as in the code published with it, but on scores of scorers that saw no answer to the query
    (`LearnedScorer.cross_fit`). Live scores come from one that saw all.

    Attributes:
        scorer: What measures the signal live; it must make no calls.
        embed: Turns a text into a vector, which the score may depend on as well.
    """

    scorer: ScoreFunction = field(default_factory=RecordedSignal)
    embed: Embed | None = None
    name: str = "cascade on a learned score"

    def fit(self, setting: Setting) -> LearnedCascadePath:
        """From all rows of a setting.

        Raises:
            RecordingsError: The signal took calls of its own, or there is nothing to learn from.
        """
        if setting.scoring.any():
            raise RecordingsError(f"{setting.dataset}: its signal takes calls, so it cannot be looked at before they are made.")
        queries, answers = _seen(setting)
        labels = setting.correct.ravel().tolist()
        signals = () if np.isnan(setting.score).all() else (RecordedSignal(),)
        try:
            scores = LearnedScorer.cross_fit(queries, answers, labels, signals=signals, embed=self.embed, penalty=_PENALTY)
            scorer = LearnedScorer.fit(queries, answers, labels, signals=signals, embed=self.embed, penalty=_PENALTY)
        except ConfigurationError as error:
            raise RecordingsError(f"{setting.dataset}: no score can be learned. {error}") from error
        found = CascadeSearch(scorer=scorer, name=self.name).fit(_scored(setting, scores))
        return LearnedCascadePath(found, scorer, self.scorer)


def _seen(setting: Setting) -> tuple[list[Query], list[Answer]]:
    """Every recorded answer with its query, one query's after another."""
    tiers = tuple(map(Tier, setting.models))
    cells = [(row, model) for row in range(len(setting.correct)) for model in range(len(tiers))]
    queries = [recorded_query(setting, row, tiers) for row in range(len(setting.correct))]
    return [queries[row] for row, _ in cells], [recorded_answer(setting, row, model, model) for row, model in cells]


def _scored(setting: Setting, scores: Sequence[float] | Floats) -> Setting:
    """The setting with these scores, but for answers that are left behind unscored."""
    table = np.asarray(scores, dtype=float).reshape(setting.correct.shape)
    return replace(setting, score=np.where(flawed_answers(setting.answers, setting.finish_reasons), np.nan, table))
