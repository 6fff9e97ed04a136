"""Whether an answer is right: compared with a right one, exactly, apart from wording, or as a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from frugal_core.agreement import exact, normalised, numeric
from frugal_core.arguments import shown
from frugal_core.errors import ConfigurationError, ScorerError

Comparison: TypeAlias = Literal["exact", "normalised", "numeric"]

Grade: TypeAlias = Callable[[str, str, str], float]
"""A function `(query, answer, reference)` that gives a score from 0 (wrong) to 1 (right); a truth value will do."""


def _numeric(answer: str, reference: str) -> bool:
    """By the last number; a reference without one is compared as by `normalised`."""
    return numeric(answer, reference) if numeric(reference, reference) else normalised(answer, reference)


COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {"exact": exact, "normalised": normalised, "numeric": _numeric}
"""The comparisons by name; see `frugal_core.agreement`."""


def grader(labels: Any) -> Grade:
    """The function that grades, from its name or from a user's own.

    Args:
        labels: `"exact"`, `"normalised"`, `"numeric"`, or a function `(query, answer, reference) -> score`.

    Returns:
        A function that gives a score in [0, 1]. It raises `ScorerError` where a user's own gives something else.

    Raises:
        ConfigurationError: It is none of these.

    >>> grader("numeric")("What is 3 + 4?", "It is 7.", "7")
    1.0
    """
    if isinstance(labels, str) and labels in COMPARISONS:
        compare = COMPARISONS[labels]
        return lambda query, answer, reference: float(compare(answer, reference))
    if not callable(labels):
        raise ConfigurationError(
            f"labels={shown(labels)} is no way to grade: give {', '.join(map(repr, COMPARISONS))}, a function (query, answer, "
            "reference) -> score from 0 to 1, or None for no labels."
        )
    return lambda query, answer, reference: _score(labels, labels(query, answer, reference))


def _score(labels: Any, given: Any) -> float:
    try:
        score = math.nan if isinstance(given, (str, bytes)) or given is None else float(given)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not 0 <= score <= 1:
        name = getattr(labels, "__name__", type(labels).__name__)
        raise ScorerError(f"The labels function {name} returned {given!r}: a score is a number from 0 (wrong) to 1 (right).")
    return score
