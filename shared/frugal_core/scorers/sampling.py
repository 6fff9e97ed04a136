"""Draws several answers to one call for a scorer, each charged by itself."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

from frugal_core.errors import ConfigurationError
from frugal_core.types import Answer, Call


def draw(call: Call, k: int) -> Generator[Call, Answer, list[Answer]]:
    """Make a call `k` times and return the answers that came.

    They are calls of their own, so that what came before a failure is charged as well. When the first one fails nothing more
    is asked: what stops it (a temperature the model does not take, a rate limit) mostly stops the others.

    Raises:
        Exception: The first call's failure.
    """
    first = yield call
    return [first, *(yield from further(call, k - 1))]


def further(call: Call, k: int) -> Generator[Call, Answer, list[Answer]]:
    """Make a call `k` times after one that did not fail, and return the answers that came."""
    came: list[Answer] = []
    for _ in range(k):
        with suppress(Exception):  # the trace has it
            came.append((yield call))
    return came


def check_draws(k: Any, temperature: Any) -> None:
    """Refuse what is no number of draws, or no temperature.

    Raises:
        ConfigurationError: One of them is out of range.
    """
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ConfigurationError(f"k={k!r} is out of range: it is a number of calls, 1 or more.")
    number = isinstance(temperature, (int, float)) and not isinstance(temperature, bool)
    if temperature is not None and not (number and 0 <= temperature <= 2):
        raise ConfigurationError(
            f"temperature={temperature!r} is out of range: a number from 0 to 2, or None for the model's own."
        )
