"""LlamaIndex LLMs whose every move a test decides and counts, and listeners that write down what they hear.

A `Fake` streams, takes tools and reports usage, model name and log-probabilities as a real provider's LLM does; its `log`
says what it was asked, how, and how far its streams were read.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from llama_index_instrumentation import get_dispatcher

from llamaindex_frugal import FrugalLLM
from openai_shapes import PRICES, logprobs

USAGE = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}


@dataclass
class Call:
    """One call as the fake saw it."""

    how: str
    messages: list[ChatMessage]
    kwargs: dict[str, Any]


@dataclass
class Log:
    """What a fake was asked, and how far its streams were read. Safe to write from many threads."""

    calls: list[Call] = field(default_factory=list)
    produced: int = 0
    closed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **numbers: int) -> None:
        """Count."""
        with self.lock:
            for name, number in numbers.items():
                setattr(self, name, getattr(self, name) + number)

    @property
    def hows(self) -> list[str]:
        """By which method each call came."""
        return [call.how for call in self.calls]

    def __len__(self) -> int:
        return len(self.calls)

    def __reduce__(self) -> Any:
        """A copy of a model writes a log of its own."""
        return Log, ()


class Fake(FunctionCallingLLM):
    """A model that says what it is told to.

    Args:
        model: Its name, by which it is priced.
        reply: A text (streamed word by word), a message, a whole response, an exception to raise, or a function of the
            conversation to one of these.
        sure: Margin of the first token, in the log-probabilities; `None` for none of them.
        usage: As reported in `raw`; `None` for none.
        window: Its context window; `None` says nothing of it.
        tools: Whether it takes tools.
        chats: Whether it is a chat model.
    """

    model: str = "small"
    reply: Any = "an answer in words"
    sure: float | None = 0.9
    usage: dict[str, Any] | None = USAGE
    window: int | None = None
    tools: bool = True
    chats: bool = True
    temperature: float | None = None
    max_tokens: int | None = None

    _log: Log = PrivateAttr(default_factory=Log)

    @property
    def log(self) -> Log:
        return self._log

    @classmethod
    def class_name(cls) -> str:
        return "fake_llm"

    @property
    def metadata(self) -> LLMMetadata:
        window = {} if self.window is None else {"context_window": self.window}
        return LLMMetadata(model_name=self.model, is_chat_model=self.chats, is_function_calling_model=self.tools, **window)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer("chat", messages, kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._answer("achat", messages, kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        def pieces() -> Iterator[ChatResponse]:
            message = self._answer("stream_chat", messages, kwargs)
            try:
                for piece in self._pieces(message):
                    self.log.add(produced=1)
                    yield piece
            finally:
                self.log.add(closed=1)

        return pieces()  # type: ignore[return-value]

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        async def pieces() -> AsyncIterator[ChatResponse]:
            message = self._answer("astream_chat", messages, kwargs)
            try:
                for piece in self._pieces(message):
                    self.log.add(produced=1)
                    yield piece
            finally:
                self.log.add(closed=1)

        return pieces()  # type: ignore[return-value]

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return self._completion(self._answer("complete", [ChatMessage(prompt)], {**kwargs, "formatted": formatted}))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return self._completion(self._answer("acomplete", [ChatMessage(prompt)], {**kwargs, "formatted": formatted}))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        def pieces() -> Iterator[CompletionResponse]:
            message = self._answer("stream_complete", [ChatMessage(prompt)], {**kwargs, "formatted": formatted})
            for piece in self._pieces(message):
                yield CompletionResponse(text=piece.message.content or "", delta=piece.delta, raw=piece.raw)

        return pieces()  # type: ignore[return-value]

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        async def pieces() -> AsyncIterator[CompletionResponse]:
            message = self._answer("astream_complete", [ChatMessage(prompt)], {**kwargs, "formatted": formatted})
            for piece in self._pieces(message):
                yield CompletionResponse(text=piece.message.content or "", delta=piece.delta, raw=piece.raw)

        return pieces()  # type: ignore[return-value]

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """OpenAI's form; and like many an integration it appends to the list it is given."""
        messages = [] if chat_history is None else chat_history
        if user_msg is not None:
            messages.append(ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg)
        formed = [tool.metadata.to_openai_tool() for tool in tools]
        options = {"parallel_tool_calls": allow_parallel_tool_calls, "tool_required": tool_required}
        return {"messages": messages, "tools": formed, **options, **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if not blocks and error_on_no_tool_call:
            raise ValueError("Expected at least one tool call, but got 0 tool calls.")
        return [
            ToolSelection(
                tool_id=block.tool_call_id or "", tool_name=block.tool_name, tool_kwargs=_arguments(block.tool_kwargs)
            )
            for block in blocks
        ]

    def _answer(self, how: str, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        with self.log.lock:
            self.log.calls.append(Call(how, list(messages), kwargs))
        said = self.reply(list(messages)) if callable(self.reply) else self.reply
        if isinstance(said, BaseException):
            raise said
        if isinstance(said, ChatResponse):
            return said
        message = said if isinstance(said, ChatMessage) else ChatMessage(said, role="assistant")
        return ChatResponse(message=message, raw=self._raw(message.content or ""))

    def _raw(self, text: str) -> dict[str, Any]:
        choice: dict[str, Any] = {"finish_reason": "stop"}
        if self.sure is not None:
            choice["logprobs"] = logprobs(text or "x", self.sure)
        return {"model": self.model, "choices": [choice], "usage": self.usage}

    def _completion(self, response: ChatResponse) -> CompletionResponse:
        return CompletionResponse(text=response.message.content or "", raw=response.raw)

    def _pieces(self, response: ChatResponse) -> Iterator[ChatResponse]:
        message, raw = response.message, response.raw or {}
        unsigned = [{name: value for name, value in choice.items() if name != "logprobs"} for choice in raw.get("choices", ())]
        words = (message.content or "").split(" ")
        for count, word in enumerate(words, 1):
            last = count == len(words)
            delta = word if count == 1 else f" {word}"
            whole = message if last else ChatMessage(" ".join(words[:count]), role="assistant")
            told = {**raw, "choices": unsigned} if last else {"choices": [{"delta": delta}], "usage": None}
            yield ChatResponse(message=whole, delta=delta, raw=told)


def small(reply: Any = "the small answer", sure: float | None = 0.9, **settings: Any) -> Fake:
    """A cheap model, sure of itself unless told otherwise."""
    return Fake(model="small", reply=reply, sure=sure, **settings)


def large(reply: Any = "the large answer", sure: float | None = 0.9, **settings: Any) -> Fake:
    """A dear model."""
    return Fake(model="large", reply=reply, sure=sure, **settings)


def frugal(*models: Any, threshold: Any = 0.5, prices: Any = PRICES, **settings: Any) -> FrugalLLM:
    """A cascade with a fixed threshold and known prices."""
    own = {} if {"policy", "call_large", "budget_usd"} & settings.keys() else {"threshold": threshold}
    return FrugalLLM(list(models), prices=prices, **own, **settings)


def accepting(**settings: Any) -> tuple[FrugalLLM, Fake, Fake]:
    """A cascade whose first model is believed, and its models."""
    first, last = small(), large()
    return frugal(first, last, **settings), first, last


def escalating(**settings: Any) -> tuple[FrugalLLM, Fake, Fake]:
    """A cascade whose first model is not believed, and its models."""
    first, last = small("SECRET draft words", sure=0.1), large()
    return frugal(first, last, **settings), first, last


def calls_tool(name: str, args: Any, id: str = "call_1") -> ChatMessage:
    """An answer that wants a tool run."""
    return ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_call_id=id, tool_name=name, tool_kwargs=args)])


def decision(response: Any) -> dict[str, Any]:
    """The decision a response carries."""
    found: dict[str, Any] = response.additional_kwargs["frugal"]
    return found


def reasons(response: Any) -> list[tuple[str, str]]:
    """Tier and reason of each step."""
    return [(step["tier"], step["reason"]) for step in decision(response)["steps"]]


class _Ears(BaseEventHandler):
    heard: list[Any]

    @classmethod
    def class_name(cls) -> str:
        return "Ears"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.heard.append(event)


@contextmanager
def listening() -> Iterator[list[Any]]:
    """Instrumentation events of the block, in order, as LlamaIndex's root dispatcher tells them."""
    handlers = get_dispatcher().event_handlers
    ears = _Ears(heard=[])
    handlers.append(ears)
    try:
        yield ears.heard
    finally:
        handlers.remove(ears)


def counting() -> tuple[CallbackManager, TokenCountingHandler]:
    """A manager and its handler, which counts the tokens of the LLM calls it hears of."""
    counter = TokenCountingHandler(tokenizer=str.split)
    return CallbackManager([counter]), counter


HOWS = (
    *("chat", "achat", "stream_chat", "astream_chat"),
    *("complete", "acomplete", "stream_complete", "astream_complete"),
)
"""Every way to ask for one answer; see `ask`."""


async def ask(llm: Any, how: str, text: str = "hi", **kwargs: Any) -> Any:
    """The whole answer, or the last piece of a stream.

    Args:
        llm: Whom to ask.
        how: One of `HOWS`.
        text: The question.
        kwargs: Call arguments.
    """
    pieces = await stream(llm, how, text, **kwargs)
    return pieces[-1]


async def stream(llm: Any, how: str, text: str = "hi", **kwargs: Any) -> list[Any]:
    """All pieces of an answer; one where it is not streamed."""
    asked: Any = text if "complete" in how else [ChatMessage(text)]
    reply = getattr(llm, how)(asked, **kwargs)
    if how.startswith("a"):
        reply = await reply
    if "stream" not in how:
        return [reply]
    return [piece async for piece in reply] if how.startswith("a") else list(reply)


def _arguments(written: Any) -> dict[str, Any]:
    """Arguments as OpenAI's integration reads them: mended where broken, and nothing where that fails."""
    if not isinstance(written, str):
        return dict(written)
    try:
        return parse_partial_json(written)
    except ValueError:
        return {}
