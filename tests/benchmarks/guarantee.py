"""Does the guarantee hold on recorded answers of real LLMs, and what does it cost in coverage?

Each set is split at random, again and again, into tuning rows (the path of thresholds), calibration rows (the certificate) and
held-out rows. A certificate is violated when what it certifies exceeds the bound,

- "redrawn": on the set as a whole, calibration rows being drawn from it with replacement. Here the truth is known exactly, so
  this is the rate that may be at most 5%;
- "held out": on the held-out rows. They are few: a policy that keeps the bound by little exceeds it there by chance;
- "beyond chance": on the held-out rows, by more than chance explains (one-sided binomial test at 5%).

    python tests/benchmarks/guarantee.py [--splits 500] [--data FOLDER] [--learned]

`--learned`: what `fit` does with all models of a set, instead. Policies are learned once, from three fifths of the rows; the
calibration rows are drawn, again and again, with replacement from the other two fifths, on which the truth is thus known.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from policies import size

from frugal_core.learning import Recordings
from frugal_core.learning.agreement_setting import agreement_setting
from frugal_core.learning.bounds import log_binomial_cdf
from frugal_core.learning.cascade_routing import CascadeRouting
from frugal_core.learning.fit import walk
from frugal_core.learning.guarantee import certify, descending_thresholds, rows_needed
from frugal_core.learning.setting import prepare

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
SETS = (
    ("zellinger/mmlu.jsonl.gz", "confidence_logp", "llama3.1-70b", "llama3.1-405b"),
    ("zellinger/mmlu.jsonl.gz", "confidence_logp", "gpt-4o-mini", "gpt-4o"),
    ("vlm_uncertainty/mmbench.jsonl.gz", "margin", "Yi-VL-6B", "Yi-VL-34B"),
    ("vlm_uncertainty/mmbench.jsonl.gz", "margin", "llava-v1.6-vicuna-13b", "llava-v1.6-34b"),
    ("vlm_uncertainty/mmbench.jsonl.gz", "margin", "llava-v1.5-7b", "llava-v1.5-13b"),
    ("bplaut_mcq/hellaswag.jsonl.gz", "p_top1", None, None),
)
BOUNDS = (0.02, 0.05, 0.10)
CONFIDENCE = 0.95
TUNING, CALIBRATION = 0.2, 0.4


def losses(recordings, cheap, dear):
    """Rows that both answered, and whether the cheap tier's answer differs (or is worse, where only grades were recorded)."""
    small, large = recordings.models.index(cheap), recordings.models.index(dear)
    both = recordings.present[:, small] & recordings.present[:, large]
    answers = recordings.answers[both][:, [small, large]]
    if any(answer is not None for answer in answers.ravel()):
        return both, (answers[:, 0] != answers[:, 1]).astype(float), "differs"
    correct = recordings.correct[both]
    return both, np.maximum(0.0, correct[:, large] - correct[:, small]).round(), "worse"


def sums(scores, loss, thresholds):
    """Summed losses, and counts, of the rows that each threshold serves from the cheap tier."""
    order = np.argsort(-scores, kind="stable")
    served = np.searchsorted(-scores[order], -thresholds, side="right")
    return np.concatenate([[0.0], np.cumsum(loss[order])])[served], served


def trial(rng, scores, loss, bounds):
    """One random split. By bound: (held-out risk, true risk, coverage) of what is certified, estimated, best; then redrawn."""
    rows = rng.permutation(len(scores))
    first, second = round(TUNING * len(rows)), round((TUNING + CALIBRATION) * len(rows))
    tuning, calibration, held_out = rows[:first], rows[first:second], rows[second:]
    redrawn = rng.integers(0, len(rows), len(calibration))
    thresholds = descending_thresholds(scores[tuning], 50)
    wrong, wrong_redrawn = (sums(scores[some], loss[some], thresholds)[0] for some in (calibration, redrawn))
    tested, served = sums(scores[held_out], loss[held_out], thresholds)
    truth, _ = sums(scores, loss, thresholds)
    for bound in bounds:
        chosen = (
            certified(wrong, len(calibration), bound),
            int(np.flatnonzero(wrong <= bound * len(calibration))[-1]),
            int(np.flatnonzero(truth <= bound * len(loss))[-1]),
            certified(wrong_redrawn, len(calibration), bound),
            int(np.flatnonzero(wrong_redrawn <= bound * len(calibration))[-1]),
        )
        yield [(tested[i] / len(held_out), truth[i] / len(loss), served[i] / len(held_out)) for i in chosen]


def certified(wrong, rows, bound):
    """Place of the last threshold before the first that is not proved; 0, which is the reference, if none is."""
    passes = log_binomial_cdf(wrong, rows, bound) <= np.log(1 - CONFIDENCE)
    return max(0, int(np.cumprod(passes).sum()) - 1)


def learned(data, splits):
    """A path of learned policies per set, certified again and again."""
    print(
        "| set, reference | bound | violated | served by cheaper models | cost | point estimate violated | its cost | oracle |"
    )
    print(f"|{'---|' * 8}")
    for name in dict.fromkeys(name for name, *_ in SETS):
        (recordings,) = Recordings.read([data / name])
        whole = prepare(recordings, sizes={model: size(model) for model in recordings.models if size(model)})
        reference = int(np.argmax(whole.correct.mean(axis=0)))
        judged = agreement_setting(whole, reference)
        rng = np.random.default_rng(0)
        rows = rng.permutation(len(judged.correct))
        held = judged.rows(rows[: round(CALIBRATION * len(rows))])
        path = CascadeRouting().fit(judged.rows(rows[round(CALIBRATION * len(rows)) :]))
        places = walk(path)
        replayed = path.replay(held)
        loss = np.clip(1 - replayed.quality[places], 0.0, 1.0)
        truth, cost = loss.mean(axis=1), replayed.cost[places].mean(axis=1) / held.cost[:, reference].mean()
        cheap = (replayed.served[places] != reference).mean(axis=1)
        for bound in BOUNDS:
            found = []
            for _ in range(splits):
                drawn = loss[:, rng.integers(0, loss.shape[1], loss.shape[1])]
                index = certify(drawn, list(map(str, places)), bound, CONFIDENCE).index
                estimated = np.flatnonzero(drawn.mean(axis=1) <= bound)
                found.append((-1 if index is None else index, estimated[-1] if len(estimated) else -1))
            kept = np.flatnonzero(truth <= bound)
            chosen, estimate = np.array(found).T
            risk, price, share = np.append(truth, 0.0), np.append(cost, 1.0), np.append(cheap, 0.0)
            figures = (
                (risk[chosen] > bound).mean(),
                share[chosen].mean(),
                price[chosen].mean(),
                (risk[estimate] > bound).mean(),
                price[estimate].mean(),
                price[kept].min(initial=1.0),
            )
            about = f"| {recordings.dataset}, {whole.models[reference]} | {bound:.0%} | "
            print(about + " | ".join(f"{figure:.1%}" for figure in figures) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=500)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--learned", action="store_true", help="what fit does with all models of a set")
    arguments = parser.parse_args()
    if arguments.learned:
        learned(arguments.data, arguments.splits)
        return
    print(
        "| set, cheap → reference | calibration rows | always cheap | bound | violated: redrawn | held out | beyond chance "
        "| coverage | point estimate violated: redrawn | held out | its coverage | oracle's coverage |"
    )
    print(f"|{'---|' * 12}")
    for name, signal, cheap, dear in SETS:
        (recordings,) = Recordings.read([arguments.data / name])
        if cheap is None:
            quality = np.nan_to_num(np.nanmean(recordings.correct, axis=0))
            by_quality = np.argsort(quality)
            cheap, dear = (recordings.models[i] for i in by_quality[[-2, -1]])
        both, loss, kind = losses(recordings, cheap, dear)
        scores = np.nan_to_num(recordings.signals[signal][both][:, recordings.models.index(cheap)], nan=-1.0)
        held_out = len(loss) - round((TUNING + CALIBRATION) * len(loss))
        calibration = round((TUNING + CALIBRATION) * len(loss)) - round(TUNING * len(loss))
        bounds = [bound for bound in BOUNDS if calibration >= rows_needed(bound, CONFIDENCE)]
        rng = np.random.default_rng(0)
        seen = np.array([list(trial(rng, scores, loss, bounds)) for _ in range(arguments.splits)])
        for j, bound in enumerate(bounds):
            risk, truth, coverage = (seen[:, j, :, field] for field in range(3))
            wrong = np.round(risk[:, 0] * held_out)
            chance = 1 - np.exp(log_binomial_cdf(np.maximum(wrong - 1, 0), held_out, bound)) * (wrong > 0)
            figures = (
                (truth[:, 3] > bound).mean(),
                (risk[:, 0] > bound).mean(),
                (chance < 0.05).mean(),
                coverage[:, 0].mean(),
                (truth[:, 4] > bound).mean(),
                (risk[:, 1] > bound).mean(),
                coverage[:, 1].mean(),
                coverage[:, 2].mean(),
            )
            about = f"| {recordings.dataset}: {cheap} → {dear} ({kind}) | {calibration} | {loss.mean():.1%} | {bound:.0%} | "
            print(about + " | ".join(f"{figure:.1%}" for figure in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
