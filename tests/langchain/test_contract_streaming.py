"""Streams: nothing of a draft before it is accepted, the last model live, and every chunk as core's contract has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableGenerator, RunnableLambda

from langchain_frugal import ChatFrugal
from langchain_frugal.playground import ChatPlayground
from lc import (
    USAGE,
    Recorder,
    accepting,
    calls_tool,
    collect,
    decision,
    escalating,
    frugal,
    heard_by,
    joined,
    large,
    reasons,
    small,
)

both_ways = pytest.mark.parametrize("how", ["stream", "astream"])


async def streamed(llm: Any, how: str, input: Any = "hi", config: Any = None, **kwargs: Any) -> list[AIMessageChunk]:
    return list(llm.stream(input, config, **kwargs)) if how == "stream" else await collect(llm.astream(input, config, **kwargs))


# --- what comes, and what does not ---


@both_ways
async def test_a_rejected_draft_never_shows(how: str) -> None:
    llm, first, _ = escalating()
    chunks = await streamed(llm, how)
    assert "".join(chunk.text for chunk in chunks) == "the large answer"
    assert "SECRET" not in repr(chunks)
    assert len(first.log) == 1


@both_ways
async def test_an_accepted_draft_comes_once_and_whole(how: str) -> None:
    llm, _, last = accepting()
    chunks = await streamed(llm, how)
    assert [chunk.text for chunk in chunks if chunk.text] == ["the small answer"]
    assert len(last.log) == 0


@both_ways
@pytest.mark.parametrize("make", [accepting, escalating])
async def test_the_sum_of_all_chunks_is_what_invoke_returns(how: str, make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    whole, message = joined(await streamed(llm, how)), llm.invoke("hi")
    assert isinstance(whole, AIMessageChunk)
    assert whole.content == message.content
    assert whole.usage_metadata == message.usage_metadata == USAGE
    assert {**whole.response_metadata, "frugal": None} == {**message.response_metadata, "frugal": None}
    assert reasons(whole) == reasons(message)


@both_ways
@pytest.mark.parametrize("make", [accepting, escalating])
async def test_what_stands_on_one_chunk_only(how: str, make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    chunks = await streamed(llm, how)
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert sum("model_name" in chunk.response_metadata for chunk in chunks) == 1
    assert ["frugal" in chunk.response_metadata for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)


@both_ways
async def test_the_decision_stands_on_the_last_chunk(how: str) -> None:
    llm, _, _ = escalating()
    *_, last = await streamed(llm, how)
    assert reasons(last) == [("small", "unsure"), ("large", "last_tier")]
    assert decision(last)["cost_usd"] == pytest.approx(6e-6 + 6e-5)


# --- the last tier is live ---


def test_the_first_chunk_comes_before_the_second_is_made() -> None:
    llm, _, last = escalating()
    stream = llm.stream("hi")
    first = next(stream)
    assert (first.text, last.log.produced) == ("the", 1)
    assert (next(stream).text, last.log.produced) == (" large", 2)
    list(stream)


async def test_the_first_chunk_comes_before_the_second_is_made_async() -> None:
    llm, _, last = escalating()
    stream = llm.astream("hi")
    first = await anext(stream)
    assert (first.text, last.log.produced) == ("the", 1)
    assert ((await anext(stream)).text, last.log.produced) == (" large", 2)
    await collect(stream)


def test_a_single_model_is_live() -> None:
    only = large()
    stream = frugal(only).stream("hi")
    next(stream)
    assert only.log.produced == 1
    list(stream)


def test_live_through_a_chain() -> None:
    llm, _, last = escalating()
    stream = (ChatPromptTemplate.from_template("{x}") | llm | StrOutputParser()).stream({"x": "hi"})
    assert next(text for text in stream if text) == "the"
    assert last.log.produced == 1
    assert "".join(stream) == " large answer"


# --- leaving early ---


def test_leaving_a_stream_closes_the_models() -> None:
    llm, _, last = escalating()
    recorder = Recorder()
    stream = llm.stream("hi", heard_by(recorder))
    next(stream)
    assert (last.log.produced, last.log.closed) == (1, 0)
    stream.close()  # type: ignore[attr-defined]
    assert (last.log.produced, last.log.closed) == (1, 1)
    assert all(run.ended == 1 for run in recorder.runs.values())


async def test_leaving_an_async_stream_closes_the_models() -> None:
    llm, _, last = escalating()
    recorder = Recorder()
    stream = llm.astream("hi", heard_by(recorder))
    await anext(stream)
    assert (last.log.produced, last.log.closed) == (1, 0)
    await stream.aclose()  # type: ignore[attr-defined]
    for _ in range(20):  # asyncio closes what core leaves open, a turn of the loop later each
        await asyncio.sleep(0)
    assert (last.log.produced, last.log.closed) == (1, 1)
    assert all(run.ended == 1 for run in recorder.runs.values())


# --- failures ---


@both_ways
async def test_a_draft_that_fails_is_followed_by_the_last_model_live(how: str) -> None:
    chunks = await streamed(frugal(small(TimeoutError("slow")), large()), how)
    assert "".join(chunk.text for chunk in chunks) == "the large answer"
    assert reasons(chunks[-1]) == [("small", "failed"), ("large", "last_tier")]


class Breaking(RunnableGenerator[Any, Any]):
    """Streams two words and breaks."""

    def __init__(self) -> None:
        def words(_: Iterator[Any]) -> Iterator[Any]:
            yield AIMessageChunk("one")
            yield AIMessageChunk(" two")
            raise ConnectionError("cut")

        async def awords(_: AsyncIterator[Any]) -> AsyncIterator[Any]:
            yield AIMessageChunk("one")
            yield AIMessageChunk(" two")
            raise ConnectionError("cut")

        super().__init__(words, awords)


PLAIN = {"small": (1, 1), "large": (1, 1), "Breaking": (1, 1), "RunnableGenerator": (1, 1), "RunnableSequence": (1, 1),
         "RunnableLambda": (1, 1)}  # fmt: skip


@both_ways
async def test_a_stream_that_breaks_is_not_begun_anew(how: str) -> None:
    llm = frugal(small(sure=0.1), Breaking(), prices=PLAIN)
    recorder = Recorder()
    seen = []

    async def read() -> None:
        if how == "stream":
            for chunk in llm.stream("hi", heard_by(recorder)):
                seen.append(chunk.text)
        else:
            async for chunk in llm.astream("hi", heard_by(recorder)):
                seen.append(chunk.text)

    with pytest.raises(ConnectionError, match="cut"):
        await read()
    assert seen == ["one", " two"]
    wrapper = recorder.of("chain")[0]
    assert isinstance(wrapper.error, ConnectionError)


# --- models of other kinds at the end of a stream ---


@both_ways
async def test_a_model_that_does_not_stream(how: str) -> None:
    class Whole(BaseChatModel):
        model: str = "large"

        @property
        def _llm_type(self) -> str:
            return "whole"

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            return large()._generate(messages)

    chunks = await streamed(frugal(small(sure=0.1), Whole()), how)
    assert [chunk.text for chunk in chunks] == ["the large answer"]
    assert isinstance(chunks[0], AIMessageChunk)
    assert (chunks[0].chunk_position, chunks[0].usage_metadata) == ("last", USAGE)


@both_ways
async def test_a_chain_that_streams_text(how: str) -> None:
    texts = large("one two three") | StrOutputParser()
    chunks = await streamed(frugal(small(sure=0.1), texts, prices=PLAIN), how)
    assert [chunk.text for chunk in chunks if chunk.text] == ["one", " two", " three"]
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert joined(chunks).text == "one two three"
    assert len({chunk.id for chunk in chunks}) == 1


@both_ways
async def test_a_chain_that_streams_text_is_live(how: str) -> None:
    model = large("one two three")
    stream: Any = getattr(frugal(small(sure=0.1), model | StrOutputParser(), prices=PLAIN), how)("hi")
    first = next(stream) if how == "stream" else await anext(stream)
    assert (first.text, model.log.produced) == ("one", 1)
    _ = list(stream) if how == "stream" else await collect(stream)


@both_ways
async def test_a_chain_of_prompt_and_model(how: str) -> None:
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("placeholder", "{messages}")]) | large()
    wrapped = RunnableLambda(lambda messages: {"messages": messages}) | chain
    chunks = await streamed(frugal(small(sure=0.1), wrapped, prices=PLAIN), how)
    assert [chunk.text for chunk in chunks if chunk.text] == ["the", " large", " answer"]
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1


@both_ways
async def test_a_function_that_answers_with_several_messages(how: str) -> None:
    def messages(_: Any) -> Iterator[Any]:
        yield AIMessage("one")
        yield AIMessage(" two")

    async def amessages(_: Any) -> AsyncIterator[Any]:
        yield AIMessage("one")
        yield AIMessage(" two")

    chunks = await streamed(frugal(RunnableGenerator(messages, amessages), prices=PLAIN), how)
    assert "".join(chunk.text for chunk in chunks) == "one two"
    assert joined(chunks).text == "one two"
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]


@both_ways
async def test_a_stream_without_a_chunk_is_an_error(how: str) -> None:
    def nothing(_: Iterator[Any]) -> Iterator[Any]:
        yield from ()

    async def anothing(_: AsyncIterator[Any]) -> AsyncIterator[Any]:
        for chunk in ():
            yield chunk

    with pytest.raises(ValueError, match="without a chunk"):
        await streamed(frugal(RunnableGenerator(nothing, anothing), prices=PLAIN), how)


@both_ways
@pytest.mark.parametrize("draft", [True, False])
async def test_tool_calls_stream_whole_or_in_parts(how: str, draft: bool) -> None:
    wish = calls_tool("add", {"a": 1, "b": 2})
    llm = frugal(small(wish), large("x")) if draft else frugal(small("x", sure=0.1), large(wish))
    whole = joined(await streamed(llm, how))
    assert whole.tool_calls == wish.tool_calls
    assert [part["id"] for part in whole.tool_call_chunks] == ["call_1"]


# --- when streaming is switched off ---


@both_ways
@pytest.mark.parametrize("off", [{"disable_streaming": True}, {"streaming": False}])
async def test_streaming_switched_off(how: str, off: dict[str, Any]) -> None:
    llm, _, last = escalating(**off)
    (message,) = await streamed(llm, how)
    assert message.text == "the large answer"
    assert last.log.hows == ["invoke" if how == "stream" else "ainvoke"]


@both_ways
async def test_streaming_switched_off_for_tools(how: str) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    llm, _, last = escalating(disable_streaming="tool_calling")
    assert len(await streamed(llm, how)) > 1
    assert len(await streamed(llm.bind_tools([add]), how)) == 1
    assert last.log.hows == [how, "invoke" if how == "stream" else "ainvoke"]


@both_ways
async def test_streaming_switched_off_for_one_call(how: str) -> None:
    llm, _, last = escalating()
    assert len(await streamed(llm, how, stream=False)) == 1
    assert last.log.hows == ["invoke" if how == "stream" else "ainvoke"]


# --- output version v1 ---


@both_ways
@pytest.mark.parametrize("make", [accepting, escalating])
async def test_standard_content_blocks(how: str, make: Callable[..., Any]) -> None:
    llm, _, _ = make(output_version="v1")
    message, chunks = llm.invoke("hi"), await streamed(llm, how)
    whole = joined(chunks)
    assert message.content == [{"type": "text", "text": message.text}]
    assert [{k: v for k, v in block.items() if k != "index"} for block in whole.content] == message.content  # type: ignore[union-attr]
    assert whole.response_metadata["output_version"] == message.response_metadata["output_version"] == "v1"
    assert "frugal" in whole.response_metadata
    assert "frugal" in message.response_metadata


# --- a real model ---


@both_ways
async def test_the_playgrounds_models(how: str) -> None:
    models = [ChatPlayground(model="playground-small"), ChatPlayground(model="playground-medium")]
    for threshold in (0.0, 1.0):
        llm = ChatFrugal(models=models, threshold=threshold)
        message, chunks = llm.invoke("What can you do?"), await streamed(llm, how, "What can you do?")
        assert joined(chunks).text == message.text
        assert (len([chunk for chunk in chunks if chunk.text]) > 1) == (decision(message)["tier"] == "playground-medium")
        assert joined(chunks).usage_metadata == message.usage_metadata
