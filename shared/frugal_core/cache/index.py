"""Nearest neighbours among unit vectors, within one partition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats


class VectorIndex:
    """Finds the vectors of a partition that are most like another. Not thread-safe.

    Args:
        numbers: Length of the vectors.
    """

    def __init__(self, numbers: int) -> None:
        self.numbers = numbers
        self._vectors: dict[str, tuple[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._vectors)

    def extend(self, keys: Sequence[str], partitions: Sequence[str], vectors: Floats) -> None:
        """Add vectors, in place of those with the same keys.

        Args:
            keys: Each once.
            partitions: Theirs.
            vectors: Shape (keys, numbers), of unit length; kept as float16.
        """
        rows = np.asarray(vectors, dtype=np.float16)
        for key, partition, row in zip(keys, partitions, rows, strict=True):
            self._vectors[key] = (partition, row)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove vectors; unknown keys are passed over."""
        for key in keys:
            self._vectors.pop(key, None)

    def search(self, partition: str, vector: Floats, count: int, least: float) -> list[tuple[str, float]]:
        """Keys and cosines of the nearest vectors, nearest first.

        Args:
            partition: Where to look.
            vector: Shape (numbers,), of unit length.
            count: Most of them.
            least: Least cosine.
        """
        keys = [key for key, (own, _) in self._vectors.items() if own == partition]
        if not keys:
            return []
        found = np.stack([self._vectors[key][1] for key in keys]).astype(np.float32) @ vector
        order = np.argsort(-found, kind="stable")[:count]
        return [(keys[place], min(1.0, float(found[place]))) for place in order if found[place] >= least]
