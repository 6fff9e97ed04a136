"""From a URL to a store."""

from __future__ import annotations

from typing import Any

from frugal_core.cache.stores.base import Limits, Store
from frugal_core.errors import ConfigurationError

SCHEMES = ("memory://", "disk:PATH", "redis://HOST:PORT/DB", "postgresql://USER@HOST/DB")


def open_store(
    url: str, *, max_entries: int | None = 100_000, max_bytes: int | None = None, eviction: str = "lru", **options: Any
) -> Store:
    """Open the store that a URL names; one that is not there yet is made.

    Args:
        url: `memory://`, `disk:PATH`, `redis://…` (or `rediss://…`, `unix://…`) or `postgresql://…`.
        max_entries: Most entries; `None` for no limit.
        max_bytes: Most bytes; `None` for no limit.
        eviction: Who makes room: `"lru"`, entries not used for longest, or `"lfu"`, those used least.
        options: Further arguments of the store's class.

    Raises:
        ConfigurationError: The URL names no store, a limit is out of range, or a package is missing.
        StoreError: The store cannot be opened.

    >>> open_store("memory://", max_entries=10).limits.max_entries
    10
    """
    limits = checked(max_entries, max_bytes, eviction)
    scheme, _, rest = url.partition(":") if isinstance(url, str) else ("", "", "")
    if scheme == "memory":
        from frugal_core.cache.stores.memory import MemoryStore

        return MemoryStore(limits, **options)
    if scheme == "disk" and rest:
        from frugal_core.cache.stores.disk import DiskStore

        return DiskStore(rest, limits, **options)
    if scheme in ("redis", "rediss", "unix"):
        from frugal_core.cache.stores.redis import RedisStore

        return RedisStore(url, limits, **options)
    if scheme in ("postgresql", "postgres"):
        from frugal_core.cache.stores.postgres import PostgresStore

        return PostgresStore(url, limits, **options)
    raise ConfigurationError(f"{url!r} names no store: give {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}.")


def checked(max_entries: int | None, max_bytes: int | None, eviction: str) -> Limits:
    """Limits, checked.

    Raises:
        ConfigurationError: One is out of range.
    """
    for name, value in (("max_entries", max_entries), ("max_bytes", max_bytes)):
        if value is not None and (type(value) is not int or value < 1):
            raise ConfigurationError(f"{name}={value!r} must be a whole number above 0, or None for no limit.")
    if eviction not in ("lru", "lfu"):
        raise ConfigurationError(
            f'eviction={eviction!r} must be "lru" (least recently used goes first) or "lfu" (least often).'
        )
    return Limits(max_entries, max_bytes, eviction)
