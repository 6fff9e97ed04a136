"""`frugal grade`: grades recorded answers that have no label yet."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from frugal_core.learning.grading import grade
from frugal_core.learning.labels import COMPARISONS

HELP = "grade recorded answers, by the right answers in the file or by agreement with a reference model"
EPILOG = """\
examples:
  frugal grade answers.jsonl --labels numeric
  frugal grade answers.jsonl --labels normalised --reference-model gpt-4o

Rows with a reference are compared with it; of the others, with --reference-model, those whose query that model has answered.
The file is replaced once all is done.

exit status: 0 when the file was graded, 2 when it cannot be.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, metavar="FILE", help="recorded answers: JSON lines, gzip or not, or Parquet")
    parser.add_argument(
        "--labels", choices=list(COMPARISONS), default="normalised", help="how answers are compared (default: %(default)s)"
    )
    parser.add_argument(
        "--reference-model", metavar="NAME", help="whose answers are the standard where no right answer is known"
    )
    parser.add_argument("--again", action="store_true", help="grade all rows anew, not only those without a label")


def run(arguments: argparse.Namespace, console: Console, messages: Console) -> int:
    """Grade.

    Args:
        arguments: As `configure` declares them.
        console: Where the number of graded rows goes.
        messages: Not written to.

    Returns:
        The exit status.

    Raises:
        RecordingsError: The file cannot be read or written, or no row is of the reference model.
    """
    count = grade(arguments.file, arguments.labels, reference_model=arguments.reference_model, again=arguments.again)
    console.print(f"{escape(str(arguments.file))}: {count} rows graded.", highlight=False, soft_wrap=True)
    return 0
