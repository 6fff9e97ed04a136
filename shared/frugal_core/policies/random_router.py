"""Random routing: the baseline any method that looks at queries or answers has to beat."""

from __future__ import annotations

import random
from collections.abc import Mapping
from threading import Lock
from typing import Any

from frugal_core.engine import Flow
from frugal_core.errors import ConfigurationError
from frugal_core.policies.base import Policy
from frugal_core.policies.single import ask
from frugal_core.saving import saveable
from frugal_core.types import Query


@saveable("random_router")
class RandomRouter(Policy):
    """Sends a random share of the queries to the dearest tier and the rest to the cheapest.

    Args:
        call_large: Share of queries for the dearest tier, in [0, 1].
        seed: Makes the sequence of choices reproducible.
    """

    def __init__(self, call_large: float, *, seed: int = 0) -> None:
        if not isinstance(call_large, (int, float)) or isinstance(call_large, bool) or not 0 <= call_large <= 1:
            raise ConfigurationError(f"call_large={call_large!r} is out of range: it is a share of the queries, from 0 to 1.")
        self.call_large = call_large
        self.seed = seed
        self._random = random.Random(seed)  # noqa: S311  (a baseline, not a secret)
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {**self.__dict__, "_random": self._random.getstate(), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        chance = random.Random()  # noqa: S311
        chance.setstate(state["_random"])
        self.__dict__.update({**state, "_random": chance, "_lock": Lock()})

    def __repr__(self) -> str:
        return f"RandomRouter({self.call_large!r}, seed={self.seed!r})"

    def state(self) -> Mapping[str, Any]:
        """What it was built from."""
        return {"call_large": self.call_large, "seed": self.seed}

    def decide(self, query: Query) -> Flow:
        """One call, to the dearest or the cheapest tier."""
        with self._lock:
            large = self._random.random() < self.call_large
        return ask(self, query, -1 if large else 0)
