"""What families of policies do on queries that taught them nothing: learned on some, replayed on the others, pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from frugal_core.agreement import normalised
from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.learning.columns import Floats
from frugal_core.learning.logistic import folds_of
from frugal_core.learning.path import Family, Path, Replayed
from frugal_core.learning.setting import Setting

_ROUNDING = 1e-9
_RIGHT = 1.0 - _ROUNDING


@dataclass(frozen=True)
class Fold:
    """One way to part the queries.

    Attributes:
        learn: Shape (queries,): mask of those that may be learned from.
        test: Shape (queries,): mask of those that are replayed.
    """

    learn: npt.NDArray[np.bool_]
    test: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Held:
    """What one family did on all held-out queries, budget by budget. Each row is a policy per fold, pooled over the folds.

    Attributes:
        budget: Shape (rows,): cost per query that was not to be passed, by rising; NaN for the last row.
        cost: Shape (rows, queries): cost of all calls.
        quality: Shape (rows, queries): quality of the served answer.
        differs: Shape (rows, queries): how far the served answer differs from the reference's, in [0, 1].
        worse: Shape (rows, queries): how much worse its grade is than that of the reference's.
        calls: Shape (rows, models): calls per query.

    The last row holds no budget: it is the cheapest policy that on the learning rows was expected to be as good as the best
    single model, or else the best there was.
    """

    budget: Floats
    cost: Floats
    quality: Floats
    differs: Floats
    worse: Floats
    calls: Floats


@dataclass(frozen=True)
class Loss:
    """How far each model's answers are from the reference's.

    Attributes:
        differs: Shape (queries, models), in [0, 1]: whether they say something else.
        worse: Shape (queries, models), in [0, 1]: by how much their grades are worse; what `fit` certifies by default.
        compared: What `differs` is about, in words.
    """

    differs: Floats
    worse: Floats
    compared: str


def folds_for(setting: Setting, folds: int | None) -> tuple[list[Fold], str]:
    """The folds: the file's own split, or k of them over all queries. Queries with the same text stay together.

    Args:
        setting: The dataset.
        folds: How many, at least 2; `None` for the file's split where it has both sides, else 5.

    Returns:
        The folds, and what was done, in words.

    Raises:
        ConfigurationError: `folds` is below 2.
        RecordingsError: There are fewer than two different queries.
    """
    if folds is not None and folds < 2:
        raise ConfigurationError(f"folds={folds} is out of range: give 2 or more, or none for the file's own split.")
    train = setting.train
    if folds is None and train.any() and not train.all():
        return [Fold(train, ~train)], "file split"
    groups = _groups(setting)
    wanted = min(folds or 5, int(groups.max()) + 1 if len(groups) else 0)
    if wanted < 2:
        raise RecordingsError(
            f"{setting.dataset}: has {len(groups)} queries, {wanted} of them different; learning on some and measuring on "
            "others takes at least 2."
        )
    part = folds_of(groups, wanted)
    return [Fold(part != place, part == place) for place in range(wanted)], f"{wanted}-fold cross-validation"


def learning_rows(setting: Setting, fold: Fold) -> Setting:
    """What a family may learn from."""
    rows = setting.rows(fold.learn)
    return replace(rows, train=np.ones(len(rows.train), dtype=bool))


def losses(setting: Setting, reference: int) -> Loss:
    """How far each model's answers are from the reference's.

    Texts agree when they are the same apart from form, or when both are right. Where texts were not recorded, the distance of
    the grades counts.

    Args:
        setting: The dataset.
        reference: Index of the reference.
    """
    quality, answers = setting.correct, setting.answers
    worse = np.maximum(quality[:, [reference]] - quality, 0.0)
    if any(answer is None for answer in answers.ravel()):
        return Loss(np.abs(quality - quality[:, [reference]]), worse, "grades (answers were not recorded)")
    same = np.array([[normalised(answer, row[reference]) for answer in row] for row in answers])
    right = quality >= _RIGHT
    agree = same | (right & right[:, [reference]])
    return Loss((~agree).astype(np.float64), worse, "answers (the same apart from form, or both right)")


def learn(family: Family, setting: Setting, folds: Sequence[Fold]) -> list[Path]:
    """What a family learns in each fold.

    Raises:
        RecordingsError: The recordings lack what this family needs.
        ConfigurationError: Likewise.
    """
    return [family.fit(learning_rows(setting, fold)) for fold in folds]


def held_out(paths: Sequence[Path], setting: Setting, folds: Sequence[Fold], loss: Loss, points: int) -> Held:
    """Replay what was learned in each fold on the rest.

    For each budget each fold serves the policy that is expected to be best within it; below the cheapest one, the cheapest
    single model. Qualities and costs of the folds are pooled.

    Args:
        paths: What was learned, fold by fold.
        setting: The dataset.
        folds: How its queries are parted.
        loss: See `losses`.
        points: Most budgets, spread evenly over the policies' costs.
    """
    costs = np.unique(np.concatenate([path.cost for path in paths]))
    budgets = costs[np.unique(np.linspace(0, len(costs) - 1, min(points, len(costs))).round().astype(int))]
    chosen = np.array([_choose(path, learning_rows(setting, fold), budgets) for path, fold in zip(paths, folds, strict=True)])
    kept = np.flatnonzero(np.concatenate([[True], (np.diff(chosen, axis=1) != 0).any(axis=0)[:-1], [True]]))
    chosen = chosen[:, kept]
    budget = np.concatenate([[float(setting.cost.mean(axis=0).min())], budgets, [np.nan]])[kept]
    shape = (len(kept), len(setting.correct))
    cost, quality, differs, worse = (np.zeros(shape) for _ in range(4))
    calls = np.zeros((len(kept), len(setting.models)))
    tested = np.zeros(shape[1], dtype=bool)
    for path, fold, places in zip(paths, folds, chosen, strict=True):
        test = setting.rows(fold.test)
        cheapest = int(np.argmin(setting.cost[fold.learn].mean(axis=0)))
        replayed = _with_cheapest(path.replay(test), test, cheapest)
        queries = np.flatnonzero(fold.test)
        served = replayed.served[places]
        cost[:, queries], quality[:, queries] = replayed.cost[places], replayed.quality[places]
        differs[:, queries], worse[:, queries] = loss.differs[queries, served], loss.worse[queries, served]
        calls += replayed.calls[places] * len(queries)
        tested |= fold.test
    return Held(budget, cost[:, tested], quality[:, tested], differs[:, tested], worse[:, tested], calls / tested.sum())


def random_line(setting: Setting, tested: npt.NDArray[np.bool_], weak: int, strong: int, loss: Loss) -> Held:
    """Random routing between two models: what is expected of a share of 0, 5%, … 100% of the queries for the strong one."""
    share = np.linspace(0, 1, 21)[:, None]
    columns = (setting.cost, setting.correct, loss.differs, loss.worse)
    both = [column[tested][:, [weak, strong]].T for column in columns]
    rows = [*range(len(share)), len(share) - 1]
    cost, quality, differs, worse = (((1 - share) * ends[0] + share * ends[1])[rows] for ends in both)
    calls = np.zeros((len(share), len(setting.models)))
    calls[:, weak] += 1 - share[:, 0]
    calls[:, strong] += share[:, 0]
    return Held(np.append(cost[:-1].mean(axis=1), np.nan), cost, quality, differs, worse, calls[rows])


def _choose(path: Path, rows: Setting, budgets: Floats) -> npt.NDArray[np.int64]:
    """Place in the path for the cheapest single model (-1), each budget, and the quality of the best single model."""
    order = np.argsort(path.cost, kind="stable")
    best = np.maximum.accumulate(path.quality[order])
    leader = order[np.searchsorted(best, best, side="left")]  # of each prefix the first of the best
    within = np.searchsorted(path.cost[order], budgets * (1 + _ROUNDING), side="right")
    places = np.where(within > 0, leader[np.maximum(within - 1, 0)], -1)
    wanted = rows.correct.mean(axis=0).max() - _ROUNDING
    matching = leader[min(int(np.searchsorted(best, wanted)), len(best) - 1)]
    return np.concatenate([[-1], places, [matching]])


def _with_cheapest(replayed: Replayed, test: Setting, cheapest: int) -> Replayed:
    """With the cheapest single model as the last policy."""
    calls = np.eye(1, len(test.models), cheapest)
    return Replayed(
        np.concatenate([replayed.quality, test.correct[:, [cheapest]].T]),
        np.concatenate([replayed.cost, test.cost[:, [cheapest]].T]),
        np.concatenate([replayed.served, np.full((1, len(test.correct)), cheapest)]),
        np.concatenate([replayed.calls, calls]),
    )


def _groups(setting: Setting) -> npt.NDArray[np.int64]:
    """Number of each query's text; a query without one is its own."""
    numbers: dict[Any, int] = {}
    keys = [text if text is not None else row for row, text in enumerate(setting.queries)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
