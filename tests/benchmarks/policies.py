"""Policies learned from recordings, side by side: what quality they reach for what they cost, on queries held out.

    python tests/benchmarks/policies.py [--folds 5] [--sets zellinger-mmlu,...] [--rows 1200] [--seed 11]

FRUGAL_DATA says where the recorded answers are. Each family learns from all folds but one and answers that one. Queries are
shuffled first, so that the folds are not those on which the library's constants were looked at. `fit` chooses among all others
but `threshold` for each budget, by a cross-validation of its own within the folds it learns from. Areas are mean qualities over
all budgets between the cheapest and the dearest single model, in per cent, with the 95% interval of a bootstrap over queries;
`at best` is the cost at which the quality of the best single model is reached, as a share of that model's, `-1` that at one
point below.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import numpy as np

from frugal_core.engine import drive
from frugal_core.evaluation.policies import evaluate_policies
from frugal_core.evaluation.policy_figures import FamilyReport, PoliciesReport
from frugal_core.learning import Recordings
from frugal_core.learning.cascade_path import CascadeSearch
from frugal_core.learning.choice import Chosen
from frugal_core.learning.fit import default_families
from frugal_core.learning.path import Path
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
FIT_FOLDS = 3
"""Of the cross-validation within `fit`, whose default is 5: this takes half the time."""


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


def share(cost: float | None, report: PoliciesReport) -> str:
    return "never" if cost is None else f"{cost / report.best_single.cost:.0%}"


def shown(family: FamilyReport, report: PoliciesReport) -> str:
    low, high = family.area_interval.low, family.area_interval.high
    interval = f" ({100 * low:.1f} to {100 * high:.1f})" if low is not None and high is not None else ""
    area = "no area" if family.area is None else f"{100 * family.area:.2f}{interval}"
    ends = [share(end, report) for end in (family.cost_at_best_interval.low, family.cost_at_best_interval.high)]
    at_best = f"at best {share(family.cost_at_best, report)} ({ends[0]} to {ends[1]})"
    return f"  {family.name:28} {area}, {at_best}, -1 {share(family.cost_at_minus, report)}, {family.seconds:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--rows", type=int, default=1200, help="most queries of a set")
    parser.add_argument("--seed", type=int, default=11, help="of the order of the queries")
    arguments = parser.parse_args()
    families = default_families(None)
    contestants = [CascadeSearch(depth=2, name="threshold"), *families, Chosen(tuple(families), FIT_FOLDS)]
    margins = []
    for name in arguments.sets.split(","):
        for setting in read(name, arguments.rows):
            order = np.random.default_rng(arguments.seed).permutation(len(setting.correct))
            report = evaluate_policies(setting.rows(order), contestants, folds=arguments.folds)
            print(f"{setting.dataset}: {len(setting.models)} models, {len(setting.correct)} queries", flush=True)
            for family in report.families:
                print(shown(family, report), flush=True)
            for skipped, _ in report.skipped:
                print(f"  {skipped:28} cannot be learned from these recordings")
            areas = {family.name: family.area for family in report.families}
            fit, others = areas.pop("fit"), [area for area in areas.values() if area is not None]
            if fit is not None:
                margins.append(100 * (fit - max(others)))
                print(f"  fit minus the best of the others: {margins[-1]:+.2f}", flush=True)
            router = next(family for family in families if family.name == "cascade router with fusion")
            path = router.fit(setting.rows(np.arange(0, len(setting.correct), 2)))
            print(f"  a decision of a cascade router takes {1e3 * decision_time(path, setting):.2f} ms", flush=True)
    if margins:
        ends = f"mean {np.mean(margins):+.2f}, least {min(margins):+.2f}"
        print(f"fit minus the best of the others, over {len(margins)} sets: {ends}")


if __name__ == "__main__":
    main()
