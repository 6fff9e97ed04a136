"""Whatever the schema and whatever the temperature: the JSON satisfies it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from frugal_core.playground.constrained import JsonWriter, Sources
from frugal_core.playground.grammar import Bounds
from frugal_core.playground.language_model import LanguageModel
from frugal_core.playground.reading import numbers, spans
from frugal_core.playground.schemas import problem

TEXT = "Convert 12 metres of 'red rope' from Ann, 3.5 kilograms of Tom's and -7 points to a long list."

_bounds = st.tuples(st.integers(-2000, 2000), st.integers(0, 5000))
_names = st.sampled_from(["name", "rope", "kilograms", "points", "größe", 'a "key"'])


def _number(kind: str, bounds: tuple[int, int]) -> dict[str, Any]:
    return {"type": kind, "minimum": bounds[0], "maximum": bounds[0] + bounds[1]}


_leaves: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"type": "string"}),
    st.tuples(st.integers(0, 6), st.integers(0, 12)).map(
        lambda n: {"type": "string", "minLength": n[0], "maxLength": n[0] + n[1]}
    ),
    st.just({"type": "integer"}),
    st.builds(_number, st.sampled_from(["integer", "number"]), _bounds),
    st.just({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.just({"enum": ["red", "blue", 3, None, True]}),
    st.just({"const": {"fixed": [1, "é"]}}),
)


def _containers(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def an_object(properties: dict[str, Any], optional: bool) -> dict[str, Any]:
        required = [] if optional else list(properties)
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    def an_array(items: dict[str, Any], fewest: int, more: int) -> dict[str, Any]:
        return {"type": "array", "items": items, "minItems": fewest, "maxItems": fewest + more}

    return st.one_of(
        st.builds(an_object, st.dictionaries(_names, inner, max_size=3), st.booleans()),
        st.builds(an_array, inner, st.integers(0, 3), st.integers(0, 3)),
        inner.map(lambda schema: {"anyOf": [schema, {"type": "null"}]}),
        st.lists(inner, min_size=1, max_size=2).map(
            lambda parts: {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
        ),
    )


@settings(deadline=None, max_examples=60)
@given(schema=st.recursive(_leaves, _containers, max_leaves=5), copy=st.booleans(), seed=st.integers(0, 2**63))
def test_json_always_satisfies_its_schema(schema: dict[str, Any], copy: bool, seed: int) -> None:
    assert problem(schema) is None
    model = LanguageModel.load("playground-small")
    sources = Sources(numbers(TEXT), spans(TEXT)) if copy else None
    writer = JsonWriter(model, model.prompt(TEXT), schema, TEXT, sources, temperature=1.5, seed=seed)
    text = "".join(token.text for token in writer.write())
    Draft202012Validator(schema).validate(json.loads(text))


def test_ordered_numbers_are_taken_in_their_order() -> None:
    ordered, free = (Sources(["61", "2.5", "25"], ordered=ordered) for ordered in (True, False))
    assert free.take_numbers(integer=True, bounds=Bounds()) == ["61", "25"]
    assert ordered.take_numbers(integer=False, bounds=Bounds()) == ["61"]
    ordered.use("61")
    assert ordered.take_numbers(integer=True, bounds=Bounds()) == ["25"]


def test_the_most_telling_kind_of_string_that_fits_is_taken() -> None:
    sources = Sources(spans=[["a long quote"], ["Ann", "Bo"]], expression="1+2")
    assert sources.take_strings(0, math.inf) == ["1+2"]
    sources.use("1+2")
    assert sources.take_strings(0, math.inf) == ["a long quote"]
    assert sources.take_strings(3, 5) == ["Ann"]
    sources.use("Ann")
    assert sources.take_strings(0, 5) == ["Bo"]
    assert sources.take_strings(20, 30) == []


@pytest.fixture
def node() -> dict[str, Any]:
    properties = {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}
    return {"$defs": {"Node": {"type": "object", "properties": properties, "required": ["value", "next"]}}}


def test_recursive_schemas_come_to_an_end(node: dict[str, Any]) -> None:
    schema = {**node, "$ref": "#/$defs/Node"}
    assert problem(schema) is None
    model = LanguageModel.load("playground-small")
    for text in ("The next one?", "Nothing."):
        writer = JsonWriter(model, model.prompt(text), schema, text)
        written = json.loads("".join(token.text for token in writer.write()))
        Draft202012Validator(schema).validate(written)
        assert (written["next"] is None) == (text == "Nothing.")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("integer", "must be a JSON object"),
        ({"type": "int"}, "'int' is not valid"),
        ({"enum": []}, "at least one value"),
        ({"type": "object", "required": ["a"]}, "'a' is not among the properties"),
        ({"properties": {"a": {"$ref": "#/$defs/A"}}}, "'#/$defs/A' leads nowhere"),
        ({"$defs": {"A": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}, "leads back to itself"),
        ({"type": "string", "minLength": "two"}, "'two' is not of type 'integer'"),
        (
            {"$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}}, "$ref": "#/$defs/A"},
            "nested without end",
        ),
    ],
)
def test_problems_of_a_schema_are_told(schema: Any, said: str) -> None:
    assert said in (problem(schema) or "")
