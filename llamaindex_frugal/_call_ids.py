"""Ids of tool calls that the next provider accepts: each call its own, each result its call's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from frugal_core.tool_call_ids import aliases
from llamaindex_frugal._tool_calls import calls_of

TOLD = frozenset({MessageRole.TOOL, MessageRole.FUNCTION})
SAID = frozenset({MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL})


def call_names(messages: Sequence[ChatMessage], accepted: re.Pattern[str]) -> list[tuple[str, ...]]:
    """Give each tool call an id that the provider accepts and no other call has, and each result its call's.

    Ollama's calls have no id and Gemini's on Vertex have their tool's name, which their results repeat: the same one
    for every call of a tool. Anthropic wants unique ids, and all who want ids refuse a missing one.

    Returns:
        Per message the ids of its calls, or of the call whose result it is.
    """
    ids = [_ids(message) for message in messages]
    taken = set(chain.from_iterable(ids))
    counts: Counter[str] = Counter()
    waiting: list[tuple[str, str]] = []
    latest: dict[str, str] = {}
    names: list[tuple[str, ...]] = []
    for message, own in zip(messages, ids, strict=True):
        if message.role in TOLD:
            fresh = [_answered(call_id, waiting, latest) for call_id in own]
        else:
            fresh = [_unique(call_id, counts, taken) for call_id in own]
            waiting = [pair for pair in waiting if pair[0] not in own] + list(zip(own, fresh, strict=True))
        names.append(tuple(name for name in fresh if name))
    renamed = aliases(chain.from_iterable(names), accepted)
    return [tuple(renamed.get(name, name) for name in own) for own in names]


def _ids(message: ChatMessage) -> tuple[str, ...]:
    """The ids a turn repeats; a call without one goes by its tool's name."""
    if message.role in TOLD:
        known = message.additional_kwargs
        return (str(known.get("tool_call_id") or known.get("call_id") or ""),)
    if message.role in SAID:
        return tuple(call.tool_call_id or call.tool_name for call in calls_of(message))
    return ()


def _unique(call_id: str, counts: Counter[str], taken: Collection[str]) -> str:
    counts[call_id] += 1
    name = call_id
    while counts[call_id] > 1 and (name := f"{call_id}#{counts[call_id]}") in taken:
        counts[call_id] += 1
    return name


def _answered(call_id: str, waiting: list[tuple[str, str]], latest: dict[str, str]) -> str:
    """The name of the call that a result answers: the oldest unanswered one of its id, of any if it has none itself."""
    for place, (known, name) in enumerate(waiting):
        if known == call_id or not call_id:
            del waiting[place]
            latest[known] = name
            return name
    return latest.get(call_id, call_id)
