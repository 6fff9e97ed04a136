"""ChatFrugal over OpenAI's real client and a real wire: what is asked for, how often, and what failures do."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from frugal_core.playground import handler
from frugal_core.playground.chat import ChatError
from frugal_core.playground.server import PlaygroundServer
from frugal_core.types import Answer, Query
from langchain_frugal import ChatFrugal, FrugalWarning, Scorer
from lc import HOWS, Wire, ask, collect, decision, reasons, wired

SMALL, LARGE = "playground-small", "playground-medium"
PRICES = {SMALL: (0.05, 0.05), LARGE: (3, 3)}
QUESTION = "What is 2 plus 3?"

each_way = pytest.mark.parametrize("how", HOWS)
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the client's own, on parsed answers


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with wired() as running:
        yield running


@pytest.fixture
def server(wire: Wire) -> PlaygroundServer:
    return wire.server


def cascade(wire: Wire, threshold: float = 0.0, **settings: Any) -> ChatFrugal:
    models = [wire.client(SMALL), wire.client(LARGE)]
    return ChatFrugal(models=models, threshold=threshold, prices=PRICES, **settings)


def asked(server: PlaygroundServer) -> list[tuple[str | None, bool]]:
    """Model of each request, and whether it wanted log-probabilities."""
    return [(request.model, bool(request.body.get("logprobs"))) for request in server.requests]


# --- log-probabilities ---


@each_way
async def test_drafts_are_asked_with_logprobs_and_the_last_model_without(
    wire: Wire, server: PlaygroundServer, how: str
) -> None:
    message = await ask(cascade(wire, 1.0), how, QUESTION)
    assert asked(server) == [(SMALL, True), (LARGE, False)]
    assert server.requests[0].body["top_logprobs"] == 10
    assert reasons(message) == [(SMALL, "unsure"), (LARGE, "last_tier")]
    assert decision(message)["steps"][0]["score"] is not None


@each_way
async def test_one_call_when_the_draft_is_accepted(wire: Wire, server: PlaygroundServer, how: str) -> None:
    message = await ask(cascade(wire), how, QUESTION)
    assert asked(server) == [(SMALL, True)]
    (step,) = decision(message)["steps"]
    assert (step["reason"], step["estimated"]) == ("confident", False)
    usage = message.usage_metadata
    assert decision(message)["cost_usd"] == pytest.approx(0.05e-6 * usage["total_tokens"])


class Content(Scorer):
    """Is content with anything, and looks at no log-probabilities."""

    def __call__(self, query: Query, answer: Answer) -> float:
        return 1.0


@each_way
async def test_a_scorer_that_needs_no_logprobs_asks_for_none(wire: Wire, server: PlaygroundServer, how: str) -> None:
    await ask(cascade(wire, scorer=Content()), how, QUESTION)
    assert asked(server) == [(SMALL, False)]


def test_what_the_user_set_stands(wire: Wire, server: PlaygroundServer) -> None:
    models = [wire.client(SMALL, top_logprobs=3, logprobs=True), wire.client(LARGE)]
    ChatFrugal(models=models, threshold=0.0, prices=PRICES).invoke(QUESTION)
    assert server.requests[0].body["top_logprobs"] == 3
    told = ChatFrugal(models=[wire.client(SMALL).bind(logprobs=False), models[1]], threshold=0.0, prices=PRICES)
    with pytest.warns(FrugalWarning, match="log-?prob"):
        message = told.invoke(QUESTION)
    assert reasons(message) == [(SMALL, "no_signal"), (LARGE, "last_tier")]


@pytest.fixture
def refusing(server: PlaygroundServer, monkeypatch: pytest.MonkeyPatch) -> PlaygroundServer:
    """A server whose models give no log-probabilities."""
    parse = handler.protocol.parse

    def refuse(body: Any) -> Any:
        if body.get("logprobs"):
            raise ChatError("This model does not support 'logprobs'.", param="logprobs")
        return parse(body)

    monkeypatch.setattr(handler.protocol, "parse", refuse)
    return server


REFUSED = [(SMALL, True), (SMALL, False), (LARGE, False)]
REMEMBERED = [(SMALL, False), (LARGE, False)]


@each_way
async def test_refused_logprobs_are_asked_for_once(wire: Wire, refusing: PlaygroundServer, how: str) -> None:
    llm = cascade(wire)
    with pytest.warns(FrugalWarning, match="log-?prob") as warned:  # noqa: PT031
        message = await ask(llm, how, QUESTION)
        await ask(llm, how, QUESTION)
    assert len(warned) == 1
    assert asked(refusing) == REFUSED + REMEMBERED
    assert reasons(message) == [(SMALL, "no_signal"), (LARGE, "last_tier")]


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_refused_logprobs_in_a_batch(wire: Wire, refusing: PlaygroundServer, how: str) -> None:
    llm = cascade(wire)
    inputs: list[Any] = [QUESTION] * 4
    with pytest.warns(FrugalWarning, match="log-?prob"):  # noqa: PT031
        answers = llm.batch(inputs) if how == "batch" else await llm.abatch(inputs)
        _ = llm.batch(inputs) if how == "batch" else await llm.abatch(inputs)
    assert {tuple(reasons(answer)) for answer in answers} == {((SMALL, "no_signal"), (LARGE, "last_tier"))}
    numbers = {each: asked(refusing).count(each) for each in set(asked(refusing))}
    assert numbers == {(SMALL, True): 4, (SMALL, False): 8, (LARGE, False): 8}


async def test_a_refusal_that_several_meet_at_once(wire: Wire, refusing: PlaygroundServer) -> None:
    llm = cascade(wire)
    with pytest.warns(FrugalWarning, match="log-?prob"):
        answers = await asyncio.gather(*(llm.ainvoke(QUESTION) for _ in range(4)))
    assert {tuple(reasons(answer)) for answer in answers} == {((SMALL, "no_signal"), (LARGE, "last_tier"))}


@each_way
async def test_a_refusal_is_remembered_across_bindings(wire: Wire, refusing: PlaygroundServer, how: str) -> None:
    """An agent binds its tools anew at every step."""

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    llm = cascade(wire)
    with pytest.warns(FrugalWarning, match="log-?prob") as warned:  # noqa: PT031
        for _ in range(3):
            await ask(llm.bind_tools([add], tool_choice="none"), how, QUESTION)
    assert len(warned) == 1
    assert asked(refusing) == REFUSED + REMEMBERED + REMEMBERED


@each_way
async def test_refused_logprobs_of_structured_output(wire: Wire, refusing: PlaygroundServer, how: str) -> None:
    class Sum(BaseModel):
        """A sum."""

        value: int

    structured: Any = cascade(wire).with_structured_output(Sum)

    async def value() -> Any:
        if how in {"stream", "astream"}:
            return (list(structured.stream(QUESTION)) if how == "stream" else await collect(structured.astream(QUESTION)))[-1]
        return await ask(structured, how, QUESTION)

    with pytest.warns(FrugalWarning, match="log-?prob"):
        assert isinstance(await value(), Sum)
    assert isinstance(await value(), Sum)
    assert asked(refusing) == REFUSED + REMEMBERED


# --- failures ---


@pytest.mark.parametrize(("how", "status"), list(zip(HOWS, [429, 500, 503, None, 429, None], strict=True)))
async def test_a_failing_model_is_followed_by_the_next(
    wire: Wire, server: PlaygroundServer, how: str, status: int | None
) -> None:
    server.fail_next(status, model=SMALL)
    message = await ask(cascade(wire), how, QUESTION)
    assert [request.model for request in server.requests] == [SMALL, LARGE]
    assert reasons(message) == [(SMALL, "failed"), (LARGE, "last_tier")]
    first = decision(message)["steps"][0]
    assert first["error"]
    assert first["cost_usd"] == (None if status is None else 0.0), "a refused call is free, a lost one may not be"


@each_way
async def test_a_timeout_is_followed_by_the_next(wire: Wire, server: PlaygroundServer, how: str) -> None:
    server.delay(math.inf, SMALL)
    llm = ChatFrugal(models=[wire.client(SMALL, timeout=0.2), wire.client(LARGE)], threshold=0.0, prices=PRICES)
    message = await ask(llm, how, QUESTION)
    assert reasons(message) == [(SMALL, "failed"), (LARGE, "last_tier")]
    assert [request.model for request in server.requests] == [SMALL, LARGE]


REFUSALS = {400: openai.BadRequestError, 401: openai.AuthenticationError, 404: openai.NotFoundError}


@pytest.mark.parametrize(("how", "status"), list(zip(HOWS, [400, 401, 404, 400, 401, 404], strict=True)))
async def test_what_no_other_model_can_mend_rises_at_once(wire: Wire, server: PlaygroundServer, how: str, status: int) -> None:
    server.fail_next(status)
    with pytest.raises(REFUSALS[status]):
        await ask(cascade(wire), how, QUESTION)
    assert [request.model for request in server.requests] == [SMALL]


@each_way
async def test_the_last_models_failure_rises_as_it_is(wire: Wire, server: PlaygroundServer, how: str) -> None:
    server.fail_next(503, times=2)
    with pytest.raises(openai.InternalServerError):
        await ask(cascade(wire), how, QUESTION)
    assert [request.model for request in server.requests] == [SMALL, LARGE]


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_stream_that_fails_in_the_middle_is_not_begun_anew(wire: Wire, server: PlaygroundServer, how: str) -> None:
    server.fail_next(500, model=LARGE, after_tokens=1)
    with pytest.raises(openai.APIError, match="500"):
        await ask(cascade(wire, 1.0), how, "What can you do?")
    assert [request.model for request in server.requests] == [SMALL, LARGE]


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_a_rate_limit_in_the_middle_of_a_batch(wire: Wire, server: PlaygroundServer, how: str) -> None:
    server.rate_limit(3)
    llm = cascade(wire)
    inputs: list[Any] = [QUESTION] * 5
    answers = llm.batch(inputs) if how == "batch" else await llm.abatch(inputs)
    assert sorted(decision(answer)["tier"] for answer in answers) == [LARGE] * 2 + [SMALL] * 3
    assert (len(server.calls(SMALL)), len(server.calls(LARGE))) == (5, 2)


# --- cancellation ---


async def test_after_a_cancellation_no_later_model_is_called(wire: Wire, server: PlaygroundServer) -> None:
    server.delay(math.inf, SMALL)
    task = asyncio.create_task(cascade(wire).ainvoke(QUESTION))
    assert await asyncio.to_thread(server.wait_for_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (request,) = server.requests
    assert await asyncio.to_thread(request.wait)
    assert (request.model, request.outcome) == (SMALL, "cancelled")


async def test_a_cancelled_batch_calls_no_later_model(wire: Wire, server: PlaygroundServer) -> None:
    server.delay(math.inf, SMALL)
    task = asyncio.create_task(cascade(wire).abatch([QUESTION, QUESTION]))
    assert await asyncio.to_thread(server.wait_for_requests, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for request in server.requests:
        assert await asyncio.to_thread(request.wait)
    assert [(request.model, request.outcome) for request in server.requests] == [(SMALL, "cancelled")] * 2


async def test_a_limit_of_time_around_the_whole_is_no_failure_of_a_model(wire: Wire, server: PlaygroundServer) -> None:
    server.delay(math.inf, SMALL)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(cascade(wire).ainvoke(QUESTION), 0.2)
    assert server.calls(LARGE) == []


def test_leaving_a_stream_ends_its_request(wire: Wire, server: PlaygroundServer) -> None:
    server.delay(math.inf, LARGE, after_tokens=1)
    for _ in cascade(wire, 1.0).stream("What can you do?"):
        break
    (request,) = server.calls(LARGE)
    assert request.wait()
    assert (request.outcome, request.tokens) == ("cancelled", 1)


async def test_leaving_an_async_stream_ends_its_request(wire: Wire, server: PlaygroundServer) -> None:
    server.delay(math.inf, LARGE, after_tokens=1)
    stream = cascade(wire, 1.0).astream("What can you do?")
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    (request,) = server.calls(LARGE)
    assert await asyncio.to_thread(request.wait)
    assert (request.outcome, request.tokens) == ("cancelled", 1)


# --- models by name ---


@pytest.mark.parametrize("how", ["stream", "batch"])  # the provider's own async client would outlive the test
async def test_models_by_name(server: PlaygroundServer, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "dummy")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    llm = ChatFrugal([f"openai:{SMALL}", f"openai:{LARGE}"], threshold=1.0, prices=PRICES, max_retries=0, temperature=0)
    message = await ask(llm, how, QUESTION)
    assert [request.model for request in server.requests] == [SMALL, LARGE]
    assert [request.body["temperature"] for request in server.requests] == [0, 0]
    assert decision(message)["cost_usd"] is not None


def test_the_settings_of_models_by_name(server: PlaygroundServer) -> None:
    llm = ChatFrugal(
        [f"openai:{SMALL}"], prices=PRICES, api_key="k", timeout=7, max_retries=0, max_tokens=2, stop=["!"], streaming=True
    )
    (tier,) = llm._runner.tiers
    assert isinstance(tier.model, ChatOpenAI)
    assert (tier.model.request_timeout, tier.model.max_retries, tier.model.max_tokens) == (7, 0, 2)
    assert (tier.model.openai_api_key, tier.model.stop, tier.model.streaming) == (SecretStr("k"), ["!"], True)
    assert "api_key" not in repr(llm)
