"""LlamaIndex's messages and responses, and the core's neutral ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, MessageRole, ToolCallBlock
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import BaseTool

from frugal_core.conversation import Conversation
from frugal_core.tokens import estimated
from frugal_core.types import Answer, Message, Query, Role, ToolCall
from llamaindex_frugal._logprobs import extract_logprobs
from llamaindex_frugal._usage import finish_reason, reported_usage

Response = ChatResponse | CompletionResponse

_ROLES: Mapping[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}
_OBJECT = "\ufffc"  # Unicode's stand-in for what is not text, such as a generated image
_MEDIA = frozenset({"image", "audio", "video", "document"})


def conversation(messages: Sequence[ChatMessage]) -> Conversation:
    """LlamaIndex's messages as the core reads them."""
    return Conversation(lambda: [to_message(message) for message in messages if not _is_system(message)])


def system_prompt(messages: Sequence[ChatMessage]) -> str:
    """All system messages, in order."""
    return "\n".join(message.content or "" for message in messages if _is_system(message))


def to_message(message: ChatMessage) -> Message:
    """One message in the core's form."""
    calls = tuple(_tool_call(block) for block in message.blocks if isinstance(block, ToolCallBlock))
    return Message(_ROLES.get(message.role.value, "user"), message.content or "", calls, has_media=_has_media(message))


def from_query(query: Query) -> list[ChatMessage]:
    """A question that a scorer made up, as messages."""
    system = [ChatMessage(query.system, role="system")] if query.system else []
    return [*system, *(ChatMessage(message.text, role=message.role) for message in query.messages)]


def functions(tools: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Tools as JSON-schema function definitions; a provider's own tool that is no function stays as it is."""
    return [_function(tool) for tool in tools]


def text_of(response: Response) -> str:
    """A response's text."""
    return (response.message.content or "") if isinstance(response, ChatResponse) else response.text


def to_answer(response: Response, query: Query, tier: int, latency_s: float, llm: LLM | None = None) -> Answer:
    """A tier's response in the core's form, with its cost.

    Args:
        response: What it returned.
        query: What it was asked.
        tier: Its index.
        latency_s: Seconds it took.
        llm: The model, which alone knows how it writes its tool calls where it has no blocks for them.
    """
    about, usage = query.tiers[tier], reported_usage(response)
    text = text_of(response)
    calls: tuple[ToolCall, ...] = ()
    if isinstance(response, ChatResponse):
        text = text or (_OBJECT if _has_media(response.message) else "")
        calls = _tool_calls(response, llm, offered=bool(query.tools))
    answer = Answer(
        text,
        calls,
        extract_logprobs(response),
        usage,
        None if usage is None or about.price is None else about.price.cost(usage),
        latency_s,
        finish_reason=finish_reason(response),
        tier=tier,
        raw=response,
    )
    return answer if usage is not None else estimated(answer, query)


def to_completion(response: Response) -> CompletionResponse:
    """A chat model's response to a prompt, which stays as it is: core's own converter writes into its message."""
    if isinstance(response, CompletionResponse):
        return response
    return CompletionResponse(
        text=response.message.content or "",
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
        raw=response.raw,
        logprobs=response.logprobs,
        delta=response.delta,
    )


def with_decision(response: Response, frugal: Mapping[str, Any], **changes: Any) -> Response:
    """A copy of a response that carries its decision.

    It stands beside the message, never in it: what is in a message's own `additional_kwargs` is printed into prompts and sent
    to providers.
    """
    return response.model_copy(update={"additional_kwargs": {**response.additional_kwargs, "frugal": frugal}, **changes})


def _is_system(message: ChatMessage) -> bool:
    return message.role is MessageRole.SYSTEM or message.role is MessageRole.DEVELOPER


def _has_media(message: ChatMessage) -> bool:
    return any(block.block_type in _MEDIA for block in message.blocks)


def _tool_calls(response: ChatResponse, llm: LLM | None, *, offered: bool) -> tuple[ToolCall, ...]:
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if blocks or not offered or not isinstance(llm, FunctionCallingLLM):
        return tuple(map(_tool_call, blocks))
    try:
        selections = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)  # where only its maker finds them
    except Exception:  # it has no parser, or there is nothing to be read: as good as no call
        return ()
    return tuple(ToolCall(call.tool_name, call.tool_kwargs, call.tool_id or None) for call in selections or ())


def _tool_call(block: ToolCallBlock) -> ToolCall:
    """A call with its arguments read strictly: the parsers of integrations mend broken JSON and tell nobody."""
    args, error = block.tool_kwargs, None
    if isinstance(args, str):
        try:
            args = json.loads(args or "{}")
        except json.JSONDecodeError as problem:
            error = f"arguments are not valid JSON: {problem}"
    if not isinstance(args, dict):
        args, error = {}, error or f"arguments are no JSON object: {args!r}"
    return ToolCall(block.tool_name, {} if error else args, block.tool_call_id, error)


def _function(tool: Any) -> Mapping[str, Any]:
    if isinstance(tool, BaseTool):
        tool = tool.metadata.to_openai_tool(skip_length_check=True)
    function = tool.get("function", tool) if isinstance(tool, Mapping) else {}
    return function if isinstance(function, Mapping) else {}
