"""Query engines that answer a question again without asking a model, as long as it rests on the same documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.response.schema import RESPONSE_TYPE
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.prompts.mixin import PromptDictType, PromptMixinType
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle
from typing_extensions import Self

from frugal_core.cache.semantic_cache import SemanticCache
from frugal_core.errors import ConfigurationError
from llamaindex_frugal._engine_cache import AnyEngine, EngineCache, RetrievingEngine, Validation, index_id
from llamaindex_frugal._spans import dispatcher

Namespace = Callable[[QueryBundle], str]
Version = str | Callable[[], str]


class SemanticCacheQueryEngine(RetrieverQueryEngine):
    """A retriever query engine that looks for an answer it has given before.

    A question is matched by likeness, and everything else exactly: whose it is, prompts, model, retriever's settings. Before a
    stored answer is given again it is checked, and one that does not hold any more is removed:

    - `validate="retrieval"` (default): its question must still find the very same documents, unchanged. Costs a retrieval,
      no model call.
    - `validate="version"`: what `version` says must be what it said then.
    - `validate="none"`: not at all; for documents that never change, or with the cache's `ttl_s`.

    Answers come as a whole or streamed, sync or async, as the engine gives them, with their source nodes; a stream is kept once
    it was read to its end. `response.frugal` tells hit or miss, similarity and age, and a `FrugalDecisionEvent` tells hits.

    Args:
        engine: The engine, or a function that makes it anew for each query, such as `index.as_query_engine`: over a store in
            memory, an engine never finds what is inserted after it was made.
        cache: A `SemanticCache`, or the URL of its store.
        validate: See above.
        version: For `"version"`: a text, or a function that gives one, which changes whenever documents do.
        namespace_fn: Whose a query is, such as a tenant's id: answers are never shared between two. Default: the cache's own.
        name: Tells these answers from those of other engines that share the cache. Default: the index's id.

    Raises:
        ConfigurationError: An argument is out of range, missing, or contradicts another.

    Examples:
        ```python
        from llamaindex_frugal import SemanticCacheQueryEngine

        engine = SemanticCacheQueryEngine(index.as_query_engine, "disk:.frugal", namespace_fn=lambda query: tenant.get())
        engine.query("What are your opening hours?")
        ```
    """

    def __init__(
        self,
        engine: RetrieverQueryEngine | Callable[[], Any],
        cache: SemanticCache | str,
        *,
        validate: Validation = "retrieval",
        version: Version | None = None,
        namespace_fn: Namespace | None = None,
        name: str | None = None,
    ) -> None:
        self._make = None if isinstance(engine, RetrieverQueryEngine) else engine
        first = _made(engine)
        super().__init__(first.retriever, first._response_synthesizer, list(first._node_postprocessors), first.callback_manager)
        self._cached = EngineCache(cache, validate, version, namespace_fn, name or index_id(first.retriever))
        self._arguments: dict[str, Any] = {
            "validate": validate,
            "version": version,
            "namespace_fn": namespace_fn,
            "name": name,
        }

    @classmethod
    def from_args(  # type: ignore[override]
        cls, retriever: BaseRetriever, *, cache: SemanticCache | str, **kwargs: Any
    ) -> Self:
        """As `RetrieverQueryEngine.from_args`, with the arguments of this class."""
        own = {name: kwargs.pop(name) for name in ("validate", "version", "namespace_fn", "name") if name in kwargs}
        return cls(RetrieverQueryEngine.from_args(retriever, **kwargs), cache, **own)

    def with_retriever(self, retriever: BaseRetriever) -> Self:
        """The same engine with another retriever."""
        engine = RetrieverQueryEngine(retriever, self._response_synthesizer, self._node_postprocessors, self.callback_manager)
        return type(self)(engine, self._cached.cache, **self._arguments)

    @property
    def cache(self) -> SemanticCache:
        """The cache, for invalidating and statistics."""
        return self._cached.cache

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """The nodes as they are now."""
        return self._apply_node_postprocessors(self._fresh().retrieve(query_bundle), query_bundle=query_bundle)

    async def aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """As `retrieve`."""
        nodes = await self._fresh().aretrieve(query_bundle)
        return await self._async_apply_node_postprocessors(nodes, query_bundle=query_bundle)

    @dispatcher.span
    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        payload: dict[str, Any] = {EventPayload.QUERY_STR: query_bundle.query_str}
        with self.callback_manager.event(CBEventType.QUERY, payload=payload) as event:
            response = self._cached.query(RetrievingEngine(self, self._fresh()), query_bundle)
            event.on_end(payload={EventPayload.RESPONSE: response})
        return response

    @dispatcher.span
    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        payload: dict[str, Any] = {EventPayload.QUERY_STR: query_bundle.query_str}
        with self.callback_manager.event(CBEventType.QUERY, payload=payload) as event:
            response = await self._cached.aquery(RetrievingEngine(self, self._fresh()), query_bundle)
            event.on_end(payload={EventPayload.RESPONSE: response})
        return response

    def _fresh(self) -> BaseRetriever:
        return self._retriever if self._make is None else _made(self._make).retriever


class CachedQueryEngine(BaseQueryEngine):
    """Any query engine (routers, sub-questions, SQL, citations, ...) that looks for an answer it has given before.

    As `SemanticCacheQueryEngine`, with two differences: an engine that cannot `retrieve` cannot be checked by retrieval, so
    `"version"` or `"none"` must be said then; and one that can retrieves twice for a question that is new.

    Args:
        engine: The engine.
        cache: A `SemanticCache`, or the URL of its store.
        validate: `"retrieval"`, `"version"` or `"none"`.
        version: For `"version"`.
        namespace_fn: Whose a query is.
        name: Tells these answers from those of other engines that share the cache.

    Raises:
        ConfigurationError: An argument is out of range, missing, or contradicts another.
    """

    def __init__(
        self,
        engine: BaseQueryEngine,
        cache: SemanticCache | str,
        *,
        validate: Validation = "retrieval",
        version: Version | None = None,
        namespace_fn: Namespace | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(engine, BaseQueryEngine):
            raise ConfigurationError(f"engine={type(engine).__name__} is no query engine of LlamaIndex.")
        if validate == "retrieval" and not (_retrieves(engine, "retrieve") and hasattr(engine, "aretrieve")):
            raise ConfigurationError(
                f'{type(engine).__name__} cannot retrieve, so its answers cannot be checked that way: give validate="version" '
                'with version=…, or validate="none" with name=….'
            )
        super().__init__(engine.callback_manager)
        self._engine = engine
        self._cached = EngineCache(cache, validate, version, namespace_fn, name)

    @property
    def cache(self) -> SemanticCache:
        """The cache, for invalidating and statistics."""
        return self._cached.cache

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """As the engine does."""
        return self._engine.retrieve(query_bundle)

    def _get_prompt_modules(self) -> PromptMixinType:
        return {"query_engine": self._engine}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        """It has none of its own."""

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        return self._cached.query(AnyEngine(self._engine), query_bundle)

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        return await self._cached.aquery(AnyEngine(self._engine), query_bundle)


def _made(engine: Any) -> RetrieverQueryEngine:
    made = engine if isinstance(engine, RetrieverQueryEngine) or not callable(engine) else engine()
    if not isinstance(made, RetrieverQueryEngine):
        raise ConfigurationError(
            f"{type(made).__name__} is no RetrieverQueryEngine, nor a function that makes one: give index.as_query_engine, or "
            "wrap engines of other kinds in CachedQueryEngine."
        )
    return made


def _retrieves(engine: BaseQueryEngine, method: str) -> bool:
    return getattr(type(engine), method, None) is not getattr(BaseQueryEngine, method, None)
