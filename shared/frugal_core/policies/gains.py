"""What asking a further model gains, as a line in what is known so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from frugal_core.errors import ConfigurationError
from frugal_core.policies.estimates import subsets
from frugal_core.saving import saveable

TIE = 1e-9
"""What differs by less is equal, so that rounding decides nothing."""

_FIRST = 2
_LATER = 6


@saveable("gains")
@dataclass(frozen=True)
class Gains:
    """Expected gains in quality over serving the best known answer, before costs.

    Attributes:
        unseen: Per set of `subsets` of known models and per further one: weights of `basis`, for serving its answer unseen.
        looking: The same for looking at it and deciding on. Both have no weights where the model cannot be asked any more.
    """

    unseen: tuple[tuple[tuple[float, ...], ...], ...]
    looking: tuple[tuple[tuple[float, ...], ...], ...]

    def __post_init__(self) -> None:
        for name in ("unseen", "looking"):  # a file has lists
            value = tuple(tuple(tuple(map(float, weights)) for weights in models) for models in getattr(self, name))
            object.__setattr__(self, name, value)

    def check(self, models: int, depth: int) -> None:
        """Refuse gains that are not for so many models.

        Raises:
            ConfigurationError: Weights are missing or too many.
        """
        sets = subsets(models, depth)
        wanted = [
            [
                0 if model in known or len(known) == min(depth, models) else _LATER if known else _FIRST
                for model in range(models)
            ]
            for known in sets
        ]
        for name in ("unseen", "looking"):
            sizes = [[len(weights) for weights in row] for row in getattr(self, name)]
            if sizes != wanted:
                raise ConfigurationError(
                    f"The weights of gains.{name} are not those for {models} models and {depth} answers: learn them together "
                    "with the estimates."
                )


def basis(any_known: bool, chance: Any, best: Any) -> Sequence[Any]:
    """What gains are learned from: numbers, or arrays of them.

    Args:
        any_known: Whether any answer is known.
        chance: P(right) of the model that may be asked.
        best: P(right) of the best known answer.
    """
    one = chance * 0 + 1
    if not any_known:
        return (one, chance)
    ahead = chance - best
    return (one, best, best * (1 - best), ahead, ahead * ahead, abs(ahead))
