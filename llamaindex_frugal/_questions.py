"""What a request is to the cache: which of its words are the user's own, and all else that its answer depends on.

Similarity is a matter of the user's words alone. Where a prompt template was filled in, as query engines do, they are the value
of `query_str`, which arrives apart from documents, history and instructions; everything else must agree exactly. A template
without it is matched exactly altogether. What comes in messages is the last turn, unless it is too long to be a question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.prompts import BasePromptTemplate

from frugal_core.cache.question import Question, digest, question_of
from frugal_core.types import Message, Query
from llamaindex_frugal._identity import plain

QUERY = "query_str"
"""The variable of LlamaIndex's templates that holds the user's question."""

_MARK = "\x00query\x00"
_SYSTEM = frozenset({MessageRole.SYSTEM, MessageRole.DEVELOPER})


@dataclass(frozen=True, slots=True)
class Slots:
    """How a prompt came about: from a template.

    Attributes:
        asked: The user's question in it; empty where it is not known to have one.
        masked: The messages or text with a mark in place of the question.
    """

    asked: str = ""
    masked: Sequence[ChatMessage] | str = ()


class FilledMessages(list[ChatMessage]):
    """Messages made of a template, which know what was filled in."""

    slots: Slots


class FilledText(str):
    """A prompt made of a template, which knows what was filled in."""

    slots: Slots


def filled_messages(messages: Sequence[ChatMessage], slots: Slots) -> FilledMessages:
    """The same messages, and how they came about."""
    filled = FilledMessages(messages)
    filled.slots = slots
    return filled


def filled_text(text: str, slots: Slots) -> FilledText:
    """The same text, and how it came about."""
    filled = FilledText(text)
    filled.slots = slots
    return filled


def slots_of(prompt: BasePromptTemplate, prompt_args: Mapping[str, Any], llm: Any, fill: Callable[..., Any]) -> Slots:
    """What is filled into a template.

    Args:
        prompt: The template.
        prompt_args: Values of its variables.
        llm: For templates that depend on it.
        fill: Makes messages or a text of it; called with the variables.
    """
    chosen: Any = prompt.select(llm) if hasattr(prompt, "select") else prompt
    asked = {**chosen.kwargs, **prompt_args}.get(QUERY)
    if not isinstance(asked, str) or not asked.strip() or chosen.function_mappings:  # functions may depend on the question
        return Slots()
    masked = fill(**{**prompt_args, QUERY: _MARK})
    texts = [masked] if isinstance(masked, str) else [message.content or "" for message in masked]
    return Slots(asked, masked) if any(_MARK in text for text in texts) else Slots()


def asked_question(
    query: Query,
    slots: Slots | None,
    messages: Sequence[ChatMessage],
    *,
    identity: str,
    namespace: str,
    given: Mapping[str, Any],
    form: Any = None,
    max_turns: int,
) -> Question:
    """The question that a request puts to the cache.

    Args:
        query: The request as policies see it.
        slots: How its prompt came about, where it was made of a template.
        messages: Its messages; empty where it is a text.
        identity: What the answer depends on besides: models, settings and policy.
        namespace: Whose it is.
        given: Call arguments.
        form: What else of the request must agree, as plain JSON data.
        max_turns: Most user turns of a conversation in which a neighbour may answer.

    Raises:
        OpaqueError: A call argument cannot be told from others.
    """
    exactly: dict[str, Any] = {} if form is None else {"form": form}
    if given:
        exactly["given"] = plain(given)
    media = digest(*_media(messages)) if any(map(_has_media, messages)) else ""
    beyond = _beyond_words(messages)
    if beyond:
        exactly["beyond"] = beyond
    if slots is None:
        return question_of(query, identity=identity, namespace=namespace, given=exactly, media=media, max_turns=max_turns)
    if not slots.asked:
        return question_of(query, identity=identity, namespace=namespace, given=exactly, media=media, max_turns=0)
    masked = slots.masked
    turns = 1
    if isinstance(masked, str):
        exactly["prompt"] = masked
    else:
        exactly["prompt"] = [[message.role.value, message.content] for message in masked]
        turns = sum(message.role is MessageRole.USER for message in masked)
    alone = replace(query, messages=[Message("user", slots.asked)], system="")
    return question_of(
        alone,
        identity=identity,
        namespace=namespace,
        given=exactly,
        media=media,
        max_turns=0 if turns > max_turns else 1,
    )


def _beyond_words(messages: Sequence[ChatMessage]) -> list[Any]:
    """What of a conversation the core's projection leaves out, by the place of its turn; for most there is nothing."""
    found: list[Any] = []
    call_ids: list[str | None] = []
    leading = True
    for place, message in enumerate(messages):
        leading = leading and message.role in _SYSTEM
        own: list[Any] = [] if leading or message.role not in _SYSTEM else [message.content]
        for block in message.blocks:
            if isinstance(block, ToolCallBlock):
                call_ids.append(block.tool_call_id)
            elif not isinstance(block, (TextBlock, CachePoint)) and not _is_media(block):
                own.append(plain(block))
        if message.additional_kwargs:
            kwargs = dict(message.additional_kwargs)
            call_id = kwargs.pop("tool_call_id", None)
            if call_id in call_ids:  # ids are random; which call a result belongs to is not
                own.append(call_ids.index(call_id))
            if any(isinstance(block, ToolCallBlock) for block in message.blocks):
                kwargs.pop("tool_calls", None)
            if kwargs:
                own.append(plain(kwargs))
        if own:
            found.append([place, own])
    return found


def _is_media(block: Any) -> bool:
    return block.block_type not in ("text", "tool_call", "cache", "cache_point", "thinking")


def _has_media(message: ChatMessage) -> bool:
    return any(map(_is_media, message.blocks))


def _media(messages: Sequence[ChatMessage]) -> list[Any]:
    """What messages carry besides words; of files, when they were changed last."""
    found: list[Any] = []
    for place, message in enumerate(messages):
        for block in message.blocks:
            if _is_media(block):
                path = getattr(block, "path", None)
                stat = Path(path).stat() if path and Path(path).exists() else None
                found.append([place, block.model_dump(mode="json"), stat and [stat.st_mtime_ns, stat.st_size]])
    return found
