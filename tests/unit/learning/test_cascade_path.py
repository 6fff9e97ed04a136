"""Single models and cascades as families: what a path says is what its policies do, and what is expected of them is honest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import RecordingsError
from frugal_core.learning.cascade_path import POLICIES, CascadeSearch
from frugal_core.learning.cascade_routing import CascadeRouting
from frugal_core.learning.learned_cascade import LearnedCascade
from frugal_core.learning.setting import Setting
from frugal_core.learning.shortlist import best_together
from frugal_core.learning.singles import Singles
from frugal_core.policies import Cascade, Single
from frugal_core.scorers import Margin
from frugal_core.scorers.learned import LearnedScorer
from paths import check_path, check_replay
from recorded import settings, simulated, unhurried


def enough(setting: Setting) -> Setting:
    """The same queries over and over, so that there are enough to learn from."""
    return setting.rows(np.arange(12) % len(setting.correct))


@unhurried
@given(settings())
def test_single_models_replay_as_they_answer(setting: Setting) -> None:
    path = Singles().fit(setting)
    check_path(path)
    check_replay(path, setting)
    assert (np.diff(path.quality) > 0).all()


@unhurried
@given(settings(), st.integers(1, 4))
def test_cascades_replay_as_they_are_driven(setting: Setting, depth: int) -> None:
    if np.isnan(setting.score).all():
        return
    path = CascadeSearch(depth=depth).fit(enough(setting))
    check_path(path)
    check_replay(path, setting)


def test_a_learned_score_replays_as_it_is_driven() -> None:
    path = LearnedCascade().fit(simulated(120, texts=True))
    check_path(path)
    check_replay(path, simulated(60, seed=1, texts=True), [0, len(path.cost) // 2, len(path.cost) - 1])


def test_what_is_expected_is_what_comes_true() -> None:
    """In-sample thresholds promise more than they keep; what the path expects is kept on average."""
    gaps = []
    for seed in range(12):
        setting, fresh = simulated(150, seed=seed), simulated(4000, seed=1000 + seed)
        path = CascadeSearch().fit(setting)
        gaps.append(path.quality - path.replay(fresh).quality.mean(axis=1))
    gap = np.concatenate(gaps)
    assert abs(gap.mean()) < 0.01


def test_policies_are_ready_to_serve_and_know_their_models_by_name() -> None:
    path = CascadeSearch(scorer=Margin()).fit(simulated())
    policies = [path.policy(place) for place in range(len(path.cost))]
    cascades = [policy for policy in policies if isinstance(policy, Cascade)]
    assert cascades
    assert all(isinstance(policy, (Cascade, Single)) for policy in policies)
    assert all(policy.scorer == Margin() for policy in cascades)
    assert {name for policy in cascades for name in policy.models or ()} <= {"m0", "m1", "m2"}


def test_a_learned_score_is_served_on_the_live_signal() -> None:
    path = LearnedCascade(Margin()).fit(simulated(120, texts=True))
    policy = next(p for place in range(len(path.cost)) if isinstance(p := path.policy(place), Cascade))
    assert isinstance(policy.scorer, LearnedScorer)
    assert policy.scorer.signals == (Margin(),)
    assert policy.needs_logprobs


def test_a_long_frontier_is_thinned_but_keeps_its_ends() -> None:
    setting = simulated(3000)
    path = CascadeSearch().fit(setting)
    assert 20 < len(path.points) <= POLICIES
    assert path.quality[-1] - path.quality[0] > 0.2


def test_many_models_are_narrowed_down_to_the_useful_ones() -> None:
    setting = simulated(400, models=3)
    useless = setting.select([0, 1, 2, *[0] * 8])
    useless = replace(
        useless,
        models=tuple(f"m{place}" for place in range(11)),
        cost=np.hstack([setting.cost, np.full((400, 8), 500.0)]),
        correct=np.hstack([setting.correct, np.zeros((400, 8))]),
    )
    assert best_together(useless, 3) == [0, 1, 2]
    assert best_together(setting, 3) == [0, 1, 2]
    assert max(max(point.order) for point in CascadeSearch(most_models=3).fit(useless).points) <= 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: replace(s, score=np.full_like(s.score, np.nan)), "no signal was recorded"),
        (lambda s: s.rows(np.arange(9)), "9 queries are too few to learn from: record at least 10"),
    ],
)
def test_what_a_cascade_cannot_learn_from(change: Any, says: str) -> None:
    with pytest.raises(RecordingsError, match=says):
        CascadeSearch().fit(change(simulated()))


def test_a_signal_that_takes_calls_is_not_looked_at() -> None:
    setting = simulated()
    with pytest.raises(RecordingsError, match="its signal takes calls"):
        LearnedCascade().fit(replace(setting, scoring=np.ones_like(setting.scoring)))


def test_models_of_one_price_can_be_learned_from() -> None:
    """Where no costs are known, every call counts the same."""
    setting = simulated(60, models=8)
    level = replace(setting, cost=np.ones_like(setting.cost))
    assert 7 in best_together(level, 3)
    for path in (CascadeSearch().fit(level), CascadeRouting().fit(level)):
        check_path(path)
        assert path.quality[-1] > 0.8
