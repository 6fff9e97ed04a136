"""Opposites must not be taken for each other."""

from __future__ import annotations

from typing import NamedTuple

from frugal_core.cache.guards.base import Guard
from frugal_core.cache.guards.opposites import AXES, OPPOSITE_PREFIXES
from frugal_core.cache.guards.quantities import read
from frugal_core.cache.guards.words import each_word


class Poles(NamedTuple):
    """Where a text stands.

    Attributes:
        words: By axis and end, the word that says so.
        opposed: The other ends of those axes.
        long: Words long enough to begin like an opposite.
    """

    words: dict[tuple[int, int], str]
    opposed: frozenset[tuple[int, int]]
    long: frozenset[str]


class Polarity(Guard):
    """Where one question says "enable", "before" or "maximum", the other must not say "disable", "after" or "minimum" instead.

    A question that says both is silent about that pair. Knows English alone, from a list of some three hundred pairs and their
    inflected forms.

    >>> Polarity()("How do I enable cookies?", "How do I disable cookies?")
    'opposites: "enable" here, "disable" there'
    >>> Polarity()("How do I enable cookies?", "How do I turn cookies on?")
    """

    name = "polarity"

    def facts(self, text: str) -> Poles:
        """The ends of axes it stands at."""
        words = read(text).sequence
        found: dict[tuple[int, int], str] = {}
        for place, word in enumerate(words):
            for axis in AXES.get(word, ()) if word not in PARTICLES else ():
                found.setdefault(axis, word)
            if word in PARTICLES:
                for phrase in _phrases(words, place):
                    for axis in AXES[phrase]:
                        found.setdefault(axis, phrase.replace("_", " "))
        said = {pole: word for pole, word in found.items() if (pole[0], 1 - pole[1]) not in found}
        opposed = frozenset((axis, 1 - end) for axis, end in said)
        return Poles(said, opposed, frozenset(word for word in words if len(word) > 7))

    def veto(self, asked: Poles, cached: Poles) -> str | None:
        """Which opposites they say."""
        there = cached.words
        for axis, end in () if asked.opposed.isdisjoint(there) else asked.words:
            if (axis, 1 - end) in there:
                return f'opposites: "{asked.words[axis, end]}" here, "{there[axis, 1 - end]}" there'
        here, others = asked.long - cached.long, cached.long - asked.long
        for word in sorted(here) if others else ():
            for other in sorted(others):
                if _opposite_beginnings(word, other):
                    return f'opposites: "{word}" here, "{other}" there'
        return None


PARTICLES = frozenset(each_word("on off in out up down"))
"""Whether they say anything depends on the verb before them."""

_SWITCHED = frozenset(each_word("turn turns turned turning switch switches switched switching power toggle lights"))
_PHRASED = frozenset(
    verb + ending
    for verb in ("log", "sign", "zoom", "opt", "check", "clock")
    for ending in ("", "s", "ed", "ing", "ged", "ging", "ted", "ting")
)


def _phrases(words: tuple[str, ...], place: int) -> list[str]:
    """What a particle says together with its verb."""
    particle = words[place]
    before = words[max(0, place - 4) : place]
    if particle in ("on", "off") and not _SWITCHED.isdisjoint(before):
        return ["enable" if particle == "on" else "disable"]
    if particle in ("in", "out") and before and before[-1] in _PHRASED:
        return ["login" if particle == "in" else "logout"]
    if particle == "out" and words[place + 1 : place + 2] == ("of",):
        return ["out_of"]
    if particle in ("up", "down") and before and before[-1] in _MOVING:
        return [particle]
    return []


_MOVING = frozenset(
    each_word("go goes going went gone is are move moves moved scroll volume thumbs speed turn scale market prices")
)


def _opposite_beginnings(one: str, other: str) -> bool:
    for first, second in OPPOSITE_PREFIXES:
        if one.startswith(first) and other.startswith(second):
            rest = one[len(first) :]
        elif one.startswith(second) and other.startswith(first):
            rest, first, second = one[len(second) :], second, first
        else:
            continue
        if len(rest) > 3 and rest == other[len(second) :]:
            return True
    return False
