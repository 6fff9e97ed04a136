"""What every policy is: a generator of calls."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from typing_extensions import Self

from frugal_core.engine import Flow
from frugal_core.errors import ConfigurationError
from frugal_core.saving import encode, load, save
from frugal_core.types import Query, Tier


class Policy(ABC):
    """Decides which tiers are asked and whose answer is served.

    Subclasses write `decide`; they call no model, await nothing and know no framework, so one policy serves every framework,
    sync and async, one query or thousands.
    """

    kind: str

    @property
    def name(self) -> str:
        """Name under which decisions report this policy."""
        return getattr(self, "kind", type(self).__name__)

    @cached_property
    def version(self) -> str:
        """Changes whenever this policy may decide otherwise: a digest of what it was built from."""
        return hashlib.sha256(self.identity.encode()).hexdigest()[:12]

    @property
    def identity(self) -> str:
        """All that its decisions depend on, as text. Part of every cache key.

        A policy that holds code (a function as scorer, say) is like no other, in this process or any other.
        """
        try:
            return json.dumps(encode(self), sort_keys=True)
        except ConfigurationError:
            unique: str = self.__dict__.setdefault("_unique", uuid4().hex)
            return f"{self.name}:{unique}"

    @property
    def needs_logprobs(self) -> bool:
        """Whether tiers should be asked for token log-probabilities."""
        return False

    @abstractmethod
    def decide(self, query: Query) -> Flow:
        """The flow that answers one query: yields `Call`s, receives `Answer`s, returns a `Decision`."""

    def check(self, tiers: Sequence[Tier]) -> None:
        """Refuse tiers this policy cannot work with, before anything is called.

        Raises:
            ConfigurationError: Says what does not fit, and what would.
        """
        return None

    def save(self, path: str | Path) -> None:
        """Write this policy to a JSON file; see `load`."""
        save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a policy that `save` wrote.

        Raises:
            ConfigurationError: The file is missing, broken, from a later version, or holds something else.
        """
        policy = load(path)
        if not isinstance(policy, cls):
            raise ConfigurationError(f"{str(path)!r} holds a {type(policy).__name__}, not a {cls.__name__}.")
        return policy
