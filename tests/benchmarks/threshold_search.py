"""The search for thresholds and orders: what it finds and what it takes, against FrugalGPT's released optimiser on one matrix.

    python tests/benchmarks/threshold_search.py [--frugalgpt PATH] [--rounds 3] [--most 1000000]

FRUGAL_DATA says where the recorded answers are. PATH is a clone of github.com/stanford-futuredata/FrugalGPT, whose optimiser
takes part when it is given; it needs scipy. Times are processor time of one thread, so that what else runs counts less. A ratio
is taken within its round, each contestant once in turn, and the median is shown.
"""

import argparse
import contextlib
import importlib.util
import io
import logging
import os
import resource
import statistics
import sys
import types
from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from math import log2
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from frugal_core.evaluation.replay import Replay
from frugal_core.learning import Recordings
from frugal_core.learning.frontier import Point
from frugal_core.learning.order_search import search_orders
from frugal_core.learning.setting import Setting, prepare
from frugal_core.learning.threshold_search import Ranked, search_order, search_thresholds

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
TRIPLE = ("gpt-4o-mini", "qwen2.5-72b-instruct", "llama3.1-405b")
SHARE = 0.4
"""Budget, as a share of what the last model of a list costs."""

Search = Callable[[Sequence[int], float], tuple[float, list[float]]]
"""Finds the quality within a budget, and thresholds on the score, of one list of models."""


def timed(call: Callable[[], Any], times: int = 1) -> float:
    since = process_time()
    for _ in range(times):
        call()
    return (process_time() - since) / times


class Matrix:
    """The test rows of a set of recordings."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.rows = ~setting.train
        self.parts = [part[self.rows] for part in (setting.correct, setting.cost, setting.score, setting.scoring)]

    def named(self, names: Sequence[str]) -> tuple[int, ...]:
        return tuple(self.setting.models.index(name) for name in names)

    def budget(self, order: Sequence[int], share: float = SHARE) -> float:
        return share * float(self.parts[1][:, order[-1]].mean())

    def frugal(self, order: Sequence[int], budget: float) -> tuple[float, list[float]]:
        """From the bare matrix: checking, sorting, the whole frontier, and the point within the budget."""
        reached = search_thresholds(*(part[:, order] for part in self.parts))
        place = int(np.searchsorted(reached.cost, budget, side="right")) - 1
        return (float(reached.quality[place]), reached.thresholds[place].tolist()) if place >= 0 else (-999.0, [])

    def driven(self, order: Sequence[int], thresholds: Sequence[float]) -> tuple[float, float]:
        """Mean cost and quality of the cascade policy itself."""
        outcomes = Replay(self.setting, order, self.rows).cascade(thresholds)
        return float(outcomes.cost.mean()), float(outcomes.correct.mean())


def released(path: Path, matrix: Matrix) -> Search:
    """FrugalGPT's optimiser, from a clone. It goes by 1 − score, and by the costs paid up to each tier."""
    source = path / "src" / "FrugalGPT" / "optimizer.py"
    if not source.is_file():
        sys.exit(f"no {source}: --frugalgpt takes a clone of github.com/stanford-futuredata/FrugalGPT")
    package, helpers = types.ModuleType("service"), types.ModuleType("service.utils")  # imported there, unused by the search
    package.utils = helpers  # type: ignore[attr-defined]
    sys.modules.update({"service": package, "service.utils": helpers})
    spec = importlib.util.spec_from_file_location("frugalgpt_optimizer", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    logging.getLogger().setLevel(logging.ERROR + 20)
    quality, cost, score, _ = matrix.parts

    def search(order: Sequence[int], budget: float) -> tuple[float, list[float]]:
        columns = list(order)
        with contextlib.redirect_stdout(io.StringIO()):
            best, distances, _ = module.optimize(
                quality[:, columns], np.cumsum(cost[:, columns], axis=1), 1 - score[:, columns], budget
            )
        return float(best), [1 - float(distance) for distance in distances[:-1]]

    return search


def one_triple(matrix: Matrix, rival: Search | None, rounds: int) -> None:
    order = matrix.named(TRIPLE)
    budget = matrix.budget(order)
    print(
        f"\n{' → '.join(TRIPLE)}, {matrix.rows.sum()} queries, budget {SHARE:.0%} of {TRIPLE[-1]} (${budget:.3e} per query)\n"
    )
    print("| | quality | of the budget | ms |\n|---|---|---|---|")
    matrix.frugal(order, budget)  # warm up
    own, theirs, all_triples, frontier = [], [], [], []
    triples = list(permutations(range(len(matrix.setting.models)), 3))
    for _ in range(rounds):
        own.append(timed(lambda: matrix.frugal(order, budget), 30))
        if rival:
            theirs.append(timed(lambda: rival(order, budget)))
        all_triples.append(
            timed(lambda: [search_order(ranked, triple) for ranked in [Ranked.of(*matrix.parts)] for triple in triples])
        )
        frontier.append(timed(lambda: search_orders(*matrix.parts)))
    quality, thresholds = matrix.frugal(order, budget)
    cost, checked = matrix.driven(order, thresholds)
    assert abs(checked - quality) < 1e-12
    print(f"| exact search | {quality:.4f} | {cost / budget:.2%} | {statistics.median(own) * 1e3:.2f} |")
    if rival:
        found, cuts = rival(order, budget)
        paid, driven = matrix.driven(order, cuts)
        spent = statistics.median(theirs) * 1e3
        print(f"| FrugalGPT's | {found:.4f} (driven: {driven:.4f}) | {paid / budget:.2%} | {spent:.0f} |")
    every = search_orders(*matrix.parts)
    best = every.at_budget(budget)
    print(f"\nAll {len(triples)} ordered triples, each with its whole frontier: {statistics.median(all_triples):.2f} s.")
    print(f"All lists up to three, pruned, one frontier of {len(every.points)} points: {statistics.median(frontier):.2f} s.")
    print(f"Best list within the budget: {shown(best, matrix)}; best at any: {shown(every.best(), matrix)}.")
    if rival:
        speedup = statistics.median(their / our for their, our in zip(theirs, own, strict=True))
        share = statistics.median(our / their for our, their in zip(all_triples, theirs, strict=True))
        print(f"Exact search is {speedup:.0f} times as fast; all triples take {share:.2f} of the time of one there.")


def shown(point: Point, matrix: Matrix) -> str:
    names = " → ".join(matrix.setting.models[model] for model in point.order)
    return f"{names}, {point.quality:.4f} at ${point.cost:.3e}"


def objectives(matrix: Matrix, rival: Search, triples: int) -> None:
    """Whether theirs is ever higher: other budgets, and other lists by rising cost, drawn by chance."""
    order = matrix.named(TRIPLE)
    cases = [(order, share) for share in (0.2, 0.3, 0.5, 0.6, 0.8)]
    lists = list(combinations(range(len(matrix.setting.models)), 3))  # models are by rising cost
    cases += [(lists[i], SHARE) for i in np.random.default_rng(0).choice(len(lists), triples, replace=False)]
    print("\n| list | budget | exact search | FrugalGPT's |\n|---|---|---|---|")
    lower = 0
    for models, share in cases:
        budget = matrix.budget(models, share)
        own, theirs = matrix.frugal(models, budget)[0], rival(models, budget)[0]
        lower += own < theirs - 1e-12
        names = " → ".join(matrix.setting.models[model] for model in models)
        print(f"| {names} | {share:.0%} | {told(own)} | {told(theirs)} |")
    print(f"\nLower than theirs in {lower} of {len(cases)} cases.")


def told(quality: float) -> str:
    return f"{quality:.4f}" if quality >= 0 else "none within it"


def scaling(most: int) -> None:
    print(
        "\n| synthetic queries | two tiers, ms | per n log n, ns | three tiers, ms | per n log n, ns | most memory so far, MB |"
    )
    print("|---|---|---|---|---|---|")
    sizes = [size for size in (1000, 10_000, 100_000, 1_000_000) if size <= most]
    for size in sizes:
        parts = synthetic(size)
        unit = size * log2(size) / 1e9
        times = max(1, 30_000 // size)
        two = timed(lambda parts=parts: search_thresholds(*(part[:, :2] for part in parts)), times)  # type: ignore[misc]
        three = timed(lambda parts=parts: search_thresholds(*parts), times)  # type: ignore[misc]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {size} | {two * 1e3:.1f} | {two / unit:.1f} | {three * 1e3:.1f} | {three / unit:.1f} | {memory:.0f} |")


def synthetic(queries: int) -> list[Any]:
    """Three tiers, the dearer the better, whose scores tell something."""
    random = np.random.default_rng(0)
    hard = random.random((queries, 1))
    quality = (random.random((queries, 3)) < np.array([0.95, 1.0, 1.05]) - 0.5 * hard).astype(float)
    score = np.clip(0.5 + 0.3 * (quality - 0.5) + 0.25 * random.standard_normal((queries, 3)), 0, 1)
    return [quality, np.array([1.0, 5.0, 20.0]) * random.uniform(0.5, 1.5, (queries, 3)), score]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frugalgpt", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--triples", type=int, default=10, help="further lists on which objectives are compared")
    parser.add_argument("--most", type=int, default=1_000_000, help="most synthetic queries")
    given = parser.parse_args()
    (recordings,) = Recordings.read([DATA / "zellinger" / "mmlu.jsonl.gz"])
    matrix = Matrix(prepare(recordings))
    rival = released(given.frugalgpt, matrix) if given.frugalgpt else None
    one_triple(matrix, rival, given.rounds)
    if rival:
        objectives(matrix, rival, given.triples)
    scaling(given.most)


if __name__ == "__main__":
    main()
