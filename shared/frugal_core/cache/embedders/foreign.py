"""Embedders of LangChain, LlamaIndex and sentence-transformers, and plain functions, known by what they can do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from frugal_core.cache.embedders.base import Embedder, check_text_function, unit_rows
from frugal_core.cache.embedders.fingerprints import METHODS, fingerprint_of, name_of
from frugal_core.errors import ConfigurationError

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats


Batch: TypeAlias = Callable[[list[str]], Any]
ABatch: TypeAlias = Callable[[list[str]], Awaitable[Any]]


class Foreign(Embedder):
    """An object that is no `Embedder`, behind the face of one.

    Args:
        name: Of the object, in messages.
        fingerprint: Tells its vectors from others'.
        batch: From texts to vectors.
        abatch: The same, awaited, where the object is natively asynchronous.
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        batch: Batch,
        abatch: ABatch | None = None,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self._batch = batch
        self._abatch = abatch

    def __repr__(self) -> str:
        return f"Foreign({self.name})"

    def embed(self, texts: Sequence[str]) -> Floats:
        """One call for all."""
        return unit_rows(self._batch(list(texts)), len(texts), self.name)

    async def aembed(self, texts: Sequence[str]) -> Floats:
        """One call for all, awaited where that is possible, else in a thread."""
        if self._abatch is None:
            return await asyncio.to_thread(self.embed, texts)
        return unit_rows(await self._abatch(list(texts)), len(texts), self.name)


def foreign(given: Any, fingerprint: str | None) -> Embedder:
    """An embedder made of an object of another library; see `as_embedder`."""
    name = name_of(given)
    if inspect.iscoroutinefunction(given):
        raise ConfigurationError(f"embed={name} is async: give a plain function, or an object with embed_documents.")
    batch, abatch = _batched(given)
    return Foreign(name, fingerprint or fingerprint_of(given), batch, abatch)


def _batched(given: Any) -> tuple[Batch, ABatch | None]:
    """How an object or function embeds many texts, and how it does so natively asynchronous, if it does."""
    if not isinstance(given, (type, str)):
        for method, made in zip(METHODS, (_langchain, _llamaindex, _sentence_transformers), strict=True):
            if callable(getattr(given, method, None)):
                return made(given)
    function = check_text_function(given)
    return lambda texts: [function(text) for text in texts], None


def _langchain(given: Any) -> tuple[Batch, ABatch | None]:
    return given.embed_documents, getattr(given, "aembed_documents", None)


def _llamaindex(given: Any) -> tuple[Batch, ABatch | None]:
    """Asynchronous only where its class has written that for many texts: LlamaIndex's own way is one call for each text."""
    kind = type(given)
    own = _definer(kind, "_aget_text_embeddings") is not _definer(kind, "aget_text_embedding_batch")
    return given.get_text_embedding_batch, getattr(given, "aget_text_embedding_batch", None) if own else None


def _definer(kind: type, name: str) -> type | None:
    return next((each for each in kind.__mro__ if name in each.__dict__), None)


def _sentence_transformers(given: Any) -> tuple[Batch, ABatch | None]:
    """One call at a time: its tokenizer is changed by each, and a model fills the processor alone."""
    lock = Lock()
    options = {"show_progress_bar": False} if hasattr(given, "state_dict") else {}

    def encode(texts: list[str]) -> Any:
        with lock:
            return given.encode(texts, **options)

    return encode, None
