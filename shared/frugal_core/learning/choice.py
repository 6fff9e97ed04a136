"""The choice among families of policies: which does best what is asked, on queries that taught it nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from frugal_core.errors import RecordingsError
from frugal_core.learning.cascade_path import FEWEST
from frugal_core.learning.columns import Floats
from frugal_core.learning.cross_validation import Trained, Trial, cross_validate
from frugal_core.learning.objective import Objective
from frugal_core.learning.path import Family, Path, Replayed
from frugal_core.learning.setting import Setting
from frugal_core.policies.base import Policy
from frugal_core.policies.fitted import Candidate

_SLACK = {"budget": 0.03, "quality": 0.0, "best": 0.0}
"""By how much a family may miss an objective in cross-validation and still count as keeping it: that is noise."""

_UNSEEN = (0.0, 1.0)
"""Added to qualities for their standard error: that no answer of thirty was wrong does not prove that none will be."""


@dataclass(frozen=True)
class Choice:
    """The family that did best.

    Attributes:
        objective: What was asked.
        trials: How each did.
        place: Which of them did best.
    """

    objective: Objective
    trials: tuple[Trial, ...]
    place: int

    @classmethod
    def of(cls, trained: Sequence[Trained], objective: Objective) -> Choice:
        """By the objective, among those that keep it but for noise; the first of equals, so give the simplest first."""
        trials = tuple(each.trial(objective) for each in trained)
        tried = [place for place, trial in enumerate(trials) if trial.reason is None]
        cost = np.array([trials[place].mean_cost for place in tried])
        quality = np.array([trials[place].mean_quality for place in tried])
        slack = _SLACK[objective.kind]
        keeping = np.array([objective.kept(cost[i], quality[i], slack) for i in range(len(tried))])
        if not keeping.any():
            best = objective.place(cost, quality)
        elif objective.kind == "quality":
            best = int(np.lexsort((-quality, np.where(keeping, cost, math.inf)))[0])
        else:
            best = int(np.lexsort((cost, -np.where(keeping, quality, -math.inf)))[0])
        return cls(objective, trials, tried[best])

    @property
    def trial(self) -> Trial:
        """How the chosen one did."""
        return self.trials[self.place]

    @property
    def kept(self) -> bool:
        """Whether the chosen one keeps the objective, but for noise."""
        return self.objective.kept(self.trial.mean_cost, self.trial.mean_quality, _SLACK[self.objective.kind])

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All, for a report."""
        return tuple(map(_candidate, self.trials))

    def reason(self, unit: str, asked: str | None = None, word: str = "quality") -> str:
        """Why it was chosen.

        Args:
            unit: Of the costs.
            asked: What was asked for, in words; the objective by default.
            word: What quality means here.
        """
        others = [_told(trial) for place, trial in enumerate(self.trials) if trial.reason is None and place != self.place]
        beside = f" In comparison: {', '.join(others)}." if others else ""
        missed = "" if self.kept else ", which none keeps"
        if self.kept and not self.objective.kept(self.trial.mean_cost, self.trial.mean_quality):
            missed = f" (but for {_SLACK[self.objective.kind]:.0%}, which is noise)"
        return (
            f"Asked for {asked or self.objective}{missed}: {_told(self.trial)} ({word} ± standard error, {unit}), on queries "
            f"that taught it nothing.{beside}"
        )


def _candidate(trial: Trial) -> Candidate:
    if trial.reason is not None:
        return Candidate(trial.family, reason=trial.reason)
    cost_error = float(trial.cost.std()) / math.sqrt(len(trial.cost))
    return Candidate(trial.family, trial.mean_cost, trial.mean_quality, cost_error, _quality_error(trial))


def _quality_error(trial: Trial) -> float:
    qualities = np.append(trial.quality, _UNSEEN)
    return float(qualities.std()) / math.sqrt(len(qualities))


def _told(trial: Trial) -> str:
    return f"{trial.family} {trial.mean_quality:.3f} ± {_quality_error(trial):.3f} at {trial.mean_cost:.4g}"


@dataclass(frozen=True)
class ChosenPath(Path):
    """For each budget the policy that `fit` would choose.

    Attributes:
        paths: What each family learned.
        members: Of each policy: the place of its family's path, and its place there.
    """

    family: str
    models: tuple[str, ...]
    cost: Floats
    quality: Floats
    paths: tuple[Path | None, ...]
    members: tuple[tuple[int, int], ...]

    def replay(self, setting: Setting) -> Replayed:
        """As the families' own policies."""
        done = {i: path.replay(setting) for i in {i for i, _ in self.members} if (path := self.paths[i]) is not None}
        parts = [(done[i], place) for i, place in self.members]
        return Replayed(
            np.array([replayed.quality[place] for replayed, place in parts]),
            np.array([replayed.cost[place] for replayed, place in parts]),
            np.array([replayed.served[place] for replayed, place in parts]),
            np.array([replayed.calls[place] for replayed, place in parts]),
        )

    def policy(self, place: int) -> Policy:
        """That of its family."""
        number, inner = self.members[place]
        path = self.paths[number]
        assert path is not None
        return path.policy(inner)


@dataclass(frozen=True)
class Chosen:
    """What `fit` chooses, for every budget at once.

    Attributes:
        families: What it chooses from.
        folds: Parts of its cross-validation.
    """

    families: tuple[Family, ...]
    folds: int = 5
    name: str = "fit"

    def fit(self, setting: Setting) -> ChosenPath:
        """From all rows of a setting.

        Raises:
            RecordingsError: There are fewer than 10 queries.
        """
        if len(setting.correct) < FEWEST:
            raise RecordingsError(
                f"{setting.dataset}: {len(setting.correct)} queries are too few to choose among families: record {FEWEST}."
            )
        trained = cross_validate(self.families, setting, self.folds)
        paths = tuple(
            None if each.reason is not None else family.fit(setting)
            for family, each in zip(self.families, trained, strict=True)
        )
        found: dict[tuple[int, int], Trial] = {}
        for budget in sorted({float(cost) for path in paths if path is not None for cost in path.cost}):
            objective = Objective("budget", budget)
            choice = Choice.of(trained, objective)
            path = paths[choice.place]
            assert path is not None
            found.setdefault((choice.place, objective.place(path.cost, path.quality)), choice.trial)
        cost = np.array([_path_cost(paths, member) for member in found])
        quality = np.array([trial.mean_quality for trial in found.values()])
        order = np.argsort(cost, kind="stable")
        members = list(found)
        return ChosenPath(
            self.name, setting.models, cost[order], quality[order], paths, tuple(members[place] for place in order)
        )


def _path_cost(paths: Sequence[Path | None], member: tuple[int, int]) -> float:
    path = paths[member[0]]
    assert path is not None
    return float(path.cost[member[1]])
