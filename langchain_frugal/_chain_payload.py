"""What chains return as plain JSON: texts, messages, documents, and lists and mappings of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables.utils import AddableDict

from langchain_frugal._payload import from_payload, replayed, text_pieces, to_payload

_KIND = "frugal:kind"
_ANSWERS = ("answer", "output", "result", "text")


def encoded(value: Any, turns: Callable[[Sequence[BaseMessage]], str] | None = None) -> Any:
    """A value as plain JSON data.

    Args:
        value: The value.
        turns: How messages are written for a key, where they need not come back; without, only models' own can be written.

    Raises:
        TypeError: Something in it would not come back the same.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, BaseMessage):
        written = turns([value]) if turns else to_payload(value) if isinstance(value, AIMessage) else None
        if written is None:
            raise TypeError(f"A {type(value).__name__} cannot be kept.")
        return {_KIND: "message", "json": written}
    if isinstance(value, Document):
        return {_KIND: "document", "id": value.id, "text": value.page_content, "metadata": encoded(value.metadata, turns)}
    if type(value) in (dict, AddableDict) and _KIND not in value and all(isinstance(name, str) for name in value):
        return {name: encoded(part, turns) for name, part in value.items()}
    if type(value) is list:
        return [encoded(part, turns) for part in value]
    raise TypeError(f"A {type(value).__name__} cannot be kept.")


def decoded(data: Any) -> Any:
    """A new value made of what `encoded` wrote.

    Raises:
        ValueError: A message cannot be read.
    """
    if isinstance(data, list):
        return [decoded(part) for part in data]
    if not isinstance(data, dict):
        return data
    if data.get(_KIND) == "message":
        message = from_payload(data["json"])
        if message is None:
            raise ValueError("A kept message cannot be read.")
        return message
    if data.get(_KIND) == "document":
        return Document(data["text"], id=data["id"], metadata=decoded(data["metadata"]))
    return {name: decoded(part) for name, part in data.items()}


def in_pieces(value: Any) -> Iterator[Any]:
    """A value as a stream: texts and messages word by word, others whole."""
    if isinstance(value, str):
        return text_pieces(value)
    if isinstance(value, AIMessage):
        return replayed(value)
    return iter([AddableDict(value) if isinstance(value, dict) else value])


def text_in(value: Any) -> str:
    """What of an output is compared with another's."""
    if isinstance(value, AIMessage):
        return value.text
    if isinstance(value, Mapping):
        return next((text_in(value[name]) for name in _ANSWERS if name in value), str(value))
    return value if isinstance(value, str) else "" if value is None else str(value)
