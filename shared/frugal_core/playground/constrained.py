"""Writing JSON that satisfies a schema: the schema forces the structure, the model decides the values.

Each value is decoded under a constraint of `frugal_core.playground.grammar`, with the model's own probabilities. Where
values come from depends on what is asked:

- A structured *answer* is the model's own answer to the user's text: numbers, words, yes or no, one of an enum. A list
  is the answer's parts between commas.
- The *arguments* of a tool are copied from the conversation (`Sources`): numbers from its numbers, strings from its
  quotes, names and phrases; the model chooses among them.

An optional property is written when the user's text mentions its name or a word of its description. Enforced are types,
enums, constants, required properties, lengths, bounds, `$ref`, `anyOf` (its first branch that is not null) and list
lengths. Not enforced are `pattern`, `format`, `multipleOf`, `uniqueItems` and `not`.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from frugal_core.playground import grammar
from frugal_core.playground.language_model import GeneratedToken, LanguageModel
from frugal_core.playground.reading import content_words, numbers
from frugal_core.playground.schemas import UnsatisfiableSchemaError, branch, is_nullable, merged

ROOM = 32
"""Tokens of the context window that must be left for each value."""

_MAX_ITEMS = 8
_MAX_DEPTH = 4
_YES_NO = {"Yes": True, "No": False}


@dataclass(slots=True)
class Sources:
    """What arguments of a tool may be copied from; each part is used once.

    Attributes:
        numbers: The conversation's numbers.
        spans: Its parts, by kind, the most telling kind first.
        ordered: Whether the numbers are already in the order of the arguments.
        expression: A calculation to copy into the first string, `None` when there is none.
    """

    numbers: list[str] = field(default_factory=list)
    spans: list[list[str]] = field(default_factory=list)
    ordered: bool = False
    expression: str | None = None

    def take_numbers(self, integer: bool, bounds: grammar.Bounds) -> list[str]:
        """Return the numbers that fit, only the first if they are ordered."""
        fitting = [n for n in self.numbers if grammar.is_number(n, bounds) and not (integer and "." in n)]
        return fitting[:1] if self.ordered else fitting

    def take_strings(self, shortest: int, longest: float) -> list[str]:
        """Return the strings of the first kind that has some of a fitting length left."""
        if self.expression is not None:
            return [self.expression]
        kinds = ([span for span in kind if shortest <= len(span) <= longest] for kind in self.spans)
        return next((kind for kind in kinds if kind), [])

    def use(self, text: str) -> None:
        """Mark a part as used up."""
        if text == self.expression:
            self.expression = None
        if text in self.numbers:
            self.numbers.remove(text)
        self.spans = [[span for span in kind if span != text] for kind in self.spans]


@dataclass(slots=True)
class JsonWriter:
    """Writes one JSON value token by token.

    Attributes:
        model: Decides the values.
        prompt: What the model reads before each value.
        root: The whole schema, for its references.
        user_text: Decides which optional properties are written.
        sources: Where to copy from; `None` for the model's own answers.
        temperature: For the values; 0 takes the most probable.
        seed: Makes sampling reproducible.
        top_logprobs: How many alternatives to report for each token.
    """

    model: LanguageModel
    prompt: Sequence[int]
    root: Mapping[str, Any]
    user_text: str
    sources: Sources | None = None
    temperature: float = 0.0
    seed: int | None = None
    top_logprobs: int = 5
    _draws: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def write(self) -> Iterator[GeneratedToken]:
        """Yield the tokens of a JSON text that satisfies the schema.

        Tokens that the schema forces have probability 1.

        Raises:
            UnsatisfiableSchemaError: On the way, if no value satisfies a part of the schema.
        """
        return self._value(self.root, 0)

    def choose(self, options: Sequence[str]) -> str:
        """Return the option that the model prefers."""
        return _text(self._generate(grammar.one_of(self.model.tokenizer, options)))

    def _value(self, schema: Mapping[str, Any], depth: int) -> Iterator[GeneratedToken]:
        if depth >= _MAX_DEPTH and is_nullable(schema, self.root):
            return self._forced("null")
        schema = branch(schema, self.root)
        if "const" in schema:
            return self._forced(_dumps(schema["const"]))
        if "enum" in schema:
            return self._chosen({value if isinstance(value, str) else _dumps(value): value for value in schema["enum"]})
        match schema.get("type", "object" if "properties" in schema else "string"):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return self._number(schema)
            case "boolean":
                return self._chosen(_YES_NO)
            case "null":
                return self._forced("null")
            case _:
                return self._string(schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> Iterator[GeneratedToken]:
        properties = schema.get("properties", {})
        wanted = [name for name in properties if self._is_wanted(name, schema, depth)] or list(properties)[:1]
        opening = "{"
        for name in wanted:
            yield from self._forced(f"{opening}{_dumps(name)}:")
            if is_nullable(properties[name], self.root) and not self._is_mentioned(name, properties[name]):
                yield from self._forced("null")
            else:
                yield from self._value(properties[name], depth + 1)
            opening = ","
        yield from self._forced("}" if wanted else "{}")

    def _is_wanted(self, name: str, schema: Mapping[str, Any], depth: int) -> bool:
        if name in schema.get("required", ()):
            return True
        return depth < _MAX_DEPTH and self._is_mentioned(name, schema["properties"][name])

    def _is_mentioned(self, name: str, schema: Mapping[str, Any]) -> bool:
        words = content_words(name, str(merged(schema, self.root).get("description", "")))
        return bool(words & content_words(self.user_text))

    def _array(self, schema: Mapping[str, Any], depth: int) -> Iterator[GeneratedToken]:
        fixed: list[Mapping[str, Any]] = list(schema.get("prefixItems", ()))
        items: Mapping[str, Any] = schema["items"] if isinstance(schema.get("items"), Mapping) else {}
        fewest = max(schema.get("minItems", 0), len(fixed))
        most = max(fewest, min(schema.get("maxItems", _MAX_ITEMS), _MAX_ITEMS))
        parts = [] if fixed else self._parts(items)[:most]
        if parts and len(parts) >= fewest:
            yield from self._forced(_dumps(parts))
            return
        count = max(fewest, 1 if depth < _MAX_DEPTH and most else 0)
        schemas = itertools.islice(itertools.chain(fixed, itertools.repeat(items)), count)
        opening = "["
        for item in schemas:
            yield from self._forced(opening)
            yield from self._value(item, depth + 1)
            opening = ","
        yield from self._forced("]" if count else "[]")

    def _parts(self, items: Mapping[str, Any]) -> list[Any]:
        """Return the items of a list of plain numbers or strings, none where the items are of another type."""
        items = branch(items, self.root)
        kind = items.get("type", "string")
        if "enum" in items or "const" in items or kind not in ("integer", "number", "string"):
            return []
        if self.sources is None:
            answer = _text(self._generate(grammar.plain_text(self.model.tokenizer)))
            found = numbers(answer) if kind != "string" else re.split(r"\s*(?:[,;]|\band\b)\s*", answer.strip())
        elif kind == "string":
            found = self.sources.take_strings(*_lengths(items))
        else:
            found = list(self.sources.numbers)
        if kind == "string":
            shortest, longest = _lengths(items)
            return [part for part in found if max(shortest, 1) <= len(part) <= longest]
        bounds = _bounds(items)
        return [json.loads(n) for n in found if grammar.is_number(n, bounds) and not (kind == "integer" and "." in n)]

    def _number(self, schema: Mapping[str, Any]) -> Iterator[GeneratedToken]:
        integer, bounds = schema["type"] == "integer", _bounds(schema)
        options = self.sources.take_numbers(integer, bounds) if self.sources else []
        tokens = self._copied(options)
        if not tokens:
            tokens = self._generate(grammar.number(self.model.tokenizer, integer=integer, bounds=bounds))
        if not grammar.is_number(_text(tokens), bounds):
            raise UnsatisfiableSchemaError(f"no number that can be written satisfies the schema {_dumps(dict(schema))}")
        yield from tokens

    def _string(self, schema: Mapping[str, Any]) -> Iterator[GeneratedToken]:
        shortest, longest = _lengths(schema)
        tokens = self._copied(self.sources.take_strings(shortest, longest) if self.sources else [])
        if not tokens and longest:
            most = None if longest == math.inf else int(longest)
            text = grammar.plain_text(self.model.tokenizer, min_length=max(1, shortest), max_length=most)
            tokens = self._generate(text)
        yield from self._quoted(tokens)

    def _chosen(self, options: Mapping[str, Any]) -> Iterator[GeneratedToken]:
        """Let the model choose among texts and write the value that the chosen one stands for."""
        tokens = self._generate(grammar.one_of(self.model.tokenizer, options))
        value = options[_text(tokens)]
        if isinstance(value, str):
            yield from self._quoted(tokens)
            return
        first, *others = self._forced(_dumps(value))
        yield dataclasses.replace(first, logprob=sum(token.logprob for token in tokens))
        yield from others

    def _copied(self, options: Sequence[str]) -> list[GeneratedToken]:
        if not options or self.sources is None:
            return []
        tokens = self._generate(grammar.one_of(self.model.tokenizer, options))
        self.sources.use(_text(tokens))
        return tokens

    def _generate(self, allowed: grammar.Allowed) -> list[GeneratedToken]:
        seed = None if self.seed is None else self.seed * 1_000_003 + next(self._draws)
        return list(
            self.model.generate(
                self.prompt,
                max_tokens=self.model.context_window if self.sources else ROOM,
                temperature=self.temperature,
                seed=seed,
                top_logprobs=self.top_logprobs,
                allowed=allowed,
            )
        )

    def _quoted(self, tokens: Sequence[GeneratedToken]) -> Iterator[GeneratedToken]:
        yield from self._forced('"')
        for token in tokens:
            yield dataclasses.replace(token, text=_dumps(token.text)[1:-1])
        yield from self._forced('"')

    def _forced(self, text: str) -> Iterator[GeneratedToken]:
        decoder = self.model.tokenizer.stream_decoder()
        for index in self.model.tokenizer.encode(text):
            piece = decoder.feed(index)
            yield GeneratedToken(piece, 0.0, ((piece, 0.0),) if self.top_logprobs else (), index)


def _bounds(schema: Mapping[str, Any]) -> grammar.Bounds:
    low = schema.get("minimum", -math.inf)
    high = schema.get("maximum", math.inf)
    if "exclusiveMinimum" in schema:
        low = max(low, math.nextafter(schema["exclusiveMinimum"], math.inf))
    if "exclusiveMaximum" in schema:
        high = min(high, math.nextafter(schema["exclusiveMaximum"], -math.inf))
    return grammar.Bounds(low, high)


def _lengths(schema: Mapping[str, Any]) -> tuple[int, float]:
    return schema.get("minLength", 0), schema.get("maxLength", math.inf)


def _text(tokens: Sequence[GeneratedToken]) -> str:
    return "".join(token.text for token in tokens)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
