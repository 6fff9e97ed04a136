"""Margin sampling: how clearly the first answer token beat the second most likely one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from frugal_core.errors import ConfigurationError
from frugal_core.saving import saveable
from frugal_core.scorers.base import Scorer
from frugal_core.types import Answer, Query, TokenLogprob

_JSON_VALUE = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[?\s*"?')


@saveable("margin")
@dataclass(frozen=True)
class Margin(Scorer):
    """Probability of the first answer token minus that of its strongest rival (Ramírez, Birch & Titov 2024, section 3).

    Blank tokens before the answer are passed over; in an answer that must be JSON, so is the frame up to the first value.

    Attributes:
        classes: In a classification: the class names. Probabilities are then summed over the tokens that begin each name and
            compared between classes.
        tokens: Take the least margin over this many first answer tokens.
        ignore_overlaps: A rival that is contained in the token, or contains it ("Par" and "Paris"), is the same answer spelled
            otherwise and is passed over, as the paper does for question answering. Two numbers are never the same answer.

    The score is `None` without log-probabilities, or with alternatives that leave no rival and no bound on one.
    """

    classes: Sequence[str] | None = None
    tokens: int = 1
    ignore_overlaps: bool = True
    needs_logprobs = True

    def __post_init__(self) -> None:
        if self.classes is not None:
            object.__setattr__(self, "classes", tuple(self.classes))
            if len(set(self.classes)) < 2:
                raise ConfigurationError(f"classes={self.classes!r}: a margin needs at least two different class names.")
        if not isinstance(self.tokens, int) or self.tokens < 1:
            raise ConfigurationError(f"tokens={self.tokens!r} is out of range: it is a number of tokens, 1 or more.")

    def __call__(self, query: Query, answer: Answer) -> float | None:
        """Margin in [0, 1], or `None`."""
        start = _answer_start(answer.logprobs, structured=query.response_format is not None)
        margins = [self._margin(token) for token in answer.logprobs[start : start + self.tokens]]
        known = [margin for margin in margins if margin is not None]
        return min(known) if margins and len(known) == len(margins) else None

    def _margin(self, token: TokenLogprob) -> float | None:
        if len(token.top) < 2:
            return None
        probabilities = {name: exp(logprob) for name, logprob in token.top}
        if self.classes is not None:
            return _class_margin(probabilities, self.classes)
        best, *rivals = sorted(probabilities.items(), key=lambda item: -item[1])
        rival = next((p for name, p in rivals if not (self.ignore_overlaps and _overlap(best[0], name))), None)
        if rival is None:
            # All that is shown is the same answer; a hidden rival is at most as likely as the last shown, and as the rest.
            rival = min(rivals[-1][1], max(0.0, 1.0 - sum(probabilities.values())))
        return _clip(best[1] - rival)


def _class_margin(probabilities: dict[str, float], classes: Sequence[str]) -> float | None:
    """Margin between classes; a token that could begin several counts for each of them."""
    mass = dict.fromkeys(classes, 0.0)
    for token, probability in probabilities.items():
        start = token.strip().casefold()
        for name in classes:
            if start and (name.casefold().startswith(start) or start == name.casefold()):
                mass[name] += probability
    first, second = sorted(mass.values(), reverse=True)[:2]
    return _clip(first - second) if first > 0 else None


def _answer_start(logprobs: Sequence[TokenLogprob], *, structured: bool) -> int:
    """Index of the token that begins the answer proper."""
    skip = 0
    if structured:
        frame = _JSON_VALUE.match("".join(token.token for token in logprobs))
        skip = frame.end() if frame else 0
    position = 0
    for index, token in enumerate(logprobs):
        position += len(token.token)
        if position > skip and token.token.strip():
            return index
    return len(logprobs)


def _overlap(one: str, other: str) -> bool:
    one, other = one.strip().casefold(), other.strip().casefold()
    if one != other and one.isdigit() and other.isdigit():
        return False
    return one in other or other in one


def _clip(margin: float) -> float:
    return min(1.0, max(0.0, margin))
