"""Which words may differ between two questions with one answer, and which may not, learned from compared answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from frugal_core.cache.deciders.features import Wording

KEPT = 50_000
"""Words whose effects are remembered, those met last."""

WORD_EFFECTS = (
    "alone_total",
    "alone_least",
    "alone_most",
    "shared_total",
    "shared_least",
    "shared_most",
    "swapped_total",
    "swapped_least",
    "swapped_most",
)
"""Names of what `WordEffects` gives, in its order."""

_BINS = 40
_SPREAD = 0.2
_SWAPS = 36


class WordEffects:
    """Words that occur in one question only, in both, or one in place of another; and what followed where they did.

    What is expected of a pair is how often pairs of its similarity were right, so that a word is credited with what the
    similarity does not see. Effects are drawn towards 0 where a word was met seldom.

    >>> from frugal_core.cache.deciders.features import wording
    >>> effects, one, other, polite = WordEffects(), *map(wording, ("open it", "close it", "open it please"))
    >>> for _ in range(9):
    ...     effects.add(one, other, 0.9, 0.0)
    ...     effects.add(one, polite, 0.9, 1.0)
    >>> effects(one, other)[0] < 0 < effects(one, polite)[0]
    True
    """

    def __init__(self) -> None:
        self._tallies: OrderedDict[object, list[float]] = OrderedDict()
        self._right = [1.0] * (_BINS + 1)
        self._all = [2.0] * (_BINS + 1)

    def __call__(self, one: Wording, other: Wording) -> list[float]:
        """Sum, least and greatest effect of each kind of words, as named in `WORD_EFFECTS`."""
        row: list[float] = []
        for kind in _kinds(one, other):
            effects = [self._effect(word) for word in kind]
            row += [sum(effects), min(effects, default=0.0), max(effects, default=0.0)]
        return row

    def add(self, one: Wording, other: Wording, similarity: float, outcome: float) -> None:
        """Take up a compared pair."""
        place = round(min(1.0, max(0.0, similarity)) * _BINS)
        surplus = outcome - self._right[place] / self._all[place]
        self._right[place] += outcome
        self._all[place] += 1
        tallies = self._tallies
        for kind in _kinds(one, other):
            for word in kind:
                tally = tallies.get(word)
                if tally is None:
                    tally = tallies[word] = [0.0, 0.0]
                else:
                    tallies.move_to_end(word)
                tally[0] += 1
                tally[1] += surplus
        while len(tallies) > KEPT:
            tallies.popitem(last=False)

    def _effect(self, word: object) -> float:
        tally = self._tallies.get(word)
        return 0.0 if tally is None else tally[1] / (tally[0] * _SPREAD + 1)


def _kinds(one: Wording, other: Wording) -> tuple[Iterable[object], Iterable[object], Iterable[object]]:
    """Words of one question only, of both, and those that may stand for each other, told apart by their form; sorted."""
    shared = one.bag & other.bag
    left, right = sorted(one.bag - shared), sorted(other.bag - shared)
    swaps = [(min(a, b), max(a, b)) for a in left for b in right] if len(left) * len(right) <= _SWAPS else []
    return left + right, [(word,) for word in sorted(shared)], swaps
