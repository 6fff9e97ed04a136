"""Puts known answers into the semantic cache, before anybody has asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from frugal_core.cache import Answered, warming
from frugal_core.cache.options import current_options
from langchain_frugal._payload import to_payload

if TYPE_CHECKING:
    from langchain_frugal._semantic import SemanticFront

Rows: TypeAlias = "Iterable[tuple[LanguageModelInput, str | AIMessage]] | str | Path"
"""Inputs with their answers, or a file of them."""


def warm(front: SemanticFront, rows: Rows) -> int:
    """Store known answers; how many there were.

    Args:
        front: The cache, and who would answer otherwise.
        rows: Inputs with their answers; or a file of JSON lines with `question` or `messages`, and `answer`.

    Raises:
        ConfigurationError: A row is something else.
        RecordingsError: The file cannot be read.
    """

    def known(row: tuple[LanguageModelInput, AIMessage]) -> warming.Known:
        input, answer = row
        options = current_options()
        answered = Answered(answer.text, to_payload(answer) or "", semantic=not answer.tool_calls)
        return front.question(input, RunnableConfig(), options), options, answered

    return warming.warm(front.cache, warming.known_rows(rows, _read), known)


def _read(asked: Any, answer: Any) -> tuple[LanguageModelInput, AIMessage] | None:
    if not asked or not isinstance(answer, (str, AIMessage)):
        return None
    if isinstance(asked, list):
        asked = [tuple(each) if isinstance(each, list) else each for each in asked]
    return asked, answer if isinstance(answer, AIMessage) else AIMessage(answer)
