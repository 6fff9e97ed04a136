"""Routers learned from recordings: the replay is what driving them gives, and what is expected of them is out of fold."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.evaluation.replay import Replay
from frugal_core.learning.routing import POLICIES, Routing, RoutingPath, cost_weights
from frugal_core.learning.setting import Setting
from frugal_core.predictors import (
    FactorisationPredictor,
    HybridPredictor,
    LearnedPredictor,
    NeighbourPredictor,
    PerformancePredictor,
)
from frugal_core.predictors.view import QueryView
from frugal_core.types import Message, Query

TOPICS = ("Add {} and {}.", "Which king ruled after the battle of {} in {}?", "Explain why {} is not divisible by {}.")
CHANCES = ((0.95, 0.95, 0.96), (0.2, 0.5, 0.95), (0.4, 0.9, 0.9))


def made_up(rows: int = 240, models: int = 3, seed: int = 0, **changes: Any) -> Setting:
    """Three topics: the cheapest model is good at the first, the middle one at the last, the dearest at all."""
    rng = random.Random(seed)
    topics = [rng.randrange(3) for _ in range(rows)]
    texts = [TOPICS[topic].format(rng.randint(10, 9999), rng.randint(10, 9999)) for topic in topics]
    shape = (rows, models)
    made: dict[str, Any] = {
        "dataset": "made up",
        "models": ("small", "middle", "large")[:models],
        "train": np.ones(rows, dtype=bool),
        "correct": np.array([[float(rng.random() < chance) for chance in CHANCES[topic][:models]] for topic in topics]),
        "cost": np.array([[10.0**model * rng.uniform(0.5, 1.5) for model in range(models)] for _ in topics]),
        "scoring": np.zeros(shape),
        "score": np.full(shape, math.nan),
        "queries": tuple(texts),
        "answers": np.full(shape, None, dtype=object),
        "tokens": np.full(shape, math.nan),
        "logprobs": np.full(shape, None, dtype=object),
        "finish_reasons": np.full(shape, None, dtype=object),
        "signal": None,
        "cost_source": "made up",
        "unit": "USD per query",
        "chance": None,
        "notes": (),
    }
    return Setting(**{**made, **changes})


@cache
def learned(predictor: type[LearnedPredictor] = PerformancePredictor, models: int = 3) -> RoutingPath:
    return Routing(predictor).fit(made_up(models=models))


def driven_alike(path: RoutingPath, setting: Setting) -> None:
    """Compare the replay with driving each policy over the recorded answers."""
    replayed = path.replay(setting)
    members = range(len(setting.models))
    replay = Replay(setting, list(members), np.ones(len(setting.correct), dtype=bool))
    for place in range(len(path.cost)):
        outcomes = replay.run(path.policy(place))
        assert (replayed.quality[place] == outcomes.correct).all()
        assert replayed.cost[place] == pytest.approx(outcomes.cost)
        assert (outcomes.calls.argmax(axis=1) == replayed.served[place]).all()
        assert replayed.calls[place] == pytest.approx(outcomes.calls.mean(axis=0))


@pytest.mark.parametrize("predictor", [PerformancePredictor, NeighbourPredictor, FactorisationPredictor])
def test_the_replay_is_what_driving_gives(predictor: type[LearnedPredictor]) -> None:
    driven_alike(learned(predictor), made_up(40, seed=1))


def test_hybrid_routes_between_two() -> None:
    path = learned(HybridPredictor, 2)
    driven_alike(path, made_up(40, models=2, seed=1))
    with pytest.raises(ConfigurationError, match="compares two"):
        Routing(HybridPredictor).fit(made_up())


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(st.integers(0, 1000), st.booleans(), st.booleans())
def test_the_replay_is_what_driving_gives_on_any_queries(seed: int, textless: bool, graded: bool) -> None:
    setting = made_up(8, seed=seed)
    changes: dict[str, Any] = {}
    if textless:
        changes["queries"] = (None, *setting.queries[1:])
    if graded:
        changes["correct"] = setting.correct * 0.5
    driven_alike(learned(), made_up(8, seed=seed, **changes))


def test_the_path_leads_from_cheap_to_dear_and_beats_single_models() -> None:
    path, setting = learned(), made_up()
    assert (np.diff(path.cost) > 0).all()
    assert (np.diff(path.quality) > 0).all()
    assert (np.diff(path.weights) < 0).all()
    assert 5 <= len(path.cost) <= POLICIES
    assert path.models == setting.models
    fresh = made_up(2000, seed=9)
    replayed = path.replay(fresh)
    good = replayed.quality.mean(axis=1) >= fresh.correct[:, 2].mean() - 0.03
    assert replayed.cost.mean(axis=1)[good].min() < 0.6 * fresh.cost[:, 2].mean()  # who knows the topics pays 37%
    assert replayed.served[0].max() == 0


def test_what_is_expected_is_what_comes_true_on_fresh_queries() -> None:
    """Within sampling noise: single policies jump where a topic changes its model, so the whole path is looked at."""
    path = Routing().fit(made_up(900))
    fresh = path.replay(made_up(3000, seed=9))
    assert path.quality.mean() == pytest.approx(fresh.quality.mean(), abs=0.04)
    assert path.cost.mean() == pytest.approx(fresh.cost.mean(), rel=0.2)


@dataclass(frozen=True)
class Memory(LearnedPredictor):
    """Knows every answer that it has seen, and nothing else."""

    models: tuple[str, ...]
    view: QueryView
    seen: dict[str, list[float]]

    @classmethod
    def fit(cls, queries: Sequence[Query], quality: Any, models: Sequence[str], *, embed: Any = None) -> Memory:
        return cls(tuple(models), QueryView(), {}).refit(queries, quality)

    def refit(self, queries: Sequence[Query], quality: Any) -> Memory:
        return replace(self, seen={one.text: list(grades) for one, grades in zip(queries, quality, strict=True)})

    def __call__(self, query: Query) -> list[float]:
        return self.seen.get(query.text) or [0.5 + 0.01 * place for place in range(len(self.models))]


def test_what_was_learned_by_heart_promises_nothing() -> None:
    """On its own rows this predictor would be right in three of four: wherever one of two models that guess is."""
    rng = np.random.default_rng(0)
    noise = made_up(300, models=2, correct=rng.integers(0, 2, (300, 2)).astype(float))
    path = Routing(Memory).fit(noise)
    assert path.replay(noise).quality.mean(axis=1).max() > 0.7
    assert path.quality.max() <= noise.correct.mean(axis=0).max()


def test_policies_are_saved_and_say_the_costs_of_the_recordings(tmp_path: Any) -> None:
    path, setting = learned(), made_up()
    policy = path.policy(2)
    assert policy.costs == dict(zip(setting.models, setting.cost.mean(axis=0).tolist(), strict=True))
    assert policy.cost_weight == path.weights[2]
    policy.save(tmp_path / "policy")
    query = Query((Message("user", "Add 3 and 4."),), ())
    assert type(policy).load(tmp_path / "policy").predictor(query) == path.predictor(query)


def test_the_embedding_is_asked_once_per_text_and_kept_for_serving() -> None:
    seen: list[str] = []

    def embed(text: str) -> list[float]:
        seen.append(text)
        return [float("king" in text), float("Add" in text), 1.0]

    setting = made_up(60)
    path = Routing(embed=embed).fit(setting)
    assert sorted(seen) == sorted(set(setting.queries) - {None})  # type: ignore[type-var]
    assert path.predictor.view.embed is embed
    driven_alike(path, made_up(20, seed=1))


@pytest.mark.parametrize("texts", [(None,) * 240, (" ",) * 240, (*("text",) * 19, *(None,) * 221)])
def test_a_router_needs_texts(texts: tuple[str | None, ...]) -> None:
    with pytest.raises(
        RecordingsError, match=r"made up: (0|19) of 240 queries have a text, and a router looks at nothing else"
    ):
        Routing().fit(made_up(queries=texts))


def test_queries_without_text_are_left_out_of_the_fit() -> None:
    whole = made_up(260)
    some = Routing().fit(replace(whole, queries=(*whole.queries[:240], *(None,) * 20)))
    same = Routing().fit(whole.rows(np.arange(240)))
    assert some.predictor == same.predictor
    assert (some.cost == same.cost).all()
    assert (some.costs == same.costs).all()


# --- weights ---


def test_weights_by_hand() -> None:
    estimates, costs = np.array([[0.5, 0.9], [0.8, 0.9]]), np.array([1.0, 3.0])
    weights = cost_weights(estimates, costs)  # worth 0.2 and 0.05 per unit
    assert weights.tolist() == pytest.approx([0.4, 0.125, 0.0])
    served = [np.argmax(estimates - weight * costs, axis=1).tolist() for weight in weights]
    assert served == [[0, 0], [1, 0], [1, 1]]


def test_a_cheapest_model_that_is_best_needs_no_weight() -> None:
    assert cost_weights(np.array([[0.9, 0.5]]), np.array([1.0, 2.0])).tolist() == [0.0]
    assert cost_weights(np.array([[0.5, 0.9]]), np.array([1.0, 1.0])).tolist() == [0.0]


@hypothesis.settings(deadline=None)
@hypothesis.given(st.integers(0, 10_000))
def test_weights_fall_and_lead_from_the_cheapest_to_the_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    estimates, costs = rng.uniform(0, 1, (50, 4)), rng.uniform(0.1, 1, 4)
    weights = cost_weights(estimates, costs)
    assert (np.diff(weights) < 0).all()
    assert len(weights) <= POLICIES
    assert weights[-1] == 0.0
    assert set(np.argmax(estimates - weights[0] * costs, axis=1)) == {int(costs.argmin())}
