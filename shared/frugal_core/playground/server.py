"""A local HTTP server that speaks OpenAI's chat completions, with playground models behind it.

Real clients can be tested against it over a real wire, without a key and without a network:

    >>> import json, urllib.request
    >>> body = {"model": "playground-small", "messages": [{"role": "user", "content": "What is 2 plus 3?"}]}
    >>> with PlaygroundServer() as server:
    ...     request = urllib.request.Request(f"{server.url}/v1/chat/completions", json.dumps(body).encode())
    ...     with urllib.request.urlopen(request) as response:
    ...         answer = json.load(response)
    ...     print(answer["object"], len(server.calls("playground-small")))
    chat.completion 1

By hand: ``python -m frugal_core.playground.server --port 8000``.
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import logging
import sys
import threading
from collections.abc import Sequence
from http.server import ThreadingHTTPServer
from socket import SHUT_RDWR, socket, socketpair
from types import TracebackType
from typing import Any

from frugal_core.playground.chat import ChatError
from frugal_core.playground.faults import Faults, RequestRecord
from frugal_core.playground.handler import Handler
from frugal_core.playground.language_model import MODEL_NAMES

logger = logging.getLogger(__name__)


class PlaygroundServer:
    """An OpenAI-compatible server on a thread of its own, to be used with ``with``.

    It answers ``POST /v1/chat/completions`` (whole or as server-sent events), ``GET /v1/models`` and
    ``GET /v1/models/{model}``.

    Args:
        host: Address to listen on.
        port: 0 takes a free one.
        api_key: Requests must carry it as a bearer token; `None` accepts any.

    Attributes:
        faults: The faults on order.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, api_key: str | None = None) -> None:
        self.faults = Faults()
        self._address = (host, port)
        self._api_key = api_key
        self._http: _HttpServer | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Condition()
        self._records: list[RequestRecord] = []

    def __enter__(self) -> PlaygroundServer:
        """Start serving."""
        if self._http is not None:
            raise RuntimeError("the server is already running")
        self._http = _HttpServer(self._address, self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="playground-server")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close all connections and wait for the threads to end."""
        self.close()

    def close(self) -> None:
        """Stop serving, close all connections and wait for the threads to end; without effect the second time."""
        http, thread = self._http, self._thread
        if http is None or thread is None:
            return
        self._http = self._thread = None
        http.shutdown()
        thread.join()
        http.close_connections()
        http.server_close()

    @property
    def url(self) -> str:
        """Where the server listens, such as ``http://127.0.0.1:43211``; clients want ``f"{server.url}/v1"``."""
        if self._http is None:
            raise RuntimeError("the server is not running; use it within a with statement")
        host, port = self._http.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """All requests for chat completions so far, oldest first, refused ones included."""
        with self._lock:
            return tuple(self._records)

    def calls(self, model: str) -> list[RequestRecord]:
        """Return the requests for a model."""
        return [record for record in self.requests if record.model == model]

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> bool:
        """Wait until so many requests have come in; `False` if that takes more than `timeout` seconds."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self._records) >= count, timeout)

    def fail_next(
        self,
        status: int | None = 500,
        times: int = 1,
        model: str | None = None,
        *,
        after_tokens: int = 0,
        retry_after: float | None = None,
    ) -> None:
        """Let the next requests fail.

        Args:
            status: HTTP status to answer with, 400 to 599; `None` cuts the connection.
            times: How many requests fail.
            model: Only those for this model; `None` for any.
            after_tokens: In a stream, fail after so many tokens, with an error event in the stream.
            retry_after: Seconds that the client is told to wait; by default 1 for status 429 and nothing for others.
        """
        self.faults.fail_next(status, times, model, after_tokens, retry_after)

    def rate_limit(self, per_model_requests: int | None, *, retry_after: float = 1.0) -> None:
        """Answer so many more requests per model and refuse the others with status 429.

        Args:
            per_model_requests: How many to answer; `None` lifts the limit.
            retry_after: Seconds that the client is told to wait.
        """
        self.faults.rate_limit(per_model_requests, retry_after)

    def delay(self, seconds: float, model: str | None = None, *, after_tokens: int = 0) -> None:
        """Hold all requests from now on. The server notices when a client goes away meanwhile.

        Args:
            seconds: How long; infinity holds them until the client goes away or the server closes.
            model: Only requests for this model; `None` for any.
            after_tokens: In a stream, hold it after so many tokens.
        """
        self.faults.delay(seconds, model, after_tokens)

    def reset(self) -> None:
        """Take back all faults and forget all requests."""
        self.faults.clear()
        with self._lock:
            self._records.clear()

    def record(self, body: Any) -> RequestRecord:
        """Note a request."""
        model = body.get("model") if isinstance(body, dict) else None
        record = RequestRecord(model if isinstance(model, str) else None, body)
        with self._lock:
            self._records.append(record)
            self._lock.notify_all()
        return record

    def authorize(self, header: str | None) -> None:
        """Check the header ``Authorization``.

        Raises:
            ChatError: With status 401, if the server has a key and this is another.
        """
        expected = f"Bearer {self._api_key}".encode()
        if self._api_key is not None and not hmac.compare_digest((header or "").encode(), expected):
            raise ChatError("Incorrect API key provided.", status=401, code="invalid_api_key")


class _HttpServer(ThreadingHTTPServer):
    """Serves each connection on a thread of its own and can close them all."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], playground: PlaygroundServer) -> None:
        self.playground = playground
        self.closing, self._close = socketpair()
        self._open: set[socket] = set()
        self._guard = threading.Lock()
        try:
            super().__init__(address, Handler)
        except OSError:
            self._close_pair()
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Wake up the threads that wait for a client or for a delay to pass."""
        self._close.send(b"\0")
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client may have closed it first
                    connection.shutdown(SHUT_RDWR)

    def server_close(self) -> None:
        super().server_close()
        self._close_pair()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exc_info()[1], OSError):
            logger.debug("the client %s has gone away", client_address)
        else:
            logger.exception("a request from %s failed", client_address)

    def _close_pair(self) -> None:
        self.closing.close()
        self._close.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m frugal_core.playground.server", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on, 0 for a free one (default: %(default)s)")
    parser.add_argument("--api-key", help="key that requests must carry (default: any)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with PlaygroundServer(options.host, options.port, api_key=options.api_key) as server:
        logger.info("serving %s at %s/v1", ", ".join(MODEL_NAMES), server.url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            logger.info("closing")


if __name__ == "__main__":
    main()
