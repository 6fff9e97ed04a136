"""Named things must agree."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from frugal_core.cache.guards.base import Guard, listed
from frugal_core.cache.guards.common_words import FUNCTION, POLITE, SOFT, THINGS
from frugal_core.cache.guards.opposites import AXES
from frugal_core.cache.guards.quantities import read
from frugal_core.cache.guards.synonyms import GROUPS
from frugal_core.cache.guards.words import distance, each_word, stem


class Named(NamedTuple):
    """What a text is about.

    Attributes:
        stems: Of its words that are neither numbers nor function words.
        words: Those words by stem, in order.
        capitals: Stems of those that begin with a capital although no sentence begins with them.
        order: Stems of all its words but articles, in order.
        joined: The text without spaces.
    """

    stems: frozenset[str]
    words: dict[str, str]
    capitals: frozenset[str]
    order: tuple[str, ...]
    joined: str


class Names(Guard):
    """Neither question may name something in place of what the other one names: France and Spain, C and C++, cats and dogs.

    Names need no capitals, since many people type none. Words that both questions have are taken away, then misspellings, other
    forms and synonyms of each other. What is left on both sides is a veto, unless it is common and decides nothing, and if it
    stands in the same place or is known to name something. What one question names in place of nothing is no veto.

    A misspelling is a word one or two letters away from the other one, if it is none that this guard knows: "Pythno" is one of
    "Python", but Austria is none of Australia, nor Java of JavaScript.

    >>> Names()("capital of norway", "What is the capital of Sweden?")
    'names differ: norway here, sweden there'
    >>> Names()("capital of norwya", "What is the capital of Norway?")
    """

    name = "names"

    def facts(self, text: str) -> Named:
        """What it is about."""
        reading = read(text)
        words: dict[str, str] = {}
        capitals, order = set(), []
        for word, _, capital in reading.words:
            if word in POLITE or word in _ARTICLES:
                continue
            key = stem(word)
            order.append(key)
            if word in FUNCTION:
                continue
            words.setdefault(key, word)
            if capital:
                capitals.add(key)
        return Named(frozenset(words), words, frozenset(capitals), tuple(order), "".join(reading.sequence))

    def veto(self, asked: Named, cached: Named) -> str | None:
        """What is named in place of what."""
        here, there = asked.stems - cached.stems, cached.stems - asked.stems
        if not here or not there:
            return None
        here, there = _unmatched(here, asked, there, cached), _unmatched(there, cached, here, asked)
        ours, theirs = _decisive(here, asked), _decisive(there, cached)
        if not ours or not theirs or not (_both_named(ours, asked, theirs, cached) or _in_place(here, asked, there, cached)):
            return None
        return f"names differ: {_told(ours, asked)} here, {_told(theirs, cached)} there"


MANY = 2_500
"""With more pairs of words that differ, they are not looked at one by one: the texts have little in common."""

_ARTICLES = frozenset({"a", "an", "the"})
_SOFT_STEMS = frozenset(map(stem, SOFT))
_KNOWN = SOFT | THINGS | FUNCTION | frozenset(AXES)


def _told(stems: frozenset[str], named: Named) -> str:
    return listed(word for key, word in named.words.items() if key in stems)


def _decisive(stems: frozenset[str], named: Named) -> frozenset[str]:
    """Those that are not common words."""
    return frozenset(key for key in stems if key in named.capitals or not _soft(named.words[key]))


@lru_cache(50_000)
def _soft(word: str) -> bool:
    return word in SOFT or (word not in THINGS and stem(word) in _SOFT_STEMS)


def _both_named(ours: frozenset[str], asked: Named, theirs: frozenset[str], cached: Named) -> bool:
    """Whether both sides have one that surely names something."""
    return all(
        any(key in named.capitals or named.words[key] in THINGS for key in stems)
        for stems, named in ((ours, asked), (theirs, cached))
    )


def _in_place(ours: frozenset[str], asked: Named, theirs: frozenset[str], cached: Named) -> bool:
    """Whether what is left of them stands between the same words somewhere."""
    return not _places(ours, asked).isdisjoint(_places(theirs, cached))


def _places(stems: frozenset[str], named: Named) -> set[tuple[str, str]]:
    """What stands before and after words."""
    found, before = set(), "^"
    open_before = ""
    for key in (*named.order, "$"):
        if key in stems:
            open_before = open_before or before
        else:
            if open_before:
                found.add((open_before, key))
                open_before = ""
            before = key
    return found


_ENDINGS = frozenset(
    each_word(
        "s es ed d r er ers ing ings ion ions ation ations ment ments agement al ally ly ness ity ive ively ist ists "
        "ian ians ic ical able ible ably ibly y e or ors ance ences ence ant ent ish ful n an ans i age ure t th hood "
        "ship ise ize ised ized ising izing isation ization ied ies ying ify ification ication ications ified ifying "
        "ational cy tial tials rs ial ials ency ential ative ator ators ier iest ily "
    )
)


def _unmatched(left: frozenset[str], one: Named, right: frozenset[str], other: Named) -> frozenset[str]:
    """Words of one side that nothing on the other side stands for."""
    if len(left) * len(right) > MANY:
        return left
    return frozenset(
        key
        for key in left
        if not (len(one.words[key]) > 4 and one.words[key] in other.joined)
        and not any(_same(one.words[key], other.words[match]) for match in right)
    )


@lru_cache(100_000)
def _same(one: str, other: str) -> bool:
    """Whether one word is the other one misspelled, in another form, or by another name."""
    if not GROUPS.get(stem(one), _NONE).isdisjoint(GROUPS.get(stem(other), _NONE)):
        return True
    return _variants(one, other) or _misspelled(one, other)


_NONE: frozenset[int] = frozenset()


def _variants(one: str, other: str) -> bool:
    """Whether only their endings differ: "calculate" and "calculation"."""
    if one in THINGS and other in THINGS:
        return False
    short = min(len(one), len(other))
    shared = next((place for place in range(short) if one[place] != other[place]), short)
    return shared >= 4 and (one[shared:] in _ENDINGS or not one[shared:]) and (other[shared:] in _ENDINGS or not other[shared:])


def _misspelled(one: str, other: str) -> bool:
    """Whether one of them is none that is known, and near enough to the other."""
    known = (one in _KNOWN) + (other in _KNOWN)
    if known == 2 or not one.isalpha() or not other.isalpha():
        return False
    size = max(len(one), len(other))
    if known:
        limit = 0 if size < 4 else 1 if size < 7 else 2
    else:
        limit = 0 if size < 6 or one[0] != other[0] else 1 if size < 8 else 2
    return limit > 0 and distance(one, other, limit) <= limit
