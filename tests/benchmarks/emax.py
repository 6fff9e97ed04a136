"""The paper's expected maximum against backward induction, on the same estimates of recorded answers.

    python tests/benchmarks/emax.py [--folds 5] [--sets mmlu,...] [--rows 2000]

FRUGAL_DATA says where the recorded answers are. Both rules go by the same models, estimates (those that `learn` gives) and cost
weights, and are replayed by the same code; only what is asked next differs. Rows are shuffled first, so that the folds are not
those on which the library's constants were chosen. Areas are mean accuracies in per cent over all budgets between the cheapest
and the dearest single model. `every` takes the policies of all cost weights, and the single models that the training rows find
on the frontier; `frontier` takes only what they find there. Differences are to backward induction, with their standard error
over the folds, and over the sets for the means. `scaled` takes sure estimates to change less, as sqrt(q(1 - q)). Looking at an
answer costs its scoring, and only backward induction may serve one unseen; the paper has no such costs, so sets that have them
are measured a second time with free scoring, for both.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from policies import SETS, decision_time, read
from scipy.stats import norm, qmc

from frugal_core.evaluation.metrics import area
from frugal_core.learning.cascade_routing import CascadeRouting, CascadeRoutingPath, _cost_weights, _expected, replayed
from frugal_core.learning.columns import Floats
from frugal_core.learning.estimates import Shown, Table, apply, learn
from frugal_core.learning.frontier import pareto
from frugal_core.learning.induction import Prices, induce, leading
from frugal_core.learning.logistic import folds_of
from frugal_core.learning.setting import Setting
from frugal_core.learning.shortlist import best_together

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]
FAMILY = CascadeRouting()
CHUNK, DIGITS, ENOUGH = 64, 8, 20
NORMALS = norm.ppf(qmc.Sobol(FAMILY.depth, seed=0).random(128))
NORMALS -= NORMALS.mean(axis=0)


@dataclass(frozen=True)
class Supersets:
    """All that may be run beyond what was; the cheaper first.

    Attributes:
        members: Shape (sets, depth): models of each set; a smaller set names its first one again.
        noise: Shape (sets, depth, draws): of their estimates.
        price: Shape (sets,): of what has not run.
        parents: Shape (sets, depth): the sets with one further model less, counted from 1; 0 is what has run.
        marginal: Shape (sets, depth): price of that model.
        first: Shape (sets,): the cheapest of what has not run.
    """

    members: Integers
    noise: Floats
    price: Floats
    parents: Integers
    marginal: Floats
    first: Integers


class ExpectedMaximum:
    """What to run next by Dekoninck, Baader & Vechev 2024 (arXiv 2410.10347), section 4; in place of a `Plan` in a replay.

    A superset of what has run is worth the mean of its greatest estimate, less the cost weight times the price of the rest. Its
    estimates are normal about what they are now, with the covariance of how running the rest changed them on the training rows:
    out of fold, and per pair of sets. Supersets in which some further model gains less than its price are left out with all
    beyond them. Of the best superset the cheapest further model is run; where that is what has run, its best answer is served.

    Args:
        table: Estimates of training rows by what was learned without them.
        usable: Shape (queries, models): answers that can be taken into account.
        prices: What calls cost.
        scaled: Whether changes are in units of sqrt(q(1 - q)), and not alike for sure and for unsure answers.
    """

    def __init__(self, table: Table, usable: Booleans, prices: Prices, *, scaled: bool) -> None:
        self.table, self.usable, self.prices, self.scaled = table, usable, prices, scaled
        self.price = prices.cost + prices.scoring
        self.depth = min(FAMILY.depth, len(self.price))
        self.known: dict[tuple[tuple[int, ...], tuple[int, ...]], Supersets] = {}

    def choose(self, known: tuple[int, ...], open_: list[int], chances: Floats) -> tuple[Integers, Booleans]:
        """As `Plan.choose`; nothing is served unseen."""
        model_of = np.full((len(self.prices.weights), len(chances)), -1)
        if open_ and len(known) < self.depth:
            sets = self.supersets(known, tuple(open_))
            for start in range(0, len(chances), CHUNK):
                rows = slice(start, start + CHUNK)
                model_of[:, rows] = self._best(known, sets, chances[rows])
        return model_of, np.zeros(model_of.shape, dtype=bool)

    def supersets(self, known: tuple[int, ...], open_: tuple[int, ...]) -> Supersets:
        """Worked out once for each state."""
        if (known, open_) not in self.known:
            sizes = range(1, self.depth - len(known) + 1)
            rests = [rest for size in sizes for rest in combinations(open_, size)]
            rests.sort(key=lambda rest: float(self.price[list(rest)].sum()))
            places = {(): 0, **{rest: place for place, rest in enumerate(rests, 1)}}
            less = [[tuple(part for part in rest if part != model) for model in _padded(rest)] for rest in rests]
            self.known[known, open_] = Supersets(
                np.array([_padded(known + rest) for rest in rests]),
                np.array([_padded(self._noise(known, known + rest)) for rest in rests]),
                np.array([self.price[list(rest)].sum() for rest in rests]),
                np.array([[places[rest] for rest in row] for row in less]),
                np.array([self.price[_padded(rest)] for rest in rests]),
                np.array([min(rest, key=lambda model: self.price[model]) for rest in rests]),
            )
        return self.known[known, open_]

    def _noise(self, known: tuple[int, ...], beyond: tuple[int, ...]) -> list[Floats]:
        """Draws of how estimates of `beyond` change from `known`, per model."""
        there = self.usable[:, beyond].all(axis=1)
        there = there if there.sum() >= ENOUGH else np.ones_like(there)
        before, after = self.table[known][there][:, beyond], self.table[tuple(sorted(beyond))][there][:, beyond]
        change = (after - before) / (_spread(before) if self.scaled else 1.0)
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(change.T)))
        return list(vectors @ (np.sqrt(np.maximum(values, 0.0))[:, None] * (vectors.T @ NORMALS[:, : len(beyond)].T)))

    def _best(self, known: tuple[int, ...], sets: Supersets, chances: Floats) -> Integers:
        """Shape (policies, queries): the next model, or -1."""
        q = chances[:, sets.members, None]
        worth = (q + (_spread(q) * sets.noise if self.scaled else sets.noise)).max(axis=2).mean(axis=-1).T
        now = leading(known, chances)[0] if known else np.full(len(chances), -np.inf)
        worth = np.concatenate([now[None, :], worth]).round(DIGITS)
        weights = self.prices.weights
        dear = weights[:, None, None] * sets.marginal
        lost = ((worth[1:, None] - worth[sets.parents]) < dear[..., None]).any(axis=2)
        for _ in range(self.depth - len(known) - 1):
            above = np.concatenate([np.zeros_like(lost[:, :1]), lost], axis=1)
            lost |= above[:, sets.parents].any(axis=2)
        value = np.where(lost, -np.inf, worth[1:] - (weights[:, None] * sets.price)[..., None])
        place = np.concatenate([np.broadcast_to(now, (len(weights), 1, len(now))), value], axis=1).argmax(axis=1)
        following: Integers = np.concatenate([[-1], sets.first])[place]
        return following


def _padded(parts: Sequence[Any]) -> list[Any]:
    """As long as the depth, by repeating the first."""
    return [*parts, *[parts[0]] * (FAMILY.depth - len(parts))]


def _spread(q: Floats) -> Floats:
    result: Floats = np.sqrt(np.clip(q * (1 - q), 1e-3, None))
    return result


def measure(setting: Setting, rest: Setting, held: Setting) -> tuple[list[list[float | None]], list[float] | None]:
    """Both areas of every contestant; and milliseconds that both rules take to decide, where five models take part."""
    chosen = best_together(rest, FAMILY.most_models)
    part, test = rest.select(chosen), held.select(chosen)
    seen, unseen = Shown.of(part), Shown.of(test)
    estimates, table = learn(seen, part.models, FAMILY.depth, fusion=FAMILY.fusion)
    usable, shown = ~seen.unusable(estimates.required), apply(estimates, unseen)
    prices = Prices.of(part, _cost_weights(part))
    plan = induce(part, usable, table, prices, FAMILY.depth)
    plain, scaled = (ExpectedMaximum(table, usable, prices, scaled=scaled) for scaled in (False, True))
    cost, found = setting.cost.mean(axis=0), []
    for rule in (plan, plain, scaled):
        taught = _expected(part, usable, table, prices, FAMILY.depth) if rule is plan else run(part, ~usable, table, rule)
        reached = _with_singles(run(test, unseen.unusable(estimates.required), shown, rule), held)
        best = pareto(*_with_singles(taught, rest).T)
        every = np.union1d(best, np.arange(len(prices.weights)))
        found.append([area(sorted(reached[places].tolist()), cost.min(), cost.max()) for places in (every, best)])
    if len(chosen) < FAMILY.most_models:
        return found, None
    times = []
    for at in range(0, len(prices.weights), 15):
        one = Prices(prices.cost, prices.scoring, prices.weights[at : at + 1])
        path = (FAMILY.name, setting.models, cost[:1], cost[:1], tuple(chosen), estimates, plan, (at,), FAMILY.scorer)
        emax = ExpectedMaximum(table, usable, one, scaled=False)
        times.append((choice_time(emax, shown), decision_time(CascadeRoutingPath(*path), held, rows=50)))
    return found, (1e3 * np.mean(times, axis=0)).tolist()


def run(setting: Setting, unusable: Booleans, table: Table, rule: Any) -> tuple[Floats, Floats]:
    """Mean cost and quality of every policy."""
    served, cost, _ = replayed(setting, unusable, table, rule)
    return cost.mean(axis=1), setting.correct[np.arange(len(setting.correct)), served].mean(axis=1)


def choice_time(rule: ExpectedMaximum, table: Table, rows: int = 50) -> float:
    """Mean seconds of processor time for all choices of a query, without estimating."""
    times = []
    for row in range(-rows, rows):  # the first round fills what is worked out once
        known: tuple[int, ...] = ()
        spent = 0.0
        while len(known) < rule.depth:
            open_, chances = [model for model in range(len(rule.price)) if model not in known], table[known][row % rows, None]
            began = time.thread_time()
            model = int(rule.choose(known, open_, chances)[0][0, 0])
            spent += time.thread_time() - began
            if model < 0:
                break
            known = tuple(sorted((*known, model)))
        times.append(spent)
    return float(np.mean(times[rows:]))


def _with_singles(reached: tuple[Floats, Floats], setting: Setting) -> Floats:
    singles = np.stack([setting.cost.mean(axis=0), setting.correct.mean(axis=0)], axis=1)
    return np.concatenate([np.stack(reached, axis=1), singles])


def _shown(gaps: Floats) -> str:
    error = gaps.std(axis=0, ddof=1) / len(gaps) ** 0.5
    return " | ".join(f"{mean:+.2f} ± {spread:.2f}" for mean, spread in zip(gaps.mean(axis=0), error, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--rows", type=int, default=2000, help="most queries of a set")
    arguments = parser.parse_args()
    print("| set | backward induction | E[max] | E[max] scaled | E[max]: every | frontier | E[max] scaled: every | frontier |")
    print("|---|" + "---|" * 7)
    kept, times = [], []
    for recorded in (recorded for name in arguments.sets.split(",") for recorded in read(name, arguments.rows)):
        ordered = recorded.rows(np.random.default_rng(1).permutation(len(recorded.correct)))
        parts = folds_of(range(len(ordered.correct)), arguments.folds)
        priced = bool(ordered.scoring.any())
        for free in (False, True) if priced else (True,):
            setting = replace(ordered, scoring=0 * ordered.scoring) if free else ordered
            splits = [(setting.rows(parts != part), setting.rows(parts == part)) for part in range(arguments.folds)]
            folds = [measure(setting, *split) for split in splits]
            areas = 100 * np.array([found for found, _ in folds], dtype=float)  # folds, contestants, ways
            gaps = (areas[:, 1:] - areas[:, :1]).reshape(arguments.folds, -1)
            kept.append((free, not (free and priced), gaps.mean(axis=0)))
            times += [spent for _, spent in folds if spent]
            levels = " | ".join(f"{value:.2f}" for value in areas[:, :, 0].mean(axis=0))
            how = ", free scoring" if free and priced else ""
            print(f"| {setting.dataset}{how} ({len(parts)}) | {levels} | {_shown(gaps)} |", flush=True)
    for place, about in enumerate(("free scoring", "as recorded")):
        means = np.array([row[2] for row in kept if row[place]])
        if len(means) > 1:
            print(f"| mean of {len(means)}, {about} | | | | {_shown(means)} |")
    if times:
        choosing, router = np.mean(times, axis=0)
        print(f"\nfive models: E[max] chooses in {choosing:.2f} ms per query, once it has the estimates;")
        print(f"CascadeRouter decides in {router:.2f} ms, estimates and all")


if __name__ == "__main__":
    main()
