"""OpenAI's real clients for LlamaIndex against the playground's server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from frugal_core.playground.server import PlaygroundServer
from llamaindex_frugal.playground import PlaygroundLLM

SMALL, LARGE = "playground-small", "playground-large"
QUESTION = "Which is larger, 3 or 88?"
ASKED = [ChatMessage(QUESTION)]
Connect = Callable[..., OpenAILike]
ConnectPlain = Callable[..., OpenAI]
WITH_USAGE = {"stream_options": {"include_usage": True}}


class Larger(BaseModel):
    """The larger number."""

    value: int


def calculator(expression: str) -> str:
    """Evaluate an arithmetic expression."""
    left, right = expression.split("+")
    return str(int(left) + int(right))


CALCULATOR = FunctionTool.from_defaults(calculator)


@pytest.fixture
def server() -> Iterator[PlaygroundServer]:
    with PlaygroundServer(api_key="secret") as running:
        yield running


@pytest.fixture
async def http(server: PlaygroundServer) -> AsyncIterator[dict[str, Any]]:
    with httpx.Client() as client:
        async with httpx.AsyncClient() as async_client:
            yield {"http_client": client, "async_http_client": async_client}


@pytest.fixture
def client(server: PlaygroundServer, http: dict[str, Any]) -> Connect:
    def connect(model: str = LARGE, **options: Any) -> OpenAILike:
        kind = {"is_chat_model": True, "is_function_calling_model": True}
        defaults = {"api_base": f"{server.url}/v1", "api_key": "secret", "temperature": 0, "max_retries": 0}
        return OpenAILike(model=model, **{**kind, **defaults, **http, **options})

    return connect


@pytest.fixture
def plain(server: PlaygroundServer, http: dict[str, Any]) -> ConnectPlain:
    """OpenAI's own class: it must think that it asks a model of OpenAI's, but sends another name."""

    def connect(**options: Any) -> OpenAI:
        extra = {"additional_kwargs": {"model": LARGE, **WITH_USAGE}}
        defaults = {"api_base": f"{server.url}/v1", "api_key": "secret", "temperature": 0, "max_retries": 0}
        return OpenAI(model="gpt-4o-mini", **{**extra, **defaults, **http, **options})

    return connect


def essence(response: ChatResponse) -> tuple[Any, ...]:
    raw = response.raw if isinstance(response.raw, dict) else response.raw.model_dump()
    choices = [(choice["finish_reason"], choice.get("logprobs")) for choice in raw["choices"]]
    calls = [(block.tool_name, block.tool_kwargs) for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    usage = raw.get("usage") or {}
    counts = {key: usage.get(key) for key in ("prompt_tokens", "completion_tokens", "total_tokens")}
    tokens = response.additional_kwargs
    return response.message.role, response.message.content or "", response.delta or "", calls, choices, counts, tokens


# -- the same as in this process


@pytest.mark.parametrize(
    ("question", "options"),
    [
        (QUESTION, {}),
        (QUESTION, {"logprobs": True, "top_logprobs": 3}),
        ("What can you do?", {"max_tokens": 3}),
    ],
)
def test_in_process_and_over_the_wire_are_the_same(client: Connect, question: str, options: dict[str, Any]) -> None:
    here, there = PlaygroundLLM(**options), client(additional_kwargs=WITH_USAGE, **options)
    asked = [ChatMessage("Be brief.", role="system"), ChatMessage(question)]
    assert essence(here.chat(asked)) == essence(there.chat(asked))
    assert here.chat(asked).logprobs == there.chat(asked).logprobs
    assert [essence(chunk) for chunk in here.stream_chat(asked)] == [essence(chunk) for chunk in there.stream_chat(asked)]


@pytest.mark.parametrize("options", [{}, {"tool_required": True}, {"tool_choice": "calculator"}])
def test_tool_calls_in_process_and_over_the_wire_are_the_same(client: Connect, options: dict[str, Any]) -> None:
    here, there = PlaygroundLLM(), client(additional_kwargs=WITH_USAGE)
    question = ChatMessage("What is 412 plus 205?")
    calls = []
    for llm in (here, there):
        whole = llm.chat_with_tools([CALCULATOR], question, **options)
        streamed = list(llm.stream_chat_with_tools([CALCULATOR], question, **options))[-1]
        selections = [llm.get_tool_calls_from_response(response)[0] for response in (whole, streamed)]
        calls.append([(selection.tool_name, selection.tool_kwargs) for selection in selections])
        assert streamed.message.additional_kwargs["tool_calls"]
    assert calls[0] == calls[1]
    assert calls[0][0][0] == "calculator"


@pytest.mark.parametrize("arguments", ['{"expression": "412+205"}', {"expression": "412+205"}])
def test_conversations_in_process_and_over_the_wire_are_the_same(client: Connect, arguments: Any) -> None:
    call = ToolCallBlock(tool_call_id="1", tool_name="calculator", tool_kwargs=arguments)
    result = ChatMessage("617", role="tool", additional_kwargs={"tool_call_id": "1"})
    conversation = [ChatMessage("What is 412 plus 205?"), ChatMessage([call], role="assistant"), result]
    assert essence(PlaygroundLLM().chat(conversation)) == essence(client().chat(conversation))


# -- answers


def test_chat_and_stream_say_the_same(server: PlaygroundServer, client: Connect) -> None:
    llm = client()
    answer = llm.chat(ASKED)
    chunks = list(llm.stream_chat(ASKED))
    assert answer.message.content == "88"
    assert "".join(chunk.delta or "" for chunk in chunks) == chunks[-1].message.content == "88"
    assert llm.complete(QUESTION).text == list(llm.stream_complete(QUESTION))[-1].text == "88"
    assert [call.body.get("stream") for call in server.calls(LARGE)] == [False, True, False, True]
    assert answer.raw.model == LARGE
    assert answer.raw.choices[0].finish_reason == "stop"


async def test_the_asynchronous_methods_say_the_same(server: PlaygroundServer, client: Connect) -> None:
    llm = client()
    answers = await asyncio.gather(*(llm.achat(ASKED) for _ in range(4)))
    streamed = [chunk async for chunk in await llm.astream_chat(ASKED)]
    assert {answer.message.content for answer in answers} == {streamed[-1].message.content} == {"88"}
    assert (await llm.acomplete(QUESTION)).text == "88"
    assert [chunk.text async for chunk in await llm.astream_complete(QUESTION)][-1] == "88"
    assert len(server.calls(LARGE)) == 7


def test_usage_arrives_whole_and_streamed(client: Connect) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = client(additional_kwargs=WITH_USAGE, callback_manager=CallbackManager([counter]))
    answer = llm.chat(ASKED)
    usage = answer.raw.usage
    assert usage.completion_tokens > 0
    assert answer.additional_kwargs["total_tokens"] == usage.total_tokens
    last = list(llm.stream_chat(ASKED))[-1]
    assert last.raw.usage == usage
    assert counter.total_llm_token_count == 2 * usage.total_tokens
    assert list(client().stream_chat(ASKED))[-1].raw.usage is None


def test_logprobs_arrive_whole_and_streamed(client: Connect) -> None:
    llm = client(logprobs=True, top_logprobs=3)
    answer = llm.chat(ASKED)
    tokens = answer.raw.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == answer.message.content
    assert answer.logprobs is not None
    assert [[one.logprob for one in token] for token in answer.logprobs] == [
        [one.logprob for one in token.top_logprobs] for token in tokens
    ]
    assert [len(token) for token in answer.logprobs] == [3]
    streamed = [chunk.raw.choices[0].logprobs for chunk in llm.stream_chat(ASKED)]
    assert [token for part in streamed if part for token in part.content] == tokens


def test_stop_and_max_tokens(client: Connect) -> None:
    asked = [ChatMessage("What can you do?")]
    assert client().chat(asked, stop=[" small"]).message.content == "I can answer"
    cut = client(max_tokens=2).chat(asked)
    assert (cut.raw.choices[0].finish_reason, cut.raw.usage.completion_tokens) == ("length", 2)


# -- tools and structure


async def test_a_tool_loop_comes_to_its_answer(client: Connect) -> None:
    llm = client()
    question = "What is 412 plus 205?"
    for call in (
        llm.chat_with_tools([CALCULATOR], question),
        await llm.achat_with_tools([CALCULATOR], question),
        list(llm.stream_chat_with_tools([CALCULATOR], question))[-1],
        [chunk async for chunk in await llm.astream_chat_with_tools([CALCULATOR], question)][-1],
    ):
        (selection,) = llm.get_tool_calls_from_response(call)
        assert (selection.tool_name, selection.tool_kwargs) == ("calculator", {"expression": "412+205"})
        result = ChatMessage("617", role="tool", additional_kwargs={"tool_call_id": selection.tool_id})
        answer = llm.chat_with_tools([CALCULATOR], chat_history=[ChatMessage(question), call.message, result])
        assert answer.message.content == "617"
    assert llm.predict_and_call([CALCULATOR], question).response == "617"


async def test_structured_output(server: PlaygroundServer, client: Connect) -> None:
    llm = client(should_use_structured_outputs=True)
    prompt = PromptTemplate(QUESTION)
    assert llm.structured_predict(Larger, prompt) == Larger(value=88)
    assert await llm.astructured_predict(Larger, prompt) == Larger(value=88)
    assert list(llm.stream_structured_predict(Larger, prompt))[-1] == Larger(value=88)
    assert [grown async for grown in await llm.astream_structured_predict(Larger, prompt)][-1] == Larger(value=88)
    assert {call.body["response_format"]["type"] for call in server.requests} == {"json_schema"}
    server.reset()
    by_tool = client().structured_predict(Larger, prompt)
    assert isinstance(by_tool, Larger)
    assert [(call.body["tool_choice"], len(call.body["tools"])) for call in server.requests] == [("required", 1)]


# -- errors


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
        (None, openai.APIConnectionError),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_each_failure_is_the_clients_own_error(
    server: PlaygroundServer, client: Connect, status: int | None, error: type[Exception], streaming: bool
) -> None:
    server.fail_next(status)
    llm = client()
    with pytest.raises(error):
        list(llm.stream_chat(ASKED)) if streaming else llm.chat(ASKED)


async def test_failures_of_the_asynchronous_client(server: PlaygroundServer, client: Connect) -> None:
    llm = client()
    server.fail_next(429)
    with pytest.raises(openai.RateLimitError):
        await llm.achat(ASKED)
    server.fail_next(500, after_tokens=1)
    with pytest.raises(openai.APIError, match="told to answer with status 500"):
        [chunk async for chunk in await llm.astream_chat(ASKED)]
    server.delay(math.inf)
    task = asyncio.create_task(llm.achat(ASKED))
    assert await asyncio.to_thread(server.wait_for_requests, 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.requests[-1].wait)
    assert server.requests[-1].outcome == "cancelled"


def test_the_wrong_key_model_and_length(client: Connect) -> None:
    with pytest.raises(openai.AuthenticationError):
        client(api_key="other").chat(ASKED)
    with pytest.raises(openai.NotFoundError, match="'gpt-9' does not exist"):
        client("gpt-9").chat(ASKED)
    with pytest.raises(openai.BadRequestError) as caught:
        client().chat([ChatMessage("x" * 300)])
    assert caught.value.code == "context_length_exceeded"


# -- OpenAI's own class


async def test_openais_class_says_the_same(server: PlaygroundServer, client: Connect, plain: ConnectPlain) -> None:
    llm, other = plain(), client(additional_kwargs=WITH_USAGE)
    assert essence(llm.chat(ASKED)) == essence(await llm.achat(ASKED)) == essence(other.chat(ASKED))
    chunks = list(llm.stream_chat(ASKED))
    assert [essence(chunk) for chunk in chunks] == [essence(chunk) for chunk in other.stream_chat(ASKED)]
    assert [essence(chunk) for chunk in chunks] == [essence(chunk) async for chunk in await llm.astream_chat(ASKED)]
    assert {call.model for call in server.requests} == {LARGE}


async def test_openais_class_calls_tools_and_writes_by_schema(server: PlaygroundServer, plain: ConnectPlain) -> None:
    llm = plain()
    call = await llm.achat_with_tools([CALCULATOR], "What is 412 plus 205?")
    assert llm.get_tool_calls_from_response(call)[0].tool_kwargs == {"expression": "412+205"}
    assert llm.structured_predict(Larger, PromptTemplate(QUESTION)) == Larger(value=88)
    assert server.requests[-1].body["response_format"]["json_schema"]["name"] == "Larger"
    with_logprobs = plain(logprobs=True, top_logprobs=2).chat(ASKED)
    assert with_logprobs.raw.choices[0].logprobs.content[0].token == "88"


def test_openais_class_knows_openais_models_alone(server: PlaygroundServer) -> None:
    with pytest.raises(ValueError, match="Unknown model 'playground-large'"):
        OpenAI(model=LARGE, api_base=f"{server.url}/v1", api_key="secret").chat(ASKED)
    assert not server.requests
