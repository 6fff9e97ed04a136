"""Reads files of JSON objects, one per line, gzip or not, or Parquet, and says what is wrong with a broken one."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from frugal_core.errors import RecordingsError
from frugal_core.learning.parquet import is_parquet, read_rows

_GZIP = b"\x1f\x8b"
_SHOWN = 60


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with their line numbers, which begin at 1. Blank lines are passed over.

    Args:
        path: A file of one JSON object per line, UTF-8, compressed by gzip or not, or a Parquet file, whose rows count as lines
            (its first bytes tell, not its name).

    Raises:
        RecordingsError: The file cannot be opened, is empty or cut off, or a line is no JSON object.
        ConfigurationError: It is a Parquet file, and pyarrow is not installed.
    """
    number = 0
    try:
        if is_parquet(path):
            for number, row in enumerate(read_rows(path), 1):
                yield number, row
        else:
            with _open(path) as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield number, _object(path, number, line)
    except EOFError as error:
        raise RecordingsError(f"{path}: the gzip file is cut off after row {number}. Copy it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise RecordingsError(f"{path}: the gzip file is damaged after row {number} ({error}). Copy it again.") from error
    except OSError as error:
        raise RecordingsError(f"{path}: cannot be read ({error.strerror or error}). Check path and permissions.") from error
    if number == 0:
        raise RecordingsError(f"{path}: is empty (0 rows). Give a file with one JSON object per query and model.")


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as start:
        compressed = start.read(2) == _GZIP
    return cast("IO[bytes]", gzip.open(path)) if compressed else path.open("rb")


def _object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        seen = f"{error.reason} at byte {error.start}"
        raise RecordingsError(f"{path}, row {number}: is not UTF-8 ({seen}). Save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        seen = line[:_SHOWN].decode("utf-8", "replace").rstrip()
        raise RecordingsError(
            f"{path}, row {number}: is not JSON ({error}); it begins {seen!r}. Each line must be one JSON object."
        ) from error
    if not isinstance(row, dict):
        raise RecordingsError(f"{path}, row {number}: is a JSON {type(row).__name__}, not an object of fields.")
    return row
