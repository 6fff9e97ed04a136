"""Policies learned from recordings, side by side: what accuracy they reach for what they cost, on queries held out.

    python tests/benchmarks/policies.py [--folds 5] [--sets mmlu,...] [--rows 2500]

FRUGAL_DATA says where the recorded answers are. Each policy learns from all folds but one and answers that one. Areas are mean
accuracies over all budgets between the cheapest and the dearest single model, in per cent, averaged over the folds; `random`
mixes these two. `at best` is the cost at which the accuracy of the best single model is reached, as a share of that model's,
`-1` that at one point below. Differences are to the cascade on the raw signal, with their standard error over the folds.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import numpy as np

from frugal_core.engine import drive
from frugal_core.evaluation.metrics import area, cost_at_accuracy
from frugal_core.learning import Recordings
from frugal_core.learning.cascade_path import CascadeSearch
from frugal_core.learning.cascade_routing import CascadeRouting
from frugal_core.learning.logistic import folds_of
from frugal_core.learning.path import Family, Path
from frugal_core.learning.recorded_answers import recorded_answer, recorded_query
from frugal_core.learning.setting import Setting, prepare
from frugal_core.types import Answer, Call, Tier

DATA = File(os.environ.get("FRUGAL_DATA") or File(__file__).parents[3] / "shared" / "data")
OPEN = {"7b": 7.0, "8b": 8.0, "10.7b": 10.7, "13b": 13.0, "8x7b": 13.0, "34b": 34.0, "40b": 40.0, "70b": 70.0, "6b": 6.0}
CLOSED = {"gpt-3.5": 50.0, "gpt-4": 1000.0, "gpt-5": 200.0}
"""Sizes that stand for prices where none were recorded."""
MOT = [
    f"{model}:{way}"
    for model in ("llama-2-13b", "gpt-3.5-turbo", "gpt-4")
    for way in ("cot1", "pot1" if model == "gpt-4" else "pot2")
]
SETS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"zellinger-{name}": (f"zellinger/{name}.jsonl.gz", {}) for name in ("mmlu", "truthfulqa", "triviaqa", "gsm8k")},
    **{
        f"bplaut-{name}": (f"bplaut_mcq/{name}.jsonl.gz", {})
        for name in ("hellaswag", "mmlu_one_shot_text", "mmlu_zero_shot_no_text", "truthfulqa")
    },
    "mmbench": ("vlm_uncertainty/mmbench.jsonl.gz", {}),
    "mot-date": ("mot_cascade/date.jsonl.gz", {"models": MOT}),
    "automix": ("automix_llama8b_gpt5/automix5.jsonl.gz", {"signal": "self_verification_conf"}),
}
FAMILIES: dict[str, Family] = {
    "cascade": CascadeSearch(),
    "cascade router": CascadeRouting(),
    "without fusion": CascadeRouting(fusion=False),
}


def read(name: str, most: int) -> Iterator[Setting]:
    path, how = SETS[name]
    columns = [how["signal"]] if "signal" in how else []
    for recordings in Recordings.read([DATA / path], columns=columns):
        setting = prepare(recordings, sizes={model: size(model) for model in recordings.models if size(model)}, **how)
        rows = np.random.default_rng(0).permutation(len(setting.correct))[:most]
        yield setting.rows(np.sort(rows))


def size(model: str) -> float:
    found = [value for part, value in CLOSED.items() if model.startswith(part)]
    found += [value for part, value in OPEN.items() if f"-{part}" in model.lower()]
    return found[0] if found and "llava" not in model.lower() else 0.0


def measure(setting: Setting, folds: int) -> dict[str, list[list[float | None]]]:
    parts = folds_of(range(len(setting.correct)), folds)
    cost, accuracy = setting.cost.mean(axis=0), setting.correct.mean(axis=0)
    low, high, best = float(cost.min()), float(cost.max()), int(np.argmax(accuracy))
    found: dict[str, list[list[float | None]]] = {name: [] for name in FAMILIES}
    for part in range(folds):
        rest, held = setting.rows(parts != part), setting.rows(parts == part)
        for name, family in FAMILIES.items():
            began = time.thread_time()
            path = family.fit(rest)
            spent = time.thread_time() - began
            replayed = path.replay(held)
            curve = sorted(zip(replayed.cost.mean(axis=1).tolist(), replayed.quality.mean(axis=1).tolist(), strict=True))
            goal = float(held.correct[:, best].mean())
            found[name].append([area(curve, low, high), *(cost_at_accuracy(curve, goal - less) for less in (0.0, 0.01)), spent])
    return found


def decision_time(path: Path, setting: Setting, rows: int = 300) -> float:
    """Median seconds of processor time that the policy in the middle of a path takes to decide a query."""
    tiers = tuple(map(Tier, setting.models))
    policy = path.policy(len(path.cost) // 2)
    times = []
    for row in range(min(rows, len(setting.correct))):
        query = recorded_query(setting, row, tiers)
        answers = [recorded_answer(setting, row, model, model) for model in range(len(tiers))]

        def perform(call: Call, answers: list[Answer] = answers) -> Answer:
            answer = answers[call.tier]
            scoring: Answer | None = answer.raw.scoring
            return scoring if call.purpose == "score" and scoring is not None else answer

        began = time.thread_time()
        drive(policy.decide(query), perform)
        times.append(time.thread_time() - began)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--rows", type=int, default=2500, help="most queries of a set")
    arguments = parser.parse_args()
    gaps = []
    for name in arguments.sets.split(","):
        for setting in read(name, arguments.rows):
            found = measure(setting, arguments.folds)
            cost, accuracy = setting.cost.mean(axis=0), setting.correct.mean(axis=0)
            ends = 50 * (accuracy[np.argmin(cost)] + accuracy[np.argmax(cost)])
            print(f"{setting.dataset}: {len(accuracy)} models, {len(setting.correct)} queries; random {ends:.2f}")
            base = np.array([row[0] for row in found["cascade"]], dtype=float)
            for family, rows in found.items():
                areas = np.array([row[0] for row in rows], dtype=float)
                gap = 100 * (areas - base)
                reached = [[row[place] for row in rows if row[place] is not None] for place in (1, 2)]
                shares = [
                    f"{np.mean(part) / cost[np.argmax(accuracy)]:.0%} ({len(part)})" if part else "never" for part in reached
                ]
                error = gap.std(ddof=1) / len(gap) ** 0.5
                print(f"  {family:15} area {100 * areas.mean():.2f} ({gap.mean():+.2f} ± {error:.2f})", end="")
                print(f", at best {shares[0]}, -1 {shares[1]}, fit {np.mean([row[3] for row in rows]):.1f} s")
                if family == "cascade router":
                    gaps.append(gap.mean())
            path = FAMILIES["cascade router"].fit(setting.rows(np.arange(0, len(setting.correct), 2)))
            print(f"  a decision takes {1e3 * decision_time(path, setting):.2f} ms")
    if gaps:
        print(f"cascade router minus cascade, mean over {len(gaps)} sets: {np.mean(gaps):+.2f}")


if __name__ == "__main__":
    main()
