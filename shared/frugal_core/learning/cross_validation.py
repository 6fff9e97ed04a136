"""Compares families of policies on queries that taught them nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.learning.columns import Floats
from frugal_core.learning.logistic import folds_of
from frugal_core.learning.objective import Objective
from frugal_core.learning.path import Family, Path, Replayed
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


@dataclass(frozen=True)
class Trained:
    """A family that learned from all folds but one, once for each.

    Attributes:
        family: Its name.
        folds: Shape (queries,): the fold of each query.
        paths: What it learned without each fold.
        replayed: What that would have done on the fold.
        reason: Why it could not learn; there are no paths then.
    """

    family: str
    folds: npt.NDArray[np.int64]
    paths: tuple[Path, ...] = ()
    replayed: tuple[Replayed, ...] = ()
    reason: str | None = None

    def trial(self, objective: Objective) -> Trial:
        """Each fold answered by the policy that was chosen for the objective without it, by what is expected of it."""
        if self.reason is not None:
            return Trial(self.family, np.empty(0), np.empty(0), self.reason)
        cost, quality = np.zeros(len(self.folds)), np.zeros(len(self.folds))
        for part, (path, replayed) in enumerate(zip(self.paths, self.replayed, strict=True)):
            place, held = objective.place(path.cost, path.quality), self.folds == part
            cost[held], quality[held] = replayed.cost[place], replayed.quality[place]
        return Trial(self.family, cost, quality)


def cross_validate(
    families: Sequence[Family],
    setting: Setting,
    folds: int = 5,
    progress: Callable[[str, int], None] = lambda family, fold: None,
) -> list[Trained]:
    """Let each family learn from all folds but one, for each fold.

    Args:
        families: The families.
        setting: The recordings.
        folds: How many parts the queries are dealt out to, at least 2.
        progress: Told the family's name and the fold before each is begun.

    Returns:
        What each learned, in the same order.
    """
    parts = folds_of(range(len(setting.correct)), folds)
    return [_trained(family, setting, parts, progress) for family in families]


def _trained(family: Family, setting: Setting, parts: npt.NDArray[np.int64], progress: Callable[[str, int], None]) -> Trained:
    paths, replayed = [], []
    for part in range(int(parts.max()) + 1):
        progress(family.name, part)
        held = parts == part
        try:
            path = family.fit(setting.rows(~held))
        except (ConfigurationError, RecordingsError) as error:
            return Trained(family.name, parts, reason=str(error))
        paths.append(path)
        replayed.append(path.replay(setting.rows(held)))
    return Trained(family.name, parts, tuple(paths), tuple(replayed))
