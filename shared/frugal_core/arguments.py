"""The arguments every wrapper takes, whatever its framework: the same forms, defaults and refusals."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from frugal_core.errors import ConfigurationError
from frugal_core.pricing import PriceBook


def refuse_unknown(owner: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse an argument that there is not, and name the one that may have been meant.

    Args:
        owner: Name of the class.
        given: Names of the arguments.
        known: Names it has.

    Raises:
        ConfigurationError: One of `given` is not `known`.

    >>> refuse_unknown("ChatFrugal", ["treshold"], ["models", "threshold"])
    Traceback (most recent call last):
    frugal_core.errors.ConfigurationError: ChatFrugal has no argument 'treshold'. Did you mean 'threshold'?
    """
    names = list(known)
    unknown = [name for name in given if name not in names]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"{owner} has no argument {unknown[0]!r}.{hint}")


def check_models(models: Any) -> None:
    """Refuse what is no list of models.

    Raises:
        ConfigurationError: It is no list, or empty.
    """
    if isinstance(models, (str, bytes)) or not isinstance(models, Sequence):
        raise ConfigurationError(f"models={shown(models)} must be a list of models, cheapest first, such as [small, large].")
    if not models:
        raise ConfigurationError("models=[] is empty: give at least one model, cheapest first, such as [small, large].")


def reference_index(reference: Any, models: int) -> int:
    """The reference tier's place, counted from the first.

    Raises:
        ConfigurationError: It is no index of so many models.

    >>> reference_index(-1, 3)
    2
    """
    if type(reference) is not int or not -models <= reference < models:
        raise ConfigurationError(f"reference={reference!r} is no index of the {models} models: 0 to {models - 1}.")
    return reference % models


def price_book(prices: Any) -> PriceBook:
    """Where to look prices up: the packaged book, with the user's own prices over it, or the user's book.

    Raises:
        ConfigurationError: It is neither a mapping nor a `PriceBook`, or a price is malformed.
    """
    if prices is None:
        return PriceBook.default()
    if isinstance(prices, PriceBook):
        return prices
    if not isinstance(prices, Mapping):
        raise ConfigurationError(f"prices={prices!r} must map model names to (input, output) in USD per million tokens.")
    return PriceBook.default().override(prices)


def remembered(memory: dict[Any, Any], parts: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What was made of these parts before, by an object or by one it was copied from; else made now."""
    key = _key(parts)
    if key not in memory:
        memory.setdefault(key, (parts, make()))  # the parts are kept, so that no other object can take on their id
    return memory[key][1]


def remembered_again(entries: Iterable[tuple[tuple[Any, ...], Any]]) -> dict[Any, Any]:
    """The memory of a deep copy, or of another process: its objects are others now.

    Args:
        entries: Values of the `memory` of `remembered`.
    """
    return {_key(parts): (parts, made) for parts, made in entries}


def shown(value: Any) -> str:
    """A value that is none of the expected ones, for a message: what is no plain value may hold a key, so only its class.

    >>> shown("gpt-4o"), shown([])
    ("'gpt-4o'", 'this list')
    """
    return repr(value) if value is None or isinstance(value, (int, float, str, bytes)) else f"this {type(value).__name__}"


def _key(part: Any) -> Any:
    """What tells parts apart: numbers, texts and lists of them by value, all else by being another object."""
    if isinstance(part, (list, tuple)):
        return tuple(map(_key, part))
    return part if part is None or isinstance(part, (int, float, str)) else id(part)
