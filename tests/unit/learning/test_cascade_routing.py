"""Cascade routing learned from recordings: replays are what driving gives, expectations are honest, and fusion helps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.evaluation.metrics import area
from frugal_core.learning.cascade_routing import CascadeRouting, CascadeRoutingPath
from frugal_core.learning.estimates import Shown, apply, comparison, learn
from frugal_core.learning.setting import Setting
from frugal_core.policies import CascadeRouter, Policy
from frugal_core.scorers import Margin
from paths import check_path, check_replay
from recorded import settings, simulated, unhurried


def enough(setting: Setting) -> Setting:
    """The same queries over and over, so that there are enough to learn from."""
    return setting.rows(np.arange(24) % len(setting.correct))


def voters(rows: int = 400, seed: int = 0) -> Setting:
    """Models right in 70, 70 and 90% of queries, apart from each other, at 1, 1.2 and 20; their scores say nothing.

    Wrong answers are one of many, so that two that agree are right.
    """
    chance = np.random.default_rng(seed)
    correct = (chance.random((rows, 3)) < (0.7, 0.7, 0.9)).astype(float)
    wrong = chance.integers(101, 1000, (rows, 3))
    answers = np.where(correct == 1, 100, wrong).astype(str).astype(object)
    setting = simulated(rows, seed=seed)
    return replace(
        setting,
        correct=correct,
        answers=answers,
        score=np.full((rows, 3), 0.5),
        cost=np.tile([1.0, 1.2, 20.0], (rows, 1)),
    )


def reached(path: CascadeRoutingPath, setting: Setting, budget: float) -> float:
    """Quality of the dearest policy within a budget."""
    replayed = path.replay(setting)
    place = np.flatnonzero(path.cost <= budget)[-1]
    return float(replayed.quality[place].mean())


@trials(unhurried, max_examples=12)
@given(settings(), st.integers(1, 3), st.booleans())
def test_paths_replay_as_they_are_driven(setting: Setting, depth: int, fusion: bool) -> None:
    path = CascadeRouting(depth=depth, fusion=fusion).fit(enough(setting))
    check_path(path)
    check_replay(path, setting, [0, len(path.cost) // 2, len(path.cost) - 1])


def test_more_models_than_take_part_replay_as_they_are_driven() -> None:
    path = CascadeRouting(most_models=3).fit(simulated(120, models=5, texts=True))
    assert len(path.chosen) == 3
    check_path(path)
    check_replay(path, simulated(40, models=5, seed=1, texts=True), [0, len(path.cost) // 2, len(path.cost) - 1])


def test_two_cheap_answers_that_agree_spare_the_dear_model() -> None:
    fused, plain = (CascadeRouting(fusion=fusion).fit(voters()) for fusion in (True, False))
    assert fused.estimates.same == "normalised"
    assert plain.estimates.same is None
    fresh = voters(2000, seed=1)
    assert reached(fused, fresh, 14.0) > 0.92 > 0.91 > reached(plain, fresh, 14.0)


def test_agreement_is_not_looked_at_where_it_tells_nothing() -> None:
    setting = voters(100)
    everything = replace(setting, answers=np.full((100, 3), "the same", dtype=object))
    nothing = replace(setting, answers=np.full((100, 3), None, dtype=object))
    assert comparison(Shown.of(everything)) is None
    assert comparison(Shown.of(nothing)) is None


def test_numbers_at_the_end_are_compared_where_texts_differ() -> None:
    setting = voters(100)
    told = [[f"{'so' * place} it is {text}" for place, text in enumerate(line)] for line in setting.answers]
    assert comparison(Shown.of(replace(setting, answers=np.array(told, dtype=object)))) == "numeric"


def test_what_is_expected_is_what_comes_true() -> None:
    gaps = []
    for seed in range(3):
        path = CascadeRouting().fit(simulated(150, seed=seed))
        replayed = path.replay(simulated(2000, seed=1000 + seed))
        real = sorted(zip(replayed.cost.mean(axis=1), replayed.quality.mean(axis=1), strict=True))
        expected = list(zip(path.cost, path.quality, strict=True))
        areas = [area(curve, 2.0, 100.0) for curve in (expected, real)]
        gaps.append((areas[0] or 0.0) - (areas[1] or 0.0))
    assert abs(np.mean(gaps)) < 0.015


def test_folds_that_were_right_more_often_are_not_learned_from() -> None:
    """What is predicted for a row left out is low where the row's fold was right often; nothing may be made of that."""
    setting = simulated(200, texts=True)
    estimates, left_out = learn(Shown.of(setting), setting.models, 1, fusion=True)
    assert not estimates.query  # numbered questions say nothing
    assert left_out[()].mean(axis=0) == pytest.approx(setting.correct.mean(axis=0), abs=0.01)


def test_queries_are_looked_at_where_they_tell_who_will_be_right() -> None:
    setting = simulated(200, texts=True)
    hard = [
        f"Compute {row} * {row} + {row}" if right else f"Who was king number {row}?"
        for row, right in enumerate(setting.correct[:, 0])
    ]
    estimates, left_out = learn(Shown.of(replace(setting, queries=tuple(hard))), setting.models, 1, fusion=True)
    assert len(estimates.query) == 3
    right = setting.correct[:, 0] == 1
    assert left_out[()][right, 0].min() > 0.8 > 0.2 > left_out[()][~right, 0].max()


def test_estimates_are_calibrated_and_live_ones_are_those_of_tables() -> None:
    setting = simulated(400, texts=True)
    seen = Shown.of(setting)
    estimates, left_out = learn(seen, setting.models, 2, fusion=True)
    fresh = simulated(2000, seed=9, texts=True)
    table = apply(estimates, Shown.of(fresh))
    for known, model in (((), 0), ((0,), 0), ((0,), 2), ((0, 1), 1)):
        assert table[known][:, model].mean() == pytest.approx(fresh.correct[:, model].mean(), abs=0.06)
        assert left_out[known][:, model].mean() == pytest.approx(setting.correct[:, model].mean(), abs=0.03)
    assert np.isnan(table[0, 1][:, 2]).all()  # nobody asks further at this depth
    assert not np.isnan(table[0, 1][:, :2]).any()


def test_the_ends_are_the_cheapest_and_the_best() -> None:
    setting = simulated(300)
    path = CascadeRouting().fit(setting)
    cheap, best = setting.cost.mean(axis=0).min(), setting.correct.mean(axis=0).max()
    assert path.cost[0] == pytest.approx(cheap, rel=0.2)
    assert path.quality[-1] >= best - 0.01
    weights = [path.policy(place).cost_weight for place in (0, len(path.cost) - 1)]
    assert weights[0] > weights[1]


def test_policies_are_saved_and_decide_on_the_live_signal(tmp_path: Any) -> None:
    path = CascadeRouting(scorer=Margin()).fit(simulated(100, texts=True))
    policy = path.policy(len(path.cost) // 2)
    assert policy.scorer == Margin()
    policy.save(tmp_path / "policy")
    loaded = Policy.load(tmp_path / "policy")
    assert isinstance(loaded, CascadeRouter)
    assert loaded.version == policy.version


def test_too_few_queries_are_refused() -> None:
    with pytest.raises(RecordingsError, match="19 queries are too few to learn from: record at least 20"):
        CascadeRouting().fit(simulated(19))


@pytest.mark.parametrize(("option", "value"), [("depth", 0), ("depth", True), ("most_models", 1), ("most_models", 2.5)])
def test_options_out_of_range_are_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=option):
        CascadeRouting(**{option: value})
