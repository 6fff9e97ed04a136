"""What query engines answer, as JSON and back; streams are kept once they were read to their end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    AsyncStreamingResponse,
    PydanticResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.schema import BaseNode, NodeWithScore
from llama_index.core.storage.docstore.utils import doc_to_json, json_to_doc
from pydantic import BaseModel

from frugal_core.engine import aclosed, closed
from llamaindex_frugal._payloads import in_pieces

Streamed = StreamingResponse | AsyncStreamingResponse


def write_engine_response(response: RESPONSE_TYPE, text: str | None = None) -> tuple[str, str] | None:
    """Text of an engine's response, and all of it as JSON; `None` for what is no JSON.

    Of its metadata, what is no JSON is left out.

    Args:
        response: The response.
        text: What was streamed, where it is a stream.
    """
    kept: dict[str, Any] = {"streamed": isinstance(response, Streamed)}
    if isinstance(response, PydanticResponse):
        if not isinstance(response.response, BaseModel):
            return None
        kept["value"] = response.response.model_dump(mode="json", by_alias=True)
        text = response.response.model_dump_json()
    else:
        text = kept["text"] = text if isinstance(response, Streamed) else response.response
    if text is None:
        return None
    try:
        nodes = [[doc_to_json(_light(found.node)), found.score] for found in response.source_nodes]
        metadata = None if response.metadata is None else _plain_items(response.metadata)
        return text, json.dumps({**kept, "nodes": nodes, "metadata": metadata}, ensure_ascii=False)
    except (TypeError, ValueError):
        return None


def read_engine_response(payload: str, output_cls: type[Any] | None) -> Response | PydanticResponse | None:
    """The response that was written, whole; `None` for what is none.

    Args:
        payload: What was written.
        output_cls: The class of the engine's values, if it gives values.
    """
    try:
        kept = json.loads(payload)
        nodes = [NodeWithScore(node=json_to_doc(node), score=score) for node, score in kept["nodes"]]
        metadata = kept["metadata"]
        if "value" not in kept:
            return None if output_cls is not None else Response(kept["text"], nodes, metadata)
        if output_cls is None:
            return None
        return PydanticResponse(output_cls.model_validate(kept["value"]), nodes, metadata)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def was_streamed(payload: str) -> bool:
    """Whether the response that was written had been a stream."""
    return bool(json.loads(payload).get("streamed"))


def shaped(response: Response | PydanticResponse, *, streams: bool, awaited: bool) -> RESPONSE_TYPE:
    """A whole response in the shape its engine gives now."""
    if not streams or isinstance(response, PydanticResponse):
        return response
    pieces = in_pieces(response.response or "")
    if awaited:
        return AsyncStreamingResponse(_aiter(pieces), response.source_nodes, response.metadata)
    return StreamingResponse(_iter(pieces), response.source_nodes, response.metadata)


def teed(response: StreamingResponse, whole: Callable[[str], None], ended: Callable[[], None]) -> StreamingResponse:
    """The same stream, whose text is handed on once it is complete.

    Args:
        response: The stream; changed.
        whole: Takes the text.
        ended: Called when the stream is read, has failed, or is closed before its end.
    """
    tokens = iter(response.response_gen)

    def pieces() -> Iterator[str]:
        text: list[str] = []
        try:
            with closed(tokens):
                for token in tokens:
                    text.append(token)
                    yield token
            whole("".join(text))
        finally:
            ended()

    response.response_gen = pieces()  # type: ignore[assignment]
    return response


def ateed(
    response: AsyncStreamingResponse, whole: Callable[[str], Awaitable[None]], ended: Callable[[], None]
) -> AsyncStreamingResponse:
    """As `teed`."""
    tokens = aiter(response.response_gen)

    async def pieces() -> AsyncIterator[str]:
        text: list[str] = []
        try:
            async with aclosed(tokens):
                async for token in tokens:
                    text.append(token)
                    yield token
            await whole("".join(text))
        finally:
            ended()

    response.response_gen = pieces()  # type: ignore[assignment]
    return response


def _light(node: BaseNode) -> BaseNode:
    return node if node.embedding is None else node.model_copy(update={"embedding": None})


def _plain_items(metadata: dict[str, Any]) -> dict[str, Any]:
    plain = {}
    for name, value in metadata.items():
        try:
            json.dumps({name: value})
        except (TypeError, ValueError):
            continue
        plain[name] = value
    return plain


def _iter(pieces: Sequence[str]) -> Any:
    yield from pieces


async def _aiter(pieces: Sequence[str]) -> Any:
    for piece in pieces:
        yield piece
