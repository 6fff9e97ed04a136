"""Which tokens may come next: the constraints that decoding of numbers, choices and plain text is under."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from frugal_core.playground.tokenizer import Tokenizer

Allowed = Callable[[list[int]], Collection[int]]
"""Takes the ids generated so far and returns those permitted next; `Tokenizer.end` where the output may end."""

_MAX_DIGITS = 15
_MAX_DECIMALS = 4
_NUMBER_PREFIX = re.compile(rf"-?(?:(?:0|[1-9]\d{{0,{_MAX_DIGITS - 1}}})(?:\.\d{{0,{_MAX_DECIMALS}}})?)?")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The numbers from `low` to `high`, both included.

    Examples:
        >>> 3 in Bounds(0, 5), 7.5 in Bounds(0, 5)
        (True, False)
    """

    low: float = -math.inf
    high: float = math.inf

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def plain_text(tokenizer: Tokenizer, *, min_length: int = 1, max_length: int | None = None) -> Allowed:
    """Permit printable text of a length in characters: no special tokens and no bytes.

    Examples:
        >>> tokenizer = Tokenizer()
        >>> allowed = plain_text(tokenizer)
        >>> tokenizer.end in allowed([]), tokenizer.end in allowed(tokenizer.encode("7")), tokenizer.call in allowed([])
        (False, True, False)
    """
    lengths = {token: len(text) for token, text in enumerate(tokenizer.vocabulary) if not _is_named(text)}
    ends = {*lengths, tokenizer.end}

    def allowed(generated: list[int]) -> Collection[int]:
        length = sum(lengths[token] for token in generated)
        if max_length is None:
            return ends if length >= min_length else lengths
        permitted = {token for token, added in lengths.items() if length + added <= max_length}
        return permitted | {tokenizer.end} if length >= min_length or not permitted else permitted

    return allowed


def one_of(tokenizer: Tokenizer, options: Iterable[str]) -> Allowed:
    """Permit exactly these texts.

    Examples:
        >>> tokenizer = Tokenizer()
        >>> allowed = one_of(tokenizer, ["12", "7"])
        >>> sorted(tokenizer.vocabulary[token] for token in allowed([]))
        ['12', '7']
    """
    spelled = [tokenizer.encode(option) for option in options]

    def allowed(generated: list[int]) -> Collection[int]:
        length = len(generated)
        alike = [ids for ids in spelled if ids[:length] == generated]
        return {ids[length] if len(ids) > length else tokenizer.end for ids in alike}

    return allowed


def number(tokenizer: Tokenizer, *, integer: bool = False, bounds: Bounds | None = None) -> Allowed:
    """Permit the numbers of JSON within bounds, without exponents.

    Examples:
        >>> tokenizer = Tokenizer()
        >>> allowed = number(tokenizer, integer=True, bounds=Bounds(10, 12))
        >>> sorted(tokenizer.vocabulary[token] for token in allowed([]))
        ['1', '10', '11', '12']
    """
    within = bounds or Bounds()
    pieces = {token: text for token, text in enumerate(tokenizer.vocabulary) if _NUMBER.fullmatch(text) or text in "-."}

    def allowed(generated: list[int]) -> Collection[int]:
        text = "".join(pieces[token] for token in generated)
        permitted = {token for token, piece in pieces.items() if _can_become_number(text + piece, integer, within)}
        return permitted | {tokenizer.end} if is_number(text, within) or not permitted else permitted

    return allowed


def is_number(text: str, bounds: Bounds) -> bool:
    """Whether a text is a whole number of JSON within bounds."""
    return _NUMBER.fullmatch(text) is not None and float(text) in bounds


def _can_become_number(text: str, integer: bool, bounds: Bounds) -> bool:
    if not _NUMBER_PREFIX.fullmatch(text) or (integer and "." in text):
        return False
    negative = text.startswith("-")
    low, high = (-bounds.high, -bounds.low) if negative else (bounds.low, bounds.high)
    return any(first <= high and last >= low for first, last in _reachable(text.removeprefix("-"), integer))


def _reachable(digits: str, integer: bool) -> list[tuple[float, float]]:
    """Return the ranges that a number beginning with these digits can still be in, its sign left aside."""
    if not digits:
        return [(0.0, math.inf)]
    whole, point, decimals = digits.partition(".")
    if point:
        value, places = float(digits + "0"), len(decimals)
        return [(value, value + 10.0**-places - 10.0**-_MAX_DECIMALS)]
    start = int(whole)
    fraction = 0.0 if integer else 1 - 10.0**-_MAX_DECIMALS
    more = range(1, _MAX_DIGITS - len(whole) + 1) if start else range(0)
    return [(start, start + fraction), *((start * 10.0**n, (start + 1) * 10.0**n - 1 + fraction) for n in more)]


def _is_named(text: str) -> bool:
    """Whether a vocabulary entry is a special token or half a byte, which stand there by name."""
    return len(text) > 1 and text.startswith("<")
