"""What a caller may ask for: how a tier is asked for it, and what becomes of its reply."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
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
    text_of,
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


class ResponseRequest(Request):
    """A request that one of LlamaIndex's endpoints answers, in each of its four forms: `chat`, `achat`, `stream_chat`, ..."""

    @abstractmethod
    def endpoint(self, tier: TierModel) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """What to call of a tier's LLM: the plain form's name, and the arguments, which are the same in all forms."""

    @abstractmethod
    def form(self, output: Response) -> Response:
        """A tier's response as the caller wants it."""

    def ask(self, tier: TierModel, kwargs: dict[str, Any]) -> Response:
        """A tier's response."""
        response: Response = self._called("", tier, kwargs)
        return response

    async def aask(self, tier: TierModel, kwargs: dict[str, Any]) -> Response:
        """As `ask`."""
        response: Response = await self._called("a", tier, kwargs)
        return response

    def stream(self, tier: TierModel, kwargs: dict[str, Any]) -> Iterator[Response]:
        """A tier's stream of responses."""
        pieces: Iterator[Response] = self._called("stream_", tier, kwargs)
        return pieces

    async def astream(self, tier: TierModel, kwargs: dict[str, Any]) -> AsyncIterator[Response]:
        """As `stream`."""
        async with aclosed(await self._called("astream_", tier, kwargs)) as pieces:
            async for piece in pieces:
                yield piece

    def answer(self, output: Response, query: Query, tier: int, latency_s: float, model: TierModel) -> Answer:
        """A response as an answer."""
        return to_answer(output, query, tier, latency_s, model.llm)

    def serve(self, output: Response, frugal: Mapping[str, Any]) -> Response:
        """The response with its decision."""
        return with_decision(self.form(output), frugal)

    def drafted(self, output: Response, frugal: Mapping[str, Any]) -> Response:
        """The response, all of its text new."""
        return with_decision(self.form(output), frugal, delta=text_of(output))

    def closing(self, last: Response, frugal: Mapping[str, Any]) -> Response:
        """The last piece again, nothing in it new but the decision."""
        return with_decision(self.form(last), frugal, delta="")

    def _called(self, form: str, tier: TierModel, kwargs: dict[str, Any]) -> Any:
        name, args, own = self.endpoint(tier)
        return getattr(tier.llm, form + name)(*args, **own, **kwargs)


class ChatRequest(ResponseRequest):
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

    def endpoint(self, tier: TierModel) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """`chat`, or `chat_with_tools`. Lists are the tier's own: integrations append to the one they are given."""
        messages = list(clean_history(self.messages, tier.llm))
        if self.tools:
            return "chat_with_tools", (list(self.tools),), {"chat_history": messages}
        return "chat", (messages,), {}

    def form(self, output: Response) -> Response:
        """The response as it is."""
        return output

    def chunk(self, piece: Response, tier: TierModel) -> Response:
        """The piece; where tools are on offer it tells its tier, since a tool call is read by who wrote it."""
        offered = self.tools or self.given.get("tools")
        return with_decision(piece, {"tier": tier.about.name}) if offered else piece


class CompletionRequest(ResponseRequest):
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

    def endpoint(self, tier: TierModel) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """`chat` or `complete`, whichever is the model's own."""
        if not tier.chats:
            return "complete", (self.prompt,), {"formatted": self.formatted}
        to_prompt = tier.llm.completion_to_prompt
        prompt = self.prompt if self.formatted or to_prompt is None else to_prompt(self.prompt)
        return "chat", ([ChatMessage(prompt)],), {}

    def form(self, output: Response) -> Response:
        """The response, as text."""
        return to_completion(output)

    def chunk(self, piece: Response, tier: TierModel) -> Response:
        """The piece, as text."""
        return to_completion(piece)


def made_up(query: Query) -> ChatRequest:
    """A question that a scorer made up."""
    return ChatRequest(from_query(query), {})
