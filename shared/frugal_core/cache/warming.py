"""Answers that are known before anybody asks: read from what a user gives, and put into the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from frugal_core.cache.lookup import Answered
from frugal_core.cache.options import CacheOptions, cache_options
from frugal_core.cache.question import Question
from frugal_core.errors import ConfigurationError
from frugal_core.learning.lines import read_objects

if TYPE_CHECKING:
    from frugal_core.cache.semantic_cache import SemanticCache

Known: TypeAlias = tuple[Question, CacheOptions, Answered]
"""A question, how it is kept, and its answer."""

Row = TypeVar("Row")

_AT_ONCE = 256


def known_rows(rows: Iterable[Any] | str | Path, read: Callable[[Any, Any], Row | None]) -> Iterator[Row]:
    """What a user gives as known answers.

    Args:
        rows: Pairs of what is asked and its answer; or a file of JSON lines with `question` or `messages`, and `answer`.
        read: From such a pair to what a framework makes of it; `None` where it is none.

    Raises:
        ConfigurationError: A row is something else.
        RecordingsError: The file cannot be read.

    >>> list(known_rows([("Open on Sundays?", "No.")], lambda asked, answer: (asked, answer)))
    [('Open on Sundays?', 'No.')]
    """
    for given, where in _numbered(rows):
        asked, answer = given if isinstance(given, (tuple, list)) and len(given) == 2 else (None, None)
        row = read(asked, answer)
        if row is None:
            raise ConfigurationError(
                f"{where}: {given!r} is no known answer: give a question (or messages) and its answer, in a file as "
                '{"question": …, "answer": …}.'
            )
        yield row


def warm(cache: SemanticCache, rows: Iterator[Row], known: Callable[[Row], Known | None]) -> int:
    """Store known answers, as if models had given them; how many rows there were.

    Args:
        cache: The cache.
        rows: What `known_rows` gives.
        known: A row as the cache takes it, `None` for one that it cannot take. Called under options that renew.
    """
    count = 0
    with cache_options(refresh=True, no_cache=False):
        while part := list(islice(rows, _AT_ONCE)):
            _store(cache, [each for row in part if (each := known(row)) is not None])
            count += len(part)
    return count


def _store(cache: SemanticCache, known: list[Known]) -> None:
    """Store a few, whose questions are embedded in one call."""
    texts = [question.text for question, _, _ in known if question.semantic]
    if texts and cache.embedder is not None:
        cache.embedder.embed(texts)  # it remembers them
    lookups = cache.lookup_many([question for question, _, _ in known], [options for _, options, _ in known])
    for lookup, (_, _, answered) in zip(lookups, known, strict=True):
        lookup.settle(answered)


def _numbered(rows: Iterable[Any] | str | Path) -> Iterator[tuple[Any, str]]:
    if isinstance(rows, (str, Path)):
        for number, row in read_objects(Path(rows)):
            yield (row.get("messages") or row.get("question"), row.get("answer")), f"{rows}, line {number}"
    else:
        for number, given in enumerate(rows):
            yield given, f"row {number}"
