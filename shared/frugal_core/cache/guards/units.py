"""Units of measure and currencies must agree."""

from __future__ import annotations

from frugal_core.cache.guards.base import Guard
from frugal_core.cache.guards.measures import same_unit
from frugal_core.cache.guards.quantities import read

Measures = tuple[tuple[str, str], ...]


class Units(Guard):
    """What a number counts must be the same where both questions say it: 5 km are not 5 miles, and 3 mg are not 3 ml.

    Spellings are the same unit ("km", "kilometres"; "$", "USD", "dollars"), and nothing is converted: 60 minutes are not one
    hour here.

    >>> Units()("How far is 10 km?", "How far is 10 miles?")
    'units differ: 10 kilometre here, 10 mile there'
    >>> Units()("How far is 10 km?", "How far is 10 kilometres?")
    """

    name = "units"

    def facts(self, text: str) -> Measures:
        """Values with their units, sorted."""
        return read(text).measures

    def veto(self, asked: Measures, cached: Measures) -> str | None:
        """Which value has another unit."""
        if asked == cached or not asked or not cached:
            return None
        for value, unit in asked:
            others = [other for number, other in cached if number == value]
            if others and not any(same_unit(unit, other) for other in others):
                return f"units differ: {value} {unit} here, {value} {others[0]} there"
        return None
