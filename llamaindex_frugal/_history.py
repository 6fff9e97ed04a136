"""Cleaning a conversation for the provider that is asked next.

A cascade shows one tier's turns to another's provider. LlamaIndex's messages do not say who made them, and each
integration's converter sends on, crashes on or wants something else: signed thoughts, the SDK objects that another
integration keeps in `additional_kwargs`, missing or refused tool-call ids, cache points, citations (llama_index #19898,
#18424). Only that is changed, and only for the providers that would mind.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import LLM

from frugal_core.tool_call_ids import NINE, SHORT, SHORT_WORD, WORD
from llamaindex_frugal._call_ids import SAID, call_names
from llamaindex_frugal._tool_calls import as_object, as_text, calls_of, cohere_object, openai_dict, openai_object


def clean_history(messages: Sequence[ChatMessage], llm: LLM) -> Sequence[ChatMessage]:
    """Make a conversation fit for one tier's provider.

    Args:
        messages: The conversation; neither the list nor its messages are ever changed.
        llm: The tier's LLM.

    Returns:
        The very same object when nothing needs cleaning, else a new list in which only the turns that needed it are
        copies. No turn is dropped or invented; what is left of a turn that held only its maker's thoughts is `"..."`
        where a provider refuses an empty one.

    >>> from llama_index.core.llms import MockLLM
    >>> thought = ThinkingBlock(content="Hm.", additional_information={"signature": "..."})
    >>> turn = ChatMessage(role="assistant", blocks=[thought, TextBlock(text="Two.")])
    >>> [block.block_type for block in clean_history([turn], MockLLM())[0].blocks]
    ['text']
    """
    target = _target(llm)
    if target.cleans or not (target.merges or any(map(_suspect, messages))):
        return messages
    names = call_names(messages, target.ids) if target.ids else [()] * len(messages)
    cleaned = [_clean(message, target, own) for message, own in zip(messages, names, strict=True)]
    if target.merges:
        cleaned = _shielded(cleaned)
    return messages if all(new is old for new, old in zip(cleaned, messages, strict=True)) else cleaned


# --- providers ---

_Maker = Literal["claude", "gemini", "openai", "anyone"]


@dataclass(frozen=True, slots=True)
class _Target:
    """What a provider, and the LlamaIndex package that calls it, takes back. The defaults are safe everywhere.

    Attributes:
        thoughts: Whose thoughts it takes; `"anyone"` stands for thoughts without a signature.
        ids: Tool-call ids it accepts, one for each call; `None` means that it needs none.
        calls: Where its converter looks for tool calls: in blocks and in `additional_kwargs` as well ("blocks"), there
            only when there are no blocks ("either"), only there ("kwargs"). `None`: unknown, leave them.
        raw: A tool call as its converter wants it in `additional_kwargs`, with `calls="kwargs"`.
        arguments: The type that its API, or its converter, wants the arguments of a call in.
        kwargs: What may stand in `additional_kwargs` where the converter sends all of them.
        private: Entries of `additional_kwargs` that other providers must not see.
        cache: The type of its cache points, if it has them.
        cites: Whether it takes citations and things to cite.
        hears: Whether it takes audio in its own turns.
        sees: Whether it takes pictures in its own turns.
        blank: Whether it takes blank text in its own turns.
        empty: Whether it takes a turn without anything.
        developer: Whether it knows the developer's role; `None`: unknown, leave all roles.
        signs: Whether a tool call needs a signature, be it a stand-in.
        merges: Whether its converter merges neighbouring turns in place.
        cleans: Whether it cleans for itself.
    """

    thoughts: frozenset[_Maker] = frozenset()
    ids: re.Pattern[str] | None = None
    calls: Literal["blocks", "either", "kwargs"] | None = None
    raw: Callable[[ToolCallBlock], Any] | None = None
    arguments: type | None = None
    kwargs: frozenset[str] | None = None
    private: frozenset[str] = frozenset()
    cache: str | None = None
    cites: bool = False
    hears: bool = False
    sees: bool = True
    blank: bool = True
    empty: bool = True
    developer: bool | None = None
    signs: bool = False
    merges: bool = False
    cleans: bool = False


_OPENAI = _Target(frozenset({"anyone"}), ids=SHORT, calls="either", arguments=str, hears=True, developer=True)
_CLAUDE = _Target(
    frozenset({"claude"}),
    ids=WORD,
    calls="blocks",
    arguments=dict,
    cache="ephemeral",
    cites=True,
    sees=False,
    blank=False,
    empty=False,
    developer=False,
)
_BEDROCK = replace(_CLAUDE, private=frozenset({"tool_call_id", "status"}), cache="default", cites=False)
_BEDROCK_OTHER = replace(_BEDROCK, thoughts=frozenset({"anyone"}))
_BEDROCK_HIDDEN = replace(_BEDROCK, thoughts=frozenset({"claude", "anyone"}))
_GEMINI = _Target(
    frozenset({"gemini"}),
    calls="blocks",
    arguments=dict,
    private=frozenset({"thought_signatures"}),
    blank=False,
    empty=False,
    developer=False,
    merges=True,
)
_GEMINI_3 = replace(_GEMINI, signs=True)
_MISTRAL = _Target(ids=NINE, calls="blocks", empty=False, developer=False)
_MAGISTRAL = replace(_MISTRAL, thoughts=frozenset({"anyone"}))
_KWARGS = _Target(calls="kwargs", developer=False)


def _bedrock(model: str) -> _Target:
    """Bedrock checks the signatures of Claude's thoughts; an ARN may hide whose model it is."""
    if "claude" in model:
        return _BEDROCK
    return _BEDROCK_HIDDEN if model.startswith("arn:") else _BEDROCK_OTHER


def _gemini(model: str) -> _Target:
    """From version 3 on, Gemini answers 400 to a function call without a signature."""
    version = re.search(r"gemini-(\d+)", model)
    return _GEMINI_3 if version and int(version[1]) >= 3 else _GEMINI


def _mistral(model: str) -> _Target:
    """Its converter sends every thought, which only the reasoning models make."""
    return _MAGISTRAL if model.startswith("magistral") else _MISTRAL


_TARGETS: dict[str, _Target | Callable[[str], _Target]] = {
    # class name: what it takes back; a function of the model's name where it hangs on that
    "Anthropic": _CLAUDE,
    "BedrockConverse": _bedrock,
    "Cohere": replace(_KWARGS, raw=cohere_object),
    "FrugalLLM": _Target(cleans=True),
    "GoogleGenAI": _gemini,
    "HuggingFaceInferenceAPI": replace(_KWARGS, ids=SHORT_WORD, raw=openai_object),
    "LiteLLM": replace(
        _KWARGS,
        ids=SHORT_WORD,
        raw=openai_dict,
        kwargs=frozenset({"cache_control", "function_call", "name", "tool_call_id", "tool_calls"}),
        hears=True,
        developer=True,
    ),
    "MistralAI": _mistral,
    "Ollama": _Target(frozenset({"anyone"}), calls="blocks", arguments=dict, developer=False),
    "OpenAI": _OPENAI,
    "OpenAIResponses": replace(_OPENAI, thoughts=frozenset({"openai"}), calls="blocks", hears=False),
    "OpenRouter": replace(_OPENAI, ids=SHORT_WORD),
}
_UNKNOWN = _Target()


def _target(llm: Any) -> _Target:
    kind: type = type(llm)
    known = _known(kind)
    return known if isinstance(known, _Target) else known(str(getattr(llm, "model", "")))


@functools.lru_cache(maxsize=256)
def _known(kind: type) -> _Target | Callable[[str], _Target]:
    """What is known of a class of LLMs, or of the one it inherits from."""
    return next((_TARGETS[cls.__name__] for cls in kind.__mro__ if cls.__name__ in _TARGETS), _UNKNOWN)


# --- which turns need a look ---

_USER, _ASSISTANT, _SYSTEM = MessageRole.USER, MessageRole.ASSISTANT, MessageRole.SYSTEM


def _suspect(message: ChatMessage) -> bool:
    """Whether a turn may be anything but plain text; cheap, since it is asked of every turn of every call."""
    if message.additional_kwargs:
        return True
    role = message.role
    if role is not _USER and role is not _ASSISTANT and role is not _SYSTEM:  # hashing a role is slow
        return True
    blocks = message.blocks
    for block in blocks:
        if type(block) is not TextBlock:
            return True
        text = block.text
        if not text or text.isspace():
            return True
    return not blocks


def _clean(message: ChatMessage, target: _Target, names: Sequence[str]) -> ChatMessage:
    if not _suspect(message):
        return message
    said = message.role in SAID
    calls = _named(calls_of(message) if said else (), target, names)
    blocks = _blocks(message, target, calls, said)
    kwargs = _kwargs(message, target, calls, blocks, names)
    role = _role(message.role, target)
    update: dict[str, Any] = {}
    if not _same(blocks, message.blocks):
        update["blocks"] = blocks
    if kwargs != message.additional_kwargs:
        update["additional_kwargs"] = kwargs
    if role is not message.role:
        update["role"] = role
    return message.model_copy(update=update) if update else message


def _same(new: Sequence[object], old: Sequence[object]) -> bool:
    return len(new) == len(old) and all(one is other for one, other in zip(new, old, strict=True))


def _role(role: MessageRole, target: _Target) -> MessageRole:
    if target.developer is None:
        return role
    if role in SAID:
        return _ASSISTANT
    return _SYSTEM if role is MessageRole.DEVELOPER and not target.developer else role


# --- content ---

_SILENCE = "..."
"""Stands for a turn of which nothing is left; Anthropic refuses empty and blank text alike."""


def _blocks(message: ChatMessage, target: _Target, calls: Sequence[ToolCallBlock], said: bool) -> list[ContentBlock]:
    waiting = iter(calls)
    kept: list[ContentBlock] = []
    for block in message.blocks:
        if isinstance(block, ToolCallBlock):
            if target.calls == "kwargs":
                continue
            kept.append(next(waiting, block))
        elif isinstance(block, CachePoint):
            if target.cache == "default" or (target.cache and kept):  # Anthropic's converter raises on a leading one
                kept.append(_marked(block, target.cache))
        elif isinstance(block, CitableBlock) and not target.cites:
            kept.extend(block.content)
        elif _welcome(block, target, said):
            kept.append(block)
    if said and target.calls in {"blocks", "either"}:
        kept.extend(waiting)
    if said and not target.empty and not any(map(_says, kept)):
        return [TextBlock(text=_SILENCE)]
    return kept or ([TextBlock(text="")] if message.blocks else [])


def _welcome(block: ContentBlock, target: _Target, said: bool) -> bool:
    if isinstance(block, ThinkingBlock):
        return _maker(block) in target.thoughts
    if isinstance(block, CitationBlock):
        return target.cites
    if not said:
        return True
    if isinstance(block, TextBlock):
        return target.blank or bool(block.text.strip())
    if isinstance(block, AudioBlock):
        return target.hears
    return target.sees or not isinstance(block, ImageBlock)


def _says(block: ContentBlock) -> bool:
    if isinstance(block, TextBlock):
        return bool(block.text.strip())
    if isinstance(block, ThinkingBlock):
        return bool(block.content)
    return not isinstance(block, CachePoint | CitationBlock)


def _marked(point: CachePoint, kind: str) -> CachePoint:
    """A cache point as the provider calls it; Bedrock's converter would rename the caller's own."""
    if point.cache_control.type == kind:
        return point
    return CachePoint(cache_control=CacheControl(type=kind, ttl=point.cache_control.ttl))


def _maker(thought: ThinkingBlock) -> _Maker:
    """Who made a thought, by what its package keeps beside it. Claude's signatures hold on Bedrock as well."""
    known = thought.additional_information
    if "thought_signature" in known:
        return "gemini"
    if known.get("type") == "reasoning" or str(known.get("id", "")).startswith("rs_"):
        return "openai"
    return "claude" if known.get("signature") else "anyone"


# --- what stands beside the content ---

_PRIVATE = frozenset({"frugal", "thought_signatures"})
_PRIVATE_WHEN_SAID = _PRIVATE | {"tool_call_id", "status"}  # Bedrock's answers carry a list; Gemini's converter crashes

_STAND_IN = b"skip_thought_signature_validator"
"""Google's documented signature for calls that another model made."""


def _kwargs(
    message: ChatMessage,
    target: _Target,
    calls: Sequence[ToolCallBlock],
    blocks: Sequence[ContentBlock],
    names: Sequence[str],
) -> dict[str, Any]:
    said = message.role in SAID
    banned = (_PRIVATE_WHEN_SAID if said else _PRIVATE) - target.private
    allowed = target.kwargs
    kwargs = {k: v for k, v in message.additional_kwargs.items() if k not in banned and (allowed is None or k in allowed)}
    if names and not said:
        kwargs["tool_call_id"] = names[0]
    if said and target.calls and not (target.calls == "either" and calls and _same(blocks, message.blocks)):
        kwargs.pop("tool_calls", None)
    if calls and target.raw:
        kwargs["tool_calls"] = [target.raw(call) for call in calls]
    if calls and target.signs and not any(kwargs.get("thought_signatures") or ()):
        first = next(place for place, block in enumerate(blocks) if isinstance(block, ToolCallBlock))
        kwargs["thought_signatures"] = [None] * first + [_STAND_IN]
    return kwargs


# --- tool calls ---


def _named(calls: Sequence[ToolCallBlock], target: _Target, names: Sequence[str]) -> Sequence[ToolCallBlock]:
    """The calls with the ids, and the arguments in the form, that the provider takes."""
    named = []
    for place, call in enumerate(calls):
        call_id = names[place] if names else call.tool_call_id
        arguments = call.tool_kwargs
        if target.arguments and not isinstance(arguments, target.arguments):
            arguments = as_text(arguments) if target.arguments is str else as_object(arguments)
        if call_id != call.tool_call_id or arguments is not call.tool_kwargs:
            call = call.model_copy(update={"tool_call_id": call_id, "tool_kwargs": arguments})
        named.append(call)
    return named


# --- converters that change what they are shown ---


def _shielded(cleaned: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Copy the turns that the converter would extend by their neighbours, which it does in the caller's own lists."""
    shielded = list(cleaned)
    first = 1 if cleaned and cleaned[0].role is _SYSTEM else 0  # goes apart
    for place in range(first, len(cleaned) - 1):
        message, after = cleaned[place], cleaned[place + 1]
        if (message.role in SAID) == (after.role in SAID) and message.role is not MessageRole.TOOL:
            update = {"blocks": [*message.blocks], "additional_kwargs": {**message.additional_kwargs}}
            shielded[place] = message.model_copy(update=update)
    return shielded
