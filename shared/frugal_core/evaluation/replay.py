"""Replays recorded answers through the very policies that serve live traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frugal_core.engine import drive
from frugal_core.learning.columns import Floats
from frugal_core.learning.recorded_answers import RecordedSignal, recorded_answer, recorded_query
from frugal_core.learning.setting import Setting
from frugal_core.policies import Cascade, Policy
from frugal_core.types import Answer, Call, Tier


@dataclass(frozen=True)
class Outcomes:
    """What became of the queries.

    Attributes:
        correct: Shape (queries,): quality of the served answer, in [0, 1].
        cost: Shape (queries,): cost of all calls.
        calls: Shape (queries, tiers): calls for an answer.
    """

    correct: Floats
    cost: Floats
    calls: npt.NDArray[np.int64]


class Replay:
    """Some queries of a dataset, and some of its models as the tiers.

    Args:
        setting: The dataset.
        members: Indices of the models, in the order in which a cascade asks them.
        rows: Mask or indices of the queries.
    """

    def __init__(self, setting: Setting, members: Sequence[int], rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> None:
        chosen = np.arange(len(setting.train))[rows]
        tiers = tuple(Tier(setting.models[i]) for i in members)
        self._places = {tier.name: place for place, tier in enumerate(tiers)}
        self._queries = [recorded_query(setting, row, tiers) for row in chosen]
        self._answers = [
            tuple(recorded_answer(setting, row, model, tier) for tier, model in enumerate(members)) for row in chosen
        ]
        self._correct = setting.correct[np.ix_(chosen, np.array(members, dtype=int))]
        self._scores = setting.score[np.ix_(chosen, np.array(members[:-1], dtype=int))]
        self._signal = RecordedSignal()
        self._seen: dict[int, tuple[npt.NDArray[np.bool_], Outcomes]] = {}

    def run(self, policy: Policy) -> Outcomes:
        """Drive a policy over all queries, one after another."""
        outcomes = self._blank()
        for place in range(len(self._queries)):
            self._drive(policy, place, outcomes)
        return outcomes

    def cascade(self, thresholds: Sequence[float]) -> Outcomes:
        """Drive a cascade with fixed thresholds over all queries.

        A fixed threshold judges each query by itself and only compares. So what a cascade does with a query depends on its
        thresholds through the outcomes of these comparisons alone: a query whose comparisons all turn out as under thresholds
        already driven is not driven again. That makes a curve of many thresholds hardly dearer than a single one.

        Args:
            thresholds: One per escalation.
        """
        policy = Cascade(self._signal, tuple(float(value) for value in thresholds))
        comparisons = self._scores >= np.asarray(thresholds)  # a missing score (NaN) compares as False
        codes = comparisons @ (1 << np.arange(comparisons.shape[1]))
        result = self._blank()
        for code in np.unique(codes):
            known, seen = self._seen.setdefault(int(code), (np.zeros(len(codes), dtype=bool), self._blank()))
            here = codes == code
            for place in np.flatnonzero(here & ~known):
                self._drive(policy, int(place), seen)
            known |= here
            result.correct[here], result.cost[here], result.calls[here] = seen.correct[here], seen.cost[here], seen.calls[here]
        return result

    def _drive(self, policy: Policy, place: int, outcomes: Outcomes) -> None:
        """Answer one query and note what became of it."""
        answers = self._answers[place]

        def perform(call: Call) -> Answer:
            answer = answers[call.tier]
            scoring: Answer | None = answer.raw.scoring
            return scoring if call.purpose == "score" and scoring is not None else answer

        decision = drive(policy.decide(self._queries[place]), perform)
        assert decision.cost_usd is not None
        outcomes.correct[place] = self._correct[place, decision.answer.tier]
        outcomes.cost[place] = decision.cost_usd
        outcomes.calls[place] = 0
        for step in decision.steps:
            if step.called and step.reason != "sample":
                outcomes.calls[place, self._places[step.tier]] += 1

    def _blank(self) -> Outcomes:
        shape = self._correct.shape
        return Outcomes(np.zeros(shape[0]), np.zeros(shape[0]), np.zeros(shape, dtype=np.int64))
