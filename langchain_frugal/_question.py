"""LangChain's messages as a question to the semantic cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage

from frugal_core.cache.question import Question, digest, question_of
from frugal_core.types import Query
from langchain_frugal._convert import conversation, media_blocks, system_prompt


def question_from(
    messages: Sequence[BaseMessage],
    *,
    identity: str,
    namespace: str,
    given: Mapping[str, Any],
    max_turns: int,
    tools: Sequence[Mapping[str, Any]] = (),
    response_format: Mapping[str, Any] | None = None,
) -> Question:
    """Project a conversation onto what its answer depends on. Ids, usage and metadata of its messages are not among that.

    Args:
        messages: The conversation.
        identity: Models with their settings, and the policy.
        namespace: Whose it is.
        given: Call arguments, and whatever else must agree exactly.
        max_turns: Most user turns with which a near neighbour may answer.
        tools: Functions on offer.
        response_format: JSON schema asked for.
    """
    besides = _besides(messages)
    return question_of(
        Query(conversation(messages), (), system=system_prompt(messages), tools=tools, response_format=response_format),
        identity=identity,
        namespace=namespace,
        given={**given, "frugal:besides": besides} if besides else given,
        media=_media(messages),
        max_turns=max_turns,
    )


def _media(messages: Sequence[BaseMessage]) -> str:
    """Digest of what messages carry besides text, with its place. Ids that core made up on the way are left out."""
    blocks = [
        [place, _without_made_up_ids(block)]
        for place, message in enumerate(messages)
        if not isinstance(message.content, str)
        for block in media_blocks(message.content)
    ]
    return digest(blocks) if blocks else ""


def _without_made_up_ids(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _without_made_up_ids(part)
            for name, part in value.items()
            if not (name == "id" and isinstance(part, str) and part.startswith("lc_"))
        }
    return [_without_made_up_ids(part) for part in value] if isinstance(value, list) else value


def _besides(messages: Sequence[BaseMessage]) -> list[Any]:
    """What providers are sent of messages besides roles, texts and calls: names, and which call a result belongs to."""
    told: list[Any] = []
    calls: dict[str | None, int] = {}
    begun = False
    for place, message in enumerate(messages):
        own: list[Any] = [part for part in (message.name, getattr(message, "role", None)) if part]
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                calls[call["id"]] = len(calls)
        elif message.additional_kwargs:
            own.append(message.additional_kwargs)
        if isinstance(message, ToolMessage):
            own += [calls.get(message.tool_call_id), message.status]
        if isinstance(message, SystemMessage):
            own += ["system"] if begun else []
        else:
            begun = True
        if own:
            told.append([place, *own])
    return told
