"""Whether a tool is called, which one, and with what arguments.

With ``tool_choice="auto"`` a tool is called when the user's text mentions a word of its name or description, or when
the model itself begins its answer with the call token and one of the tools takes the calculation that it then writes,
which is of two numbers of the text. After a tool's result the model answers without a further call. "required" and a
named function always call.

A call that the caller has forced by name asks for an answer in that shape (this is how structured output by function
calling works): its arguments are the model's own answers, unless the function takes the model's calculation. All other
arguments are copied from the conversation.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frugal_core.playground import grammar
from frugal_core.playground.constrained import JsonWriter, Sources
from frugal_core.playground.language_model import GeneratedToken
from frugal_core.playground.reading import content_words, numbers, spans
from frugal_core.playground.schemas import branch

_CALCULATION_WORDS = content_words(
    "arithmetic calculate calculation calculator compute equation eval evaluate expression formula math mathematical"
)
_MAX_NUMBERS = 8


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call: the function's name and its arguments as tokens of a JSON text, written as they are read."""

    name: str
    arguments: Iterator[GeneratedToken]


def decide_call(
    writer: JsonWriter, tools: Sequence[Mapping[str, Any]], choice: str | Mapping[str, Any], *, answered: bool
) -> Call | None:
    """Return the tool call that the model makes, `None` when it answers by itself.

    Args:
        writer: Knows the model, the user's text and how to sample; is left set to write the arguments.
        tools: The functions on offer, as OpenAI's dicts.
        choice: OpenAI's `tool_choice`.
        answered: Whether the conversation ends with a tool's result.
    """
    if not tools or choice == "none" or (choice == "auto" and answered):
        return None
    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    writer.prompt = writer.model.prompt(writer.user_text, tools=True)
    calculation = _calculation(writer)
    if isinstance(choice, Mapping):
        function = functions[choice["function"]["name"]]
        own_answer = calculation is None or not _takes(function, calculation)
        return _call(writer, function, calculation, own_answer)
    mentioned = _most_mentioned(functions, writer.user_text)
    fitting = [name for name, function in functions.items() if calculation and _takes(function, calculation)]
    candidates = mentioned or fitting or (list(functions) if choice == "required" else [])
    if not candidates:
        return None
    name = candidates[0] if len(candidates) == 1 else writer.choose(candidates)
    return _call(writer, functions[name], calculation, False)


def _call(writer: JsonWriter, function: Mapping[str, Any], calculation: str | None, own_answer: bool) -> Call:
    writer.root = function.get("parameters") or {"type": "object"}
    if own_answer:
        writer.prompt = writer.model.prompt(writer.user_text)
        return Call(function["name"], writer.write())
    writer.prompt = [*writer.prompt, writer.model.tokenizer.call]
    taken = calculation if calculation and _takes(function, calculation) else None
    writer.sources = Sources(
        numbers=numbers(writer.user_text) if taken is None else _operands(taken),
        spans=_copyable(writer.user_text, function),
        ordered=taken is not None,
        expression=taken,
    )
    return Call(function["name"], writer.write())


def _copyable(text: str, function: Mapping[str, Any]) -> list[list[str]]:
    """Return the parts of a text that arguments are copied from; words that only name the function are none."""
    own = content_words(function["name"], function.get("description") or "")
    return [[span for span in kind if not content_words(span) or content_words(span) - own] for kind in spans(text)]


def _calculation(writer: JsonWriter) -> str | None:
    """Return the expression that the model wants calculated, `None` when it does not begin with the call token.

    The expression is under a constraint as well: a sum, difference or product of two numbers of the text.
    """
    operands = itertools.permutations(numbers(writer.user_text)[:_MAX_NUMBERS], 2)
    options = {f"{a}{sign}{b}" for a, b in operands for sign in "+-*"}
    if not options:
        return None
    model, call = writer.model, writer.model.tokenizer.call
    text, expression = grammar.plain_text(model.tokenizer), grammar.one_of(model.tokenizer, options)

    def allowed(generated: list[int]) -> Collection[int]:
        return expression(generated[1:]) if generated else {call, *text([])}

    tokens = model.generate(writer.prompt, temperature=writer.temperature, seed=writer.seed, top_logprobs=0, allowed=allowed)
    first = next(tokens, None)
    if first is None or first.id != call:
        return None
    return "".join(token.text for token in tokens)


def _operands(calculation: str) -> list[str]:
    """Return the numbers of an expression; a minus between two of them is not a sign."""
    return numbers(" ".join(calculation.replace("-", " - ").split()))


def _takes(function: Mapping[str, Any], calculation: str) -> bool:
    """Whether a function takes a calculation: its operands as numbers, or the expression as its one string."""
    root = function.get("parameters") or {}
    properties = root.get("properties", {})
    required = [branch(properties[name], root) for name in root.get("required", ())]
    kinds = [schema.get("type", "string") for schema in required]
    if kinds == ["string"]:
        words = content_words(function["name"], function.get("description") or "", *root["required"])
        return bool(words & _CALCULATION_WORDS)
    return all(kind in ("integer", "number") for kind in kinds) and len(kinds) == len(_operands(calculation)) > 1


def _most_mentioned(functions: Mapping[str, Mapping[str, Any]], text: str) -> list[str]:
    spoken = content_words(text)
    counts = {
        name: len(spoken & content_words(name, function.get("description") or "")) for name, function in functions.items()
    }
    most = max(counts.values())
    return [name for name, count in counts.items() if most and count == most]
