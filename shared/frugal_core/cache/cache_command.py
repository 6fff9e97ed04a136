"""`frugal cache`: looks after a cache's store from the command line."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from frugal_core.cache.stores.base import Store
from frugal_core.cache.stores.opening import SCHEMES, open_store
from frugal_core.cache.transfer import export, import_
from frugal_core.errors import ConfigurationError

HELP = "look after a semantic cache: stats, clear, export, import"
EPILOG = f"""\
stores: {", ".join(SCHEMES[1:])}

examples:
  frugal cache stats disk:.frugal-cache
  frugal cache clear redis://localhost:6379/0 --namespace tenant-7
  frugal cache export disk:.frugal-cache answers.jsonl
  frugal cache import answers.jsonl postgresql://app@db/app

exit status: 0 when it was done, 2 when the store or file cannot be used.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    stats = actions.add_parser("stats", help="entries, bytes, and entries by namespace")
    stats.add_argument("store", metavar="STORE")
    clear = actions.add_parser("clear", help="remove entries: all of them with what was learned, or those chosen")
    clear.add_argument("store", metavar="STORE")
    clear.add_argument("--namespace", help="only those of a namespace")
    clear.add_argument("--tag", help="only those with a tag")
    clear.add_argument("--document", metavar="ID", help="only those that depend on a document")
    leave = actions.add_parser("export", help="write all entries to a file of JSON lines")
    leave.add_argument("store", metavar="STORE")
    leave.add_argument("file", type=Path, metavar="FILE")
    enter = actions.add_parser("import", help="store the entries of an exported file")
    enter.add_argument("file", type=Path, metavar="FILE")
    enter.add_argument("store", metavar="STORE")


def run(arguments: argparse.Namespace, console: Console, messages: Console) -> int:
    """Do it.

    Args:
        arguments: As `configure` declares them.
        console: Where the report goes.
        messages: Not written to.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: The URL names no store, or the file cannot be written.
        RecordingsError: The file to import cannot be read.
        StoreError: The store cannot be used.
    """
    scheme, _, path = arguments.store.partition(":")
    if scheme == "disk" and arguments.action != "import" and not Path(path).exists():
        raise ConfigurationError(f"{arguments.store!r}: there is no cache. Give the path that the program gives.")
    with open_store(arguments.store, max_entries=None) as store:
        if arguments.action == "stats":
            _show(store, console)
        else:
            console.print(escape(_done(store, arguments)), highlight=False, soft_wrap=True)
    return 0


def _done(store: Store, arguments: argparse.Namespace) -> str:
    if arguments.action == "export":
        return f"{export(store, arguments.file)} entries written to {arguments.file}."
    if arguments.action == "import":
        stored, expired = import_(store, arguments.file)
        return f"{stored} entries stored." + (f" {expired} had expired." if expired else "")
    chosen = {name: getattr(arguments, name) for name in ("namespace", "tag", "document")}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if chosen:
        return f"{store.delete([entry.key for entry in store.select(**chosen)])} entries removed."
    entries = store.size().entries
    store.clear()
    return f"{entries} entries removed, and what was learned from them."


def _show(store: Store, console: Console) -> None:
    size = store.size()
    alike: Counter[str] = Counter()
    exact: Counter[str] = Counter()
    for entry in store.scan():
        (alike if entry.vector else exact)[entry.namespace] += 1
    table = Table("namespace", "entries", "of them for exact matches only")
    for namespace in sorted(alike.keys() | exact.keys()):
        count = alike[namespace] + exact[namespace]
        table.add_row(escape(namespace) or "(none)", str(count), str(exact[namespace]))
    console.print(f"{size.entries} entries, {size.bytes / 1e6:.1f} MB", highlight=False)
    console.print(table)
