"""Plots accuracy over cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from frugal_core.errors import ConfigurationError
from frugal_core.evaluation.evaluate import DatasetReport
from frugal_core.evaluation.policy_figures import RANDOM, PoliciesReport

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
    _save([partial(_draw, report=report) for report in reports], path)


def plot_policies(reports: Sequence[PoliciesReport], path: Path) -> None:
    """Draw the single models and the curve of each family of policies, for each dataset.

    Args:
        reports: The datasets.
        path: Where to save; the ending decides the format.

    Raises:
        ConfigurationError: matplotlib is missing, or cannot write this format.
    """
    _save([partial(_draw_policies, report=report) for report in reports], path)


def _save(drawings: Sequence[Callable[[Axes], None]], path: Path) -> None:
    """One drawing beside the other."""
    require_matplotlib()
    from matplotlib.figure import Figure

    columns = min(2, len(drawings))
    rows = math.ceil(len(drawings) / columns)
    figure = Figure(figsize=(7 * columns, 4.6 * rows), layout="constrained")
    for place, draw in enumerate(drawings, 1):
        draw(figure.add_subplot(rows, columns, place))
    try:
        figure.savefig(path, dpi=130)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The plot cannot be saved as {str(path)!r}: {error}. Name a .png, .svg or .pdf file."
        ) from error


def _draw(axes: Axes, report: DatasetReport) -> None:
    _draw_singles(axes, [(single.model, single.cost, single.accuracy) for single in report.singles])
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
    axes.set(title=report.setting.dataset, xlabel=report.setting.unit, ylabel="accuracy (test)")
    if report.policies:
        axes.legend(fontsize=7, loc="lower right")


def _draw_policies(axes: Axes, report: PoliciesReport) -> None:
    _draw_singles(axes, [(single.model, single.cost, single.quality) for single in report.singles])
    for family in report.families:
        curve = family.curve
        style = {"linestyle": "--", "color": "grey"} if family.name == RANDOM else {"marker": ".", "markersize": 4}
        axes.plot([point.cost for point in curve], [point.quality for point in curve], label=family.name, **style)
    axes.set(title=report.setting.dataset, xlabel=report.setting.unit, ylabel="quality (held out)")
    axes.legend(fontsize=7, loc="lower right")


def _draw_singles(axes: Axes, singles: Sequence[tuple[str, float, float]]) -> None:
    """Named points; the axis of costs is logarithmic where they lie far apart."""
    costs = [cost for _, cost, _ in singles]
    axes.scatter(costs, [quality for *_, quality in singles], color="black", zorder=3, s=18)
    for name, cost, quality in singles:
        axes.annotate(name, (cost, quality), fontsize=6, xytext=(3, 3), textcoords="offset points")
    if min(costs) > 0 and max(costs) > _WIDE * min(costs):
        axes.set_xscale("log")
