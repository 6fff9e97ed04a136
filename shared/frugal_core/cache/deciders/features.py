"""What tells two questions with one answer from two that only look alike, besides the likeness of their embeddings."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

REMEMBERED = 20_000
"""Texts whose words are remembered: a cached question is met again and again."""

WORDS = 50_000
"""Words whose frequency is counted; the rarest are forgotten beyond that."""

UNKNOWN = math.nan

LEXICAL = (
    "shared_of_all",
    "shared_of_fewer",
    "shared_of_more",
    "shared_weight",
    "rarest_only_asked",
    "rarest_only_cached",
    "weight_only_asked",
    "weight_only_cached",
    "letters",
    "pairs",
    "length_ratio",
    "length",
    "same_start",
    "same_end",
    "same_first",
    "same_asking",
    "same_numbers",
)
"""Names of what `lexical` gives, in its order."""

_ASKING = frozenset(
    (
        *("what", "why", "how", "when", "where", "who", "whom", "whose", "which"),
        *("can", "could", "do", "does", "did", "is", "are", "was", "were", "should", "will", "would"),
    )
)
_WORD = re.compile(r"\w+(?:'\w+)?")
_ENDINGS = ("ings", "ing", "edly", "ies", "ed", "es", "ly", "'s", "s")


class Wording(NamedTuple):
    """A text as it is compared.

    Attributes:
        words: Its words without their endings, in order.
        bag: The same as a set.
        letters: Runs of three letters.
        pairs: Words that follow each other.
        asking: Its question words.
        numbers: Its words with digits in them.
    """

    words: tuple[str, ...]
    bag: frozenset[str]
    letters: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    asking: frozenset[str]
    numbers: frozenset[str]


@lru_cache(REMEMBERED)
def wording(text: str) -> Wording:
    """A text as it is compared: case, punctuation and endings do not count.

    >>> wording("Why are the Cards blocked?").words
    ('why', 'are', 'the', 'card', 'block')
    """
    plain = _WORD.findall(text[:2000].lower())
    words = tuple(_stem(word) for word in plain)
    joined = " " + " ".join(words) + " "
    return Wording(
        words,
        frozenset(words),
        frozenset(joined[place : place + 3] for place in range(len(joined) - 2)),
        frozenset(pairwise(words)),
        _ASKING.intersection(plain),
        frozenset(word for word in words if any(map(str.isdigit, word))),
    )


class Frequencies:
    """How many questions each word occurs in, which says how much it weighs.

    >>> seen = Frequencies()
    >>> for text in ("my card", "my pin", "my card is lost"):
    ...     seen.add(wording(text).bag)
    >>> seen.weight("my") < seen.weight("card") < seen.weight("passport")
    True
    """

    def __init__(self) -> None:
        self.texts = 0
        self._counts: Counter[str] = Counter()

    def add(self, words: Iterable[str]) -> None:
        """Count a question's words."""
        self.texts += 1
        self._counts.update(words)
        if len(self._counts) > 2 * WORDS:
            self._counts = Counter(dict(self._counts.most_common(WORDS)))

    def weight(self, word: str) -> float:
        """From 0 (in every question) to 1 (never met before)."""
        total = self.texts + 2.0
        return 1.0 - math.log(self._counts[word] + 1.0) / math.log(total)


def lexical(asked: str, cached: str, seen: Frequencies) -> list[float]:
    """Numbers that compare the wording of two texts, as named in `LEXICAL`; 0 to 1, but for sums of weights and lengths."""
    one, other = wording(asked), wording(cached)
    shared = one.bag & other.bag
    alone, beside = one.bag - shared, other.bag - shared
    fewer, more = sorted((len(one.bag), len(other.bag)))
    weigh = seen.weight
    common = sum(map(weigh, shared))
    left = [weigh(word) for word in alone]
    right = [weigh(word) for word in beside]
    short, long = sorted((len(one.words), len(other.words)))
    return [
        len(shared) / max(1, fewer + more - len(shared)),
        len(shared) / max(1, fewer),
        len(shared) / max(1, more),
        common / max(1e-9, common + sum(left) + sum(right)),
        max(left, default=0.0),
        max(right, default=0.0),
        sum(left),
        sum(right),
        _dice(one.letters, other.letters),
        _dice(one.pairs, other.pairs),
        short / max(1, long),
        math.log1p(long),
        _alike(one.words, other.words) / max(1, long),
        _alike(one.words[::-1], other.words[::-1]) / max(1, long),
        float(one.words[:1] == other.words[:1]),
        float(one.asking == other.asking),
        float(one.numbers == other.numbers),
    ]


def _stem(word: str) -> str:
    if len(word) > 4:
        for ending in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                return word[: -len(ending)]
    return word


def _dice(one: frozenset[object], other: frozenset[object]) -> float:
    total = len(one) + len(other)
    return 2 * len(one & other) / total if total else 1.0


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words agree before the first that do not."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
