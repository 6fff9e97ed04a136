"""What a caller may ask for: how a tier is asked for it, and what becomes of its reply."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage, CompletionResponse
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import BaseTool

from frugal_core.conversation import Conversation
from frugal_core.engine import aclosed
from frugal_core.errors import ConfigurationError
from frugal_core.types import Answer, Message, Query, Tier
from llamaindex_frugal._convert import (
    Response,
    conversation,
    from_query,
    functions,
    system_prompt,
    to_answer,
    to_completion,
    with_decision,
)
from llamaindex_frugal._history import clean_history
from llamaindex_frugal._tiers import TierModel


class Request(ABC):
    """One caller's request, that any tier may be asked.

    Attributes:
        given: Call arguments of the caller.
    """

    given: Mapping[str, Any]

    @abstractmethod
    def query(self, tiers: tuple[Tier, ...], reference: int) -> Query:
        """The request as policies see it."""

    @abstractmethod
    def ask(self, tier: TierModel, kwargs: dict[str, Any]) -> Any:
        """A tier's whole output."""

    @abstractmethod
    async def aask(self, tier: TierModel, kwargs: dict[str, Any]) -> Any:
        """As `ask`, awaited."""

    @abstractmethod
    def stream(self, tier: TierModel, kwargs: dict[str, Any]) -> Iterator[Any]:
        """A tier's output piece by piece, the last piece telling the whole."""

    @abstractmethod
    def astream(self, tier: TierModel, kwargs: dict[str, Any]) -> AsyncIterator[Any]:
        """As `stream`."""

    @abstractmethod
    def answer(self, output: Any, query: Query, tier: int, latency_s: float, model: TierModel) -> Answer:
        """An output as an answer."""

    @abstractmethod
    def serve(self, output: Any, frugal: Mapping[str, Any]) -> Any:
        """What the caller gets for the accepted output."""

    def chunk(self, piece: Any, tier: TierModel) -> Any:
        """What the caller gets for a piece of a live stream."""
        return piece

    @abstractmethod
    def drafted(self, output: Any, frugal: Mapping[str, Any]) -> Any:
        """What a reader of a stream gets for an accepted draft, in one piece."""

    @abstractmethod
    def closing(self, last: Any, frugal: Mapping[str, Any]) -> Any:
        """The piece that closes a live stream and tells the decision; `None` for none."""


class ChatRequest(Request):
    """Messages in, a message out; with tools on offer or without.

    Args:
        messages: The conversation.
        given: Call arguments.
        tools: LlamaIndex's tools, which each tier converts to its provider's form.
    """

    def __init__(self, messages: Sequence[ChatMessage], given: Mapping[str, Any], tools: Sequence[BaseTool] = ()) -> None:
        self.messages = messages
        self.given = given
        self.tools = tools

    def query(self, tiers: tuple[Tier, ...], reference: int) -> Query:
        """The conversation as policies see it."""
        tools = functions(self.tools or self.given.get("tools") or ())
        return Query(conversation(self.messages), tiers, reference, system_prompt(self.messages), tools)

    def ask(self, tier: TierModel, kwargs: dict[str, Any]) -> Response:
        """Call `chat`, or `chat_with_tools`."""
        if self.tools:
            return _caller(tier).chat_with_tools(list(self.tools), chat_history=self._own(tier), **kwargs)
        return tier.llm.chat(self._own(tier), **kwargs)

    async def aask(self, tier: TierModel, kwargs: dict[str, Any]) -> Response:
        """As `ask`."""
        if self.tools:
            return await _caller(tier).achat_with_tools(list(self.tools), chat_history=self._own(tier), **kwargs)
        return await tier.llm.achat(self._own(tier), **kwargs)

    def stream(self, tier: TierModel, kwargs: dict[str, Any]) -> Iterator[Response]:
        """Call `stream_chat`, or `stream_chat_with_tools`."""
        if self.tools:
            return _caller(tier).stream_chat_with_tools(list(self.tools), chat_history=self._own(tier), **kwargs)
        return tier.llm.stream_chat(self._own(tier), **kwargs)

    async def astream(self, tier: TierModel, kwargs: dict[str, Any]) -> AsyncIterator[Response]:
        """As `stream`."""
        if self.tools:
            tools = list(self.tools)
            pieces = await _caller(tier).astream_chat_with_tools(tools, chat_history=self._own(tier), **kwargs)
        else:
            pieces = await tier.llm.astream_chat(self._own(tier), **kwargs)
        async with aclosed(pieces):
            async for piece in pieces:
                yield piece

    def answer(self, output: Response, query: Query, tier: int, latency_s: float, model: TierModel) -> Answer:
        """A response as an answer."""
        return to_answer(output, query, tier, latency_s, model.llm)

    def serve(self, output: Response, frugal: Mapping[str, Any]) -> Response:
        """The response with its decision."""
        served: Response = with_decision(output, frugal)
        return served

    def chunk(self, piece: Response, tier: TierModel) -> Response:
        """The piece; where tools are on offer it tells its tier, since a tool call is read by who wrote it."""
        offered = self.tools or self.given.get("tools")
        told: Response = with_decision(piece, {"tier": tier.about.name}) if offered else piece
        return told

    def drafted(self, output: Any, frugal: Mapping[str, Any]) -> Response:
        """The response, all of its text new."""
        draft: Response = with_decision(output, frugal, delta=output.message.content or "")
        return draft

    def closing(self, last: Response, frugal: Mapping[str, Any]) -> Response:
        """The last piece again, nothing in it new but the decision."""
        closing: Response = with_decision(last, frugal, delta="")
        return closing

    def _own(self, tier: TierModel) -> list[ChatMessage]:
        """The conversation for one tier, in a list of its own: integrations append to the one they are given."""
        return list(clean_history(self.messages, tier.llm))


class CompletionRequest(Request):
    """Text in, text out. Chat models are asked through `chat`: their `complete` loses log-probabilities.

    Args:
        prompt: The text.
        formatted: Whether it is in the model's own form already.
        given: Call arguments.
    """

    def __init__(self, prompt: str, formatted: bool, given: Mapping[str, Any]) -> None:
        if not isinstance(prompt, str):
            raise ConfigurationError(f"Invalid input type {type(prompt)}: a prompt is a text; messages are answered by chat().")
        self.prompt = prompt
        self.formatted = formatted
        self.given = given

    def query(self, tiers: tuple[Tier, ...], reference: int) -> Query:
        """The prompt as policies see it."""
        return Query(Conversation(lambda: [Message("user", self.prompt)]), tiers, reference)

    def ask(self, tier: TierModel, kwargs: dict[str, Any]) -> Response:
        """Call `chat` or `complete`, whichever is the model's own."""
        if tier.chats:
            return tier.llm.chat(self._messages(tier), **kwargs)
        return tier.llm.complete(self.prompt, formatted=self.formatted, **kwargs)

    async def aask(self, tier: TierModel, kwargs: dict[str, Any]) -> Response:
        """As `ask`."""
        if tier.chats:
            return await tier.llm.achat(self._messages(tier), **kwargs)
        return await tier.llm.acomplete(self.prompt, formatted=self.formatted, **kwargs)

    def stream(self, tier: TierModel, kwargs: dict[str, Any]) -> Iterator[Response]:
        """Call `stream_chat` or `stream_complete`."""
        if tier.chats:
            return tier.llm.stream_chat(self._messages(tier), **kwargs)
        return tier.llm.stream_complete(self.prompt, formatted=self.formatted, **kwargs)

    async def astream(self, tier: TierModel, kwargs: dict[str, Any]) -> AsyncIterator[Response]:
        """As `stream`."""
        pieces: AsyncIterator[Response]
        if tier.chats:
            pieces = await tier.llm.astream_chat(self._messages(tier), **kwargs)
        else:
            pieces = await tier.llm.astream_complete(self.prompt, formatted=self.formatted, **kwargs)
        async with aclosed(pieces):
            async for piece in pieces:
                yield piece

    def answer(self, output: Response, query: Query, tier: int, latency_s: float, model: TierModel) -> Answer:
        """A response as an answer."""
        return to_answer(output, query, tier, latency_s, model.llm)

    def serve(self, output: Response, frugal: Mapping[str, Any]) -> CompletionResponse:
        """The response with its decision."""
        served: CompletionResponse = with_decision(to_completion(output), frugal)
        return served

    def chunk(self, piece: Response, tier: TierModel) -> CompletionResponse:
        """The piece, as text."""
        return to_completion(piece)

    def drafted(self, output: Response, frugal: Mapping[str, Any]) -> CompletionResponse:
        """The response, all of its text new."""
        completion = to_completion(output)
        draft: CompletionResponse = with_decision(completion, frugal, delta=completion.text)
        return draft

    def closing(self, last: Response, frugal: Mapping[str, Any]) -> CompletionResponse:
        """The last piece again, nothing in it new but the decision."""
        closing: CompletionResponse = with_decision(to_completion(last), frugal, delta="")
        return closing

    def _messages(self, tier: TierModel) -> list[ChatMessage]:
        to_prompt = tier.llm.completion_to_prompt
        prompt = self.prompt if self.formatted or to_prompt is None else to_prompt(self.prompt)
        return [ChatMessage(prompt)]


def made_up(query: Query) -> ChatRequest:
    """A question that a scorer made up."""
    return ChatRequest(from_query(query), {})


def _caller(tier: TierModel) -> FunctionCallingLLM:
    """The tier's LLM, to be called with tools; only tiers that can are asked."""
    return cast("FunctionCallingLLM", tier.llm)
