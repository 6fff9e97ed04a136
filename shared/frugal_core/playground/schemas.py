"""JSON schemas as they come from tools and response formats: what is wrong with one, and which branch to follow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from frugal_core.errors import ConfigurationError

_ALTERNATIVES = ("anyOf", "oneOf")
_MAX_REFERENCES = 64


class UnsatisfiableSchemaError(ConfigurationError):
    """No value that the playground can write satisfies a schema."""


def problem(schema: Any) -> str | None:
    """Say what makes a schema unusable, `None` when it can be satisfied step by step.

    Examples:
        >>> problem({"type": "object", "required": ["age"]})
        "required property 'age' is not among the properties"
        >>> problem({"type": "object", "properties": {"age": {"type": "integer"}}}) is None
        True
    """
    if not isinstance(schema, Mapping):
        return "a schema must be a JSON object"
    try:
        Draft202012Validator.check_schema(schema)
        _check(schema, schema, set(), frozenset())
    except SchemaError as error:
        return error.message
    except (ValueError, TypeError) as error:
        return str(error)
    return None


def merged(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with its `$ref` followed and its `allOf` joined; its own keywords win.

    Raises:
        ValueError: If a reference leads nowhere or in a circle.

    Examples:
        >>> merged({"$ref": "#/$defs/Age", "title": "Age"}, {"$defs": {"Age": {"type": "integer"}}})
        {'type': 'integer', 'title': 'Age'}
    """
    result = dict(schema)
    for _ in range(_MAX_REFERENCES):
        if "$ref" in result:
            result = _target(result.pop("$ref"), root) | result
        elif "allOf" in result:
            result = _joined([merged(part, root) for part in result.pop("allOf")]) | result
        else:
            return result
    raise ValueError("a $ref of the schema leads back to itself")


def branch(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema to write a value by: of alternatives, the first that is not null.

    Examples:
        >>> branch({"anyOf": [{"type": "null"}, {"type": "string"}]}, {})
        {'type': 'string'}
    """
    result = merged(schema, root)
    for keyword in _ALTERNATIVES:
        if result.get(keyword):
            options = [branch(option, root) for option in result.pop(keyword)]
            result |= next((option for option in options if option.get("type") != "null"), options[0])
    if isinstance(result.get("type"), list):
        result["type"] = next((name for name in result["type"] if name != "null"), "null")
    return result


def is_nullable(schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """Whether null satisfies a schema that has other values as well.

    Examples:
        >>> is_nullable({"type": ["string", "null"]}, {}), is_nullable({"type": "string"}, {})
        (True, False)
    """
    resolved = merged(schema, root)
    if isinstance(resolved.get("type"), list):
        return "null" in resolved["type"]
    options = [merged(option, root) for keyword in _ALTERNATIVES for option in resolved.get(keyword, ())]
    return any(option.get("type") == "null" for option in options)


def _check(schema: Mapping[str, Any], root: Mapping[str, Any], seen: set[str], path: frozenset[str]) -> None:
    """Check a schema and those below it; `path` are the ones that cannot be written without this one."""
    resolved = branch(schema, root)
    key = json.dumps(resolved, sort_keys=True, default=str)
    if key in path:
        raise ValueError("required properties are nested without end")
    _check_keywords(resolved)
    properties = resolved.get("properties", {})
    inner = path | {key}
    for name, sub in properties.items():
        needed = name in resolved.get("required", ()) and not is_nullable(sub, root)
        _check_below(sub, root, seen, inner, needed)
    if isinstance(items := resolved.get("items"), Mapping):
        _check_below(items, root, seen, inner, resolved.get("minItems", 0) > 0)
    for sub in resolved.get("prefixItems", ()):
        _check_below(sub, root, seen, inner, True)


def _check_below(
    schema: Mapping[str, Any], root: Mapping[str, Any], seen: set[str], path: frozenset[str], needed: bool
) -> None:
    key = json.dumps(schema, sort_keys=True, default=str)
    if needed:
        _check(schema, root, seen, path)
    elif key not in seen:
        seen.add(key)
        _check(schema, root, seen, frozenset())


def _check_keywords(schema: Mapping[str, Any]) -> None:
    if schema.get("enum") == []:
        raise ValueError("an enum must have at least one value")
    if unknown := [name for name in schema.get("required", ()) if name not in schema.get("properties", {})]:
        raise ValueError(f"required property {unknown[0]!r} is not among the properties")


def _target(reference: str, root: Mapping[str, Any]) -> dict[str, Any]:
    node: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step and not (isinstance(node, Mapping) and step in node):
            raise ValueError(f"the schema's reference {reference!r} leads nowhere")
        node = node[step] if step else node
    return dict(node)


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for part in parts:
        properties = {**result.get("properties", {}), **part.get("properties", {})}
        required = [*result.get("required", ()), *part.get("required", ())]
        result |= part
        if properties:
            result |= {"properties": properties, "required": required}
    return result
