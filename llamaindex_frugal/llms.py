"""`FrugalLLM`: an LLM that asks a cheap model first."""

from __future__ import annotations

import functools
import pickle
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.bridge.pydantic import (
    Field,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.tools import BaseTool
from typing_extensions import Self

from frugal_core.arguments import refuse_unknown, remembered_again
from frugal_core.engine import aclosed
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Policy
from frugal_core.tiers import warn_about_prices
from llamaindex_frugal._build import SETTINGS, build_runner, first_prompt_settings
from llamaindex_frugal._metadata import common_metadata
from llamaindex_frugal._payloads import maker_of
from llamaindex_frugal._questions import FilledMessages, filled_messages, filled_text, slots_of
from llamaindex_frugal._requests import ChatRequest, CompletionRequest, Request
from llamaindex_frugal._runner import Runner
from llamaindex_frugal._spans import awithin_span, spanned, within_span
from llamaindex_frugal._structured import StructuredRequest
from llamaindex_frugal._tiers import provider

if TYPE_CHECKING:
    from llamaindex_frugal._warming import Rows


class FrugalLLM(FunctionCallingLLM):
    """A drop-in LLM over several: the cheapest answers first, a dearer one only when that answer does not convince.

    Every response carries its decision in `response.additional_kwargs["frugal"]`; where a value of your own class comes back
    instead, a `FrugalDecisionEvent` tells it. Query engines, chat engines, agents, workflows and structured prediction work as
    with any LLM; callbacks and instrumentation see each real call once.

    Args:
        models: LLMs, or `"provider:model"` strings, cheapest first.
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
        cache: A `SemanticCache`, or the URL of its store: asked first, in every way of calling. Calls take `no_cache=True` and
            `refresh=True`.
        context_window: What LlamaIndex packs prompts for: `"min"` (default), so that every model can take them, or `"max"`,
            where models that cannot are skipped.
        temperature, max_tokens: For all models, over their own.
        timeout, max_retries, api_key: For models given as strings.
        system_prompt, messages_to_prompt, completion_to_prompt, output_parser: As for any LLM. Default: the first model's.

    Raises:
        ConfigurationError: An argument is out of range, unknown, or contradicts another.
        UnknownModelError: A string names no model that can be built here.

    Examples:
        `pip install 'langchain-frugal[llamaindex]'`

        ```python
        from llama_index.core import Settings
        from llamaindex_frugal import FrugalLLM

        Settings.llm = FrugalLLM(models=[small, large])
        ```

        >>> from llamaindex_frugal import FrugalLLM
        >>> from llamaindex_frugal.playground import PlaygroundLLM
        >>> small, large = PlaygroundLLM(model="playground-small"), PlaygroundLLM(model="playground-large")
        >>> llm = FrugalLLM(models=[small, large], threshold=0.9)
        >>> llm.complete("What is 2 plus 3?").additional_kwargs["frugal"]["policy"]
        'cascade'
    """

    models: Any = Field(exclude=True, repr=False)
    policy: Any = Field(default=None, exclude=True, repr=False)
    scorer: Any = Field(default=None, exclude=True, repr=False)
    threshold: Any = Field(default=None, exclude=True, repr=False)
    call_large: Any = Field(default=None, exclude=True, repr=False)
    budget_usd: Any = Field(default=None, exclude=True, repr=False)
    on_missing: Any = Field(default=None, exclude=True, repr=False)
    escalate_on: Any = Field(default=None, exclude=True, repr=False)
    audit: Any = Field(default=None, exclude=True, repr=False)
    reference: Any = Field(default=-1, exclude=True, repr=False)
    prices: Any = Field(default=None, exclude=True, repr=False)
    cache: Any = Field(default=None, exclude=True, repr=False)
    context_window: Any = Field(default="min", repr=False)

    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    max_retries: int | None = None
    api_key: str | None = Field(default=None, exclude=True, repr=False)

    _compares_costs: ClassVar[bool] = True
    _runner: Runner = PrivateAttr()
    _memory: dict[Any, Any] = PrivateAttr(default_factory=dict)
    _metadata: LLMMetadata = PrivateAttr()
    _propagates: bool = PrivateAttr(default=False)

    def __init__(self, models: Sequence[Any] = (), **kwargs: Any) -> None:
        """Build the wrapper; see the class."""
        refuse_unknown("FrugalLLM", kwargs, type(self).model_fields)
        if kwargs.get("callback_manager") is None:
            kwargs.pop("callback_manager", None)
        self._begin({"context_window": "min", **kwargs, "models": models}, {}, propagates="callback_manager" in kwargs)
        if self._compares_costs:
            warn_about_prices(self._runner.abouts, [provider(tier.llm) for tier in self._runner.tiers])

    def _begin(self, settings: dict[str, Any], memory: dict[Any, Any], *, propagates: bool) -> None:
        runner = build_runner(settings, memory)
        super().__init__(**{**settings, **first_prompt_settings([tier.llm for tier in runner.tiers], settings)})
        self._memory = memory
        self._use(runner)
        if propagates:
            self._propagate()

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        yield "models", [tier.about.name for tier in self._runner.tiers]
        yield "policy", self._runner.policy

    @model_serializer(mode="wrap")
    def custom_model_dump(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Plain settings, and what tells this wrapper from others: LlamaIndex's ingestion cache goes by it.

        Never the models themselves, whose forms hold their keys.
        """
        about = {"models": [tier.about.name for tier in self._runner.tiers], "policy": self._runner.policy.version}
        return {**handler(self), "frugal": about, "class_name": self.class_name()}

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """From `to_dict`, with the models, and the policy if it is not the default, given anew."""
        return super().from_dict({name: value for name, value in data.items() if name != "frugal"}, **kwargs)

    @classmethod
    def class_name(cls) -> str:
        """Identifier of the class in LlamaIndex's serialized forms."""
        return "frugal_llm"

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "callback_manager":
            differs = value is not self.callback_manager
            super().__setattr__(name, value)
            if differs:  # re-assigning one's own, as LlamaIndex does everywhere, would wipe the handlers of the models
                self._propagate()
        elif name in SETTINGS:
            before = self.__dict__.get(name)
            super().__setattr__(name, value)
            try:
                runner = build_runner(self.__dict__, self._memory)
            except Exception:
                super().__setattr__(name, before)
                raise
            others = runner.tiers is not self._runner.tiers
            self._use(runner)
            if others and self._propagates:
                self._propagate()
        else:
            super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other settings if wanted. What thresholds learn is shared with it, unless it is a deep one."""
        copy = super().model_copy(update=update, deep=deep)
        if set(update or ()) & SETTINGS:
            copy._use(build_runner(copy.__dict__, copy._memory))
            if copy._propagates:
                copy._propagate()
        return copy

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copy = super().__deepcopy__({} if memo is None else memo)  # older pydantics copy twice what is used twice
        copy._memory = remembered_again(copy._memory.values())
        return copy

    def __getstate__(self) -> dict[str, Any]:
        """All it was built from, with what its policy has learned.

        Raises:
            ConfigurationError: The policy holds code that cannot be pickled, such as a lambda; LlamaIndex would drop it. Or the
                cache is an object instead of a URL.
        """
        policy = self._runner.policy
        if self.cache is not None and not isinstance(self.cache, str):
            raise ConfigurationError(
                f"{type(self.cache).__name__} cannot be pickled: its store belongs to this process. Give cache= the URL of a "
                'store that processes can share, such as "disk:.frugal".'
            )
        try:
            pickle.dumps(policy)
        except Exception as error:
            raise ConfigurationError(
                f"{policy!r} cannot be pickled: {error}. Give functions of a module instead of lambdas, or scorer objects."
            ) from error
        settings = super(FrugalLLM, self.__copy__()).__getstate__()["__dict__"]  # core removes attributes of what it pickles
        settings |= {name: getattr(self, name) for name in SETTINGS}  # those among them that matter: let it fail
        learned = [(parts, made) for parts, made in list(self._memory.values()) if made is policy]
        return {"settings": settings, "learned": learned, "propagates": self._propagates}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._begin(state["settings"], remembered_again(state["learned"]), propagates=state["propagates"])

    @property
    def policy_in_use(self) -> Policy:
        """The policy that decides, with what it has learned so far."""
        return self._runner.policy

    @property
    def metadata(self) -> LLMMetadata:
        """What all models can do together; see `context_window`."""
        return self._metadata

    # --- asking ---

    @spanned
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        request = _chat_request(messages, kwargs)
        return cast("ChatResponse", self._ready(request).answer(request))

    @spanned
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation."""
        request = _chat_request(messages, kwargs)
        return cast("ChatResponse", await self._ready(request).aanswer(request))

    @spanned
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer as a stream: nothing of a draft before it is accepted, the last model live."""
        return cast("ChatResponseGen", self._stream(_chat_request(messages, kwargs)))

    @spanned
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """As `stream_chat`."""
        return cast("ChatResponseAsyncGen", self._astream(_chat_request(messages, kwargs)))

    @spanned
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt."""
        request = CompletionRequest(prompt, formatted, kwargs)
        return cast("CompletionResponse", self._ready(request).answer(request))

    @spanned
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt."""
        request = CompletionRequest(prompt, formatted, kwargs)
        return cast("CompletionResponse", await self._ready(request).aanswer(request))

    @spanned
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Answer a prompt as a stream; see `stream_chat`."""
        return cast("CompletionResponseGen", self._stream(CompletionRequest(prompt, formatted, kwargs)))

    @spanned
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """As `stream_complete`."""
        return cast("CompletionResponseAsyncGen", self._astream(CompletionRequest(prompt, formatted, kwargs)))

    # --- tools ---

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Arguments for `chat`, the tools still LlamaIndex's own: each model converts them to its provider's form."""
        messages = list(chat_history or ())
        if user_msg is not None:
            messages.append(ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg)
        if not tools:
            return {"messages": messages, **{name: value for name, value in kwargs.items() if name != "tool_choice"}}
        if not self._metadata.is_function_calling_model:
            raise NotImplementedError(f"None of the models can do tools: {self._metadata.model_name}.")
        required = {"tool_required": True} if tool_required else {}
        parallel = {"allow_parallel_tool_calls": allow_parallel_tool_calls}
        return {"messages": messages, "tools": list(tools), **parallel, **required, **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Tool calls of a response, read by the model that wrote them."""
        name = str(maker_of(response) or (response.additional_kwargs.get("frugal") or {}).get("tier"))
        callers = [tier for tier in self._runner.tiers if tier.about.supports_tools]
        if not callers:
            if not error_on_no_tool_call:
                return []  # agents that are told what to do in text (CodeAct) ask all the same
            raise NotImplementedError(f"None of the models can do tools: {self._metadata.model_name}.")
        maker = self._runner.by_name.get(name, callers[-1])
        llm = cast("FunctionCallingLLM", (maker if maker.about.supports_tools else callers[-1]).llm)
        return llm.get_tool_calls_from_response(response, error_on_no_tool_call=error_on_no_tool_call, **kwargs)

    # --- structured prediction ---

    def structured_predict(
        self, output_cls: type[Any], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """A value of a class, each model by its own method. What cannot be parsed is escalated."""
        request = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        return self._ready(request).answer(request)

    async def astructured_predict(
        self, output_cls: type[Any], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """As `structured_predict`."""
        request = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        return await self._ready(request).aanswer(request)

    @spanned
    def _structured_stream_call(
        self, output_cls: type[Any], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        request = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        return self._stream(request)

    @spanned
    async def _structured_astream_call(
        self, output_cls: type[Any], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        request = self._structured(output_cls, prompt, llm_kwargs, prompt_args)
        return self._astream(request)

    def _structured(
        self, output_cls: type[Any], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None, prompt_args: dict[str, Any]
    ) -> StructuredRequest:
        mode = self.pydantic_program_mode
        return StructuredRequest(output_cls, prompt, dict(llm_kwargs or {}), prompt_args, self.system_prompt, mode)

    # --- templates, whose variables the cache tells apart ---

    def _get_messages(self, prompt: BasePromptTemplate, **prompt_args: Any) -> list[ChatMessage]:
        messages = super()._get_messages(prompt, **prompt_args)
        if self.cache is None:
            return messages
        fill = functools.partial(super()._get_messages, prompt)
        return filled_messages(messages, slots_of(prompt, prompt_args, self, fill))

    def _get_prompt(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        text = super()._get_prompt(prompt, **prompt_args)
        if self.cache is None:
            return text
        return filled_text(text, slots_of(prompt, prompt_args, self, functools.partial(super()._get_prompt, prompt)))

    # --- the cache ---

    def warm_cache(self, rows: Rows) -> int:
        """Keep answers that are known beforehand, to be served as if models had given them.

        Args:
            rows: Pairs of a question, or of messages, and the answer; or the path of a file of JSON lines with `question` or
                `messages`, and `answer`.

        Returns:
            How many there were.

        Raises:
            ConfigurationError: There is no semantic cache, or a row is something else.
            RecordingsError: The file cannot be read.
        """
        from llamaindex_frugal._cached import CachedRunner

        if not isinstance(self._runner, CachedRunner):
            raise ConfigurationError(f"{type(self).__name__} has no semantic cache to warm: give cache=SemanticCache(…).")
        return self._runner.warm(rows, chats=self._metadata.is_chat_model)

    # --- shared ---

    def _ready(self, request: Request) -> Runner:
        """Who answers a request, which is told what is asked for beside the answer."""
        runner = self._runner
        runner.prepare(request)
        limiter = getattr(self, "rate_limiter", None)  # core has the field from 0.14.16 on
        if limiter is not None:
            request.limiter = limiter
        return runner

    def _stream(self, request: Request) -> Generator[Any, None, None]:
        runner = self._ready(request)

        def answer() -> Generator[Any, None, None]:
            yield from runner.stream(request)

        return cast("Generator[Any, None, None]", within_span(answer()))

    def _astream(self, request: Request) -> AsyncGenerator[Any, None]:
        runner = self._ready(request)

        async def answer() -> AsyncGenerator[Any, None]:
            async with aclosed(runner.astream(request)) as pieces:
                async for piece in pieces:
                    yield piece

        return cast("AsyncGenerator[Any, None]", awithin_span(answer()))

    def _use(self, runner: Runner) -> None:
        self._runner = runner
        self._metadata = common_metadata([tier.llm.metadata for tier in runner.tiers], self.context_window)

    def _propagate(self) -> None:
        self._propagates = True
        for tier in self._runner.tiers:
            tier.llm.callback_manager = self.callback_manager


def _chat_request(messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatRequest:
    tools = kwargs.get("tools")
    if not messages:
        raise ConfigurationError("There are no messages to answer: the input is empty. Give at least one.")
    if not isinstance(messages, Sequence) or not all(isinstance(message, ChatMessage) for message in messages):
        raise ConfigurationError(
            f"Invalid input type {type(messages)}: give a list of ChatMessage, or ask a text by complete()."
        )
    messages = _own(messages)
    if tools and isinstance(tools[0], BaseTool):
        return ChatRequest(messages, {name: value for name, value in kwargs.items() if name != "tools"}, tuple(tools))
    return ChatRequest(messages, kwargs)


def _own(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    """A list of one's own: a stream reads it later."""
    if isinstance(messages, FilledMessages):
        return filled_messages(messages, messages.slots)
    return list(messages)
