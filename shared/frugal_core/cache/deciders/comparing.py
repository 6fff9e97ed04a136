"""How answers are compared, and what tells one way of comparing from another."""

from __future__ import annotations

from hashlib import blake2b
from types import MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from frugal_core.agreement import normalised
from frugal_core.cache.embedders.fingerprints import fingerprint_of

if TYPE_CHECKING:
    from frugal_core.cache.embedders.base import Embedder
    from frugal_core.learning.labels import Grade

ALIKE = 0.9
"""Least cosine of two answers that are taken for the same, where nothing else is said of how to compare them."""

_met: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def by_meaning(embedder: Embedder | None) -> Grade:
    """By meaning, or by form where nothing turns texts into vectors."""
    if embedder is None:
        return lambda question, answer, reference: float(normalised(answer, reference))
    from frugal_core.learning.semantic import SemanticAgreement

    return SemanticAgreement(embedder, threshold=ALIKE)


def identity_of(compare: Any, embedder: Embedder | None) -> str:
    """What tells a way of comparing from others, the same in every process; another where one cannot be sure.

    Args:
        compare: A name, a function or an object; `None` for `by_meaning`.
        embedder: What `by_meaning` compares with.

    >>> identity_of("exact", None), identity_of(None, None)
    ('exact', 'normalised')
    """
    if isinstance(compare, str):
        return compare
    if compare is None:
        known = getattr(embedder, "fingerprint", None)
        if embedder is None:
            return "normalised"
        return f"meaning{ALIKE}:{known if isinstance(known, str) else fingerprint_of(embedder)}"
    if isinstance(compare, MethodType):
        return f"{compare.__func__.__qualname__}:{identity_of(compare.__self__, None)}"
    try:
        known = _met.get(compare)
        if known is None:
            known = _met[compare] = _made(compare)
    except TypeError:  # it cannot be hashed, or be referred to weakly
        return _made(compare)
    return known


def _made(compare: Any) -> str:
    """An object by all that it holds: it may keep its settings, or what it asks, in private attributes."""
    parts = sorted((name, fingerprint_of(part)) for name, part in getattr(compare, "__dict__", {}).items())
    return f"{fingerprint_of(compare)}:{blake2b(repr(parts).encode(), digest_size=8).hexdigest()}"
