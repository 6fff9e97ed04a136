"""What one call may ask of the cache: to be left out, to be renewed, whose it is, and what its answer depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Any

from frugal_core.arguments import refuse_unknown
from frugal_core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """How the cache is used for a call.

    Attributes:
        no_cache: Neither look up nor store.
        refresh: Ask the model although there is an answer, and store the new one.
        namespace: Whose entries may answer, such as a tenant's id; `None` for the cache's own.
        tags: Words by which the stored answer can be invalidated.
        documents: Identifiers of documents that the answer depends on, by which it can be invalidated.
        ttl_s: Seconds until the stored answer expires; `None` for the cache's own.
    """

    no_cache: bool = False
    refresh: bool = False
    namespace: str | None = None
    tags: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    ttl_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("no_cache", "refresh"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name}={getattr(self, name)!r} must be True or False.")
        if self.namespace is not None and not isinstance(self.namespace, str):
            raise ConfigurationError(f"namespace={self.namespace!r} must be a text, such as a tenant's id.")
        for name in ("tags", "documents"):
            words = getattr(self, name)
            if isinstance(words, str) or not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
                raise ConfigurationError(f"{name}={words!r} must be a list of texts.")
            object.__setattr__(self, name, tuple(words))
        if self.ttl_s is not None:
            check_seconds("ttl_s", self.ttl_s)


PLAIN = CacheOptions()
"""A call that asks for nothing in particular."""

NAMES = tuple(each.name for each in fields(CacheOptions))

_CURRENT: ContextVar[CacheOptions] = ContextVar("frugal_cache_options", default=PLAIN)


@contextmanager
def cache_options(**options: Any) -> Iterator[CacheOptions]:
    """Options for all calls made inside the block, in this thread or task and those started from it with its context.

    What an inner block does not name, it takes from the outer one.

    Args:
        options: Attributes of `CacheOptions`.

    Raises:
        ConfigurationError: One is unknown or of the wrong type.

    >>> with cache_options(namespace="tenant-7"), cache_options(refresh=True) as inner:
    ...     inner.namespace, inner.refresh
    ('tenant-7', True)
    """
    refuse_unknown("cache_options", options, NAMES)
    token = _CURRENT.set(replace(_CURRENT.get(), **options))
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)


def current_options() -> CacheOptions:
    """The options of the innermost `cache_options` block around the caller."""
    return _CURRENT.get()


def taken_options(given: dict[str, Any]) -> CacheOptions:
    """The options for a call: those of the blocks around it, and those among its arguments, which are removed there.

    Only `no_cache` and `refresh` are arguments of calls; the others might be a provider's own.

    Args:
        given: The call's arguments; changed.
    """
    own = {name: given.pop(name) for name in ("no_cache", "refresh") if name in given}
    return replace(_CURRENT.get(), **own) if own else _CURRENT.get()


def with_options(options: CacheOptions, given: Mapping[str, Any]) -> CacheOptions:
    """The same options, changed by those of a mapping that has them by their names, such as a framework's configuration."""
    own = {name: given[name] for name in NAMES if name in given}
    return replace(options, **own) if own else options


def check_seconds(name: str, value: Any) -> None:
    """Refuse what is no positive number of seconds.

    Raises:
        ConfigurationError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{name}={value!r} must be a number of seconds above 0.")
