"""What a cache has done so far, in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import Any


@dataclass(frozen=True)
class CacheStats:
    """Counts since the cache was made, in this process alone.

    Attributes:
        lookups: Questions looked up.
        exact_hits: Answered by an entry with the same text.
        semantic_hits: Answered by an entry with another text.
        explored: Misses by decision: there was a neighbour, but the decider wanted to see the model's own answer.
        stored: Answers kept.
        kept_out: Answers not kept, by reason.
        vetoes: Neighbours that a guard ruled out, by the guard's name.
        stale: Entries found to hold no longer when they were about to answer, and removed.
        errors: Failures of store or embedder that a model's answer stood in for.
        saved_usd: What the reference would have cost for the hits, as far as that is known.
        entries: Entries in the store; `None` when it cannot be asked.
        bytes: What they take; `None` when it cannot be asked.
        evicted: Entries that made room for others, as far as this process knows; `None` when the store cannot be asked.
        decider: What the decider reports of itself, such as its estimated errors.
    """

    lookups: int = 0
    exact_hits: int = 0
    semantic_hits: int = 0
    explored: int = 0
    stored: int = 0
    kept_out: Mapping[str, int] = field(default_factory=dict)
    vetoes: Mapping[str, int] = field(default_factory=dict)
    stale: int = 0
    errors: int = 0
    saved_usd: float = 0.0
    entries: int | None = None
    bytes: int | None = None
    evicted: int | None = None
    decider: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hit_rate(self) -> float:
        """Share of lookups that were hits; 0 before the first."""
        return (self.exact_hits + self.semantic_hits) / self.lookups if self.lookups else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {**asdict(self), "hit_rate": self.hit_rate}


class Counts:
    """Counts while the cache works. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._numbers: Counter[str] = Counter()
        self._kept_out: Counter[str] = Counter()
        self._vetoes: Counter[str] = Counter()
        self._saved = 0.0

    def add(self, name: str) -> None:
        """One more of a count in `CacheStats`."""
        with self._lock:
            self._numbers[name] += 1

    def hit(self, kind: str, saved_usd: float | None) -> None:
        """One more lookup that was a hit."""
        with self._lock:
            self._numbers["lookups"] += 1
            self._numbers[f"{kind}_hits"] += 1
            self._saved += saved_usd or 0.0

    def kept_out(self, reason: str) -> None:
        """One more answer that was not kept."""
        with self._lock:
            self._kept_out[reason] += 1

    def veto(self, guard: str) -> None:
        """One more neighbour that a guard ruled out."""
        with self._lock:
            self._vetoes[guard] += 1

    def stats(self, **more: Any) -> CacheStats:
        """What was counted, with what the store says."""
        with self._lock:
            counted: dict[str, Any] = dict(self._numbers)
            refused: dict[str, Any] = {"kept_out": dict(self._kept_out), "vetoes": dict(self._vetoes)}
            return CacheStats(**counted, **refused, saved_usd=self._saved, **more)
