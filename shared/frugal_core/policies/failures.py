"""Which failures of a tier are worth asking a dearer one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from frugal_core.decision import http_status
from frugal_core.errors import ConfigurationError

EscalateOn: TypeAlias = "Callable[[Exception], bool] | Sequence[type[Exception]] | type[Exception]"

_STATUS = frozenset({408, 409, 413, 425, 429}) | frozenset(range(500, 600))
_TYPES = (TimeoutError, ConnectionError, asyncio.TimeoutError)
_NAMES = ("ratelimit", "timeout", "connection", "connecterror", "networkerror", "remoteprotocol", "serviceunavailable",
          "internalserver", "overloaded", "contextoverflow", "contentfilter", "resourceexhausted", "throttling")  # fmt: skip
_MESSAGES = ("context_length_exceeded", "maximum context length", "context window", "context limit", "context size",
             "prompt is too long", "maximum prompt length", "maximum number of tokens", "too many tokens", "input is too long",
             "content_filter", "content management policy")  # fmt: skip


def recoverable(error: Exception) -> bool:
    """The default: rate limits, timeouts, lost connections, 5xx, context overflow and content filters.

    Providers share no exception classes, so HTTP status, what the class says of itself (LangChain's `is_retryable`), class
    names along the inheritance, and message and code are looked at.

    >>> recoverable(TimeoutError("read timed out")), recoverable(ValueError("bad argument"))
    (True, False)
    """
    if isinstance(error, _TYPES) or http_status(error) in _STATUS or getattr(error, "is_retryable", False) is True:
        return True
    names = [cls.__name__.lower() for cls in type(error).__mro__]
    if any(part in name for name in names for part in _NAMES):
        return True
    message = f"{error} {getattr(error, 'code', '')}".lower()  # some SDKs keep OpenAI's code out of the text
    return any(part in message for part in _MESSAGES)


def escalation_rule(escalate_on: EscalateOn) -> Callable[[Exception], bool]:
    """The predicate for what a user may give as `escalate_on`.

    Raises:
        ConfigurationError: It is neither a predicate nor exception classes.
    """
    if isinstance(escalate_on, type):
        return escalation_rule([escalate_on])
    if isinstance(escalate_on, (list, tuple)):
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in escalate_on):
            raise ConfigurationError(f"escalate_on={escalate_on!r} must hold exception classes only, such as TimeoutError.")
        return partial(_is_one_of, tuple(escalate_on))  # a lambda could not be pickled
    if callable(escalate_on):
        return escalate_on
    raise ConfigurationError(f"escalate_on={escalate_on!r} must be exception classes or a predicate on an exception.")


def _is_one_of(kinds: tuple[type[Exception], ...], error: Exception) -> bool:
    return isinstance(error, kinds)
