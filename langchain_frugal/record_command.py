"""`frugal record`: asks several models the queries of a file, and keeps answers, labels, costs and confidence to learn from."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from frugal_core.errors import ConfigurationError
from frugal_core.learning.labels import COMPARISONS
from frugal_core.learning.query_file import read_queries
from frugal_core.learning.record_run import Options
from frugal_core.playground.language_model import MODEL_NAMES
from langchain_frugal.playground import ChatPlayground
from langchain_frugal.recording import record

HELP = "ask several models the queries of a file once each, and keep what policies are learned from"
EPILOG = """\
examples:
  frugal record --models openai:gpt-4o-mini openai:gpt-4o --queries questions.jsonl --out answers.jsonl --max-usd 5
  frugal record --models playground:small playground:large --queries questions.txt --out answers.jsonl

A query is a line of a .txt file, or a JSON object per line with query and what there is of query_id, reference (the right
answer), split ("train" or "test"), dataset and further columns. Models are provider:model, cheapest first (extra: models), or
the built-in playground:small, playground:medium and playground:large. The last model is the reference where no right answer
is given.

It can be interrupted and run again: what is in the file is not asked, and not paid, twice.

exit status: 0 when every answer was recorded, 1 when some are missing or failed, 2 when nothing could be asked.
"""

_PLAYGROUND = "playground:"
_NO_LABELS = "none"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--models", nargs="+", required=True, metavar="PROVIDER:MODEL", help="the models, cheapest first")
    parser.add_argument("--queries", required=True, type=Path, metavar="FILE", help=".txt or JSON lines")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="JSON lines; continued where it exists")
    parser.add_argument(
        "--labels",
        choices=[*COMPARISONS, _NO_LABELS],
        default="normalised",
        help="how answers are graded (default: %(default)s)",
    )
    parser.add_argument("--samples", type=int, metavar="K", help="further answers per query and model, for votes (default: 0)")
    parser.add_argument("--temperature", type=float, metavar="T", help="of these samples")
    parser.add_argument("--max-usd", type=float, metavar="USD", help="most that the whole file may cost")
    parser.add_argument(
        "--output-tokens", type=int, metavar="N", help="expected length of an answer, for the estimate (default: 256)"
    )
    parser.add_argument(
        "--prices", nargs="+", default=[], metavar="MODEL=IN,OUT", help="USD per million tokens, over the packaged prices"
    )
    parser.add_argument("--dataset", metavar="NAME", help="of queries that name none (default: the file's name)")
    parser.add_argument("--train-share", type=float, metavar="X", help="share of queries to learn from (default: 0.5)")
    parser.add_argument("--max-concurrency", type=int, metavar="N", help="calls at a time (default: 8)")
    parser.add_argument("--retry-failures", action="store_true", help="ask again what failed in earlier runs")


def run(arguments: argparse.Namespace, console: Console, messages: Console) -> int:
    """Record.

    Args:
        arguments: As `configure` declares them.
        console: Where the summary goes.
        messages: Not written to: estimate and progress go to stderr by themselves.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: An argument is wrong, or a model cannot be built; nothing was asked.
        RecordingsError: A file cannot be used; nothing was asked.
    """
    if not arguments.out.resolve().parent.is_dir():
        raise ConfigurationError(f"--out {arguments.out}: there is no folder {arguments.out.resolve().parent}.")
    prices = parse_prices(arguments.prices)
    queries = read_queries(arguments.queries)
    models = [_model(name) for name in arguments.models]
    done = record(models, queries, arguments.out, prices=prices or None, **_options(arguments))
    unknown = f"{done.unpriced} rows of unknown cost (give --prices)" if done.unpriced else ""
    cost = " and ".join(filter(None, [f"cost ${done.cost_usd:.4f}" if done.unpriced < done.rows else "", unknown]))
    console.print(
        f"{escape(str(done.path))}: {done.rows} rows, {done.calls} calls in this run, {cost}, "
        f"{done.failures} failed, {done.missing} missing.",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"Next: frugal evaluate --recordings {escape(str(done.path))} --policies all", highlight=False, soft_wrap=True
    )
    return 1 if done.failures or done.missing else 0


def parse_prices(pairs: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Prices from `MODEL=IN,OUT` texts, in USD per million tokens.

    Raises:
        ConfigurationError: One is not of that form.

    >>> parse_prices(["gpt-x=0.15,0.6"])
    {'gpt-x': (0.15, 0.6)}
    """
    prices = {}
    for pair in pairs:
        name, _, numbers = pair.rpartition("=")
        try:
            read, written = map(float, numbers.split(","))
        except ValueError:
            read = written = math.nan
        if not name or not (0 <= read < math.inf and 0 <= written < math.inf):
            raise ConfigurationError(
                f"--prices {pair!r}: give MODEL=IN,OUT in USD per million tokens, such as my-model=0.15,0.6."
            )
        prices[name] = (read, written)
    return prices


def _model(name: str) -> Any:
    """A playground model, or the name of a provider's."""
    if not name.startswith(_PLAYGROUND) and name not in MODEL_NAMES:
        return name
    wanted = name.removeprefix(_PLAYGROUND)
    full = wanted if wanted in MODEL_NAMES else f"playground-{wanted}"
    if full not in MODEL_NAMES:
        known = ", ".join(_PLAYGROUND + known.removeprefix("playground-") for known in MODEL_NAMES)
        raise ConfigurationError(f"--models {name!r}: the playground has {known}.")
    return ChatPlayground(model=full)


def _options(arguments: argparse.Namespace) -> Options:
    """What was given; the rest is left to `record`."""
    options: Options = {
        "labels": None if arguments.labels == _NO_LABELS else arguments.labels,
        "retry_failures": arguments.retry_failures,
    }
    if arguments.samples is not None:
        options["samples"] = arguments.samples
    if arguments.temperature is not None:
        options["temperature"] = arguments.temperature
    if arguments.max_usd is not None:
        options["max_usd"] = arguments.max_usd
    if arguments.output_tokens is not None:
        options["output_tokens"] = arguments.output_tokens
    if arguments.dataset is not None:
        options["dataset"] = arguments.dataset
    if arguments.train_share is not None:
        options["train_share"] = arguments.train_share
    if arguments.max_concurrency is not None:
        options["max_concurrency"] = arguments.max_concurrency
    return options
