"""Vectors as bits: on which side of a centre each of their numbers lies, and in how many two vectors differ."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Halves: TypeAlias = Any
"""Array of float16."""

Bits: TypeAlias = Any
"""Array of uint64, shape (words, vectors), so that one word of many vectors lies side by side."""

_SCALE = np.float32(2.0**112)
_MASK = np.int32(-0x70000001)  # all but the bits 28 to 30
_SIDES = np.int16(0x7FFF)
_BITS_OF = np.array([bin(number).count("1") for number in range(1 << 16)], dtype=np.uint8)


def widened(rows: Halves, room: Any = None) -> Any:
    """float16 as float32, of finite numbers only: several times as fast as numpy's own conversion.

    Args:
        rows: Shape (rows, numbers), contiguous.
        room: Contiguous int32 of the same shape to work in; the result lies there.
    """
    whole = np.empty(rows.shape, dtype=np.int32) if room is None else room
    np.copyto(whole, rows.view(np.int16))
    np.left_shift(whole, 13, out=whole)
    np.bitwise_and(whole, _MASK, out=whole)
    wide = whole.view(np.float32)
    np.multiply(wide, _SCALE, out=wide)  # the exponents' difference
    return wide


def words_for(numbers: int) -> int:
    """Words of 64 bits that hold one bit for each number."""
    return -(-numbers // 64)


def bits_of(rows: Halves, centre: Halves) -> Bits:
    """On which side of the centre each number lies.

    Args:
        rows: float16, shape (rows, numbers), contiguous.
        centre: float16, shape (numbers,).
    """
    return packed(_ordered(rows) > _ordered(centre))


def packed(sides: Any) -> Bits:
    """Truth values, shape (rows, numbers), as bits."""
    count, numbers = sides.shape
    octets = np.zeros((count, words_for(numbers) * 8), dtype=np.uint8)
    octets[:, : -(-numbers // 8)] = np.packbits(sides, axis=1)
    return np.ascontiguousarray(octets.view(np.uint64).T)


def ones_by_instruction(words: Bits, out: Any) -> None:
    """How many bits are set in each word, by numpy 2's own function."""
    np.bitwise_count(words, out=out)


def ones_by_table(words: Bits, out: Any) -> None:
    """The same by a table, where numpy is older."""
    quarters = _BITS_OF[np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape, 4)]
    np.sum(quarters, axis=-1, dtype=np.uint8, out=out)


ones = ones_by_instruction if hasattr(np, "bitwise_count") else ones_by_table


def differences(bits: Bits, others: Bits) -> Any:
    """In how many bits vectors differ, uint16; the shapes without the words are broadcast."""
    apart = np.bitwise_xor(bits, others)
    counts = np.empty(apart.shape, dtype=np.uint8)
    ones(apart, counts)
    return counts.sum(axis=0, dtype=np.uint16)


def _ordered(rows: Halves) -> Any:
    """Whole numbers in the order of the float16s that have these bits."""
    whole = rows.view(np.int16)
    return whole ^ ((whole >> 15) & _SIDES)
