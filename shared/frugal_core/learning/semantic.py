"""Labels by meaning: whether an embedding finds an answer and a reference alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import mul
from typing import Any

from frugal_core.agreement import amounts, normalised
from frugal_core.errors import ConfigurationError, ScorerError

KEPT = 10_000
"""Texts whose vectors are kept, those used last: a reference is compared with the answers of all models."""

_METHODS = ("embed_query", "get_text_embedding")


class SemanticAgreement:
    """Labels for `grade` and `record`: 1 where an answer means the same as the reference, as far as an embedding can tell.

    Both must lie in nearly the same direction and name the same numbers: embeddings hardly tell 7 from 8. So an answer that
    shows a calculation does not agree with one that gives its result only; take `"numeric"` labels there. Embeddings also
    tell little of negations; where these decide, let a model judge (`LLMJudge`). Equal wordings agree without being embedded.

    Args:
        embed: A function from a text to a vector, or an object with `embed_query` (LangChain's `Embeddings`) or
            `get_text_embedding` (LlamaIndex's `BaseEmbedding`). Called once per text while it is remembered.
        threshold: Least cosine of the angle between vectors that mean the same, in [-1, 1]. What is right depends on the
            embedding: look at a few labels.

    Raises:
        ConfigurationError: `embed` turns no text into a vector, or `threshold` is out of range.

    >>> vectors = {"It is in Paris.": (1.0, 0.1), "Paris": (1.0, 0.0), "Rome": (0.0, 1.0)}
    >>> same = SemanticAgreement(vectors.__getitem__, threshold=0.9)
    >>> same("Where is it?", "It is in Paris.", "Paris"), same("Where is it?", "Rome", "Paris")
    (1.0, 0.0)
    """

    def __init__(self, embed: Any, *, threshold: float = 0.8) -> None:
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not -1 <= threshold <= 1:
            raise ConfigurationError(f"threshold={threshold!r} is out of range: it is the cosine of an angle, from -1 to 1.")
        self.threshold = float(threshold)
        self._embed = _function(embed)
        self._direction = lru_cache(KEPT)(self._unit)

    def __call__(self, query: str, answer: str, reference: str) -> float:
        """1.0 or 0.0.

        Raises:
            ScorerError: The embedding gives no vector of finite numbers, or vectors of different lengths.
        """
        if normalised(answer, reference):
            return 1.0
        if not answer.strip() or not reference.strip() or amounts(answer) != amounts(reference):
            return 0.0
        one, other = self._direction(answer), self._direction(reference)
        if len(one) != len(other):
            raise ScorerError(
                f"The embedding gives vectors of {len(one)} and of {len(other)} numbers: they must have one length."
            )
        return float(math.fsum(map(mul, one, other)) >= self.threshold)

    def _unit(self, text: str) -> tuple[float, ...]:
        given = self._embed(text)
        try:
            vector = tuple(map(float, given))
        except (TypeError, ValueError):
            vector = ()
        length = math.hypot(*vector)
        if not 0 < length < math.inf:
            raise ScorerError(f"The embedding of {text[:60]!r} is no vector of finite numbers above 0 in length. Mend it.")
        return tuple(value / length for value in vector)


def _function(embed: Any) -> Callable[[str], Iterable[float]]:
    for name in _METHODS:
        method = getattr(embed, name, None)
        if callable(method):
            function: Callable[[str], Iterable[float]] = method
            return function
    if not callable(embed) or isinstance(embed, type):
        raise ConfigurationError(
            f"embed={embed!r} turns no text into a vector: give an object with {' or '.join(_METHODS)}, or a "
            "function of a text."
        )
    plain: Callable[[str], Iterable[float]] = embed
    return plain
