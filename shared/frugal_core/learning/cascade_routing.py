"""Cascade routing as a family: estimates, and for each price of money a plan of whom to ask and when to stop."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.learning.columns import Floats
from frugal_core.learning.estimates import FEWEST, Shown, Table, apply, learn
from frugal_core.learning.frontier import mean_quality, pareto
from frugal_core.learning.induction import Plan, Prices, induce, leading
from frugal_core.learning.logistic import folds_of
from frugal_core.learning.path import Path, Replayed
from frugal_core.learning.recorded_answers import RecordedSignal
from frugal_core.learning.setting import Setting
from frugal_core.learning.shortlist import best_together
from frugal_core.policies.cascade_router import CascadeRouter
from frugal_core.policies.estimates import Estimates
from frugal_core.scorers.base import ScoreFunction

POLICIES = 60
"""Most policies of a path."""

_LEAST, _MOST = 1e-3, 30.0
"""Cost weights, in points of quality from 0 to 1 per spread of the models' costs."""


@dataclass(frozen=True)
class CascadeRoutingPath(Path):
    """Cascade routers of the same estimates, by falling cost weight.

    Attributes:
        chosen: Indices of the models that take part.
        estimates: Chances that they are right.
        plan: What asking them gains, for every cost weight.
        places: Of the policies among the plan's cost weights.
        scorer: What measures live the signal whose recorded values were learned from.
    """

    family: str
    models: tuple[str, ...]
    cost: Floats
    quality: Floats
    chosen: tuple[int, ...]
    estimates: Estimates
    plan: Plan
    places: tuple[int, ...]
    scorer: ScoreFunction

    def replay(self, setting: Setting) -> Replayed:
        """Estimate once for every query and set of known answers, decide for every policy."""
        part = setting.select(self.chosen)
        seen = Shown.of(part)
        unusable = seen.unusable(self.estimates.required)
        served, cost, calls = replayed(part, unusable, apply(self.estimates, seen), self.plan)
        every = np.zeros((len(self.places), len(setting.models)))
        every[:, self.chosen] = calls[list(self.places)]
        served, cost = np.array(self.chosen)[served[list(self.places)]], cost[list(self.places)]
        quality = setting.correct[np.arange(len(setting.correct))[None, :], served]
        return Replayed(quality, cost, served, every)

    def policy(self, place: int) -> CascadeRouter:
        """The router with that cost weight."""
        names, prices, at = self.estimates.models, self.plan.prices, self.places[place]
        return CascadeRouter(
            self.estimates,
            self.plan.gains(at),
            dict(zip(names, prices.cost.tolist(), strict=True)),
            dict(zip(names, prices.scoring.tolist(), strict=True)),
            float(prices.weights[at]),
            self.scorer,
        )


@dataclass(frozen=True)
class CascadeRouting:
    """Learns estimates and plans from recordings.

    Dekoninck, Baader & Vechev 2024 (arXiv 2410.10347), section 3, with estimates that see how answers agree, and with gains
    learned by backward induction (see `policies.CascadeRouter`). What is expected of each policy is measured on rows that
    taught neither its estimates nor its gains.

    Attributes:
        depth: Most answers looked at per query, 1 to 4.
        fusion: Whether to look at agreement between answers.
        most_models: With more models than this, only those take part whose cascades of two reach most.
        scorer: What measures the signal live; by default the recorded values themselves, for replays.
        name: Of the family.

    Raises:
        ConfigurationError: An option is out of range.
    """

    depth: int = 3
    fusion: bool = True
    most_models: int = 5
    scorer: ScoreFunction = field(default_factory=RecordedSignal)
    name: str = "cascade router"

    def __post_init__(self) -> None:
        if self.depth not in (1, 2, 3, 4) or isinstance(self.depth, bool):
            raise ConfigurationError(f"depth={self.depth!r} must be 1, 2, 3 or 4: how many answers are looked at, at most.")
        if type(self.most_models) is not int or not 2 <= self.most_models <= 8:
            raise ConfigurationError(f"most_models={self.most_models!r} is out of range: it is a number from 2 to 8.")

    def fit(self, setting: Setting) -> CascadeRoutingPath:
        """From all rows of a setting.

        Raises:
            RecordingsError: Fewer than 20 queries.
        """
        rows = len(setting.correct)
        if rows < FEWEST:
            raise RecordingsError(f"{setting.dataset}: {rows} queries are too few to learn from: record at least {FEWEST}.")
        chosen = best_together(setting, self.most_models)
        part = setting.select(chosen)
        seen = Shown.of(part)
        prices = Prices.of(part, _cost_weights(part))
        learned = _Learned.of(part, seen, prices, self.depth, fusion=self.fusion, queries=True)
        if learned.estimates.query:  # what queries show may be worth less than the noise it brings in
            without = _Learned.of(part, seen, prices, self.depth, fusion=self.fusion, queries=False)
            learned = max(without, learned, key=lambda each: each.worth(prices))
        estimates, cost, quality = learned.estimates, learned.cost, learned.quality
        plan = induce(part, ~seen.unusable(estimates.required), learned.table, prices, self.depth)
        places = pareto(cost, quality)
        return CascadeRoutingPath(
            self.name,
            setting.models,
            cost[places],
            quality[places],
            tuple(chosen),
            estimates,
            plan,
            tuple(places.tolist()),
            self.scorer,
        )


@dataclass(frozen=True)
class _Learned:
    """Estimates, and what is expected under each cost weight."""

    estimates: Estimates
    table: Table
    cost: Floats
    quality: Floats

    @classmethod
    def of(cls, setting: Setting, seen: Shown, prices: Prices, depth: int, *, fusion: bool, queries: bool) -> _Learned:
        estimates, table = learn(seen, setting.models, depth, fusion=fusion, queries=queries)
        usable = ~seen.unusable(estimates.required)
        return cls(estimates, table, *_expected(setting, usable, table, prices, depth))

    def worth(self, prices: Prices) -> float:
        """Mean quality over all budgets."""
        return mean_quality(self.cost, self.quality, float(prices.cost.min()), float(prices.cost.max()))


def replayed(
    setting: Setting, unusable: npt.NDArray[np.bool_], table: Table, plan: Plan
) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """What `CascadeRouter` does with recorded queries, under every cost weight of a plan.

    Args:
        setting: The recordings.
        unusable: Shape (queries, models): answers that are left behind.
        table: Estimates for these queries.
        plan: Cost weights and gains.

    Returns:
        Whose answer is served and what was paid, of shape (policies, queries); and calls per query, (policies, models).
    """
    rows, models = setting.correct.shape
    shape = (len(plan.prices.weights), rows)
    known, gone = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)  # bit masks of models
    served, cost, calls = np.full(shape, -1), np.zeros(shape), np.zeros((shape[0], models))
    last = np.full(shape, -1)
    running = np.ones(shape, dtype=bool)
    while running.any():
        state = known << models | gone
        for code in np.unique(state[running]):
            here = running & (state == code)
            columns = np.flatnonzero(here.any(axis=0))
            members = tuple(model for model in range(models) if int(code) >> models & 1 << model)
            open_ = [model for model in range(models) if model not in members and not int(code) & 1 << model]
            chances = table[members][columns]
            model_of, unseen_of = (np.zeros(shape, dtype=part.dtype) for part in (served, running))
            model_of[:, columns], unseen_of[:, columns] = plan.choose(members, open_, chances)
            stop = here & (model_of == -1)
            leader = np.full(shape, -1)
            leader[:, columns] = leading(members, chances)[1]
            served[stop] = np.where(leader == -1, last, leader)[stop]  # nothing was of use: the last answer there is
            running &= ~stop
            for model in open_:
                asked = here & (model_of == model)
                blind, looked = asked & unseen_of, asked & ~unseen_of
                calls[:, model] += asked.mean(axis=1)
                served[blind] = model
                running &= ~blind
                useful = looked & ~unusable[:, model]
                cost += asked * setting.cost[:, model] + looked * setting.scoring[:, model]
                known[useful] |= 1 << model
                gone[looked & unusable[:, model]] |= 1 << model
                last[looked & unusable[:, model]] = model
    return served, cost, calls


def _expected(
    setting: Setting, usable: npt.NDArray[np.bool_], table: Table, prices: Prices, depth: int
) -> tuple[Floats, Floats]:
    """Cost and quality under each cost weight, by plans that saw nothing of the rows they are measured on."""
    rows = len(setting.correct)
    parts = folds_of(range(rows))
    cost, quality = np.zeros(len(prices.weights)), np.zeros(len(prices.weights))
    for part in np.unique(parts):
        rest, held = parts != part, parts == part
        plan = induce(setting.rows(rest), usable[rest], _rows(table, rest), prices, depth)
        served, paid, _ = replayed(setting.rows(held), ~usable[held], _rows(table, held), plan)
        cost += paid.sum(axis=1)
        quality += setting.correct[held][np.arange(int(held.sum()))[None, :], served].sum(axis=1)
    return cost / rows, quality / rows


def _rows(table: Table, chosen: npt.NDArray[np.bool_]) -> Table:
    return {known: chances[chosen] for known, chances in table.items()}


def _cost_weights(setting: Setting) -> Floats:
    """From so high that only the cheapest is asked down to 0."""
    cost = setting.cost.mean(axis=0)
    spread = float(cost.max() - cost.min()) or float(cost.max()) or 1.0
    return np.concatenate([np.geomspace(_MOST, _LEAST, POLICIES - 1), [0.0]]) / spread
