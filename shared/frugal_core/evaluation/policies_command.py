"""`frugal evaluate --policies`: families of policies, learned on some queries of a file and replayed on the others."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.evaluation.families import chosen_families, described_families
from frugal_core.evaluation.html_report import html_report
from frugal_core.evaluation.plots import plot_policies
from frugal_core.evaluation.policies import POINTS, evaluate_policies
from frugal_core.evaluation.policy_figures import PoliciesReport
from frugal_core.evaluation.policy_report import policies_json, show_policies
from frugal_core.evaluation.preparation import ready
from frugal_core.learning.recordings import Recordings
from frugal_core.learning.setting import Setting

ONLY_HERE = ("folds", "budget_points", "max_disagreement", "confidence", "html")
"""Arguments that mean nothing without --policies."""

_CONFIDENCE = 0.95


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    described = "\n".join(f"{name:<16} {what}" for name, what in described_families().items())
    group = parser.add_argument_group("families of policies", described)
    group.add_argument(
        "--policies",
        nargs="+",
        metavar="NAME",
        help="compare these, held out: all, or some of the above",
    )
    group.add_argument("--folds", type=int, metavar="K", help="k-fold over all queries (default: the file's split, or 5-fold)")
    group.add_argument("--budget-points", type=int, metavar="N", help=f"most budgets of a curve (default: {POINTS})")
    group.add_argument(
        "--max-disagreement",
        nargs="+",
        type=float,
        metavar="D",
        help="ask for these guarantees as well, and measure whether they hold",
    )
    group.add_argument("--confidence", type=float, metavar="C", help=f"of these guarantees (default: {_CONFIDENCE})")
    group.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots and tables")


def run(
    recordings: Sequence[Recordings],
    broken: Sequence[tuple[str, str]],
    sizes: Mapping[str, float],
    arguments: argparse.Namespace,
    console: Console,
    messages: Console,
) -> int:
    """Evaluate all datasets, and write what was asked for.

    Args:
        recordings: The datasets.
        broken: Files that could not be read, and why.
        sizes: Sizes by model.
        arguments: As declared.
        console: Where the report goes.
        messages: Where progress goes.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: An argument is wrong.
        RecordingsError: Nothing could be evaluated.
    """
    families = chosen_families(arguments.policies)
    points = POINTS if arguments.budget_points is None else arguments.budget_points
    if points < 2:
        raise ConfigurationError(f"--budget-points {points} is out of range: give 2 or more.")
    if arguments.folds is not None and arguments.folds < 2:
        raise ConfigurationError(f"--folds {arguments.folds} is out of range: give 2 or more, or leave it out.")
    bounds = arguments.max_disagreement or []
    confidence = _CONFIDENCE if arguments.confidence is None else arguments.confidence
    for name, value in (*(("max-disagreement", bound) for bound in bounds), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ConfigurationError(f"--{name} {value:g} is out of range: give a number between 0 and 1.")

    def evaluated(setting: Setting, tell: Callable[[str], None]) -> PoliciesReport:
        return evaluate_policies(
            setting,
            families,
            folds=arguments.folds,
            points=points,
            max_disagreements=bounds,
            confidence=confidence,
            progress=tell,
        )

    reports, skipped = _evaluate_all(recordings, evaluated, len(families) + len(bounds), sizes, arguments, messages)
    skipped = [*broken, *skipped]
    if not reports:
        raise RecordingsError("\n".join(reason for _, reason in skipped))
    for report in reports:
        show_policies(console, report)
    for name, reason in skipped:
        console.print(f"[bold red]Not evaluated:[/] {escape(name)}: {escape(reason)}", highlight=False, soft_wrap=True)
    if arguments.json:
        arguments.json.write_text(policies_json(reports, skipped), encoding="utf-8")
    if arguments.html:
        arguments.html.write_text(html_report(reports, skipped), encoding="utf-8")
    if arguments.plot:
        plot_policies(reports, arguments.plot)
    return 1 if broken else 0


def _evaluate_all(
    recordings: Sequence[Recordings],
    evaluated: Callable[[Setting, Callable[[str], None]], PoliciesReport],
    steps: int,
    sizes: Mapping[str, float],
    arguments: argparse.Namespace,
    messages: Console,
) -> tuple[list[PoliciesReport], list[tuple[str, str]]]:
    reports: list[PoliciesReport] = []
    skipped: list[tuple[str, str]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages, disable=not messages.is_terminal, transient=True) as progress:
        for dataset in recordings:
            task = progress.add_task(dataset.dataset, total=steps)

            def tell(family: str, task: TaskID = task, name: str = dataset.dataset) -> None:
                progress.update(task, advance=1, description=f"{name}: {family}")

            try:
                setting = ready(dataset, models=arguments.models, signal=arguments.signal, sizes=sizes)
                reports.append(evaluated(setting, tell))
            except RecordingsError as error:
                skipped.append((dataset.dataset, str(error)))
    return reports, skipped
