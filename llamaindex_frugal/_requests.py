"""What a caller may ask for: how a tier is asked for it, and what becomes of its reply."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, MessageRole
from llama_index.core.tools import BaseTool

from frugal_core.cache.options import PLAIN, CacheOptions
from frugal_core.cache.question import Question
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
from llamaindex_frugal._payloads import read_response, replayed, write_response
from llamaindex_frugal._questions import FilledMessages, FilledText, asked_question
from llamaindex_frugal._tiers import TierModel
from llamaindex_frugal._usage import finish_reason


class Request(ABC):
    """One caller's request, that any tier may be asked.

    Attributes:
        given: Call arguments of the caller.
        options: What the caller asks of the cache.
        limiter: What paces the wrapper's calls, if anything does.
        typed: Whether a value of a class is asked for: tool calls are then only the way to it.
    """

    given: dict[str, Any]
    options: CacheOptions = PLAIN
    limiter: Any = None
    typed: bool = False

    def pace(self) -> None:
        """Wait until a call may be made."""
        if self.limiter is not None:
            self.limiter.acquire()

    async def apace(self) -> None:
        """As `pace`, awaited."""
        if self.limiter is not None:
            await self.limiter.async_acquire()

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

    def reason(self, piece: Any) -> str | None:
        """Why the model stopped, if a piece of a stream tells: it need not be the last one."""
        return None

    @abstractmethod
    def drafted(self, output: Any, frugal: Mapping[str, Any]) -> Any:
        """What a reader of a stream gets for an accepted draft, in one piece."""

    @abstractmethod
    def closing(self, last: Any, frugal: Mapping[str, Any]) -> Any:
        """The piece that closes a live stream and tells the decision; `None` for none."""

    # To the cache.

    @abstractmethod
    def question(self, query: Query, *, identity: str, namespace: str, max_turns: int, alike: bool) -> Question:
        """The request as the cache sees it.

        Args:
            query: As policies see it.
            identity: Models with their settings, and the policy.
            namespace: Whose it is.
            max_turns: Most user turns with which a neighbour may answer.
            alike: Whether all models answer a text as they answer one message with that text.

        Raises:
            OpaqueError: A call argument cannot be told from others.
        """

    @abstractmethod
    def written(self, output: Any, tier: str | None) -> tuple[str, str] | None:
        """Text of an output, by which answers are compared, and all of it as JSON; `None` where it cannot be kept.

        Args:
            output: What the tier gave.
            tier: Its name.
        """

    @abstractmethod
    def recalled(self, payload: str) -> Any:
        """The output that was written; `None` where it does not fit this request."""

    @abstractmethod
    def replayed(self, output: Any, frugal: Mapping[str, Any]) -> Iterator[Any]:
        """A recalled output as a stream, whose last piece tells the decision."""


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

    def reason(self, piece: Response) -> str | None:
        """As its provider says."""
        return finish_reason(piece)

    def drafted(self, output: Response, frugal: Mapping[str, Any]) -> Response:
        """The response, all of its text new."""
        return with_decision(self.form(output), frugal, delta=text_of(output))

    def closing(self, last: Response, frugal: Mapping[str, Any]) -> Response:
        """The last piece again, nothing in it new but the decision."""
        return with_decision(self.form(last), frugal, delta="")

    def written(self, output: Response, tier: str | None) -> tuple[str, str] | None:
        """Its text, and the response."""
        payload = write_response(output, tier)
        return None if payload is None else (text_of(output), payload)

    def recalled(self, payload: str) -> Response | None:
        """The response, in whichever form it was made."""
        return read_response(payload)

    def replayed(self, output: Response, frugal: Mapping[str, Any]) -> Iterator[Response]:
        """The text in pieces; the last has all of the response."""
        pieces = list(replayed(self.form(output)))
        yield from pieces[:-1]
        yield with_decision(pieces[-1], frugal)

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

    def __init__(self, messages: Sequence[ChatMessage], given: dict[str, Any], tools: Sequence[BaseTool] = ()) -> None:
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

    def question(self, query: Query, **about: Any) -> Question:
        """The conversation, and where it was made of a template what of it is the user's."""
        del about["alike"]
        slots = self.messages.slots if isinstance(self.messages, FilledMessages) else None
        return asked_question(query, slots, self.messages, given=self.given, **about)

    def recalled(self, payload: str) -> Response | None:
        """The response as a message."""
        response = read_response(payload)
        if not isinstance(response, CompletionResponse):
            return response
        message = ChatMessage(response.text, role=MessageRole.ASSISTANT)
        return ChatResponse(message=message, raw=response.raw, additional_kwargs=response.additional_kwargs)

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

    def __init__(self, prompt: str, formatted: bool, given: dict[str, Any]) -> None:
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

    def question(self, query: Query, *, alike: bool, **about: Any) -> Question:
        """The prompt; the same question as one message with its text, where models make no difference."""
        slots = self.prompt.slots if isinstance(self.prompt, FilledText) else None
        form = None if alike else ["completion", self.formatted]
        return asked_question(query, slots, (), given=self.given, form=form, **about)

    def chunk(self, piece: Response, tier: TierModel) -> Response:
        """The piece, as text."""
        return to_completion(piece)


def made_up(query: Query) -> ChatRequest:
    """A question that a scorer made up."""
    return ChatRequest(from_query(query), {})
