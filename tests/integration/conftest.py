"""Servers for the tests in this folder."""

from servers import postgres_url, redis_search_url, redis_url

__all__ = ["postgres_url", "redis_search_url", "redis_url"]
