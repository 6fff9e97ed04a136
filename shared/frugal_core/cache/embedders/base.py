"""What every embedder is: from texts to directions, and a fingerprint that says which embedder it was."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from frugal_core.errors import ConfigurationError, ScorerError

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats


class Embedder(ABC):
    """Turns texts into vectors of unit length. Thread-safe.

    Called with a text it gives that text's vector alone, so it serves wherever an `embed` function is wanted: scorers and
    predictors that are given the cache's embedder embed no query twice.

    Attributes:
        fingerprint: Tells vectors apart that must never be compared: it changes with model, weights and precision.
    """

    fingerprint: str

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> Floats:
        """Shape (texts, numbers), float32, rows of unit length.

        Raises:
            Exception: Whatever the model behind it raises.
        """

    async def aembed(self, texts: Sequence[str]) -> Floats:
        """As `embed`, without blocking the event loop."""
        return await asyncio.to_thread(self.embed, texts)

    def __call__(self, text: str) -> Sequence[float]:
        """One text's vector."""
        vector: Sequence[float] = self.embed([text])[0]
        return vector


def as_embedder(given: Any, *, fingerprint: str | None = None) -> Embedder:
    """The embedder for what a user may give.

    Args:
        given: An `Embedder`; an object with `embed_documents` (LangChain's `Embeddings`), `get_text_embedding_batch`
            (LlamaIndex's `BaseEmbedding`) or `encode` (a model of sentence-transformers); or a function of a text.
        fingerprint: Tells its vectors from others'. Default: made from its class, its settings and its weights, or from a
            function's code and what it refers to; give one where that says too little or changes without need.

    Returns:
        One that remembers the texts it met last.

    Raises:
        ConfigurationError: It turns no text into a vector.
    """
    from frugal_core.cache.embedders.foreign import foreign
    from frugal_core.cache.embedders.remembering import Remembering

    if isinstance(given, Remembering):
        return given
    return Remembering(given if isinstance(given, Embedder) else foreign(given, fingerprint))


def unit_rows(vectors: Any, count: int, name: str) -> Floats:
    """Vectors as float32 rows of unit length, checked.

    Raises:
        ScorerError: They are not `count` vectors of one length, of finite numbers, and longer than 0.
    """
    import numpy as np

    try:
        rows = np.asarray(vectors, dtype=np.float32) if count else np.empty((0, 1), dtype=np.float32)
    except (TypeError, ValueError):
        rows = np.empty(0, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != count or not rows.shape[1]:
        raise ScorerError(f"The embedder {name} gave no {count} vectors of one length. Mend it, or give another one.")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ScorerError(f"The embedder {name} gave a vector that is zero or not finite. Mend it, or give another one.")
    return rows / lengths  # type: ignore[no-any-return]


def check_text_function(given: Any) -> Callable[[str], Sequence[float]]:
    """A function from a text to a vector.

    Raises:
        ConfigurationError: It is none.
    """
    if not callable(given) or isinstance(given, type):
        raise ConfigurationError(
            f"embed={given!r} turns no text into a vector: give LangChain's Embeddings, LlamaIndex's BaseEmbedding, a model of "
            "sentence-transformers, or a function from a text to a vector."
        )
    return given  # type: ignore[no-any-return]
