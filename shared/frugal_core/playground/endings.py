"""Where an output ends: after a number of tokens, or before a text that the caller has named."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from frugal_core.playground.language_model import GeneratedToken

FinishReason = Literal["stop", "length", "tool_calls"]

Tokens = Generator[GeneratedToken, None, FinishReason]
"""Tokens, and as the generator's value why they ended."""


def limited(tokens: Iterator[GeneratedToken], limit: int | None) -> Tokens:
    """End with "length" after so many tokens, `None` for no limit, and otherwise for the reason the tokens end with."""
    written = 0
    while limit is None or written < limit:
        try:
            token = next(tokens)
        except StopIteration as end:
            return end.value or "stop"
        written += 1
        yield token
    return "length"


def until(tokens: Tokens, stops: Sequence[str]) -> Tokens:
    """End before the first of the texts in `stops`; tokens that may be the beginning of one are held back."""
    held: list[GeneratedToken] = []
    while True:
        try:
            held.append(next(tokens))
        except StopIteration as end:
            yield from held
            reason: FinishReason = end.value
            return reason
        text = "".join(token.text for token in held)
        found = [place for stop in stops if (place := text.find(stop)) >= 0]
        if found:
            yield from _cut(held, min(found))
            return "stop"
        safe = len(text) - max((_overlap(text, stop) for stop in stops), default=0)
        while held and len(held[0].text) <= safe:
            safe -= len(held[0].text)
            yield held.pop(0)


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of `text` begin `stop`."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


def _cut(tokens: Sequence[GeneratedToken], length: int) -> Iterator[GeneratedToken]:
    for token in tokens:
        if length <= 0:
            return
        yield token if len(token.text) <= length else replace(token, text=token.text[:length])
        length -= len(token.text)
