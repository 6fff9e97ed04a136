"""Plots accuracy over cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frugal_core.errors import ConfigurationError
from frugal_core.evaluation.evaluate import DatasetReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CURVES = 3
_WIDE = 20
_STEPS = 50


def require_matplotlib() -> None:
    """Check that plots can be drawn.

    Raises:
        ConfigurationError: matplotlib is not installed; names the extra that brings it.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "Plots need matplotlib: pip install 'langchain-frugal[plots]', or leave --plot out."
        ) from error


def plot(reports: Sequence[DatasetReport], path: Path) -> None:
    """Draw single models and the best cascades of each dataset, and random routing between the ends of the first.

    Args:
        reports: The datasets.
        path: Where to save; the ending decides the format.

    Raises:
        ConfigurationError: matplotlib is missing, or cannot write this format.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    columns = min(2, len(reports))
    rows = math.ceil(len(reports) / columns)
    figure = Figure(figsize=(7 * columns, 4.6 * rows), layout="constrained")
    for place, report in enumerate(reports, 1):
        _draw(figure.add_subplot(rows, columns, place), report)
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The plot cannot be saved as {str(path)!r}: {error}. Name a .png, .svg or .pdf file."
        ) from error


def _draw(axes: Axes, report: DatasetReport) -> None:
    costs = [single.cost for single in report.singles]
    axes.scatter(costs, [single.accuracy for single in report.singles], color="black", zorder=3, s=18)
    for single in report.singles:
        axes.annotate(single.model, (single.cost, single.accuracy), fontsize=6, xytext=(3, 3), textcoords="offset points")
    by_model = {single.model: single for single in report.singles}
    for policy in report.policies[:_CURVES]:
        curve = policy.curve
        axes.plot([p.cost for p in curve], [p.accuracy for p in curve], marker=".", label=" > ".join(policy.models))
    for policy in report.policies[:1]:
        small, large = by_model[policy.models[0]], by_model[policy.models[-1]]
        shares = [step / _STEPS for step in range(_STEPS + 1)]
        axes.plot(
            [small.cost + share * (large.cost - small.cost) for share in shares],
            [small.accuracy + share * (large.accuracy - small.accuracy) for share in shares],
            linestyle="--",
            color="grey",
            label="random routing between the ends of the first",
        )
    if min(costs) > 0 and max(costs) > _WIDE * min(costs):
        axes.set_xscale("log")
    axes.set(title=report.setting.dataset, xlabel=report.setting.unit, ylabel="accuracy (test)")
    if report.policies:
        axes.legend(fontsize=7, loc="lower right")
