"""Columns of recorded values: collected row by row, checked and turned into arrays at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from frugal_core.errors import RecordingsError

Floats = npt.NDArray[np.float64]
Objects = npt.NDArray[np.object_]

_NUMBERS = {int, float, bool}


class Place(NamedTuple):
    """Where a row stands and what it is about."""

    file: str
    row: int
    query: str
    model: str

    def __str__(self) -> str:
        return f"{self.file}, row {self.row} (query {self.query!r}, model {self.model!r})"


def numbers(name: str, values: Sequence[Any], place: Callable[[int], Place], low: float, high: float, fix: str) -> Floats:
    """A column of numbers, NaN where the file has null.

    Args:
        name: Name of the column.
        values: Its values as JSON gave them.
        place: Where the value of an index stands.
        low: Least value allowed.
        high: Greatest value allowed; infinity allows all finite numbers.
        fix: What to do about a wrong value.

    Returns:
        Array of shape (rows,).

    Raises:
        RecordingsError: A value is not a number, is NaN, or is out of range.
    """
    kinds = set(map(type, values))
    if not kinds <= _NUMBERS | {type(None)}:
        row = next(i for i, value in enumerate(values) if value is not None and type(value) not in _NUMBERS)
        raise RecordingsError(f"{place(row)}: {name} is {_shown(values[row])}, which is not a number. {fix}")
    if kinds == {type(None)}:
        return np.full(len(values), np.nan)
    column = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    given = np.array([value is not None for value in values])
    wrong = given & ~((column >= low) & (column <= high) & (column < math.inf))
    if wrong.any():
        row = int(np.argmax(wrong))
        limit = f"from {low:g} to {high:g}" if high < math.inf else f"of {low:g} or more, and finite"
        if low == -math.inf:
            limit = f"of {high:g} or less"
        raise RecordingsError(f"{place(row)}: {name} is {values[row]!r}; it must be a number {limit}. {fix}")
    return column


def vote_share(row: Mapping[str, Any]) -> float | None:
    """Share of the samples that agree with the most frequent one; `None` where fewer than two were recorded.

    >>> vote_share({"samples": ["4", "4", "5", "4"]}), vote_share({"samples": ["4"]}), vote_share({"votes": {"a": 1, "b": 3}})
    (0.75, None, 0.75)
    """
    votes = row.get("votes")
    if isinstance(votes, dict) and votes:
        counts = [count for count in votes.values() if type(count) is int and count >= 0]
        total, most = sum(counts), max(counts, default=0)
    else:
        samples = row.get("samples")
        if not isinstance(samples, list) or not samples:
            return None
        total, most = len(samples), Counter(map(repr, samples)).most_common(1)[0][1]
    return most / total if total >= 2 else None


def mean_probability(value: Any) -> Any:
    """Geometric mean of the probabilities whose logarithms a row gives; the value itself where it is no such list.

    >>> mean_probability([0.0, -2.0]) == math.exp(-1.0), mean_probability(None)
    (True, None)
    """
    if not isinstance(value, list):
        return value
    if not value:
        return None
    if all(type(logprob) in _NUMBERS and logprob <= 0 for logprob in value):
        return math.exp(sum(value) / len(value))
    return str(value)  # not a number: refused where the column is checked


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
