"""Keeps a draft's tokens out of every stream until it is known whether the draft is served.

LangGraph's message streams and `astream_events` listen through callback handlers that a tier's run would feed directly. For a
tier that may still be rejected each such handler is replaced by a `Gate`, which records what it hears; an accepted draft's
gate is opened (everything is replayed in order), a rejected one's is thrown away. Other handlers (tracers, token counters)
hear every run as it happens.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, TypeVar
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.callbacks.manager import ahandle_event, handle_event

T = TypeVar("T")
M = TypeVar("M", bound=BaseCallbackManager)

try:  # private names, so they may go; then no handler is recognised as streaming, and none is gated
    from langchain_core.tracers._streaming import _StreamingCallbackHandler, _V2StreamingCallbackHandler
except ImportError:  # pragma: no cover

    class _StreamingCallbackHandler(Generic[T]):  # type: ignore[no-redef]
        """Stand-in."""

    class _V2StreamingCallbackHandler:  # type: ignore[no-redef]
        """Stand-in."""


_EVENTS = {
    "on_chat_model_start": "ignore_chat_model",
    "on_llm_start": "ignore_llm",
    "on_llm_new_token": "ignore_llm",
    "on_llm_end": "ignore_llm",
    "on_llm_error": "ignore_llm",
    "on_stream_event": "ignore_llm",
    "on_chain_start": "ignore_chain",
    "on_chain_end": "ignore_chain",
    "on_chain_error": "ignore_chain",
    "on_tool_start": "ignore_agent",
    "on_tool_end": "ignore_agent",
    "on_tool_error": "ignore_agent",
    "on_retriever_start": "ignore_retriever",
    "on_retriever_end": "ignore_retriever",
    "on_retriever_error": "ignore_retriever",
    "on_custom_event": "ignore_custom_event",
    "on_retry": "ignore_retry",
}


class Gate(BaseCallbackHandler):
    """Records the events one streaming handler should hear."""

    run_inline = True

    def __init__(self, handler: BaseCallbackHandler) -> None:
        self.handler = handler
        self.events: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def open(self) -> None:
        """Let the handler hear everything recorded so far."""
        for name, args, kwargs in self.events:
            handle_event([self.handler], name, _EVENTS[name], *args, **kwargs)
        self.events.clear()

    async def aopen(self) -> None:
        """As `open`, awaiting handlers that are async."""
        for name, args, kwargs in self.events:
            await ahandle_event([self.handler], name, _EVENTS[name], *args, **kwargs)
        self.events.clear()


def _recorder(name: str) -> Callable[..., None]:
    def record(self: Gate, *args: Any, **kwargs: Any) -> None:
        self.events.append((name, args, kwargs))

    record.__name__ = name
    return record


for _name in _EVENTS:
    setattr(Gate, _name, _recorder(_name))


class _TokenGate(Gate, _StreamingCallbackHandler[Any]):
    """Gate of a handler that wants tokens: a model streams for it as it would for the handler itself."""

    def tap_output_iter(self, run_id: UUID, output: Iterator[T]) -> Iterator[T]:
        return output

    def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[T]) -> AsyncIterator[T]:
        return output


class _EventGate(Gate, _V2StreamingCallbackHandler):
    """Gate of a handler that wants content-block events."""


class _BothGate(_TokenGate, _V2StreamingCallbackHandler):
    """Gate of a handler that wants either."""


def gated(manager: M) -> tuple[M, list[Gate]]:
    """A copy of a callback manager with gates for its streaming handlers; the manager itself when it has none."""
    if not any(_streams(handler) for handler in manager.handlers):
        return manager, []
    gates: dict[int, Gate] = {}

    def pass_or_gate(handler: BaseCallbackHandler) -> BaseCallbackHandler:
        if not _streams(handler):
            return handler
        return gates.setdefault(id(handler), _gate_for(handler))

    copy = manager.copy()
    copy.handlers = [pass_or_gate(handler) for handler in manager.handlers]
    copy.inheritable_handlers = [pass_or_gate(handler) for handler in manager.inheritable_handlers]
    return copy, list(gates.values())


def _streams(handler: BaseCallbackHandler) -> bool:
    return isinstance(handler, (_StreamingCallbackHandler, _V2StreamingCallbackHandler))


def _gate_for(handler: BaseCallbackHandler) -> Gate:
    tokens, events = isinstance(handler, _StreamingCallbackHandler), isinstance(handler, _V2StreamingCallbackHandler)
    return _BothGate(handler) if tokens and events else _TokenGate(handler) if tokens else _EventGate(handler)
