"""Features made comparable: each in units of its standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frugal_core.errors import ConfigurationError
from frugal_core.saving import saveable

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

FARTHEST = 4.0
"""Standard deviations beyond which a value counts as if it were there: nothing was learned of what lies farther out."""


@saveable("standard")
@dataclass(frozen=True)
class Standard:
    """Centres and scales features.

    Attributes:
        means: Of each feature.
        scales: Their standard deviations; 1 for a constant.

    >>> Standard.of([[0.0, 5.0], [2.0, 5.0]])([3.0, 5.0])
    [2.0, 0.0]
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("means", "scales"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        if len(self.means) != len(self.scales) or not all(scale > 0 for scale in self.scales):
            raise ConfigurationError("A standard has one mean and one scale above 0 per feature.")

    @classmethod
    def of(cls, features: Floats | Sequence[Sequence[float]]) -> Standard:
        """From features of shape (rows, features), at least one row."""
        import numpy as np

        x = np.asarray(features, dtype=float)
        means, deviations = x.mean(axis=0), x.std(axis=0)
        constant = deviations <= 1e-9 * np.maximum(np.abs(means), 1e-3)
        return cls(tuple(means.tolist()), tuple(np.where(constant, 1.0, deviations).tolist()))

    def __call__(self, features: Sequence[float]) -> list[float]:
        """One row, each value within [-4, 4]."""
        return [
            min(FARTHEST, max(-FARTHEST, (value - mean) / scale))
            for value, mean, scale in zip(features, self.means, self.scales, strict=True)
        ]
