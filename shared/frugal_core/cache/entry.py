"""One stored answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from operator import attrgetter
from time import time
from typing import Any

from frugal_core.errors import StoreError


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer with all that decides whom it may serve.

    Attributes:
        key: Digest of the query it was given to.
        partition: Digest of what must agree exactly; see `Question`.
        namespace: Whose it is.
        question: The text it was asked by.
        answer: Its text, by which answers are compared.
        payload: The framework's own response as JSON.
        created_s: When it was stored, in seconds of Unix time.
        expires_s: When it ceases to answer; `None` for never.
        tags: Words by which it can be invalidated.
        documents: Identifiers of the documents it depends on.
        cost_usd: What it cost; `None` when unknown.
        baseline_cost_usd: What the reference would have cost; `None` when unknown. That is saved by every hit.
        vector: The question's embedding as little-endian float16, of unit length; empty where only its very question may be
            answered by it.
        embedder: Fingerprint of what made `vector`.
    """

    key: str
    partition: str
    namespace: str
    question: str
    answer: str
    payload: str
    created_s: float
    expires_s: float | None = None
    tags: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    cost_usd: float | None = None
    baseline_cost_usd: float | None = None
    vector: bytes = field(default=b"", repr=False)
    embedder: str = ""

    @property
    def size(self) -> int:
        """Bytes it takes, about: its texts and its vector."""
        texts = (
            self.key,
            self.partition,
            self.namespace,
            self.question,
            self.answer,
            self.payload,
            *self.tags,
            *self.documents,
        )
        return sum(map(len, texts)) + len(self.vector) + 64

    def alive(self, now_s: float | None = None) -> bool:
        """Whether it may still answer."""
        return self.expires_s is None or (time() if now_s is None else now_s) < self.expires_s

    def to_json(self) -> str:
        """All but the vector, as one line of JSON."""
        return _encode(dict(zip(_WRITTEN, _values(self), strict=True)))

    @classmethod
    def from_json(cls, text: str | bytes, vector: bytes = b"") -> Entry:
        """Read what `to_json` wrote.

        Raises:
            StoreError: It is no entry.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            known = {name: found[name] for name in _NAMES if name in found}
            tags, documents = tuple(found.get("tags") or ()), tuple(found.get("documents") or ())
            return cls(**{**known, "vector": vector, "tags": tags, "documents": documents})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise StoreError(f"A stored answer cannot be read ({type(error).__name__}: {error}). Clear the cache.") from error


_NAMES = tuple(each.name for each in fields(Entry))
_WRITTEN = tuple(name for name in _NAMES if name != "vector")
_values = attrgetter(*_WRITTEN)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
