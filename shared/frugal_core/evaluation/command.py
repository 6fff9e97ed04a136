"""`frugal evaluate`: replays recorded answers through cascades and reports what they would have cost and got right."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.evaluation import policies_command
from frugal_core.evaluation.evaluate import DatasetReport, evaluate, whole_cascade
from frugal_core.evaluation.plots import plot, require_matplotlib
from frugal_core.evaluation.preparation import check_graded
from frugal_core.evaluation.report import show, write_json
from frugal_core.learning.recordings import SIGNALS, Recordings
from frugal_core.learning.setting import prepare

HELP = "replay recorded answers through cascades or other policies; print quality, cost and area beside the single models"
EPILOG = """\
examples:
  frugal evaluate --recordings answers.jsonl.gz
  frugal evaluate --recordings data/*.jsonl.gz --json report.json --plot curves.png
  frugal evaluate --recordings answers.jsonl --models small mid large --signal p_top1
  frugal evaluate --recordings answers.jsonl --sizes small=7 large=70
  frugal evaluate --recordings answers.jsonl --policies all --html report.html
  frugal evaluate --recordings answers.jsonl --policies cascade,single --folds 10 --json report.json

A row is one JSON object per query and model: dataset, query_id, model, split ("train" or "test"), correct (0 to 1), and
what there is of margin, confidence_logp, p_top1, votes or samples, logprobs; cost_answer_usd, cost_usd, prompt_tokens,
completion_tokens, params_b; query, answer, reference.

Without --policies: plain cascades of two models and the best of three. Thresholds are chosen on the train split; every
reported point is driven through the policy on the test split.

With --policies: each family of policies is learned on the train split and replayed on the test split, or k-fold. Any file
will do: what it lacks (texts, a signal, costs, one side of the split) is done without, and the report says so.

exit status: 0 when all files could be read, 1 when some could not, 2 when nothing could be evaluated.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--recordings", nargs="+", required=True, type=Path, metavar="FILE", help="files of recorded answers")
    parser.add_argument(
        "--models", nargs="+", metavar="MODEL", help="one cascade of these, cheapest first; with --policies: only these"
    )
    parser.add_argument("--signal", metavar="COLUMN", help=f"confidence (default: the first of {', '.join(SIGNALS)})")
    parser.add_argument(
        "--sizes", nargs="+", default=[], metavar="MODEL=B", help="model sizes, for costs in proportion where none are recorded"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw accuracy over cost (extra: plots)")
    policies_command.configure(parser)


def run(arguments: argparse.Namespace, console: Console, messages: Console) -> int:
    """Evaluate all datasets of the files.

    Args:
        arguments: As `configure` declares them.
        console: Where the report goes.
        messages: Where progress and errors go.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: An argument is wrong.
        RecordingsError: Nothing could be evaluated.
    """
    sizes = parse_sizes(arguments.sizes)
    if arguments.plot:
        require_matplotlib()
    if arguments.policies is None:
        _refuse_alone(arguments)
    for path in filter(None, (arguments.json, arguments.plot, arguments.html)):
        if not path.parent.is_dir():
            raise ConfigurationError(f"{str(path)!r} cannot be written: there is no folder {str(path.parent)!r}.")
    columns = (arguments.signal,) if arguments.signal else ()
    with messages.status("Reading") if messages.is_terminal else _Quiet():
        recordings, broken = read_files(arguments.recordings, columns)
    check_sizes(recordings, sizes)
    if arguments.policies is not None:
        return policies_command.run(recordings, broken, sizes, arguments, console, messages)
    reports, skipped = _evaluate_all(recordings, arguments, sizes, messages)
    if not reports:
        raise RecordingsError("\n".join(reason for _, reason in (*broken, *skipped)))
    for report in reports:
        show(console, report)
    for name, reason in (*broken, *skipped):
        console.print(f"[bold red]Not evaluated:[/] {escape(name)}: {escape(reason)}", highlight=False, soft_wrap=True)
    if arguments.json:
        write_json(arguments.json, reports, [*broken, *skipped])
    if arguments.plot:
        plot(reports, arguments.plot)
    return 1 if broken else 0


def _refuse_alone(arguments: argparse.Namespace) -> None:
    """Refuse what means nothing without --policies."""
    given = [name for name in policies_command.ONLY_HERE if getattr(arguments, name) is not None]
    if given:
        raise ConfigurationError(f"--{given[0].replace('_', '-')} needs --policies: add --policies all.")


def parse_sizes(pairs: Sequence[str]) -> dict[str, float]:
    """Sizes from `MODEL=B` texts.

    Raises:
        ConfigurationError: One is not of that form.

    >>> parse_sizes(["small=7", "org/large:x=70.5"])
    {'small': 7.0, 'org/large:x': 70.5}
    """
    sizes = {}
    for pair in pairs:
        name, _, number = pair.rpartition("=")
        try:
            size = float(number)
        except ValueError:
            size = 0.0
        if not name or not 0 < size < float("inf"):
            raise ConfigurationError(f"--sizes {pair!r}: give MODEL=B with a number above 0, such as llama-70b=70.")
        sizes[name] = size
    return sizes


def check_sizes(recordings: Sequence[Recordings], sizes: dict[str, float]) -> None:
    """Refuse sizes of models that nobody recorded.

    Raises:
        ConfigurationError: Such a model, and those there are.
    """
    known = sorted({name for dataset in recordings for name in dataset.models})
    unknown = [name for name in sizes if name not in known]
    if unknown and recordings:
        raise ConfigurationError(f"--sizes names {unknown[0]!r}, which no file has. Models there are: {', '.join(known)}.")


def read_files(paths: Sequence[Path], columns: Sequence[str]) -> tuple[list[Recordings], list[tuple[str, str]]]:
    """Read files; those that cannot be used are returned with the reason.

    Raises:
        RecordingsError: None can be used.
    """
    try:
        return Recordings.read(paths, columns), []
    except RecordingsError:
        if len(paths) == 1:
            raise
    good, broken = [], []
    for path in paths:
        try:
            Recordings.read([path], columns)
        except RecordingsError as error:
            broken.append((str(path), str(error)))
        else:
            good.append(path)
    if not good:
        raise RecordingsError("\n".join(reason for _, reason in broken))
    return Recordings.read(good, columns), broken


def _evaluate_all(
    recordings: Sequence[Recordings], arguments: argparse.Namespace, sizes: dict[str, float], messages: Console
) -> tuple[list[DatasetReport], list[tuple[str, str]]]:
    reports: list[DatasetReport] = []
    skipped: list[tuple[str, str]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages, disable=not messages.is_terminal, transient=True) as progress:
        for dataset in recordings:
            task = progress.add_task(dataset.dataset, total=None)
            try:
                check_graded(dataset)
                setting = prepare(dataset, models=arguments.models, signal=arguments.signal, sizes=sizes)
                members = whole_cascade(setting) if arguments.models else None
                report = evaluate(
                    setting,
                    members=members,
                    progress=lambda done, total, task=task: progress.update(task, completed=done, total=total),  # type: ignore[misc]
                )
            except RecordingsError as error:
                skipped.append((dataset.dataset, str(error)))
            else:
                reports.append(report)
    return reports, skipped


class _Quiet:
    """Stands for a spinner where nobody would see one."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
