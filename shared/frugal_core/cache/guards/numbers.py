"""Numbers must agree."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from frugal_core.cache.guards.base import Guard, listed
from frugal_core.cache.guards.quantities import read

OPERATOR = re.compile(r"(?<=[\w)])\s*(?:(?<=\d)|(?<=\s))([-+*/^×÷<>≤≥]|<=|>=)\s*(?=\(?[\w])")
"""A sign between two terms."""


class Figures(NamedTuple):
    """Numbers in digits, sorted, and the signs between terms, in order."""

    numbers: tuple[str, ...]
    operators: tuple[str, ...]


class Numbers(Guard):
    """All numbers of two questions must be the same, in digits or in words, in whatever order.

    "Two", "2" and "2.0" are the same, and so are "1,000" and "1k", "second" and "2nd", "II" and "2". A bare one is passed
    over: as a word it often counts nothing, and "a" says the same. Where both reckon with signs, these must be the same in the
    same order.

    >>> Numbers()("Rice for 4 people?", "Rice for six people?")
    'numbers differ: 4 here, 6 there'
    >>> Numbers()("Rice for 4 people?", "Rice for four people?")
    >>> Numbers()("2 + 3 * 4", "2 * 3 + 4")
    'signs differ: + * here, * + there'
    """

    name = "numbers"

    def facts(self, text: str) -> Figures:
        """Its numbers and the signs between them."""
        numbers = read(text).numbers
        return Figures(numbers, tuple(OPERATOR.findall(text)) if _SIGNS.search(text) else ())

    def veto(self, asked: Figures, cached: Figures) -> str | None:
        """Which numbers only one of them has."""
        if asked == cached:
            return None
        if asked.numbers != cached.numbers:
            here, there = Counter(asked.numbers), Counter(cached.numbers)
            return f"numbers differ: {listed((here - there).elements())} here, {listed((there - here).elements())} there"
        if asked.operators and cached.operators:
            return f"signs differ: {' '.join(asked.operators)} here, {' '.join(cached.operators)} there"
        return None


_SIGNS = re.compile("[-+*/^×÷<>≤≥]")
