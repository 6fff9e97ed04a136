"""Constraints permit exactly what they promise: every output that can be decoded is enumerated."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from frugal_core.playground.grammar import Allowed, Bounds, number, one_of, plain_text
from frugal_core.playground.tokenizer import Tokenizer

TOKENIZER = Tokenizer()


def outputs(allowed: Allowed, begun: tuple[int, ...] = ()) -> Iterator[str]:
    for token in allowed(list(begun)):
        if token == TOKENIZER.end:
            yield TOKENIZER.decode(begun)
        else:
            yield from outputs(allowed, (*begun, token))


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 120), (-12, -10), (-101, 3), (98, 1002), (-5, -5), (7, 6)])
def test_integers_within_bounds(low: int, high: int) -> None:
    written = {text for text in outputs(number(TOKENIZER, integer=True, bounds=Bounds(low, high))) if text != ""}
    minus_zero = {"-0"} if low <= 0 <= high else set()
    assert written - minus_zero == {str(value) for value in range(low, high + 1)}


def test_decimals_within_bounds() -> None:
    written = set(outputs(number(TOKENIZER, bounds=Bounds(-0.001, 0.0021))))
    values = {float(text) for text in written}
    assert values == {step / 10_000 for step in range(-10, 22)}
    assert {"0", "0.0021", "-0.001", "-0.0010"} <= written


def test_numbers_without_bounds_are_json_numbers() -> None:
    allowed = number(TOKENIZER)
    for text in ("0", "-17", "3.25", "123456789012345"):
        ids = TOKENIZER.encode(text)
        assert all(ids[place] in allowed(ids[:place]) for place in range(len(ids)))
        assert TOKENIZER.end in allowed(ids)
    for text in ("", "-", "3."):
        assert TOKENIZER.end not in allowed(TOKENIZER.encode(text))
    zero = TOKENIZER.encode("0")
    assert {TOKENIZER.vocabulary[token] for token in allowed(zero)} == {".", "<|end|>"}


def test_exactly_the_options() -> None:
    options = ["Rome", "Romania", "12", "123", "你好", "the whole text"]
    assert sorted(outputs(one_of(TOKENIZER, options))) == sorted(options)


@pytest.mark.parametrize(("shortest", "longest"), [(1, 1), (0, 1)])
def test_plain_text_within_lengths(shortest: int, longest: int) -> None:
    written = set(outputs(plain_text(TOKENIZER, min_length=shortest, max_length=longest)))
    assert {len(text) for text in written} == set(range(shortest, longest + 1))
    assert all(text.isprintable() for text in written)
    assert len(written) > 90


def test_plain_text_without_limit_never_has_special_tokens() -> None:
    allowed = plain_text(TOKENIZER)
    for begun in ([], TOKENIZER.encode("What is")):
        permitted = {TOKENIZER.vocabulary[token] for token in allowed(begun)}
        assert {text for text in permitted if len(text) > 1 and text.startswith("<")} == ({"<|end|>"} if begun else set())


def test_bounds_contain_their_ends() -> None:
    assert all(value in Bounds(-1, 2) for value in (-1, 0.5, 2))
    assert not any(value in Bounds(-1, 2) for value in (-1.01, 2.01, math.inf, math.nan))
