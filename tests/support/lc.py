"""Chat models whose every move a test decides and counts, and a handler that writes down what it hears.

A `Fake` streams, binds tools and reports usage, model name and log-probabilities as a real provider's model does; its
`log` says what it was asked, how, and how far its streams were read.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr, SecretStr

from frugal_core.playground.server import PlaygroundServer
from langchain_frugal import ChatFrugal
from openai_shapes import PRICES, logprobs

Bound: TypeAlias = Runnable[LanguageModelInput, AIMessage]

USAGE = {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}


@dataclass
class Call:
    """One call as the fake saw it."""

    how: str
    messages: list[BaseMessage]
    kwargs: dict[str, Any]


@dataclass
class Log:
    """What a fake was asked, and how far its streams were read. Shared by its copies; safe to write from many threads."""

    calls: list[Call] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    configs: list[Any] = field(default_factory=list)
    produced: int = 0
    closed: int = 0
    running: int = 0
    most_running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **numbers: int) -> None:
        """Count."""
        with self.lock:
            for name, number in numbers.items():
                setattr(self, name, getattr(self, name) + number)
            self.most_running = max(self.most_running, self.running)

    @property
    def hows(self) -> list[str]:
        """By which method each call came."""
        return [call.how for call in self.calls]

    def __len__(self) -> int:
        return len(self.calls)


class Fake(BaseChatModel):
    """A model that says what it is told to.

    Args:
        model: Its name, by which it is priced.
        reply: A text (streamed word by word), a message, an exception to raise, or a function of the conversation to one
            of these.
        sure: Margin of the first token, in the log-probabilities; `None` for none of them.
        usage: Of answers that have none of their own; `None` for none.
    """

    model: str = "small"
    reply: Any = "an answer in words"
    sure: float | None = 0.9
    usage: Any = USAGE
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None

    _log: Log = PrivateAttr(default_factory=Log)

    @property
    def log(self) -> Log:
        return self._log

    @property
    def _llm_type(self) -> str:
        return "fake"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "reply": repr(self.reply), "sure": self.sure, "temperature": self.temperature}

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Bound:
        """OpenAI's form."""
        choice = {} if tool_choice is None else {"tool_choice": tool_choice}
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **choice, **kwargs)

    def batch(self, inputs: list[Any], config: Any = None, **kwargs: Any) -> Any:
        self.log.batches.append(len(inputs))
        self.log.configs.append(config)
        return super().batch(inputs, config, **kwargs)

    async def abatch(self, inputs: list[Any], config: Any = None, **kwargs: Any) -> Any:
        self.log.batches.append(len(inputs))
        self.log.configs.append(config)
        return await super().abatch(inputs, config, **kwargs)

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return _result(self._answer("invoke", messages, stop, kwargs))

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return _result(self._answer("ainvoke", messages, stop, kwargs))

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        message = self._answer("stream", messages, stop, kwargs)
        try:
            for chunk in _chunks(message):
                self.log.add(produced=1)
                yield chunk
        finally:
            self.log.add(closed=1)

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        message = self._answer("astream", messages, stop, kwargs)
        try:
            for chunk in _chunks(message):
                self.log.add(produced=1)
                yield chunk
        finally:
            self.log.add(closed=1)

    def _answer(self, how: str, messages: list[BaseMessage], stop: Any, kwargs: dict[str, Any]) -> AIMessage:
        with self.log.lock:
            self.log.calls.append(Call(how, messages, kwargs if stop is None else {**kwargs, "stop": stop}))
        self.log.add(running=1)
        try:
            said = self.reply(messages) if callable(self.reply) else self.reply
        finally:
            self.log.add(running=-1)
        if isinstance(said, BaseException):
            raise said
        message = said if isinstance(said, AIMessage) else AIMessage(said)
        signal = {} if self.sure is None else {"logprobs": logprobs(message.text or "x", self.sure)}
        metadata = {"finish_reason": "stop", "model_name": self.model, **signal, **message.response_metadata}
        return message.model_copy(
            update={"response_metadata": metadata, "usage_metadata": message.usage_metadata or self.usage}
        )


class AnthropicFake(Fake):
    """A model whose provider writes tools as Anthropic does."""

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Bound:
        functions = [convert_to_openai_tool(tool)["function"] for tool in tools]
        formed = [
            {"name": each["name"], "description": each["description"], "input_schema": each["parameters"]} for each in functions
        ]
        choice = {} if tool_choice is None else {"tool_choice": {"type": tool_choice}}
        return self.bind(tools=formed, **choice, **kwargs)


class ToollessFake(Fake):
    """A model that takes no tools."""

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Bound:
        raise NotImplementedError


def small(reply: Any = "the small answer", sure: float | None = 0.9, **settings: Any) -> Fake:
    """A cheap model, sure of itself unless told otherwise."""
    return Fake(model="small", reply=reply, sure=sure, **settings)


def large(reply: Any = "the large answer", sure: float | None = 0.9, **settings: Any) -> Fake:
    """A dear model."""
    return Fake(model="large", reply=reply, sure=sure, **settings)


def frugal(*models: Any, threshold: Any = 0.5, prices: Any = PRICES, **settings: Any) -> ChatFrugal:
    """A cascade with a fixed threshold and known prices."""
    own = {} if {"policy", "call_large", "budget_usd"} & settings.keys() else {"threshold": threshold}
    return ChatFrugal(list(models), prices=prices, **own, **settings)


def accepting(**settings: Any) -> tuple[ChatFrugal, Fake, Fake]:
    """A cascade whose first model is believed, and its models."""
    first, last = small(), large()
    return frugal(first, last, **settings), first, last


def escalating(**settings: Any) -> tuple[ChatFrugal, Fake, Fake]:
    """A cascade whose first model is not believed, and its models."""
    first, last = small("SECRET draft words", sure=0.1), large()
    return frugal(first, last, **settings), first, last


def calls_tool(name: str, args: dict[str, Any], id: str = "call_1") -> AIMessage:
    """An answer that wants a tool run."""
    return AIMessage("", tool_calls=[tool_call(name=name, args=args, id=id)])


def decision(message: Any) -> dict[str, Any]:
    """The decision a message carries."""
    found: dict[str, Any] = message.response_metadata["frugal"]
    return found


def reasons(message: Any) -> list[tuple[str, str]]:
    """Tier and reason of each step."""
    return [(step["tier"], step["reason"]) for step in decision(message)["steps"]]


def joined(chunks: Sequence[AIMessageChunk]) -> AIMessageChunk:
    """All chunks of a stream as one."""
    return sum(chunks[1:], start=chunks[0])


graph_context = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="before Python 3.11 LangGraph hands its config on to async nodes as an argument only"
)
GRAPH_WAYS = ("sync", pytest.param("async", marks=graph_context))
"""Ways to run a graph whose nodes call a model without passing their config on."""

HOWS = ("invoke", "ainvoke", "stream", "astream", "batch", "abatch")
"""Every way to ask for one answer; see `ask`."""


async def ask(llm: Any, how: str, input: Any = "hi", config: Any = None, **kwargs: Any) -> Any:
    """One answer, by whichever method; the chunks of a stream joined."""
    if how in {"batch", "abatch"}:
        (answer,) = llm.batch([input], config, **kwargs) if how == "batch" else await llm.abatch([input], config, **kwargs)
        return answer
    if how == "stream":
        return joined(list(llm.stream(input, config, **kwargs)))
    if how == "astream":
        return joined(await collect(llm.astream(input, config, **kwargs)))
    return llm.invoke(input, config, **kwargs) if how == "invoke" else await llm.ainvoke(input, config, **kwargs)


async def collect(stream: AsyncIterator[Any]) -> list[Any]:
    """All that an async stream yields."""
    return [item async for item in stream]


@dataclass
class Wire:
    """A server, and clients of it that do not outlive it."""

    server: PlaygroundServer
    http: httpx.Client
    async_http: httpx.AsyncClient

    def client(self, model: str, **options: Any) -> ChatOpenAI:
        """OpenAI's own client for one of the playground's models."""
        given: dict[str, Any] = {"max_retries": 0, "temperature": 0, "stream_usage": True, "api_key": SecretStr("k"), **options}
        url = f"{self.server.url}/v1"
        return ChatOpenAI(model=model, base_url=url, http_client=self.http, http_async_client=self.async_http, **given)


def forgetful() -> httpx.AsyncClient:
    """An async client that keeps no connection open, so that none outlives the loop of its test and is found by another."""
    return httpx.AsyncClient(verify=False, limits=httpx.Limits(max_keepalive_connections=0))


@asynccontextmanager
async def wired() -> AsyncIterator[Wire]:
    """A running server with clients; for a fixture, since an async client belongs to the loop of one test."""
    with PlaygroundServer() as server, httpx.Client(verify=False) as http:
        async with httpx.AsyncClient(verify=False) as async_http:
            yield Wire(server, http, async_http)


@dataclass
class Run:
    """One run as a handler saw it."""

    kind: str
    name: str
    id: UUID
    parent: UUID | None
    tags: list[str]
    metadata: dict[str, Any]
    options: dict[str, Any]
    tokens: list[str] = field(default_factory=list)
    output: Any = None
    error: BaseException | None = None
    ended: int = 0


class Recorder(BaseCallbackHandler):
    """Writes down every run."""

    run_inline = True

    def __init__(self) -> None:
        self.runs: dict[UUID, Run] = {}
        self.lock = threading.Lock()

    def of(self, kind: str) -> list[Run]:
        """The runs of one kind ("chat", "chain"), in the order of their start."""
        return [run for run in self.runs.values() if run.kind == kind]

    @property
    def models(self) -> list[str]:
        """The model of each chat run."""
        return [run.metadata.get("ls_model_name", "") for run in self.of("chat")]

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self._start("chat", **kwargs)

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self._start("chain", **kwargs)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.runs[run_id].tokens.append(token)

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, response)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, outputs)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, None, error)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._end(run_id, None, error)

    def _start(self, kind: str, *, run_id: UUID, name: str = "", parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        with self.lock:
            assert run_id not in self.runs, "a run starts once"
            tags, metadata = list(kwargs.get("tags") or ()), dict(kwargs.get("metadata") or {})
            self.runs[run_id] = Run(kind, name, run_id, parent_run_id, tags, metadata, dict(kwargs.get("options") or {}))

    def _end(self, run_id: UUID, output: Any, error: BaseException | None = None) -> None:
        with self.lock:
            run = self.runs[run_id]
            run.output, run.error, run.ended = output, error, run.ended + 1


def heard_by(recorder: BaseCallbackHandler, **more: Any) -> RunnableConfig:
    """A config with one handler."""
    return RunnableConfig(callbacks=[recorder], **more)


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])


def _chunks(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    """A message word by word; usage and metadata come on the last chunk, as from OpenAI."""
    words = message.text.split(" ") if message.text else []
    for index, word in enumerate(words):
        yield ChatGenerationChunk(message=AIMessageChunk(content=word if index == 0 else f" {word}"))
    for index, call in enumerate(message.tool_calls):
        part = tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))
    for index, broken in enumerate(message.invalid_tool_calls, len(message.tool_calls)):
        part = tool_call_chunk(name=broken["name"], args=broken["args"], id=broken["id"], index=index)
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))
    last = AIMessageChunk(
        content="",
        usage_metadata=message.usage_metadata,
        response_metadata=message.response_metadata,
        chunk_position="last",
    )
    yield ChatGenerationChunk(message=last)
