"""The playground in this process says what it says over the wire, in the same form."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr, ValidationError

from frugal_core.playground.chat import ChatError
from frugal_core.playground.language_model import MODEL_NAMES
from frugal_core.playground.server import PlaygroundServer
from langchain_frugal.playground import ChatPlayground

LARGE = MODEL_NAMES[-1]
QUESTION = "Which is larger, 3 or 88?"
BROKEN = AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": None, "type": "invalid_tool_call"}])


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


class Larger(BaseModel):
    """The larger number."""

    value: int


@pytest.fixture
def server() -> Iterator[PlaygroundServer]:
    with PlaygroundServer() as running:
        yield running


def joined(chunks: Iterator[Any]) -> AIMessageChunk:
    first, *others = (chunk for chunk in chunks if isinstance(chunk, AIMessageChunk))
    return sum(others, start=first)


def essence(message: AIMessage) -> dict[str, Any]:
    metadata = {key: message.response_metadata.get(key) for key in ("finish_reason", "logprobs", "model_name")}
    usage: dict[str, Any] = {**(message.usage_metadata or {})}
    counts = {key: usage.get(key) for key in ("input_tokens", "output_tokens", "total_tokens")}
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    return {"text": message.text, "calls": calls, **metadata, **counts}


@pytest.mark.parametrize(
    ("messages", "options"),
    [
        (QUESTION, {}),
        (QUESTION, {"logprobs": True, "top_logprobs": 3}),
        ("Say something.", {"temperature": 2, "seed": 4, "max_tokens": 5}),
        ([SystemMessage("Be brief. " * 30), HumanMessage("Hi"), AIMessage("Hello"), HumanMessage(QUESTION)], {}),
        ("What can you do?", {"stop": [" small"]}),
        ("Weather in Rome?", {"tools": [weather]}),
        ("Weather in Rome?", {"tools": [weather], "max_tokens": 4}),
        ([HumanMessage("Weather?"), BROKEN, ToolMessage("no", tool_call_id="1")], {"tools": [weather]}),
    ],
)
def test_in_process_and_over_the_wire_are_the_same(server: PlaygroundServer, messages: Any, options: dict[str, Any]) -> None:
    settings = {"model": LARGE, "temperature": 0, **options}
    tools = settings.pop("tools", [])
    here: Any = ChatPlayground(**settings)
    there: Any = ChatOpenAI(**settings, base_url=f"{server.url}/v1", api_key=SecretStr("any"), stream_usage=True, max_retries=0)
    if tools:
        here, there = here.bind_tools(tools), there.bind_tools(tools)
    assert essence(here.invoke(messages)) == essence(there.invoke(messages))
    assert essence(joined(here.stream(messages))) == essence(joined(there.stream(messages)))


async def test_the_event_loop_is_free_while_the_model_thinks(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    generate = ChatPlayground._request

    def held(*arguments: Any) -> Any:
        assert released.wait(30)
        return generate(*arguments)

    monkeypatch.setattr(ChatPlayground, "_request", held)
    llm = ChatPlayground()
    answers = asyncio.gather(llm.ainvoke(QUESTION), anext(llm.astream(QUESTION)))
    asyncio.get_running_loop().call_soon(released.set)
    whole, first = await answers
    assert whole.text.startswith(first.text)


def test_several_choices_in_one_call() -> None:
    result = ChatPlayground(temperature=2, seed=1).generate([[HumanMessage("Say something.")]], n=4)
    assert len({generation.text for generation in result.generations[0]}) > 1
    assert len(result.generations[0]) == 4


def test_a_stream_has_one_choice() -> None:
    llm = ChatPlayground(temperature=2, seed=1)
    one, several = joined(llm.stream("Say something.")), joined(llm.stream("Say something.", n=3))
    assert essence(several) == essence(one)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output(method: Any) -> None:
    llm = ChatPlayground()
    structured = llm.with_structured_output(Larger, method=method, include_raw=True)
    answer = structured.invoke([SystemMessage("Use JSON with a 'value'."), HumanMessage(QUESTION)])
    assert isinstance(answer, dict)
    assert answer["parsed"] == Larger(value=int(llm.invoke(QUESTION).text))
    assert isinstance(answer["raw"], AIMessage)
    assert answer["parsing_error"] is None


def test_parsing_errors_are_kept_where_the_raw_answer_is() -> None:
    structured = ChatPlayground(max_tokens=2).with_structured_output(Larger, include_raw=True)
    answer = structured.invoke(QUESTION)
    assert isinstance(answer, dict)
    assert answer["parsed"] is None
    assert isinstance(answer["parsing_error"], Exception)


def test_tool_choices() -> None:
    llm = ChatPlayground()
    assert llm.bind_tools([weather], tool_choice="any").invoke("Hello").tool_calls
    assert llm.bind_tools([weather], tool_choice=True).invoke("Hello").tool_calls
    assert llm.bind_tools([weather], tool_choice="weather").invoke("Hello").tool_calls
    assert not llm.bind_tools([weather], tool_choice="none").invoke("Weather in Rome?").tool_calls


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValidationError, match="no playground model is called 'gpt-9'; choose one of playground-small"):
        ChatPlayground(model="gpt-9")
    with pytest.raises(ContextOverflowError, match="limit of 255 tokens"):
        ChatPlayground().invoke("x" * 300)
    with pytest.raises(ContextOverflowError, match="limit of 255 tokens"):
        list(ChatPlayground().stream("x" * 300))
    with pytest.raises(ChatError, match="Unknown parameter: 'tempreature'"):
        ChatPlayground().invoke("Hi", tempreature=1)
    with pytest.raises(ValueError, match="not 'grammar'"):
        ChatPlayground().with_structured_output(Larger, method="grammar")  # type: ignore[arg-type]


def test_what_it_tells_about_itself() -> None:
    llm = ChatPlayground.model_validate({"model_name": MODEL_NAMES[0], "temperature": 0.5, "stop": ["."]})
    assert llm.model == llm.model_name == MODEL_NAMES[0]
    assert llm.profile is not None
    assert (llm.profile["max_input_tokens"], llm.profile["tool_calling"]) == (256, True)
    params = llm._get_ls_params()
    assert (params["ls_provider"], params["ls_model_name"], params["ls_temperature"]) == ("playground", llm.model, 0.5)
    assert params["ls_stop"] == ["."]
    assert llm.get_num_tokens("What is 12 plus 7?") == 6
    assert llm._get_llm_string() != ChatPlayground(model=MODEL_NAMES[0], temperature=0.6, stop=["."])._get_llm_string()
