"""A threshold that was chosen beforehand."""

from __future__ import annotations

from typing import Any

from frugal_core.cache.deciders.base import Candidate, Decider, Verdict
from frugal_core.errors import ConfigurationError


class Fixed(Decider):
    """A neighbour answers if it is similar enough.

    What is enough depends on the embedder and on your traffic, and no threshold bounds the errors: see `Verified`.

    Args:
        threshold: Least cosine similarity, in (0, 1].

    Raises:
        ConfigurationError: It is out of range.
    """

    def __init__(self, threshold: float) -> None:
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 < threshold <= 1:
            raise ConfigurationError(
                f"threshold={threshold!r} is out of range: it is a cosine similarity, above 0 and up to 1."
            )
        self.least = float(threshold)

    def __repr__(self) -> str:
        return f"Fixed({self.least})"

    def decide(self, candidate: Candidate) -> Verdict:
        """By its similarity alone."""
        near = candidate.neighbour.similarity >= self.least
        return Verdict(near, "similar" if near else "dissimilar", self.least)


def as_decider(given: Any) -> Decider:
    """The decider for what a user may give: one, a threshold, or `None` for `Verified()`.

    Raises:
        ConfigurationError: It is neither.
    """
    if given is None:
        from frugal_core.cache.deciders.verified import Verified

        return Verified()
    if isinstance(given, Decider):
        return given
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise ConfigurationError(
            f"decider={given!r} must be a similarity threshold such as 0.95, Fixed(0.95) or Verified(0.01)."
        )
    return Fixed(given)
