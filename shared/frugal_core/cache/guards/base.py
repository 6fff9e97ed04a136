"""What every guard is: a reason why two questions that look alike must not share an answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

from frugal_core.errors import ConfigurationError

GuardFunction: TypeAlias = Callable[[str, str], str | None]
"""Any function `(asked, cached) -> why not, or None` serves as a guard."""

REMEMBERED = 5_000
"""Texts whose facts a guard remembers: a cached question is met again and again."""

LONGEST = 1_000
"""Characters up to which they are remembered: the facts of all guards take many times the room of their text."""

SHOWN = 4
"""Most facts that an explanation lists."""


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
        return self.veto(self._facts(asked), self._facts(cached))

    def _facts(self, text: str) -> Any:
        return self._remembered(text) if len(text) <= LONGEST else self.facts(text)

    @abstractmethod
    def facts(self, text: str) -> Hashable:
        """What of a text must agree."""

    @abstractmethod
    def veto(self, asked: Any, cached: Any) -> str | None:
        """Why the facts of two texts forbid it, for people to read; `None` where they do not."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def listed(facts: Iterable[str]) -> str:
    """A few facts in a row, for people to read; "none" for none.

    >>> listed(["3", "5"]), listed([])
    ('3, 5', 'none')
    """
    found = list(facts)
    more = ", …" if len(found) > SHOWN else ""
    return ", ".join(fact if len(fact) <= 60 else fact[:59] + "…" for fact in found[:SHOWN]) + more or "none"


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
