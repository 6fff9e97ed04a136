"""Tool-call ids: what the providers accept, and new names for those that they refuse.

A cascade shows one provider's tool calls to another's, and each has its own idea of an id: Mistral wants nine letters
or digits, Anthropic and Bedrock 64 word characters, OpenAI at most 40 characters of any kind.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

SHORT = re.compile(r".{1,40}", re.DOTALL)
"""OpenAI."""

WORD = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""Anthropic and Bedrock."""

SHORT_WORD = re.compile(r"[a-zA-Z0-9_-]{1,40}")
"""A gateway, which may ask either."""

NINE = re.compile(r"[a-zA-Z0-9]{9}")
"""Mistral."""


def aliases(ids: Iterable[str], accepted: re.Pattern[str]) -> dict[str, str]:
    """Map each id that a provider refuses to nine hexadecimal digits, which every provider accepts.

    Args:
        ids: All ids of a conversation, in any order and number.
        accepted: What the provider takes, matched in full.

    Returns:
        New names for the refused ids alone. They depend on the id, so that a growing conversation keeps them and the
        provider's prompt cache goes on matching; no two ids share one, and none is an id of the conversation.

    >>> aliases(["call_1", "functions.add:0"], WORD)
    {'functions.add:0': '2aab2b9e6'}
    """
    known = dict.fromkeys(ids)
    renamed: dict[str, str] = {}
    given: set[str] = set()
    for call_id in known:
        if not accepted.fullmatch(call_id):
            salted = call_id
            while (alias := hashlib.sha256(salted.encode()).hexdigest()[:9]) in known or alias in given:
                salted += "#"
            renamed[call_id] = alias
            given.add(alias)
    return renamed
