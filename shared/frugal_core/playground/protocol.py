"""OpenAI's chat completions on the wire: bodies in, responses, chunks and errors out.

Everything that OpenAI's reference lists as a parameter is accepted. Parameters that a playground model cannot honour
(`top_p`, penalties, `logit_bias` and those without effect on the text) are ignored; those that do not exist are
refused.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frugal_core.playground.chat import ChatError, ChatRequest, ChatResult, Choice, Delta, ToolCallDelta, prompt_tokens
from frugal_core.playground.checks import check
from frugal_core.playground.language_model import LanguageModel
from frugal_core.types import TokenLogprob, Usage


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A parsed body: the request, the model it is for, and how to deliver the answer."""

    model: str
    chat: ChatRequest
    stream: bool = False
    include_usage: bool = False


def parse(body: object) -> WireRequest:
    """Check a body and return what it asks for.

    Raises:
        ChatError: If anything about it is malformed; it names the parameter.

    Examples:
        >>> wire = parse({"model": "playground-small", "messages": [{"role": "user", "content": "Hi"}], "stop": "."})
        >>> wire.model, wire.chat.stop, wire.stream
        ('playground-small', ('.',), False)
    """
    if not isinstance(body, dict):
        raise ChatError("The body of the request must be a JSON object.")
    fields = {name: value for name, value in body.items() if value is not None}
    check(fields)
    stop = fields.get("stop", ())
    chat = ChatRequest(
        messages=fields["messages"],
        tools=fields.get("tools", ()),
        tool_choice=fields.get("tool_choice", "auto"),
        response_format=fields.get("response_format"),
        temperature=float(fields.get("temperature", 0.0)),
        seed=fields.get("seed"),
        n=fields.get("n", 1),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        max_tokens=fields.get("max_completion_tokens", fields.get("max_tokens")),
        logprobs=fields.get("logprobs", False),
        top_logprobs=fields.get("top_logprobs", 0),
    )
    options = fields.get("stream_options", {})
    return WireRequest(fields["model"], chat, fields.get("stream", False), bool(options.get("include_usage")))


def parameters(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request says besides its messages: a client's settings, and what a call gives, which wins.

    A setting of `None` is none, and one for `top_logprobs` turns `logprobs` on.

    Examples:
        >>> parameters({"seed": None, "stop": ["."], "top_logprobs": 3}, {"stop": ["!"]})
        {'stop': ['!'], 'top_logprobs': 3, 'logprobs': True}
    """
    own = {name: value for name, value in settings.items() if value is not None}
    if "top_logprobs" in own:
        own["logprobs"] = True
    return {**own, **given}


def tool_choice(choice: str | Mapping[str, Any] | bool, names: Collection[str]) -> str | Mapping[str, Any]:
    """Return in OpenAI's form what frameworks take as the choice of a tool.

    Examples:
        >>> tool_choice("add", {"add"}), tool_choice("any", {"add"}), tool_choice("auto", {"add"})
        ({'type': 'function', 'function': {'name': 'add'}}, 'required', 'auto')
    """
    if isinstance(choice, str) and choice in names:
        return {"type": "function", "function": {"name": choice}}
    if choice is True or choice == "any":
        return "required"
    return "none" if choice is False else choice


def head(model: LanguageModel) -> dict[str, Any]:
    """Return what a new response, and each chunk of a stream, begins with."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "created": int(time.time()),
        "model": model.name,
        "system_fingerprint": f"fp_{model.name}_{model.parameters}",
    }


def response(head: Mapping[str, Any], result: ChatResult) -> dict[str, Any]:
    """Return the body of a whole response."""
    choices = [
        {
            "index": index,
            "message": _message(choice),
            "logprobs": logprobs(choice.logprobs),
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(result.choices)
    ]
    return {**head, "object": "chat.completion", "choices": choices, "usage": usage(result.usage)}


def chunks(model: LanguageModel, request: WireRequest, deltas: Iterable[Delta]) -> Iterator[dict[str, Any]]:
    """Return the bodies of a stream's chunks as the deltas come, at the end the one with the usage if asked for."""
    beginning = head(model)
    written, begun = 0, -1
    for delta in deltas:
        first, begun = delta.choice > begun, delta.choice
        written += delta.tokens
        yield chunk(beginning, delta, first=first, include_usage=request.include_usage)
    if request.include_usage:
        yield usage_chunk(beginning, Usage(prompt_tokens(model, request.chat), written))


def chunk(head: Mapping[str, Any], delta: Delta, *, first: bool, include_usage: bool) -> dict[str, Any]:
    """Return the body of a chunk; `first` for the first one of a choice, which names the role."""
    content: dict[str, Any] = {"role": "assistant"} if first else {}
    if delta.tool_call is not None:
        content["tool_calls"] = [_tool_call_chunk(delta.tool_call)]
    elif delta.finish_reason is None:
        content["content"] = delta.text
    choice = {
        "index": delta.choice,
        "delta": content,
        "logprobs": logprobs(delta.logprobs),
        "finish_reason": delta.finish_reason,
    }
    body = {**head, "object": "chat.completion.chunk", "choices": [choice]}
    return {**body, "usage": None} if include_usage else body


def usage_chunk(head: Mapping[str, Any], tokens: Usage) -> dict[str, Any]:
    """Return the body of the last chunk of a stream with `include_usage`."""
    return {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage(tokens)}


def usage(tokens: Usage) -> dict[str, Any]:
    """Return tokens as OpenAI reports them."""
    return {
        "prompt_tokens": tokens.input_tokens,
        "completion_tokens": tokens.output_tokens,
        "total_tokens": tokens.input_tokens + tokens.output_tokens,
        "prompt_tokens_details": {"cached_tokens": tokens.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """Return log-probabilities as OpenAI reports them, `None` for none.

    Examples:
        >>> logprobs([TokenLogprob("é", -0.5)])
        {'content': [{'token': 'é', 'logprob': -0.5, 'bytes': [195, 169], 'top_logprobs': []}], 'refusal': None}
    """
    if not tokens:
        return None
    content = [
        {**_logprob(token.token, token.logprob), "top_logprobs": [_logprob(*pair) for pair in token.top]} for token in tokens
    ]
    return {"content": content, "refusal": None}


def error(cause: ChatError) -> dict[str, Any]:
    """Return the body of an error."""
    return {"error": {"message": str(cause), "type": cause.type, "param": cause.param, "code": cause.code}}


def _logprob(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "surrogatepass"))}


def _message(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
    if choice.tool_call is not None:
        function = {"name": choice.tool_call.name, "arguments": choice.tool_call.arguments}
        call = {"id": choice.tool_call.id, "type": "function", "function": function}
        message |= {"content": None, "tool_calls": [call]}
    return message


def _tool_call_chunk(part: ToolCallDelta) -> dict[str, Any]:
    if part.id is None:
        return {"index": 0, "function": {"arguments": part.arguments}}
    function = {"name": part.name, "arguments": part.arguments}
    return {"index": 0, "id": part.id, "type": "function", "function": function}
