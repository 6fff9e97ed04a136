"""Single models as a family: what every other policy has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from frugal_core.learning.columns import Floats
from frugal_core.learning.frontier import pareto
from frugal_core.learning.path import Path, Replayed
from frugal_core.learning.setting import Setting
from frugal_core.policies.base import Policy
from frugal_core.policies.single import Single


@dataclass(frozen=True)
class SinglePath(Path):
    """Single models that no other beats, the cheapest first.

    Attributes:
        chosen: Index of the model of each policy.
    """

    family: str
    models: tuple[str, ...]
    cost: Floats
    quality: Floats
    chosen: tuple[int, ...]

    def replay(self, setting: Setting) -> Replayed:
        """Their recorded answers."""
        places = np.array(self.chosen)
        rows = len(setting.correct)
        calls = np.zeros((len(places), len(self.models)))
        calls[np.arange(len(places)), places] = 1.0
        served = np.repeat(places[:, None], rows, axis=1)
        return Replayed(setting.correct[:, places].T, setting.cost[:, places].T, served, calls)

    def policy(self, place: int) -> Policy:
        """Always the same model."""
        return Single(self.models[self.chosen[place]])


@dataclass(frozen=True)
class Singles:
    """Learns which single models are worth asking: those that are better than all cheaper ones."""

    name: str = "single model"

    def fit(self, setting: Setting) -> SinglePath:
        """From all rows of a setting."""
        cost, quality = setting.cost.mean(axis=0), setting.correct.mean(axis=0)
        chosen = pareto(cost, quality)
        return SinglePath(self.name, setting.models, cost[chosen], quality[chosen], tuple(chosen.tolist()))
