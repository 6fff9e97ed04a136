"""Cleaning a conversation for the provider that is asked next.

A cascade shows one tier's turns to another's provider. What only their maker understands (reasoning, its signatures,
server-tool records, item ids, cache markers, odd tool-call ids) makes other providers answer 400, or crashes
LangChain's request builders (langchain #34933). Only that is removed, and only where the next provider is another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage

from frugal_core.tool_call_ids import NINE, SHORT, WORD, aliases
from langchain_frugal._logprobs import unwrap, uses_responses_api


def clean_history(messages: list[BaseMessage], model: Any) -> list[BaseMessage]:
    """Make a conversation fit for one tier's provider.

    Args:
        messages: The conversation; neither the list nor its messages are ever changed.
        model: The tier's chat model, bare or wrapped.

    Returns:
        The same list when nothing needs cleaning, else a new one in which only the turns that needed it are copies. No
        turn is dropped or invented.

    >>> thought = [{"type": "thinking", "thinking": "Hm.", "signature": "..."}, {"type": "text", "text": "Two."}]
    >>> turn = AIMessage(thought, response_metadata={"model_provider": "anthropic"})
    >>> clean_history([turn], model=None)[0].content
    'Two.'
    """
    if not any(map(_suspect, messages)):
        return messages
    inner, bound = unwrap(model)
    target = _target(inner)
    renamed = aliases(_all_call_ids(messages), target.ids) if target.ids else {}
    replays = partial(uses_responses_api, inner, bound)
    cleaned = [_clean(message, target, renamed, replays) for message in messages]
    return messages if all(new is old for new, old in zip(cleaned, messages, strict=True)) else cleaned


# --- providers ---


@dataclass(frozen=True, slots=True)
class _Target:
    """What a provider takes back.

    Attributes:
        native: `response_metadata["model_provider"]` of the turns it understands entirely.
        ids: Tool-call ids it accepts; `None` means any.
        cache_control: Whether it takes Anthropic's cache markers on content blocks.
        cache_point: Whether it takes Bedrock's `cachePoint` blocks.
    """

    native: frozenset[str]
    ids: re.Pattern[str] | None = None
    cache_control: bool = False
    cache_point: bool = False


_GOOGLE = _Target(frozenset({"google_genai", "google_vertexai"}))

_TARGETS = {
    # class name: what its provider takes back
    "BaseChatOpenAI": _Target(frozenset({"openai"}), ids=SHORT),
    "ChatAnthropic": _Target(frozenset({"anthropic"}), ids=WORD, cache_control=True),
    "ChatAnthropicVertex": _Target(frozenset({"anthropic"}), ids=WORD, cache_control=True),
    "ChatBedrock": _Target(frozenset({"bedrock"}), ids=WORD, cache_control=True),
    "ChatBedrockConverse": _Target(frozenset({"bedrock_converse"}), ids=WORD, cache_point=True),
    "ChatCohere": _Target(frozenset({"cohere"})),
    "ChatDeepSeek": _Target(frozenset({"deepseek"})),
    "ChatFireworks": _Target(frozenset({"fireworks"})),
    "ChatGoogleGenerativeAI": _GOOGLE,
    "ChatGroq": _Target(frozenset({"groq"})),
    "ChatLiteLLM": _Target(frozenset({"litellm"}), cache_control=True),
    "ChatMistralAI": _Target(frozenset({"mistralai"}), ids=NINE),
    "ChatOllama": _Target(frozenset({"ollama"})),
    "ChatOpenRouter": _Target(frozenset({"openrouter"}), cache_control=True),
    "ChatVertexAI": _GOOGLE,
    "ChatXAI": _Target(frozenset({"xai"})),
}


def _target(model: Any) -> _Target:
    for cls in type(model).__mro__:
        if (known := _TARGETS.get(cls.__name__)) is not None:
            return known
    provider = model._get_ls_params().get("ls_provider") if isinstance(model, BaseChatModel) else None
    return _Target(frozenset({provider or ""}), cache_control=provider == "anthropic")


_Replays = Callable[[], bool]
"""Whether an OpenAI-family model sends the items of the Responses API back; asked only where a turn has such items."""


# --- which turns need a look ---


def _suspect(message: BaseMessage) -> bool:
    """Whether a turn may carry anything but plain text; cheap, since it is asked of every turn of every call."""
    if not isinstance(message.content, str):
        return True
    if isinstance(message, AIMessage):
        return bool(message.additional_kwargs or message.tool_calls or message.invalid_tool_calls)
    return isinstance(message, ToolMessage)


def _clean(message: BaseMessage, target: _Target, renamed: Mapping[str, str], replays: _Replays) -> BaseMessage:
    if isinstance(message, AIMessage) and _foreign(message, target, replays):
        message = _neutral(message)
    if not isinstance(message.content, str):
        message = _unmarked(message, target)
    return _aliased(message, renamed) if renamed else message


# --- what only its maker understands ---

_MEDIA = frozenset({"image", "image_url", "audio", "input_audio", "video", "file", "text-plain"})
_PLAIN_TEXT = frozenset({"type", "text", "index"})

_PRIVATE_KWARGS = frozenset(
    {
        "__gemini_function_call_thought_signatures__",
        "__openai_function_call_ids__",
        "function_call",  # Gemini repeats its call here; beside `tool_calls` OpenAI's API refuses it
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "tool_outputs",
    }
)

_NATIVE = _MEDIA | {"text", "refusal"}
"""What OpenAI's Chat Completions takes back."""

_MAKERS = {
    # block type in a message without `model_provider` -> who makes such blocks
    "thinking": "anthropic",
    "redacted_thinking": "anthropic",
    "server_tool_use": "anthropic",
    "reasoning_content": "bedrock_converse",
    "function_call": "openai",
    "function_call_signature": "google_genai",
}


def _foreign(message: AIMessage, target: _Target, replays: _Replays) -> bool:
    """Whether the turn carries something that the target's provider did not make and would not take."""
    blocks = () if isinstance(message.content, str) else message.content
    if _PRIVATE_KWARGS.isdisjoint(message.additional_kwargs) and not (blocks and any(map(_private, blocks))):
        return False
    maker = message.response_metadata.get("model_provider") or _maker(message)
    if maker in target.native:  # one provider, two APIs: Chat Completions refuses the items of Responses
        return maker == "openai" and any(_kind(block) not in _NATIVE for block in blocks) and not replays()
    return maker is not None


def _neutral(message: AIMessage) -> AIMessage:
    """Reduce a turn to its text, its media and its tool calls (which every provider rebuilds from `tool_calls`)."""
    content = message.content
    if not isinstance(content, str):
        kept = [block for block in map(_portable, content) if block is not None]
        texts = [block for block in kept if isinstance(block, str)]
        content = "".join(texts) if len(texts) == len(kept) else [_boxed(block) for block in kept]
    update = {
        "content": content,
        "additional_kwargs": {k: v for k, v in message.additional_kwargs.items() if k not in _PRIVATE_KWARGS},
        "response_metadata": {k: v for k, v in message.response_metadata.items() if k != "output_version"},
    }
    return message.model_copy(update=update)


def _kind(block: Any) -> str:
    return str(block.get("type", "")) if isinstance(block, dict) else "text"


def _private(block: Any) -> bool:
    kind = _kind(block)
    return (isinstance(block, dict) and not block.keys() <= _PLAIN_TEXT) if kind == "text" else kind not in _MEDIA


def _portable(block: Any) -> str | dict[str, Any] | None:
    """A block as every provider takes it: text bare, media as they are, `None` for what only its maker understands."""
    if isinstance(block, str):
        return block
    kind = _kind(block)
    if kind in {"text", "refusal"}:
        return str(block.get(kind) or "")
    return block if kind in _MEDIA else None


def _boxed(block: str | dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": block} if isinstance(block, str) else block


def _maker(message: AIMessage) -> str | None:
    """Guess who made a turn that does not say so, as turns of older packages and hand-made ones do not."""
    if "__gemini_function_call_thought_signatures__" in message.additional_kwargs:
        return "google_genai"
    for block in message.content:
        if isinstance(block, dict):
            if _kind(block) == "reasoning":
                return "openai" if str(block.get("id")).startswith("rs_") else "unknown"
            if _kind(block) in _MAKERS:
                return _MAKERS[_kind(block)]
    return None


# --- cache markers ---


def _unmarked(message: BaseMessage, target: _Target) -> BaseMessage:
    content = message.content
    if not any(_marked(block, target) for block in content):
        return message
    bare = [_bare(block) if _marked(block, target) else block for block in content]
    return message.model_copy(update={"content": [block for block in bare if block is not None] or ""})


def _marked(block: Any, target: _Target) -> bool:
    return isinstance(block, dict) and (
        ("cache_control" in block and not target.cache_control) or ("cachePoint" in block and not target.cache_point)
    )


def _bare(block: Any) -> dict[str, Any] | None:
    return None if "cachePoint" in block else {k: v for k, v in block.items() if k != "cache_control"}


# --- tool-call ids ---

_ID_KEYS = frozenset({"id", "call_id", "tool_call_id", "tool_use_id"})


def _all_call_ids(messages: list[BaseMessage]) -> Iterator[str]:
    for message in messages:
        yield from _call_ids(message)


def _call_ids(message: BaseMessage) -> Sequence[str]:
    if isinstance(message, AIMessage):
        calls = message.tool_calls
        if not calls and not message.invalid_tool_calls:
            return ()
        return [call_id for call in (*calls, *message.invalid_tool_calls) if (call_id := call["id"])]
    return (message.tool_call_id,) if isinstance(message, ToolMessage) and message.tool_call_id else ()


def _aliased(message: BaseMessage, renamed: Mapping[str, str]) -> BaseMessage:
    """Rename ids wherever a turn repeats them."""
    if renamed.keys().isdisjoint(_call_ids(message)):
        return message
    update: dict[str, Any] = {}
    if not isinstance(message.content, str):
        update["content"] = _each_aliased(message.content, renamed)
    if isinstance(message, ToolMessage):
        update["tool_call_id"] = renamed[message.tool_call_id]
    if isinstance(message, AIMessage):
        update["tool_calls"] = _each_aliased(message.tool_calls, renamed)
        update["invalid_tool_calls"] = _each_aliased(message.invalid_tool_calls, renamed)
        if raw := message.additional_kwargs.get("tool_calls"):
            update["additional_kwargs"] = {**message.additional_kwargs, "tool_calls": _each_aliased(raw, renamed)}
    if isinstance(message, AIMessageChunk):
        update["tool_call_chunks"] = _each_aliased(message.tool_call_chunks, renamed)
    return message.model_copy(update=update)


def _each_aliased(entries: Sequence[Any], renamed: Mapping[str, str]) -> list[Any]:
    return [
        {k: renamed.get(v, v) if k in _ID_KEYS and isinstance(v, str) else v for k, v in entry.items()}
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]
