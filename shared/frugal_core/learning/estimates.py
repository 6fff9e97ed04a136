"""Learns the estimates that cascade routing goes by, and what they say of rows that did not teach them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

from frugal_core.agreement import NAMED
from frugal_core.learning.columns import Floats
from frugal_core.learning.logistic import Logistic, folds_of
from frugal_core.learning.recorded_answers import recorded_answer, recorded_query
from frugal_core.learning.setting import Setting, flawed_answers
from frugal_core.policies.estimates import Estimates, inputs, place_of, shown, subsets
from frugal_core.predictors.query_features import query_features
from frugal_core.types import Tier

FEWEST = 20
"""Rows that tell what the absence of something means."""

_PENALTY = 3.0
_SUREST = 0.999
_TEXTS = 0.9
_TELLING = 0.1
_GAIN = 0.02


@dataclass(frozen=True)
class Shown:
    """What recordings show before anything is learned from them.

    Attributes:
        correct: Shape (queries, models).
        query: Shape (queries, features): of the queries' surface.
        answer: Per model, shape (queries, features): what its answer shows of itself.
        scored: Shape (queries, models): which answers have a score.
        flawed: Shape (queries, models): which answers are of no use.
        texts: Per model, the answers' texts.
        asked: Whether the queries' texts were recorded, and not something that stands for them.
        told: Whether the answers' were.
    """

    correct: Floats
    query: Floats
    answer: tuple[Floats, ...]
    scored: npt.NDArray[np.bool_]
    flawed: npt.NDArray[np.bool_]
    texts: tuple[tuple[str, ...], ...]
    asked: bool
    told: bool

    @classmethod
    def of(cls, setting: Setting) -> Shown:
        """Look at every answer once, as a policy does."""
        tiers = tuple(map(Tier, setting.models))
        rows, models = setting.correct.shape
        queries = [recorded_query(setting, row, tiers) for row in range(rows)]
        answer, texts = [], []
        for model in range(models):
            said = [recorded_answer(setting, row, model, model) for row in range(rows)]
            scores = [None if score != score else score for score in setting.score[:, model].tolist()]
            looked = [shown(*about) for about in zip(queries, said, scores, strict=True)]
            answer.append(np.array(looked, dtype=float).reshape(rows, -1))
            texts.append(tuple(one.text for one in said))
        return cls(
            setting.correct,
            np.array([query_features(query) for query in queries], dtype=float),
            tuple(answer),
            ~np.isnan(setting.score),
            flawed_answers(setting.answers, setting.finish_reasons),
            tuple(texts),
            bool(np.mean([text is not None for text in setting.queries]) >= _TEXTS),
            bool(np.mean([text is not None for text in setting.answers.ravel()]) >= _TEXTS),
        )

    def rows(self, chosen: npt.NDArray[np.bool_]) -> Shown:
        """The same for some of the queries."""
        places = np.flatnonzero(chosen)
        return Shown(
            self.correct[places],
            self.query[places],
            tuple(features[places] for features in self.answer),
            self.scored[places],
            self.flawed[places],
            tuple(tuple(column[place] for place in places) for column in self.texts),
            self.asked,
            self.told,
        )

    def pairs(self, same: str | None) -> dict[tuple[int, int], Floats]:
        """Whether the answers of two models agree, per pair, shape (queries,)."""
        return (
            {}
            if same is None
            else {
                (one, other): agreement(self.texts[one], self.texts[other], same)
                for one, other in combinations(range(len(self.texts)), 2)
            }
        )

    def unusable(self, required: Sequence[bool]) -> npt.NDArray[np.bool_]:
        """Which answers are left behind: the flawed ones, and those without a score where there always was one."""
        result: npt.NDArray[np.bool_] = self.flawed | (~self.scored & np.array(required, dtype=bool))
        return result


Table = Mapping[tuple[int, ...], Floats]
"""Per set of known models, shape (queries, models): P(right) of each; NaN where nobody asks for it."""


def learn(seen: Shown, models: Sequence[str], depth: int, *, fusion: bool, queries: bool = True) -> tuple[Estimates, Table]:
    """Learn from all rows; and what estimates learned without a row's fold say of that row.

    The regressions of the second layer are learned on log-odds that the first gives for rows left out, or they would trust it
    too much.

    Args:
        seen: The recordings.
        models: Names of the models.
        depth: Most answers taken into account at once.
        fusion: Whether to look at agreement between answers, where that tells right from wrong.
        queries: Whether to look at the queries' surface, where that tells who will be right.
    """
    rows, count = seen.correct.shape
    folds = folds_of(range(rows))
    same = comparison(seen) if fusion else None
    required = tuple(
        bool(seen.scored[:, model].any()) and int((~seen.scored[:, model] & ~seen.flawed[:, model]).sum()) < FEWEST
        for model in range(count)
    )
    usable = ~seen.unusable(required)
    whole = np.ones(rows, dtype=bool)
    asked = range(count if seen.asked and queries else 0)
    query = [_crossed(seen.query, seen.correct[:, model], whole, folds, None) for model in asked]
    means = _means_left_out(seen.correct, folds)
    if query and not _tells([left_out for _, left_out in query], means, seen.correct):
        query = []
    answer = [_crossed(seen.answer[model], seen.correct[:, model], usable[:, model], folds, None) for model in range(count)]
    own = [log_odds(left_out) for _, left_out in answer]
    # a fold that was right more often leaves the others right less often: that must not be learned from
    ante = [log_odds(left_out) - log_odds(means[:, model]) for model, (_, left_out) in enumerate(query)]
    ante = [shifted + log_odds(seen.correct[:, model].mean()) for model, shifted in enumerate(ante)]
    pairs = seen.pairs(same)
    heads: list[tuple[Logistic | None, ...]] = []
    table: dict[tuple[int, ...], Floats] = {}
    for known in subsets(count, depth):
        there = np.asarray(usable[:, list(known)].all(axis=1))
        row: list[Logistic | None] = []
        table[known] = np.full((rows, count), np.nan)
        for model in range(count):
            if not _asked(known, model, count, depth):
                row.append(None)
                continue
            features = _stacked(inputs(known, model, own, ante, pairs, fusion=same is not None), rows)
            head, table[known][:, model] = _crossed(features, seen.correct[:, model], there, folds, _PENALTY)
            row.append(head)
        heads.append(tuple(row))
    estimates = Estimates(
        tuple(models), depth, same, required, tuple(head for head, _ in query), tuple(head for head, _ in answer), tuple(heads)
    )
    return estimates, table


def apply(estimates: Estimates, seen: Shown) -> Table:
    """What estimates say of other recordings of the same models: `Estimates.chances` for all rows at once."""
    rows, count = seen.correct.shape
    own = [log_odds(head.probabilities(features)) for head, features in zip(estimates.answer, seen.answer, strict=True)]
    ante = [log_odds(head.probabilities(seen.query)) for head in estimates.query]
    pairs = seen.pairs(estimates.same)
    table = {}
    for known in subsets(count, estimates.depth):
        table[known] = np.full((rows, count), np.nan)
        for model, head in enumerate(estimates.heads[place_of(known, count, estimates.depth)]):
            if head is not None:
                features = inputs(known, model, own, ante, pairs, fusion=estimates.same is not None)
                table[known][:, model] = head.probabilities(_stacked(features, rows))
    return table


def comparison(seen: Shown) -> str | None:
    """How to compare answers: the way in which right answers agree more often than a right and a wrong one; `None` if no way.

    Answers that were not recorded, or are free texts that never agree, say nothing.
    """
    if not seen.told:
        return None
    best, chosen = _TELLING, None
    right = seen.correct >= 0.5
    for same in ("normalised", "numeric"):
        both, one = [0.0, 0.0], [0.0, 0.0]
        for (first, second), alike in seen.pairs(same).items():
            for sums, rows in ((both, right[:, first] & right[:, second]), (one, right[:, first] ^ right[:, second])):
                sums[0] += float(alike[rows].sum())
                sums[1] += int(rows.sum())
        telling = both[0] / max(both[1], 1) - one[0] / max(one[1], 1)
        if telling > best:
            best, chosen = telling, same
    return chosen


def agreement(one: Sequence[str], other: Sequence[str], same: str) -> Floats:
    """Whether two models' answers agree.

    Args:
        one: Texts of the first model.
        other: Of the second.
        same: How to compare.

    Returns:
        Shape (queries,): 1 or 0.

    >>> agreement(["7", "A"], ["7.0", "B"], "normalised").tolist()
    [1.0, 0.0]
    """
    compare = lru_cache(maxsize=None)(NAMED[same])
    return np.array([float(compare(*both)) for both in zip(one, other, strict=True)], dtype=float)


def log_odds(p: npt.ArrayLike) -> Floats:
    """Log-odds of probabilities, which count as at most 0.999 and at least 0.001."""
    chances = np.clip(np.asarray(p, dtype=float), 1 - _SUREST, _SUREST)
    result: Floats = np.log(chances / (1 - chances))
    return result


def _means_left_out(correct: Floats, folds: npt.NDArray[np.int64]) -> Floats:
    """Shape (queries, models): how often each model was right in the other folds."""
    result = np.empty_like(correct)
    for fold in np.unique(folds):
        result[folds == fold] = correct[folds != fold].mean(axis=0)
    return result


def _tells(predicted: Sequence[Floats], means: Floats, correct: Floats) -> bool:
    """Whether the queries' surface tells more of who will be right than how often each model is."""

    def loss(chances: Floats) -> float:
        p = np.clip(chances, 1 - _SUREST, _SUREST)
        return float(-(correct * np.log(p) + (1 - correct) * np.log(1 - p)).mean())

    return loss(np.stack(predicted, axis=1)) < (1 - _GAIN) * loss(means)


def _asked(known: Sequence[int], model: int, models: int, depth: int) -> bool:
    """Whether anybody wants to know a model's chance: not that of one which cannot be asked any more."""
    return model in known or len(known) < min(depth, models)


def _stacked(features: Sequence[Floats], rows: int) -> Floats:
    return np.column_stack(features) if features else np.empty((rows, 0))


def _crossed(
    features: Floats, labels: Floats, use: npt.NDArray[np.bool_], folds: npt.NDArray[np.int64], penalty: float | None
) -> tuple[Logistic, Floats]:
    """A regression on the rows to use, and what those without each fold say of it."""
    if use.sum() < 2:
        use = np.ones(len(labels), dtype=bool)
    whole = Logistic.fit(features[use], labels[use], penalty=penalty)
    left_out = np.empty(len(labels))
    for fold in np.unique(folds):
        held, rest = folds == fold, use & (folds != fold)
        part = Logistic.fit(features[rest], labels[rest], penalty=whole.penalty) if rest.any() else whole
        left_out[held] = part.probabilities(features[held])
    return whole, left_out
