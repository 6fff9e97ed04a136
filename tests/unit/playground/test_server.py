"""The playground's server, spoken to with plain HTTP."""

from __future__ import annotations

import http.client
import json
import logging
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from frugal_core.playground.language_model import MODEL_NAMES
from frugal_core.playground.server import PlaygroundServer

SMALL, LARGE = MODEL_NAMES[0], MODEL_NAMES[-1]
BODY: dict[str, Any] = {"model": SMALL, "messages": [{"role": "user", "content": "What is 12 plus 7?"}]}


@pytest.fixture
def server() -> Iterator[PlaygroundServer]:
    with PlaygroundServer() as running:
        yield running


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.raw = response.status, response.headers, response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def events(self) -> list[Any]:
        lines = self.raw.decode().split("\n\n")
        assert lines.pop() == ""
        assert all(line.startswith("data: ") for line in lines)
        data = [line.removeprefix("data: ") for line in lines]
        return [item if item == "[DONE]" else json.loads(item) for item in data]


def connect(server: PlaygroundServer) -> http.client.HTTPConnection:
    address = urllib.parse.urlsplit(server.url)
    return http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)


def send(server: PlaygroundServer, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    connection = connect(server)
    try:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, content, headers)
        return Reply(connection.getresponse())
    finally:
        connection.close()


def chat(server: PlaygroundServer, body: Any = None, **changes: Any) -> Reply:
    return send(server, "POST", "/v1/chat/completions", {**BODY, **changes} if body is None else body)


def open_stream(server: PlaygroundServer) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = connect(server)
    connection.request("POST", "/v1/chat/completions", json.dumps({**BODY, "stream": True}))
    response = connection.getresponse()
    assert response.readline().startswith(b"data: ")
    return connection, response


def hang_up(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
    response.close()
    connection.close()


# -- answers


def test_a_whole_answer_has_openais_form(server: PlaygroundServer) -> None:
    reply = chat(server, n=2)
    answer = reply.json
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["object"] == "chat.completion"
    assert answer["model"] == SMALL
    assert answer["system_fingerprint"].startswith("fp_")
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    choice = answer["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert choice["logprobs"] is None
    assert choice["finish_reason"] in ("stop", "length")
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_stream_tells_the_same_as_the_whole_answer(server: PlaygroundServer) -> None:
    options: dict[str, Any] = {"logprobs": True, "top_logprobs": 2, "temperature": 1, "seed": 3, "max_tokens": 8}
    whole = chat(server, **options).json
    reply = chat(server, stream=True, stream_options={"include_usage": True}, **options)
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    *chunks, last, done = reply.events
    assert done == "[DONE]"
    assert {chunk["id"] for chunk in [*chunks, last]} == {last["id"]}
    assert all(chunk["object"] == "chat.completion.chunk" and chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    deltas = [chunk["choices"][0] for chunk in chunks]
    assert [delta["delta"].get("role") for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    choice = whole["choices"][0]
    assert "".join(delta["delta"].get("content", "") for delta in deltas) == choice["message"]["content"]
    assert [delta["finish_reason"] for delta in deltas if delta["finish_reason"]] == [choice["finish_reason"]]
    tokens = [token for delta in deltas if delta["logprobs"] for token in delta["logprobs"]["content"]]
    assert tokens == choice["logprobs"]["content"]


def test_a_stream_of_two_choices_begins_each_with_the_role(server: PlaygroundServer) -> None:
    *chunks, _ = chat(server, stream=True, n=2, max_tokens=2).events
    roles = [chunk["choices"][0]["index"] for chunk in chunks if "role" in chunk["choices"][0]["delta"]]
    assert roles == [0, 1]
    assert all("usage" not in chunk for chunk in chunks)


def test_tool_calls_go_in_openais_form(server: PlaygroundServer) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    messages = [{"role": "user", "content": "Weather in Rome?"}]
    choice = chat(server, messages=messages, tools=tools).json["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]) == ("function", {"name": "weather", "arguments": '{"city":"Rome"}'})
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "tool_calls")
    *chunks, _ = chat(server, messages=messages, tools=tools, stream=True).events
    parts = [part for chunk in chunks for part in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert parts[0]["function"] == {"name": "weather", "arguments": ""}
    assert "".join(part["function"]["arguments"] for part in parts) == '{"city":"Rome"}'


def test_models_are_listed(server: PlaygroundServer) -> None:
    listed = send(server, "GET", "/v1/models").json
    assert [model["id"] for model in listed["data"]] == list(MODEL_NAMES)
    assert send(server, "GET", f"/v1/models/{LARGE}").json == listed["data"][-1]
    assert send(server, "GET", "/v1/models/gpt-9").status == 404


def test_null_means_not_given(server: PlaygroundServer) -> None:
    assert chat(server, stop=None, tools=None, seed=None, top_logprobs=None).status == 200


def test_one_connection_serves_many_requests_after_errors_too(server: PlaygroundServer) -> None:
    connection = connect(server)
    for body, status in ((BODY, 200), ({}, 400), ({**BODY, "stream": True}, 200), (BODY, 200)):
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        assert Reply(connection.getresponse()).status == status
    connection.close()
    assert [record.status for record in server.requests] == [200, 400, 200, 200]


def test_many_clients_at_once(server: PlaygroundServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: chat(server).json["choices"], range(24)))
    assert all(reply == replies[0] for reply in replies)
    assert len(server.calls(SMALL)) == 24


# -- refusals


@pytest.mark.parametrize(
    ("changes", "param", "said"),
    [
        ({"model": None}, "model", "Missing required parameter"),
        ({"model": 3}, "model", "expected a string"),
        ({"messages": None}, "messages", "Missing required parameter"),
        ({"messages": []}, "messages", "at least one message"),
        ({"messages": "Hi"}, "messages", "at least one message"),
        ({"messages": ["Hi"]}, "messages", "messages[0]"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages", "'role' among"),
        ({"messages": [{"role": "user"}]}, "messages", "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages", "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "3"}]}, "messages", "tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "messages", "tool_calls"),
        ({"frequency": 1}, "frequency", "Unknown parameter: 'frequency'"),
        ({"temperature": "hot"}, "temperature", "a number from 0 to 2"),
        ({"temperature": True}, "temperature", "a number from 0 to 2"),
        ({"temperature": math.nan}, "temperature", "a number from 0 to 2"),
        ({"temperature": 2.1}, "temperature", "a number from 0 to 2"),
        ({"n": 0}, "n", "an integer from 1 to 128"),
        ({"n": 1.0}, "n", "an integer from 1 to 128"),
        ({"seed": "one"}, "seed", "an integer"),
        ({"max_tokens": 0}, "max_tokens", "an integer of at least 1"),
        ({"max_completion_tokens": -1}, "max_completion_tokens", "an integer of at least 1"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "up to 4"),
        ({"stop": [""]}, "stop", "non-empty"),
        ({"logprobs": 1}, "logprobs", "a boolean"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "an integer from 0 to 20"),
        ({"top_logprobs": 2}, "top_logprobs", "only allowed when 'logprobs'"),
        ({"stream": "yes"}, "stream", "a boolean"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "only allowed when 'stream'"),
        ({"stream": True, "stream_options": 1}, "stream_options", "an object of booleans"),
        ({"tools": {}}, "tools", "an array of tools"),
        ({"tools": [{"type": "custom"}]}, "tools", "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": "f", "description": 1}}]}, "tools", "description"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "x"}}}]}, "tools", "'x'"),
        ({"tool_choice": "auto"}, "tool_choice", "only allowed when 'tools'"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "any"}, "tool_choice", "'required'"),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": {"type": "function", "function": {"name": "g"}},
            },
            "tool_choice",
            "'g' not found",
        ),
        ({"response_format": "json"}, "response_format", "a type among"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format", "named"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"enum": []}}}},
            "response_format",
            "an enum must have",
        ),
        ({"response_format": {"type": "json_object"}}, "messages", "must contain the word 'json'"),
        ({"messages": [{"role": "user", "content": "x" * 300}]}, "messages", "Input tokens exceed"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_malformed_is_refused(
    server: PlaygroundServer, changes: dict[str, Any], param: str, said: str, stream: bool
) -> None:
    reply = chat(server, {**BODY, **({"stream": True} if stream and "stream_options" not in changes else {}), **changes})
    error = reply.json["error"]
    assert reply.status == 400
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert said in error["message"]
    assert [record.outcome for record in server.requests] == ["failed"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(server: PlaygroundServer, body: bytes) -> None:
    reply = send(server, "POST", "/v1/chat/completions", body)
    assert reply.status == 400
    assert "JSON" in reply.json["error"]["message"]
    assert [record.model for record in server.requests] == [None]


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKED: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [CALL]}]
RESULT = {"role": "tool", "tool_call_id": "1", "content": "3"}


def test_tool_calls_and_results_must_belong_together(server: PlaygroundServer) -> None:
    assert chat(server, messages=[*ASKED, RESULT]).status == 200
    assert chat(server, messages=[*ASKED, RESULT, *ASKED, RESULT, ASKED[0]]).status == 200
    without_call = chat(server, messages=[ASKED[0], RESULT])
    assert without_call.json["error"]["param"] == "messages.[1].role"
    for messages in (ASKED, [*ASKED, ASKED[0]], [*ASKED, {**RESULT, "tool_call_id": "2"}]):
        reply = chat(server, messages=messages)
        assert reply.status == 400
        assert "'tool_calls'" in reply.json["error"]["message"]


def test_an_unknown_model_is_not_found(server: PlaygroundServer) -> None:
    reply = chat(server, model="gpt-9")
    assert reply.status == 404
    assert reply.json["error"]["code"] == "model_not_found"
    assert len(server.calls("gpt-9")) == 1


def test_unknown_urls_and_methods_are_answered_in_json(server: PlaygroundServer) -> None:
    for method, path, status in (("GET", "/", 404), ("POST", "/v1/completions", 404), ("DELETE", "/v1/models", 501)):
        reply = send(server, method, path, {} if method == "POST" else None)
        assert reply.status == status
        assert reply.json["error"]["type"] == "invalid_request_error"


def test_a_key_is_required_where_there_is_one() -> None:
    with PlaygroundServer(api_key="secret") as server:
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Bearer é"}):
            reply = send(server, "POST", "/v1/chat/completions", BODY, **headers)
            assert reply.status == 401
            assert reply.json["error"]["code"] == "invalid_api_key"
            assert send(server, "GET", "/v1/models", **headers).status == 401
        assert send(server, "POST", "/v1/chat/completions", BODY, Authorization="Bearer secret").status == 200


def test_a_body_without_length_or_too_long_is_refused(server: PlaygroundServer) -> None:
    for header, status in (("Transfer-Encoding: chunked", b"411"), (f"Content-Length: {10**9}", b"413")):
        address = urllib.parse.urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=30) as raw:
            raw.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
            assert raw.makefile("rb").readline().split()[1] == status


def test_what_is_not_http_is_answered(server: PlaygroundServer) -> None:
    address = urllib.parse.urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as raw:
        raw.sendall(b"this is not HTTP at all\r\n\r\n")
        assert b'"error"' in raw.makefile("rb").read()


# -- faults and the log


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (429, "requests"), (500, "server_error"), (503, "server_error")],
)
def test_the_next_requests_fail(server: PlaygroundServer, status: int, kind: str) -> None:
    server.fail_next(status, times=2, model=SMALL)
    assert chat(server, model=LARGE).status == 200
    for _ in range(2):
        reply = chat(server)
        assert reply.status == status
        assert reply.json["error"]["type"] == kind
        assert ("Retry-After" in reply.headers) == (status == 429)
    assert chat(server).status == 200
    assert [record.status for record in server.calls(SMALL)] == [status, status, 200]


def test_a_connection_is_cut(server: PlaygroundServer) -> None:
    server.fail_next(None)
    with pytest.raises(http.client.RemoteDisconnected):
        chat(server)
    server.fail_next(None, after_tokens=1)
    with pytest.raises(http.client.IncompleteRead):
        chat(server, stream=True)
    assert chat(server).status == 200
    assert [record.outcome for record in server.requests] == ["failed", "failed", "completed"]


def test_a_stream_fails_in_the_middle(server: PlaygroundServer) -> None:
    server.fail_next(500, after_tokens=1)
    reply = chat(server, stream=True)
    *chunks, error = reply.events
    assert reply.status == 200
    assert [chunk["object"] for chunk in chunks] == ["chat.completion.chunk"]
    assert error["error"]["type"] == "server_error"
    assert [(record.outcome, record.tokens) for record in server.requests] == [("failed", 1)]


def test_requests_are_limited_per_model(server: PlaygroundServer) -> None:
    server.rate_limit(2, retry_after=0.25)
    assert [chat(server).status for _ in range(3)] == [200, 200, 429]
    assert chat(server, model=LARGE).status == 200
    refused = chat(server)
    assert (refused.headers["Retry-After"], refused.headers["Retry-After-Ms"]) == ("1", "250")
    assert refused.json["error"]["code"] == "rate_limit_exceeded"
    server.rate_limit(None)
    assert chat(server).status == 200


def test_the_log_tells_what_each_model_was_asked(server: PlaygroundServer) -> None:
    chat(server)
    chat(server, model=LARGE, seed=3)
    assert [record.model for record in server.requests] == [SMALL, LARGE]
    (call,) = server.calls(LARGE)
    assert call.body == {**BODY, "model": LARGE, "seed": 3}
    assert (call.status, call.outcome) == (200, "completed")
    assert call.tokens > 0
    server.fail_next()
    server.reset()
    assert server.requests == ()
    assert chat(server).status == 200


def test_a_client_that_goes_away_while_it_waits_is_noticed(server: PlaygroundServer) -> None:
    server.delay(math.inf)
    connection = connect(server)
    connection.request("POST", "/v1/chat/completions", json.dumps(BODY))
    connection.close()
    (record,) = _eventually(server, 1)
    assert record.wait()
    assert (record.outcome, record.status, record.tokens) == ("cancelled", None, 0)


def test_a_client_that_goes_away_in_a_stream_is_noticed(
    server: PlaygroundServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    server.delay(math.inf, after_tokens=1)
    hang_up(*open_stream(server))
    (record,) = server.requests
    assert record.wait()
    assert (record.outcome, record.status, record.tokens) == ("cancelled", 200, 1)
    server.reset()
    assert chat(server).status == 200
    assert "".join(capfd.readouterr()) == ""
    assert all(entry.levelno < logging.WARNING for entry in caplog.records)


def test_nothing_more_is_generated_for_a_client_that_has_gone_away(server: PlaygroundServer) -> None:
    connection = connect(server)
    many = {**BODY, "model": LARGE, "n": 128, "temperature": 2}
    connection.request("POST", "/v1/chat/completions", json.dumps(many))
    (record,) = _eventually(server, 1)
    while not record.tokens:
        assert not record.wait(0.001)
    connection.close()
    assert record.wait(60)
    assert (record.outcome, record.status) == ("cancelled", None)


def test_a_client_that_resets_an_idle_connection_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with PlaygroundServer() as server:
        connection = connect(server)
        connection.request("GET", "/v1/models")
        connection.getresponse().read()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert all(entry.levelno < logging.WARNING for entry in caplog.records)


def test_only_the_model_that_is_held_is_held(server: PlaygroundServer) -> None:
    server.delay(math.inf, model=LARGE)
    assert chat(server).status == 200
    server.delay(0, model=LARGE)
    assert chat(server, model=LARGE).status == 200


def test_closing_ends_what_is_under_way_and_all_threads() -> None:
    before = threading.active_count()
    with PlaygroundServer() as server:
        server.delay(math.inf, after_tokens=1)
        connection, response = open_stream(server)
        idle = connect(server)
        idle.connect()
    assert threading.active_count() == before
    assert [record.outcome for record in server.requests] == ["cancelled"]
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    hang_up(connection, response)
    idle.close()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    server.close()


def test_a_server_can_be_started_again_but_not_twice() -> None:
    server = PlaygroundServer()
    for _ in range(2):
        with server:
            assert chat(server).status == 200
            with pytest.raises(RuntimeError, match="already running"):
                server.__enter__()


def test_a_port_that_is_taken_is_an_error(server: PlaygroundServer) -> None:
    port = urllib.parse.urlsplit(server.url).port
    assert port is not None
    with pytest.raises(OSError, match="in use"), PlaygroundServer(port=port):
        pass


def test_a_bug_is_a_server_error_not_a_dead_connection(server: PlaygroundServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frugal_core.playground.handler.collect", lambda *_: 1 / 0)
    reply = chat(server)
    assert reply.status == 500
    assert reply.json["error"]["type"] == "server_error"


def test_a_status_that_is_no_error_cannot_be_ordered(server: PlaygroundServer) -> None:
    with pytest.raises(ValueError, match="from 400 to 599 or None, not 200"):
        server.fail_next(200)


def _eventually(server: PlaygroundServer, count: int) -> tuple[Any, ...]:
    """Wait for the server to have read so many requests."""
    assert server.wait_for_requests(count)
    return server.requests


def test_the_server_runs_by_hand() -> None:
    command = [sys.executable, "-m", "frugal_core.playground.server", "--port", "0", "--api-key", "secret"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        host, port = said.rsplit("//", 1)[1].removesuffix("/v1\n").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.request("POST", "/v1/chat/completions", json.dumps(BODY), {"Authorization": "Bearer secret"})
        assert Reply(connection.getresponse()).status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        assert "closing" in process.communicate(timeout=30)[1]
    assert process.returncode == 0
