"""Grades recorded rows: by the right answers in them, or by agreement with the reference model."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from frugal_core.errors import FrugalWarning, RecordingsError
from frugal_core.learning.labels import Comparison, Grade, grader
from frugal_core.learning.lines import read_objects
from frugal_core.learning.parquet import is_parquet, read_rows, write_rows
from frugal_core.learning.row_file import RowFile, written_line

Cell: TypeAlias = tuple[str, str, str]
"""Dataset, query and model."""

Entry: TypeAlias = Mapping[str, Any]
"""What is kept of one call."""


def grade(
    path: str | Path,
    labels: Comparison | Grade = "normalised",
    *,
    reference_model: str | None = None,
    again: bool = False,
) -> int:
    """Grade the answers in a file of recordings that have no label yet.

    Rows with a `reference` are compared with it. Of the others, those whose query the reference model has answered are compared
    with that answer. The file is replaced at once in the end, also when the grading function raises or is interrupted: what it
    has graded is kept. A `FrugalWarning` says so where nothing can be graded for want of anything to compare with.

    Args:
        path: The file, one JSON object per query and model, gzip or not, or Parquet.
        labels: `"exact"`, `"normalised"`, `"numeric"`, or a function `(query, answer, reference) -> score in [0, 1]`.
        reference_model: Name of the model whose answers are the standard where no right answer is known; `None` leaves such
            rows ungraded.
        again: Grade all rows anew, not only those without a label.

    Returns:
        How many rows were graded.

    Raises:
        RecordingsError: The file cannot be read or written, or no row is of `reference_model`.
        ConfigurationError: `labels` is no way to grade.
        Exception: Whatever the function raised.
    """
    path, compare = Path(path), grader(labels)
    if is_parquet(path):
        rows: Sequence[Entry] = list(read_rows(path))
        graded_rows, count, fault = _graded(rows, compare, reference_model, again, path)
        if count:
            write_rows(graded_rows, path)
    elif path.suffix == ".gz":
        rows = [row for _, row in read_objects(path)]
        graded_rows, count, fault = _graded(rows, compare, reference_model, again, path)
        beside = path.with_name(f"{path.name}.new")
        with beside.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
            file.writelines(map(written_line, graded_rows))
        beside.replace(path)
    else:
        if not path.is_file():
            raise RecordingsError(f"{path}: cannot be read (no such file). Check the path.")
        file_of_rows = RowFile(path)
        try:
            rows = file_of_rows.rows
            graded_rows, count, fault = _graded(rows, compare, reference_model, again, path)
            if count:
                file_of_rows.rewrite(graded_rows)
        finally:
            file_of_rows.close()
    if fault is not None:
        raise fault
    if reference_model is None and (why := _nothing_to_compare(rows, again)):
        warnings.warn(f"{path}: {why}", FrugalWarning, stacklevel=2)
    return count


def graded(compare: Grade | None, query: str, answer: str, reference: str | None, label: str = "gold") -> dict[str, Any]:
    """The columns `correct`, `label` (what it was compared with) and, where grading failed, `label_error`."""
    if compare is None or reference is None:
        return {"correct": None, "label": None}
    try:
        return {"correct": compare(query, answer, reference), "label": label}
    except Exception as error:
        return {"correct": None, "label": None, "label_error": f"{type(error).__name__}: {error}"}


def agreed(rows: Sequence[Entry], reference_model: str, compare: Grade, *, again: bool = False) -> tuple[list[Entry], int]:
    """Rows without a right answer, graded by their agreement with the reference model's.

    Args:
        rows: All rows.
        reference_model: Name of the model whose answers are the standard; its own count as right.
        compare: Compares.
        again: Grade those anew that have such a label already.

    Returns:
        All rows, and how many were graded.
    """
    standard = {
        cell_of(row)[:2]: row["answer"]
        for row in rows
        if str(row.get("model")) == reference_model and row.get("answer") and not row.get("error")
    }
    changed: list[Entry] = []
    count = 0
    for row in rows:
        ungraded = row.get("correct") is None or (again and row.get("label") == "agreement")
        reference = standard.get(cell_of(row)[:2])
        unknown = row.get("reference") is None and row.get("answer") is not None and not row.get("error")
        if not (ungraded and unknown and reference is not None):
            changed.append(row)
            continue
        if str(row.get("model")) == reference_model:
            label: Entry = {"correct": 1.0, "label": "agreement"}
        else:
            label = graded(compare, str(row.get("query") or ""), str(row["answer"]), reference, "agreement")
        changed.append({**_without_fault(row), **label})
        count += 1
    return changed, count


def cell_of(row: Entry) -> Cell:
    """Which answer a row holds.

    Raises:
        RecordingsError: It does not say.
    """
    try:
        return str(row["dataset"]), str(row["query_id"]), str(row["model"])
    except KeyError as error:
        raise RecordingsError(f"The file has a row without {error}: it was not recorded. Use another file.") from error


def _graded(
    rows: Sequence[Entry], compare: Grade, reference_model: str | None, again: bool, path: Path
) -> tuple[list[Entry], int, BaseException | None]:
    """All rows, how many of them were graded, and what ended it early."""
    if reference_model is not None and all(str(row.get("model")) != reference_model for row in rows):
        known = ", ".join(sorted({str(row.get("model")) for row in rows}))
        raise RecordingsError(f"{path}: has no rows of the reference model {reference_model!r}; it has {known}.")
    changed, count = list(rows), 0
    try:
        for index, row in enumerate(rows):
            answer, reference = row.get("answer"), row.get("reference")
            if answer is not None and reference is not None and (again or row.get("correct") is None):
                score = compare(str(row.get("query") or ""), str(answer), str(reference))
                changed[index] = {**_without_fault(row), "correct": score, "label": "gold"}
                count += 1
    except BaseException as fault:  # raised again once the rest is safe
        return changed, count, fault
    if reference_model is not None:
        changed, more = agreed(changed, reference_model, compare, again=again)
        count += more
    return changed, count, None


def _nothing_to_compare(rows: Sequence[Entry], again: bool) -> str | None:
    """What to do where there are answers to grade, and no row has a right answer; `None` where all is well."""
    waiting = sum(row.get("answer") is not None and (again or row.get("correct") is None) for row in rows)
    if not waiting or any(row.get("reference") is not None for row in rows):
        return None
    known = ", ".join(sorted({str(row.get("model")) for row in rows}))
    return (
        f"none of {waiting} answers could be graded: no row has a reference, and no reference model was named. Name the model "
        f"whose answers are the standard with reference_model= (frugal grade: --reference-model); there are {known}."
    )


def _without_fault(row: Entry) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "label_error"}
