"""Overhears what models answer inside a call that returns none of it: a structured prediction gives its value alone.

LlamaIndex's instrumentation tells every response. One handler of ours hears them, and keeps those of the calls that are being
listened to in the same context; so concurrent calls do not mix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from llama_index_instrumentation import get_dispatcher

from llamaindex_frugal._convert import Response

_heard: ContextVar[tuple[list[Response], ...]] = ContextVar("frugal_heard", default=())
"""Of the calls around this one as well: a tier may be a wrapper itself."""
_adding = Lock()


@contextmanager
def overhearing(responses: list[Response]) -> Iterator[None]:
    """Append the responses of all models called in the block, in order."""
    handlers = get_dispatcher().event_handlers
    with _adding:  # two listeners would hear, and count, everything twice
        if not any(isinstance(handler, _Listener) for handler in handlers):
            handlers.append(_Listener())
    token = _heard.set((*_heard.get(), responses))
    try:
        yield
    finally:
        _heard.reset(token)


class _Listener(NullEventHandler):
    """Stays attached, and counts as nobody: events that are only for users need not be made for its sake."""

    @classmethod
    def class_name(cls) -> str:
        return "FrugalListener"

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, (LLMChatEndEvent, LLMCompletionEndEvent)) and event.response is not None:
            for responses in _heard.get():
                responses.append(event.response)
