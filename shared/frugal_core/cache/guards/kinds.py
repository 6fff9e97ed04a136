"""What kind of answer is wanted must agree."""

from __future__ import annotations

from frugal_core.cache.guards.base import Guard, listed
from frugal_core.cache.guards.common_words import POLITE
from frugal_core.cache.guards.quantities import read
from frugal_core.cache.guards.words import each_word


class Kinds(Guard):
    """A question for a person, a place, a time, a reason or an amount must not be answered by another of these.

    Where a question asks for several, or for none of them ("what", "how to"), this guard is silent.

    >>> Kinds()("When did Mozart die?", "Where did Mozart die?")
    'they ask for different things: when here, where there'
    """

    name = "kinds"

    def facts(self, text: str) -> frozenset[str]:
        """What it asks for."""
        words = [word for word in read(text).sequence if word not in POLITE]
        found = set()
        for before, word, following in zip(["", *words], words, [*words[1:], ""], strict=False):
            if before and before not in _ASKED_AFTER:
                continue
            if word in _SINGLE:
                found.add(_SINGLE[word])
            elif word == "how" and following in _AMOUNTS:
                found.add(f"how {_AMOUNTS[following]}")
        return frozenset(found)

    def veto(self, asked: frozenset[str], cached: frozenset[str]) -> str | None:
        """What they ask for."""
        if len(asked) != 1 or len(cached) != 1 or asked == cached:
            return None
        return f"they ask for different things: {listed(asked)} here, {listed(cached)} there"


_ASKED_AFTER = frozenset(each_word("know tell me explain wonder wondering idea and understand question"))
"""After these, or at the beginning, a question word asks; elsewhere it may tell: "what happens when…"."""

_SINGLE = {"who": "who", "whom": "who", "whose": "who", "when": "when", "where": "where", "why": "why"}
_AMOUNTS = {
    "many": "many",
    "old": "old",
    "tall": "tall",
    "far": "far",
    "often": "often",
    "frequently": "often",
    "heavy": "heavy",
}
