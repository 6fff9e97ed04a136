"""`ChatFrugal`: a chat model that asks a cheap model first."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from langchain_core.caches import BaseCache
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun, Callbacks
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.utils import ConfigurableFieldSpec, get_unique_config_specs
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel, Field, PrivateAttr, model_validator
from typing_extensions import Self

import frugal_core
from frugal_core.arguments import refuse_unknown
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Policy
from frugal_core.tiers import warn_about_prices
from frugal_core.tokens import count_messages, count_tokens
from langchain_frugal._build import SETTINGS, build_runner
from langchain_frugal._cached import CALL_ARGUMENTS, Front
from langchain_frugal._convert import conversation, system_prompt
from langchain_frugal._events import astream_v3, stream_v3
from langchain_frugal._llm_cache import LLMCacheFront, as_cache, cache_in_use
from langchain_frugal._messages import MessageShape
from langchain_frugal._profiles import common_profile
from langchain_frugal._runner import Runner
from langchain_frugal._tiers import TierModel, adapted, copied, identity, provider
from langchain_frugal.structured import StructuredCascade, StructuredShape, parser_of

if TYPE_CHECKING:
    from frugal_core.cache import SemanticCache
    from langchain_frugal._semantic import SemanticFront
    from langchain_frugal._warming import Rows

_DISPLAY = ("tools", "tool_choice", "ls_structured_output_format", "structured_output_format")
"""Arguments that a tool binding carries for others to read; the tiers are bound already."""


class ChatFrugal(BaseChatModel):
    """A drop-in chat model over several: the cheapest answers first, a dearer one only when that answer does not convince.

    Every message carries its decision in `response_metadata["frugal"]`. Streaming, tools, structured output, batches,
    callbacks, caches and LangGraph work as with any chat model; callbacks and traces see each real call once.

    Args:
        models: Chat models, Runnables that answer with messages, or `"provider:model"` strings, cheapest first.
        policy: A policy, or the file of a saved one. Replaces all of the following up to `escalate_on`.
        scorer: Confidence in an answer: a scorer, or a function `(query, answer) -> float | None`. Default: `Margin()`.
        threshold: Score from which an answer is served: a number, one number per escalation, or a threshold object.
        call_large: Share of queries that may reach the last model; finds the threshold by itself. Default: 0.3.
        budget_usd: Instead: mean USD per query.
        on_missing: What a missing score means: `"escalate"` (default), `"accept"` or `"raise"`.
        escalate_on: Exception classes or a predicate: failures of a tier that the next one may mend. Default: rate limits,
            timeouts, lost connections, 5xx, context overflow, content filters.
        audit: An `Audit`, which watches how often answers differ from the reference's.
        reference: Index of the model whose answers are the standard and whose cost is the baseline.
        prices: USD per million tokens by model name, `(input, output)` or a `Price`, over those of the packaged book; or a
            `PriceBook`.
        temperature, max_tokens, stop: For all models, unless one has its own.
        timeout, max_retries, api_key, streaming: For models given as strings.
        cache: A `SemanticCache`, or the URL of its store, which is asked before any model however the wrapper is called; or
            what any chat model takes: a cache of LangChain's, `True` (the global one) or `False` (none). How a call uses it its
            arguments `no_cache` and `refresh` say, then in `config["configurable"]` `cache_namespace`, `no_cache`,
            `refresh_cache`, `cache_tags`, `cache_documents` and `cache_ttl_s`, then `cache_options`. Hits are not audited.

    Raises:
        ConfigurationError: An argument is out of range, unknown, or contradicts another.
        UnknownModelError: A string names no model that can be built here.

    Example:
        >>> from langchain_frugal import ChatFrugal
        >>> from langchain_frugal.playground import ChatPlayground
        >>> small, large = ChatPlayground(model="playground-small"), ChatPlayground(model="playground-large")
        >>> llm = ChatFrugal(models=[small, large], threshold=0.9)
        >>> message = llm.invoke("What is 2 plus 3?")
        >>> message.response_metadata["frugal"]["policy"]
        'cascade'
    """

    models: Any
    policy: Any = None
    scorer: Any = None
    threshold: Any = None
    call_large: Any = None
    budget_usd: Any = None
    on_missing: Any = None
    escalate_on: Any = None
    audit: Any = None
    reference: Any = -1
    prices: Any = None

    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    timeout: Any = None
    max_retries: int | None = None
    api_key: Any = Field(default=None, exclude=True, repr=False)
    streaming: bool | None = None  # core takes a False that was given, as configurable copies give it, for "never stream"

    cache: Any = Field(default=None, exclude=True)

    shared: Any = Field(default=None, exclude=True, repr=False)
    """What was made of these settings: copies that `configurable_fields` makes go on with the same clients and thresholds."""

    _runner: Runner = PrivateAttr()

    def __init__(self, models: Sequence[Any] = (), **kwargs: Any) -> None:
        """Build the wrapper; see the class."""
        refuse_unknown("ChatFrugal", kwargs, type(self).model_fields)
        kwargs["shared"] = kwargs.get("shared") or {}
        runner = build_runner(models, kwargs)
        kwargs["models"] = models
        if "cache" in kwargs:
            kwargs["cache"] = as_cache(kwargs["cache"])
        super().__init__(**kwargs)
        self._runner = runner
        if self.profile is None:
            self.profile = common_profile([tier.model for tier in runner.tiers])
        warn_about_prices(runner.abouts, [provider(tier.runnable) for tier in runner.tiers])

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        yield "models", [tier.about.name for tier in self._runner.tiers]
        yield "policy", self._runner.policy

    @model_validator(mode="after")
    def _set_frugal_version(self) -> Self:
        self._add_version("langchain-frugal", frugal_core.__version__)
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other settings if wanted. What thresholds learn is shared with it."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("_serialized", None)  # cached by core; it would name the settings of the original
        changed = set(update or ()) & SETTINGS
        if changed and self._runner.untooled:
            raise ConfigurationError(f"{', '.join(sorted(changed))} cannot change once tools are bound: change it, then bind.")
        runner = build_runner(copy.models, copy.__dict__) if changed else self._runner
        copy._runner = replace(runner, shape=MessageShape(copy.output_version))
        if "models" in changed and "profile" not in (update or ()):
            copy.profile = common_profile([tier.model for tier in runner.tiers])
        return copy

    # --- asking ---

    def invoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> AIMessage:
        """Answer one input."""
        answer: AIMessage = self._runner.invoke(self, input, config, *self._front(stop, kwargs))
        return answer

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> AIMessage:
        """Answer one input."""
        answer: AIMessage = await self._runner.ainvoke(self, input, config, *self._front(stop, kwargs))
        return answer

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        """Answer one input as a stream: nothing of a draft before it is accepted, the last model live."""
        if self._streaming_disabled(**kwargs):
            yield cast("AIMessageChunk", self.invoke(input, config, stop=stop, **kwargs))
            return
        yield from self._runner.stream(self, input, config, *self._front(stop, kwargs))

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: list[str] | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        """As `stream`."""
        if self._streaming_disabled(**kwargs):
            yield cast("AIMessageChunk", await self.ainvoke(input, config, stop=stop, **kwargs))
            return
        async with aclosing(self._runner.astream(self, input, config, *self._front(stop, kwargs))) as chunks:
            async for chunk in chunks:
                yield chunk

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer many inputs in lock-step: each model is handed all that reach it as one batch."""
        given, front = self._front(stop, kwargs)
        return self._runner.batch(self, inputs, config, given, front, return_exceptions=return_exceptions)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """As `batch`."""
        given, front = self._front(stop, kwargs)
        return await self._runner.abatch(self, inputs, config, given, front, return_exceptions=return_exceptions)

    def stream_events(self, input: Any, config: RunnableConfig | None = None, *, version: Any = "v2", **kwargs: Any) -> Any:
        """Stream events; with `version="v3"` a `ChatModelStream`, as from any chat model."""
        if version == "v3":
            return stream_v3(self.stream(input, config, **kwargs))
        return Runnable.stream_events(self, input, config, version=version, **kwargs)

    def astream_events(self, input: Any, config: RunnableConfig | None = None, *, version: Any = "v2", **kwargs: Any) -> Any:
        """As `stream_events`."""
        if version == "v3":
            return astream_v3(self.astream(input, config, **kwargs))
        return Runnable.astream_events(self, input, config, version=version, **kwargs)

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_name: str | None = None,
        run_id: uuid.UUID | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer many conversations; for callers of the older interface."""
        configs = _configs(len(messages), callbacks, tags, metadata, run_name, run_id)
        return _llm_result(self.batch(list(messages), configs, stop=stop, **kwargs))

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_name: str | None = None,
        run_id: uuid.UUID | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As `generate`."""
        configs = _configs(len(messages), callbacks, tags, metadata, run_name, run_id)
        return _llm_result(await self.abatch(list(messages), configs, stop=stop, **kwargs))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.invoke(messages, stop=stop, **kwargs))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=await self.ainvoke(messages, stop=stop, **kwargs))])

    # --- tools and structured output ---

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools: each model is bound with them in its provider's own form. Models that take none are skipped."""
        choice = {} if tool_choice is None else {"tool_choice": tool_choice}

        def bind(tier: TierModel) -> TierModel:
            return tier.map(lambda model: model.bind_tools(tools, **choice, **kwargs))

        shown = [_openai_tool(tool) for tool in tools]
        functions = tuple(tool["function"] for tool in shown if "function" in tool)
        bound = self.model_copy()
        plain = self._runner.untooled or self._runner.tiers
        bound._runner = replace(bound._runner, tiers=adapted(plain, bind, "tools"), tools=functions, untooled=plain)
        return RunnableBinding(bound=bound, kwargs={"tools": shown, **choice})

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Answer with values of a schema, each model by its provider's own method. What cannot be parsed is escalated."""
        logprobs = self._runner.needs_logprobs

        def change(model: Any) -> Any:
            ours = isinstance(self.cache, (BaseCache, bool)) and getattr(model, "cache", None) is None
            cached = copied(model, {"cache": self.cache}) if ours else model
            return cached.with_structured_output(schema, include_raw=True, **kwargs)

        def structured(tier: TierModel) -> TierModel:
            return tier.chained(change, logprobs=logprobs)

        plain = self._runner.untooled or self._runner.tiers
        tiers = adapted(plain, structured, "structured output")
        parsers = {tier.about.name: parser for tier in tiers if (parser := parser_of(tier.runnable)) is not None}
        runner = replace(
            self._runner,
            tiers=tiers,
            tools=(),
            untooled=plain,
            shape=StructuredShape(include_raw, parsers),
            response_format=convert_to_json_schema(schema),
        )

        def front(given: dict[str, Any]) -> tuple[Mapping[str, Any], Front | None]:
            given, asked = _split(given)
            cache = cache_in_use(self.cache)
            if cache is None or isinstance(cache, BaseCache):  # LangChain's own is the models', and was given to them
                return given, None
            return given, self._semantic_front(cache, runner, plain, given, asked, kwargs)

        return StructuredCascade(runner, self, front)

    # --- the cache ---

    def warm_cache(self, rows: Rows) -> int:
        """Put known answers into the semantic cache, where these models' own would be; how many there were.

        Whose they are, their tags and their time to live are as `cache_options` says.

        Args:
            rows: Questions (or messages) with their answers; or a file of JSON lines, such as
                `{"question": "Opening hours?", "answer": "9 to 5"}`, with `messages` instead of `question` for conversations.

        Raises:
            ConfigurationError: There is no semantic cache, or a row is something else.
            RecordingsError: The file cannot be read.
        """
        cache = cache_in_use(self.cache)
        if cache is None or isinstance(cache, BaseCache):
            raise ConfigurationError(f"{self.get_name()} has no semantic cache to warm: give cache=SemanticCache(…).")
        from langchain_frugal._warming import warm

        return warm(self._semantic_front(cache, self._runner, self._runner.tiers, {}, {}), rows)

    # --- what others ask of a chat model ---

    @property
    def policy_in_use(self) -> Policy:
        """The policy that decides, with what it has learned so far."""
        return self._runner.policy

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """Those of all models."""
        return get_unique_config_specs(spec for tier in self._runner.tiers for spec in tier.runnable.config_specs)

    @property
    def _llm_type(self) -> str:
        return "frugal"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """All that an answer depends on: every model with its settings, and the policy."""
        return self._identifying(self._runner.tiers)

    def _identifying(self, tiers: Sequence[TierModel]) -> dict[str, Any]:
        return {
            "models": [identity(tier) for tier in tiers],
            "policy": self._runner.policy.identity,
            "reference": self._runner.reference,
            "output_version": self.output_version,
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        name = kwargs.get("model")
        params = LangSmithParams(
            ls_provider="frugal",
            ls_model_name=name if isinstance(name, str) else " > ".join(tier.about.name for tier in self._runner.tiers),
            ls_model_type="chat",
        )
        if self.temperature is not None:
            params["ls_temperature"] = self.temperature
        if self.max_tokens is not None:
            params["ls_max_tokens"] = self.max_tokens
        if stop or self.stop:
            params["ls_stop"] = stop or self.stop
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Tokens by the reference model's tokenizer."""
        model = None if self.custom_get_token_ids else self._reference_model
        return super().get_token_ids(text) if model is None else model.get_token_ids(text)

    def get_num_tokens(self, text: str) -> int:
        """Number of tokens by the reference model's tokenizer, or an estimate where it has none."""
        if self.custom_get_token_ids or self._tokenizes:
            return len(self.get_token_ids(text))
        return count_tokens(text, self._runner.abouts[self._runner.reference].model)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None
    ) -> int:
        """Number of tokens by the reference model's tokenizer, or an estimate where it has none."""
        model = self._reference_model
        if model is not None and self._tokenizes and not self.custom_get_token_ids:
            return model.get_num_tokens_from_messages(messages, tools)
        functions = [_openai_tool(tool).get("function", {}) for tool in tools or ()]
        about = self._runner.abouts[self._runner.reference]
        return count_messages(conversation(messages), system_prompt(messages), functions, about.model)

    @property
    def _reference_model(self) -> BaseChatModel | None:
        return self._runner.tiers[self._runner.reference].model

    @property
    def _tokenizes(self) -> bool:
        """Whether the reference model brings a tokenizer; core's own needs the package transformers."""
        model = self._reference_model
        return model is not None and type(model).get_token_ids is not BaseChatModel.get_token_ids

    def _front(self, stop: list[str] | None, kwargs: dict[str, Any]) -> tuple[dict[str, Any], Front | None]:
        """A call's arguments as the tiers get them, and the cache in front of it."""
        runner = self._runner
        given, asked = _split(kwargs) if kwargs else (kwargs, kwargs)
        if runner.untooled:
            given = {name: value for name, value in given.items() if name not in _DISPLAY}
        if stop is not None:
            given = {**given, "stop": stop}
        cache = cache_in_use(self.cache)
        if cache is None:
            return given, None
        if not isinstance(cache, BaseCache):
            return given, self._semantic_front(cache, runner, runner.tiers, given, asked)
        tools = {"tools": runner.tools} if runner.tools else {}
        llm_string = self._get_llm_string(**{**given, **tools})
        return given, LLMCacheFront(cache, llm_string, (runner.policy.name, runner.policy.version), asked)

    def _semantic_front(
        self,
        cache: SemanticCache,
        runner: Runner,
        tiers: Sequence[TierModel],
        given: Mapping[str, Any],
        asked: Mapping[str, Any],
        *more: Any,
    ) -> SemanticFront:
        from frugal_core.cache.question import digest
        from langchain_frugal._semantic import SemanticFront

        identity = digest("langchain", 1, self._identifying(tiers), *more)  # the number is that of the form answers are kept in
        return SemanticFront(cache, runner, identity, given, asked)


def _split(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A call's arguments, and those among them that are the cache's."""
    asked = {name: kwargs[name] for name in CALL_ARGUMENTS if name in kwargs}
    return ({name: value for name, value in kwargs.items() if name not in asked} if asked else kwargs), asked


def _openai_tool(tool: Any) -> dict[str, Any]:
    """A tool as others read it; a provider's own tool stays as it is."""
    try:
        return convert_to_openai_tool(tool)
    except ValueError:
        if not isinstance(tool, dict):
            raise
        return tool


def _configs(
    number: int,
    callbacks: Callbacks,
    tags: list[str] | None,
    metadata: dict[str, Any] | None,
    run_name: str | None,
    run_id: uuid.UUID | None,
) -> list[RunnableConfig]:
    given = {"callbacks": callbacks, "tags": tags, "metadata": metadata, "run_name": run_name}
    config = cast("RunnableConfig", {name: value for name, value in given.items() if value is not None})
    return [config if index or run_id is None else {**config, "run_id": run_id} for index in range(number)]


def _llm_result(messages: Sequence[AIMessage]) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=message)] for message in messages])
