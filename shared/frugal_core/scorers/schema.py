"""Is what should be structured well-formed?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frugal_core.saving import saveable
from frugal_core.scorers.base import Scorer
from frugal_core.types import Answer, Query, ToolCall


@saveable("schema_valid")
@dataclass(frozen=True)
class SchemaValid(Scorer):
    """1 when tool calls name an offered tool with arguments of its schema and structured output satisfies its own; else 0.

    Well-formed is not right: join it to a confidence, `Margin() & SchemaValid()`. It does not apply to free text, which has no
    form: there the other scorer decides, and alone it has no signal.
    """

    def applies(self, query: Query, answer: Answer) -> bool:
        """To tool calls, and where a structured answer was asked for."""
        return bool(answer.tool_calls) or query.response_format is not None or answer.parsing_error is not None

    def __call__(self, query: Query, answer: Answer) -> float | None:
        """1.0 or 0.0; `None` for free text."""
        if not self.applies(query, answer):
            return None
        if answer.parsing_error is not None:
            return 0.0
        if query.response_format is not None and answer.parsed is not None:  # perhaps out of a tool call, which is but its form
            validated = not isinstance(answer.parsed, (dict, list))  # an object of the user's class, by the framework
            return float(validated or _valid(answer.parsed, query.response_format))
        tools = {str(tool.get("name")): tool.get("parameters") or {} for tool in query.tools}
        if not all(_call_valid(call, tools) for call in answer.tool_calls):
            return 0.0
        if answer.tool_calls or query.response_format is None:
            return 1.0
        try:
            return float(_valid(json.loads(answer.text), query.response_format))
        except json.JSONDecodeError:
            return 0.0


def _call_valid(call: ToolCall, tools: Mapping[str, Mapping[str, Any]]) -> bool:
    return call.error is None and call.name in tools and _valid(dict(call.args), tools[call.name])


def _valid(instance: Any, schema: Mapping[str, Any]) -> bool:
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validator_for(dict(schema))
    try:
        kind.check_schema(dict(schema))
        return bool(kind(dict(schema), registry=Registry()).is_valid(instance))  # fetches no reference from the network
    except (SchemaError, Unresolvable):
        return True  # the user's schema is at fault, not the answer
