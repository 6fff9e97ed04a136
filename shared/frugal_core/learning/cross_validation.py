"""Compares families of policies on queries that taught them nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.learning.columns import Floats
from frugal_core.learning.logistic import folds_of
from frugal_core.learning.objective import Objective
from frugal_core.learning.path import Family
from frugal_core.learning.setting import Setting


@dataclass(frozen=True)
class Trial:
    """How a family did.

    Attributes:
        family: Its name.
        cost: Shape (queries,): what each query would have cost under the policy chosen without it.
        quality: Shape (queries,): quality of its answer.
        reason: Why the family could not be tried; there are no costs and qualities then.
    """

    family: str
    cost: Floats
    quality: Floats
    reason: str | None = None

    @property
    def mean_cost(self) -> float:
        """Cost per query."""
        return float(self.cost.mean())

    @property
    def mean_quality(self) -> float:
        """Mean quality."""
        return float(self.quality.mean())


def cross_validate(
    families: Sequence[Family],
    setting: Setting,
    objective: Objective,
    folds: int = 5,
    progress: Callable[[str, int], None] = lambda family, fold: None,
) -> list[Trial]:
    """Let each family learn from all folds but one, choose for the objective, and answer the one left out.

    Args:
        families: The families.
        setting: The recordings.
        objective: What a policy is chosen for, by what is expected of it.
        folds: How many parts the queries are dealt out to, at least 2.
        progress: Told the family's name and the fold before each is begun.

    Returns:
        One trial per family, in the same order.
    """
    parts = folds_of(range(len(setting.correct)), folds)
    return [_trial(family, setting, objective, parts, progress) for family in families]


def _trial(
    family: Family,
    setting: Setting,
    objective: Objective,
    parts: np.ndarray[tuple[int], np.dtype[np.int64]],
    progress: Callable[[str, int], None],
) -> Trial:
    cost, quality = np.zeros(len(parts)), np.zeros(len(parts))
    for part in range(int(parts.max()) + 1):
        progress(family.name, part)
        held = parts == part
        try:
            path = family.fit(setting.rows(~held))
        except (ConfigurationError, RecordingsError) as error:
            return Trial(family.name, np.empty(0), np.empty(0), str(error))
        place = objective.place(path.cost, path.quality)
        replayed = path.replay(setting.rows(held))
        cost[held], quality[held] = replayed.cost[place], replayed.quality[place]
    return Trial(family.name, cost, quality)
