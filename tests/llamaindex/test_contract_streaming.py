"""Streams: nothing of a draft before it is accepted, the last model live, and nothing left behind by who leaves early."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool

from li import Fake, accepting, calls_tool, decision, escalating, frugal, large, reasons, small, stream
from llamaindex_frugal import BudgetedThreshold, FrugalLLM

STREAMS = ("stream_chat", "astream_chat", "stream_complete", "astream_complete")
CHATS = ("stream_chat", "astream_chat")
each_stream = pytest.mark.parametrize("how", STREAMS)
each_chat = pytest.mark.parametrize("how", CHATS)


async def begun(llm: Any, how: str, text: str = "hi", **kwargs: Any) -> Any:
    """A stream, nothing of it read."""
    reply = getattr(llm, how)(text if "complete" in how else [ChatMessage(text)], **kwargs)
    return await reply if how.startswith("a") else reply


async def step(pieces: Any) -> Any:
    """The next piece of a stream of either kind."""
    return await anext(pieces) if hasattr(pieces, "__anext__") else next(pieces)


async def leave(pieces: Any) -> None:
    """Close a stream of either kind."""
    if hasattr(pieces, "aclose"):
        await pieces.aclose()
        await settled()
    else:
        pieces.close()


async def settled() -> None:
    """Let asyncio close what core leaves open, a turn of the loop later each."""
    for _ in range(20):
        await asyncio.sleep(0)


def text(piece: Any) -> str:
    return piece.message.content if isinstance(piece, ChatResponse) else piece.text


# --- what comes, and what does not ---


@each_stream
async def test_nothing_of_a_rejected_draft_shows(how: str) -> None:
    llm, first, _ = escalating()
    pieces = await stream(llm, how)
    assert "".join(piece.delta or "" for piece in pieces) == "the large answer"
    assert "SECRET" not in repr(pieces)
    assert len(first.log) == 1


@each_stream
async def test_an_accepted_draft_comes_in_one_piece_with_its_decision(how: str) -> None:
    llm, _, last = accepting()
    (piece,) = await stream(llm, how)
    assert (text(piece), piece.delta) == ("the small answer", "the small answer")
    assert reasons(piece) == [("small", "confident")]
    assert len(last.log) == 0


@each_stream
async def test_a_live_stream_ends_with_its_decision_and_with_nothing_new(how: str) -> None:
    llm, _, _ = escalating()
    *live, closing = await stream(llm, how)
    assert [piece.delta for piece in live] == ["the", " large", " answer"]
    assert [text(piece) for piece in live] == ["the", "the large", "the large answer"]
    assert ["frugal" in piece.additional_kwargs for piece in live] == [False] * 3
    assert (text(closing), closing.delta) == ("the large answer", "")
    assert reasons(closing) == [("small", "unsure"), ("large", "last_tier")]
    assert decision(closing)["cost_usd"] == pytest.approx(6e-6 + 6e-5)


# --- laziness ---


@each_stream
async def test_nothing_is_asked_before_the_first_piece_is_wanted(how: str) -> None:
    llm, first, last = escalating()
    pieces = await begun(llm, how)
    assert (len(first.log), len(last.log)) == (0, 0)
    await step(pieces)
    assert (len(first.log), len(last.log)) == (1, 1)
    await leave(pieces)


@each_chat
async def test_reading_one_piece_of_the_last_model_makes_it_write_one(how: str) -> None:
    llm, _, last = escalating()
    pieces = await begun(llm, how)
    for count, word in enumerate(["the", " large", " answer"], 1):
        assert (await step(pieces)).delta == word
        assert last.log.produced == count
    await leave(pieces)


@each_chat
async def test_a_single_model_is_live(how: str) -> None:
    only = large()
    pieces = await begun(frugal(only), how)
    await step(pieces)
    assert (only.log.hows, only.log.produced) == ([how], 1)
    await leave(pieces)


@each_chat
async def test_tools_on_offer_do_not_make_a_stream_wait(how: str) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    llm, _, last = escalating()
    pieces = await begun(llm, how, tools=[FunctionTool.from_defaults(add)])
    first = await step(pieces)
    assert last.log.produced == 1
    assert first.additional_kwargs["frugal"] == {"tier": "large"}, "a tool call is read by who wrote it"
    await leave(pieces)


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_stream_of_tokens_is_live(how: str) -> None:
    llm, _, last = escalating()
    tokens: Any = llm.stream(PromptTemplate("hi")) if how == "stream" else await llm.astream(PromptTemplate("hi"))
    assert await step(tokens) == "the"
    assert last.log.produced == 1
    rest = [token async for token in tokens] if how == "astream" else list(tokens)
    assert rest == [" large", " answer", ""]


@each_chat
@pytest.mark.parametrize("sure", [0.9, 0.1])
async def test_a_tool_call_streams(how: str, sure: float) -> None:
    wish = calls_tool("add", {"a": 1, "b": 2})
    llm = frugal(small(wish if sure > 0.5 else "x", sure=sure), large(wish))
    last = (await stream(llm, how))[-1]
    (call,) = llm.get_tool_calls_from_response(last)
    assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 1, "b": 2})


# --- failures ---


class Breaking(Fake):
    """Writes so many words and breaks."""

    words: int = 2

    def _pieces(self, response: ChatResponse) -> Iterator[ChatResponse]:
        for count, piece in enumerate(super()._pieces(response)):
            if count == self.words:
                raise ConnectionError("cut")
            yield piece


@each_stream
async def test_a_failed_draft_is_followed_by_the_last_model_live(how: str) -> None:
    pieces = await stream(frugal(small(TimeoutError("slow")), large()), how)
    assert [piece.delta for piece in pieces] == ["the", " large", " answer", ""]
    assert reasons(pieces[-1]) == [("small", "failed"), ("large", "last_tier")]


@each_stream
async def test_a_stream_that_breaks_is_not_begun_anew(how: str) -> None:
    last = Breaking(model="large", reply="one two three")
    pieces, seen = await begun(frugal(small(sure=0.1), last), how), []
    with pytest.raises(ConnectionError, match="cut"):  # noqa: PT012
        while True:
            seen.append((await step(pieces)).delta)
    assert seen == ["one", " two"]
    assert len(last.log) == 1


@each_stream
async def test_a_model_that_fails_before_its_first_piece_is_replaced_where_a_policy_says_so(how: str) -> None:
    """A router's choice is final, and so is live; falls back on the next model as long as nobody has read a word."""
    from frugal_core.decision import Trace
    from frugal_core.policies import Policy
    from frugal_core.types import Call

    class FirstThatAnswers(Policy):
        def decide(self, query: Any) -> Any:
            trace = Trace(self, query)
            for tier in range(len(query.tiers)):
                try:
                    answer = yield Call(tier, query, final=True)
                except Exception as error:
                    trace.failed(tier, error)
                else:
                    trace.answered(answer, "routed", accepted=True)
                    break
            return trace.close(answer)

    first, last = Breaking(model="small", reply="one two three", words=0), large()
    pieces = await stream(frugal(first, last, policy=FirstThatAnswers()), how)
    assert [piece.delta for piece in pieces] == ["the", " large", " answer", ""]
    assert reasons(pieces[-1]) == [("small", "failed"), ("large", "routed")]

    first.words, seen = 1, []
    pieces = await begun(frugal(first, last, policy=FirstThatAnswers()), how)
    with pytest.raises(ConnectionError, match="cut"):  # noqa: PT012
        while True:
            seen.append((await step(pieces)).delta)
    assert seen == ["one"]


@each_stream
async def test_a_refusal_of_an_extra_in_the_middle_of_a_stream_does_not_begin_it_anew(how: str) -> None:
    class LiteLLM(Fake):
        """By its name, a client that is asked for the usage of its streams."""

        def _pieces(self, response: ChatResponse) -> Iterator[ChatResponse]:
            yield next(super()._pieces(response))
            raise TypeError("unexpected keyword argument 'stream_options'")

    last = LiteLLM(model="large", reply="one two three")
    pieces, seen = await begun(frugal(small(sure=0.1), last), how), []
    with pytest.raises(TypeError, match="stream_options"):  # noqa: PT012
        while True:
            seen.append((await step(pieces)).delta)
    assert seen == ["one"]
    assert last.log.calls[0].kwargs["stream_options"] == {"include_usage": True}
    assert len(last.log) == 1


@each_chat
async def test_a_stream_without_a_piece_is_an_error(how: str) -> None:
    class Silent(Fake):
        def _pieces(self, response: ChatResponse) -> Iterator[ChatResponse]:
            yield from ()

    with pytest.raises(ValueError, match="tier 'large' ended without a chunk"):
        await stream(frugal(small(sure=0.1), Silent(model="large")), how)


# --- leaving early ---


class Kept(Fake):
    """Keeps its streams alive, as a client with a pool of connections does: only `close` ends them."""

    kept: list[Any] = []

    def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
        self.kept.append(super().stream_chat(messages, **kwargs))
        return self.kept[-1]

    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        self.kept.append(await super().astream_chat(messages, **kwargs))
        return self.kept[-1]


@each_stream
@pytest.mark.parametrize("made", [Fake, Kept])
async def test_leaving_a_stream_closes_the_models_stream(how: str, made: type[Fake]) -> None:
    last = made(model="large", reply="the large answer")
    pieces = await begun(frugal(small(sure=0.1), last), how)
    await step(pieces)
    assert (last.log.produced, last.log.closed) == (1, 0)
    await leave(pieces)
    gc.collect()
    await settled()
    assert (last.log.produced, last.log.closed) == (1, 1)


@pytest.mark.parametrize("how", ["astream_chat", "astream_complete"])
async def test_leaving_an_async_stream_closes_the_models_stream_before_it_returns(how: str) -> None:
    """No turn of the loop later: it may be the last one."""
    closed: list[str] = []

    class Direct(Fake):
        async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
            async def pieces() -> AsyncIterator[Any]:
                try:
                    for word in ("one", "two"):
                        yield ChatResponse(message=ChatMessage(word, role="assistant"), delta=word)
                finally:
                    closed.append("closed")

            return pieces()

    stream = await begun(frugal(small(sure=0.1), Direct(model="large")), how)
    await step(stream)
    assert not closed
    await stream.aclose()
    assert closed == ["closed"]


@each_stream
async def test_a_stream_read_to_its_end_is_closed_as_well(how: str) -> None:
    llm, _, last = escalating()
    await stream(llm, how)
    assert (last.log.produced, last.log.closed) == (3, 1)


def tight() -> BudgetedThreshold:
    """Pays, over two queries, for two drafts and one call of the large model (6 and 60 millionths of a USD)."""
    return BudgetedThreshold(usd=5e-5, queries=2, warm_up=0)


@each_stream
async def test_what_was_set_aside_for_a_stream_that_was_left_is_free_again(how: str) -> None:
    llm = frugal(small(sure=0.1), large(), threshold=tight())
    pieces = await begun(llm, how)
    await step(pieces)
    await leave(pieces)
    assert reasons((await stream(llm, how))[-1]) == [("small", "unsure"), ("large", "last_tier")]


@each_stream
async def test_what_a_stream_cost_is_spent(how: str) -> None:
    llm = frugal(small(sure=0.1), large(), threshold=tight())
    assert reasons((await stream(llm, how))[-1]) == [("small", "unsure"), ("large", "last_tier")]
    assert reasons((await stream(llm, how))[-1]) == [("small", "budget_spent")]


@each_stream
@pytest.mark.parametrize("words", [0, 1])
async def test_what_was_set_aside_for_a_stream_that_breaks_is_free_again(how: str, words: int) -> None:
    last = Breaking(model="large", reply="one two three", words=words)
    llm = frugal(small(sure=0.1), last, threshold=tight())
    with pytest.raises(ConnectionError):
        await stream(llm, how)
    last.words = 9
    assert reasons((await stream(llm, how))[-1]) == [("small", "unsure"), ("large", "last_tier")]


# --- cancellation ---


class Hanging(Fake):
    """Answers when it is let to."""

    hangs: bool = True
    state: dict[str, Any] = {}

    async def _hang(self) -> None:
        self.state["reached"].set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.state["cancelled"] = True
            raise

    async def achat(self, messages: Any, **kwargs: Any) -> Any:
        if self.hangs:
            await self._hang()
        return await super().achat(messages, **kwargs)

    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        inner = await super().astream_chat(messages, **kwargs)

        async def pieces() -> AsyncIterator[Any]:
            async for piece in inner:
                yield piece
                if self.hangs:
                    await self._hang()

        return pieces()


def hanging(model: str, **settings: Any) -> Hanging:
    made = Hanging(model=model, **settings)
    made.state = {"reached": asyncio.Event(), "cancelled": False}
    return made


async def cancelled(llm: FrugalLLM, how: str, where: Hanging) -> None:
    """Ask in a task, and cancel it where it hangs."""
    task = asyncio.create_task(stream(llm, how))
    await asyncio.wait_for(where.state["reached"].wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert where.state["cancelled"]


@pytest.mark.parametrize("how", ["achat", "acomplete", "astream_chat", "astream_complete"])
async def test_a_query_cancelled_at_its_draft_asks_nobody_else(how: str) -> None:
    first, last = hanging("small", sure=0.1), large()
    llm = frugal(first, last)
    await cancelled(llm, how, first)
    assert len(last.log) == 0
    first.hangs = False
    assert reasons((await stream(llm, how))[-1]) == [("small", "unsure"), ("large", "last_tier")]


@pytest.mark.parametrize("how", ["achat", "acomplete", "astream_chat", "astream_complete"])
async def test_what_was_set_aside_for_a_query_that_was_cancelled_is_free_again(how: str) -> None:
    last = hanging("large")
    llm = frugal(small(sure=0.1), last, threshold=tight())
    await cancelled(llm, how, last)
    last.hangs = False
    assert reasons((await stream(llm, how))[-1]) == [("small", "unsure"), ("large", "last_tier")]


async def test_a_limit_of_time_around_a_query_is_no_failure_of_a_model() -> None:
    first, last = hanging("small"), large()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(frugal(first, last).achat([ChatMessage("hi")]), 0.05)
    assert len(last.log) == 0
