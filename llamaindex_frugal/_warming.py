"""Answers that are known before anybody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from llama_index.core.base.llms.types import ChatMessage

from frugal_core.cache.warming import known_rows

Rows: TypeAlias = "Iterable[tuple[str | Sequence[ChatMessage], str]] | str | Path"
"""Questions or conversations with their answers, or a file of them."""


def known_answers(rows: Rows) -> Iterator[tuple[list[ChatMessage], str]]:
    """Conversations with their answers, from what a user may give; see `known_rows`.

    >>> [(messages[0].content, answer) for messages, answer in known_answers([("Open on Sundays?", "No.")])]
    [('Open on Sundays?', 'No.')]
    """
    return known_rows(rows, _read)


def _read(asked: Any, answer: Any) -> tuple[list[ChatMessage], str] | None:
    messages = [asked] if isinstance(asked, str) and asked else asked
    if not isinstance(messages, (list, tuple)) or not messages or not isinstance(answer, str):
        return None
    return [_message(each) for each in messages], answer


def _message(given: Any) -> ChatMessage:
    if isinstance(given, ChatMessage):
        return given
    if isinstance(given, str):
        return ChatMessage(given)
    if isinstance(given, Mapping):
        return ChatMessage(**given)
    role, text = given
    return ChatMessage(text, role=role)
