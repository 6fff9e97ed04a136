"""Reads a reply to a question of yes or no, by its first word or by the probabilities of it."""

from __future__ import annotations

import re

from frugal_core.scorers.logprobs import probability
from frugal_core.types import Answer

_WORD = re.compile(r"[^\W\d_]+")
_YES, _NO = ("yes", "true", "correct", "right"), ("no", "not", "false", "incorrect", "wrong")
_MEANT = 0.5


def p_yes(reply: Answer) -> float | None:
    """Probability of "yes" as the first word; `None` without log-probabilities, or where the model speaks of something else."""
    token = next((token for token in reply.logprobs if _WORD.search(token.token)), None)
    if token is None:
        return None
    yes = no = 0.0
    for name, logprob in {token.token: token.logprob, **dict(token.top)}.items():
        p = probability(logprob)
        if p is None:
            return None
        word = meaning(name)
        yes, no = yes + p * (word is True), no + p * (word is False)
    return min(1.0, yes) if yes + no >= _MEANT else None


def meaning(text: str) -> bool | None:
    """Whether the first word means yes or no; `None` when it is neither.

    >>> meaning("**Yes**, it is."), meaning("No."), meaning("Maybe")
    (True, False, None)
    """
    found = _WORD.search(text)
    word = found[0].casefold() if found else ""
    return word in _YES if word in _YES or word in _NO else None
