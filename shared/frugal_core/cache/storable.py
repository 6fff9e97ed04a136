"""Which answers are worth keeping."""

from __future__ import annotations

import re

from frugal_core.decision import Decision
from frugal_core.policies.flaws import flaw_of
from frugal_core.types import Answer

UNSERIALIZABLE = "unserializable"
"""The objection of a framework against an answer that holds something that is no plain data."""

_UNSURE = frozenset({"budget_spent", "no_signal"})

_REFUSAL = re.compile(
    r"""\s*
    (?: (?: i(?:['’]?m|\ am)\ (?:really\ |very\ |so\ )?sorry | sorry | unfortunately | i\ apologi[sz]e | my\ apologies
            | as\ an\ ai\b )
        [^.!?\n]{0,100}? [\s,.;:—–-]\s* (?:but\ )? (?:as\ an\ ai[^,.\n]{0,60},\ )? )?
    i (?:
        (?: ['’]m | \ am )? \s* (?: can(?:no|['’]|\ no)?t | unable\ to | not\ (?:able|allowed)\ to | won['’]t | will\ not
            | (?:must|have\ to)\ decline ) \b
        (?: \ (?: be\ able\ to | to ) )?
        \ (?: help | assist | answer | provide | comply | do\ that | discuss | fulfill? | complete | support | create | generate
            | continue ) \b
      | (?: ['’]m | \ am )\ not\ comfortable | \ (?:do\ not|don['’]t)\ feel\ comfortable
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)


def objection_to(answer: Answer, decision: Decision | None = None, temperature: float | None = None) -> str | None:
    """Why an answer should not be served again; `None` where nothing speaks against it.

    Args:
        answer: The answer.
        decision: How it was chosen, where it was.
        temperature: It was sampled at, where one was set.

    Returns:
        One of `"truncated"`, `"filtered"`, `"invalid"`, `"empty"`, `"refusal"`, `"low_confidence"` and `"sampled"`.

    >>> objection_to(Answer("I'm sorry, but I can't help with that.")), objection_to(Answer("Paris"), temperature=0.7)
    ('refusal', 'sampled')
    """
    flaw = flaw_of(answer)
    if flaw is not None:
        return flaw
    if any(call.error for call in answer.tool_calls):
        return "invalid"
    if is_refusal(answer.text):
        return "refusal"
    if decision is not None and _low_confidence(decision):
        return "low_confidence"
    return "sampled" if temperature else None


def is_refusal(text: str) -> bool:
    """Whether a text begins as models begin when they refuse, in English.

    >>> is_refusal("I cannot assist with that request."), is_refusal("I can't open the jar means that it is stuck.")
    (True, False)
    """
    return _REFUSAL.match(text) is not None


def _low_confidence(decision: Decision) -> bool:
    """Whether the answer was served although its score did not reach the threshold, or had none."""
    served = next((step for step in decision.steps if step.accepted), None)
    if served is None:
        return False
    below = served.score is not None and served.threshold is not None and served.score < served.threshold
    return below or served.reason in _UNSURE
