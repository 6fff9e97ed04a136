"""Whatever JSON comes in: it is answered or refused, and nothing else happens."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from frugal_core.playground.chat import ChatError, complete
from frugal_core.playground.checks import _CHECKS
from frugal_core.playground.language_model import LanguageModel
from frugal_core.playground.protocol import parse

_words = st.sampled_from(
    ["", "a", "user", "assistant", "tool", "text", "function", "json_schema", "json_object", "auto", "required", "string"]
)
_keys = st.sampled_from(
    [
        *("role", "content", "type", "text", "name", "function", "tool_calls", "id", "arguments", "tool_call_id"),
        *("parameters", "properties", "required", "items", "enum", "anyOf", "$ref", "json_schema", "schema", "description"),
        *("minimum", "maxLength", "minItems", "prefixItems", "allOf", "const", "include_usage"),
    ]
)
_scalars = st.none() | st.booleans() | st.integers(-3, 40) | st.floats(allow_nan=True) | _words
_json: st.SearchStrategy[Any] = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4), max_leaves=8
)
_types = st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array", ["integer", "null"]])
_keywords = st.sampled_from(["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "exclusiveMinimum"])
_leaves = st.builds(
    lambda kind, more: {"type": kind, **more}, _types, st.dictionaries(_keywords, st.integers(0, 9), max_size=2)
)
_schemas: st.SearchStrategy[Any] = st.recursive(
    st.one_of(_leaves, _leaves, _leaves, st.dictionaries(_keys, _scalars, max_size=2)),
    lambda inner: st.one_of(
        st.dictionaries(_keys, inner, max_size=2).map(
            lambda properties: {"type": "object", "properties": properties, "required": list(properties)}
        ),
        st.builds(dict, type=st.just("object"), properties=st.dictionaries(_keys, inner, max_size=2)),
        st.builds(dict, type=st.just("array"), items=inner, minItems=st.integers(0, 3)),
        st.builds(dict, anyOf=st.lists(inner, max_size=2)),
        st.builds(dict, allOf=st.lists(inner, max_size=2)),
    ),
    max_leaves=4,
)
_functions: st.SearchStrategy[Any] = st.builds(dict, name=_words, description=_words, parameters=_schemas)
_good: dict[str, st.SearchStrategy[Any]] = {
    "messages": st.just([{"role": "user", "content": "Is 3 in a list with a name? Use JSON."}]),
    "temperature": st.floats(0, 2),
    "seed": st.integers(),
    "stop": st.sampled_from(["a", ["1", "2"]]),
    "logprobs": st.just(True),
    "top_logprobs": st.integers(0, 20),
    "stream": st.just(True),
    "tool_choice": st.sampled_from(["auto", "required", "none"]),
    "tools": st.lists(st.builds(dict, type=st.just("function"), function=_functions), max_size=2),
    "response_format": st.builds(dict, type=st.just("json_schema"), json_schema=st.builds(dict, name=_words, schema=_schemas)),
    "max_tokens": st.integers(1, 20),
    "n": st.integers(1, 2),
}
_messages: st.SearchStrategy[Any] = st.lists(
    st.builds(dict, role=_words, content=_words | _json, tool_calls=_json, tool_call_id=_words), max_size=3
)


@st.composite
def _bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a body of which most parameters are good and some are anything."""
    body: dict[str, Any] = {"model": "playground-small", "messages": draw(_good["messages"])}
    for name in draw(st.sets(st.sampled_from(sorted(_CHECKS)), max_size=4)):
        anything = _messages if name == "messages" else _json
        body[name] = draw(anything if draw(st.integers(0, 7)) == 0 else _good.get(name, st.none()))
    if "tool_choice" in body:
        body.setdefault("tools", draw(_good["tools"]))
    body["model"] = body["model"] or "playground-small"
    return body


@settings(deadline=None, max_examples=300)
@given(body=_bodies())
def test_any_json_is_answered_or_refused(body: dict[str, Any]) -> None:
    with contextlib.suppress(ChatError):
        result = complete(LanguageModel.load("playground-small"), parse(body).chat)
        assert len(result.choices) == (body.get("n") or 1)
