"""The index of a store's entries in this process, which follows what others store."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from typing import TYPE_CHECKING

from frugal_core.cache.stores.base import Changes, Neighbour, Store

if TYPE_CHECKING:
    from frugal_core.cache.index import VectorIndex
    from frugal_core.learning.columns import Floats


class Replica:
    """Finds neighbours in memory, and pulls from the store what has changed before it does. Thread-safe.

    Vectors of another embedder, or of another length, are never compared: their entries are put by in `foreign` until they are
    embedded anew.

    Args:
        store: Whom it follows.
        embedder: Fingerprint of the embedder whose vectors are compared.

    Attributes:
        foreign: Partition and question of entries, by key, whose vectors another embedder made.
        written_back: Keys of those among them that the store should have anew: not what another process has just stored.
    """

    def __init__(self, store: Store, embedder: str) -> None:
        self._store = store
        self._embedder = embedder
        self._lock = RLock()
        self._cursor = 0
        self._numbers = 0
        self._index: VectorIndex | None = None
        self._questions: dict[str, str] = {}
        self.foreign: dict[str, tuple[str, str]] = {}
        self.written_back: set[str] = set()

    def __len__(self) -> int:
        return len(self._questions)

    def search(self, partition: str, vector: Floats, count: int, least: float) -> list[Neighbour]:
        """The nearest entries of a partition, nearest first.

        Args:
            partition: Where to look.
            vector: Shape (numbers,), of unit length.
            count: Most of them.
            least: Least cosine.
        """
        with self._lock:
            if len(vector) != self._numbers:
                self._numbers, self._cursor = len(vector), 0
            self._pull()
            found = [] if self._index is None else self._index.search(partition, vector, count, least)
            return [Neighbour(key, self._questions[key], similarity) for key, similarity in found]

    def add(self, key: str, partition: str, question: str, vector: Floats) -> None:
        """Take up a vector of this embedder, as one that was embedded anew."""
        with self._lock:
            self.foreign.pop(key, None)
            self._take([key], [partition], [question], vector[None, :])

    def forget(self, keys: Sequence[str]) -> None:
        """Let go of entries that are found to be gone."""
        with self._lock:
            for key in keys:
                self._questions.pop(key, None)
                self.foreign.pop(key, None)
            if self._index is not None:
                self._index.remove(keys)

    def _pull(self) -> None:
        changes = self._store.changes(self._cursor)
        if changes.cursor == self._cursor and not changes.whole:
            return
        if changes.whole:
            self._index = None
            self._questions.clear()
            self.foreign.clear()
        self.forget(changes.removed)
        self._take_up(changes)
        self._cursor = changes.cursor

    def _take_up(self, changes: Changes) -> None:
        import numpy as np

        ours = [
            embedder == self._embedder and len(vector) == 2 * self._numbers
            for embedder, vector in zip(changes.embedders, changes.vectors, strict=True)
        ]
        own = [place for place, is_own in enumerate(ours) if is_own]
        for place, is_own in enumerate(ours):
            if not is_own:
                key = changes.keys[place]
                self.forget([key])
                self.foreign[key] = (changes.partitions[place], changes.questions[place])
                if changes.whole:
                    self.written_back.add(key)
        if own:
            vectors = np.frombuffer(b"".join(changes.vectors[place] for place in own), dtype="<f2").reshape(len(own), -1)
            columns = (changes.keys, changes.partitions, changes.questions)
            keys, partitions, questions = ([column[place] for place in own] for column in columns)
            self._take(keys, partitions, questions, vectors)

    def _take(self, keys: list[str], partitions: list[str], questions: list[str], vectors: Floats) -> None:
        from frugal_core.cache.index import VectorIndex

        if self._index is None:
            self._index = VectorIndex(vectors.shape[1])
        self._index.extend(keys, partitions, vectors)
        self._questions.update(zip(keys, questions, strict=True))
