"""Answers that rest on documents: how a cache knows that they still do.

A `Validator` is handed to `SemanticCache.lookup(..., valid=...)`. Every entry that is about to answer is shown to it, the exact
one and each near neighbour; one that no longer holds is removed from the store, and the next is tried. What an entry is held
against stands in its tags, written there by the validator's `noted` before the answer is settled:

    valid = SameDocuments(retrieve)                          # or SameVersion(version), or None for no check
    lookup = cache.lookup(question, options, valid=valid)
    if lookup.hit is None:
        documents = retrieve(question.text)
        lookup.options = valid.noted(lookup.options, documents)
        lookup.settle(answer_from(documents))
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

from frugal_core.cache.entry import Entry
from frugal_core.cache.options import CacheOptions
from frugal_core.cache.question import digest
from frugal_core.errors import ConfigurationError

Document: TypeAlias = tuple[str, str]
"""A document's identifier (empty where it has none) and its text."""


class Validator(ABC):
    """Says whether a stored answer still holds. Thread-safe."""

    @abstractmethod
    def valid(self, entry: Entry) -> bool:
        """Whether it does; an entry for which it does not is removed."""

    async def avalid(self, entry: Entry) -> bool:
        """As `valid`, without blocking the event loop."""
        return await asyncio.to_thread(self.valid, entry)


class SameDocuments(Validator):
    """An answer holds while its own question still retrieves the same documents, unchanged and in any order.

    The entry's question is what is retrieved for, not the one that was asked: whether these two mean the same is for guards and
    decider to say, and only the former proves that the entry is stale.

    Args:
        retrieve: From a question to its documents.
        aretrieve: The same, awaited; without, `retrieve` runs in a thread.
    """

    def __init__(
        self,
        retrieve: Callable[[str], Iterable[Document]],
        aretrieve: Callable[[str], Awaitable[Iterable[Document]]] | None = None,
    ) -> None:
        self._retrieve = retrieve
        self._aretrieve = aretrieve

    def valid(self, entry: Entry) -> bool:
        """Whether its documents are those it was given from."""
        return documents_tag(self._retrieve(entry.question)) in entry.tags

    async def avalid(self, entry: Entry) -> bool:
        """As `valid`, awaited."""
        if self._aretrieve is None:
            return await asyncio.to_thread(self.valid, entry)
        return documents_tag(await self._aretrieve(entry.question)) in entry.tags

    @staticmethod
    def noted(options: CacheOptions, documents: Iterable[Document]) -> CacheOptions:
        """Options that keep with an answer which documents it rests on, for this check and for `invalidate(document=…)`."""
        found = list(documents)
        names = dict.fromkeys(name for name, _ in found if name)
        own = tuple(name for name in names if name not in options.documents)
        return replace(options, documents=(*options.documents, *own), tags=(*options.tags, documents_tag(found)))


class SameVersion(Validator):
    """An answer holds while the version of what it rests on is the same: an index's build, or a time of its last change.

    Args:
        version: The version, or a function that says it at each call.

    Raises:
        ConfigurationError: It is neither.
    """

    def __init__(self, version: str | Callable[[], str]) -> None:
        if not isinstance(version, str) and not callable(version):
            raise ConfigurationError(
                f"version={version!r} must be a text such as a build's number, or a function that gives one."
            )
        self._version = version

    def valid(self, entry: Entry) -> bool:
        """Whether it was given from this version."""
        return self._tag() in entry.tags

    async def avalid(self, entry: Entry) -> bool:
        """As `valid`: it has nothing to wait for, unless the version is a function's."""
        return self.valid(entry) if isinstance(self._version, str) else await asyncio.to_thread(self.valid, entry)

    def noted(self, options: CacheOptions) -> CacheOptions:
        """Options that keep the version with an answer. To be taken before the answer is made, not after."""
        return replace(options, tags=(*options.tags, self._tag()))

    def _tag(self) -> str:
        return f"version:{self._version if isinstance(self._version, str) else self._version()}"


def documents_tag(documents: Iterable[Document]) -> str:
    """The tag of an answer that was given from these documents: it changes with their texts and identifiers, not their order.

    >>> documents_tag([("1", "a"), ("2", "b")]) == documents_tag([("2", "b"), ("1", "a")])
    True
    >>> documents_tag([("1", "a")]) == documents_tag([("1", "a, since 2024")])
    False
    """
    return f"documents:{digest(*sorted({(name, text) for name, text in documents}))}"
