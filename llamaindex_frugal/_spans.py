"""Keeps LlamaIndex's spans nested, and costs nothing where nobody watches them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar, cast

from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.instrumentation.span_handlers import NullSpanHandler
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import Dispatcher

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

dispatcher = get_dispatcher("llamaindex_frugal")


def spanned(method: F) -> F:
    """Give a method a span of its own when any span handler listens.

    Core decorates every endpoint of an LLM so, listened to or not; but a span costs a third of a whole call of a model that
    answers at once. Core's own decorator knows from a mark on the method that it is decorated already.
    """
    observed: Any = dispatcher.span(method)

    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def awaited(self: Any, *args: Any, **kwargs: Any) -> Any:
            chosen = observed if watched() else method
            return await chosen.__get__(self)(*args, **kwargs)

        return cast("F", awaited)

    @functools.wraps(method)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        chosen = observed if watched() else method
        return chosen.__get__(self)(*args, **kwargs)

    return cast("F", called)


def within_span(items: Iterator[T]) -> Iterator[T]:
    """A lazy stream whose work belongs to the span in which it was asked for, not to that of whoever reads it."""
    return _within(items, active_span_id.get())


def awithin_span(items: AsyncIterator[T]) -> AsyncIterator[T]:
    """As `within_span`."""
    return _awithin(items, active_span_id.get())


def _within(items: Iterator[T], span: str | None) -> Iterator[T]:
    try:
        while True:
            token = active_span_id.set(span)
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                active_span_id.reset(token)
            yield item
    finally:
        cast("Any", items).close()


async def _awithin(items: AsyncIterator[T], span: str | None) -> AsyncIterator[T]:
    try:
        while True:
            token = active_span_id.set(span)
            try:
                item = await anext(items)
            except StopAsyncIteration:
                return
            finally:
                active_span_id.reset(token)
            yield item
    finally:
        await cast("Any", items).aclose()


def watched() -> bool:
    """Whether any span handler would hear of a span."""
    place: Dispatcher = dispatcher
    while True:
        for handler in place.span_handlers:
            if type(handler) is not NullSpanHandler:
                return True
        if not place.propagate:
            return False
        place = place.parent


def heard() -> bool:
    """Whether any event handler would hear of an event."""
    place: Dispatcher = dispatcher
    while True:
        for handler in place.event_handlers:
            if not isinstance(handler, NullEventHandler):
                return True
        if not place.propagate:
            return False
        place = place.parent
