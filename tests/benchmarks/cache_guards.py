"""What the guards of the semantic cache let through, and what they keep from answering.

First the edits written for the tests: how many are accepted by cosine similarity alone, and how many of those with guards.
An adversarial edit that is accepted is an error; a harmless one that is not is a hit lost. What is "held out" was written
before the guards, what is "later" after them; three errors of the former were mended once they were seen, none of the latter.

Then near neighbours among real questions: what share of right pairs (a loss) and of wrong pairs (a gain) each guard vetoes.
Labels of Quora's pairs are noisy, and those of Banking77 are coarse: another sum or a negation has the same intent.

    python tests/benchmarks/cache_guards.py [--data FOLDER] [--pairs 6000]
"""

import argparse
import gzip
import json
import os
import random
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from adversarial_edits import ADVERSARIAL, HARMLESS, pairs
from adversarial_edits_held_out import HELD_OUT_ADVERSARIAL, HELD_OUT_HARMLESS, LATER_ADVERSARIAL, LATER_HARMLESS
from encoders import minilm
from frugal_core.cache.guards import STANDARD
from frugal_core.cache.guards.quantities import read

DATA = Path(os.environ.get("FRUGAL_DATA") or Path(__file__).parents[3] / "shared" / "data")
LEAST = (0.9, 0.8)


def vetoed(asked, cached, guards=STANDARD):
    """Whether a guard objects."""
    return any(guard(asked, cached) for guard in guards)


def embedded(texts):
    """A function from a text to its vector, and seconds of CPU per text, one at a time."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm()), device="cpu")
    model.max_seq_length = 64
    texts = sorted(set(texts), key=len)
    vectors = dict(zip(texts, model.encode(texts, batch_size=64, normalize_embeddings=True), strict=True))
    some = random.Random(0).sample(texts, 100)
    start = time.thread_time()
    for text in some:
        model.encode([text])
    return vectors, (time.thread_time() - start) / len(some)


def edits_table(title, lines, vectors):
    """By category: edits, share near enough, share near enough that no guard objects to, share no guard objects to."""
    print(f"\n{title}")
    print(
        f"{'category':<16}{'edits':>6}"
        + "".join(f"{f'cos >= {least}':>12}{'guarded':>9}" for least in LEAST)
        + f"{'any cos':>9}"
    )
    total = []
    for category, edits in pairs(lines).items():
        rows = [(float(vectors[a] @ vectors[b]), not vetoed(b, a)) for a, b in edits]
        total += rows
        print(f"{category:<16}{edit_row(rows)}")
    print(f"{'all':<16}{edit_row(total)}")


def edit_row(rows):
    """One line of the table."""
    near = "".join(f"{share([c >= t for c, _ in rows]):>12}{share([c >= t and free for c, free in rows]):>9}" for t in LEAST)
    return f"{len(rows):>6}{near}{share([free for _, free in rows]):>9}"


def share(flags):
    """A share, for a table."""
    return f"{np.mean(flags):.3f}" if len(flags) else "-"


def guards_table(title, rows):
    """By guard: share of right and of wrong pairs that it vetoes. Rows: whether right, cosine, two texts."""
    for least in LEAST:
        right = [row for row in rows if row[0] and row[1] >= least]
        wrong = [row for row in rows if not row[0] and row[1] >= least]
        print(f"\n{title}, cos >= {least}: {len(right)} right pairs, {len(wrong)} wrong ones")
        print(f"{'guard':<12}{'right vetoed':>14}{'wrong vetoed':>14}{'wrong among vetoed':>20}")
        for name, guards in [*((guard.name, [guard]) for guard in STANDARD), ("all", STANDARD)]:
            lost, gained = ([vetoed(a, b, guards) for _, _, a, b in some] for some in (right, wrong))
            among = f"{sum(gained) / (sum(lost) + sum(gained)):.2f}" if sum(lost) + sum(gained) else "-"
            print(f"{name:<12}{share(lost):>14}{share(gained):>14}{among:>20}")


def lines_of(path):
    """Rows of a file of data."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def times(texts, edits, embedding_s):
    """Seconds of CPU for fresh texts and for remembered pairs, beside those of one embedding."""
    texts = list(dict.fromkeys(texts))
    read.cache_clear()
    for guard in STANDARD:
        guard._remembered.cache_clear()
    start = time.thread_time()
    for text in texts:
        for guard in STANDARD:
            guard._remembered(text)
    fresh = (time.thread_time() - start) / len(texts)
    best = min(timed(edits) for _ in range(5))
    print(f"\nall guards, a fresh text: {fresh * 1e6:.0f} us, {fresh / embedding_s:.4f} of an embedding")
    print(f"all guards, a remembered pair: {best * 1e6:.1f} us, {best / embedding_s:.5f} of an embedding")


def timed(edits):
    """Seconds of CPU per remembered pair, up to the first veto, as in the cache."""
    start = time.thread_time()
    for one, other in edits:
        vetoed(one, other)
    return (time.thread_time() - start) / len(edits)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--pairs", type=int, default=6000)
    options = parser.parse_args()
    sets = {
        "adversarial, written beforehand": ADVERSARIAL,
        "adversarial, held out": HELD_OUT_ADVERSARIAL,
        "adversarial, later": LATER_ADVERSARIAL,
        "harmless, written beforehand": HARMLESS,
        "harmless, held out": HELD_OUT_HARMLESS,
        "harmless, later": LATER_HARMLESS,
    }
    edits = [pair for lines in sets.values() for each in pairs(lines).values() for pair in each]
    quora = [row for row in lines_of(options.data / "qqp_pairs" / "qqp_pairs.jsonl.gz") if row["split"] == "test"]
    quora = random.Random(0).sample(quora, options.pairs)
    banking = [row for row in lines_of(options.data / "banking77_stream" / "banking77.jsonl.gz") if row["split"] == "test"]
    texts = [text for pair in edits for text in pair] + [row[side] for row in quora for side in ("text_a", "text_b")]
    vectors, embedding_s = embedded(texts + [row["query"] for row in banking])
    for title, lines in sets.items():
        edits_table(title, lines, vectors)
    guards_table(
        "Quora pairs (test half)",
        [(row["label"] == 1, vectors[row["text_a"]] @ vectors[row["text_b"]], row["text_a"], row["text_b"]) for row in quora],
    )
    guards_table("Banking77 (test half), nearest neighbour", list(nearest(banking, vectors)))
    times([text for pair in edits for text in pair], edits, embedding_s)


def nearest(rows, vectors):
    """Each question with its nearest neighbour: whether their intents agree, cosine, texts."""
    matrix = np.stack([vectors[row["query"]] for row in rows])
    likeness = matrix @ matrix.T
    np.fill_diagonal(likeness, -1)
    for place, other in enumerate(likeness.argmax(axis=1)):
        one, two = rows[place], rows[other]
        yield one["label"] == two["label"], likeness[place, other], one["query"], two["query"]


if __name__ == "__main__":
    main()
