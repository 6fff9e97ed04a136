"""Carries entries from one store to another through a file."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores.base import Store
from frugal_core.errors import ConfigurationError, RecordingsError, StoreError
from frugal_core.learning.lines import read_objects

FORMAT = 1


def export(store: Store, path: Path) -> int:
    """Write all live entries to a file of JSON lines; how many there were.

    The file is made beside its place and moved there once it is whole, so a failure leaves what was there.

    Args:
        store: Where they are.
        path: The file. It holds questions and answers in plain text.

    Raises:
        ConfigurationError: The file cannot be written.
        StoreError: The store cannot be read.
    """
    partial = path.with_name(f"{path.name}.part")
    count = 0
    try:
        with partial.open("w", encoding="utf-8") as file:
            for entry in store.scan():
                file.write(_line(entry) + "\n")
                count += 1
        partial.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be written ({error.strerror or error}). Check path, space, rights."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def import_(store: Store, path: Path) -> tuple[int, int]:
    """Store the entries that `export` wrote, in place of those with the same keys.

    The whole file is read before the first is stored, so that a broken one changes nothing.

    Args:
        store: Where to.
        path: The file.

    Returns:
        How many were stored, and how many had expired meanwhile.

    Raises:
        RecordingsError: The file cannot be read, or a line holds no entry.
        StoreError: The store cannot be written.
    """
    entries = list(_entries(path))
    alive = [entry for entry in entries if entry.alive()]
    for entry in alive:
        store.put(entry)
    return len(alive), len(entries) - len(alive)


def _line(entry: Entry) -> str:
    fields = json.loads(entry.to_json())
    return json.dumps({"format": FORMAT, **fields, "vector": base64.b64encode(entry.vector).decode()}, ensure_ascii=False)


def _entries(path: Path) -> Iterator[Entry]:
    for number, row in read_objects(path):
        if row.get("format") != FORMAT:
            raise RecordingsError(
                f"{path}, row {number}: is no entry of format {FORMAT} (format={row.get('format')!r}). Give a file that "
                "frugal cache export wrote."
            )
        try:
            vector = base64.b64decode(row.pop("vector", ""), validate=True)
            yield Entry.from_json(json.dumps(row), vector)
        except (StoreError, TypeError, binascii.Error) as error:
            raise RecordingsError(f"{path}, row {number}: is no entry ({error}). Export the cache again.") from error
