"""Tool calls in the forms in which LlamaIndex's integrations keep and want them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.utils import parse_partial_json

from frugal_core.fields import field


def calls_of(message: ChatMessage) -> Sequence[ToolCallBlock]:
    """A turn's tool calls: its blocks, or else what an integration or an older version keeps in `additional_kwargs`."""
    if calls := [block for block in message.blocks if isinstance(block, ToolCallBlock)]:
        return calls
    raw = message.additional_kwargs.get("tool_calls")
    return [call for call in map(read_call, raw) if call] if isinstance(raw, list | tuple) else ()


def read_call(raw: Any) -> ToolCallBlock | None:
    """A tool call of any SDK: OpenAI, LiteLLM, Mistral, Hugging Face (nested), Anthropic, Bedrock, Gemini, Cohere (flat).

    >>> read_call({"toolUseId": "t1", "name": "add", "input": {"a": 1}})
    ToolCallBlock(block_type='tool_call', tool_call_id='t1', tool_name='add', tool_kwargs={'a': 1})
    """
    function = _first(raw, "function") or raw
    name = _first(function, "name", "tool_name")
    arguments = _first(function, "arguments", "input", "args", "parameters", "tool_kwargs")
    call_id = _first(raw, "call_id", "toolUseId", "tool_call_id", "tool_id", "id")
    if not isinstance(name, str) or not name:
        return None
    return ToolCallBlock(
        tool_call_id=call_id if isinstance(call_id, str) else None,
        tool_name=name,
        tool_kwargs=arguments if isinstance(arguments, dict | str) else {},
    )


def _first(raw: Any, *names: str) -> Any:
    """The first of these fields that there is."""
    return next((value for name in names if (value := field(raw, name)) is not None), None)


def openai_dict(call: ToolCallBlock) -> Any:
    """A call as LiteLLM wants it."""
    function = {"name": call.tool_name, "arguments": as_text(call.tool_kwargs)}
    return {"id": call.tool_call_id, "type": "function", "function": function}


def openai_object(call: ToolCallBlock) -> Any:
    """A call as Hugging Face's client wants it."""
    function = SimpleNamespace(name=call.tool_name, arguments=as_text(call.tool_kwargs))
    return SimpleNamespace(id=call.tool_call_id, type="function", function=function)


def cohere_object(call: ToolCallBlock) -> Any:
    """A call as Cohere's converter wants it."""
    return SimpleNamespace(name=call.tool_name, parameters=as_object(call.tool_kwargs))


def as_text(arguments: dict[str, Any] | str) -> str:
    """Arguments as JSON text."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def as_object(arguments: dict[str, Any] | str) -> dict[str, Any]:
    """Arguments as an object; what a model left unfinished is read as far as it goes, what is no object is none."""
    if isinstance(arguments, dict):
        return arguments
    try:
        read = parse_partial_json(arguments)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
