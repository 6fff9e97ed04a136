"""How far apart the bits of like vectors may lie: measured on the vectors at hand, and checked against their cosines.

Vectors at an angle differ in a share of their sign bits that grows with the angle, but how closely it does depends on the
embedder. So nothing is assumed: pairs at known cosines are made from the data, their bits are counted, and the vectors that
brute force finds alike must pass as well. Where such a filter would let through too much to be worth its time, there is none.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np

from frugal_core.cache.sign_bits import Bits, Halves, bits_of, differences, widened

FIRST = 2
"""Words that are looked at first."""

SAMPLE = 2048
"""Most vectors that are looked at."""

_LEVELS = np.cos(np.linspace(np.arccos(0.3), 0.0, 25)).tolist()
_PAIRS = 64
_QUERIES = 32
_SIGMAS = 4.0
_WORTH_FIRST = 0.2
_WORTH = 0.4


@dataclass(frozen=True)
class Reach:
    """How many bits may differ.

    Attributes:
        first: Among the bits of the first two words; `None` where these tell too little.
        whole: Among all.
    """

    first: int | None
    whole: int


@dataclass(frozen=True, eq=False)
class HammingFilter:
    """Which vectors cannot be as like as is wanted, told by their bits.

    Attributes:
        centre: float16, shape (numbers,): the mean, from which the bits say the direction.
        reaches: By cosine, as in `_LEVELS`; `None` where the filter is not worth its time.
    """

    centre: Halves
    reaches: tuple[Reach | None, ...]

    def reach(self, least: float) -> Reach | None:
        """How far apart vectors of such a cosine or a greater one lie; `None` where the filter is not worth its time."""
        level = bisect_right(_LEVELS, least)
        return self.reaches[level - 1] if level else None


def measured_filter(rows: Halves) -> HammingFilter | None:
    """The filter for vectors; `None` where none is worth its time.

    Args:
        rows: Some of them, float16, shape (rows, numbers), two or more.
    """
    chance = np.random.default_rng(0)
    wide = widened(rows)
    centre = wide.mean(axis=0).astype(np.float16)
    bits = bits_of(rows, centre)
    asked = chance.permutation(len(rows))[:_QUERIES]
    apart = _both(bits[:, None, :], bits[:, asked, None])
    radii = np.maximum(_made(wide, centre, chance), _found(wide[asked] @ wide.T, apart))
    radii = np.ceil(np.maximum.accumulate(radii[:, ::-1], axis=1)[:, ::-1])  # who is less alike is no nearer
    reaches = tuple(_reach(int(first), int(whole), apart) for first, whole in radii.T)
    return HammingFilter(centre, reaches) if any(reaches) else None


def _reach(first: int, whole: int, apart: Any) -> Reach | None:
    """These radii, if few enough of the vectors drawn at random lie within them."""
    of_first, of_whole = ((some <= radius).mean() for some, radius in zip(apart, (first, whole), strict=True))
    if of_whole > _WORTH:
        return None
    return Reach(first if of_first <= _WORTH_FIRST else None, whole)


def _made(wide: Any, centre: Halves, chance: np.random.Generator) -> Any:
    """Radii by which pairs at these cosines would pass, where vectors change in the directions in which they differ."""
    picked = chance.integers(len(wide), size=(3, _PAIRS))
    start, away = wide[picked[0]], wide[picked[1]] - wide[picked[2]]
    away += 1e-3 * chance.standard_normal(away.shape, dtype=np.float32)  # between equal vectors there is no direction
    away -= (away * start).sum(axis=1, keepdims=True) * start
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    cosines = np.array(_LEVELS, dtype=np.float32)[:, None, None]
    ends = (cosines * start + np.sqrt(1 - cosines**2) * away).astype(np.float16)
    bits = bits_of(ends.reshape(-1, wide.shape[1]), centre)
    begin = np.tile(bits_of(start.astype(np.float16), centre), len(_LEVELS))
    apart = _both(bits, begin).reshape(2, len(_LEVELS), _PAIRS)
    return apart.mean(axis=2) + _SIGMAS * apart.std(axis=2)


def _found(cosines: Any, apart: Any) -> Any:
    """Radii within which all lie that are so much alike."""
    near = [cosines >= level - 0.01 for level in _LEVELS]
    return np.array([[np.max(some, where=where, initial=0) for where in near] for some in apart], dtype=float)


def _both(bits: Bits, others: Bits) -> Any:
    """Differences in the first words and in all, shape (2, …)."""
    return np.stack([differences(bits[:FIRST], others[:FIRST]), differences(bits, others)])
