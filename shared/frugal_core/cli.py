"""The command `frugal`. Its subcommands are modules; other packages add theirs by the entry-point group `frugal.commands`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from rich.console import Console
from rich.markup import escape

from frugal_core import __version__
from frugal_core.errors import FrugalError

GROUP = "frugal.commands"
_OWN = {
    "cache": "frugal_core.cache.cache_command",
    "embedder": "frugal_core.cache.embedder_command",
    "evaluate": "frugal_core.evaluation.command",
    "fit": "frugal_core.learning.fit_command",
    "grade": "frugal_core.learning.grade_command",
}


class Command(Protocol):
    """What a subcommand's module has."""

    HELP: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, arguments: argparse.Namespace, console: Console, messages: Console) -> int:
        """Do it; report on `console`, tell progress on `messages`, and return the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        Exit status: 0 when all went well, 2 for wrong arguments or unusable files, 130 when interrupted; else the subcommand's.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    _single_threaded_blas()
    messages = Console(stderr=True)
    parser = argparse.ArgumentParser(prog="frugal", description="LLM cascades under a budget.")
    parser.add_argument("--version", action="version", version=f"frugal {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands, missing = _commands(next((word for word in argv if not word.startswith("-")), None))
    for name, command in commands.items():
        command.configure(subparsers.add_parser(name, help=command.HELP, description=command.HELP))
    for name, reason in missing.items():
        subparsers.add_parser(name, help=reason, add_help=False)
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command in missing:
        messages.print(f"[bold red]Error:[/] {escape(missing[arguments.command])}", highlight=False, soft_wrap=True)
        return 2
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return commands[arguments.command].run(arguments, Console(), messages)
    except FrugalError as error:
        messages.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        messages.print("Interrupted.")
        return 130


def _single_threaded_blas() -> None:
    """Keep numpy from splitting small matrices over threads: on a busy machine these wait for each other most of the time.

    Has an effect only before numpy is loaded, that is, when this process is the command line; the user's own setting wins.
    """
    if "numpy" not in sys.modules:
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, "1")


def _commands(wanted: str | None) -> tuple[dict[str, Command], dict[str, str]]:
    """The subcommands, and why those that cannot be loaded cannot. If one is wanted, only that one is loaded."""
    plugins = {entry.name: entry for entry in entry_points(group=GROUP)}
    names = [*_OWN, *(name for name in plugins if name not in _OWN)]
    commands: dict[str, Command] = {}
    missing: dict[str, str] = {}
    for name in [wanted] if wanted in names else names:
        try:
            commands[name] = import_module(_OWN[name]) if name in _OWN else plugins[name].load()
        except ModuleNotFoundError as error:
            missing[name] = f"needs {_needs(plugins[name], error)}"
    return commands, missing


def _needs(entry: EntryPoint, error: ModuleNotFoundError) -> str:
    """What to install for a subcommand."""
    distribution = entry.dist.name if entry.dist is not None else entry.value
    return f"a package that is not installed ({error}): install the extra of {distribution} that brings it"


if __name__ == "__main__":
    sys.exit(main())
