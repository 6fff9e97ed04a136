"""What every guard is: a reason why two questions that look alike must not share an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, TypeAlias

from frugal_core.errors import ConfigurationError

GuardFunction: TypeAlias = Callable[[str, str], str | None]
"""Any function `(asked, cached) -> why not, or None` serves as a guard."""

REMEMBERED = 20_000
"""Texts whose facts a guard remembers: a cached question is met again and again."""


class Guard(ABC):
    """Compares one kind of fact that embeddings hardly see: numbers, negations, names.

    Attributes:
        name: In decisions and statistics.
    """

    name: str

    def __init__(self) -> None:
        self._remembered = lru_cache(REMEMBERED)(self.facts)

    def __call__(self, asked: str, cached: str) -> str | None:
        """Why an answer to `cached` must not be given to `asked`; `None` where nothing speaks against it."""
        return self.veto(self._remembered(asked), self._remembered(cached))

    @abstractmethod
    def facts(self, text: str) -> Hashable:
        """What of a text must agree."""

    @abstractmethod
    def veto(self, asked: Any, cached: Any) -> str | None:
        """Why the facts of two texts forbid it, for people to read; `None` where they do not."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def guard_name(guard: GuardFunction) -> str:
    """A guard's name, for decisions and statistics."""
    return getattr(guard, "name", None) or getattr(guard, "__name__", None) or type(guard).__name__


def check_guards(guards: Any) -> tuple[GuardFunction, ...]:
    """Guards as a tuple.

    Raises:
        ConfigurationError: One is no function of two texts.
    """
    if callable(guards) or isinstance(guards, str):
        raise ConfigurationError(f"guards={guards!r} must be a list of guards, such as [Numbers(), Negation()].")
    for guard in guards:
        if not callable(guard) or isinstance(guard, type):
            raise ConfigurationError(
                f"{guard!r} in guards is no guard: give Guard objects or functions (asked, cached) -> str | None."
            )
    return tuple(guards)
