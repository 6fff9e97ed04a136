"""The playground's tiny language models as a LlamaIndex LLM: real generation without keys or network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    LogProb,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from llama_index.core.program.streaming_utils import process_streaming_content_incremental
from llama_index.core.prompts import PromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from typing_extensions import override

from frugal_core.playground import chat, protocol
from frugal_core.playground.language_model import LanguageModel, known_model
from frugal_core.playground.transformer import CONTEXT_WINDOW

if TYPE_CHECKING:
    from llama_index.core.program.utils import FlexibleModel
    from llama_index.core.tools.types import BaseTool

_ROLES = {MessageRole.CHATBOT: "assistant", MessageRole.MODEL: "assistant"}
"""Other providers' names for roles; all others are OpenAI's own."""

_PARAMETERS = ("model", "temperature", "seed", "max_tokens", "stop", "logprobs", "top_logprobs")

_Item = TypeVar("_Item")

dispatcher = get_dispatcher(__name__)


class PlaygroundLLM(FunctionCallingLLM):
    """A language model of the playground, run in this process.

    What the models can and cannot do is told in `frugal_core.playground.chat`. The asynchronous methods run on threads,
    so that the event loop is free meanwhile. `raw` of a response is what OpenAI's API would have sent, as a dict; a
    stream's last chunk has the usage. All endpoints take the fields below and ``response_format``, ``tools``,
    ``tool_choice`` and OpenAI's other parameters for one call; a call's win.

    Attributes:
        model: One of `frugal_core.playground.language_model.MODEL_NAMES`.
        temperature: 0 takes the most probable token; more is more random.
        seed: Makes sampling reproducible.
        max_tokens: The most tokens to write.
        stop: Texts that end the answer.
        logprobs: Whether to report the tokens' log-probabilities, as `ChatResponse.logprobs` and in `raw`.
        top_logprobs: How many alternatives to report for each token, up to 20; turns `logprobs` on.

    Raises:
        frugal_core.errors.UnknownModelError: If no model has that name.
        frugal_core.playground.chat.ChatError: At a call, if an argument is wrong, or if the last user message is longer
            than the context window (`code` is then ``context_length_exceeded``). Streams raise at their first chunk.

    Examples:
        >>> llm = PlaygroundLLM("playground-large")
        >>> llm.complete("What is 12 plus 7?").text
        '19'
        >>> "".join(chunk.delta for chunk in llm.stream_chat([ChatMessage("Hello")]))
        'Hello! Ask me a small question.'
        >>> llm.complete("What is 12 plus 7?").raw["usage"]["completion_tokens"]
        1
    """

    model: str = "playground-large"
    temperature: float = Field(default=0.0, ge=0, le=2)
    seed: int | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    stop: list[str] | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    def __init__(self, model: str = "playground-large", **options: Any) -> None:
        super().__init__(model=known_model(model), **options)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # which sets every field, so that logprobs=False would seem to be wanted
        object.__setattr__(self, "__pydantic_fields_set__", state["__pydantic_fields_set__"])

    @classmethod
    @override
    def class_name(cls) -> str:
        return "playground_llm"

    @property
    @override
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=CONTEXT_WINDOW,
            num_output=self.max_tokens or chat.MAX_TEXT_TOKENS,
            is_chat_model=True,
            is_function_calling_model=True,
            model_name=self.model,
        )

    @llm_chat_callback()
    @override
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._chat(messages, kwargs)

    @llm_chat_callback()
    @override
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        return self._stream_chat(messages, kwargs)

    @llm_chat_callback()
    @override
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return await asyncio.to_thread(self._chat, messages, kwargs)

    @llm_chat_callback()
    @override
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        return _on_threads(self._stream_chat(messages, kwargs))

    @llm_completion_callback()
    @override
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return _completion(self._chat(self._messages(prompt, formatted), kwargs))

    @llm_completion_callback()
    @override
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        return self._stream_complete(prompt, formatted, kwargs)

    @llm_completion_callback()
    @override
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return _completion(await asyncio.to_thread(self._chat, self._messages(prompt, formatted), kwargs))

    @llm_completion_callback()
    @override
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        return _on_threads(self._stream_complete(prompt, formatted, kwargs))

    @override
    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the arguments of `chat` that offer tools to the model, which calls one at most.

        Args:
            tools: The tools.
            user_msg: Comes after the history.
            chat_history: The conversation so far.
            verbose: Without effect.
            allow_parallel_tool_calls: Without effect.
            tool_required: Whether one must be called.
            tool_choice: "auto", "none", "any" or "required", the name of a tool, or OpenAI's dict; goes before
                `tool_required`.
            **kwargs: Passed on to `chat`.
        """
        asked = ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg
        messages = [*(chat_history or ()), *([asked] if asked else ())]
        if not tools:
            return {"messages": messages, **kwargs}
        specifications = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        names = {specification["function"]["name"] for specification in specifications}
        choice = protocol.tool_choice(tool_choice or tool_required, names) if tool_choice or tool_required else "auto"
        return {"messages": messages, "tools": specifications, "tool_choice": choice, **kwargs}

    @override
    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of a response; arguments that broke off are completed as well as can be.

        Raises:
            ValueError: If there is none, unless `error_on_no_tool_call` is false.
        """
        calls = [_selection(block) for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if not calls and error_on_no_tool_call:
            raise ValueError(f"expected at least one tool call, but the model said {response.message.content!r}")
        return calls

    @dispatcher.span
    @override
    def structured_predict(
        self, output_cls: type[Model], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Model:
        """Answer a prompt in the shape of a class, written under its schema.

        With a `pydantic_program_mode` other than the default one, as `LLM.structured_predict` does.

        Raises:
            pydantic.ValidationError: If `max_tokens` cut the answer, or the class checks more than its schema says.
        """
        if not self._writes_by_schema:
            answer: Model = super().structured_predict(output_cls, prompt, {**(llm_kwargs or {})}, **prompt_args)
            return answer
        messages = self._extend_messages(prompt.format_messages(**prompt_args))
        response: ChatResponse = self.chat(messages, **_with_schema(llm_kwargs, output_cls))
        return output_cls.model_validate_json(response.message.content or "")

    @dispatcher.span
    @override
    async def astructured_predict(
        self, output_cls: type[Model], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Model:
        """Do as `structured_predict`."""
        if not self._writes_by_schema:
            answer: Model = await super().astructured_predict(output_cls, prompt, {**(llm_kwargs or {})}, **prompt_args)
            return answer
        messages = self._extend_messages(prompt.format_messages(**prompt_args))
        response: ChatResponse = await self.achat(messages, **_with_schema(llm_kwargs, output_cls))
        return output_cls.model_validate_json(response.message.content or "")

    @override
    def _structured_stream_call(
        self, output_cls: type[Model], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[Model | list[Model] | FlexibleModel | list[FlexibleModel], None, None]:
        """Return the object as it grows, for `stream_structured_predict`."""
        if not self._writes_by_schema:
            return super()._structured_stream_call(output_cls, prompt, {**(llm_kwargs or {})}, **prompt_args)
        messages = self._extend_messages(prompt.format_messages(**prompt_args))
        responses: ChatResponseGen = self.stream_chat(messages, **_with_schema(llm_kwargs, output_cls))

        def objects() -> Generator[Model | list[Model] | FlexibleModel | list[FlexibleModel], None, None]:
            grown: Model | FlexibleModel | None = None
            for response in responses:
                grown = process_streaming_content_incremental(response, output_cls, grown)
                yield grown

        return objects()

    @override
    async def _structured_astream_call(
        self, output_cls: type[Model], prompt: PromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[Model | list[Model] | FlexibleModel | list[FlexibleModel], None]:
        """Return the object as it grows, for `astream_structured_predict`."""
        if not self._writes_by_schema:
            return await super()._structured_astream_call(output_cls, prompt, {**(llm_kwargs or {})}, **prompt_args)
        messages = self._extend_messages(prompt.format_messages(**prompt_args))
        responses: ChatResponseAsyncGen = await self.astream_chat(messages, **_with_schema(llm_kwargs, output_cls))

        async def objects() -> AsyncGenerator[Model | list[Model] | FlexibleModel | list[FlexibleModel], None]:
            grown: Model | FlexibleModel | None = None
            async for response in responses:
                grown = process_streaming_content_incremental(response, output_cls, grown)
                yield grown

        return objects()

    @property
    def _writes_by_schema(self) -> bool:
        return self.pydantic_program_mode == PydanticProgramMode.DEFAULT

    def _messages(self, prompt: str, formatted: bool) -> list[ChatMessage]:
        form = self.completion_to_prompt
        return [ChatMessage(prompt if formatted or form is None else form(prompt))]

    def _chat(self, messages: Sequence[ChatMessage], parameters: Mapping[str, Any]) -> ChatResponse:
        delivery = {"stream": None, "stream_options": None}
        model, wire = self._request(messages, {**parameters, **delivery})
        raw = protocol.response(protocol.head(model), chat.complete(model, wire.chat))
        choice = raw["choices"][0]
        return ChatResponse(
            message=_message(choice["message"]),
            raw=raw,
            logprobs=_logprobs(choice["logprobs"]),
            additional_kwargs=_token_counts(raw),
        )

    def _stream_chat(self, messages: Sequence[ChatMessage], parameters: Mapping[str, Any]) -> ChatResponseGen:
        delivery = {"stream": True, "n": 1}  # as other providers: a stream has one choice
        model, wire = self._request(messages, {"stream_options": {"include_usage": True}, **parameters, **delivery})
        message: dict[str, Any] = {"content": "", "tool_calls": []}
        for raw in protocol.chunks(model, wire, chat.stream(model, wire.chat)):
            delta = raw["choices"][0]["delta"] if raw["choices"] else {}
            message = _grown(message, delta)
            text = delta.get("content") or ""
            yield ChatResponse(message=_message(message), delta=text, raw=raw, additional_kwargs=_token_counts(raw))

    def _stream_complete(self, prompt: str, formatted: bool, parameters: Mapping[str, Any]) -> CompletionResponseGen:
        for response in self._stream_chat(self._messages(prompt, formatted), parameters):
            yield _completion(response)

    def _request(self, messages: Sequence[ChatMessage], given: Mapping[str, Any]) -> tuple[LanguageModel, protocol.WireRequest]:
        own = {name: getattr(self, name) for name in _PARAMETERS}
        wire = protocol.parse({**protocol.parameters(own, given), "messages": [_as_openai(message) for message in messages]})
        return LanguageModel.load(wire.model), wire


async def _on_threads(items: Generator[_Item, None, None]) -> AsyncGenerator[_Item, None]:
    """Yield what a generator yields, each item made on a thread."""
    end = object()
    while (item := await asyncio.to_thread(next, items, end)) is not end:
        yield item  # type: ignore[misc]


def _completion(response: ChatResponse) -> CompletionResponse:
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs=response.additional_kwargs,
    )


def _message(message: Mapping[str, Any]) -> ChatMessage:
    """Return a message of OpenAI's as LlamaIndex's, its tool calls as blocks and as they are."""
    calls = message.get("tool_calls") or []
    text = message["content"] or ""
    texts = [TextBlock(text=text)] if text or not calls else []
    blocks = [
        ToolCallBlock(
            tool_call_id=call["id"],
            tool_name=call["function"]["name"],
            tool_kwargs=call["function"]["arguments"] or {},
        )
        for call in calls
    ]
    extra = {"tool_calls": calls} if calls else {}
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=[*texts, *blocks], additional_kwargs=extra)


def _grown(message: Mapping[str, Any], delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new message: one that has been streamed so far, with the next chunk's delta."""
    calls = message["tool_calls"]
    for part in delta.get("tool_calls", ()):
        calls = _with_part(calls, part)
    return {"content": message["content"] + (delta.get("content") or ""), "tool_calls": calls}


def _with_part(calls: Sequence[dict[str, Any]], part: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "id" in part:
        return [*calls, {key: value for key, value in part.items() if key != "index"}]
    *others, last = calls
    function = {**last["function"], "arguments": last["function"]["arguments"] + part["function"]["arguments"]}
    return [*others, {**last, "function": function}]


def _as_openai(message: ChatMessage) -> dict[str, Any]:
    """Return a message as OpenAI's dict, its text alone of its content."""
    result: dict[str, Any] = {"role": _ROLES.get(message.role, message.role.value), "content": message.content or ""}
    if calls := [_call_as_openai(block) for block in message.blocks if isinstance(block, ToolCallBlock)]:
        result["tool_calls"] = calls
    if "tool_call_id" in message.additional_kwargs:
        result["tool_call_id"] = message.additional_kwargs["tool_call_id"]
    return result


def _call_as_openai(block: ToolCallBlock) -> dict[str, Any]:
    given = block.tool_kwargs
    arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    function = {"name": block.tool_name, "arguments": arguments}
    return {"id": block.tool_call_id or "", "type": "function", "function": function}


def _selection(block: ToolCallBlock) -> ToolSelection:
    arguments = block.tool_kwargs
    if isinstance(arguments, str):
        try:
            arguments = parse_partial_json(arguments)
        except ValueError:
            arguments = {}
    return ToolSelection(tool_id=block.tool_call_id or "", tool_name=block.tool_name, tool_kwargs=arguments)


def _logprobs(reported: Mapping[str, Any] | None) -> list[list[LogProb]] | None:
    """Return each token's alternatives, the token alone where none were asked for; `None` without log-probabilities."""
    if reported is None:
        return None
    return [[_logprob(one) for one in token["top_logprobs"] or [token]] for token in reported["content"]]


def _logprob(reported: Mapping[str, Any]) -> LogProb:
    return LogProb(token=reported["token"], logprob=reported["logprob"], bytes=reported["bytes"])


def _token_counts(raw: Mapping[str, Any]) -> dict[str, int]:
    usage = raw.get("usage") or {}
    return {name: count for name, count in usage.items() if isinstance(count, int)}


def _with_schema(llm_kwargs: Mapping[str, Any] | None, output_cls: type[Model]) -> dict[str, Any]:
    """Return a call's arguments with a response format in place of a choice of tools."""
    others = {name: value for name, value in (llm_kwargs or {}).items() if name != "tool_choice"}
    form = {"name": output_cls.__name__, "schema": output_cls.model_json_schema()}
    return {**others, "response_format": {"type": "json_schema", "json_schema": form}}
