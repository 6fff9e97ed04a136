"""What makes an answer unusable whatever its score."""

from __future__ import annotations

from frugal_core.decision import Reason
from frugal_core.types import Answer


def flaw_of(answer: Answer) -> Reason | None:
    """Why an answer is unusable, `None` where it is not: it was cut off or filtered, could not be parsed, or is empty.

    >>> flaw_of(Answer("It is", finish_reason="length")), flaw_of(Answer(" ")), flaw_of(Answer("Paris"))
    ('truncated', 'empty', None)
    """
    if answer.finish_reason == "length":
        return "truncated"
    if answer.finish_reason == "content_filter":
        return "filtered"
    if answer.parsing_error is not None:
        return "invalid"
    if not answer.tool_calls and answer.parsed is None and not answer.text.strip():
        return "empty"
    return None
