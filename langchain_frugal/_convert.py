"""LangChain's messages and the core's neutral ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue

from frugal_core.conversation import Conversation
from frugal_core.errors import ConfigurationError
from frugal_core.finish_reasons import normalised
from frugal_core.pricing import Price
from frugal_core.tokens import estimated
from frugal_core.types import Answer, Message, Query, Role, Tier, ToolCall, Usage
from langchain_frugal._logprobs import extract_logprobs

M = TypeVar("M", bound=AIMessage)

_ROLES: Mapping[str, Role] = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool"}
_OBJECT = "\ufffc"  # Unicode's stand-in for what is not text, such as a generated image
_NOT_CONTENT = frozenset({"text", "reasoning", "thinking", "redacted_thinking", "tool_use", "tool_call", "function_call"})


def conversation(source: str | Sequence[BaseMessage]) -> Conversation:
    """A user's only message, or LangChain's messages, as the core reads them."""
    if isinstance(source, str):
        return Conversation(lambda: [Message("user", source)])
    return Conversation(lambda: [to_message(message) for message in source if not isinstance(message, SystemMessage)])


def to_messages(input: LanguageModelInput) -> list[BaseMessage]:
    """The conversation in whatever form a chat model takes.

    Raises:
        ConfigurationError: There is no message, or it is none of these forms.
    """
    if isinstance(input, PromptValue):
        messages = input.to_messages()
    elif isinstance(input, str):
        messages = [HumanMessage(input)]
    elif isinstance(input, Sequence):
        messages = convert_to_messages(input)
    else:
        raise ConfigurationError(f"Invalid input type {type(input)}: give a prompt value, a string or a list of messages.")
    if not messages:
        raise ConfigurationError("There are no messages to answer: the input is empty. Give at least one.")
    return messages


def from_query(query: Query) -> list[BaseMessage]:
    """A question that a scorer made up, as messages."""
    system: list[BaseMessage] = [SystemMessage(query.system)] if query.system else []
    return [*system, *(AIMessage(m.text) if m.role == "assistant" else HumanMessage(m.text) for m in query.messages)]


def system_prompt(messages: Sequence[BaseMessage]) -> str:
    """All system messages, in order."""
    return "\n".join(text_of(message) for message in messages if isinstance(message, SystemMessage))


def to_message(message: BaseMessage) -> Message:
    """One message in the core's form."""
    calls = _tool_calls(message) if isinstance(message, AIMessage) else ()
    return Message(_ROLES.get(message.type, "user"), text_of(message), calls, has_media=_has_media(message.content))


def text_of(message: BaseMessage) -> str:
    """Text blocks of a message, concatenated."""
    content = message.content
    return content if type(content) is str else str(message.text)


def media_blocks(content: Sequence[Any]) -> list[Mapping[str, Any]]:
    """The blocks of a message's content that are neither text nor a wish to call, such as images."""
    return [block for block in content if isinstance(block, Mapping) and block.get("type") not in _NOT_CONTENT]


def to_answer(
    message: AIMessage, query: Query, tier: int, latency_s: float, *, parsed: Any = None, parsing_error: str | None = None
) -> Answer:
    """A tier's reply in the core's form, with its cost."""
    text, about, usage = text_of(message), query.tiers[tier], _reported_usage(message)
    answer = Answer(
        text or (_OBJECT if _has_media(message.content) else ""),
        _tool_calls(message),
        extract_logprobs(message),
        usage,
        None if usage is None else _cost(message, usage, about),
        latency_s,
        finish_reason=_finish_reason(message.response_metadata),
        parsed=parsed,
        parsing_error=parsing_error,
        tier=tier,
        raw=message,
    )
    if usage is None:
        answer = estimated(answer, query)
        if from_cache(message):
            return replace(answer, cost_usd=0.0)
    return answer


def spoken(message: AIMessage, price: Price | None = None) -> Answer:
    """A reply of a model that is nobody's tier: what it says, and what it cost where tokens and price are known."""
    usage = _reported_usage(message)
    return Answer(
        text_of(message) or (_OBJECT if _has_media(message.content) else ""),
        _tool_calls(message),
        usage=usage,
        cost_usd=None if usage is None or price is None else price.cost(usage),
        finish_reason=_finish_reason(message.response_metadata),
        raw=message,
    )


def to_chunk(message: AIMessage) -> AIMessageChunk:
    """A whole message as the only chunk of a stream."""
    fields = {name: value for name, value in message.__dict__.items() if name in AIMessageChunk.model_fields and name != "type"}
    if fields["usage_metadata"] is not None and "input_tokens" not in fields["usage_metadata"]:
        fields["usage_metadata"] = None  # core's mark of a cache hit without usage, which no chunk takes
    return AIMessageChunk(**{**fields, "chunk_position": "last"})


def with_metadata(message: M, frugal: Mapping[str, Any]) -> M:
    """A copy of a message that carries its decision."""
    return message.model_copy(update={"response_metadata": {**message.response_metadata, "frugal": frugal}})


def from_cache(message: AIMessage) -> bool:
    """Whether core marked a message as a reply of its LLM cache."""
    usage = message.usage_metadata
    return usage is not None and usage.get("total_cost") == 0


def _reported_usage(message: AIMessage) -> Usage | None:
    """Tokens by the provider's count; `None` where it gave none. Core marks a cache hit by `total_cost` alone."""
    reported = message.usage_metadata
    if not reported or "input_tokens" not in reported:
        return None
    details = reported.get("input_token_details") or {}
    return Usage(reported["input_tokens"], reported["output_tokens"], details.get("cache_read") or 0)


def _cost(message: AIMessage, usage: Usage, about: Tier) -> float | None:
    if from_cache(message):
        return 0.0
    return None if about.price is None else about.price.cost(usage)


def _tool_calls(message: AIMessage) -> tuple[ToolCall, ...]:
    if not message.tool_calls and not message.invalid_tool_calls:
        return ()
    valid = [ToolCall(call["name"], call["args"], call.get("id")) for call in message.tool_calls]
    broken = [
        ToolCall(call.get("name") or "", {}, call.get("id"), call.get("error") or "arguments are not valid JSON")
        for call in message.invalid_tool_calls
    ]
    return (*valid, *broken)


def _finish_reason(metadata: Mapping[str, Any]) -> str | None:
    if not metadata:
        return None
    incomplete = metadata.get("incomplete_details") or {}
    reason = (
        (incomplete.get("reason") if isinstance(incomplete, Mapping) else None)
        or metadata.get("finish_reason")
        or metadata.get("stop_reason")
        or metadata.get("done_reason")
    )
    return normalised(reason) if isinstance(reason, str) else None


def _has_media(content: str | list[Any]) -> bool:
    return not isinstance(content, str) and bool(media_blocks(content))
