"""Messages as the semantic cache keeps them: plain JSON, which is validated when it is read, never `load` or pickle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from pydantic_core import PydanticSerializationError, to_json

from langchain_frugal._convert import to_chunk

_PIECES = re.compile(r"\S+\s*|\s+")


def to_payload(message: AIMessage) -> str | None:
    """A message as JSON, without its id and its decision; `None` where something in it is no plain data."""
    whole: Any = message_chunk_to_message(message) if isinstance(message, AIMessageChunk) else message
    metadata = {name: value for name, value in whole.response_metadata.items() if name != "frugal"}
    reported: Any = whole.usage_metadata or {}
    usage = {name: value for name, value in reported.items() if name != "total_cost"} if "input_tokens" in reported else None
    kept = whole.model_copy(update={"id": None, "response_metadata": metadata, "usage_metadata": usage})
    try:
        return to_json(kept, inf_nan_mode="constants").decode()
    except PydanticSerializationError:
        return None


def from_payload(payload: str) -> AIMessage | None:
    """A new message made of what `to_payload` wrote, marked as core marks what comes from a cache; `None` where it is none."""
    try:
        message = AIMessage.model_validate_json(payload)
    except ValueError:
        return None
    usage: Any = {**(message.usage_metadata or {}), "total_cost": 0}
    message.usage_metadata = usage
    return message


def replayed(message: AIMessage) -> Iterator[AIMessageChunk]:
    """A whole message as a stream, word by word. The chunks add up to `to_chunk(message)`."""
    content = message.content
    if isinstance(content, str) and message.name is None:  # a sum of chunks has no name
        for piece in text_pieces(content):
            yield AIMessageChunk(content=piece, id=message.id)
        message = message.model_copy(update={"content": ""})
    yield to_chunk(message)


def text_pieces(text: str) -> Iterator[str]:
    """A text word by word.

    >>> list(text_pieces(" It is  Paris."))
    [' ', 'It ', 'is  ', 'Paris.']
    """
    return (found.group() for found in _PIECES.finditer(text))
