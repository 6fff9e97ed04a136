"""Where a cache keeps its entries."""

from frugal_core.cache.stores.base import Changes, Limits, Neighbour, Size, Store
from frugal_core.cache.stores.memory import MemoryStore
from frugal_core.cache.stores.opening import open_store

__all__ = ["Changes", "Limits", "MemoryStore", "Neighbour", "Size", "Store", "open_store"]
