"""What stands on which side of a relation must agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from frugal_core.cache.guards.base import Guard
from frugal_core.cache.guards.common_words import POLITE
from frugal_core.cache.guards.quantities import read
from frugal_core.cache.guards.words import each_word, stem

Sides = tuple[frozenset[str], frozenset[str]]


class Sequence(NamedTuple):
    """How a text is ordered.

    Attributes:
        words: Stems of its words, in order, without articles and politeness.
        bag: The same, sorted.
        sides: What stands before and after "than", and between "from" and "to" and after it, by that relation.
        shown: From stems to words.
    """

    words: tuple[str, ...]
    bag: tuple[str, ...]
    sides: dict[str, Sides]
    shown: dict[str, str]


class Order(Guard):
    """The same words in reversed roles ask something else: "from Rome to Milan", "Is tea better than coffee?", "A invades B".

    A part moved to the front ("In Python, how do I…"), and what is joined by "and", "or" or "between", is harmless.

    >>> Order()("Convert USD to EUR", "Convert EUR to USD")
    'roles are reversed: "usd" and "eur"'
    >>> Order()("In Paris, where can I park?", "Where can I park in Paris?")
    """

    name = "order"

    def facts(self, text: str) -> Sequence:
        """How it is ordered."""
        words = [word for word in read(text).sequence if word not in _IDLE]
        stems = tuple(map(stem, words))
        return Sequence(stems, tuple(sorted(stems)), _sides(stems), dict(zip(stems, words, strict=True)))

    def veto(self, asked: Sequence, cached: Sequence) -> str | None:
        """Which words changed sides."""
        if asked.words == cached.words:
            return None
        if asked.bag == cached.bag and (swapped := _swapped(asked.words, cached.words)):
            return _told(*swapped, asked.shown)
        for relation, (before, after) in asked.sides.items():
            if relation in cached.sides:
                other_before, other_after = cached.sides[relation]
                if before & other_after and after & other_before and not before & other_before and not after & other_after:
                    return _told(sorted(before & other_after), sorted(after & other_before), asked.shown)
        return None


_IDLE = frozenset(POLITE) | frozenset(each_word("a an the my your our their its some any s"))
_JOINING = frozenset(each_word("and or vs nor with"))
_BEING = frozenset(each_word("be am is are was were"))
_ASKING = frozenset(each_word("what which who whom whose where when why how"))
_ENDING = frozenset(each_word("by with in on at for using via without when if and or be do can should than"))


LONG = 80
"""So many words out of order are no reversal, and would take long to look through."""


def _told(one: Iterable[str], other: Iterable[str], shown: Mapping[str, str]) -> str:
    first, second = (" ".join(shown[key] for key in stems) for stems in (one, other))
    return f'roles are reversed: "{first}" and "{second}"'


def _swapped(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Two parts that changed places around something between them that relates them."""
    start = next(place for place, (left, right) in enumerate(zip(one, other, strict=True)) if left != right)
    stop = next(place for place, (left, right) in enumerate(zip(one[::-1], other[::-1], strict=True)) if left != right)
    one, other = one[start : len(one) - stop], other[start : len(other) - stop]
    size = len(one)
    if size > LONG:
        return None
    for first in range(1, size - 1):
        if other[size - first :] != one[:first]:
            continue
        for second in range(1, size - first):
            middle = one[first : size - second]
            if other[:second] == one[size - second :] and other[second : size - first] == middle:
                ends = one[:first] + one[size - second :]
                return None if _harmless(middle, ends) else (one[:first], one[size - second :])
    return None


def _harmless(middle: tuple[str, ...], ends: tuple[str, ...]) -> bool:
    if _JOINING.issuperset(middle) or (middle[0] in _JOINING and len(middle) == 2):
        return True
    if not _ASKING.isdisjoint(ends):
        return True
    return _BEING.issuperset(middle) and not any(end[0].isdigit() for end in ends)


def _sides(words: tuple[str, ...]) -> dict[str, Sides]:
    found: dict[str, Sides] = {}
    if "from" in words and "to" in words:
        source, target = words.index("from"), len(words) - 1 - words[::-1].index("to")
        if source < target:
            found["from … to"] = _content(words[source + 1 : target]), _content(_until_ending(words[target + 1 :]))
        elif target < source:
            found["from … to"] = _content(_until_ending(words[source + 1 :])), _content(words[target + 1 : source])
    elif "to" in words and (place := words.index("to")) and {"convert", "chang", "translat"} & set(words[:place]):
        found["from … to"] = _content(words[max(0, place - 2) : place]), _content(_until_ending(words[place + 1 :]))
    if "than" in words:
        place = words.index("than")
        found["than"] = _content(words[:place]), _content(_until_ending(words[place + 1 :]))
    return found


def _until_ending(words: tuple[str, ...]) -> tuple[str, ...]:
    for place, word in enumerate(words):
        if place and word in _ENDING:
            return words[:place]
    return words


def _content(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(
        word for word in words if len(word) > 1 and word not in _ASKING and word not in _BEING and word not in _ENDING
    )
