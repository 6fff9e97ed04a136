"""Which failures are worth asking a dearer tier, told by the providers' real exceptions."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import requests
from langchain_core import exceptions as langchain_errors

from core_builders import Script, ask, batch_of, make_query, recorded, says
from frugal_core.engine import drive_many
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Cascade
from frugal_core.policies.failures import escalation_rule, recoverable

openai = pytest.importorskip("openai")


def escalates(error: Exception) -> bool:
    """Whether a cascade asks its next tier."""
    outcomes = drive_many(
        [Cascade(recorded, 0.5).decide(make_query(2))], batch_of([Script([error, says("dear")])]), return_exceptions=True
    )
    return outcomes[0] is not error


def from_openai(kind: str, status: int, code: str | None = None, message: str = "refused") -> Exception:
    """As the SDK raises it for a response of this status."""
    body = {"message": message, "type": "invalid_request_error", "code": code}
    request = httpx.Request("POST", "http://provider.test/v1/chat/completions")
    text = f"Error code: {status} - {{'error': {body}}}"
    error: Exception = getattr(openai, kind)(text, response=httpx.Response(status, request=request), body=body)
    return error


def from_openai_connection(kind: str) -> Exception:
    error: Exception = getattr(openai, kind)(request=httpx.Request("POST", "http://provider.test"))
    return error


def from_httpx(status: int) -> Exception:
    request = httpx.Request("POST", "http://provider.test")
    return httpx.HTTPStatusError(f"{status}", request=request, response=httpx.Response(status, request=request))


def from_requests(status: int) -> Exception:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status}", response=response)


def from_aws(code: str, status: int) -> Exception:
    error = type("ClientError", (Exception,), {})(f"An error occurred ({code}) when calling the Converse operation")
    error.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return error


RECOVERABLE: dict[str, Exception] = {
    "openai rate limit": from_openai("RateLimitError", 429),
    "openai 500": from_openai("InternalServerError", 500),
    "openai 503": from_openai("InternalServerError", 503),
    "openai conflict": from_openai("ConflictError", 409),
    "openai timeout": from_openai_connection("APITimeoutError"),
    "openai connection": from_openai_connection("APIConnectionError"),
    "openai overflow": from_openai("BadRequestError", 400, "context_length_exceeded", "maximum context length is 8192"),
    "openai filter": from_openai("BadRequestError", 400, "content_filter"),
    "azure filter": from_openai("BadRequestError", 400, None, "triggering Azure OpenAI's content management policy"),
    "langchain rate limit": langchain_errors.ModelRateLimitError("slow down"),
    "langchain server": langchain_errors.ModelAPIError("the server failed"),
    "langchain timeout": langchain_errors.ModelTimeoutError("too slow"),
    "langchain connection": langchain_errors.ModelConnectionError("unreachable"),
    "langchain overflow": langchain_errors.ContextOverflowError("too long"),
    "anthropic overloaded": from_httpx(529),
    "anthropic overflow": ValueError("prompt is too long: 213000 tokens > 200000 maximum"),
    "anthropic limit": ValueError("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
    "gemini overflow": ValueError("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    "xai overflow": ValueError("This model's maximum prompt length is 131072 but the request contains 200000 tokens."),
    "llama.cpp overflow": ValueError("the request exceeds the available context size, try increasing it"),
    "bedrock overflow": ValueError("ValidationException: Input is too long for requested model."),
    "bedrock throttling": from_aws("ThrottlingException", 429),
    "bedrock 503": from_aws("ServiceUnavailableException", 503),
    "httpx read timeout": httpx.ReadTimeout("slow"),
    "httpx connect timeout": httpx.ConnectTimeout("slow"),
    "httpx connection refused": httpx.ConnectError("refused"),
    "httpx connection reset": httpx.ReadError("reset"),
    "httpx half an answer": httpx.RemoteProtocolError("peer closed connection"),
    "httpx 500": from_httpx(500),
    "httpx 408": from_httpx(408),
    "requests timeout": requests.Timeout("slow"),
    "requests connection": requests.ConnectionError("refused"),
    "requests 429": from_requests(429),
    "requests 413": from_requests(413),
    "timeout": TimeoutError("slow"),
    "asyncio timeout": asyncio.TimeoutError(),
    "connection reset": ConnectionResetError("reset"),
}

LASTING: dict[str, Exception] = {
    "openai 400": from_openai("BadRequestError", 400, "invalid_value", "temperature must be at most 2"),
    "openai 401": from_openai("AuthenticationError", 401, "invalid_api_key"),
    "openai 403": from_openai("PermissionDeniedError", 403),
    "openai 404": from_openai("NotFoundError", 404, "model_not_found"),
    "openai 422": from_openai("UnprocessableEntityError", 422),
    "langchain authentication": langchain_errors.ModelAuthenticationError("no key"),
    "langchain permission": langchain_errors.ModelPermissionDeniedError("not yours"),
    "langchain invalid": langchain_errors.ModelInvalidRequestError("bad argument"),
    "langchain not found": langchain_errors.ModelNotFoundError("no such model"),
    "httpx 400": from_httpx(400),
    "httpx 401": from_httpx(401),
    "httpx 404": from_httpx(404),
    "requests 401": from_requests(401),
    "bedrock 400": from_aws("ValidationException", 400),
    "value": ValueError("bad argument"),
    "type": TypeError("unexpected keyword"),
    "key": KeyError("choices"),
    "not implemented": NotImplementedError(),
}


@pytest.mark.parametrize("error", RECOVERABLE.values(), ids=RECOVERABLE.keys())
def test_failures_that_another_model_may_mend_escalate(error: Exception) -> None:
    assert recoverable(error)
    assert escalates(error)


@pytest.mark.parametrize("error", LASTING.values(), ids=LASTING.keys())
def test_failures_that_every_model_would_share_rise(error: Exception) -> None:
    assert not recoverable(error)
    assert not escalates(error)


def test_langchains_own_overflow_of_openai_escalates() -> None:
    base = pytest.importorskip("langchain_openai.chat_models.base")
    template = from_openai("BadRequestError", 400, None, "too long, in words nobody has foreseen")
    error = base.OpenAIContextOverflowError(message=str(template), response=template.response, body=None)  # type: ignore[attr-defined]
    assert escalates(error)


@pytest.mark.parametrize("status", [*range(500, 600, 7), 408, 409, 413, 425, 429])
def test_statuses_that_escalate(status: int) -> None:
    assert recoverable(from_httpx(status))


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 406, 410, 415, 422, 451])
def test_statuses_that_do_not(status: int) -> None:
    assert not recoverable(from_httpx(status))


# What the user names


class Quota(Exception):
    pass


class DailyQuota(Quota):
    pass


@pytest.mark.parametrize("rule", [Quota, [Quota], (Quota, KeyError), lambda error: isinstance(error, Quota)])
def test_named_classes_and_predicates_replace_the_default(rule: Any) -> None:
    escalate = escalation_rule(rule)
    assert escalate(Quota("spent"))
    assert escalate(DailyQuota("spent"))
    assert not escalate(TimeoutError("slow"))


def test_the_default_may_be_widened() -> None:
    policy = Cascade(recorded, 0.5, escalate_on=lambda error: recoverable(error) or isinstance(error, Quota))
    assert ask(policy, Quota("spent"), says("b"))[0].answer.text == "b"
    assert ask(policy, TimeoutError("slow"), says("b"))[0].answer.text == "b"


@pytest.mark.parametrize("rule", ["TimeoutError", 429, None, [429], ["TimeoutError"], [TimeoutError()], BaseException, [int]])
def test_anything_else_is_refused(rule: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"escalate_on=.* must (be exception classes or a predicate|hold exception)"):
        escalation_rule(rule)
