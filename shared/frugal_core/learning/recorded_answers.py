"""Recorded answers in the form in which policies and scorers meet live ones."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from frugal_core.learning.setting import Setting
from frugal_core.saving import saveable
from frugal_core.scorers.base import Scored, Scorer
from frugal_core.types import Answer, Call, Message, Query, Tier, TokenLogprob, Usage

_STAND_IN = "(not recorded)"
"""Stands for a text that was not recorded; an empty one would be taken for an empty answer."""


@dataclass(frozen=True)
class Recorded:
    """What is known of an answer beside its text, carried as `Answer.raw`.

    Attributes:
        score: The recorded confidence.
        scoring: The call that it took to ask for it, if it took one.
        text: Whether the text was recorded.
    """

    score: float | None
    scoring: Answer | None
    text: bool = True


@saveable("recorded_signal")
@dataclass(frozen=True)
class RecordedSignal(Scorer):
    """The confidence recorded with an answer. Where asking for it took a call of its own, it takes (and charges) one here."""

    def __call__(self, query: Query, answer: Answer) -> Scored:
        """The recorded score, `None` where there is none."""
        recorded = answer.raw
        if not isinstance(recorded, Recorded):
            return None
        return recorded.score if recorded.scoring is None else self._ask(query, answer, recorded)

    @staticmethod
    def _ask(query: Query, answer: Answer, recorded: Recorded) -> Generator[Call, Answer, float | None]:
        yield Call(answer.tier, query, purpose="score")
        return recorded.score


def recorded_query(setting: Setting, row: int, tiers: tuple[Tier, ...]) -> Query:
    """A recorded query, as it might be asked of these tiers."""
    return Query((Message("user", setting.queries[row] or _STAND_IN),), tiers)


def recorded_answer(setting: Setting, row: int, model: int, tier: int) -> Answer:
    """A recorded answer.

    Args:
        setting: The dataset.
        row: Index of the query.
        model: Index of the model.
        tier: Index of the model in the query's tiers.
    """
    text, tokens = setting.answers[row, model], float(setting.tokens[row, model])
    score, scoring = float(setting.score[row, model]), float(setting.scoring[row, model])
    asked = Answer(_STAND_IN, cost_usd=scoring, tier=tier) if scoring > 0 else None
    return Answer(
        _STAND_IN if text is None else text,
        logprobs=tuple(TokenLogprob("", value) for value in setting.logprobs[row, model] or ()),
        usage=None if np.isnan(tokens) else Usage(0, int(tokens)),
        cost_usd=float(setting.cost[row, model]),
        finish_reason=setting.finish_reasons[row, model],
        tier=tier,
        raw=Recorded(None if np.isnan(score) else score, asked, text is not None),
    )
