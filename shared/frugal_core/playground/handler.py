"""How the playground server handles one HTTP connection."""

from __future__ import annotations

import itertools
import json
import logging
import math
import select
import time
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socket import MSG_PEEK
from typing import TYPE_CHECKING, Any

from frugal_core.playground import protocol
from frugal_core.playground.chat import ChatError, Delta, collect, stream
from frugal_core.playground.faults import Failure, RequestRecord
from frugal_core.playground.language_model import MODEL_NAMES, LanguageModel

if TYPE_CHECKING:
    from frugal_core.playground.server import _HttpServer

logger = logging.getLogger(__name__)

_LONGEST_BODY = 16 * 1024 * 1024
_STARTED = int(time.time())


class _ConnectionCut(Exception):  # noqa: N818
    """The connection is to be cut without an answer."""


class _Refusal(Exception):  # noqa: N818
    """A failure on order has come up."""

    def __init__(self, error: ChatError, retry_after: float | None) -> None:
        super().__init__(str(error))
        self.error, self.retry_after = error, retry_after


class Handler(BaseHTTPRequestHandler):
    """Handles the requests of one client, one after the other."""

    protocol_version = "HTTP/1.1"
    server_version = "playground"
    disable_nagle_algorithm = True
    server: _HttpServer

    def do_GET(self) -> None:
        """List the models, or describe one."""
        path = self.path.partition("?")[0].rstrip("/")
        name = path.removeprefix("/v1/models/")
        if path == "/v1/models":
            self._answer(self._list_models)
        elif name != path:
            self._answer(lambda: _model_body(_known(name)))
        else:
            self._answer(self._unknown_url)

    def do_POST(self) -> None:
        """Complete a chat."""
        if self.path.partition("?")[0].rstrip("/") != "/v1/chat/completions":
            self._read()
            self._answer(self._unknown_url)
            return
        raw = self._read()
        if raw is None:
            return
        body = _parsed(raw)
        record = self.server.playground.record(body)
        try:
            self._complete(record)
        except ChatError as error:
            self._send_error(error, record)
        except _Refusal as refusal:
            self._send_error(refusal.error, record, refusal.retry_after)
        except _ConnectionCut:
            self.close_connection = True
            record.finish("failed")
        except OSError:
            self.close_connection = True
            record.finish("cancelled")
        except Exception:
            logger.exception("a chat completion failed")
            if record.status is None:
                self._send_error(ChatError("The server had an error.", status=500, type="server_error"), record)
            else:
                self.close_connection = True
                record.finish("failed")

    def log_message(self, format: str, *args: Any) -> None:
        """Log an access."""
        logger.info(f"%s {format}", self.address_string(), *args)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is not HTTP, or a method that no path has, in OpenAI's form."""
        self.close_connection = True
        status = HTTPStatus(code)
        self._send_error(ChatError(message or explain or status.phrase, status=status))

    def _complete(self, record: RequestRecord) -> None:
        self.server.playground.authorize(self.headers.get("Authorization"))
        if record.body is None:
            raise ChatError("We could not parse the JSON body of your request.")
        wire = protocol.parse(record.body)
        model = LanguageModel.load(_known(wire.model))
        failure = self.server.playground.faults.take_failure(wire.model)
        deltas = self._watched(stream(model, wire.chat), record, failure)
        if wire.stream:
            self._stream(protocol.chunks(model, wire, deltas), record)
            return
        result = collect(model, wire.chat, deltas)
        record.status = HTTPStatus.OK
        record.finish("completed")
        self._send(HTTPStatus.OK, protocol.response(protocol.head(model), result))

    def _stream(self, chunks: Iterator[dict[str, Any]], record: RequestRecord) -> None:
        first = next(chunks)
        record.status = HTTPStatus.OK
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in itertools.chain([first], chunks):
                self._event(chunk)
            record.finish("completed")
            self._write_chunk(b"data: [DONE]\n\n")
            self._write_chunk(b"")
        except (_Refusal, ChatError) as failed:
            error = failed.error if isinstance(failed, _Refusal) else failed
            record.finish("failed")
            self._event(protocol.error(error))
            self._write_chunk(b"")

    def _watched(self, deltas: Iterator[Delta], record: RequestRecord, failure: Failure | None) -> Iterator[Delta]:
        """Pass deltas on, with the delays and failures on order, as long as the client is there."""
        delay = self.server.playground.faults.delay_of(record.model or "")
        waited = False
        streaming = bool(record.body.get("stream"))
        for delta in deltas:
            written = record.tokens if streaming else math.inf
            if not waited and written >= delay.after_tokens:
                waited = True
                self._hold(delay.seconds)
            if failure is not None and written >= failure.after_tokens:
                break
            self._hold(0)
            yield delta
            record.tokens += delta.tokens
        if failure is not None:
            raise _ConnectionCut if failure.error is None else _Refusal(failure.error, failure.retry_after)

    def _hold(self, seconds: float) -> None:
        """Wait, but not longer than the client does.

        Raises:
            ConnectionAbortedError: If the client has gone away or the server is closing.
        """
        deadline = time.monotonic() + seconds
        sockets = [self.connection, self.server.closing]
        while True:
            left = deadline - time.monotonic()
            ready, _, _ = select.select(sockets, [], [], None if left == math.inf else max(0.0, left))
            if self.server.closing in ready:
                raise ConnectionAbortedError("the server is closing")
            if not ready:
                return
            if not self.connection.recv(1, MSG_PEEK):
                raise ConnectionAbortedError("the client has gone away")
            sockets.remove(self.connection)

    def _read(self) -> bytes | None:
        """Read the body; `None` if that cannot be done, which has then been answered."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self.send_error(HTTPStatus.LENGTH_REQUIRED, "The request must have a Content-Length.")
            return None
        if int(length) > _LONGEST_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body has more than {_LONGEST_BODY} bytes.")
            return None
        try:
            return self.rfile.read(int(length))
        except OSError:
            self.close_connection = True
            return None

    def _answer(self, body: Any) -> None:
        """Answer with what the function `body` returns or raises."""
        try:
            self.server.playground.authorize(self.headers.get("Authorization"))
            self._send(HTTPStatus.OK, body())
        except ChatError as error:
            self._send_error(error)
        except OSError:
            self.close_connection = True

    def _list_models(self) -> dict[str, Any]:
        return {"object": "list", "data": [_model_body(name) for name in MODEL_NAMES]}

    def _unknown_url(self) -> dict[str, Any]:
        url = f"{self.command} {self.path}"
        raise ChatError(f"Unknown request URL: {url}.", status=404, code="unknown_url")

    def _send_error(self, error: ChatError, record: RequestRecord | None = None, retry_after: float | None = None) -> None:
        headers = {}
        if retry_after is not None:
            headers = {"Retry-After": str(math.ceil(retry_after)), "Retry-After-Ms": str(round(retry_after * 1000))}
        if record is not None:
            record.status = error.status
            record.finish("failed")
        try:
            self._send(error.status, protocol.error(error), headers)
        except OSError:
            self.close_connection = True

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = _encoded(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Request-Id", f"req_{uuid.uuid4().hex}")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _event(self, body: dict[str, Any]) -> None:
        self._write_chunk(b"data: " + _encoded(body) + b"\n\n")

    def _write_chunk(self, content: bytes) -> None:
        """Write a chunk of the body; an empty one ends it."""
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _known(name: str) -> str:
    if name not in MODEL_NAMES:
        raise ChatError(
            f"The model '{name}' does not exist or you do not have access to it.",
            status=404,
            param="model",
            code="model_not_found",
        )
    return name


def _model_body(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "playground"}
