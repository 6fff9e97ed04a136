"""What compared answers have shown about entries: which of them share an answer, and whose answers do oftener than expected."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from frugal_core.cache.deciders.base import Candidate
from frugal_core.cache.deciders.features import LEXICAL, UNKNOWN, Frequencies, lexical, wording
from frugal_core.cache.deciders.word_effects import WORD_EFFECTS, WordEffects

KEPT = 200_000
"""Entries that are remembered, those compared last."""

NAMES = (
    "similarity",
    "lead",
    "lead_of_group",
    "support",
    "of_group",
    "others",
    "crowd",
    "group_size",
    "group_trials",
    "group_effect",
    "entry_trials",
    "entry_effect",
    *LEXICAL,
    *WORD_EFFECTS,
    "cross_encoder",
)
"""Names of the features, in their order."""

_SHARPNESS = 20.0
_SHRINKAGE = 2.0


@dataclass(slots=True)
class Tally:
    """How often answers did, against how often they were expected to.

    Attributes:
        trials: Comparisons.
        surplus: Sum of outcome less expectation.
        spread: Sum of the variances that were expected.
    """

    trials: int = 0
    surplus: float = 0.0
    spread: float = 0.0

    def add(self, outcome: float, expected: float) -> None:
        """A comparison."""
        self.trials += 1
        self.surplus += outcome - expected
        self.spread += expected * (1 - expected)

    @property
    def effect(self) -> float:
        """Estimated log-odds that this one adds, drawn towards 0: one Newton step under a normal prior."""
        return self.surplus / (self.spread + _SHRINKAGE)


_NONE = Tally()


class Evidence:
    """The state from which features are computed. The same comparisons in the same order give the same state.

    Entries whose answers were found to be the same form a group. A new entry joins the group of the nearest one that has its
    answer, or begins one.
    """

    def __init__(self) -> None:
        self.frequencies = Frequencies()
        self.effects = WordEffects()
        self._group: OrderedDict[str, str] = OrderedDict()
        self._size: dict[str, int] = {}
        self._entries: OrderedDict[str, Tally] = OrderedDict()
        self._groups: OrderedDict[str, Tally] = OrderedDict()
        self._all = Tally()
        self._right = 0.0

    def features(self, candidate: Candidate, cross: float = UNKNOWN) -> list[float]:
        """One row of numbers about a candidate, as named in `NAMES`; NaN where something is unknown."""
        near = candidate.neighbour
        group = self._group.get(near.key)
        first = near.similarity
        same = other = UNKNOWN
        support = weight = 1.0
        of_group = others = 0
        for rival in candidate.rivals:
            its = self._group.get(rival.key)
            if its is None or group is None:
                continue
            own = math.exp(_SHARPNESS * (rival.similarity - first))
            weight += own
            if its == group:
                of_group += 1
                support += own
                same = rival.similarity if math.isnan(same) else same
            else:
                others += 1
                other = rival.similarity if math.isnan(other) else other
        rivals = candidate.rivals
        tally, own_tally = self._groups.get(group or "", _NONE), self._entries.get(near.key, _NONE)
        return [
            first,
            first - rivals[0].similarity if rivals else UNKNOWN,
            first - other,
            support / weight if of_group + others else UNKNOWN,
            float(of_group),
            float(others),
            sum(rival.similarity for rival in rivals) / len(rivals) if rivals else UNKNOWN,
            math.log1p(self._size.get(group, 1)) if group is not None else UNKNOWN,
            math.log1p(tally.trials),
            tally.effect,
            math.log1p(own_tally.trials),
            own_tally.effect,
            *lexical(candidate.asked, near.question, self.frequencies),
            *self.effects(wording(candidate.asked), wording(near.question)),
            cross,
        ]

    def take(
        self,
        entry: str,
        asked: str,
        text: str,
        cached: str,
        similarity: float,
        outcome: float,
        expected: float | None,
        same: Sequence[str],
    ) -> None:
        """Take up a comparison.

        Args:
            entry: Key of the candidate.
            asked: Key of the question, which has become an entry itself; empty if it has not.
            text: The question.
            cached: The candidate's question.
            similarity: Of the two.
            outcome: Whether the candidate's answer would have done, from 0 to 1.
            expected: What was expected.
            same: Keys of entries whose answer is the same as the question's, nearest first.
        """
        if expected is None:
            expected = (self._right + 1) / (self._all.trials + 2)
        self._all.trials += 1
        self._right += outcome
        self.frequencies.add(wording(text).bag)
        self.effects.add(wording(text), wording(cached), similarity, outcome)
        _tally(self._entries, entry).add(outcome, expected)
        if entry not in self._group:
            self._join(entry, entry)
        _tally(self._groups, self._group[entry]).add(outcome, expected)
        if asked:
            self._entries.pop(asked, None)  # it has a new answer
            group = next((self._group[key] for key in same if key in self._group), asked)
            self._join(asked, group)

    def _join(self, key: str, group: str) -> None:
        self._leave(key)
        self._group[key] = group
        self._size[group] = self._size.get(group, 0) + 1
        if len(self._group) > KEPT:
            for gone in list(islice(self._group, len(self._group) - KEPT)):
                self._leave(gone)

    def _leave(self, key: str) -> None:
        group = self._group.pop(key, None)
        if group is not None:
            self._size[group] -= 1
            if not self._size[group]:
                del self._size[group]


def _tally(tallies: OrderedDict[str, Tally], key: str) -> Tally:
    tally = tallies.get(key)
    if tally is None:
        tally = tallies[key] = Tally()
        if len(tallies) > KEPT:
            tallies.popitem(last=False)
    return tally
