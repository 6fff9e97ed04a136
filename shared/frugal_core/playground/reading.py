"""What a playground model takes from a conversation: the text it answers, and what may be copied from it.

A model of a few million parameters reads the last user turn alone, and after a tool call the call and its result.
System prompts and earlier turns are counted and billed, and not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w])|(?<=[A-Za-z_(])\d+(?:\.\d+)?")
_QUOTED = re.compile(r"(?<!\w)'([^']+)'(?!\w)|\"([^\"]+)\"|`([^`]+)`|“([^”]+)”|‘([^’]+)’|「([^」]+)」|«([^»]+)»")
_NAME = re.compile(r"[A-Z][\w’'-]*(?:,? [A-Z][\w’'-]*)*")
_PREPOSITION = r"\b(?:in|at|for|of|about|on|from|to|with|named|called)\b"
_AFTER_PREPOSITION = re.compile(rf"{_PREPOSITION}\s+((?:(?!\s+{_PREPOSITION})[^.,;:!?])+)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")

_FUNCTION_WORDS = """
a about after all am an and any are as ask at be been before but by call called can could create did do does each few
find for from generate get give given had has have he hello help her hey hi his how i if in input into is it its just
key keys let like list look make may me must my name named need no not of on one only or other our out output over
please put respond result return returns run say set she should show so some take takes tell than thank thanks that
the their them then there these they thing this those to tool up us use used user uses using value want was we were
what when where which who why will with without would write you your
"""
_WITHOUT_MEANING = frozenset(_FUNCTION_WORDS.split())


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model reads of a conversation.

    Attributes:
        user_text: Text of the last user turn.
        tool_call: The arguments of the tool call that was just answered, as text; `None` when none was.
        tool_result: The tool's result, as text; `None` when the conversation does not end with one.
    """

    user_text: str
    tool_call: str | None = None
    tool_result: str | None = None

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, Any]]) -> Reading:
        """Read a conversation in OpenAI's form.

        Examples:
            >>> Reading.of([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}])
            Reading(user_text='2 + 2?', tool_call=None, tool_result=None)
        """
        user_text = next((content_text(m.get("content")) for m in reversed(messages) if m["role"] == "user"), "")
        results: list[str] = []
        for message in reversed(messages):
            if message["role"] not in ("tool", "function"):
                break
            results.insert(0, _result_text(content_text(message.get("content"))))
        if not results:
            return cls(user_text)
        return cls(user_text, _last_call(messages), ", ".join(results))


def content_text(content: Any) -> str:
    """Return the text of a message's content; blocks that are not text are left out.

    Examples:
        >>> content_text([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {}}])
        'What is this?'
    """
    if isinstance(content, str):
        return content
    return " ".join(block["text"] for block in content or () if block.get("type") == "text")


def numbers(text: str) -> list[str]:
    """Return the numbers in a text in their order, without thousands separators.

    Examples:
        >>> numbers("Is 1,200 more than -3.5 or magic(7)?")
        ['1200', '-3.5', '7']
    """
    return [found.replace(",", "") for found in _NUMBER.findall(text)]


def spans(text: str) -> list[list[str]]:
    """Return the parts of a text that a string argument may be copied from, the most telling kind first.

    The kinds are: what stands in quotes, names, what follows a preposition, content words, the whole text.

    Examples:
        >>> spans("What is the weather in San Francisco, CA?")[:2]
        [['San Francisco, CA'], ['San Francisco']]
        >>> spans("Open a file called 'a b.txt'.")[0]
        ['a b.txt']
    """
    quoted = ["".join(groups).strip() for groups in _QUOTED.findall(text)]
    names = [name for match in _NAME.finditer(text) if (name := _without_function_words(match.group()))]
    phrases = [match.group(1).strip() for match in _AFTER_PREPOSITION.finditer(text)]
    words = [word for word in _WORD.findall(text) if word.casefold() not in _WITHOUT_MEANING]
    return [unique for kind in (quoted, names, phrases, words, [text.strip()]) if (unique := _unique(kind))]


def content_words(*texts: str) -> frozenset[str]:
    """Return the words that carry meaning, in lower case; identifiers are taken apart, plurals lose their s.

    Examples:
        >>> sorted(content_words("get_weather", "Get the weather at a location."))
        ['location', 'weather']
    """
    apart = (re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).replace("_", " ") for text in texts)
    words = (word.casefold() for text in apart for word in _WORD.findall(text))
    return frozenset(word.removesuffix("s") for word in words if len(word) > 2 and word not in _WITHOUT_MEANING)


def schema_in(texts: Sequence[str]) -> dict[str, Any] | None:
    """Return the JSON schema of an object that a prompt spells out, `None` when there is none.

    Examples:
        >>> schema_in(['Answer by this schema: {"properties": {"city": {"type": "string"}}}'])
        {'properties': {'city': {'type': 'string'}}}
    """
    decoder = json.JSONDecoder()
    for text in texts:
        for start in (match.start() for match in re.finditer(r"\{", text)):
            try:
                value, _ = decoder.raw_decode(text, start)
            except ValueError:
                continue
            if isinstance(value, dict) and isinstance(value.get("properties"), dict):
                return value
    return None


def quoted_identifiers(texts: Sequence[str]) -> list[str]:
    """Return what stands in quotes and could be a key of a JSON object.

    Examples:
        >>> quoted_identifiers(["Reply in JSON with 'setup' and 'punchline' keys."])
        ['setup', 'punchline']
    """
    quoted = ("".join(groups) for text in texts for groups in _QUOTED.findall(text))
    return _unique([word for word in quoted if word.isidentifier()])


def _without_function_words(name: str) -> str:
    """Drop words such as "What" that are capitals only because a sentence begins with them."""
    words = name.split(" ")
    while words and words[0].rstrip(",").casefold() in _WITHOUT_MEANING:
        words.pop(0)
    return " ".join(words)


def _unique(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def _result_text(text: str) -> str:
    """Return the one value of a JSON object such as ``{"result": 3}``, and any other text as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _last_call(messages: Sequence[Mapping[str, Any]]) -> str:
    calls = next((m["tool_calls"] for m in reversed(messages) if m.get("tool_calls")), ())
    texts: list[str] = []
    for call in calls:
        try:
            arguments = json.loads(call["function"]["arguments"])
        except ValueError:
            arguments = call["function"]["arguments"]
        texts.append(" ".join(map(str, arguments.values())) if isinstance(arguments, dict) else str(arguments))
    return " ".join(texts)
