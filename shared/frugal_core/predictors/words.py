"""What a text is about, in a few numbers: latent semantic analysis of hashed words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING
from zlib import crc32

from frugal_core.errors import ConfigurationError
from frugal_core.predictors.query_features import words_of
from frugal_core.predictors.table import Table
from frugal_core.saving import saveable

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

BUCKETS = 2048
"""Into which words are hashed, the same ones in every process and version."""

DIRECTIONS = 16
"""Most numbers that a text is reduced to; one for every 20 texts learned from at most."""

_TEXTS = 4000
_ROUNDS = 4


@saveable("word_directions")
@dataclass(frozen=True)
class WordDirections:
    """The directions in which texts differ most by their words (Deerwester et al. 1990), learned without any label.

    Words are hashed, weighed by their rarity (inverse document frequency), and each text counts alike whatever its length. No
    word is kept, only hashes of them.

    Attributes:
        table: A row per bucket: the square of the weight of its words, then what they add in each direction.

    >>> texts = ["how tall is it", "tall towers in town", "add two numbers", "numbers to add up"] * 20
    >>> directions = WordDirections.fit(texts)
    >>> one, other, far = map(directions, ("a tall tower", "how tall is the town", "add up two"))
    >>> def alike(a, b):
    ...     return sum(x * y for x, y in zip(a, b))
    >>> alike(one, other) > alike(one, far)
    True
    """

    table: Table

    def __post_init__(self) -> None:
        if len(self.table.rows) != BUCKETS or self.table.width < 2:
            raise ConfigurationError(
                f"Saved word directions have {len(self.table.rows)} rows of {self.table.width}, not {BUCKETS} of 2 or more: "
                "they were changed, or are of another version. Learn them anew."
            )

    @classmethod
    def fit(cls, texts: Sequence[str]) -> WordDirections | None:
        """Learn from texts.

        Args:
            texts: Of 4,000 or more, about 4,000 evenly spaced ones are looked at.

        Returns:
            The directions; `None` from fewer than 20 texts, or when no word occurs in two of them.
        """
        import numpy as np

        size = min(DIRECTIONS, len(texts) // 20)
        counts = _bags(texts[:: -(-len(texts) // _TEXTS)] if texts else [])
        seen = counts.sum(axis=0)
        weights = np.where(seen >= 2, np.log((1 + len(counts)) / (1 + seen)), 0.0)
        bags = counts * weights
        bags /= np.maximum(np.linalg.norm(bags, axis=1, keepdims=True), np.finfo(float).tiny)
        axes = _axes(bags, size)
        if not axes.shape[1]:
            return None
        return cls(Table.of(np.hstack([weights[:, None] ** 2, weights[:, None] * axes])))

    @property
    def size(self) -> int:
        """How many numbers a text is reduced to."""
        return self.table.width - 1

    def __call__(self, text: str) -> list[float]:
        """The place of a text along each direction, within [-1, 1]; all 0 if it has no known word."""
        rows = self.table.rows
        columns = [rows[bucket] for bucket in _buckets(text)]
        if not columns:
            return [0.0] * self.size
        square, *sums = map(sum, zip(*columns, strict=True))
        length = sqrt(square)
        return [total / length for total in sums] if length else [0.0] * self.size


def _buckets(text: str) -> set[int]:
    """Buckets of the words of a text, each once: how often a word is repeated says little of what is asked."""
    return {crc32(word) % BUCKETS for word in set(words_of(text))}


def _bags(texts: Sequence[str]) -> Floats:
    """Shape (texts, buckets): 1 where a text has a word of the bucket."""
    import numpy as np

    bags = np.zeros((len(texts), BUCKETS))
    for row, text in enumerate(texts):
        bags[row, list(_buckets(text))] = 1.0
    return bags


def _axes(bags: Floats, size: int) -> Floats:
    """Leading right singular vectors, shape (buckets, size or fewer), by subspace iteration from a fixed start."""
    import numpy as np

    basis = np.random.default_rng(0).standard_normal((bags.shape[1], size + 8))
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(bags.T @ (bags @ basis))
    _, strengths, axes = np.linalg.svd(bags @ basis, full_matrices=False)
    strong = int((strengths[:size] > 1e-9).sum())
    result: Floats = basis @ axes[:strong].T
    return result
