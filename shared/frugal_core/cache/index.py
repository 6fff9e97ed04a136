"""Nearest neighbours among unit vectors, within one partition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from frugal_core.cache.segment import Segment
from frugal_core.errors import ConfigurationError

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

_ROWS = 32
"""Bits of a place that say the row; those above say the segment."""


class VectorIndex:
    """Finds the vectors of a partition that are most like another. Not thread-safe.

    Every partition has its own segment of memory, so a search never sees another partition's vectors. Vectors are kept as
    float16, and similarities are exact for these.

    Args:
        numbers: Length of the vectors.
    """

    def __init__(self, numbers: int) -> None:
        if numbers < 1:
            raise ConfigurationError(f"numbers={numbers!r} is the length of the vectors: 1 or more.")
        self.numbers = numbers
        self._segments: list[Segment | None] = []
        self._unused: list[int] = []
        self._partitions: dict[str, int] = {}
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def nbytes(self) -> int:
        """Bytes set aside for vectors, without keys."""
        return sum(segment.nbytes for segment in self._segments if segment is not None)

    def extend(self, keys: Sequence[str], partitions: Sequence[str], vectors: Floats) -> None:
        """Add vectors, in place of those with the same keys.

        Args:
            keys: Each once.
            partitions: Theirs.
            vectors: Shape (keys, numbers), of unit length; kept as float16. What is not of unit length, as a file that was
                damaged may hold, is like nothing.

        Raises:
            ConfigurationError: The shape is another.
        """
        rows = np.asarray(vectors).astype(np.float16, copy=False)
        if rows.shape != (len(keys), self.numbers) or len(partitions) != len(keys):
            raise ConfigurationError(
                f"{len(keys)} keys and {len(partitions)} partitions came with vectors of shape {rows.shape}: the index takes "
                f"one vector of {self.numbers} numbers for each key."
            )
        if not self._places.keys().isdisjoint(keys):
            self.remove(keys)
        for partition, chosen in _by_partition(partitions).items():
            own = keys if chosen is None else [keys[place] for place in chosen]
            number = self._partitions.get(partition)
            if number is None:
                number = self._new_segment(partition)
            segment = self._segments[number]
            assert segment is not None
            start = (number << _ROWS) + len(segment)
            segment.extend(own, rows if chosen is None else rows[chosen])
            self._places.update(zip(own, range(start, start + len(own)), strict=True))

    def remove(self, keys: Iterable[str]) -> None:
        """Remove vectors; unknown keys are passed over."""
        for key in keys:
            place = self._places.pop(key, None)
            if place is None:
                continue
            number = place >> _ROWS
            segment = self._segments[number]
            assert segment is not None
            moved = segment.remove(place & ((1 << _ROWS) - 1))
            if moved is not None:
                self._places[moved] = place
            if not segment:
                self._segments[number] = None
                self._unused.append(number)
                del self._partitions[segment.partition]

    def search(self, partition: str, vector: Floats, count: int, least: float) -> list[tuple[str, float]]:
        """Keys and cosines of the nearest vectors, nearest first.

        Args:
            partition: Where to look.
            vector: Shape (numbers,), of unit length.
            count: Most of them.
            least: Least cosine. Above about .4, a large partition is searched faster the greater it is, by a filter that is
                checked on the data to let pass what it should.

        Raises:
            ConfigurationError: The shape is another.
        """
        query = np.ascontiguousarray(vector, dtype=np.float32)
        if query.shape != (self.numbers,):
            raise ConfigurationError(f"A vector of shape {query.shape} was looked for among vectors of {self.numbers} numbers.")
        number = self._partitions.get(partition)
        segment = None if number is None else self._segments[number]
        return [] if segment is None or count < 1 else segment.search(query, count, least)

    def _new_segment(self, partition: str) -> int:
        segment = Segment(partition, self.numbers)
        if self._unused:
            number = self._unused.pop()
            self._segments[number] = segment
        else:
            number = len(self._segments)
            self._segments.append(segment)
        self._partitions[partition] = number
        return number


def _by_partition(partitions: Sequence[str]) -> dict[str, list[int] | None]:
    """The places of each partition's keys; `None` for all."""
    if not partitions:
        return {}
    if all(partition == partitions[0] for partition in partitions):
        return {partitions[0]: None}
    places: dict[str, list[int]] = {}
    for place, partition in enumerate(partitions):
        places.setdefault(partition, []).append(place)
    return {**places}
