"""Whom does the cache serve, and how often is it wrong? Deciders side by side, on questions of real people.

Pairs (qqp_pairs, split by connected component): models that are learned from the train split score the pairs of the test
split; the recall at a given precision says how many right answers they find among as many wrong ones. Nothing of the stream
is known here, only the two questions.

Stream (banking77_stream, shuffled): every question is looked up among those that were not served before; a hit is right if it
has the question's intent, and so is a comparison. Errors and hits are shares of all requests. "as fixed" is the hit rate of a
fixed threshold, chosen in hindsight on the same stream, at the very error that a decider made. vCache's rule is written from
its paper (arXiv 2502.03771, Algorithm 1): a logistic curve of the similarity for each entry, explored with the probability
that its confidence bounds ask for.

With --cross-encoder N, an encoder of both questions at once is fine-tuned on N of the pairs to learn from, starting at the
weights of all-MiniLM-L6-v2; trees learn from the other pairs, with its score as one more feature.

    python tests/benchmarks/cache_quality.py pairs [--cross-encoder N] [--data FOLDER] [--vectors FOLDER]
    python tests/benchmarks/cache_quality.py stream [--shuffles 20] [--requests N] [--max-error 0.01 0.02 0.05] [--guards]

Vectors (all-MiniLM-L6-v2) are computed once, in about 5 ms per question, and kept in a folder for temporary files.
"""

import argparse
import gzip
import json
import math
import os
import random
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

from frugal_core.cache.deciders.base import Candidate
from frugal_core.cache.deciders.boosting import boost
from frugal_core.cache.deciders.features import Frequencies, lexical, wording
from frugal_core.cache.deciders.fixed import Fixed
from frugal_core.cache.deciders.verified import Verified
from frugal_core.cache.deciders.word_effects import WordEffects
from frugal_core.cache.entry import Entry
from frugal_core.cache.guards import STANDARD
from frugal_core.cache.stores.base import Neighbour
from frugal_core.cache.stores.memory import MemoryStore
from frugal_core.learning.logistic import Logistic

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
PRECISIONS = (0.95, 0.90, 0.85, 0.80)
THRESHOLDS = (*np.arange(0.60, 0.86, 0.02), *np.arange(0.86, 0.98, 0.005), *np.arange(0.98, 1.0, 0.002))
NEAR = 256
NEIGHBOURS = 8
LEAST = 0.6
FEW = 3


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def embedded(name, texts, folder):
    """Vectors of texts, shape (texts, 384), computed once."""
    path = folder / f"{name}.npy"
    if path.exists():
        return np.load(path)
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    from sentence_transformers import SentenceTransformer

    from encoders import minilm

    vectors = SentenceTransformer(str(minilm()), device="cpu").encode(texts, batch_size=64, normalize_embeddings=True)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


# --- pairs ---


def pairs(data, folder, sample, tuned):
    rows = lines(data / "qqp_pairs" / "qqp_pairs.jsonl.gz")
    random.Random(0).shuffle(rows)
    rows = sorted(rows[: sample or None], key=lambda row: row["split"] == "test")
    texts = sorted({row[side] for row in rows for side in ("text_a", "text_b")})
    vectors = embedded(f"qqp{sample or ''}", texts, folder)
    place = {text: at for at, text in enumerate(texts)}
    train = np.array([row["split"] == "train" for row in rows])
    seen = Frequencies()
    for row in rows:
        if row["split"] == "train":
            seen.add(wording(row["text_a"]).bag)
            seen.add(wording(row["text_b"]).bag)
    began = time.thread_time()
    likeness = [float(vectors[place[row["text_a"]]] @ vectors[place[row["text_b"]]]) for row in rows]
    effects, known = WordEffects(), []
    for at, row in enumerate(rows):  # of the effects of words, a pair to learn from knows what those before it showed
        asked, cached = row["text_b"], row["text_a"]
        known.append([*lexical(asked, cached, seen), *effects(wording(asked), wording(cached))])
        if train[at]:
            effects.add(wording(asked), wording(cached), likeness[at], row["label"])
    microseconds = (time.thread_time() - began) / len(rows) * 1e6
    x = np.column_stack([likeness, known])
    y = np.array([row["label"] for row in rows], dtype=float)
    linear = Logistic.fit(x[train], y[train], penalty=5.0)
    start = {part: log_odds(linear.probabilities(x[part_rows])) for part, part_rows in (("fit", train), ("test", ~train))}
    trees = boost(x[train], y[train], np.ones(train.sum()), start["fit"], 300)
    print(f"{train.sum()} pairs to learn from, {(~train).sum()} to test; features {microseconds:.0f} us a pair")
    print(f"{'':34}average precision   " + "".join(f"recall at P{round(100 * p)}  " for p in PRECISIONS))
    told("cosine", x[~train, 0], y[~train])
    told("logistic on wording", start["test"], y[~train])
    for count in (100, 300):
        told(
            f"{count} boosted trees (as in Verified)",
            start["test"] + sum(tree.of(x[~train]) for tree in trees[:count]),
            y[~train],
        )
    if tuned:
        crossed(rows, train, x, y, tuned)


def crossed(rows, train, x, y, count):
    """Score the test pairs by an encoder of both questions, fine-tuned on `count` pairs, alone and beside all else."""
    import torch
    from sentence_transformers import CrossEncoder

    from encoders import minilm

    torch.manual_seed(0)
    model = CrossEncoder(str(minilm()), num_labels=1, max_length=64, activation_fn=torch.nn.Identity(), device="cpu")
    torch.set_num_threads(os.cpu_count() or 1)
    texts = [(row["text_b"], row["text_a"]) for row in rows]
    places = np.random.default_rng(0).permutation(np.flatnonzero(train))
    taught, rest = places[:count], places[count:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01)
    batches = [taught[first : first + 32] for first in range(0, count, 32)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 50, 1 - step / len(batches)))
    model.train()
    for batch in batches:
        features = model.preprocess([texts[place] for place in batch])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            model({name: part for name, part in features.items() if isinstance(part, torch.Tensor)})["scores"].view(-1),
            torch.tensor(y[batch], dtype=torch.float32),
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
    test = np.flatnonzero(~train)
    scores = np.full(len(rows), np.nan)
    for part in (rest, test):
        scores[part] = model.predict([texts[place] for place in part], batch_size=64, show_progress_bar=False)
    more = np.column_stack([x, scores])
    linear = Logistic.fit(more[rest], y[rest], penalty=5.0)
    start = {name: log_odds(linear.probabilities(more[part])) for name, part in (("fit", rest), ("test", test))}
    trees = boost(more[rest], y[rest], np.ones(len(rest)), start["fit"], 100)
    told(f"cross-encoder of {count} pairs", scores[test], y[test])
    told("100 boosted trees, and it", start["test"] + sum(tree.of(more[test]) for tree in trees), y[test])


def log_odds(p):
    return np.log(p) - np.log1p(-p)


def told(name, scores, labels):
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(labels[order])
    precision, recall = right / np.arange(1, len(order) + 1), right / labels.sum()
    last = np.append(np.diff(scores[order]) != 0, True)
    found = [recall[np.flatnonzero((precision >= p) & last)].max(initial=0.0) for p in PRECISIONS]
    average = (precision * labels[order]).sum() / labels.sum()
    print(f"{name:34}{average:>17.3f}   " + "".join(f"{each:>13.3f}  " for each in found))


# --- streams ---


class Stream:
    """Questions with intents, and whom they lie near.

    Nearest ones are looked for among all questions once, and among those stored then by passing over the others.
    """

    def __init__(self, data, folder, guards):
        rows = lines(data / "banking77_stream" / "banking77.jsonl.gz")
        self.texts, self.intents = [row["query"] for row in rows], [row["label"] for row in rows]
        self.vectors = embedded("banking77", self.texts, folder)
        self.near, self.likeness = nearest(self.vectors)
        self.allowed = cache(self._allowed) if guards else lambda one, other: True

    def _allowed(self, asked, cached):
        return all(guard(self.texts[asked], self.texts[cached]) is None for guard in STANDARD)

    def neighbours(self, place, stored, count):
        near, likeness = self.near[place], self.likeness[place]
        among = np.flatnonzero(stored[near])[:count]
        if len(among) < count:
            near = np.flatnonzero(stored)
            likeness = self.vectors[near] @ self.vectors[place]
            among = np.argsort(-likeness)[:count]
        return [
            (int(near[at]), float(likeness[at])) for at in among if likeness[at] >= LEAST and self.allowed(place, int(near[at]))
        ]

    def run(self, order, decider, count=NEIGHBOURS):
        """Shares of hits and of errors, over all requests."""
        stored = np.zeros(len(self.texts), dtype=bool)
        store = decider.store = MemoryStore()
        decider = decider.bind(store)
        hits = errors = 0
        for place in order:
            near = self.neighbours(place, stored, count)
            if near:
                candidate = self.candidate(place, near)
                verdict = decider.decide(candidate)
                right = self.intents[near[0][0]] == self.intents[place]
                if verdict.serve:
                    hits += 1
                    errors += not right
                    continue
            stored[place] = not (near and right and isinstance(decider, VCache))
            store.put(Entry(str(place), "", "", self.texts[place], self.intents[place], "", 0.0))
            if near and verdict.learn:
                decider.learn(candidate, verdict, float(right))
        return hits / len(order), errors / len(order), decider

    def candidate(self, place, near):
        found = [Neighbour(str(at), self.texts[at], likeness) for at, likeness in near]
        return Candidate(self.texts[place], found[0], tuple(found[1:]), "", str(place))


def nearest(vectors):
    near = np.zeros((len(vectors), NEAR), dtype=np.int32)
    likeness = np.zeros((len(vectors), NEAR), dtype=np.float32)
    for first in range(0, len(vectors), 500):
        found = vectors[first : first + 500] @ vectors.T
        found[np.arange(len(found)), np.arange(first, first + len(found))] = -1
        some = np.argpartition(-found, NEAR, axis=1)[:, :NEAR]
        values = np.take_along_axis(found, some, 1)
        ranks = np.argsort(-values, axis=1)
        near[first : first + 500] = np.take_along_axis(some, ranks, 1)
        likeness[first : first + 500] = np.take_along_axis(values, ranks, 1)
    return near, likeness


class VCache(Fixed):
    """vCache's rule, as its paper has it: each entry has a curve of its own, and only what was answered otherwise is stored."""

    def __init__(self, max_error, seed):
        super().__init__(LEAST)
        self.max_error = max_error
        self.seen = {}
        self.curves = {}
        self.chance = random.Random(seed)

    def decide(self, candidate):
        from frugal_core.cache.deciders.base import Verdict

        key, similarity = candidate.neighbour.key, candidate.neighbour.similarity
        explore = self.chance.random() <= self.exploring(key, similarity)
        return Verdict(not explore, "unsure" if explore else "verified", learn=explore)

    def exploring(self, key, similarity):
        """The least probability of exploring that keeps the bound, over all confidences (its equations for tau)."""
        if len(self.seen.get(key, ())) < 6:
            return 1.0
        if key not in self.curves:
            self.curves[key] = curve(self.seen[key])
        middle, deviation, slope = self.curves[key]
        doubts = np.linspace(0.01, 0.5, 50)
        log_odds = slope * (similarity - (middle + NORMAL * deviation))
        right = (1 - doubts) / (1 + np.exp(-np.clip(log_odds, -50, 50)))
        return float(np.min(np.maximum(0.0, 1 - self.max_error / np.maximum(1 - right, 1e-12))))

    def learn(self, candidate, verdict, same):
        self.seen.setdefault(candidate.neighbour.key, []).append((candidate.neighbour.similarity, same))
        self.curves.pop(candidate.neighbour.key, None)


def normal_quantiles(doubts):
    from statistics import NormalDist

    return np.array([NormalDist().inv_cdf(1 - doubt) for doubt in doubts])


NORMAL = normal_quantiles(np.linspace(0.01, 0.5, 50))


def curve(observations):
    """Middle of the logistic curve with its deviation, and the curve's slope: maximum likelihood, with a pair at either end."""
    similarity, same = np.array([*observations, (0.0, 0.0), (1.0, 1.0)]).T
    design = np.column_stack([np.ones_like(similarity), similarity])
    point = np.zeros(2)
    ridge = np.diag([1e-3, 1e-3])
    for _ in range(30):
        p = 1 / (1 + np.exp(-design @ point))
        hessian = (design.T * (p * (1 - p))) @ design + ridge
        point = point - np.linalg.solve(hessian, design.T @ (p - same) + ridge @ point)
    p = 1 / (1 + np.exp(-design @ point))
    covariance = np.linalg.inv((design.T * (p * (1 - p))) @ design + ridge)
    slope = max(point[1], 1e-6)
    middle = -point[0] / slope
    gradient = np.array([-1 / slope, point[0] / slope**2])
    return middle, math.sqrt(max(0.0, gradient @ covariance @ gradient)), slope


def stream(data, folder, shuffles, requests, bounds, guards):
    own = Stream(data, folder, guards)
    count = requests or len(own.texts)
    orders = [np.random.default_rng(seed).permutation(len(own.texts))[:count].tolist() for seed in range(shuffles)]
    fixed = {}
    for threshold in THRESHOLDS:
        fixed[threshold] = np.array(
            [own.run(order, Fixed(float(threshold)), 1 if not guards else NEIGHBOURS)[:2] for order in orders[:FEW]]
        )
    print(
        f"{count} requests, {shuffles} shuffles (of all but Verified: {len(orders[:FEW])}), guards {'on' if guards else 'off'}"
    )
    print(f"{'':30}{'hits':>7}{'errors':>9}{'of hits':>9}{'as fixed':>10}{'ratio':>7}{'broken':>8}")
    errors, hits = (np.array([each[:, side].mean() for each in fixed.values()]) for side in (1, 0))
    line("fixed 0.60 (GPTCache, faiss)", fixed[THRESHOLDS[0]])
    line("fixed 0.80", fixed[THRESHOLDS[10]])
    for bound in bounds:
        inside = np.flatnonzero(errors <= bound)
        best = inside[np.argmax(hits[inside])]
        line(f"best fixed, {bound:.0%}: {THRESHOLDS[best]:.3f}", list(fixed.values())[best], bound)
        for name, make in (("vCache", VCache), ("Verified", lambda limit, seed: Verified(limit, compare="exact", seed=seed))):
            some = orders if name == "Verified" else orders[:FEW]
            done = [own.run(order, make(bound, seed)) for seed, order in enumerate(some)]
            found = np.array([each[:2] for each in done])
            alike = np.interp(found[:, 1].mean(), errors[::-1], hits[::-1])
            line(f"{name}, {bound:.0%}", found, bound, alike)
            if name == "Verified":
                reports = [each[2].report() for each in done]
                missed = sum(
                    report["error_bound"] * report["requests"] < each[1] * count
                    for report, each in zip(reports, done, strict=True)
                )
                means = [np.mean([report[name] for report in reports]) for name in ("error", "error_bound")]
                print(f"{'':10}reported: error {means[0]:.4f}, bound {means[1]:.4f}, which was exceeded {missed} times")
        sys.stdout.flush()


def line(name, found, bound=None, alike=None):
    hits, errors = found.mean(axis=0)
    more = "" if alike is None else f"{alike:>10.3f}{hits / alike:>7.2f}"
    broken = "" if bound is None else f"{int((found[:, 1] > bound).sum()):>{8 if more else 25}}"
    print(f"{name:30}{hits:>7.3f}{errors:>9.4f}{errors / max(hits, 1e-9):>9.4f}{more}{broken}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["pairs", "stream"])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--vectors", type=Path, default=Path(tempfile.gettempdir()) / "frugal-cache-quality")
    parser.add_argument("--pairs", type=int, default=0, help="how many of the pairs; default: all")
    parser.add_argument("--cross-encoder", type=int, default=0, help="pairs to fine-tune a cross-encoder on; default: none")
    parser.add_argument("--shuffles", type=int, default=20)
    parser.add_argument("--requests", type=int, default=0, help="of each stream; default: all")
    parser.add_argument("--max-error", type=float, nargs="+", default=[0.01, 0.02, 0.05])
    parser.add_argument("--guards", action="store_true")
    chosen = parser.parse_args()
    if chosen.part == "pairs":
        pairs(chosen.data, chosen.vectors, chosen.pairs, chosen.cross_encoder)
    else:
        stream(chosen.data, chosen.vectors, chosen.shuffles, chosen.requests, chosen.max_error, chosen.guards)
