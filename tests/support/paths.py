"""Checks that hold for the paths of every family."""

from __future__ import annotations

import numpy as np

from frugal_core.engine import drive
from frugal_core.learning.columns import Floats
from frugal_core.learning.path import Path
from frugal_core.learning.recorded_answers import recorded_answer, recorded_query
from frugal_core.learning.setting import Setting
from frugal_core.types import Answer, Call, Tier


def check_replay(path: Path, setting: Setting, places: list[int] | None = None) -> None:
    """What a path says its policies would have done is what they do when driven, query by query."""
    replayed = path.replay(setting)
    policies, rows = len(path.cost), len(setting.correct)
    assert replayed.quality.shape == replayed.cost.shape == replayed.served.shape == (policies, rows)
    assert replayed.calls.shape == (policies, len(setting.models))
    tiers = tuple(Tier(name) for name in setting.models)
    queries = [recorded_query(setting, row, tiers) for row in range(rows)]
    answers = [[recorded_answer(setting, row, model, model) for model in range(len(tiers))] for row in range(rows)]
    for place in range(policies) if places is None else places:
        policy = path.policy(place)
        policy.check(tiers)
        calls = np.zeros(len(tiers))
        for row, query in enumerate(queries):

            def perform(call: Call, row: int = row, calls: Floats = calls) -> Answer:
                answer = answers[row][call.tier]
                scoring: Answer | None = answer.raw.scoring
                if call.purpose == "score":
                    assert scoring is not None
                    return scoring
                calls[call.tier] += 1
                return answer

            decision = drive(policy.decide(query), perform)
            assert decision.answer.tier == replayed.served[place, row]
            assert decision.cost_usd is not None
            assert np.isclose(decision.cost_usd, replayed.cost[place, row], rtol=1e-9)
            assert setting.correct[row, decision.answer.tier] == replayed.quality[place, row]
        assert np.allclose(calls / rows, replayed.calls[place])


def check_path(path: Path) -> None:
    """Policies come by rising expected cost."""
    assert len(path.cost) == len(path.quality) >= 1
    assert (np.diff(path.cost) >= 0).all()
    assert ((path.quality >= 0) & (path.quality <= 1)).all()
