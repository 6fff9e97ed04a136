"""The vectors of one partition: side by side in memory, in blocks, with their bits where there are many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from frugal_core.cache.hamming_filter import FIRST, SAMPLE, HammingFilter, Reach, measured_filter
from frugal_core.cache.sign_bits import Bits, Halves, bits_of, ones, widened, words_for

BLOCK = 32_768
"""Vectors of a full block."""

FEWEST = 256
"""Vectors from which bits may be worth their while; below, brute force is as fast."""

_AT_ONCE = 512
_AGAIN = 4
_TOLERANCE = 0.02


class _Block:
    """Room for vectors and their bits.

    Attributes:
        rows: float16, shape (room, numbers).
        bits: Theirs, shape (words, room); `None` without a filter.
    """

    __slots__ = ("bits", "rows")

    def __init__(self, room: int, numbers: int) -> None:
        self.rows: Halves = np.empty((room, numbers), dtype=np.float16)
        self.bits: Bits | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the room."""
        return int(self.rows.nbytes) + (0 if self.bits is None else int(self.bits.nbytes))


class Segment:
    """Vectors of one partition, found by brute force or by a filter and brute force among what it lets through.

    Blocks are full but the last, so a vector's row says where it is. Growing copies one block at most, and what is removed is
    replaced by the last.

    Args:
        partition: Its name.
        numbers: Length of the vectors.
    """

    __slots__ = ("_blocks", "_checked", "_filter", "_keys", "_numbers", "partition")

    def __init__(self, partition: str, numbers: int) -> None:
        self.partition = partition
        self._numbers = numbers
        self._keys: list[str] = []
        self._blocks: list[_Block] = []
        self._filter: HammingFilter | None = None
        self._checked = 0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        """Bytes set aside for vectors."""
        return sum(block.nbytes for block in self._blocks)

    def extend(self, keys: Sequence[str], rows: Halves) -> None:
        """Add vectors at the end.

        Args:
            keys: Theirs, none of which is here.
            rows: float16, shape (keys, numbers).
        """
        done = 0
        while done < len(keys):
            begin = (len(self._keys) + done) % BLOCK
            count = min(BLOCK - begin, len(keys) - done)
            block = self._room(begin, begin + count)
            own = block.rows[begin : begin + count]
            own[:] = rows[done : done + count]
            _clear_damaged(own)
            if self._filter is not None:
                assert block.bits is not None
                block.bits[:, begin : begin + count] = bits_of(own, self._filter.centre)
            done += count
        self._keys += keys

    def remove(self, row: int) -> str | None:
        """Take a vector out.

        Args:
            row: Where it is.

        Returns:
            Key of the vector that took its place, if one did.
        """
        last = len(self._keys) - 1
        key = self._keys.pop()
        end = self._blocks[-1]
        if row != last:
            self._keys[row] = key
            block = self._blocks[row // BLOCK]
            block.rows[row % BLOCK] = end.rows[last % BLOCK]
            if block.bits is not None and end.bits is not None:
                block.bits[:, row % BLOCK] = end.bits[:, last % BLOCK]
        if last % BLOCK == 0:
            self._blocks.pop()
        elif len(self._blocks) == 1 and last * 4 <= len(end.rows):
            self._blocks[0] = self._moved(end, last, last * 2)
        return None if row == last else key

    def search(self, query: Any, count: int, least: float) -> list[tuple[str, float]]:
        """Keys and cosines of the nearest vectors, nearest first; see `VectorIndex.search`. The query is float32."""
        size = len(self._keys)
        if size >= FEWEST and size >= _AGAIN * self._checked:
            self._check()
        reach = None if self._filter is None else self._filter.reach(least)
        found = self._all(query) if reach is None else self._within(query, reach)
        rows, cosines = found[0] if len(found) == 1 else (np.concatenate(parts) for parts in zip(*found, strict=True))
        near = np.flatnonzero(cosines >= least)
        if len(near) > count:
            near = near[np.argpartition(-cosines[near], count - 1)[:count]]
        near = near[np.argsort(-cosines[near], kind="stable")]
        return [(self._keys[rows[place]], float(cosines[place])) for place in near]

    def _all(self, query: Any) -> list[tuple[Any, Any]]:
        """Rows and cosines of all vectors, by block."""
        room = np.empty((min(_AT_ONCE, len(self._keys)), self._numbers), dtype=np.int32)
        found = []
        for first, size, block in self._filled():
            cosines = np.empty(size, dtype=np.float32)
            for begin in range(0, size, _AT_ONCE):
                some = block.rows[begin : min(begin + _AT_ONCE, size)]
                np.matmul(widened(some, room[: len(some)]), query, out=cosines[begin : begin + len(some)])
            found.append((np.arange(first, first + size), np.minimum(cosines, 1, out=cosines)))
        return found

    def _within(self, query: Any, reach: Reach) -> list[tuple[Any, Any]]:
        """Rows and cosines of the vectors that the filter lets through, by block."""
        assert self._filter is not None
        wanted = bits_of(query.astype(np.float16)[None, :], self._filter.centre)
        found = []
        for first, size, block in self._filled():
            assert block.bits is not None
            rows = _passing(block.bits[:, :size], wanted, reach)
            cosines = np.empty(len(rows), dtype=np.float32)
            for begin in range(0, len(rows), _AT_ONCE):
                some = block.rows[rows[begin : begin + _AT_ONCE]]
                np.matmul(widened(some), query, out=cosines[begin : begin + len(some)])
            found.append((rows + first, np.minimum(cosines, 1, out=cosines)))
        return found

    def _filled(self) -> list[tuple[int, int, _Block]]:
        """The first row of each block, how many there are, and the block."""
        size = len(self._keys)
        return [(first, min(BLOCK, size - first), self._blocks[first // BLOCK]) for first in range(0, size, BLOCK)]

    def _check(self) -> None:
        """Measure the filter anew, on vectors from everywhere."""
        size = len(self._keys)
        self._checked = size
        chosen = np.arange(size) if size <= SAMPLE else np.random.default_rng(0).choice(size, SAMPLE, replace=False)
        parts = [block.rows[chosen[chosen // BLOCK == first // BLOCK] % BLOCK] for first, _, block in self._filled()]
        self._filter = measured_filter(np.concatenate(parts))
        for _, count, block in self._filled():
            block.bits = None
            if self._filter is not None:
                block.bits = np.empty((words_for(self._numbers), len(block.rows)), dtype=np.uint64)
                for begin in range(0, count, SAMPLE):
                    end = min(begin + SAMPLE, count)
                    block.bits[:, begin:end] = bits_of(block.rows[begin:end], self._filter.centre)

    def _room(self, begin: int, end: int) -> _Block:
        """The last block with room for rows up to `end`, of which `begin` are there."""
        if begin == 0:
            self._blocks.append(_Block(0, self._numbers))
        last = self._blocks[-1]
        if end > len(last.rows):
            room = max(end, BLOCK if len(self._blocks) > 1 else min(BLOCK, 2 * begin))
            self._blocks[-1] = last = self._moved(last, begin, room)
        return last

    def _moved(self, block: _Block, count: int, room: int) -> _Block:
        """A block with other room for the same vectors."""
        moved = _Block(room, self._numbers)
        moved.rows[:count] = block.rows[:count]
        if self._filter is not None:
            moved.bits = np.empty((words_for(self._numbers), room), dtype=np.uint64)
            if block.bits is not None:
                moved.bits[:, :count] = block.bits[:, :count]
        return moved


def _passing(bits: Bits, wanted: Bits, reach: Reach) -> Any:
    """Vectors whose bits differ in no more than may be: by the first words at first, if these tell enough."""
    if reach.first is None:
        return np.flatnonzero(_counted(bits, wanted) <= reach.whole)
    apart = _counted(bits[:FIRST], wanted[:FIRST])
    near = np.flatnonzero(apart <= reach.first)
    total = apart[near].astype(np.uint16)
    counts = np.empty(len(near), dtype=np.uint8)
    for own, (word,) in zip(bits[FIRST:], wanted[FIRST:], strict=True):
        ones(own[near] ^ word, counts)
        np.add(total, counts, out=total)
    return near[total <= reach.whole]


def _counted(bits: Bits, wanted: Bits) -> Any:
    """In how many bits each vector differs, word by word, which takes the least memory."""
    size = bits.shape[1]
    apart, counts = np.empty(size, dtype=np.uint64), np.empty(size, dtype=np.uint8)
    total = np.zeros(size, dtype=np.uint8 if len(bits) <= 3 else np.uint16)  # 3 words have 192 bits
    for own, (word,) in zip(bits, wanted, strict=True):
        np.bitwise_xor(own, word, out=apart)
        ones(apart, counts)
        np.add(total, counts, out=total)
    return total


def _clear_damaged(rows: Halves) -> None:
    """Write zeros over what is no vector of unit length, as of a damaged file: its cosines would mean nothing."""
    for begin in range(0, len(rows), _AT_ONCE):
        some = rows[begin : begin + _AT_ONCE]
        wide = widened(some)
        squares = np.einsum("ij,ij->i", wide, wide)
        damaged = ~(np.abs(squares - 1) <= 2 * _TOLERANCE)
        if damaged.any():
            some[damaged] = 0
