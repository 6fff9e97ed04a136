"""Margin sampling: how clearly the first answer token beat the second most likely one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frugal_core.errors import ConfigurationError
from frugal_core.saving import saveable
from frugal_core.scorers.base import Scorer
from frugal_core.scorers.logprobs import probability
from frugal_core.types import Answer, Query, TokenLogprob

_JSON_FRAME = re.compile(r'(?:\s*(?:\{\s*"(?:[^"\\]|\\.)*"\s*:|\[))+\s*"?')
_NUMBER = re.compile(r"[-+]?[$€£]?\d[\d.,]*%?")


@saveable("margin")
@dataclass(frozen=True)
class Margin(Scorer):
    """Probability of the first answer token minus that of its strongest rival (Ramírez, Birch & Titov 2024, section 3).

    Blank tokens before the answer are passed over; in an answer that must be JSON, so is the frame up to the first value. A
    token that was sampled against a likelier rival has margin 0: what the model would rather have said lends it nothing.

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
            names = () if isinstance(self.classes, str) else tuple(self.classes)
            if len({name.casefold() for name in names if isinstance(name, str) and name.strip()}) < max(2, len(names)):
                raise ConfigurationError(f"classes={self.classes!r}: a margin needs at least two class names, all different.")
            object.__setattr__(self, "classes", names)
        if not isinstance(self.tokens, int) or isinstance(self.tokens, bool) or self.tokens < 1:
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
        shown = {name: probability(logprob) for name, logprob in ((token.token, token.logprob), *token.top)}
        probabilities = {name: p for name, p in shown.items() if p is not None}
        if len(probabilities) < len(shown):
            return None
        if self.classes is not None:
            return _class_margin(token.token, probabilities, self.classes)
        same = {name for name in probabilities if name == token.token or (self.ignore_overlaps and _overlap(token.token, name))}
        rivals = [p for name, p in probabilities.items() if name not in same]
        # Where all that is shown is the same answer, a hidden rival is at most as likely as the last shown, and as the rest.
        last = min(probabilities[name] for name, _ in token.top)
        rival = max(rivals) if rivals else min(last, max(0.0, 1.0 - sum(probabilities.values())))
        return _clip(max(probabilities[name] for name in same) - rival)


def _class_margin(said: str, probabilities: Mapping[str, float], classes: Sequence[str]) -> float | None:
    """Margin between classes; a token that could begin several counts for each of them."""
    mass = {name: sum(p for token, p in probabilities.items() if _begins(token, name)) for name in classes}
    best = max(classes, key=lambda name: (_begins(said, name), mass[name]))  # the class that was said, if one was
    return _clip(mass[best] - max(mass[name] for name in classes if name != best)) if mass[best] > 0 else None


def _begins(token: str, name: str) -> bool:
    start = token.strip(" \t\r\n\"'").casefold()
    return start != "" and name.strip().casefold().startswith(start)


def _answer_start(logprobs: Sequence[TokenLogprob], *, structured: bool) -> int:
    """Index of the token that begins the answer proper."""
    skip = 0
    if structured:
        frame = _JSON_FRAME.match("".join(token.token for token in logprobs))
        skip = frame.end() if frame else 0
    position = 0
    for index, token in enumerate(logprobs):
        position += len(token.token)
        if position > skip and token.token.strip():
            return index
    return len(logprobs)


def _overlap(one: str, other: str) -> bool:
    one, other = one.strip().casefold(), other.strip().casefold()
    if one != other and _NUMBER.fullmatch(one) and _NUMBER.fullmatch(other):
        return False
    return one in other or other in one


def _clip(margin: float) -> float:
    return min(1.0, max(0.0, margin))
