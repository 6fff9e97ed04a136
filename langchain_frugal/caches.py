"""`FrugalCache`: the semantic cache for `set_llm_cache`, and for the `cache=` of any model."""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, messages_from_dict
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables.config import var_child_runnable_config
from pydantic_core import PydanticSerializationError, to_json

from frugal_core.cache import Answered, CacheOptions, Lookup, Question, SemanticCache
from langchain_frugal._answered import answered
from langchain_frugal._cached import options_for, semantic_cache
from langchain_frugal._convert import with_metadata
from langchain_frugal._payload import from_payload, to_payload
from langchain_frugal._question import question_from

_REMEMBERED = 10_000
"""Questions that are remembered by their prompts, and misses from which something is to be learned."""

_TEMPERATURE = re.compile(r"""["']temperature["']\s*[:,]\s*([0-9.]+)""")


class FrugalCache(BaseCache):
    """The semantic cache behind the face of LangChain's own, which models ask when they are invoked, and not when they stream.

    A chat prompt comes here as serialized JSON. It is parsed, never loaded, and projected as `ChatFrugal` projects it: only the
    last user text is compared by likeness, and only where the model with its settings, system prompt, history and tools agree.
    What answers is a new message each time, and says so in `response_metadata["frugal"]`.

    Nobody waits here for who is asking the same: a model that has looked up may fail without a word. `ChatFrugal` given this
    cache uses the semantic cache in it as its own, in all it can do.

    Args:
        cache: A `SemanticCache`, or the URL of its store.
        settings: Further arguments of a `SemanticCache` given by its URL.

    Raises:
        ConfigurationError: An argument is out of range or unknown.

    >>> from langchain_core.outputs import Generation
    >>> cache = FrugalCache("memory://", embed=None)
    >>> cache.update("Opening hours?", "some model", [Generation(text="9 to 5")])
    >>> [generation.text for generation in cache.lookup("Opening hours?", "some model") or ()]
    ['9 to 5']
    """

    def __init__(self, cache: SemanticCache | str = "memory://", **settings: Any) -> None:
        self.semantic_cache = semantic_cache(cache, settings)
        self._questions: Callable[[str, str, str], Question] = lru_cache(_REMEMBERED)(self._parsed)
        self._missed: OrderedDict[str, Lookup] = OrderedDict()
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"FrugalCache({self.semantic_cache!r})"

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """What was generated for this prompt, or one that means the same; `None` where there is nothing."""
        question, options = self._question(prompt, llm_string)
        if options.no_cache:
            return None
        return self._served(self.semantic_cache.lookup(question, options, wait=False))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """As `lookup`."""
        question, options = self._question(prompt, llm_string)
        if options.no_cache:
            return None
        return self._served(await self.semantic_cache.alookup(question, options, wait=False))

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep what a model generated, if nothing speaks against it."""
        self._missing(prompt, llm_string).settle(_answered(return_val, llm_string))

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """As `update`."""
        await self._missing(prompt, llm_string).asettle(_answered(return_val, llm_string))

    def clear(self, **kwargs: Any) -> None:
        """Remove everything that the store holds, whoever put it there."""
        self.semantic_cache.clear()

    async def aclear(self, **kwargs: Any) -> None:
        """As `clear`."""
        await asyncio.to_thread(self.semantic_cache.clear)

    def _question(self, prompt: str, llm_string: str) -> tuple[Question, CacheOptions]:
        options = options_for(var_child_runnable_config.get() or {}, {})
        return self._questions(prompt, llm_string, self.semantic_cache.namespace(options)), options

    def _parsed(self, prompt: str, llm_string: str, namespace: str) -> Question:
        messages = _messages(prompt)
        return question_from(
            [HumanMessage(prompt)] if messages is None else messages,
            identity=llm_string,
            namespace=namespace,
            given={"frugal:kind": ["langchain.llm_cache", 1, messages is not None]},
            max_turns=self.semantic_cache.max_turns,
        )

    def _served(self, lookup: Lookup) -> list[Generation] | None:
        if lookup.hit is not None:
            return _generations(lookup)
        if lookup.verdict is not None and lookup.verdict.learn:
            with self._lock:
                self._missed[lookup.question.key] = lookup
                if len(self._missed) > _REMEMBERED:
                    self._missed.popitem(last=False)
        return None

    def _missing(self, prompt: str, llm_string: str) -> Lookup:
        """The lookup that is settled by an update: one from which something can be learned, if there was one."""
        question, options = self._question(prompt, llm_string)
        with self._lock:
            missed = self._missed.pop(question.key, None)
        return missed or Lookup(self.semantic_cache, question, options)


def _messages(prompt: str) -> list[BaseMessage] | None:
    """The messages of a serialized conversation; `None` for a prompt that is a text. Classes it names are not imported."""
    if not prompt.startswith("["):
        return None
    try:
        found = json.loads(prompt)
        if not found or not all(each["lc"] == 1 and each["type"] == "constructor" and each["kwargs"] for each in found):
            return None
        return messages_from_dict([{"type": each["kwargs"]["type"], "data": each["kwargs"]} for each in found])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _answered(generations: Sequence[Generation], llm_string: str) -> Answered:
    temperatures = _TEMPERATURE.findall(llm_string)
    temperature = float(temperatures[-1].strip(".") or 0) if temperatures else None
    if not generations:
        return Answered("", "", "empty")
    payloads = [_payload(generation) for generation in generations]
    payload = None if None in payloads else json.dumps(payloads)
    first = generations[0]
    message = first.message if isinstance(first, ChatGeneration) else AIMessage(first.text)
    if not isinstance(message, AIMessage):
        message, payload = AIMessage(first.text), None
    return answered(message, payload, temperature, semantic=len(generations) == 1)


def _payload(generation: Generation) -> list[Any] | None:
    """Kind, text or message, and what else is known of a generation, as JSON within JSON."""
    try:
        info = to_json(generation.generation_info, inf_nan_mode="constants").decode()
    except PydanticSerializationError:
        return None
    if not isinstance(generation, ChatGeneration):
        return ["text", generation.text, info]
    message = to_payload(generation.message) if isinstance(generation.message, AIMessage) else None
    return None if message is None else ["message", message, info]


def _generations(lookup: Lookup) -> list[Generation] | None:
    """New generations made of what was kept; `None` where it cannot be read."""
    hit = lookup.hit
    assert hit is not None
    decision = lookup.decision("cache", "1").to_dict()
    generations: list[Generation] = []
    try:
        for kind, said, told in json.loads(hit.entry.payload):
            info = json.loads(told)
            if kind == "text":
                generations.append(Generation(text=said, generation_info=info))
                continue
            message = from_payload(said)
            if message is None:
                return None
            generations.append(ChatGeneration(message=with_metadata(message, decision), generation_info=info))
    except (ValueError, TypeError):
        return None
    return generations
