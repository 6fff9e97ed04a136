"""Chance: what any predictor that looks at the query has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from frugal_core.errors import ConfigurationError
from frugal_core.predictors.base import Predictor
from frugal_core.saving import saveable
from frugal_core.types import Query

_RANGE = 1 << 64


@saveable("random_predictor")
@dataclass(frozen=True)
class RandomPredictor(Predictor):
    """Estimates drawn evenly from [0, 1), by seed and text: the same query is always judged alike, whatever ran before.

    Attributes:
        models: Names of the models.
        seed: Another seed, other estimates.

    >>> from frugal_core.types import Message
    >>> query = Query((Message("user", "What is 2 + 2?"),), ())
    >>> RandomPredictor(["small", "large"])(query) == RandomPredictor(["small", "large"])(query)
    True
    """

    models: tuple[str, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.models or isinstance(self.models, str):  # type: ignore[unreachable]
            raise ConfigurationError(f"models={self.models!r} must be the models' names.")
        object.__setattr__(self, "models", tuple(self.models))

    def __call__(self, query: Query) -> Sequence[float]:
        """One number per model."""
        text = query.text.encode("utf-8", "replace")
        return [self._draw(model, text) for model in self.models]

    def _draw(self, model: str, text: bytes) -> float:
        key = f"{self.seed}:{model}:".encode() + text
        return (int.from_bytes(blake2b(key, digest_size=8).digest(), "big") >> 11) / (_RANGE >> 11)
