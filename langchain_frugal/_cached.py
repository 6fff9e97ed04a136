"""The cache in front of a call: what a runner asks of it, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import RunnableConfig

from frugal_core.decision import Decision
from frugal_core.errors import ConfigurationError

if TYPE_CHECKING:
    from frugal_core.cache.options import CacheOptions
    from frugal_core.cache.semantic_cache import SemanticCache

CONFIGURABLE: Mapping[str, str] = {
    "cache_namespace": "namespace",
    "no_cache": "no_cache",
    "refresh_cache": "refresh",
    "cache_tags": "tags",
    "cache_documents": "documents",
    "cache_ttl_s": "ttl_s",
}
"""Options of the cache by their names in `config["configurable"]`."""

CALL_ARGUMENTS = ("no_cache", "refresh")
"""Options of the cache that are arguments of calls."""


class Place(Protocol):
    """One input's place in a cache."""

    @property
    def output(self) -> Any:
        """The run's output, if the cache has it; else `None`."""

    @property
    def pending(self) -> bool:
        """Whether somebody else is answering the same just now, so that it is to be asked for again with `Front.follow`."""

    def stream(self) -> Iterator[Any]:
        """The output as a stream, if the cache has it."""

    def told(self, decision: Decision) -> Decision:
        """The decision of a miss, which says so."""

    def settle(self, output: Any, decision: Decision) -> None:
        """Keep the run's output if it may be kept."""

    async def asettle(self, output: Any, decision: Decision) -> None:
        """As `settle`."""

    def abandon(self) -> None:
        """No output will come, or it was settled: whoever waits for it goes on. Idempotent."""


class Front(Protocol):
    """The cache in front of one call of a runner."""

    def lookup(self, inputs: Sequence[LanguageModelInput], configs: Sequence[RunnableConfig]) -> Sequence[Place | None]:
        """The places of inputs, looked up; `None` for one that is no question, or asks to be left out."""

    async def alookup(self, inputs: Sequence[LanguageModelInput], configs: Sequence[RunnableConfig]) -> Sequence[Place | None]:
        """As `lookup`."""

    def follow(self, places: Sequence[Any]) -> Sequence[Place]:
        """Pending places, looked up again, once nothing else of this call is unsettled."""

    async def afollow(self, places: Sequence[Any]) -> Sequence[Place]:
        """As `follow`."""


def options_for(config: RunnableConfig, asked: Mapping[str, Any]) -> CacheOptions:
    """The cache's options for a call: its arguments over its config over the `cache_options` blocks around it.

    Args:
        config: The call's config.
        asked: Those among its arguments, by the names in `CALL_ARGUMENTS`.

    Raises:
        ConfigurationError: One is of the wrong type, or a name in the config looks like one of `CONFIGURABLE` misspelt: an
            answer kept without its namespace would be everybody's. Names that look like none may be a graph's own.
    """
    from frugal_core.cache.options import current_options, with_options

    configurable = config.get("configurable") or {}
    for name in configurable:
        if meant := _meant(name):
            raise ConfigurationError(f'{name!r} in config["configurable"] is no option of the cache. Did you mean {meant!r}?')
    named = {own: configurable[name] for name, own in CONFIGURABLE.items() if configurable.get(name) is not None}
    return with_options(current_options(), {**named, **asked})


@lru_cache(1024)
def _meant(name: Any) -> str | None:
    """The option that a name looks like; `None` for an option itself, and for what looks like none.

    >>> _meant("cache_namepsace"), _meant("cache_refresh"), _meant("cache_no_cache"), _meant("namespace"), _meant("thread_id")
    ('cache_namespace', 'refresh_cache', 'no_cache', None, None)
    """
    if name in CONFIGURABLE or not isinstance(name, str):
        return None
    words = set(name.split("_"))
    for option in CONFIGURABLE:
        if words == set(option.split("_")):
            return option
    close = get_close_matches(name, CONFIGURABLE, 1, 0.8)
    return close[0] if close else None


def semantic_cache(cache: Any, settings: Mapping[str, Any]) -> SemanticCache:
    """The semantic cache that a user gave, or named by the URL of its store and further arguments.

    Raises:
        ConfigurationError: It is neither, or arguments came with a cache.
    """
    from frugal_core.cache.semantic_cache import SemanticCache

    if isinstance(cache, SemanticCache) and settings:
        raise ConfigurationError(f"{', '.join(settings)} cannot be given with a cache: give them to the cache.")
    if not isinstance(cache, (SemanticCache, str)):
        raise ConfigurationError(f"cache={cache!r} must be a SemanticCache, or the URL of its store: 'disk:.frugal'.")
    return cache if isinstance(cache, SemanticCache) else SemanticCache(cache, **settings)
