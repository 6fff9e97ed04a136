"""`frugal fit`: learns a policy from recorded answers, says why it chose this one, and saves it."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.evaluation.command import check_sizes, parse_sizes
from frugal_core.learning.fit import fit
from frugal_core.learning.labels import COMPARISONS
from frugal_core.learning.recordings import SIGNALS, Recordings
from frugal_core.policies.fitted import Fitted

HELP = "learn the policy that is best for a budget, a quality or a guarantee from recorded answers, and save it"
EPILOG = """\
examples:
  frugal fit --recordings answers.jsonl --out support.frugal --budget-usd 0.0005
  frugal fit --recordings answers.jsonl --out support.frugal --quality 0.85
  frugal fit --recordings answers.jsonl --out support.frugal --max-disagreement 0.05 --confidence 0.95

The file is plain JSON. ChatFrugal(models=[...], policy="support.frugal") serves it.

exit status: 0 when a policy was learned, 1 when none keeps the objective or only the reference could be certified, 2 when
nothing could be learned.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--recordings", required=True, type=Path, metavar="FILE", help="recorded answers")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="where to save the policy")
    objective = parser.add_mutually_exclusive_group(required=True)
    objective.add_argument("--budget-usd", type=float, metavar="USD", help="the best quality at this mean cost per query")
    objective.add_argument("--quality", type=float, metavar="Q", help="the least cost at this mean quality, from 0 to 1")
    objective.add_argument("--best", action="store_true", help="the best quality")
    objective.add_argument(
        "--max-disagreement", type=float, metavar="D", help="the least cost with at most this share of answers worse"
    )
    parser.add_argument("--confidence", type=float, default=0.95, metavar="C", help="of the guarantee (default: %(default)s)")
    parser.add_argument("--reference", metavar="MODEL", help="whose answers are the standard (default: the best model)")
    parser.add_argument("--compare", choices=list(COMPARISONS), help="under a guarantee, compare the texts of answers")
    parser.add_argument("--split", choices=["train", "all"], default="all", help="queries to use (default: %(default)s)")
    parser.add_argument("--dataset", metavar="NAME", help="which, where the file holds several")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="only these")
    parser.add_argument("--signal", metavar="COLUMN", help=f"confidence (default: the first of {', '.join(SIGNALS)})")
    parser.add_argument(
        "--sizes", nargs="+", default=[], metavar="MODEL=B", help="for costs in proportion where none are known"
    )


def run(arguments: argparse.Namespace, console: Console, messages: Console) -> int:
    """Learn and save.

    Args:
        arguments: As `configure` declares them.
        console: Where the comparison and the reason go.
        messages: Where progress goes.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: An argument is wrong, or there are too few queries for the guarantee.
        RecordingsError: The recordings cannot be used.
    """
    if not arguments.out.resolve().parent.is_dir():
        raise ConfigurationError(f"--out {arguments.out}: there is no folder {arguments.out.resolve().parent}.")
    sizes = parse_sizes(arguments.sizes)
    recordings = _read(arguments)
    check_sizes([recordings], sizes)
    if messages.is_terminal:
        messages.print(f"Comparing families of policies on {len(recordings.query_ids)} queries ...", highlight=False)
    fitted = fit(
        recordings,
        budget_usd=arguments.budget_usd,
        quality=arguments.quality,
        max_disagreement=arguments.max_disagreement,
        confidence=arguments.confidence,
        reference=arguments.reference,
        compare=arguments.compare,
        signal=arguments.signal,
        models=arguments.models,
        sizes=sizes,
    )
    console.print(_comparison(fitted))
    console.print(escape(str(fitted)), highlight=False, soft_wrap=True)
    fitted.save(arguments.out)
    console.print(f"Saved as {escape(str(arguments.out))}.", highlight=False, soft_wrap=True)
    if not fitted.kept:
        console.print(
            f"[bold yellow]Not kept:[/] no policy keeps what was asked for, {escape(fitted.objective)}, on queries that taught "
            "it nothing. The nearest was saved.",
            highlight=False,
            soft_wrap=True,
        )
        return 1
    return 0 if fitted.guarantee is None or fitted.guarantee.certified else 1


def _read(arguments: argparse.Namespace) -> Recordings:
    """The recordings of one dataset."""
    found = Recordings.read([arguments.recordings], (arguments.signal,) if arguments.signal else ())
    chosen = [each for each in found if arguments.dataset in (None, each.dataset)]
    names = ", ".join(each.dataset for each in found)
    if not chosen:
        raise RecordingsError(f"{arguments.recordings}: has no dataset {arguments.dataset!r}; it has {names}.")
    if len(chosen) > 1:
        raise RecordingsError(f"{arguments.recordings}: has {len(chosen)} datasets ({names}); name one with --dataset.")
    if arguments.split == "all":
        return chosen[0]
    if not chosen[0].train.any():
        raise RecordingsError(f"{arguments.recordings}: has no query in the train split; use --split all.")
    return chosen[0].subset(np.flatnonzero(chosen[0].train))


def _comparison(fitted: Fitted) -> Table:
    """What was compared, on queries that taught it nothing."""
    table = Table(title=f"For {escape(fitted.objective)}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("family", overflow="fold")
    for name in ("quality", "±", "cost per query", "±"):
        table.add_column(name, justify="right", no_wrap=True)
    for candidate in fitted.candidates:
        if candidate.cost is None or candidate.quality is None:
            table.add_row(escape(f"{candidate.family}: {candidate.reason}"), "-", "-", "-", "-", style="dim")
            continue
        table.add_row(
            escape(candidate.family),
            f"{candidate.quality:.4f}",
            f"{candidate.quality_error or 0.0:.4f}",
            f"{candidate.cost:.4g}",
            f"{candidate.cost_error or 0.0:.2g}",
            style="bold" if candidate.family == fitted.family else None,
        )
    table.caption = "±: standard error, over queries"
    table.caption_justify = "left"
    return table
