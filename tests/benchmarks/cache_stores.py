"""Times of the semantic cache on its stores, beside GPTCache (sqlite + faiss) and LangChain's InMemoryCache in one run.

    python tests/benchmarks/cache_stores.py [--rivals ENVIRONMENT] [--entries 5000 50000] [--soak 1000000]

ENVIRONMENT is a virtual environment with `gptcache faiss-cpu "sqlalchemy<2.1" "numpy<2"`; without, the rival is left out.
Questions are those of `qqp_pairs` (FRUGAL_DATA says where); each is embedded beforehand, as the sum of random vectors of its
words, and embedding is not timed. Two fifths of the 5,000 that are asked are stored, two fifths are the other text of a stored
one's pair, the rest are unknown. Ours has all its guards on and looks questions up exactly first.
"""

import argparse
import gzip
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import zlib
from pathlib import Path
from time import perf_counter, thread_time, time

import numpy as np

from frugal_core.cache import Answered, CacheOptions, SemanticCache
from frugal_core.cache.embedders.base import Embedder
from frugal_core.cache.entry import Entry
from frugal_core.cache.question import text_question
from frugal_core.cache.replica import Replica
from frugal_core.cache.stores import Limits, MemoryStore
from frugal_core.cache.stores.disk import DiskStore

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
NUMBERS = 384
THREADS = 8
FRESH = CacheOptions(refresh=True)


class Known(Embedder):
    """Gives vectors that were computed beforehand."""

    fingerprint = "words"

    def __init__(self, vectors):
        self.vectors = vectors

    def embed(self, texts):
        return np.stack([self.vectors[text] for text in texts])


def pairs():
    """Pairs of questions, of which no text comes twice."""
    path = DATA / "qqp_pairs" / "qqp_pairs.jsonl.gz"
    if not path.exists():
        sys.exit(f"There is no {path}: set FRUGAL_DATA to the folder of recorded answers.")
    seen, found = set(), []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            both = row["text_a"], row["text_b"]
            if both[0] != both[1] and not seen & set(both) and all(map(str.strip, both)):
                seen.update(both)
                found.append(both)
    return found


def questions(count):
    """Questions for one run: stored ones, those that are asked, inserted, and used by several threads."""
    found, rng = pairs(), random.Random(1)
    rounds = -(-(count + 6000) // len(found))
    many = [
        (f"{a} {suffix}".strip(), f"{b} {suffix}".strip()) for suffix in ("", "please", "exactly")[:rounds] for a, b in found
    ]
    stored, rest = many[:count], [a for a, _ in many[count:]]
    stream = [a for a, _ in rng.choices(stored, k=2000)] + [b for _, b in rng.choices(stored, k=2000)] + rest[:1000]
    rng.shuffle(stream)
    mixed = [text if place % (10 * THREADS) >= THREADS else rest[2000 + place] for place, text in enumerate(stream[:4000])]
    return {"stored": [a for a, _ in stored], "stream": stream, "inserted": rest[1000:2000], "mixed": mixed}


def embedded(texts):
    """Vectors of texts: sums of their words', which are random."""
    words = {}
    rows = np.empty((len(texts), NUMBERS), dtype=np.float32)
    for place, text in enumerate(texts):
        row = np.full(NUMBERS, 1e-6, dtype=np.float32)
        for word in re.findall(r"\w+", text.lower()):
            if word not in words:
                words[word] = np.random.default_rng(zlib.crc32(word.encode())).normal(size=NUMBERS).astype(np.float32)
            row += words[word]
        rows[place] = row / np.linalg.norm(row)
    return rows


def each(call, arguments):
    """Median, 99th percentile and mean of what a call takes, and its mean processor time, in microseconds."""
    taken = []
    worked = thread_time()
    for argument in arguments:
        since = perf_counter()
        call(argument)
        taken.append((perf_counter() - since) * 1e6)
    worked = (thread_time() - worked) / len(taken) * 1e6
    return [statistics.median(taken), float(np.quantile(taken, 0.99)), statistics.mean(taken), worked]


def own(handed, vectors):
    """As `cache_rivals.py`, for the cache on disk."""
    errors = []

    def look_up(text):
        found = cache.lookup(text_question(text), wait=False)
        if found.hit is not None and found.hit.entry.answer != found.hit.entry.question.upper():
            errors.append(f"{text!r} got {found.hit.entry.answer!r}")
        return found

    def insert(text):
        cache.lookup(text_question(text), FRESH).settle(Answered(text.upper(), f'"{text.upper()}"'))

    def work(texts):
        for place, text in enumerate(texts):
            (look_up if place % 10 else insert)(text)

    with tempfile.TemporaryDirectory() as place:
        store = DiskStore(Path(place) / "cache", Limits(max_entries=10**6))
        cache = SemanticCache(store, embed=Known(vectors), decider=0.8)
        for text in handed["stored"]:
            insert(text)
        look_up(handed["stored"][0])  # makes the index
        inserted = each(insert, handed["inserted"])
        looked_up = each(look_up, handed["stream"])
        exact = each(look_up, handed["stored"][:1000] * 3)
        workers = [threading.Thread(target=work, args=(handed["mixed"][number::THREADS],)) for number in range(THREADS)]
        since = perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        mixed = len(handed["mixed"]) / (perf_counter() - since)
        stats = cache.stats()
        cache.close()
    hits = f"{stats.exact_hits} exact and {stats.semantic_hits} semantic hits, {sum(stats.vetoes.values())} vetoes"
    found = {"insert": inserted, "lookup": looked_up, "exact": exact, "mixed": mixed, "errors": stats.errors + len(errors)}
    return {**found, "hits": hits}


def compare(count, rivals):
    """One table: ours, the rival, and ours again, of which the slower counts."""
    handed = questions(count)
    texts = sorted({text for part in handed.values() for text in part})
    rows = embedded(texts)
    vectors = dict(zip(texts, rows, strict=True))
    ours = [own(handed, vectors)]
    rival = None
    if rivals:
        few = {**handed, "stream": handed["stream"][:1000], "mixed": handed["mixed"][: 80 * THREADS], "texts": texts}
        if count > 20_000:
            few = {**few, "stream": few["stream"][:300], "mixed": few["mixed"][: 20 * THREADS]}
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "questions.json").write_text(json.dumps(few))
            np.save(Path(folder, "vectors.npy"), rows)
            script = Path(__file__).with_name("cache_rivals.py")
            command = [str(Path(rivals) / "bin" / "python"), str(script), folder, str(THREADS)]
            rival = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        ours.append(own(handed, vectors))
    print(f"\n{count} entries; {ours[0]['hits']}")
    print("| | ours, µs (p50 / p99 / mean / processor) | GPTCache | ratio of p50 | of processor time |\n|---|---|---|---|---|")
    for what in ("lookup", "insert", "exact"):
        mine = max((run[what] for run in ours), key=lambda run: run[0])
        its = rival and rival.get(what)
        ratios = f"{its[0] / mine[0]:.0f} | {its[3] / mine[3]:.0f}" if its else "| "
        print(f"| {what} | {told(mine)} | {told(its) if its else ''} | {ratios} |")
    mine = min(run["mixed"] for run in ours)
    its = f"{rival['mixed']:.0f}/s | {mine / rival['mixed']:.0f} | " if rival else "| | "
    print(f"| {THREADS} threads, 90/10 | {mine:.0f}/s | {its}|")
    print(f"errors: ours {[run['errors'] for run in ours]}, GPTCache {rival['errors'] if rival else '-'}")


def told(times):
    return " / ".join(f"{value:.0f}" for value in times)


def exact_hits():
    """Exact hits beside LangChain's InMemoryCache, which stores no vectors; in turn, best of seven rounds."""
    from langchain_core.caches import InMemoryCache
    from langchain_core.outputs import Generation

    asked = [text_question(f"What is number {number}?") for number in range(1000)]
    plain = InMemoryCache()
    with tempfile.TemporaryDirectory() as folder:
        disk = DiskStore(Path(folder) / "cache")
        caches = {"memory": SemanticCache(MemoryStore(), embed=None), "disk": SemanticCache(disk, embed=None)}
        for question in asked:
            plain.update(question.text, "model", [Generation(text="yes")])
            for cache in caches.values():
                cache.lookup(question).settle(Answered("yes", '"yes"'))
        calls = {
            "InMemoryCache.lookup": lambda question: plain.lookup(question.text, "model"),
            "MemoryStore.get": lambda question: caches["memory"].store.get(question.key),
            "DiskStore.get": lambda question: disk.get(question.key),
            "SemanticCache.lookup, memory": caches["memory"].lookup,
            "SemanticCache.lookup, disk": caches["disk"].lookup,
        }
        best = dict.fromkeys(calls, float("inf"))
        for _ in range(7):
            for name, call in calls.items():
                since = perf_counter()
                for question in asked:
                    call(question)
                best[name] = min(best[name], (perf_counter() - since) / len(asked) * 1e6)
        for cache in caches.values():
            cache.close()
    base = best["InMemoryCache.lookup"]
    print("\n| exact hit | µs | x |\n|---|---|---|")
    for name, taken in best.items():
        print(f"| {name} | {taken:.2f} | {taken / base:.1f} |")


def opening(count=100_000):
    """How long a folder of so many entries takes to open, answer exactly, tell all, and be searched by likeness."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count, NUMBERS)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    stored = rows.astype("<f2")
    payload = json.dumps({"text": "y" * 900})
    with tempfile.TemporaryDirectory() as folder:
        limits = Limits(max_entries=2 * count)
        with DiskStore(Path(folder) / "cache", limits) as store:
            for place in range(count):
                store.put(
                    Entry(
                        f"{place:032x}",
                        "p" * 32,
                        "",
                        f"What is number {place}?",
                        "yes",
                        payload,
                        time(),
                        vector=stored[place].tobytes(),
                        embedder="words",
                    )
                )
        best = {}
        for _ in range(3):
            since = perf_counter()
            with DiskStore(Path(folder) / "cache", limits) as store:
                assert store.get(f"{count // 2:032x}") is not None
                answered = perf_counter()
                changes = store.changes(0)
                told_all = perf_counter()
                assert len(changes.keys) == count
                del changes
                replica = Replica(store, "words")
                begun = perf_counter()
                assert replica.search("p" * 32, rows[count // 3], 1, 0.9)[0].key == f"{count // 3:032x}"
                steps = {
                    "open and first exact hit": answered - since,
                    "changes(0)": told_all - answered,
                    "first search: changes, index and search": perf_counter() - begun,
                }
            best = {name: min(best.get(name, float("inf")), taken) for name, taken in steps.items()}
    print(f"\n{count} entries on disk, best of three:")
    for name, taken in best.items():
        print(f"  {name}: {taken * 1e3:.0f} ms")


def soak(operations):
    """Many operations within narrow limits; the process's memory must stand still."""
    with tempfile.TemporaryDirectory() as folder:
        limits = Limits(max_entries=5000, max_bytes=5_000_000)
        stores = {"memory, lru": MemoryStore(limits), "memory, lfu": MemoryStore(Limits(5000, 5_000_000, "lfu"))}
        stores["disk"] = DiskStore(Path(folder) / "cache", limits)
        for name, store in stores.items():
            rng, cursor, peaks = random.Random(0), 0, []
            since = perf_counter()
            for operation in range(operations):
                key = f"{int(rng.random() ** 2 * 40_000):032x}"
                if operation % 10 == 0:
                    vector = operation.to_bytes(8, "little") * 96
                    store.put(Entry(key, "p", "", "What?", "yes", "x" * rng.randrange(1000), 1.0, vector=vector, embedder="e"))
                elif operation % 97 == 0:
                    store.delete([key])
                else:
                    store.get(key)
                if operation % 1000 == 0:
                    cursor = store.changes(cursor).cursor
                    size = store.size()
                    assert size.entries <= limits.max_entries
                    assert size.bytes <= limits.max_bytes
                if operation % (operations // 5) == operations // 5 - 1:
                    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
            size = store.size()
            print(
                f"{name}: {operations} operations in {perf_counter() - since:.0f} s, {size.entries} entries of {size.bytes} "
                f"bytes, {size.evicted} evicted; peak memory of the process after each fifth, MiB: {peaks}"
            )
            store.close()


def main():
    parser = argparse.ArgumentParser(description="Times of the semantic cache on its stores, beside others'.")
    parser.add_argument("--rivals", help="virtual environment with GPTCache")
    parser.add_argument("--entries", type=int, nargs="*", default=[5000, 50_000])
    parser.add_argument("--opening", type=int, default=100_000, help="entries of the folder that is opened; 0 for none")
    parser.add_argument("--soak", type=int, default=0, help="operations on each store; 0 for none")
    arguments = parser.parse_args()
    exact_hits()
    for count in arguments.entries:
        compare(count, arguments.rivals)
    if arguments.opening:
        opening(arguments.opening)
    if arguments.soak:
        soak(arguments.soak)


if __name__ == "__main__":
    main()
