"""LangChain's own LLM cache in front of a whole cascade.

Core consults it inside `generate`, which a wrapper does not go through, and never when streaming; here every way of calling
does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import LanguageModelInput
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import RunnableConfig

from frugal_core.decision import Decision
from frugal_core.errors import ConfigurationError
from langchain_frugal._cached import options_for
from langchain_frugal._convert import to_chunk, to_messages, with_metadata

if TYPE_CHECKING:
    from frugal_core.cache import SemanticCache


@dataclass(frozen=True)
class LLMCacheFront:
    """Such a cache in front of a call.

    Attributes:
        cache: The cache.
        llm_string: All that an answer depends on besides the conversation.
        policy: Name and version of the policy, for the decision of a hit.
        asked: The call's arguments that are the cache's.
    """

    cache: BaseCache
    llm_string: str
    policy: tuple[str, str]
    asked: Mapping[str, Any]

    def lookup(self, inputs: Sequence[LanguageModelInput], configs: Sequence[RunnableConfig]) -> list[CacheEntry | None]:
        """Each by itself."""
        entries = self._entries(inputs, configs)
        for entry in entries:
            if entry and not entry.refresh:
                entry.output = self._hit(self.cache.lookup(entry.prompt, self.llm_string))
        return entries

    async def alookup(self, inputs: Sequence[LanguageModelInput], configs: Sequence[RunnableConfig]) -> list[CacheEntry | None]:
        """Each by itself."""
        entries = self._entries(inputs, configs)
        for entry in entries:
            if entry and not entry.refresh:
                entry.output = self._hit(await self.cache.alookup(entry.prompt, self.llm_string))
        return entries

    def follow(self, places: Sequence[CacheEntry]) -> Sequence[CacheEntry]:
        """Nothing is ever pending."""
        return places

    async def afollow(self, places: Sequence[CacheEntry]) -> Sequence[CacheEntry]:
        """Nothing is ever pending."""
        return places

    def _entries(self, inputs: Sequence[LanguageModelInput], configs: Sequence[RunnableConfig]) -> list[CacheEntry | None]:
        return [self._entry(input, config) for input, config in zip(inputs, configs, strict=True)]

    def _entry(self, input: LanguageModelInput, config: RunnableConfig) -> CacheEntry | None:
        options = options_for(config, self.asked)
        if options.no_cache:
            return None
        try:
            return CacheEntry(self, cache_prompt(to_messages(input)), options.refresh)
        except (ValueError, NotImplementedError):  # raised again when it comes to asking, within the run
            return None

    def _hit(self, found: Sequence[Generation] | None) -> AIMessage | None:
        if not found:
            return None
        generation = found[0]
        message = generation.message if isinstance(generation, ChatGeneration) else AIMessage(generation.text)
        if not isinstance(message, AIMessage):
            return None
        before: Mapping[str, Any] = message.response_metadata.get("frugal") or {}
        decision = Decision((), *self.policy, cost_usd=0.0, baseline_cost_usd=before.get("baseline_cost_usd"), cache="hit")
        # A cached id would make LangGraph's add_messages replace the earlier turn; the cost mark is core's own.
        usage = {**(message.usage_metadata or {}), "total_cost": 0}
        fresh = message.model_copy(deep=True, update={"id": None, "usage_metadata": usage})
        return with_metadata(fresh, decision.to_dict())


@dataclass(eq=False)
class CacheEntry:
    """One input's place in such a cache.

    Attributes:
        front: The cache.
        prompt: The conversation, serialized as core does.
        refresh: Whether it is asked anew, whatever the cache has.
        output: The cached message, with a decision that says so.
    """

    front: LLMCacheFront
    prompt: str
    refresh: bool = False
    output: AIMessage | None = None
    pending = False

    def stream(self) -> Iterator[AIMessageChunk]:
        """The message as the only chunk."""
        if self.output is not None:
            yield to_chunk(self.output)

    def told(self, decision: Decision) -> Decision:
        """The decision of a miss."""
        return replace(decision, cache="miss")

    def settle(self, output: AIMessage, decision: Decision) -> None:
        """Keep a message, whatever it is: this cache knows no objections."""
        self.front.cache.update(self.prompt, self.front.llm_string, _generations(output))

    async def asettle(self, output: AIMessage, decision: Decision) -> None:
        """As `settle`."""
        await self.front.cache.aupdate(self.prompt, self.front.llm_string, _generations(output))

    def abandon(self) -> None:
        """Nobody waits."""


def _generations(output: AIMessage) -> list[Generation]:
    """What a cache keeps of a message: a message also where it was streamed."""
    whole = message_chunk_to_message(output) if isinstance(output, AIMessageChunk) else output
    return [ChatGeneration(message=whole)]


def as_cache(cache: Any) -> Any:
    """What a user gave as `cache`, checked; a URL becomes the semantic cache over the store it names.

    Raises:
        ConfigurationError: It is no cache.
    """
    if cache is None or isinstance(cache, (bool, BaseCache)):
        return getattr(cache, "semantic_cache", cache)  # a FrugalCache's
    from frugal_core.cache import SemanticCache

    if isinstance(cache, str):
        return SemanticCache(cache)
    if isinstance(cache, SemanticCache):
        return cache
    raise ConfigurationError(
        f"cache={cache!r} is no cache: give a SemanticCache, the URL of its store such as 'disk:.frugal', a cache of "
        "LangChain's, True for the global one, or False for none."
    )


def cache_in_use(cache: Any) -> BaseCache | SemanticCache | None:
    """The cache a model's `cache` field stands for: an object, the global one (`None`, `True`), or none (`False`).

    Raises:
        ConfigurationError: It is no cache; or it is `True`, but no global cache is set.
    """
    if cache is False:
        return None
    if cache is None or cache is True:
        found = get_llm_cache()
        if found is None and cache:
            raise ConfigurationError("cache=True, but no cache is set: call langchain_core.globals.set_llm_cache(...) first.")
        cache = found
    used: BaseCache | SemanticCache | None = None if cache is None else as_cache(cache)  # it may have been assigned
    return used


def cache_prompt(messages: Sequence[BaseMessage]) -> str:
    """A conversation as core's caches key it: without message ids, and without what was said of earlier answers' cost."""
    return dumps([_asked(message) for message in messages])


def _asked(message: BaseMessage) -> BaseMessage:
    """What of a turn its next answer can depend on. A decision never says the same twice: it holds latencies."""
    update: dict[str, Any] = {"id": None}
    if isinstance(message, AIMessage):
        metadata = {name: value for name, value in message.response_metadata.items() if name != "frugal"}
        update |= {"usage_metadata": None, "response_metadata": metadata}
    return message.model_copy(update=update)
