"""The playground's tiny language models as a LangChain chat model: real generation without keys or network."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal, cast

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.exceptions import ContextOverflowError, OutputParserException
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.base import OutputParserLike
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
    make_invalid_tool_call,
    parse_tool_call,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import AliasChoices, BaseModel, Field, field_validator
from typing_extensions import override

from frugal_core.playground import chat, protocol
from frugal_core.playground.endings import FinishReason
from frugal_core.playground.language_model import LanguageModel, known_model
from frugal_core.playground.transformer import CONTEXT_WINDOW
from frugal_core.types import Usage

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "function"}


class PlaygroundContextError(chat.ChatError, ContextOverflowError):
    """The last user message is longer than the model's context window."""


class ChatPlayground(BaseChatModel):
    """A language model of the playground, run in this process.

    What the models can and cannot do is told in `frugal_core.playground.chat`. The asynchronous methods run on threads,
    so that the event loop is free meanwhile. Arguments that other providers take, such as `timeout`, are accepted and
    have no effect.

    Attributes:
        model: One of `frugal_core.playground.language_model.MODEL_NAMES`.
        temperature: 0 takes the most probable token; more is more random.
        seed: Makes sampling reproducible.
        max_tokens: The most tokens to write.
        stop: Texts that end the answer.
        logprobs: Whether to report the tokens' log-probabilities, as ``response_metadata["logprobs"]``.
        top_logprobs: How many alternatives to report for each token, up to 20.

    Raises:
        PlaygroundContextError: At a call, if the last user message is longer than the context window.
        frugal_core.playground.chat.ChatError: At a call, if an argument is wrong.

    Examples:
        >>> llm = ChatPlayground(model="playground-large")
        >>> llm.invoke("What is 12 plus 7?").text
        '19'
    """

    model: str = Field(default="playground-large", validation_alias=AliasChoices("model", "model_name"))
    temperature: float = Field(default=0.0, ge=0, le=2)
    seed: int | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    @field_validator("model")
    @classmethod
    def _known_model(cls, name: str) -> str:
        return known_model(name)

    @property
    def model_name(self) -> str:
        """The model's name."""
        return self.model

    @property
    @override
    def _llm_type(self) -> str:
        return "playground"

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, **self._parameters({})}

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop, **kwargs)
        params["ls_provider"] = "playground"
        return params

    @override
    def _resolve_model_profile(self) -> ModelProfile:
        return ModelProfile(
            name=self.model,
            max_input_tokens=CONTEXT_WINDOW,
            max_output_tokens=CONTEXT_WINDOW,
            text_inputs=True,
            image_inputs=False,
            audio_inputs=False,
            video_inputs=False,
            text_outputs=True,
            reasoning_output=False,
            tool_calling=True,
            tool_choice=True,
            structured_output=True,
            temperature=True,
        )

    @override
    def get_token_ids(self, text: str) -> list[int]:
        """Return the playground tokenizer's ids."""
        return LanguageModel.load(self.model).tokenizer.encode(text)

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model.

        Args:
            tools: What `convert_to_openai_tool` takes.
            tool_choice: "auto", "none", "any" or "required" (or `True`), the name of a tool, or OpenAI's dict.
            strict: Passed to the tools' schemas; arguments satisfy them anyway.
            **kwargs: Bound as they are.
        """
        formatted = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if tool_choice:
            names = {tool["function"]["name"] for tool in formatted}
            kwargs["tool_choice"] = protocol.tool_choice(tool_choice, names)
        return self.bind(tools=formatted, **kwargs)

    @override
    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Answer in the shape of a schema.

        Args:
            schema: A pydantic class, a TypedDict, a JSON schema or an OpenAI function.
            method: How to ask the model for it.
            include_raw: Return ``{"raw", "parsed", "parsing_error"}``.
            strict: Passed to the schema; answers satisfy it anyway.
            **kwargs: Bound as they are.
        """
        shown = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
        is_pydantic = isinstance(schema, type) and is_basemodel_subclass(schema)
        parser: OutputParserLike[Any]
        if method == "function_calling":
            name = convert_to_openai_tool(schema)["function"]["name"]
            model = self.bind_tools([schema], tool_choice=name, strict=strict, ls_structured_output_format=shown, **kwargs)
            parser = (
                PydanticToolsParser(tools=[cast("type[BaseModel]", schema)], first_tool_only=True)
                if is_pydantic
                else JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
            )
        elif method in ("json_schema", "json_mode"):
            form = _response_format(schema, strict) if method == "json_schema" else {"type": "json_object"}
            model = cast(
                "Runnable[LanguageModelInput, AIMessage]",
                self.bind(response_format=form, ls_structured_output_format=shown, **kwargs),
            )
            parser = PydanticOutputParser[Any](pydantic_object=cast("type", schema)) if is_pydantic else JsonOutputParser()
        else:
            raise ValueError(f"method must be 'json_schema', 'function_calling' or 'json_mode', not {method!r}")
        if not include_raw:
            return model | parser
        assign = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | assign.with_fallbacks([failed], exception_key="parsing_error")

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        language_model, request = self._request(messages, stop, kwargs)
        with _as_langchain_errors():
            result = chat.complete(language_model, request)
        usage = _usage(result.usage)
        generations = []
        for choice in result.choices:
            message = AIMessage(
                content=choice.text,
                **_tool_calls(choice.tool_call),
                usage_metadata=usage,
                response_metadata={"model_provider": "playground", "model_name": language_model.name},
            )
            info: dict[str, Any] = {"finish_reason": choice.finish_reason, "logprobs": protocol.logprobs(choice.logprobs)}
            generations.append(ChatGeneration(message=message, generation_info=info))
        token_usage = protocol.usage(result.usage)
        return ChatResult(generations=generations, llm_output={"token_usage": token_usage, "model_name": language_model.name})

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        language_model, request = self._request(messages, stop, kwargs)
        written = 0
        with _as_langchain_errors():
            for delta in chat.stream(language_model, request):
                if delta.choice:  # as other providers: a stream has one choice
                    return
                written += delta.tokens
                chunk = _chunk(delta)
                if delta.finish_reason is not None:
                    usage = Usage(chat.prompt_tokens(language_model, request), written)
                    _complete_last(chunk, language_model, usage, delta.finish_reason)
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _request(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> tuple[LanguageModel, chat.ChatRequest]:
        parameters = {key: value for key, value in kwargs.items() if key not in ("stream", "stream_usage")}
        if stop is not None:
            parameters["stop"] = stop
        body = {
            "model": self.model,
            **self._parameters(parameters),
            "messages": [_as_openai(message) for message in messages],
        }
        wire = protocol.parse(body)
        return LanguageModel.load(wire.model), wire.chat

    def _parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        own = {
            "temperature": self.temperature,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "stop": self.stop,
            "logprobs": self.logprobs,
            "top_logprobs": self.top_logprobs,
        }
        return protocol.parameters(own, given)


def _chunk(delta: chat.Delta) -> ChatGenerationChunk:
    part = delta.tool_call
    calls = [tool_call_chunk(name=part.name, args=part.arguments, id=part.id, index=0)] if part else []
    logprobs = protocol.logprobs(delta.logprobs)
    return ChatGenerationChunk(
        message=AIMessageChunk(content=delta.text, tool_call_chunks=calls),
        generation_info={"logprobs": logprobs} if logprobs else None,
    )


def _complete_last(chunk: ChatGenerationChunk, model: LanguageModel, usage: Usage, reason: FinishReason) -> None:
    """Put what a stream tells once on its last chunk."""
    message = cast("AIMessageChunk", chunk.message)
    message.usage_metadata = _usage(usage)
    message.chunk_position = "last"
    message.response_metadata = {"model_provider": "playground"}
    chunk.generation_info = {"finish_reason": reason, "model_name": model.name}


def _tool_calls(call: chat.ToolCallDelta | None) -> dict[str, Any]:
    if call is None:
        return {}
    raw = {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
    try:
        return {"tool_calls": [parse_tool_call(raw, return_id=True)]}
    except OutputParserException as error:
        return {"invalid_tool_calls": [make_invalid_tool_call(raw, str(error))]}


def _usage(usage: Usage) -> UsageMetadata:
    total = usage.input_tokens + usage.output_tokens
    return UsageMetadata(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=total)


def _as_openai(message: BaseMessage) -> dict[str, Any]:
    """Return a message as OpenAI's dict, its text alone of its content."""
    result: dict[str, Any] = {"role": getattr(message, "role", _ROLES.get(message.type, "user")), "content": message.text}
    if isinstance(message, ToolMessage):
        result["tool_call_id"] = message.tool_call_id
    if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
        good = [(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False)) for call in message.tool_calls]
        bad = [(call["id"], call["name"], call["args"]) for call in message.invalid_tool_calls]
        result["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": name or "", "arguments": arguments or ""}}
            for id_, name, arguments in (*good, *bad)
        ]
    return result


def _response_format(schema: dict[str, Any] | type, strict: bool | None) -> dict[str, Any]:
    if isinstance(schema, dict) and schema.get("type") == "json_schema":
        return schema
    name = convert_to_openai_tool(schema)["function"]["name"]
    form = {"name": name, "schema": convert_to_json_schema(schema, strict=strict)}
    return {"type": "json_schema", "json_schema": form if strict is None else {**form, "strict": strict}}


@contextlib.contextmanager
def _as_langchain_errors() -> Iterator[None]:
    try:
        yield
    except chat.ChatError as error:
        if error.code != "context_length_exceeded":
            raise
        raise PlaygroundContextError(str(error), param=error.param, code=error.code) from error
