"""LangChain's messages and the core's neutral ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, overload

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue

from frugal_core.errors import ConfigurationError
from frugal_core.tokens import estimate_usage
from frugal_core.types import Answer, Message, Query, Role, Tier, ToolCall, Usage
from langchain_frugal._logprobs import extract_logprobs

M = TypeVar("M", bound=AIMessage)

_ROLES: Mapping[str, Role] = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool"}
_FINISH = {
    **dict.fromkeys(("length", "max_tokens", "model_length", "max_output_tokens"), "length"),
    **dict.fromkeys(("content_filter", "safety", "refusal", "recitation", "blocklist", "prohibited_content"), "content_filter"),
    **dict.fromkeys(("tool_calls", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "complete", "completed"), "stop"),
}
_OBJECT = "\ufffc"  # Unicode's stand-in for what is not text, such as a generated image
_NOT_CONTENT = frozenset({"text", "reasoning", "thinking", "redacted_thinking", "tool_use", "tool_call", "function_call"})


class Conversation(Sequence[Message]):
    """Neutral messages, converted only when somebody looks. System messages are left out: they stand in `Query.system`.

    Args:
        source: A user's only message, or LangChain's messages.
    """

    __slots__ = ("_messages", "_source")

    def __init__(self, source: str | Sequence[BaseMessage]) -> None:
        self._source = source
        self._messages: list[Message] | None = None

    @property
    def _converted(self) -> list[Message]:
        if isinstance(self._source, str):
            return [Message("user", self._source)]
        if self._messages is None:
            self._messages = [to_message(message) for message in self._source if not isinstance(message, SystemMessage)]
        return self._messages

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        return self._converted[index]

    def __len__(self) -> int:
        return len(self._converted)


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
        usage = estimate_usage(query, answer, about.model)
        answer = replace(answer, usage=usage, cost_usd=_cost(message, usage, about))
    return answer


def to_chunk(message: AIMessage) -> AIMessageChunk:
    """A whole message as the only chunk of a stream."""
    fields = {name: value for name, value in message.__dict__.items() if name in AIMessageChunk.model_fields and name != "type"}
    if fields["usage_metadata"] is not None and "input_tokens" not in fields["usage_metadata"]:
        fields["usage_metadata"] = None  # core's mark of a cache hit without usage, which no chunk takes
    return AIMessageChunk(**{**fields, "chunk_position": "last"})


def with_metadata(message: M, frugal: Mapping[str, Any]) -> M:
    """A copy of a message that carries its decision."""
    return message.model_copy(update={"response_metadata": {**message.response_metadata, "frugal": frugal}})


def _reported_usage(message: AIMessage) -> Usage | None:
    """Tokens by the provider's count; `None` where it gave none. Core marks a cache hit by `total_cost` alone."""
    reported = message.usage_metadata
    if not reported or "input_tokens" not in reported:
        return None
    details = reported.get("input_token_details") or {}
    return Usage(reported["input_tokens"], reported["output_tokens"], details.get("cache_read") or 0)


def _cost(message: AIMessage, usage: Usage, about: Tier) -> float | None:
    if message.usage_metadata and message.usage_metadata.get("total_cost") == 0:  # core's mark of a reply from its LLM cache
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
    return _FINISH.get(reason.lower(), reason.lower()) if isinstance(reason, str) else None


def _has_media(content: str | list[Any]) -> bool:
    return not isinstance(content, str) and any(
        isinstance(block, Mapping) and block.get("type") not in _NOT_CONTENT for block in content
    )
