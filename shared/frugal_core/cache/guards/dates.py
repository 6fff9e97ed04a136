"""Dates and times must agree."""

from __future__ import annotations

from frugal_core.cache.guards.base import Guard, listed
from frugal_core.cache.guards.calendar import PERIODS
from frugal_core.cache.guards.quantities import read

Parts = frozenset[tuple[str, str]]


class Dates(Guard):
    """Years, months, days, weekdays, times of day and words such as "tomorrow" or "last week" must be the same.

    "3 March 2024", "March 3rd, 2024" and "2024-03-03" are one date; 03/04/2024 may be in March or in April, so only the same
    digits agree with it. That only one question says "today" or "this week" is no difference.

    >>> Dates()("Who won in 2016?", "Who won in 2020?")
    'dates differ: year 2016 here, year 2020 there'
    >>> Dates()("Are you open at 5pm?", "Are you open at 17:00?")
    """

    name = "dates"

    def facts(self, text: str) -> Parts:
        """Parts of its dates."""
        return read(text).dates

    def veto(self, asked: Parts, cached: Parts) -> str | None:
        """Which parts only one of them has."""
        if asked == cached:
            return None
        if not (asked and cached) and _NOW.issuperset(asked | cached):
            return None
        here, there = (listed(" ".join(part) for part in sorted(only)) for only in (asked - cached, cached - asked))
        return f"dates differ: {here} here, {there} there"


_NOW = frozenset({("day", "today")} | {("this", period) for period in {*PERIODS.values(), "one"}})
"""Where only one question says so, it may go without saying in the other."""
