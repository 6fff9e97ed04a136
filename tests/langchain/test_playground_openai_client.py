"""OpenAI's real client for LangChain against the playground's server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_core.exceptions import ContextOverflowError, ModelRateLimitError, ModelTimeoutError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from frugal_core.playground.server import PlaygroundServer
from lc import forgetful

SMALL, LARGE = "playground-small", "playground-large"
QUESTION = "Which is larger, 3 or 88?"

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the client's own, on parsed answers


@pytest.fixture
def server() -> Iterator[PlaygroundServer]:
    with PlaygroundServer(api_key="secret") as running:
        yield running


def client(server: PlaygroundServer, model: str = LARGE, **options: Any) -> ChatOpenAI:
    defaults: dict[str, Any] = {"max_retries": 0, "temperature": 0, "http_async_client": forgetful()}
    return ChatOpenAI(model=model, base_url=f"{server.url}/v1", api_key=SecretStr("secret"), **{**defaults, **options})


def joined(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return sum(chunks[1:], start=chunks[0])


@tool
def calculator(expression: str) -> str:
    """Evaluate an arithmetic expression."""
    left, right = expression.split("+")
    return str(int(left) + int(right))


class Larger(BaseModel):
    """The larger number."""

    value: int


# -- answers


def test_invoke_and_stream_say_the_same(server: PlaygroundServer) -> None:
    llm = client(server)
    answer = llm.invoke(QUESTION)
    chunks = [chunk for chunk in llm.stream(QUESTION) if isinstance(chunk, AIMessageChunk)]
    assert answer.text
    assert joined(chunks).text == answer.text
    assert answer.response_metadata["model_name"] == LARGE
    assert answer.response_metadata["finish_reason"] == "stop"
    assert joined(chunks).response_metadata["finish_reason"] == "stop"
    assert [call.body["stream"] for call in server.calls(LARGE)] == [False, True]


async def test_the_asynchronous_methods_say_the_same(server: PlaygroundServer) -> None:
    llm = client(server)
    answers = await asyncio.gather(*(llm.ainvoke(QUESTION) for _ in range(4)))
    streamed = "".join([chunk.text async for chunk in llm.astream(QUESTION)])
    assert {answer.text for answer in answers} == {streamed}
    assert len(server.calls(LARGE)) == 5


def test_logprobs_arrive_whole_and_streamed(server: PlaygroundServer) -> None:
    llm = client(server, logprobs=True, top_logprobs=3)
    answer = llm.invoke(QUESTION)
    tokens = answer.response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == answer.text
    assert all(token["logprob"] <= 0 and len(token["top_logprobs"]) == 3 for token in tokens)
    assert bytes(tokens[0]["bytes"]).decode() == tokens[0]["token"]
    chunks = [chunk for chunk in llm.stream(QUESTION) if isinstance(chunk, AIMessageChunk)]
    assert joined(chunks).response_metadata["logprobs"]["content"] == tokens
    with pytest.raises(openai.BadRequestError, match="from 0 to 20"):
        client(server, logprobs=True, top_logprobs=21).invoke(QUESTION)


def test_usage_arrives_whole_and_streamed(server: PlaygroundServer) -> None:
    answer = client(server).invoke(QUESTION)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    with_usage = list(client(server, stream_usage=True).stream(QUESTION))
    reported = [chunk.usage_metadata for chunk in with_usage if isinstance(chunk, AIMessageChunk) and chunk.usage_metadata]
    assert reported == [answer.usage_metadata]
    without = list(client(server, stream_usage=False).stream(QUESTION))
    assert not any(chunk.usage_metadata for chunk in without if isinstance(chunk, AIMessageChunk))


def test_several_choices(server: PlaygroundServer) -> None:
    llm = client(server, n=5, temperature=2, seed=1)
    (generations,) = llm.generate([[HumanMessage("Say something.")]]).generations
    assert len(generations) == 5
    assert len({generation.text for generation in generations}) > 1


def test_a_seed_repeats_itself(server: PlaygroundServer) -> None:
    texts = [client(server, temperature=2, seed=seed).invoke("Say something.").text for seed in (1, 1, 2, 3, 4)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_stop_and_max_tokens(server: PlaygroundServer) -> None:
    llm = client(server)
    whole = llm.invoke("What can you do?").text
    stopped = llm.invoke("What can you do?", stop=[whole[2:4]])
    assert stopped.text == whole[: whole.index(whole[2:4])]
    cut = client(server, max_tokens=2).invoke("What can you do?")
    assert cut.response_metadata["finish_reason"] == "length"
    assert cut.usage_metadata is not None
    assert cut.usage_metadata["output_tokens"] == 2


# -- tools and structure


def test_a_tool_loop_comes_to_its_answer(server: PlaygroundServer) -> None:
    llm = client(server).bind_tools([calculator])
    question = HumanMessage("What is 412 plus 205?")
    call = llm.invoke([question])
    assert isinstance(call, AIMessage)
    assert [(part["name"], part["args"]) for part in call.tool_calls] == [("calculator", {"expression": "412+205"})]
    answer = llm.invoke([question, call, calculator.invoke(call.tool_calls[0])])
    assert answer.text == "617"
    assert not answer.tool_calls


def test_tool_choices(server: PlaygroundServer) -> None:
    llm = client(server)
    assert llm.bind_tools([calculator], tool_choice="any").invoke("Hello").tool_calls
    assert llm.bind_tools([calculator], tool_choice="calculator").invoke("Hello").tool_calls
    assert not llm.bind_tools([calculator], tool_choice="none").invoke("Evaluate 1+2.").tool_calls


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output(server: PlaygroundServer, method: Any) -> None:
    llm = client(server)
    question = [SystemMessage("Use JSON with a 'value'."), HumanMessage(QUESTION)]
    answer = llm.with_structured_output(Larger, method=method).invoke(question)
    assert answer == Larger(value=int(llm.invoke(question).text))
    raw = llm.with_structured_output(Larger, method=method, include_raw=True).invoke(question)
    assert isinstance(raw, dict)
    assert raw["parsed"] == answer
    streamed = list(llm.with_structured_output(Larger, method=method).stream(question))
    assert streamed[-1] == answer


# -- errors


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_each_status_is_the_clients_own_error(
    server: PlaygroundServer, status: int, error: type[Exception], streaming: bool
) -> None:
    server.fail_next(status)
    llm = client(server)
    with pytest.raises(error):
        list(llm.stream(QUESTION)) if streaming else llm.invoke(QUESTION)
    assert [call.status for call in server.requests] == [status]


async def test_errors_of_the_asynchronous_client(server: PlaygroundServer) -> None:
    server.fail_next(429)
    with pytest.raises(ModelRateLimitError):
        await client(server).ainvoke(QUESTION)
    server.fail_next(None)
    with pytest.raises(openai.APIConnectionError):
        await client(server).ainvoke(QUESTION)


def test_the_client_retries_as_it_is_told(server: PlaygroundServer) -> None:
    server.fail_next(500, retry_after=0.001)
    server.fail_next(429, retry_after=0.001)
    assert client(server, max_retries=2).invoke(QUESTION).text
    assert [call.status for call in server.requests] == [500, 429, 200]


def test_a_rate_limit_holds_per_model(server: PlaygroundServer) -> None:
    server.rate_limit(1)
    assert client(server).invoke(QUESTION).text
    with pytest.raises(openai.RateLimitError) as caught:
        client(server).invoke(QUESTION)
    assert caught.value.response.headers["retry-after"] == "1"
    assert client(server, SMALL).invoke(QUESTION).text


def test_a_timeout_is_the_clients_own_error_and_the_server_notices(server: PlaygroundServer) -> None:
    server.delay(math.inf, LARGE)
    with pytest.raises(ModelTimeoutError):
        client(server, timeout=0.2).invoke(QUESTION)
    (call,) = server.requests
    assert call.wait()
    assert call.outcome == "cancelled"
    assert client(server, SMALL, timeout=30).invoke(QUESTION).text


async def test_a_cancelled_task_ends_its_request(server: PlaygroundServer) -> None:
    server.delay(math.inf)
    task = asyncio.create_task(client(server).ainvoke(QUESTION))
    assert await asyncio.to_thread(server.wait_for_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.requests[0].wait)
    assert server.requests[0].outcome == "cancelled"


def test_a_stream_that_is_left_ends_its_request(server: PlaygroundServer) -> None:
    server.delay(math.inf, after_tokens=1)
    for _chunk in client(server).stream(QUESTION):
        break
    assert server.requests[0].wait()
    assert (server.requests[0].outcome, server.requests[0].tokens) == ("cancelled", 1)


def test_a_stream_that_fails_in_the_middle(server: PlaygroundServer) -> None:
    server.fail_next(500, after_tokens=1)
    with pytest.raises(openai.APIError, match="told to answer with status 500"):
        list(client(server).stream(QUESTION))


def test_the_wrong_key_model_and_length(server: PlaygroundServer) -> None:
    with pytest.raises(openai.AuthenticationError):
        ChatOpenAI(model=LARGE, base_url=f"{server.url}/v1", api_key=SecretStr("other"), max_retries=0).invoke("Hi")
    with pytest.raises(openai.NotFoundError, match="'gpt-9' does not exist"):
        client(server, "gpt-9").invoke("Hi")
    with pytest.raises(ContextOverflowError) as caught:
        client(server).invoke("x" * 300)
    assert isinstance(caught.value, openai.BadRequestError)
    assert caught.value.code == "context_length_exceeded"
