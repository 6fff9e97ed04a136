"""Is what should be structured well-formed? Tool calls, structured output, and schemas that are at fault themselves."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from core_builders import make_query, says
from frugal_core.scorers import SchemaValid
from frugal_core.types import Answer, ToolCall

CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}
SEARCH = {"name": "search", "description": "Searches.", "parameters": CITY}
PING = {"name": "ping"}


def valid(answer: Answer, **query: Any) -> float | None:
    return SchemaValid()(make_query(**query), answer)


def calling(*calls: ToolCall) -> Answer:
    return says("", tool_calls=calls)


def sure(query: Any, answer: Answer) -> float:
    return 0.7


def unheard(query: Any, answer: Answer) -> None:
    return None


FREE = [(says("anything at all"), {}), (says("no call needed"), {"tools": [SEARCH]})]


@pytest.mark.parametrize(("answer", "query"), FREE)
def test_free_text_is_none_of_its_business(answer: Answer, query: dict[str, Any]) -> None:
    assert SchemaValid()(make_query(**query), answer) is None


@pytest.mark.parametrize(("answer", "query"), FREE)
def test_over_free_text_the_other_scorer_decides_alone(answer: Answer, query: dict[str, Any]) -> None:
    asked = make_query(**query)
    for joined in (SchemaValid() & sure, SchemaValid() | sure, SchemaValid().or_else(sure), (SchemaValid() & sure) & sure):
        assert joined(asked, answer) == 0.7
    for joined in (SchemaValid() & unheard, SchemaValid() | unheard, SchemaValid().or_else(unheard)):
        assert joined(asked, answer) is None  # a missing signal is not mended by what has nothing to say
    assert (SchemaValid() & SchemaValid())(asked, answer) is None


def test_over_a_tool_call_both_decide() -> None:
    asked, good = make_query(tools=[SEARCH]), calling(ToolCall("search", {"name": "Paris"}))
    bad = calling(ToolCall("search", {"name": 1}))
    assert (SchemaValid() & sure)(asked, good) == 0.7
    assert (SchemaValid() & sure)(asked, bad) == 0.0
    assert SchemaValid().or_else(sure)(asked, good) == 1.0
    assert (SchemaValid() & unheard)(asked, good) is None


# Structured output


@pytest.mark.parametrize(
    ("content", "score"),
    [
        ({"name": "Paris", "people": 2_000_000}, 1.0),
        ({"name": "Paris"}, 1.0),
        ({"people": 1}, 0.0),
        ({"name": 1}, 0.0),
        ({"name": "Paris", "people": "many"}, 0.0),
        ({"name": "Paris", "people": -1}, 0.0),
        ({"name": "Paris", "river": "Seine"}, 0.0),
        ([], 0.0),
        ("Paris", 0.0),
    ],
)
def test_structured_output_must_satisfy_its_schema(content: Any, score: float) -> None:
    assert valid(says(json.dumps(content)), response_format=CITY) == score


@pytest.mark.parametrize("content", [{"people": 1}, {"name": 1}, [1]])
def test_parsed_output_is_held_to_its_schema_as_well(content: Any) -> None:
    """A parser that takes any JSON has not looked at the schema."""
    assert valid(says(json.dumps(content), parsed=content), response_format=CITY) == 0.0
    assert valid(says('{"name": "Paris"}', parsed={"name": "Paris"}), response_format=CITY) == 1.0


def test_an_object_of_the_users_class_has_been_validated() -> None:
    assert valid(says("", parsed=object()), response_format=CITY) == 1.0


@pytest.mark.parametrize("text", ["Paris", "", '{"name": "Par', "```json\n{}\n```", "{'name': 'Paris'}"])
def test_what_is_not_json_is_invalid(text: str) -> None:
    assert valid(says(text), response_format=CITY) == 0.0


def test_a_parsing_error_is_invalid_whatever_the_rest() -> None:
    assert valid(says('{"name": "Paris"}', parsing_error="Expecting value")) == 0.0


# Tool calls


def test_calls_of_offered_tools_with_fitting_arguments_are_valid() -> None:
    call = ToolCall("search", {"name": "Paris"})
    assert valid(calling(call), tools=[SEARCH]) == 1.0
    assert valid(calling(call, ToolCall("ping", {"any": "thing"})), tools=[SEARCH, PING]) == 1.0


@pytest.mark.parametrize(
    "call",
    [
        ToolCall("drop_table", {"name": "Paris"}),
        ToolCall("Search", {"name": "Paris"}),
        ToolCall("search", {"name": 1}),
        ToolCall("search", {}),
        ToolCall("search", {"name": "Paris", "river": "Seine"}),
        ToolCall("search", {}, error="Expecting ',' delimiter"),
        ToolCall("ping", {}, error="unterminated string"),
    ],
    ids=["unknown", "case", "type", "missing", "additional", "unparsed", "unparsed free"],
)
def test_one_bad_call_spoils_the_answer(call: ToolCall) -> None:
    assert valid(calling(call), tools=[SEARCH, PING]) == 0.0
    assert valid(calling(ToolCall("search", {"name": "Paris"}), call), tools=[SEARCH, PING]) == 0.0


def test_a_call_where_no_tool_was_offered_is_invalid() -> None:
    assert valid(calling(ToolCall("search", {"name": "Paris"}))) == 0.0


def test_a_tool_call_may_come_instead_of_structured_output() -> None:
    assert valid(calling(ToolCall("search", {"name": "Paris"})), tools=[SEARCH], response_format=CITY) == 1.0


# Schemas


def test_references_within_the_schema_are_followed() -> None:
    schema = {"type": "object", "properties": {"city": {"$ref": "#/$defs/city"}}, "$defs": {"city": CITY}}
    assert valid(says('{"city": {"name": "Paris"}}'), response_format=schema) == 1.0
    assert valid(says('{"city": {"name": 1}}'), response_format=schema) == 0.0


@pytest.mark.parametrize("schema", [{"type": "objct"}, {"properties": []}, {"$ref": "#/$defs/nowhere"}])
def test_a_schema_at_fault_is_not_the_answers_fault(schema: dict[str, Any]) -> None:
    assert valid(says('{"name": "Paris"}'), response_format=schema) == 1.0


def test_a_reference_to_the_network_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a scorer must not go online")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    schema = {"type": "object", "properties": {"name": {"$ref": "http://schemas.test/name.json"}}}
    assert valid(says('{"name": "Paris"}'), response_format=schema) == 1.0


def test_older_drafts_mean_what_they_meant() -> None:
    draft4 = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0, "exclusiveMinimum": True}},
    }
    assert valid(says('{"n": 1}'), response_format=draft4) == 1.0
    assert valid(says('{"n": 0}'), response_format=draft4) == 0.0
