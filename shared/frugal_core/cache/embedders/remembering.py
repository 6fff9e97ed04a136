"""An embedder that remembers the texts it met last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING

from frugal_core.cache.embedders.base import Embedder

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

KEPT = 10_000
"""Texts whose vectors are kept."""


class Remembering(Embedder):
    """Asks its embedder only for texts that it has not met of late, for all of them at once, and for each once. Thread-safe.

    Threads and tasks that want the same new text at the same moment may each ask for it.

    Args:
        embedder: Who embeds.
        kept: Texts whose vectors are kept, those used last.
    """

    def __init__(self, embedder: Embedder, kept: int = KEPT) -> None:
        self.embedder = embedder
        self.fingerprint = embedder.fingerprint
        self._kept = kept
        self._lock = Lock()
        self._vectors: OrderedDict[str, Floats] = OrderedDict()

    def __repr__(self) -> str:
        return f"Remembering({self.embedder!r})"

    def known(self, text: str) -> Floats | None:
        """A text's vector, shape (numbers,), if it is remembered."""
        with self._lock:
            vector = self._vectors.get(text)
            if vector is not None:
                self._vectors.move_to_end(text)
            return vector

    def embed(self, texts: Sequence[str]) -> Floats:
        """As its embedder."""
        found, missing = self._found(texts)
        if missing:
            found |= self._learned(missing, self.embedder.embed(missing))
        return _stacked(texts, found)

    async def aembed(self, texts: Sequence[str]) -> Floats:
        """As its embedder."""
        found, missing = self._found(texts)
        if missing:
            found |= self._learned(missing, await self.embedder.aembed(missing))
        return _stacked(texts, found)

    def _found(self, texts: Sequence[str]) -> tuple[dict[str, Floats], list[str]]:
        found = {text: vector for text in texts if (vector := self.known(text)) is not None}
        return found, [text for text in dict.fromkeys(texts) if text not in found]

    def _learned(self, texts: Sequence[str], vectors: Floats) -> dict[str, Floats]:
        new = {text: vector.copy() for text, vector in zip(texts, vectors, strict=True)}  # no views that keep the whole
        for vector in new.values():
            vector.flags.writeable = False
        with self._lock:
            self._vectors |= new
            while len(self._vectors) > self._kept:
                self._vectors.popitem(last=False)
        return new


def _stacked(texts: Sequence[str], found: dict[str, Floats]) -> Floats:
    import numpy as np

    if not texts:
        return np.empty((0, 0), dtype=np.float32)
    return np.stack([found[text] for text in texts])
