"""Negations must agree."""

from __future__ import annotations

import re

from frugal_core.cache.guards.base import Guard, listed
from frugal_core.cache.guards.negatives import NEGATIVE, NEGATORS
from frugal_core.cache.guards.quantities import read
from frugal_core.cache.guards.words import each_word, normal

_CLAUSE = r"(?=(?:how|what|why|where|when|which|who|if|whether)\b)"
_IDLE = re.compile(
    r"\b(?:"
    r"(?:do|did|does)(?:n't| not|nt) (?:really |even |quite |actually )?(?:know|understand|get|see|remember) " + _CLAUSE + r"|"
    r"(?:ca(?:n't|nnot|nt)|can not|could(?:n't| not|nt)) (?:seem to )?"
    r"(?:find out|figure out|work out|remember|understand|tell|recall) " + _CLAUSE + r"|"
    r"\bi (?:really )?(?:ca(?:n't|nnot|nt)|can not|could(?:n't|nt| not)|am unable to|am not able to) (?:seem to )?"
    r"(?:find|locate)\b|"
    r"(?:am|'m|m) not (?:really |quite |entirely )?(?:sure|certain|clear)|not sure|no idea|no clue|"
    r"whether or not|or not(?=[?.!,]|$)|"
    r"(?<!why )(?:is|are|was|were|do|does|did|ca|could|wo|would|should|have|has)(?:n't|nt) (?:it|they|he|she|i|we|there|that)"
    r"(?=\s*[?.!]*$)|"
    r"not only\b|no matter|no problem|no worries|no longer(?= than)|went wrong|wrong with|never ?mind|"
    r"why not(?= \w+ing|\?|$)|why do(?:n't|nt) you (?:just )?(?:tell|explain|show|give|help)\b|no\. ?(?=\d)|"
    r"if not(?=[,?.]|$)|not to mention|nothing but"
    r")|^no[,.!]|(?:^|[,.;:!]\s*|please )(?:(?:do|would|could|can|ca|wo|will)(?:n't|nt) you|"
    r"(?:do|would|could|can|will) you not)\b",
    re.IGNORECASE,
)
"""Where "not" negates nothing of the question."""


class Negation(Guard):
    """Both questions must be negated or neither: "not", "never", "without", "unless", "illegal", "non-refundable".

    Two negations undo each other, so "not legal" is "illegal" and "not uncommon" is "common". Idle negations ("I don't know
    how…", "could you not…", "…, isn't it?") do not count. Knows English alone.

    >>> Negation()("Is it safe to drink?", "Is it not safe to drink?")
    'only the other is negated: "not"'
    >>> Negation()("Is it illegal?", "Is it not legal?")
    """

    name = "negation"

    def facts(self, text: str) -> tuple[str, ...]:
        """The words that negate, in order."""
        return _negations(text)

    def veto(self, asked: tuple[str, ...], cached: tuple[str, ...]) -> str | None:
        """Which negation only one of them has."""
        if len(asked) % 2 == len(cached) % 2:
            return None
        if asked and cached:
            return f"negations differ: {listed(map(_marked, asked))} here, {listed(map(_marked, cached))} there"
        return f"only {'this one' if asked else 'the other'} is negated: {listed(map(_marked, asked or cached))}"


def _negations(text: str) -> tuple[str, ...]:
    words = read(text).sequence
    found = tuple(word for place, word in enumerate(words) if _negates(words, place))
    if not found:
        return ()
    plain = normal(text)
    if not _IDLE.search(plain):
        return found
    words = read(_IDLE.sub(" ", plain)).sequence
    return tuple(word for place, word in enumerate(words) if _negates(words, place))


def _negates(words: tuple[str, ...], place: int) -> bool:
    word = words[place]
    if word in NEGATORS or word in NEGATIVE:
        return True
    if word == "non" and place + 1 < len(words):
        return True
    return word == "free" and place > 0 and words[place - 1] in _FREE_OF


_FREE_OF = frozenset(
    each_word("gluten sugar lactose dairy nut meat alcohol fat salt caffeine carb oil egg pain risk smoke rent")
)


def _marked(word: str) -> str:
    return f'"{word}"'
