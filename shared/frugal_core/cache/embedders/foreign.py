"""Embedders of LangChain, LlamaIndex and sentence-transformers, and plain functions, known by what they can do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from frugal_core.cache.embedders.base import Embedder, check_text_function, unit_rows

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

_BATCHED = (
    ("embed_documents", "aembed_documents"),  # LangChain
    ("get_text_embedding_batch", "aget_text_embedding_batch"),  # LlamaIndex
    ("encode", None),  # sentence-transformers
)
_NAMES = ("model_name", "model", "model_id", "deployment", "repo_id")


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
        batch: Callable[[list[str]], Any],
        abatch: Callable[[list[str]], Awaitable[Any]] | None = None,
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
    if not isinstance(given, type):
        for one, other in _BATCHED:
            batch = getattr(given, one, None)
            if callable(batch):
                return Foreign(
                    _name(given), fingerprint or _fingerprint(given), batch, getattr(given, other, None) if other else None
                )
    function = check_text_function(given)
    name = _name(given)
    if inspect.iscoroutinefunction(given):
        from frugal_core.errors import ConfigurationError

        raise ConfigurationError(f"embed={name} is async: give a plain function, or an object with embed_documents.")
    return Foreign(name, fingerprint or _fingerprint(given), lambda texts: [function(text) for text in texts])


def _name(given: Any) -> str:
    return getattr(given, "__qualname__", None) or type(given).__name__


def _fingerprint(given: Any) -> str:
    """Class or function, and the name of the model in it."""
    kind = given if hasattr(given, "__qualname__") else type(given)
    names = [str(value) for name in _NAMES if isinstance(value := getattr(given, name, None), str)]
    size = getattr(given, "dimensions", None)
    card = getattr(getattr(given, "model_card_data", None), "base_model", None)
    return ":".join([f"{kind.__module__}.{kind.__qualname__}", *names, *(str(each) for each in (card, size) if each)])
