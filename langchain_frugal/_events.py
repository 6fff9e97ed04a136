"""LangChain's third event protocol over a stream of message chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from langchain_core.language_models._compat_bridge import achunks_to_events, chunks_to_events
from langchain_core.language_models.chat_model_stream import AsyncChatModelStream, ChatModelStream
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_frugal._convert import to_chunk


def stream_v3(chunks: Iterator[AIMessageChunk]) -> ChatModelStream:
    """A `ChatModelStream` that pulls chunks as its reader asks for them."""
    stream = ChatModelStream()
    events = chunks_to_events(_generation(chunk) for chunk in chunks)

    def pump() -> bool:
        try:
            event = next(events, None)
            if event is None and not stream.has_events:
                raise ValueError("The stream ended without a chunk.")
        except BaseException as error:
            stream.fail(error)
            return False
        if event is not None:
            stream.dispatch(event)
        return event is not None

    stream.bind_pump(pump)
    return stream


async def astream_v3(chunks: AsyncIterator[AIMessageChunk]) -> AsyncChatModelStream:
    """An `AsyncChatModelStream` fed by a task that starts with its first reader."""
    stream = AsyncChatModelStream()

    async def produce() -> None:
        try:
            async for event in achunks_to_events(_generation(chunk) async for chunk in chunks):
                stream.dispatch(event)
            if not stream.has_events:
                raise ValueError("The stream ended without a chunk.")
        except BaseException as error:
            stream.fail(error)
            if isinstance(error, asyncio.CancelledError):
                raise

    async def start() -> None:
        if stream._producer_task is None:
            stream._producer_task = asyncio.get_running_loop().create_task(produce())

    stream.set_start(start)
    return stream


def _generation(chunk: AIMessageChunk) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=chunk if isinstance(chunk, AIMessageChunk) else to_chunk(chunk))
