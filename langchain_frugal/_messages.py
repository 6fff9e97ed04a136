"""Tiers that answer with messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, BaseMessageChunk

from frugal_core.decision import Decision
from frugal_core.errors import ConfigurationError
from frugal_core.types import Answer, Query
from langchain_frugal._convert import to_answer, to_chunk, with_metadata
from langchain_frugal._payload import from_payload, replayed, to_payload

M = TypeVar("M", bound=AIMessage)


@dataclass(frozen=True)
class MessageShape:
    """Messages in, messages out.

    Attributes:
        output_version: `"v1"` stores standard content blocks in the message's content, as chat models do.
    """

    output_version: str | None = None

    def read(self, output: Any, query: Query, tier: int, latency_s: float) -> Answer:
        """A message as an answer."""
        return to_answer(as_message(output, query.tiers[tier].name), query, tier, latency_s)

    def unparsed(self, error: Exception) -> None:
        """A message needs no parsing: whatever failed is a failure."""

    def serve(self, decision: Decision) -> AIMessage:
        """The accepted message with its decision."""
        message: AIMessage = decision.answer.raw
        return with_metadata(_versioned(message, self.output_version), decision.to_dict())

    def result(self, output: AIMessage) -> AIMessage:
        """The message itself."""
        return output

    def collect(self, query: Query, tier: int) -> MessageCollector:
        """Follow a stream of message chunks."""
        return MessageCollector(query, tier, self.output_version)

    def chunk(self, output: AIMessage) -> AIMessageChunk:
        """A whole message as one chunk."""
        return to_chunk(output)

    def replay(self, output: AIMessage) -> Iterator[AIMessageChunk]:
        """A cached message word by word."""
        return replayed(output)

    def payload(self, output: AIMessage, decision: Decision) -> str | None:
        """The message as JSON."""
        return to_payload(output)

    def revived(self, payload: str, decision: Decision) -> AIMessage | None:
        """The message anew."""
        message = from_payload(payload)
        return None if message is None else with_metadata(message, decision.to_dict())


class MessageCollector:
    """Passes chunks on, holding back the one that closes the stream until the decision is known."""

    def __init__(self, query: Query, tier: int, output_version: str | None) -> None:
        self._query = query
        self._tier = tier
        self._version = output_version
        self._whole: AIMessageChunk | None = None
        self._held: AIMessageChunk | None = None
        self._block = (-1, "")

    def push(self, chunk: Any) -> AIMessageChunk | None:
        """The chunk, unless it is the last."""
        piece = self._piece(chunk)
        if self._version == "v1":
            piece = self._indexed(_versioned(piece, "v1"))
        self._whole = piece if self._whole is None else self._whole + piece
        held, self._held = self._held, piece if piece.chunk_position == "last" else None
        if held is None:
            return None if self._held else piece
        more = held.model_copy(update={"chunk_position": None})  # it was not the last after all
        return more if self._held else more + piece

    def answer(self, latency_s: float) -> Answer:
        """The sum of all chunks."""
        if self._whole is None:
            raise ValueError(f"The stream of tier {self._query.tiers[self._tier].name!r} ended without a chunk.")
        return to_answer(self._whole, self._query, self._tier, latency_s)

    def last(self, output: AIMessage) -> AIMessageChunk:
        """The held chunk, or an empty one, with the decision."""
        empty: Any = [] if isinstance(output.content, list) else ""
        last = self._held or AIMessageChunk(content=empty, id=output.id, chunk_position="last")
        return with_metadata(last, output.response_metadata["frugal"])

    def _piece(self, chunk: Any) -> AIMessageChunk:
        """What a tier streams: chunks, pieces of text, or whole messages."""
        if isinstance(chunk, str):
            return AIMessageChunk(content=chunk)
        return chunk if isinstance(chunk, AIMessageChunk) else to_chunk(as_message(chunk, self._query.tiers[self._tier].name))

    def _indexed(self, chunk: AIMessageChunk) -> AIMessageChunk:
        """Number content blocks so that chunks merge block by block, as chat models do."""
        index, kind = self._block
        for block in chunk.content:
            if isinstance(block, dict):
                if block["type"] != kind:
                    index, kind = index + 1, block["type"]
                block.setdefault("index", index)
        self._block = index, kind
        return chunk


def as_message(output: Any, tier: str) -> AIMessage:
    """What a tier returned, as a message. A chain may end in plain text.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(output, AIMessage):
        return output
    if isinstance(output, str):
        return AIMessage(output)
    if isinstance(output, BaseMessage) and not isinstance(output, BaseMessageChunk):
        return AIMessage(output.content, id=output.id, response_metadata=output.response_metadata)
    raise ConfigurationError(
        f"Tier {tier!r} answered with a {type(output).__name__}; a tier must answer with a message (or text). Put the parser "
        "behind Frugal: ChatFrugal(models=[…]) | parser."
    )


def _versioned(message: M, output_version: str | None) -> M:
    if output_version != "v1":
        return message
    metadata: Mapping[str, Any] = {**message.response_metadata, "output_version": output_version}
    return message.model_copy(update={"content": message.content_blocks, "response_metadata": metadata})
