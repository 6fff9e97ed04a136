"""Measures of routing between a weak and a strong model: how much of the gap is recovered, and with how many strong calls."""

from __future__ import annotations

from frugal_core.evaluation.metrics import Curve, area, cost_at_accuracy

_ROUNDING = 1e-12


def gap_recovered(quality: float, weak: float, strong: float) -> float | None:
    """PGR, the share of the gap between a weak and a strong model that is recovered: (r − w) / (s − w).

    Ong et al. 2024 (arXiv 2406.18665), section 3.2.

    Args:
        quality: Mean quality of what was served.
        weak: That of the weak model alone.
        strong: That of the strong model alone.

    Returns:
        0 for the weak model's quality, 1 for the strong one's, more above it; `None` where the strong one is not the better.

    >>> gap_recovered(0.75, 0.5, 1.0)
    0.5
    """
    return (quality - weak) / (strong - weak) if strong - weak > _ROUNDING else None


def average_gap_recovered(calls: Curve, weak: float, strong: float) -> float | None:
    """APGR, the share of the gap recovered on average over all shares of strong calls from 0 to 1.

    Ong et al. 2024, section 3.2: (AUC − AUC of the weak model) / (AUC of the strong one − AUC of the weak one), that is the
    area under `gap_recovered`. The curve begins at no strong call with the weak model, unless it has such a point itself, and
    stays flat after its last point: who may ask the strong model more often need not; up to the strong model's own quality,
    which asking it always attains, it rises in a straight line.

    Args:
        calls: Points (share of queries for which the strong model is called, mean quality), by rising share; of several
            points with the same share the last counts.
        weak: Mean quality of the weak model alone.
        strong: That of the strong model alone.

    Returns:
        0.5 for random routing between the two; `None` where the strong one is not the better.

    >>> round(average_gap_recovered([(0.5, 0.8)], 0.6, 0.8), 3)
    0.75
    """
    if gap_recovered(weak, weak, strong) is None:
        return None
    mean = area(_complete(calls, weak, strong), 0.0, 1.0)
    return None if mean is None else gap_recovered(mean, weak, strong)


def calls_to_recover(calls: Curve, weak: float, strong: float, share: float) -> float | None:
    """CPT, the least share of strong calls that recovers some share of the gap.

    Ong et al. 2024, section 3.2, where it is given in per cent.

    Args:
        calls: As for `average_gap_recovered`.
        weak: Mean quality of the weak model alone.
        strong: That of the strong model alone.
        share: Of the gap, such as 0.5 or 0.8.

    Returns:
        In [0, 1]; `None` where the strong model is not the better.

    >>> round(calls_to_recover([(0.5, 0.8)], 0.6, 0.8, 0.5), 3)
    0.25
    """
    if gap_recovered(weak, weak, strong) is None:
        return None
    wanted = weak + share * (strong - weak) - _ROUNDING
    return cost_at_accuracy(_complete(calls, weak, strong), wanted)


def _complete(calls: Curve, weak: float, strong: float) -> Curve:
    """With the ends that the two models alone are."""
    points = [(0.0, weak), *sorted(calls, key=lambda point: point[0])]
    return [*points, (1.0, strong)] if points[-1][1] < strong else points
