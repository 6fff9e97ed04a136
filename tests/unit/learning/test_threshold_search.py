"""The search for thresholds against brute force: every combination, driven through the very cascade that serves traffic."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import ConfigurationError
from frugal_core.evaluation.replay import Replay
from frugal_core.learning import frontier, threshold_search
from frugal_core.learning.frontier import pareto
from frugal_core.learning.setting import Setting
from frugal_core.learning.threshold_search import Ranked, Reached, search_order, search_thresholds
from recorded import settings, unhurried

LEVELS = (0.0, 0.25, 0.3, 0.5, 0.75, 1.0)
NAN = float("nan")


def driven(setting: Setting, members: Sequence[int], thresholds: Sequence[float]) -> tuple[float, float]:
    """Mean cost and quality of the real cascade on all queries."""
    outcomes = Replay(setting, members, np.arange(len(setting.train))).cascade(thresholds)
    return outcomes.cost.mean(), outcomes.correct.mean()


def brute_force(setting: Setting, members: Sequence[int]) -> list[tuple[float, float]]:
    """The Pareto-optimal (cost, quality) of all thresholds."""
    replay = Replay(setting, members, np.arange(len(setting.train)))
    runs = [replay.cascade(thresholds) for thresholds in itertools.product(LEVELS, repeat=len(members) - 1)]
    cost, quality = np.array([run.cost.mean() for run in runs]), np.array([run.correct.mean() for run in runs])
    return [(cost[i], quality[i]) for i in pareto(cost, quality)]


def searched(setting: Setting, members: Sequence[int]) -> Reached:
    columns = np.array(members)
    parts = (setting.correct, setting.cost, setting.score, setting.scoring)
    return search_thresholds(*(part[:, columns] for part in parts))


def points(reached: Reached) -> list[tuple[float, float]]:
    return list(zip(reached.cost.tolist(), reached.quality.tolist(), strict=True))


def synthetic(queries: int, tiers: int = 3, seed: int = 0) -> tuple[Any, Any, Any]:
    """Dearer tiers are better, and scores tell something."""
    random = np.random.default_rng(seed)
    hard = random.random((queries, 1))
    quality = (random.random((queries, tiers)) < np.linspace(1.0, 1.2, tiers) - 0.6 * hard).astype(float)
    score = np.clip(0.5 + 0.3 * (quality - 0.5) + 0.25 * random.standard_normal((queries, tiers)), 0, 1)
    return quality, 4.0 ** np.arange(tiers) * random.uniform(0.5, 1.5, (queries, tiers)), score


# --- against brute force ---


@unhurried
@given(settings(), st.data())
def test_it_finds_what_trying_every_threshold_finds(setting: Setting, data: Any) -> None:
    members = data.draw(st.permutations(range(len(setting.models))))
    assert np.array(points(searched(setting, members))) == pytest.approx(np.array(brute_force(setting, members)), rel=1e-12)


@unhurried
@given(settings(), st.data())
def test_each_point_is_what_the_cascade_does_with_its_thresholds(setting: Setting, data: Any) -> None:
    members = data.draw(st.permutations(range(len(setting.models))))
    reached = searched(setting, members)
    for thresholds, point in zip(reached.thresholds, points(reached), strict=True):
        assert driven(setting, members, thresholds) == pytest.approx(point, rel=1e-12)


@pytest.mark.parametrize("tiers", [2, 3, 4])
def test_it_is_exact_on_numbers_that_are_not_round(tiers: int) -> None:
    quality, cost, score = synthetic(12, tiers, seed=3)
    quality = np.round(quality * 0.7 + 0.1 * np.random.default_rng(1).random(quality.shape), 3)
    columns = range(tiers)
    found = []
    for thresholds in itertools.product(*(np.append(np.unique(score[:, i]), 1.0) for i in columns[:-1])):
        accepted = np.column_stack([score[:, :-1] >= thresholds, np.ones(12)]).argmax(axis=1)
        paid = np.cumsum(cost, axis=1)[np.arange(12), accepted]
        found.append((paid.mean(), quality[np.arange(12), accepted].mean()))
    every = np.array(found)
    best = every[pareto(every[:, 0], every[:, 1])]
    assert np.array(points(search_thresholds(quality, cost, score))) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("tiers", [2, 3, 4])
def test_means_that_differ_by_rounding_alone_are_one_point(tiers: int) -> None:
    for seed in range(10):
        quality, cost, score = synthetic(40, tiers, seed)
        tenths = np.clip(quality * 5 + np.random.default_rng(seed).integers(0, 6, quality.shape), 0, 10) / 10
        assert (np.diff(search_thresholds(tenths, cost, score).quality) > 0.09 / 40).all()


# --- cases by hand ---


def test_equal_scores_stay_together() -> None:
    quality = np.array([[1.0, 0.0], [0.0, 1.0]])
    cost = np.ones((2, 2))
    assert points(search_thresholds(quality, cost, np.full((2, 2), 0.5))) == [(1.0, 0.5)]
    apart = np.array([[0.6, NAN], [0.5, NAN]])
    reached = search_thresholds(quality, cost, apart)
    assert points(reached) == [(1.0, 0.5), (1.5, 1.0)]
    assert reached.thresholds.tolist() == [[0.5], [0.6]]


def test_a_missing_score_escalates_and_a_score_of_one_cannot() -> None:
    quality, cost = np.array([[0.0, 1.0]]), np.array([[1.0, 2.0]])
    missing = search_thresholds(quality, cost, np.array([[NAN, NAN]]))
    assert (points(missing), missing.thresholds.tolist()) == ([(3.0, 1.0)], [[1.0]])
    assert points(search_thresholds(quality, cost, np.array([[1.0, NAN]]))) == [(1.0, 0.0)]
    below = search_thresholds(quality, cost, np.array([[0.99, NAN]]))
    assert (points(below), below.thresholds.tolist()) == ([(1.0, 0.0), (3.0, 1.0)], [[0.99], [1.0]])


def test_scoring_is_paid_for_every_tier_asked_but_the_last() -> None:
    quality, cost = np.array([[0.0, 0.0, 1.0]]), np.array([[1.0, 2.0, 4.0]])
    scoring = np.array([[0.25, 0.5, 100.0]])
    reached = search_thresholds(quality, cost, np.array([[0.5, 0.5, NAN]]), scoring)
    assert points(reached) == [(1.25, 0.0), (7.75, 1.0)]


def test_one_tier_has_one_point() -> None:
    reached = search_thresholds(np.array([[1.0], [0.0]]), np.array([[1.0], [2.0]]), np.full((2, 1), NAN))
    assert (points(reached), reached.thresholds.shape) == ([(1.5, 0.5)], (1, 0))


def test_some_columns_in_another_order_are_as_if_given_so() -> None:
    parts = synthetic(50, 4)
    order = [2, 0, 3]
    again = search_thresholds(*(part[:, order] for part in parts))
    here = search_order(Ranked.of(*parts), order)
    assert np.array_equal(here.thresholds, again.thresholds)
    assert np.array_equal(here.cost, again.cost)
    assert np.array_equal(here.quality, again.quality)


# --- sweeps ---


@pytest.mark.parametrize("block", [1, 100, 1000])
def test_the_size_of_a_block_makes_no_difference(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    parts = synthetic(200)
    whole = search_thresholds(*parts)
    monkeypatch.setattr(threshold_search, "_BLOCK", block)
    blocks = search_thresholds(*parts)
    assert np.array_equal(blocks.thresholds, whole.thresholds)
    assert blocks.cost == pytest.approx(whole.cost, rel=1e-12)
    assert np.array_equal(blocks.quality, whole.quality)


@pytest.mark.parametrize("tiers", [3, 4])
def test_a_coarse_sweep_finds_true_points_and_never_better_than_all(monkeypatch: pytest.MonkeyPatch, tiers: int) -> None:
    quality, cost, score = synthetic(60, tiers, seed=tiers)
    exact = search_thresholds(quality, cost, score)
    monkeypatch.setattr(threshold_search, "_CUTS", {3: 5, 4: 3})
    monkeypatch.setattr(threshold_search, "_CELLS", {3: 0, 4: 0})
    coarse = search_thresholds(quality, cost, score)
    assert 2 <= len(coarse.cost) < len(exact.cost)
    for thresholds, paid, right in zip(coarse.thresholds, coarse.cost, coarse.quality, strict=True):
        accepted = np.column_stack([score[:, :-1] >= thresholds, np.ones(60)]).argmax(axis=1)
        assert np.cumsum(cost, axis=1)[np.arange(60), accepted].mean() == pytest.approx(paid)
        assert quality[np.arange(60), accepted].mean() == pytest.approx(right)
        assert right <= exact.quality[np.searchsorted(exact.cost, paid * (1 + 1e-12), side="right") - 1] + 1e-12
    assert coarse.cost[0] == pytest.approx(exact.cost[0])


def test_few_thousand_queries_are_searched_exactly_beyond_the_least_number_of_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = synthetic(1500)
    every = search_thresholds(*parts)
    monkeypatch.setattr(threshold_search, "_CUTS", {3: 10**9})
    assert np.array_equal(search_thresholds(*parts).quality, every.quality)
    monkeypatch.setattr(threshold_search, "_CUTS", {3: 200})
    monkeypatch.setattr(threshold_search, "_CELLS", {3: 0})
    assert len(search_thresholds(*parts).cost) < len(every.cost)


# --- work and memory: counted, never timed ---


class Counting:
    """numpy, with the elements counted that its functions were given; those of a sort times the depth of a sort."""

    def __init__(self, part: Any, work: list[float], name: str = "") -> None:
        self._part, self._work, self._name = part, work, name

    def __getattr__(self, name: str) -> Any:
        part = getattr(self._part, name)
        return Counting(part, self._work, name) if callable(part) and not isinstance(part, type) else part

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        parts = itertools.chain.from_iterable(arg if isinstance(arg, tuple | list) else [arg] for arg in args)
        size = sum(part.size for part in parts if hasattr(part, "size"))
        self._work[0] += size * (math.log2(size + 2) if "sort" in self._name else 1)
        if self._name == "bincount" and len(args) == 3:
            self._work[0] += args[2]  # the result
        return self._part(*args, **kwargs)


@pytest.mark.parametrize(("tiers", "sizes"), [(2, (4000, 16000, 64000)), (3, (8000, 32000))])
def test_work_grows_as_n_log_n(monkeypatch: pytest.MonkeyPatch, tiers: int, sizes: Sequence[int]) -> None:
    work = [0.0]
    for module in (threshold_search, frontier):
        monkeypatch.setattr(module, "np", Counting(np, work))
    done = []
    for size in sizes:
        work[0] = 0.0
        search_thresholds(*synthetic(size, tiers))
        done.append(work[0])
    for small, large in itertools.pairwise(range(len(sizes))):
        growth = (sizes[large] * math.log2(sizes[large])) / (sizes[small] * math.log2(sizes[small]))
        assert 2 < done[large] / done[small] < 1.1 * growth


def test_the_table_is_never_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold_search, "_BLOCK", 1 << 12)
    parts = synthetic(20_000)
    ranked = Ranked.of(*parts)
    columns = len(np.unique(parts[2][parts[0][:, 1] < parts[0][:, 2], 1]))
    tracemalloc.start()
    try:
        search_order(ranked, (0, 1, 2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < columns * 200 * 8 / 2


# --- refusals ---


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("quality", 1.5, r"quality of query 1, model 0 is 1\.5: it must be a number from 0 to 1\."),
        ("quality", NAN, r"quality of query 1, model 0 is nan.*every model answered"),
        ("cost", -1.0, r"cost of query 1, model 0 is -1\.0: it must be a number of 0 or more, and finite"),
        ("cost", math.inf, "cost of query 1, model 0 is inf"),
        ("score", 1.01, r"score of query 1, model 0 is 1\.01: it must be a number from 0 to 1, or NaN for none"),
        ("scoring", NAN, "scoring of query 1, model 0 is nan"),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: float, message: str) -> None:
    parts = {part: np.full((3, 2), 0.5) for part in ("quality", "cost", "score", "scoring")}
    parts[name][1, 0] = value
    with pytest.raises(ConfigurationError, match=message):
        search_thresholds(**parts)


def test_shapes_that_differ_are_refused() -> None:
    parts = {part: np.full((3, 2), 0.5) for part in ("quality", "cost", "score", "scoring")}
    for name in parts:
        with pytest.raises(ConfigurationError, match=r"has shape \(3, .\), quality \(3, .\)"):
            search_thresholds(**{**parts, name: np.full((3, 3), 0.5)})
    with pytest.raises(ConfigurationError, match=r"quality has shape \(0, 2\)"):
        search_thresholds(*[np.zeros((0, 2))] * 3)
    with pytest.raises(ConfigurationError, match="5 tiers: thresholds are searched for 1 to 4"):
        search_thresholds(*[np.zeros((3, 5))] * 3)
    with pytest.raises(ConfigurationError, match="0 tiers"):
        search_order(Ranked.of(*[np.zeros((3, 2))] * 3), ())
