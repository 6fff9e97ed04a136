"""LangChain's own LLM cache in front of a whole cascade.

Core consults it inside `generate`, which a wrapper does not go through, and never when streaming; here every way of calling
does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, Generation

from frugal_core.decision import Decision
from langchain_frugal._convert import with_metadata


@dataclass(frozen=True)
class CacheEntry:
    """One input's place in a cache.

    Attributes:
        cache: The cache.
        prompt: The conversation, serialized as core does.
        llm_string: All that the answer depends on besides.
        policy: Name and version of the policy, for the decision of a hit.
    """

    cache: BaseCache
    prompt: str
    llm_string: str
    policy: tuple[str, str]

    def lookup(self) -> AIMessage | None:
        """The cached message, with a decision that says so."""
        return self._hit(self.cache.lookup(self.prompt, self.llm_string))

    async def alookup(self) -> AIMessage | None:
        """As `lookup`."""
        return self._hit(await self.cache.alookup(self.prompt, self.llm_string))

    def update(self, output: AIMessage) -> None:
        """Keep a message."""
        self.cache.update(self.prompt, self.llm_string, _generations(output))

    async def aupdate(self, output: AIMessage) -> None:
        """As `update`."""
        await self.cache.aupdate(self.prompt, self.llm_string, _generations(output))

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


def _generations(output: AIMessage) -> list[Generation]:
    """What a cache keeps of a message: a message also where it was streamed."""
    whole = message_chunk_to_message(output) if isinstance(output, AIMessageChunk) else output
    return [ChatGeneration(message=whole)]


def cache_in_use(cache: BaseCache | bool | None) -> BaseCache | None:
    """The cache a model's `cache` field stands for: an object, the global one (`None`, `True`), or none (`False`).

    Raises:
        ValueError: `True`, but no global cache is set.
    """
    if isinstance(cache, BaseCache):
        return cache
    found = get_llm_cache() if cache is not False else None
    if cache is True and found is None:
        raise ValueError("cache=True, but no cache is set: call langchain_core.globals.set_llm_cache(...) first.")
    return found


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
