from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms import LLM, MockLLM
from llama_index.llms.openai import OpenAI, OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseIncompleteEvent

from frugal_core.types import Usage
from llamaindex_frugal._usage import finish_reason, refuses_stream_options, reported_usage, stream_usage_kwargs
from llamaindex_frugal.playground import PlaygroundLLM

HI = [ChatMessage("Are you there?")]
INCLUDE = {"stream_options": {"include_usage": True}}


def answered(raw: Any, **fields: Any) -> ChatResponse:
    return ChatResponse(message=ChatMessage("yes", role="assistant"), raw=raw, **fields)


def _objects(value: Any) -> Any:
    """The same structure as an SDK's objects."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _objects(item) for key, item in value.items()})
    return [_objects(item) for item in value] if isinstance(value, list) else value


class FinishReason(str, enum.Enum):
    """As google.genai.types declares it."""

    MAX_TOKENS = "MAX_TOKENS"


class OldFinishReason(enum.IntEnum):
    """As google.generativeai declares it."""

    SAFETY = 3


CHOICE = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "yes"}}
COMPLETION = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
TOKENS = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
USAGE = {**TOKENS, "prompt_tokens_details": {"cached_tokens": 4}}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "m",
    "status": "incomplete",
    "incomplete_details": {"reason": "max_output_tokens"},
    "output": [],
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "usage": {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 11,
    },
}
# As `Anthropic` makes it: `dict(response)`, and `dict(event)` for the stream's `message_delta`.
ANTHROPIC_USAGE = {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2}
ANTHROPIC = {"id": "1", "type": "message", "content": [], "stop_reason": "max_tokens", "usage": _objects(ANTHROPIC_USAGE)}
ANTHROPIC_DELTA = {
    "type": "message_delta",
    "delta": SimpleNamespace(stop_reason="max_tokens", stop_sequence=None),
    "usage": _objects(ANTHROPIC_USAGE),
}
# As `BedrockConverse` makes it: `dict(response)`, and the stream's event.
BEDROCK_USAGE = {"inputTokens": 3, "outputTokens": 2, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 2, "totalTokens": 11}
BEDROCK = {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "max_tokens", "usage": BEDROCK_USAGE}
# As `GoogleGenAI` makes it: the first candidate, dumped, with the usage beside.
GOOGLE_USAGE = {
    "prompt_token_count": 8,
    "candidates_token_count": 1,
    "thoughts_token_count": 1,
    "tool_use_prompt_token_count": 1,
    "cached_content_token_count": 4,
    "total_token_count": 11,
}
GOOGLE = {"content": {"role": "model"}, "finish_reason": FinishReason.MAX_TOKENS, "usage_metadata": GOOGLE_USAGE}
# As `Ollama` makes it: `dict(response)` with `usage` added.
OLLAMA = {"model": "m", "done": True, "done_reason": "length", "prompt_eval_count": 9, "eval_count": 2, "usage": TOKENS}
# As `MistralAI` makes it: `dict(response)`, and the stream's event.
MISTRAL = {"id": "1", "choices": [_objects(CHOICE)], "usage": _objects(TOKENS)}

CACHED = {
    "openai": ChatCompletion.model_validate({**COMPLETION, "usage": USAGE}),
    "a cached response": {**COMPLETION, "usage": USAGE},
    "deepseek": ChatCompletion.model_validate({**COMPLETION, "usage": {**TOKENS, "prompt_cache_hit_tokens": 4}}),
    "responses": Response.model_validate(RESPONSE),
    "a cached response of the Responses API": RESPONSE,
    "the last event of the Responses API": ResponseIncompleteEvent.model_validate(
        {"type": "response.incomplete", "sequence_number": 1, "response": RESPONSE}
    ),
    "anthropic": ANTHROPIC,
    "anthropic's stream": ANTHROPIC_DELTA,
    "bedrock": BEDROCK,
    "google": GOOGLE,
    "google's response": _objects({"candidates": [{"finish_reason": FinishReason.MAX_TOKENS}], "usage_metadata": GOOGLE_USAGE}),
}
UNCACHED = {
    "openai": ChatCompletion.model_validate({**COMPLETION, "usage": TOKENS}),
    "ollama": OLLAMA,
    "ollama without the integration's own": {name: value for name, value in OLLAMA.items() if name != "usage"},
    "mistral": MISTRAL,
    "mistral's stream": SimpleNamespace(data=_objects({"choices": [{"finish_reason": "length"}], "usage": TOKENS})),
}


@pytest.mark.parametrize("raw", CACHED.values(), ids=CACHED)
def test_cached_tokens_are_part_of_the_input_whichever_way_they_are_counted(raw: Any) -> None:
    assert reported_usage(answered(raw)) == Usage(9, 2, 4)
    assert finish_reason(answered(raw)) == "length"
    assert reported_usage(CompletionResponse(text="yes", raw=raw)) == Usage(9, 2, 4)
    assert finish_reason(CompletionResponse(text="yes", raw=raw)) == "length"


@pytest.mark.parametrize("raw", UNCACHED.values(), ids=UNCACHED)
def test_where_nothing_was_cached(raw: Any) -> None:
    assert reported_usage(answered(raw)) == Usage(9, 2)
    assert finish_reason(answered(raw)) == "length"


def test_bedrock_s_stream_ends_with_its_usage() -> None:
    assert reported_usage(answered({"metadata": {"usage": BEDROCK_USAGE, "metrics": {}}}, delta="")) == Usage(9, 2, 4)


def test_litellm_counts_cached_tokens_in() -> None:
    """Its usage keeps Anthropic's own fields beside OpenAI's, whose count includes them."""
    usage = {**USAGE, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2}
    assert reported_usage(answered(_objects({**COMPLETION, "usage": usage}))) == Usage(9, 2, 4)


def test_hidden_reasoning_alone_is_output() -> None:
    raw = {"usage_metadata": {**GOOGLE_USAGE, "candidates_token_count": None}}
    assert reported_usage(answered(raw)) == Usage(9, 1, 4)


def test_the_framework_s_own_count_is_the_last_resort() -> None:
    assert reported_usage(answered(None, additional_kwargs=TOKENS)) == Usage(9, 2)
    assert reported_usage(answered({"id": "1"}, additional_kwargs=TOKENS)) == Usage(9, 2)
    assert reported_usage(answered(None, additional_kwargs={"usage": RESPONSE["usage"]})) == Usage(9, 2, 4)
    assert reported_usage(answered({"usage": USAGE}, additional_kwargs={"prompt_tokens": 1, "completion_tokens": 1})) == Usage(
        9, 2, 4
    )
    assert reported_usage(answered({"usage": {"prompt_tokens": "9"}}, additional_kwargs=TOKENS)) == Usage(9, 2)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        "usage",
        object(),
        {"usage": None},
        {"usage": {}},
        {"usage": "9"},
        {"usage": {"prompt_tokens": 9}},
        {"usage": {"completion_tokens": 2}},
        {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},  # filled in by the integration
        {"usage": {**TOKENS, "prompt_tokens": True}},
        {"usage": {**TOKENS, "prompt_tokens": -1}},
        {"usage": {**TOKENS, "prompt_tokens": 9.5}},
        {"usage": {**TOKENS, "completion_tokens": "2"}},
        {"usage": {**TOKENS, "prompt_tokens_details": {"cached_tokens": 10}}},
        {"usage": {**TOKENS, "prompt_tokens_details": {"cached_tokens": -1}}},
        {"usage": {**ANTHROPIC_USAGE, "cache_read_input_tokens": "4"}},
        {"usage_metadata": {**GOOGLE_USAGE, "prompt_token_count": "8"}},
        {"usage_metadata": {**GOOGLE_USAGE, "thoughts_token_count": -1}},
        {"eval_count": 2, "done_reason": "stop"},  # Ollama leaves out a prompt that it has cached
        {"prompt_eval_count": 9},
        {"metadata": {"usage": None}},
        {"choices": [], "metadata": {"usage": TOKENS}},
        {"response": None, "data": "x"},
    ],
    ids=repr,
)
def test_what_is_no_count_is_unknown(raw: Any) -> None:
    assert reported_usage(answered(raw)) is None
    assert reported_usage(answered(None, additional_kwargs={"prompt_tokens": 0, "completion_tokens": 0})) is None


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"choices": [{"finish_reason": "tool_calls"}]}, "tool_calls"),
        ({"choices": [{"finish_reason": None}]}, None),
        ({"choices": [{"finish_reason": ""}]}, None),
        ({"choices": []}, None),
        ({"choices": [None]}, None),
        ({"stop_reason": "end_turn"}, "stop"),
        ({"stopReason": "guardrail_intervened"}, "content_filter"),
        ({"done_reason": "unload"}, "unload"),
        ({"finish_reason": OldFinishReason.SAFETY}, "content_filter"),
        ({"finish_reason": 3}, None),
        ({"candidates": [{"finish_reason": "STOP"}]}, "stop"),
        ({"candidates": []}, None),
        ({"incomplete_details": None, "status": "completed"}, None),
        ({"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"delta": {"text": "yes", "type": "text_delta"}, "type": "content_block_delta"}, None),
        ({"delta": "yes", "type": "response.output_text.delta"}, None),
        (None, None),
        ("stop", None),
    ],
    ids=repr,
)
def test_each_provider_s_reason(raw: Any, reason: str | None) -> None:
    assert finish_reason(answered(raw)) == reason


def test_the_framework_s_own_reason_is_the_last_resort() -> None:
    assert finish_reason(answered(None, additional_kwargs={"stop_reason": "max_tokens"})) == "length"
    assert finish_reason(answered({"stop_reason": "end_turn"}, additional_kwargs={"stop_reason": "max_tokens"})) == "stop"


NAMES = [
    "choices",
    "usage",
    "usage_metadata",
    "response",
    "data",
    "metadata",
    "delta",
    "finish_reason",
    "incomplete_details",
    "input_tokens",
    "output_tokens",
    "prompt_tokens",
    "completion_tokens",
    "cache_read_input_tokens",
]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(raw=JUNK, additional=st.dictionaries(st.sampled_from(["usage", "prompt_tokens", "completion_tokens"]), JUNK))
def test_junk_never_raises(raw: Any, additional: dict[str, Any]) -> None:
    usage = reported_usage(answered(raw, additional_kwargs=additional))
    assert usage is None or (usage.input_tokens >= usage.cached_input_tokens >= 0 <= usage.output_tokens)
    assert isinstance(finish_reason(answered(raw, additional_kwargs=additional)), str | None)


# --- streams: the real client, a canned provider ---


@contextmanager
def served(reply: Any, status: int = 200) -> Iterator[tuple[httpx.Client, list[dict[str, Any]]]]:
    """A provider that always says the same, and what it was sent."""
    sent: list[dict[str, Any]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        if isinstance(reply, str):
            return httpx.Response(status, text=reply, headers={"content-type": "text/event-stream"})
        return httpx.Response(status, json=reply)

    with httpx.Client(transport=httpx.MockTransport(respond)) as client:
        yield client, sent


def chat(**kwargs: Any) -> OpenAI:
    return OpenAI(model="gpt-4o", api_key="test", max_retries=0, **kwargs)


def _chunk(**fields: Any) -> dict[str, Any]:
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "usage": None, "choices": [], **fields}


def test_a_stream_tells_its_reason_and_then_its_tokens() -> None:
    chunks = [
        _chunk(choices=[{"index": 0, "delta": {"content": "yes"}, "finish_reason": None}]),
        _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "length"}]),
        _chunk(usage=USAGE),
    ]
    with served("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n") as (client, sent):
        llm = chat(http_client=client)
        responses = list(llm.stream_chat(HI, **stream_usage_kwargs(llm)))
    assert sent[0]["stream_options"] == {"include_usage": True}
    assert isinstance(responses[-1].raw, ChatCompletionChunk)
    assert [finish_reason(response) for response in responses] == [None, "length", None]
    assert [reported_usage(response) for response in responses] == [None, None, Usage(9, 2, 4)]


def test_a_legacy_completion_s_stream_tells_its_tokens() -> None:
    choice = {"index": 0, "text": "yes", "finish_reason": "stop", "logprobs": None}
    head = {"id": "1", "object": "text_completion", "created": 1, "model": "m"}
    chunks = [{**head, "choices": [choice]}, {**head, "choices": [], "usage": TOKENS}]
    with served("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n") as (client, sent):
        llm = OpenAILike(model="m", api_key="test", api_base="http://localhost/v1", max_retries=0, http_client=client)
        responses = list(llm.stream_chat(HI, **stream_usage_kwargs(llm)))
    assert sent[0]["stream_options"] == {"include_usage": True}
    assert [finish_reason(response) for response in responses] == ["stop", None]
    assert [reported_usage(response) for response in responses] == [None, Usage(9, 2)]


def test_the_responses_api_s_stream_tells_both_at_its_end() -> None:
    events = [
        {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "incomplete_details": None, "usage": None}},
        {"type": "response.incomplete", "sequence_number": 1, "response": RESPONSE},
    ]
    text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    with served(text) as (client, _):
        llm = OpenAIResponses(model="gpt-4o", api_key="test", max_retries=0, http_client=client)
        responses = list(llm.stream_chat(HI, **stream_usage_kwargs(llm)))
    assert [finish_reason(response) for response in responses] == [None, "length"]
    assert [reported_usage(response) for response in responses] == [None, Usage(9, 2, 4)]


def test_the_playground_tells_the_same_streamed_or_not() -> None:
    llm = PlaygroundLLM()
    whole, streamed = llm.chat(HI), list(llm.stream_chat(HI, **stream_usage_kwargs(llm)))
    assert reported_usage(streamed[-1]) == reported_usage(whole) is not None
    assert finish_reason(whole) in [finish_reason(response) for response in streamed]


@pytest.mark.parametrize(
    ("llm", "kwargs"),
    [
        (chat(), INCLUDE),
        (OpenAILike(model="m", api_key="test"), INCLUDE),
        (chat(additional_kwargs={"seed": 1}), INCLUDE),
        (chat(additional_kwargs={"stream_options": {"include_usage": False}}), {}),
        (OpenAIResponses(model="gpt-4o", api_key="test"), {}),
        (type("LiteLLM", (), {"additional_kwargs": {}})(), INCLUDE),
        (type("LiteLLM", (), {"additional_kwargs": {"stream_options": {}}})(), {}),
        (type("Anthropic", (), {"additional_kwargs": {}})(), {}),
        (MockLLM(), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_streams_are_asked_for_their_tokens_where_they_need_it(llm: LLM, kwargs: dict[str, Any]) -> None:
    assert stream_usage_kwargs(llm) == kwargs


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_to_count_is_recognised(status: int) -> None:
    complaint = {
        "error": {"message": "Unrecognized request argument supplied: stream_options", "type": "invalid_request_error"}
    }
    with served(complaint, status) as (client, _), pytest.raises(openai.APIStatusError) as caught:
        list(chat(http_client=client).stream_chat(HI, **INCLUDE))
    assert refuses_stream_options(caught.value)


def test_other_complaints_are_no_refusal_to_count() -> None:
    with served({"error": {"message": "temperature"}}, 400) as (client, _), pytest.raises(openai.APIStatusError) as caught:
        list(chat(http_client=client).stream_chat(HI, **INCLUDE))
    assert not refuses_stream_options(caught.value)
    assert not refuses_stream_options(TimeoutError("stream_options"))
