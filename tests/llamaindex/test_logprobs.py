from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LogProb, ThinkingBlock
from llama_index.core.llms import LLM, MockLLM
from llama_index.llms.openai import OpenAI, OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from frugal_core.provider_logprobs import refuses_logprobs
from frugal_core.types import TokenLogprob
from llamaindex_frugal._logprobs import extract_logprobs, logprob_kwargs
from llamaindex_frugal.playground import PlaygroundLLM

ASK = {"logprobs": True, "top_logprobs": 10}
INCLUDE = "message.output_text.logprobs"
HI = [ChatMessage("Are you there?")]


def chat(model: str = "gpt-4o", **kwargs: Any) -> OpenAI:
    return OpenAI(model=model, api_key="test", max_retries=0, **kwargs)


def like(**kwargs: Any) -> OpenAILike:
    return OpenAILike(model="m", api_key="test", api_base="http://localhost/v1", max_retries=0, **kwargs)


def responses(model: str = "gpt-4o", **kwargs: Any) -> OpenAIResponses:
    return OpenAIResponses(model=model, api_key="test", max_retries=0, **kwargs)


def named(*names: str, chats: bool = True, **fields: Any) -> Any:
    """An LLM whose class and bases are called like an integration's, without its package."""
    cls: type = object
    for name in reversed(names):
        cls = type(name, (cls,), {})
    llm = cls()
    fields = {"additional_kwargs": {}, "metadata": SimpleNamespace(is_chat_model=chats), **fields}
    given = {"top_logprobs": 0, "logprobs": None, **fields} if "OpenAI" in names else fields  # its defaults
    vars(llm).update(given, model_fields_set=set(fields))
    return llm


# --- asking ---


@pytest.mark.parametrize(
    ("llm", "kwargs"),
    [
        (chat(), ASK),
        (chat("gpt-5-chat-latest"), ASK),
        (chat("gpt-5.2", reasoning_effort="none"), ASK),
        (chat("gpt-5.2", additional_kwargs={"reasoning_effort": "none"}), ASK),
        (chat("o1"), None),
        (chat("gpt-5-mini"), None),
        (chat("gpt-5.2", reasoning_effort="low"), None),
        (chat("gpt-3.5-turbo-instruct"), {"logprobs": 5}),
        (like(is_chat_model=True), ASK),
        (like(), {"logprobs": 5}),
        (responses(), {"include": [INCLUDE], "top_logprobs": 10}),
        (responses("o3"), None),
        (responses("gpt-5.2", reasoning_options={"effort": "none"}), {"include": [INCLUDE], "top_logprobs": 10}),
        (MockLLM(), None),
    ],
    ids=lambda value: getattr(value, "model", None),
)
def test_openai_is_asked_where_it_answers(llm: LLM, kwargs: dict[str, Any] | None) -> None:
    assert logprob_kwargs(llm) == kwargs


@pytest.mark.parametrize(
    ("llm", "kwargs"),
    [
        (chat(logprobs=False), None),
        (chat(additional_kwargs={"logprobs": False}), None),
        (chat(logprobs=True, top_logprobs=3), {}),
        (chat(logprobs=True, top_logprobs=0), {}),
        (chat(top_logprobs=3), {"logprobs": True, "top_logprobs": 3}),
        (chat(top_logprobs=0), ASK),
        (chat(additional_kwargs={"logprobs": True}), {"top_logprobs": 10}),
        (chat(additional_kwargs={"top_logprobs": 2}), {"logprobs": True}),
        (chat(logprobs=True, additional_kwargs={"top_logprobs": 2}), {}),
        (chat(logprobs=True), {"extra_body": {"top_logprobs": 10}}),
        (chat(logprobs=True, additional_kwargs={"extra_body": {"seed": 1}}), {}),
        (like(logprobs=True), {"extra_body": {"logprobs": 5}}),
        (like(logprobs=True, top_logprobs=3), {}),
        (like(top_logprobs=3), {"logprobs": 3}),
        (like(additional_kwargs={"logprobs": 4}), {}),
        (
            responses(include=["reasoning.encrypted_content"]),
            {"include": ["reasoning.encrypted_content", INCLUDE], "top_logprobs": 10},
        ),
        (responses(include=[INCLUDE]), {"top_logprobs": 10}),
        (responses(additional_kwargs={"include": [INCLUDE], "top_logprobs": 2}), {}),
    ],
    ids=repr,
)
def test_what_the_user_set_is_completed_and_never_overridden(llm: LLM, kwargs: dict[str, Any] | None) -> None:
    assert logprob_kwargs(llm) == kwargs


@pytest.mark.parametrize(
    ("llm", "kwargs"),
    [
        (named("AzureOpenAI", "OpenAI", model="gpt-4o", engine="mine"), ASK),
        (named("AzureOpenAI", "OpenAI", model="gpt-4o", engine="o3-mini"), None),
        (named("OpenRouter", "OpenAILike", "OpenAI", model="meta-llama/llama-3.3-70b"), ASK),
        (named("OpenRouter", "OpenAILike", "OpenAI", model="openai/o3"), None),
        (named("DeepSeek", "OpenAILike", "OpenAI", model="deepseek-chat"), ASK),
        (named("DeepSeek", "OpenAILike", "OpenAI", model="deepseek-reasoner"), None),
        (named("Fireworks", "OpenAI", model="accounts/fireworks/models/m"), {"logprobs": True, "top_logprobs": 5}),
        (named("TogetherLLM", "OpenAILike", "OpenAI", model="m"), {"logprobs": 10}),
        (named("TogetherLLM", "OpenAILike", "OpenAI", model="m", logprobs=True), {"extra_body": {"logprobs": 10}}),
        (named("Groq", "OpenAILike", "OpenAI", model="m"), None),
        (named("LiteLLM", model="gpt-4o"), ASK),
        (named("LiteLLM", model="gpt-4o", additional_kwargs={"logprobs": True}), {"top_logprobs": 10}),
        (named("LiteLLM", model="openai/o3"), None),
        (named("GoogleGenAI", _generation_config={}), {"generation_config": {"response_logprobs": True, "logprobs": 10}}),
        (
            named("GoogleGenAI", _generation_config={"response_logprobs": True, "logprobs": None}),
            {"generation_config": {"logprobs": 10}},
        ),
        (named("GoogleGenAI", _generation_config={"response_logprobs": True, "logprobs": 3}), {}),
        (named("GoogleGenAI", _generation_config={"response_logprobs": False}), None),
        (named("HuggingFaceInferenceAPI", task=None), {"logprobs": True, "top_logprobs": 5}),
        (named("HuggingFaceInferenceAPI", task="text-generation"), None),
        (named("LlamaCPP", generate_kwargs={"logprobs": 5}), {}),
        (named("LlamaCPP", generate_kwargs={}), None),
        (PlaygroundLLM(), ASK),
        (PlaygroundLLM(logprobs=True), ASK),
        (PlaygroundLLM(logprobs=False), None),
        (PlaygroundLLM(top_logprobs=3), {"logprobs": True, "top_logprobs": 3}),
        (PlaygroundLLM(logprobs=True, top_logprobs=3), {}),
        *((named(name), None) for name in ("Anthropic", "BedrockConverse", "MistralAI", "Ollama", "Vllm", "Cohere", "Other")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_integration_in_its_own_words(llm: Any, kwargs: dict[str, Any] | None) -> None:
    assert logprob_kwargs(llm) == kwargs


def test_an_heir_of_a_user_is_asked_like_his_base() -> None:
    class Mine(OpenAI):
        pass

    assert logprob_kwargs(Mine(model="gpt-4o", api_key="test")) == ASK


@pytest.mark.parametrize(
    ("llm", "kwargs"),
    [
        (chat(), {"logprobs": True, "top_logprobs": 20}),
        (responses(), {"include": [INCLUDE], "top_logprobs": 20}),
        (named("GoogleGenAI", _generation_config={}), {"generation_config": {"response_logprobs": True, "logprobs": 20}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_more_alternatives_than_the_provider_takes(llm: LLM, kwargs: dict[str, Any]) -> None:
    assert logprob_kwargs(llm, top=50) == kwargs


# --- over the wire: the real client, a canned provider ---


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


def token(text: str, logprob: Any, **top: Any) -> dict[str, Any]:
    alternatives = [{"token": other, "bytes": list(other.encode()), "logprob": value} for other, value in top.items()]
    return {"token": text, "bytes": list(text.encode()), "logprob": logprob, "top_logprobs": alternatives}


def completion(logprobs: Any, content: str = "yes", **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    first = {"index": 0, "finish_reason": "stop", "logprobs": logprobs, "message": message, **choice}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [first]}


YES = token("yes", -0.25, yes=-0.25, no=-2.0)
READ = (TokenLogprob("yes", -0.25, (("yes", -0.25), ("no", -2.0))),)
LEGACY = {"tokens": ["yes"], "token_logprobs": [-0.25], "top_logprobs": [{"no": -2.0, "yes": -0.25}], "text_offset": [0]}
TEXT_COMPLETION = {
    "id": "1",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "text": "yes", "logprobs": LEGACY}],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-4o",
    "status": "completed",
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "usage": {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 10,
    },
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "yes", "annotations": [], "logprobs": [YES]}],
        },
    ],
}


def test_a_chat_completion_carries_its_logprobs() -> None:
    with served(completion({"content": [YES], "refusal": None})) as (client, sent):
        llm = chat(http_client=client)
        response = llm.chat(HI, **(logprob_kwargs(llm) or {}))
    assert sent[0]["top_logprobs"] == 10
    assert extract_logprobs(response) == READ


@pytest.mark.parametrize("fields", [{"logprobs": True}, {"additional_kwargs": {"logprobs": True}}], ids=repr)
def test_a_user_who_asked_without_alternatives_gets_them_added(fields: dict[str, Any]) -> None:
    with served(completion(None)) as (client, sent):
        llm = chat(http_client=client, **fields)
        llm.chat(HI, **(logprob_kwargs(llm, top=4) or {}))
    assert (sent[0]["logprobs"], sent[0]["top_logprobs"]) == (True, 4)


@pytest.mark.parametrize("fields", [{}, {"logprobs": True}], ids=repr)
def test_a_legacy_completion_carries_its_logprobs(fields: dict[str, Any]) -> None:
    with served(TEXT_COMPLETION) as (client, sent):
        llm = like(http_client=client, **fields)
        response = llm.chat(HI, **(logprob_kwargs(llm) or {}))
    assert sent[0]["logprobs"] == 5
    assert response.message.content == "yes"
    assert extract_logprobs(response) == READ


def test_together_answers_in_the_legacy_shape() -> None:
    with served(completion(LEGACY)) as (client, _):
        assert extract_logprobs(like(http_client=client, is_chat_model=True).chat(HI, logprobs=2)) == READ


def test_the_responses_api_carries_its_logprobs() -> None:
    with served(RESPONSE) as (client, sent):
        llm = responses(http_client=client)
        response = llm.chat(HI, **(logprob_kwargs(llm) or {}))
    assert (sent[0]["include"], sent[0]["top_logprobs"]) == ([INCLUDE], 10)
    assert extract_logprobs(response) == READ


def test_only_the_last_response_of_a_stream_may_speak_for_the_answer() -> None:
    chunk = {"object": "chat.completion.chunk", "id": "1", "created": 1, "model": "gpt-4o"}
    last = {
        **chunk,
        "choices": [{"index": 0, "delta": {"content": "s"}, "finish_reason": "stop", "logprobs": {"content": [YES]}}],
    }
    with served(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n") as (client, _):
        [response] = chat(http_client=client).stream_chat(HI, logprobs=True)
    assert isinstance(response.raw, ChatCompletionChunk)
    assert extract_logprobs(response) == ()

    done = {"type": "response.completed", "sequence_number": 1, "response": RESPONSE}
    with served(f"event: response.completed\ndata: {json.dumps(done)}\n\n") as (client, _):
        [response] = responses(http_client=client).stream_chat(HI)
    assert extract_logprobs(response) == READ


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"logprobs": [YES]},
        {"choices": [], "response": RESPONSE},
        {"response": None},
        {"response": {"output": []}},
        "text",
    ],
    ids=repr,
)
def test_a_chunk_is_no_answer(raw: Any) -> None:
    response = ChatResponse(
        message=ChatMessage("yes", role="assistant"), raw=raw, delta="s", logprobs=alternatives({"yes": -0.1})
    )
    assert extract_logprobs(response) == ()


def test_a_refusal_of_logprobs_is_recognised() -> None:
    complaint = {"error": {"message": "You are not allowed to request logprobs from this model", "param": "logprobs"}}
    with served(complaint, 400) as (client, _), pytest.raises(openai.APIStatusError) as caught:
        chat(http_client=client).chat(HI, **ASK)
    assert refuses_logprobs(caught.value)


# --- finding ---


def answered(raw: Any, text: str = "yes", **fields: Any) -> ChatResponse:
    return ChatResponse(message=ChatMessage(text, role="assistant"), raw=raw, **fields)


def alternatives(*tokens: Mapping[str, float]) -> list[list[LogProb]]:
    return [[LogProb(token=text, logprob=value) for text, value in each.items()] for each in tokens]


# As `GoogleGenAI` makes it: the first candidate, dumped (llama_index/llms/google_genai/utils.py).
GOOGLE = {
    "content": {"parts": [{"text": "yes"}], "role": "model"},
    "finish_reason": "STOP",
    "avg_logprobs": -0.25,
    "logprobs_result": {
        "chosen_candidates": [{"log_probability": -0.25, "token": "yes", "token_id": 1}],
        "top_candidates": [
            {
                "candidates": [
                    {"log_probability": value, "token": text, "token_id": 1} for text, value in (("yes", -0.25), ("no", -2.0))
                ]
            }
        ],
        "log_probability_sum": None,
    },
}
RAWS: dict[str, Any] = {
    "openai's objects": ChatCompletion.model_validate(completion({"content": [YES], "refusal": None})),
    "a cached response": completion({"content": [YES], "refusal": None}),
    "legacy completions": TEXT_COMPLETION,
    "google": GOOGLE,
    "ollama": {"model": "m", "message": {"content": "yes"}, "done_reason": "stop", "logprobs": [YES]},
    "a cached response of the Responses API": RESPONSE,
}


@pytest.mark.parametrize("raw", RAWS.values(), ids=RAWS)
def test_every_raw_response_reads_alike(raw: Any) -> None:
    assert extract_logprobs(answered(raw)) == READ
    assert extract_logprobs(CompletionResponse(text="yes", raw=raw)) == READ


def test_raw_goes_before_the_framework_s_own() -> None:
    own = alternatives({"yes": -3.0})
    assert extract_logprobs(answered(RAWS["openai's objects"], logprobs=own)) == READ
    assert extract_logprobs(answered(completion({"content": [token("yes", "?")]}), logprobs=own)) == ()
    assert extract_logprobs(answered(completion(None), logprobs=own))[0].logprob == -3.0


@pytest.mark.parametrize(
    "raw",
    [
        None,
        "yes",
        {},
        {"choices": []},
        {"choices": None},
        {"choices": "yes"},
        {"choices": [None]},
        {"choices": [{"logprobs": {"content": None, "refusal": [YES]}}]},
        {"output": []},
        {"output": [None, "yes", {"content": "yes"}, {"content": [{"type": "output_text", "logprobs": []}]}]},
        {"output": [{"content": [{"logprobs": [YES]}, {"logprobs": 7}]}]},
        {"output": [{"content": [{"logprobs": [YES]}, {"logprobs": [{"token": "a"}]}]}]},
        {"logprobs": {}},
        {"logprobs_result": {}},
        {"usage": {"input_tokens": 3}, "stop_reason": "end_turn"},
        object(),
    ],
    ids=repr,
)
def test_what_is_not_a_signal_is_none(raw: Any) -> None:
    assert extract_logprobs(answered(raw)) == ()


# --- recovering the sampled token from the framework's own ---


def test_the_sampled_alternative_is_the_one_that_the_text_goes_on_with() -> None:
    own = alternatives({"No": -0.2, "Yes": -1.7}, {",": -0.1}, {" so": -0.4, " sir": -1.2})
    read = extract_logprobs(answered(None, "Yes, sir", logprobs=own))
    assert [(one.token, one.logprob) for one in read] == [("Yes", -1.7), (",", -0.1), (" sir", -1.2)]
    assert read[0].top == (("No", -0.2), ("Yes", -1.7))
    assert extract_logprobs(CompletionResponse(text="Yes, sir", logprobs=own)) == read


def test_the_longest_of_several_that_fit_was_sampled() -> None:
    own = alternatives({"": -0.1, "Ye": -0.2, "Yes": -1.7, "Yesterday": -9.0}, {"!": -0.1})
    assert [one.token for one in extract_logprobs(answered(None, "Yes!", logprobs=own))] == ["Yes", "!"]


def test_a_real_model_s_sampled_tokens_are_recovered() -> None:
    llm = PlaygroundLLM(temperature=1.0, seed=3)
    response = llm.chat(HI, **(logprob_kwargs(llm, top=20) or {}))
    known = extract_logprobs(response)
    assert "".join(one.token for one in known) == response.message.content
    assert extract_logprobs(response.model_copy(update={"raw": None})) == known


def test_half_a_character_is_followed_by_its_bytes() -> None:
    halves = [LogProb(token="\\xc3", logprob=-0.1, bytes=[0xC3]), LogProb(token="\\xa9", logprob=-0.2, bytes=[0xA9])]
    read = extract_logprobs(answered(None, "é", logprobs=[[half] for half in halves]))
    assert [one.logprob for one in read] == [-0.1, -0.2]


def test_thoughts_are_no_part_of_the_text() -> None:
    message = ChatMessage("yes", role="assistant")
    message.blocks.insert(0, ThinkingBlock(content="well"))
    assert extract_logprobs(ChatResponse(message=message, logprobs=alternatives({"yes": -0.1})))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("yes", [{"no": -0.1}]),
        ("yes", [{"yes": -0.1}, {"!": -0.1}]),  # more than the text
        ("yes!", [{"yes": -0.1}]),  # a token was dropped
        ("yes", [{}, {"yes": -0.1}]),
        ("yes", [{"": -0.1}]),
        ("", [{"yes": -0.1}]),  # a tool call
        (" yes", [{"yes": -0.1}]),
        ("yes", [{"yes": math.nan}]),
        ("yes", [{"yes": 0.5}]),
        ("yes", [{"yes": -0.1, "no": 0.5}]),
    ],
    ids=repr,
)
def test_what_cannot_be_aligned_is_no_signal(text: str, tokens: list[dict[str, float]]) -> None:
    assert extract_logprobs(answered(None, text, logprobs=alternatives(*tokens))) == ()


def test_an_answer_without_text_spells_nothing() -> None:
    response = ChatResponse(message=ChatMessage(role="assistant", blocks=[]), logprobs=alternatives({"yes": -0.1}))
    assert response.message.content is None
    assert extract_logprobs(response) == ()


def test_what_are_no_bytes_are_passed_over() -> None:
    assert extract_logprobs(answered(None, logprobs=[[LogProb(token="yes", logprob=-0.1, bytes=[300])]]))


@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), st.sets(st.text(max_size=3), max_size=2)), min_size=1, max_size=5))
def test_a_text_is_never_read_as_another(tokens: list[tuple[str, set[str]]]) -> None:
    own = [[LogProb(token=one, logprob=-1.0) for one in {sampled, *others}] for sampled, others in tokens]
    text = "".join(sampled for sampled, _ in tokens)
    assert "".join(one.token for one in extract_logprobs(answered(None, text, logprobs=own))) in {text, ""}


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "logprobs", "logprobs_result", "output", "content", "token", "logprob", "top_logprobs"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(raw=JUNK, delta=st.none() | st.just("x"))
def test_junk_never_raises_and_never_passes_for_a_probability(raw: Any, delta: str | None) -> None:
    for entry in extract_logprobs(answered(raw, delta=delta)):
        assert isinstance(entry.token, str)
        assert all(logprob <= 0.0 for logprob in (entry.logprob, *(value for _, value in entry.top)))
