"""Answers that are known before anybody asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from llama_index.core.base.llms.types import ChatMessage

from frugal_core.errors import ConfigurationError
from frugal_core.learning.lines import read_objects

Rows: TypeAlias = "Iterable[tuple[str | Sequence[ChatMessage], str]] | str | Path"
"""Questions or conversations with their answers, or a file of them."""


def known_answers(rows: Rows) -> Iterator[tuple[list[ChatMessage], str]]:
    """Conversations with their answers, from what a user may give.

    Args:
        rows: Pairs of a question, or of messages, and the answer; or the path of a file of JSON lines with `question` or
            `messages`, and `answer`.

    Raises:
        ConfigurationError: A row is something else.
        RecordingsError: The file cannot be read.

    >>> [(messages[0].content, answer) for messages, answer in known_answers([("Open on Sundays?", "No.")])]
    [('Open on Sundays?', 'No.')]
    """
    if isinstance(rows, (str, Path)):
        for number, row in read_objects(Path(rows)):
            yield _pair((row.get("messages") or row.get("question"), row.get("answer")), f"{rows}, line {number}")
        return
    for number, given in enumerate(rows):
        yield _pair(given, f"row {number}")


def _pair(row: Any, where: str) -> tuple[list[ChatMessage], str]:
    asked, answer = row if isinstance(row, (tuple, list)) and len(row) == 2 else (None, None)
    messages = [asked] if isinstance(asked, str) and asked else asked
    if not isinstance(messages, (list, tuple)) or not messages or not isinstance(answer, str):
        raise ConfigurationError(
            f"{where}: {row!r} is no known answer: give a question (or messages) and its answer, in a file as "
            '{"question": …, "answer": …}.'
        )
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
