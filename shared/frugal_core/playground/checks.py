"""What OpenAI's API refuses: each parameter alone, and parameters that do not go together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from frugal_core.playground.chat import ChatError
from frugal_core.playground.schemas import problem

_WITHOUT_EFFECT = """
frequency_penalty logit_bias metadata modalities parallel_tool_calls prediction presence_penalty prompt_cache_key
prompt_cache_retention reasoning_effort safety_identifier service_tier store top_p user verbosity
"""
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def check(fields: Mapping[str, Any]) -> None:
    """Check the parameters of a request that are not null.

    Raises:
        ChatError: If one is missing, unknown, of the wrong type or out of range; it names the parameter.

    Examples:
        >>> check({"model": "playground-small", "messages": [{"role": "user", "content": "Hi"}], "n": 0})
        Traceback (most recent call last):
            ...
        frugal_core.playground.chat.ChatError: Invalid 'n': expected an integer from 1 to 128, but got 0 instead.
    """
    if unknown := sorted(fields.keys() - _CHECKS.keys() - set(_WITHOUT_EFFECT.split())):
        raise ChatError(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0], code="unknown_parameter")
    if missing := [name for name in ("model", "messages") if name not in fields]:
        raise ChatError(f"Missing required parameter: '{missing[0]}'.", param=missing[0], code="missing_required_parameter")
    for name, value in fields.items():
        if name in _CHECKS and (expected := _CHECKS[name](value)):
            message = f"Invalid '{name}': {expected}, but got {_shown(value)} instead."
            raise ChatError(message, param=name, code="invalid_value")
    _check_together(fields)


def _check_together(fields: Mapping[str, Any]) -> None:
    _check_messages(fields["messages"])
    names = [tool["function"]["name"] for tool in fields.get("tools", ())]
    choice = fields.get("tool_choice")
    if choice is not None and not names:
        raise ChatError("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if isinstance(choice, dict) and choice["function"]["name"] not in names:
        raise ChatError(f"Tool choice '{choice['function']['name']}' not found in 'tools' parameter.", param="tool_choice")
    if "top_logprobs" in fields and not fields.get("logprobs"):
        raise ChatError("'top_logprobs' is only allowed when 'logprobs' is enabled.", param="top_logprobs")
    if "stream_options" in fields and not fields.get("stream"):
        raise ChatError("'stream_options' is only allowed when 'stream' is enabled.", param="stream_options")
    wants_json = fields.get("response_format", {}).get("type") == "json_object"
    if wants_json and "json" not in str(fields["messages"]).casefold():
        raise ChatError(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            param="messages",
        )


def _check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    """Check that each tool call is followed by its result, and each result preceded by its call."""
    open_calls: set[str] = set()
    answered: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls | answered:
                raise ChatError(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
                    param=f"messages.[{index}].role",
                )
            answered.add(message["tool_call_id"])
            open_calls.discard(message["tool_call_id"])
            continue
        _check_answered(open_calls)
        open_calls, answered = {call["id"] for call in message.get("tool_calls") or ()}, set()
    _check_answered(open_calls)


def _check_answered(open_calls: Iterable[str]) -> None:
    if missing := ", ".join(sorted(open_calls)):
        raise ChatError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {missing}",
            param="messages",
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


_Check = Callable[[Any], str | None]
"""Says what was expected of a value, `None` when it is as expected."""


def _integer(low: int, high: float = math.inf) -> _Check:
    limits = f"from {low} to {high}" if high < math.inf else f"of at least {low}"
    described = f"expected an integer {limits}"
    return lambda value: None if type(value) is int and low <= value <= high else described


def _number(low: float, high: float) -> _Check:
    described = f"expected a number from {low:g} to {high:g}"
    return lambda value: None if type(value) in (int, float) and low <= value <= high else described


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "expected a boolean"


def _string(value: Any) -> str | None:
    return None if isinstance(value, str) else "expected a string"


def _stop(value: Any) -> str | None:
    texts = [value] if isinstance(value, str) else value
    good = isinstance(texts, list) and len(texts) <= 4 and all(isinstance(text, str) and text for text in texts)
    return None if good else "expected a non-empty string or an array of up to 4 of them"


def _messages(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return "expected an array of at least one message"
    return next((said for index, message in enumerate(value) if (said := _message_problem(index, message))), None)


def _message_problem(index: int, message: Any) -> str | None:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return f"expected 'messages[{index}]' to be an object with a 'role' among {', '.join(_ROLES)}"
    content, calls = message.get("content"), message.get("tool_calls")
    if not _is_content(content) and not (content is None and message["role"] == "assistant"):
        return f"expected 'messages[{index}].content' to be a string or an array of content parts"
    if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
        return f"expected 'messages[{index}].tool_call_id' to be a string"
    if calls is not None and not (isinstance(calls, list) and all(map(_is_call, calls))):
        return f"expected 'messages[{index}].tool_calls' to be an array of calls with 'id' and 'function'"
    return None


def _is_content(content: Any) -> bool:
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(
        isinstance(part, dict)
        and isinstance(part.get("type"), str)
        and (part["type"] != "text" or isinstance(part.get("text"), str))
        for part in content
    )


def _is_call(call: Any) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return (
        isinstance(function, dict)
        and isinstance(call.get("id"), str)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), str)
    )


def _tools(value: Any) -> str | None:
    if not isinstance(value, list):
        return "expected an array of tools"
    for index, tool in enumerate(value):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return f"expected 'tools[{index}]' to be of type 'function' and to have a function with a 'name'"
        if not isinstance(function.get("description") or "", str):
            return f"expected 'tools[{index}].function.description' to be a string"
        if function.get("parameters") is not None and (wrong := problem(function["parameters"])):
            return f"expected 'tools[{index}].function.parameters' to be a schema that can be satisfied ({wrong})"
    return None


def _tool_choice(value: Any) -> str | None:
    function = value.get("function") if isinstance(value, dict) and value.get("type") == "function" else None
    named = isinstance(function, dict) and isinstance(function.get("name"), str)
    expected = "expected 'none', 'auto', 'required' or an object that names a function"
    return None if named or value in ("none", "auto", "required") else expected


def _response_format(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in ("text", "json_object"):
        return None
    form = value.get("json_schema") if kind == "json_schema" else None
    if not isinstance(form, dict) or not isinstance(form.get("name"), str):
        return "expected a type among 'text', 'json_object' and 'json_schema', the last with a named 'json_schema'"
    wrong = problem(form.get("schema") or {"type": "object"})
    return f"expected a schema that can be satisfied ({wrong})" if wrong else None


def _stream_options(value: Any) -> str | None:
    good = isinstance(value, dict) and all(isinstance(option, bool) for option in value.values())
    return None if good else "expected an object of booleans"


_CHECKS: Mapping[str, _Check] = {
    "model": _string,
    "messages": _messages,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "response_format": _response_format,
    "temperature": _number(0, 2),
    "seed": _integer(-(2**63), 2**63 - 1),
    "n": _integer(1, 128),
    "stop": _stop,
    "max_tokens": _integer(1),
    "max_completion_tokens": _integer(1),
    "logprobs": _boolean,
    "top_logprobs": _integer(0, 20),
    "stream": _boolean,
    "stream_options": _stream_options,
}
