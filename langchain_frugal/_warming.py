"""Puts known answers into the semantic cache, before anybody has asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from frugal_core.cache import Answered, cache_options
from frugal_core.cache.options import current_options
from frugal_core.errors import ConfigurationError
from frugal_core.learning.lines import read_objects
from langchain_frugal._payload import to_payload

if TYPE_CHECKING:
    from langchain_frugal._semantic import SemanticFront

Rows: TypeAlias = "Iterable[tuple[LanguageModelInput, str | AIMessage]] | str | Path"
"""Inputs with their answers, or a file of them."""

_AT_ONCE = 256


def warm(front: SemanticFront, rows: Rows) -> int:
    """Store known answers; how many there were.

    Args:
        front: The cache, and who would answer otherwise.
        rows: Inputs with their answers; or a file of JSON lines with `question` or `messages`, and `answer`.

    Raises:
        ConfigurationError: A row is something else.
        RecordingsError: The file cannot be read.
    """
    known, count = _known(rows), 0
    with cache_options(refresh=True, no_cache=False):
        while part := list(islice(known, _AT_ONCE)):
            _store(front, part)
            count += len(part)
    return count


def _store(front: SemanticFront, known: Sequence[tuple[LanguageModelInput, AIMessage]]) -> None:
    """Store a few, whose questions are embedded in one call."""
    options = current_options()
    questions = [front.question(input, RunnableConfig(), options) for input, _ in known]
    texts = [question.text for question in questions if question.semantic]
    embedder = front.cache.embedder
    if embedder is not None and texts:
        embedder.embed(texts)  # it remembers them
    lookups = front.cache.lookup_many(questions, [options] * len(questions))
    for lookup, (_, answer) in zip(lookups, known, strict=True):
        lookup.settle(Answered(answer.text, to_payload(answer) or "", semantic=not answer.tool_calls))


def _known(rows: Rows) -> Iterator[tuple[LanguageModelInput, AIMessage]]:
    if isinstance(rows, (str, Path)):
        for number, row in read_objects(Path(rows)):
            yield _pair((row.get("messages") or row.get("question"), row.get("answer")), f"{rows}, line {number}")
    else:
        for number, given in enumerate(rows):
            yield _pair(given, f"row {number}")


def _pair(row: Any, where: str) -> tuple[LanguageModelInput, AIMessage]:
    input, answer = row if isinstance(row, (tuple, list)) and len(row) == 2 else (None, None)
    if not input or not isinstance(answer, (str, AIMessage)):
        raise ConfigurationError(
            f"{where}: {row!r} is no known answer: give a question (or messages) and its answer, in a file as "
            '{"question": …, "answer": …}.'
        )
    if isinstance(input, list):
        input = [tuple(each) if isinstance(each, list) else each for each in input]
    return input, answer if isinstance(answer, AIMessage) else AIMessage(answer)
