"""Backward induction: what asking further models gains, for every price of money at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from frugal_core.learning.columns import Floats
from frugal_core.learning.estimates import Table
from frugal_core.learning.setting import Setting
from frugal_core.policies.estimates import subsets
from frugal_core.policies.gains import TIE, Gains, basis

_PENALTY = 10.0
_FLAT = 1e-9
_SEEN = 0.25
"""Share of what was right in what an answer is worth; the rest is what was estimated."""


@dataclass(frozen=True)
class Prices:
    """What is expected of a call, and how much quality money is worth.

    Attributes:
        cost: Shape (models,): of an answer.
        scoring: Shape (models,): of scoring it.
        weights: Shape (policies,): quality per unit of cost.
    """

    cost: Floats
    scoring: Floats
    weights: Floats

    @classmethod
    def of(cls, setting: Setting, weights: Floats) -> Prices:
        """Means over the recordings."""
        return cls(setting.cost.mean(axis=0), setting.scoring.mean(axis=0), weights)


@dataclass(frozen=True)
class Plan:
    """Expected gains for every cost weight.

    Attributes:
        prices: The cost weights, and what calls cost.
        depth: Most answers taken into account.
        unseen: Per set of known models and further one, shape (weights of `basis`, 1): see `Gains`.
        looking: The same, of shape (weights of `basis`, policies).
    """

    prices: Prices
    depth: int
    unseen: dict[tuple[tuple[int, ...], int], Floats]
    looking: dict[tuple[tuple[int, ...], int], Floats]

    def gains(self, policy: int) -> Gains:
        """Those of one policy."""
        models = len(self.prices.cost)

        def rows(weights: Callable[[tuple[int, ...], int], Floats | None]) -> tuple[tuple[tuple[float, ...], ...], ...]:
            found = [[weights(known, model) for model in range(models)] for known in subsets(models, self.depth)]
            return tuple(tuple(() if part is None else tuple(part.tolist()) for part in row) for row in found)

        def looking(known: tuple[int, ...], model: int) -> Floats | None:
            return self.looking[known, model][:, policy] if (known, model) in self.looking else None

        def unseen(known: tuple[int, ...], model: int) -> Floats | None:
            return self.unseen[known, model][:, 0] if (known, model) in self.unseen else None

        return Gains(rows(unseen), rows(looking))

    def choose(
        self, known: tuple[int, ...], open_: Sequence[int], chances: Floats
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """What every policy does next, as `CascadeRouter` does it.

        Args:
            known: Models whose answers are known.
            open_: Models that may be asked.
            chances: Shape (queries, models): P(right), given these answers.

        Returns:
            Two of shape (policies, queries): the model, -1 to serve the best known answer; and whether it is served unseen.
        """
        shape = (len(self.prices.weights), len(chances))
        value = np.full(shape, 0.0 if known else -np.inf)
        model_of, unseen_of = np.full(shape, -1), np.zeros(shape, dtype=bool)
        if len(known) == min(self.depth, len(self.prices.cost)):
            return model_of, unseen_of
        if not known and len(open_) == 1:
            return np.full(shape, open_[0]), np.ones(shape, dtype=bool)
        best, _ = leading(known, chances)
        worth = self.prices.weights[:, None]
        for model in open_:
            about = np.stack(basis(bool(known), chances[:, model], best))
            for unseen, weights, price in (
                (True, self.unseen[known, model], self.prices.cost[model]),
                (False, self.looking[known, model], self.prices.cost[model] + self.prices.scoring[model]),
            ):
                gain = weights.T @ about - worth * price
                better = gain > value + TIE
                value[better] = np.broadcast_to(gain, shape)[better]
                model_of[better], unseen_of[better] = model, unseen
        return model_of, unseen_of


def induce(setting: Setting, usable: npt.NDArray[np.bool_], table: Table, prices: Prices, depth: int) -> Plan:
    """Learn gains from the last answer to the first.

    When so many answers are known that no further one may be asked, the best of them is served. One answer earlier, asking a
    model gains what serving the best then is worth beyond serving the best now, and so on: least squares on `basis`, with one
    table for all cost weights (optimal stopping as Longstaff & Schwartz 2001 regress it; no distribution is assumed, and what
    may be saved by stopping in between counts). Worth is a quarter what was right and three quarters what was estimated: the
    chosen best looks better than it is, and what was right is noisy. Where both ways serve the same answer, the noise cancels.

    Args:
        setting: The recordings.
        usable: Shape (queries, models): answers that can be taken into account.
        table: Estimates for these queries by what was learned without them.
        prices: What calls cost.
        depth: Most answers taken into account.
    """
    rows, models = setting.correct.shape
    plan = Plan(prices, depth, {}, {})
    worth: dict[tuple[int, ...], Floats] = {}
    for known in reversed(subsets(models, depth)):
        chances = table[known]
        best, leader = leading(known, chances)
        here = _mixed(setting.correct[np.arange(rows), leader], best) if known else np.zeros(rows)
        further = [model for model in range(models) if model not in known and len(known) < min(depth, models)]
        there = usable[:, list(known)].all(axis=1)
        own = {model: _mixed(setting.correct[:, model], chances[:, model]) for model in further}
        after = {}
        for model in further:
            later = worth[tuple(sorted((*known, model)))]
            after[model] = np.where(usable[:, model], later, here)  # of no use: nothing has changed
            about = np.stack(basis(bool(known), chances[:, model], best), axis=1)[there]
            plan.unseen[known, model] = _least_squares(about, (own[model] - here)[there, None])
            plan.looking[known, model] = _least_squares(about, (after[model] - here)[:, there].T)
        chosen, blind = plan.choose(known, further, chances)
        reached = np.broadcast_to(here, chosen.shape).copy()
        for model in further:
            unseen, looked = (chosen == model) & blind, (chosen == model) & ~blind
            paid, more = setting.cost[:, model], setting.scoring[:, model]
            reached = np.where(unseen, own[model] - prices.weights[:, None] * paid, reached)
            reached = np.where(looked, after[model] - prices.weights[:, None] * (paid + more), reached)
        worth[known] = reached
    return plan


def leading(known: Sequence[int], chances: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The greatest chance among the known models, and whose it is; of equals the first, as `CascadeRouter` has it.

    Args:
        known: The models.
        chances: Shape (queries, models).
    """
    best, leader = np.full(len(chances), -np.inf if len(known) else 0.0), np.full(len(chances), -1)
    for model in known:
        better = chances[:, model] > best + TIE
        best, leader = np.where(better, chances[:, model], best), np.where(better, model, leader)
    return best, leader


def _mixed(right: Floats, estimated: Floats) -> Floats:
    result: Floats = _SEEN * right + (1 - _SEEN) * estimated
    return result


def _least_squares(about: Floats, values: Floats) -> Floats:
    """Weights of standardised features under a small L2 penalty; the first feature is 1 and takes the mean.

    Args:
        about: Shape (rows, features).
        values: Shape (rows, columns).

    Returns:
        Shape (features, columns).
    """
    if not len(about):
        return np.zeros((about.shape[1], values.shape[1]))
    means, scales = about.mean(axis=0), about.std(axis=0)
    scales = np.where(scales > _FLAT, scales, np.inf)
    z = (about - means) / scales
    mean = values.mean(axis=0)
    slopes = np.linalg.solve(z.T @ z + _PENALTY * np.eye(z.shape[1]), z.T @ (values - mean)) / scales[:, None]
    slopes[0] = mean - means @ slopes
    result: Floats = slopes
    return result
