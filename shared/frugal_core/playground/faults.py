"""What a playground server remembers of its requests, and the faults that a test can order from it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from frugal_core.errors import ConfigurationError
from frugal_core.playground.chat import ChatError

Outcome = Literal["running", "completed", "failed", "cancelled"]

_RETRY_AFTER = 1.0
_ERRORS: Mapping[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


@dataclass(slots=True)
class RequestRecord:
    """A request for a chat completion as the server saw it.

    Attributes:
        model: The model asked for, `None` where the body does not say.
        body: The parsed body, `None` where it is not JSON.
        status: The HTTP status answered with, `None` as long as there is none.
        outcome: "cancelled" when the client went away, or the server closed, before all was sent.
        tokens: How many tokens were generated for it.
    """

    model: str | None
    body: Any
    status: int | None = None
    outcome: Outcome = "running"
    tokens: int = 0
    _done: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def finish(self, outcome: Outcome) -> None:
        """Set the outcome; done before the last bytes are sent, so that a client with its answer finds it set."""
        self.outcome = outcome
        self._done.set()

    def wait(self, timeout: float = 10.0) -> bool:
        """Wait until the server has done with this request; `False` if that takes more than `timeout` seconds."""
        return self._done.wait(timeout)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error to answer with, or `None` to cut the connection, once `after_tokens` tokens have been streamed."""

    error: ChatError | None
    after_tokens: int = 0
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds to hold a request for, once `after_tokens` tokens have been streamed."""

    seconds: float = 0.0
    after_tokens: int = 0


class Faults:
    """The faults on order. Safe to use from many threads.

    `model=None` means any model; what is ordered for a model goes before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: list[tuple[str | None, Failure]] = []
        self._delays: dict[str | None, Delay] = {}
        self._limit: int | None = None
        self._retry_after = _RETRY_AFTER
        self._served: Counter[str] = Counter()

    def fail_next(
        self, status: int | None, times: int, model: str | None, after_tokens: int, retry_after: float | None
    ) -> None:
        """Fail the next requests: see `PlaygroundServer.fail_next`."""
        if status is not None and not 400 <= status <= 599:
            raise ConfigurationError(f"status must be an HTTP error from 400 to 599 or None, not {status}")
        wait = _RETRY_AFTER if retry_after is None and status == 429 else retry_after
        failure = Failure(None if status is None else _ordered_error(status), after_tokens, wait)
        with self._lock:
            self._failures += [(model, failure)] * times

    def rate_limit(self, per_model_requests: int | None, retry_after: float) -> None:
        """Limit the requests per model from now on: see `PlaygroundServer.rate_limit`."""
        with self._lock:
            self._limit, self._retry_after = per_model_requests, retry_after
            self._served.clear()

    def delay(self, seconds: float, model: str | None, after_tokens: int) -> None:
        """Hold all requests: see `PlaygroundServer.delay`."""
        with self._lock:
            self._delays[model] = Delay(seconds, after_tokens)

    def delay_of(self, model: str) -> Delay:
        """Return how long to hold a request."""
        with self._lock:
            return self._delays.get(model) or self._delays.get(None) or Delay()

    def take_failure(self, model: str) -> Failure | None:
        """Return the failure that a request is to meet, which then counts as met; `None` when it is to be answered."""
        with self._lock:
            for wanted in (model, None):
                for index, (target, failure) in enumerate(self._failures):
                    if target == wanted:
                        del self._failures[index]
                        return failure
            if self._limit is not None and self._served[model] >= self._limit:
                return Failure(_rate_limit_error(model, self._limit), retry_after=self._retry_after)
            self._served[model] += 1
            return None

    def clear(self) -> None:
        """Take back all orders."""
        with self._lock:
            self._failures.clear()
            self._delays.clear()
            self._served.clear()
            self._limit = None


def _ordered_error(status: int) -> ChatError:
    kind, code = _ERRORS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    return ChatError(f"The server was told to answer with status {status}.", status=status, type=kind, code=code)


def _rate_limit_error(model: str, limit: int) -> ChatError:
    kind, code = _ERRORS[429]
    return ChatError(f"Rate limit reached for {model} on requests: Limit {limit}.", status=429, type=kind, code=code)
