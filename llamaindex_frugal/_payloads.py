"""Responses as JSON and back: what a cache keeps of them. Every reading makes a new object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, ToolCallBlock
from pydantic import ValidationError

from llamaindex_frugal._convert import Response

NO_USAGE: Mapping[str, int] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
"""What a hit reports: no token was read or written for it."""

PIECES = 16
"""Most pieces of a text that is replayed as a stream."""

_TOKENS = frozenset({*NO_USAGE, "input_tokens", "output_tokens", "frugal", "usage"})


def write_response(response: Response, tier: str | None) -> str | None:
    """A response as JSON: its message, and by whom it is; `None` where that is no JSON.

    Its log-probabilities and the provider's own form of it are left out.

    Args:
        response: A model's response, whole.
        tier: Name of the tier it is from.
    """
    kept: dict[str, Any] = {"tier": tier}
    additional = {name: value for name, value in response.additional_kwargs.items() if name not in _TOKENS and _is_json(value)}
    if additional:
        kept["additional"] = additional
    if isinstance(response, CompletionResponse):
        return json.dumps({**kept, "text": response.text}, ensure_ascii=False)
    message = response.message
    if any(isinstance(block, ToolCallBlock) for block in message.blocks):  # an integration's own form beside them says no more
        own = {name: value for name, value in message.additional_kwargs.items() if name != "tool_calls"}
        message = message.model_copy(update={"additional_kwargs": own})
    if not _is_json(message.additional_kwargs):
        return None
    try:
        return json.dumps({**kept, "message": message.model_dump(mode="json")}, ensure_ascii=False)
    except (TypeError, ValueError):
        return None


def read_response(payload: str) -> Response | None:
    """The response that was written; `None` for what is none."""
    try:
        kept = json.loads(payload)
        additional = kept.get("additional", {})
        raw = {"usage": dict(NO_USAGE), "tier": kept["tier"]}
        if "text" in kept:
            return CompletionResponse(text=kept["text"], raw=raw, additional_kwargs=additional)
        message = ChatMessage.model_validate(kept["message"])
        return ChatResponse(message=message, raw=raw, additional_kwargs=additional)
    except (ValueError, TypeError, KeyError, AttributeError, ValidationError):
        return None


def maker_of(response: Response) -> str | None:
    """Name of the tier that a cached response is from; `None` where it is no cached one."""
    return response.raw.get("tier") if isinstance(response.raw, dict) and response.raw.get("usage") == NO_USAGE else None


def replayed(response: Response) -> Iterator[Response]:
    """A response as a stream of some pieces, the last of which is the response itself."""
    text = response.text if isinstance(response, CompletionResponse) else response.message.content or ""
    pieces = in_pieces(text)
    so_far = ""
    for piece in pieces[:-1]:
        so_far += piece
        if isinstance(response, CompletionResponse):
            yield CompletionResponse(text=so_far, delta=piece)
        else:
            yield ChatResponse(message=ChatMessage(so_far, role=response.message.role), delta=piece)
    yield response.model_copy(update={"delta": pieces[-1]})


def in_pieces(text: str) -> list[str]:
    """A text in pieces of whole words, which together are the text.

    >>> in_pieces("To be or not.")
    ['To ', 'be ', 'or ', 'not.']
    """
    words = re.findall(r"\s*\S+\s*", text) or [text]
    size = -(-len(words) // PIECES)
    return ["".join(words[first : first + size]) for first in range(0, len(words), size)]


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
