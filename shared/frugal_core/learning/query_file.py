"""Reads the queries to record from a file: one per line as text, or one JSON object per line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frugal_core.errors import RecordingsError
from frugal_core.learning.lines import read_objects


def read_queries(path: Path) -> list[Any]:
    """Queries, in the order of the file.

    Args:
        path: A `.txt` file with a query on each line that is not blank, or a file of JSON lines, gzip or not, whose objects
            have `query` and what there is of `query_id`, `reference`, `split`, `dataset` and further columns.

    Raises:
        RecordingsError: The file cannot be read, holds no query, or an object has no `query`.
    """
    if path.suffix == ".txt":
        queries: list[Any] = _lines(path)
    else:
        queries = []
        for number, content in read_objects(path):
            if content.get("query") is None:
                known = ", ".join(content) or "nothing"
                raise RecordingsError(f"{path}, row {number}: has no 'query'; it has {known}. Give each row its query.")
            queries.append(content)
    if not queries:
        raise RecordingsError(f"{path}: holds no query. Give one per line.")
    return queries


def _lines(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordingsError(f"{path}: cannot be read ({error.strerror or error}). Check path and permissions.") from error
    except UnicodeDecodeError as error:
        raise RecordingsError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}). Convert it.") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
