"""From texts to vectors."""

from frugal_core.cache.embedders.base import Embedder, as_embedder

__all__ = ["Embedder", "as_embedder"]
