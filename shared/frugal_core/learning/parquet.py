"""Recordings as Parquet files: the same rows and columns as JSON lines, for programs that would rather have them so.

Whatever reads recordings reads these as well. To convert: `write_rows(read_rows("a.parquet"), …)`, or from JSON lines
`write_rows((row for _, row in read_objects(path)), "a.parquet")`, with `read_objects` of `frugal_core.learning.lines`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from frugal_core.errors import ConfigurationError, RecordingsError

MAGIC = b"PAR1"
"""What such a file begins with."""

_JSON = {b"frugal": b"json"}
_BATCH = 4096


def read_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, by whatever it was written. What a row lacks is `None`.

    Raises:
        RecordingsError: The file cannot be read, or is no Parquet file.
        ConfigurationError: pyarrow is not installed.
    """
    arrow, parquet = _arrow()
    try:
        with parquet.ParquetFile(path) as file:
            packed = [field.name for field in file.schema_arrow if (field.metadata or {}).items() >= _JSON.items()]
            for batch in file.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    for name in packed:
                        row[name] = None if row[name] is None else json.loads(row[name])
                    yield row
    except OSError as error:
        raise RecordingsError(f"{path}: cannot be read ({error.strerror or error}). Check path and permissions.") from error
    except arrow.ArrowException as error:
        raise RecordingsError(f"{path}: is no whole Parquet file ({error}). Copy it again.") from error


def write_rows(rows: Iterable[Mapping[str, Any]], path: str | Path) -> int:
    """Write rows as a Parquet file, replacing the file only once it is whole.

    Numbers, texts and lists of them become columns of their type; a column that holds objects, or values of several types, is
    kept as JSON text, and `read_rows` reads it back.

    Returns:
        How many rows were written.

    Raises:
        RecordingsError: There are no rows, or the file cannot be written.
        ConfigurationError: pyarrow is not installed.
    """
    arrow, parquet = _arrow()
    path, rows = Path(path), list(rows)
    if not rows:
        raise RecordingsError(f"{path}: there are no rows to write. Give at least one.")
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [_column(arrow, name, [row.get(name) for row in rows]) for name in names]
    table = arrow.table([values for _, values in columns], schema=arrow.schema([field for field, _ in columns]))
    beside = path.with_name(f"{path.name}.new")
    try:
        parquet.write_table(table, beside, compression="zstd")
        beside.replace(path)
    except OSError as error:
        raise RecordingsError(
            f"{path}: cannot be written ({error.strerror or error}). Check folder and permissions."
        ) from error
    return len(rows)


def is_parquet(path: Path) -> bool:
    """Whether a file is one, by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _column(arrow: Any, name: str, values: list[Any]) -> tuple[Any, Any]:
    """Field and values, as JSON text where they would not come back as they are."""
    try:
        column = arrow.array(values)
        same = _simple(arrow, column.type) and column.to_pylist() == values
    except (arrow.ArrowException, OverflowError):
        same = False
    if same:
        return arrow.field(name, column.type), column
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return arrow.field(name, arrow.string(), metadata=_JSON), arrow.array(texts, arrow.string())


def _simple(arrow: Any, kind: Any) -> bool:
    """Whether a type has no objects in it."""
    while arrow.types.is_list(kind):
        kind = kind.value_type
    return not arrow.types.is_nested(kind)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigurationError(
            f"Parquet files need pyarrow ({error}): pip install 'langchain-frugal[parquet]', or use JSON lines (.jsonl)."
        ) from error
    return pyarrow, parquet
