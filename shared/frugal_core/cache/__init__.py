"""A semantic cache that answers only what it may."""

from frugal_core.cache.deciders import Decider, Fixed, Verified
from frugal_core.cache.embedders import Embedder, as_embedder
from frugal_core.cache.guards import Guard
from frugal_core.cache.lookup import Answered, Hit, Lookup
from frugal_core.cache.options import CacheOptions, cache_options
from frugal_core.cache.question import Question, question_of, text_question
from frugal_core.cache.semantic_cache import SemanticCache
from frugal_core.cache.stats import CacheStats
from frugal_core.cache.stores import Store, open_store

__all__ = [
    "Answered",
    "CacheOptions",
    "CacheStats",
    "Decider",
    "Embedder",
    "Fixed",
    "Guard",
    "Hit",
    "Lookup",
    "Question",
    "SemanticCache",
    "Store",
    "Verified",
    "as_embedder",
    "cache_options",
    "open_store",
    "question_of",
    "text_question",
]
