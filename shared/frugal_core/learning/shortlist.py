"""The few models worth working out in full, of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frugal_core.learning.frontier import mean_quality
from frugal_core.learning.setting import Setting
from frugal_core.learning.threshold_search import Ranked, search_order


def best_together(setting: Setting, most: int) -> list[int]:
    """Indices of models, rising, whose cascades of up to two reach most: one after another, that which adds most area.

    The area is the mean quality over all budgets from the cheapest model's mean cost to the dearest's.

    Args:
        setting: The recordings.
        most: How many at most.
    """
    models = len(setting.models)
    if models <= most:
        return list(range(models))
    ranked = Ranked.of(setting.correct, setting.cost, setting.score, setting.scoring)
    cost = setting.cost.mean(axis=0)
    low, high = float(cost.min()), float(cost.max())
    curves = {}
    for first in range(models):
        for second in range(models):
            reached = search_order(ranked, (first,) if first == second else (first, second))
            curves[first, second] = np.stack([reached.cost, reached.quality], axis=1)

    def reach(chosen: Sequence[int]) -> float:
        points = np.concatenate([curves[pair] for pair in ((one, other) for one in chosen for other in chosen)])
        return mean_quality(points[:, 0], points[:, 1], low, high)

    chosen: list[int] = []
    while len(chosen) < most:
        others = [model for model in range(models) if model not in chosen]
        chosen.append(max(others, key=lambda model: reach([*chosen, model])))
    return sorted(chosen)
