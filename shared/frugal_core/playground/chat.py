"""Chat completions of the playground models, in the vocabulary of OpenAI's API and free of any framework.

What the models read: the last user turn alone and, once a tool has answered, that call with its result (see
`frugal_core.playground.reading`). System prompts and earlier turns are counted in the usage, and not read; of
multimodal content the text is read. The context window therefore bounds the last user turn, not the conversation.

JSON and tool arguments are written under constraints (`frugal_core.playground.constrained`); when and which tool is
called is decided in `frugal_core.playground.calling`. Nothing is canned: what a model was not trained for, it does
badly.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frugal_core.errors import FrugalError
from frugal_core.playground import grammar
from frugal_core.playground.calling import Call, decide_call
from frugal_core.playground.constrained import ROOM, JsonWriter
from frugal_core.playground.endings import FinishReason, Tokens, limited, until
from frugal_core.playground.language_model import GeneratedToken, LanguageModel
from frugal_core.playground.reading import Reading, content_text, quoted_identifiers, schema_in
from frugal_core.playground.schemas import UnsatisfiableSchemaError
from frugal_core.types import TokenLogprob, Usage

MAX_TEXT_TOKENS = 64
"""Tokens of a text where the request sets no limit; the models are trained on far shorter answers."""

_COLDEST = 0.001


class ChatError(FrugalError):
    """A request that cannot be answered, in OpenAI's terms.

    Attributes:
        status: HTTP status.
        type: OpenAI's class of error, such as ``invalid_request_error``.
        param: The parameter at fault, `None` when there is none.
        code: OpenAI's code, such as ``context_length_exceeded``, `None` when there is none.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.type, self.param, self.code = status, type, param, code


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What is asked of a model. Fields mean what they mean in OpenAI's API.

    Attributes:
        messages: The conversation, as OpenAI's dicts.
        tools: Functions on offer, as OpenAI's dicts.
        tool_choice: "auto", "none", "required" or ``{"type": "function", "function": {"name": ...}}``.
        response_format: ``{"type": "json_object"}``, ``{"type": "json_schema", ...}`` or `None` for text.
        temperature: 0, the default here, takes the most probable token, and so does anything below 0.001.
        seed: Makes sampling reproducible; each of `n` choices draws differently.
        n: How many choices.
        stop: Texts that end the output and are not part of it.
        max_tokens: The most tokens to write; `None` for the model's own limit.
        logprobs: Whether to report the tokens' log-probabilities.
        top_logprobs: How many alternatives to report for each token.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] = "auto"
    response_format: Mapping[str, Any] | None = None
    temperature: float = 0.0
    seed: int | None = None
    n: int = 1
    stop: Sequence[str] = ()
    max_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A part of a tool call: first its id and name, then its arguments piece by piece as JSON text."""

    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """What one step adds to a choice.

    Attributes:
        choice: Which of the `n` choices.
        text: Text to append.
        tool_call: Part of the choice's tool call.
        logprobs: Of the tokens of `text`, if asked for.
        tokens: How many tokens this step cost.
        finish_reason: Why the choice ended; set on its last delta alone.
    """

    choice: int = 0
    text: str = ""
    tool_call: ToolCallDelta | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    tokens: int = 0
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One whole answer: a text or a tool call."""

    text: str
    tool_call: ToolCallDelta | None
    logprobs: tuple[TokenLogprob, ...]
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class ChatResult:
    """All choices, and the tokens that they took together."""

    choices: tuple[Choice, ...]
    usage: Usage


def complete(model: LanguageModel, request: ChatRequest) -> ChatResult:
    """Answer a request.

    Raises:
        ChatError: If the last user turn exceeds the context window, or a schema cannot be satisfied.

    Examples:
        >>> model = LanguageModel.load("playground-large")
        >>> request = ChatRequest([{"role": "user", "content": "What is 12 plus 7?"}])
        >>> complete(model, request).choices[0].text
        '19'
    """
    return collect(model, request, stream(model, request))


def collect(model: LanguageModel, request: ChatRequest, deltas: Iterable[Delta]) -> ChatResult:
    """Put the deltas of a stream together."""
    steps = list(deltas)
    choices = tuple(_joined([delta for delta in steps if delta.choice == index]) for index in range(request.n))
    return ChatResult(choices, Usage(prompt_tokens(model, request), sum(delta.tokens for delta in steps)))


def stream(model: LanguageModel, request: ChatRequest) -> Iterator[Delta]:
    """Answer a request step by step, one choice after the other.

    Raises:
        ChatError: As `complete`; an exceeded context window at the call, before the first step.

    Examples:
        >>> model = LanguageModel.load("playground-large")
        >>> request = ChatRequest([{"role": "user", "content": "What can you do?"}])
        >>> "".join(delta.text for delta in stream(model, request))
        'I can answer small questions.'
    """
    reading = Reading.of(request.messages)
    longest = _prompt(model, request, reading, tools=bool(request.tools))
    room = ROOM if request.tools or request.response_format else 1
    if len(longest) + room > model.context_window:
        raise ChatError(
            f"Input tokens exceed the configured limit of {model.context_window - room} tokens. Your messages resulted "
            f"in {len(longest)} tokens. Please reduce the length of the messages.",
            param="messages",
            code="context_length_exceeded",
        )
    return (delta for index in range(request.n) for delta in _choice(model, request, reading, index))


def prompt_tokens(model: LanguageModel, request: ChatRequest) -> int:
    """Count the tokens of all messages and tools, whether the model reads them or not.

    Each message costs two tokens besides its content, for its role and its end.
    """
    count = model.tokenizer.encode
    tools = sum(len(count(json.dumps(tool, ensure_ascii=False))) for tool in request.tools)
    calls = sum(len(count(json.dumps(m["tool_calls"]))) for m in request.messages if m.get("tool_calls"))
    return tools + calls + sum(2 + len(count(content_text(m.get("content")))) for m in request.messages)


def _prompt(model: LanguageModel, request: ChatRequest, reading: Reading, *, tools: bool) -> list[int]:
    if reading.tool_result is not None:
        calculation = (reading.tool_call or "", reading.tool_result)
        return model.prompt(reading.user_text, tools=True, calculation=calculation)
    return model.prompt(reading.user_text, tools=tools and request.tool_choice != "none")


def _choice(model: LanguageModel, request: ChatRequest, reading: Reading, index: int) -> Iterator[Delta]:
    seed = None if request.seed is None else (request.seed + index) % 2**63
    top = request.top_logprobs if request.logprobs else 0
    temperature = request.temperature if request.temperature >= _COLDEST else 0.0
    writer = JsonWriter(model, (), {}, reading.user_text, None, temperature, seed, top)
    try:
        call = decide_call(writer, request.tools, request.tool_choice, answered=reading.tool_result is not None)
        if call is not None:
            yield from _call_deltas(model, request, call, index)
            return
        writer.prompt = _prompt(model, request, reading, tools=False)
        tokens = limited(_answer(writer, request), request.max_tokens)
        yield from _text_deltas(until(tokens, request.stop), request, index)
    except UnsatisfiableSchemaError as error:
        raise ChatError(f"Invalid schema: {error}.", param="tools" if request.tools else "response_format") from error


def _answer(writer: JsonWriter, request: ChatRequest) -> Tokens:
    schema = _schema(request)
    if schema is not None:
        writer.root = schema
        yield from writer.write()
        return "stop"
    return (
        yield from writer.model.generate(
            writer.prompt,
            max_tokens=request.max_tokens or MAX_TEXT_TOKENS,
            temperature=writer.temperature,
            seed=writer.seed,
            top_logprobs=writer.top_logprobs,
            allowed=grammar.plain_text(writer.model.tokenizer),
        )
    )


def _schema(request: ChatRequest) -> Mapping[str, Any] | None:
    """Return the schema to answer by: the given one or, in JSON mode, what the prompt says about it.

    In JSON mode that is a schema spelled out in the messages, else their quoted identifiers as keys, else one key.
    """
    form = request.response_format or {"type": "text"}
    if form["type"] == "json_schema":
        schema: Mapping[str, Any] = form["json_schema"].get("schema") or {"type": "object"}
        return schema
    if form["type"] == "text":
        return None
    texts = [content_text(m.get("content")) for m in request.messages if m["role"] in ("system", "developer", "user")]
    keys = quoted_identifiers(texts) or ["answer"]
    strings = {key: {"type": "string"} for key in keys}
    return schema_in(texts) or {"type": "object", "properties": strings, "required": keys}


def _call_deltas(model: LanguageModel, request: ChatRequest, call: Call, index: int) -> Iterator[Delta]:
    identifier = f"call_{uuid.uuid4().hex[:24]}"
    yield Delta(index, tool_call=ToolCallDelta(identifier, call.name), tokens=len(model.tokenizer.encode(call.name)))
    tokens = limited(call.arguments, request.max_tokens)
    reason = yield from _each(tokens, lambda token: Delta(index, tool_call=ToolCallDelta(arguments=token.text), tokens=1))
    complete_reason: FinishReason = "stop" if isinstance(request.tool_choice, Mapping) else "tool_calls"
    yield Delta(index, finish_reason="length" if reason == "length" else complete_reason)


def _text_deltas(tokens: Tokens, request: ChatRequest, index: int) -> Iterator[Delta]:
    def delta(token: GeneratedToken) -> Delta:
        logprob = TokenLogprob(token.text, token.logprob, token.top[: request.top_logprobs])
        return Delta(index, token.text, logprobs=(logprob,) if request.logprobs else (), tokens=1)

    reason = yield from _each(tokens, delta)
    yield Delta(index, finish_reason=reason)


def _each(tokens: Tokens, delta: Callable[[GeneratedToken], Delta]) -> Generator[Delta, None, FinishReason]:
    while True:
        try:
            token = next(tokens)
        except StopIteration as end:
            reason: FinishReason = end.value
            return reason
        yield delta(token)


def _joined(deltas: Sequence[Delta]) -> Choice:
    calls = [delta.tool_call for delta in deltas if delta.tool_call]
    call = ToolCallDelta(calls[0].id, calls[0].name, "".join(part.arguments for part in calls)) if calls else None
    reason = deltas[-1].finish_reason
    if reason is None:
        raise ValueError("the last delta of a choice has no finish reason")
    logprobs = tuple(logprob for delta in deltas for logprob in delta.logprobs)
    return Choice("".join(delta.text for delta in deltas), call, logprobs, reason)
