"""`SemanticCacheMiddleware`: the semantic cache in front of an agent's model, whichever it is."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_json

from frugal_core.cache import Answered, CacheOptions, Lookup, Question, SemanticCache
from frugal_core.errors import ConfigurationError
from langchain_frugal._answered import answered
from langchain_frugal._cached import options_for, semantic_cache
from langchain_frugal._convert import with_metadata
from langchain_frugal._payload import from_payload, to_payload
from langchain_frugal._question import question_from
from langchain_frugal._tiers import chat_model, identity_of

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
else:
    try:
        from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
    except ImportError:  # said when one is made
        AgentMiddleware, ModelResponse = object, None


class SemanticCacheMiddleware(AgentMiddleware):
    """Answers an agent's calls of its model from the semantic cache, as `ChatFrugal` does, with any chat model.

    An agent's first turn may be answered by a near neighbour's answer; turns with tool calls or their results are matched
    exactly. Model and settings, system prompt, history, tools, tool choice and response format must agree. A hit calls no
    model, and says so in `response_metadata["frugal"]`. Options are taken from the agent's `config["configurable"]`, see
    `ChatFrugal`, and from `cache_options`.

    Args:
        cache: A `SemanticCache`, or the URL of its store.
        settings: Further arguments of a `SemanticCache` given by its URL.

    Raises:
        ConfigurationError: An argument is out of range or unknown, or the package langchain is missing.
    """

    def __init__(self, cache: SemanticCache | str = "memory://", **settings: Any) -> None:
        if AgentMiddleware is object:
            raise ConfigurationError("Agents need the package langchain: pip install 'langchain-frugal[models]'.")
        super().__init__()
        self.semantic_cache = semantic_cache(cache, settings)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Answer one call of the model."""
        asked = self._asked(request)
        if asked is None:
            return handler(request)
        lookup = self.semantic_cache.lookup(*asked)
        try:
            response = _revived(lookup, request)
            if response is None:
                response = handler(request)
                lookup.settle(_answered(response, request))
                response = _told(response, lookup)
        except BaseException:  # an interrupt of the graph among them
            lookup.abandon()
            raise
        return response

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`."""
        asked = self._asked(request)
        if asked is None:
            return await handler(request)
        lookup = await self.semantic_cache.alookup(*asked)
        try:
            response = _revived(lookup, request)
            if response is None:
                response = await handler(request)
                await lookup.asettle(_answered(response, request))
                response = _told(response, lookup)
        except BaseException:
            lookup.abandon()
            raise
        return response

    def _asked(self, request: ModelRequest[Any]) -> tuple[Question, CacheOptions] | None:
        """A call as a question; `None` where it is to be left alone, or cannot be told from others."""
        config = var_child_runnable_config.get() or {}
        options = options_for(config, {})
        if options.no_cache or chat_model(request.model) is None:
            return None
        configurable = config.get("configurable") or {}
        tools = [tool if isinstance(tool, dict) else convert_to_openai_tool(tool) for tool in request.tools]
        given = {
            "tools": tools,
            "tool_choice": request.tool_choice,
            "settings": request.model_settings,
            "response_format": _format(request.response_format),
            "configurable": {spec.id: configurable.get(spec.id) for spec in request.model.config_specs},
        }
        try:
            json.dumps(given)
        except (TypeError, ValueError):
            return None
        system: list[BaseMessage] = [] if request.system_message is None else [request.system_message]
        question = question_from(
            [*system, *request.messages],
            identity=f"langchain.agent:1:{identity_of(request.model, None)}",
            namespace=self.semantic_cache.namespace(options),
            given=given,
            max_turns=self.semantic_cache.max_turns,
        )
        return question, options


def _format(response_format: Any) -> Any:
    """What of a response format the answer depends on: which strategy it is, and the schema."""
    schema = _schema(response_format)
    if schema is None:
        return response_format
    written = schema if isinstance(schema, dict) else TypeAdapter(schema).json_schema()
    settings = [getattr(response_format, name, None) for name in ("strict", "tool_message_content")]
    return [type(response_format).__name__, getattr(schema, "__name__", None), written, settings]


def _schema(response_format: Any) -> Any:
    return getattr(response_format, "schema", None)


def _answered(response: ModelResponse[Any], request: ModelRequest[Any]) -> Answered:
    """A response, as the cache takes it."""
    message = response.result[0] if response.result else None
    if not isinstance(message, AIMessage):
        return Answered("", "", "empty")
    temperature = request.model_settings.get("temperature", getattr(request.model, "temperature", None))
    own = answered(message, _payload(response, request), temperature)
    decision: Mapping[str, Any] = message.response_metadata.get("frugal") or {}
    if decision:  # of a ChatFrugal, which knows more
        own = replace(own, cost_usd=decision.get("cost_usd"), baseline_cost_usd=decision.get("baseline_cost_usd"))
    return replace(own, semantic=True) if response.structured_response is not None else own


def _payload(response: ModelResponse[Any], request: ModelRequest[Any]) -> str | None:
    """Messages and structured response as JSON; `None` where they would not come back the same."""
    message, *more = response.result
    said = to_payload(message) if isinstance(message, AIMessage) else None
    if said is None or not all(isinstance(each, ToolMessage) for each in more):
        return None
    try:
        results = [to_json(each.model_copy(update={"id": None})).decode() for each in more]
        value = response.structured_response
        structured = None if value is None else to_json(value, inf_nan_mode="constants").decode()
        if structured is not None and _structured(structured, request) != value:
            return None
    except (PydanticSerializationError, ValueError, TypeError):
        return None
    return json.dumps([said, results, structured])


def _structured(written: str, request: ModelRequest[Any]) -> Any:
    """A structured response made again.

    Raises:
        ValueError: It does not fit the schema.
    """
    schema = _schema(request.response_format)
    return json.loads(written) if schema is None or isinstance(schema, dict) else TypeAdapter(schema).validate_json(written)


def _revived(lookup: Lookup, request: ModelRequest[Any]) -> ModelResponse[Any] | None:
    """The response of a hit; `None` where there is none, or it cannot be read."""
    if lookup.hit is None:
        return None
    try:
        said, results, structured = json.loads(lookup.hit.entry.payload)
        message = from_payload(said)
        if message is None:
            return None
        messages = [ToolMessage.model_validate_json(each) for each in results]
        value = None if structured is None else _structured(structured, request)
    except (ValueError, TypeError):
        return None
    decision = lookup.decision("cache", "1").to_dict()
    return ModelResponse([with_metadata(message, decision), *messages], value)


def _told(response: ModelResponse[Any], lookup: Lookup) -> ModelResponse[Any]:
    """The response of a miss, whose message says so if it is a `ChatFrugal`'s."""
    message, *more = response.result
    decision = message.response_metadata.get("frugal")
    if not isinstance(message, AIMessage) or not decision or decision["cache"] == "hit":
        return response
    told = {**decision, "cache": "miss", "cache_key": lookup.question.key, "cache_notes": list(lookup.notes)}
    return replace(response, result=[with_metadata(message, told), *more])
