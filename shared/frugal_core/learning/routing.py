"""Routers as a family: one predictor, and all that a query's quality may be worth in money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from frugal_core.errors import RecordingsError
from frugal_core.learning.columns import Floats
from frugal_core.learning.frontier import pareto
from frugal_core.learning.path import Path, Replayed
from frugal_core.learning.recorded_answers import recorded_query
from frugal_core.learning.setting import Setting
from frugal_core.policies.router import Router
from frugal_core.predictors.base import FEWEST, LearnedPredictor, cross_fit, estimates_of
from frugal_core.predictors.performance import PerformancePredictor
from frugal_core.predictors.view import as_embed
from frugal_core.types import Query, Tier

POLICIES = 50
"""Most policies of a path."""

_FINEST = 400


@dataclass(frozen=True)
class RoutingPath(Path):
    """Routers of one predictor, by falling cost weight.

    Attributes:
        predictor: Predicts every model's quality.
        costs: Shape (models,): expected cost of each model.
        weights: Shape (policies,): their cost weights.
    """

    family: str
    models: tuple[str, ...]
    cost: Floats
    quality: Floats
    predictor: LearnedPredictor
    costs: Floats
    weights: Floats

    def replay(self, setting: Setting) -> Replayed:
        """Predict once per query, weigh for every policy."""
        served = _routed(self.probabilities(setting), self.costs, self.weights)
        rows = np.arange(len(setting.correct))[None, :]
        calls = (served[:, :, None] == np.arange(len(self.models))).mean(axis=1) if rows.size else np.zeros(0)
        return Replayed(setting.correct[rows, served], setting.cost[rows, served], served, calls)

    def probabilities(self, setting: Setting) -> Floats:
        """Predicted quality of every model's answer: shape (queries, models)."""
        queries = _queries(setting, range(len(setting.correct)))
        values = [estimates_of(self.predictor, query, len(self.models)) for query in queries]
        return np.array(values).reshape(len(queries), len(self.models))

    def policy(self, place: int) -> Router:
        """The router with that cost weight."""
        costs = dict(zip(self.models, self.costs.tolist(), strict=True))
        return Router(self.predictor, costs, float(self.weights[place]))


@dataclass(frozen=True)
class Routing:
    """Learns a predictor, and which cost weights make a difference.

    A model's expected cost is its mean over the recordings. What is expected of each router is measured with predictions for
    queries whose answers the predictor had not seen.

    Attributes:
        predictor: Class of the predictor.
        embed: Turns a text into a vector: a function, or embeddings of LangChain or LlamaIndex.
        name: Of the family.
    """

    predictor: type[LearnedPredictor] = PerformancePredictor
    embed: Any = field(default=None, repr=False)
    name: str = "router"

    def fit(self, setting: Setting) -> RoutingPath:
        """From all rows of a setting that have a text.

        Raises:
            RecordingsError: Fewer than 20 queries have one.
            ConfigurationError: This kind of predictor cannot be learned from these recordings.
        """
        known = np.array([text is not None and bool(text.strip()) for text in setting.queries], dtype=bool)
        if known.sum() < FEWEST:
            raise RecordingsError(
                f"{setting.dataset}: {known.sum()} of {len(known)} queries have a text, and a router looks at nothing else: "
                f'record the texts of at least {FEWEST}, under "query".'
            )
        setting = setting.rows(known)
        queries = _queries(setting, range(len(setting.correct)))
        embed = None if self.embed is None else cache(as_embed(self.embed))  # each text once, here and in cross-fitting
        predictor = self.predictor.fit(queries, setting.correct, setting.models, embed=embed)
        estimates = cross_fit(predictor, queries, setting.correct)
        if self.embed is not None:
            predictor = predictor.with_embedding(self.embed)
        costs = setting.cost.mean(axis=0)
        weights = cost_weights(estimates, costs)
        served = _routed(estimates, costs, weights)
        rows = np.arange(len(queries))[None, :]
        cost, quality = setting.cost[rows, served].mean(axis=1), setting.correct[rows, served].mean(axis=1)
        kept = pareto(cost, quality)
        return RoutingPath(self.name, setting.models, cost[kept], quality[kept], predictor, costs, weights[kept])


def cost_weights(estimates: Floats, costs: Floats) -> Floats:
    """Weights at which routers differ, falling, about evenly spread over what they cost; at most `POLICIES`, 0 the last.

    Args:
        estimates: Shape (queries, models): predicted quality.
        costs: Shape (models,): expected cost of each model.

    >>> cost_weights(np.array([[0.5, 0.9], [0.8, 0.9]]), np.array([1.0, 2.0])).round(2).tolist()
    [0.8, 0.25, 0.0]
    """
    order = np.argsort(costs, kind="stable")
    gains = estimates[:, order][:, None, :] - estimates[:, order][:, :, None]
    dearer = costs[order][None, :] - costs[order][:, None]
    at = gains[:, dearer > 0] / dearer[dearer > 0]
    worth = np.unique(at[at > 0])
    if not len(worth):
        return np.zeros(1)
    if len(worth) > _FINEST:
        worth = np.unique(np.quantile(worth, np.linspace(0, 1, _FINEST)))
    between = np.concatenate([[0.0], (worth[1:] + worth[:-1]) / 2, [2 * worth[-1]]])[::-1]
    mean = costs[_routed(estimates, costs, between)].mean(axis=1)
    wanted = np.linspace(mean[0], mean[-1], POLICIES)
    places = np.unique([0, *np.searchsorted(mean, wanted[1:-1]), len(mean) - 1])
    result: Floats = between[places]
    return result


def _queries(setting: Setting, rows: Sequence[int]) -> list[Query]:
    tiers = tuple(map(Tier, setting.models))
    return [recorded_query(setting, row, tiers) for row in rows]


def _routed(estimates: Floats, costs: Floats, weights: Floats) -> npt.NDArray[np.int64]:
    """Which model each policy asks: shape (policies, queries). Of equals the first, as a router does."""
    return np.array([np.argmax(estimates - weight * costs, axis=1) for weight in weights], dtype=np.int64)
