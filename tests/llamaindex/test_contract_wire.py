"""What models are asked for besides the question, and what their answers cost."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import openai
import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from frugal_core.playground import handler
from frugal_core.playground.chat import ChatError
from frugal_core.playground.server import PlaygroundServer
from frugal_core.types import Answer, Query
from li import HOWS, PRICES, Fake, ask, decision, escalating, frugal, large, reasons, small, stream
from llamaindex_frugal import FrugalLLM, FrugalWarning, Margin, Price, SchemaValid, Scorer

SMALL, LARGE = "playground-small", "playground-medium"
WIRE_PRICES = {SMALL: (0.05, 0.05), LARGE: (3, 3)}
QUESTION = "What is 2 plus 3?"
TALK = "What can you do?"
STREAMS = [how for how in HOWS if "stream" in how]

each_way = pytest.mark.parametrize("how", HOWS)
each_stream = pytest.mark.parametrize("how", STREAMS)


@pytest.fixture
async def client() -> AsyncIterator[Callable[..., OpenAILike]]:
    with PlaygroundServer() as server, httpx.Client(verify=False) as http:
        async with httpx.AsyncClient(verify=False) as async_http:

            def connect(model: str, **options: Any) -> OpenAILike:
                kind = {"is_chat_model": True, "is_function_calling_model": True, "api_key": "k"}
                http_clients = {"http_client": http, "async_http_client": async_http}
                url = f"{server.url}/v1"
                return OpenAILike(
                    model=model, api_base=url, temperature=0, max_retries=0, **{**kind, **http_clients, **options}
                )

            connect.server = server  # type: ignore[attr-defined]
            yield connect


@pytest.fixture
def server(client: Any) -> PlaygroundServer:
    found: PlaygroundServer = client.server
    return found


def cascade(client: Any, threshold: float = 0.0, options: Any = None, **settings: Any) -> FrugalLLM:
    models = [client(SMALL, **(options or {})), client(LARGE)]
    return FrugalLLM(models, threshold=threshold, prices=WIRE_PRICES, **settings)


def asked(server: PlaygroundServer) -> list[tuple[str | None, bool]]:
    """Model of each request, and whether it wanted log-probabilities."""
    return [(request.model, bool(request.body.get("logprobs"))) for request in server.requests]


# --- log-probabilities ---


@each_way
async def test_drafts_are_asked_for_logprobs_and_the_last_model_is_not(client: Any, server: PlaygroundServer, how: str) -> None:
    response = await ask(cascade(client, 1.0), how, QUESTION)
    assert asked(server) == [(SMALL, True), (LARGE, False)]
    assert server.requests[0].body["top_logprobs"] == 10
    assert "top_logprobs" not in server.requests[1].body
    assert reasons(response) == [(SMALL, "unsure"), (LARGE, "last_tier")]
    assert decision(response)["steps"][0]["score"] is not None


@each_way
async def test_an_accepted_draft_is_one_request(client: Any, server: PlaygroundServer, how: str) -> None:
    response = await ask(cascade(client), how, QUESTION)
    assert asked(server) == [(SMALL, True)]
    (one,) = decision(response)["steps"]
    assert (one["reason"], one["estimated"]) == ("confident", False)
    assert decision(response)["cost_usd"] == pytest.approx(0.05e-6 * (one["input_tokens"] + one["output_tokens"]))


class Content(Scorer):
    """Is content with anything, and looks at no log-probabilities."""

    def __call__(self, query: Query, answer: Answer) -> float:
        return 1.0


@each_way
async def test_a_scorer_that_needs_no_logprobs_asks_for_none(client: Any, server: PlaygroundServer, how: str) -> None:
    await ask(cascade(client, scorer=Content()), how, QUESTION)
    assert asked(server) == [(SMALL, False)]


@each_way
async def test_what_the_caller_asks_for_goes_first(client: Any, server: PlaygroundServer, how: str) -> None:
    await ask(cascade(client, 1.0), how, QUESTION, top_logprobs=3, logprobs=True)
    assert [request.body["top_logprobs"] for request in server.requests] == [3, 3]


@pytest.mark.parametrize("options", [{"logprobs": True, "top_logprobs": 3}, {"additional_kwargs": {"top_logprobs": 3}}])
async def test_what_the_user_set_on_a_model_goes_first(client: Any, server: PlaygroundServer, options: Any) -> None:
    response = await ask(cascade(client, options=options), "achat", QUESTION)
    assert server.requests[0].body["top_logprobs"] == 3
    assert reasons(response) == [(SMALL, "confident")]


async def test_a_model_whose_user_wants_no_logprobs_is_not_asked_for_them(client: Any, server: PlaygroundServer) -> None:
    with pytest.warns(FrugalWarning, match="log-?prob"):
        response = await ask(cascade(client, options={"logprobs": False}), "achat", QUESTION)
    assert asked(server)[0] == (SMALL, False)
    assert reasons(response) == [(SMALL, "no_signal"), (LARGE, "last_tier")]


class Sum(BaseModel):
    """A sum."""

    value: int


@pytest.mark.parametrize("how", ["structured_predict", "astructured_predict"])
async def test_drafts_of_a_structured_answer_are_asked_for_logprobs_as_well(
    client: Any, server: PlaygroundServer, how: str
) -> None:
    llm, prompt = cascade(client, 1.0), PromptTemplate(QUESTION)
    with pytest.warns(FrugalWarning, match="log-?prob"):
        value = (
            llm.structured_predict(Sum, prompt) if how == "structured_predict" else await llm.astructured_predict(Sum, prompt)
        )
    assert isinstance(value, Sum)
    assert asked(server) == [(SMALL, True), (LARGE, False)]


@pytest.mark.parametrize("how", ["structured_predict", "astructured_predict"])
async def test_refused_logprobs_of_a_structured_answer_are_asked_for_once(
    client: Any, server: PlaygroundServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "logprobs")
    llm, prompt = cascade(client, scorer=Margin().or_else(SchemaValid())), PromptTemplate(QUESTION)
    for _ in range(2):
        value = (
            llm.structured_predict(Sum, prompt) if how == "structured_predict" else await llm.astructured_predict(Sum, prompt)
        )
        assert isinstance(value, Sum)
    assert asked(server) == [(SMALL, True), (SMALL, False), (SMALL, False)]


def refuse(monkeypatch: pytest.MonkeyPatch, argument: str) -> None:
    """Make the server refuse requests with an argument."""
    parse = handler.protocol.parse

    def parsed(body: Any) -> Any:
        if body.get(argument):
            raise ChatError(f"This model does not support {argument!r}.", param=argument)
        return parse(body)

    monkeypatch.setattr(handler.protocol, "parse", parsed)


@each_way
async def test_refused_logprobs_are_asked_for_once(
    client: Any, server: PlaygroundServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "logprobs")
    llm = cascade(client)
    with pytest.warns(FrugalWarning, match="log-?prob") as warned:  # noqa: PT031
        response = await ask(llm, how, QUESTION)
        await ask(llm, how, QUESTION)
    assert len(warned) == 1
    assert asked(server) == [(SMALL, True), (SMALL, False), (LARGE, False), (SMALL, False), (LARGE, False)]
    assert reasons(response) == [(SMALL, "no_signal"), (LARGE, "last_tier")]


async def test_a_refusal_that_several_meet_at_once(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "logprobs")
    llm = cascade(client)
    with pytest.warns(FrugalWarning, match="log-?prob") as warned:
        answers = await asyncio.gather(*(ask(llm, "achat", QUESTION) for _ in range(4)))
    assert len(warned) == 1
    assert {tuple(reasons(answer)) for answer in answers} == {((SMALL, "no_signal"), (LARGE, "last_tier"))}


async def test_a_refusal_for_another_reason_is_not_repeated(client: Any, server: PlaygroundServer) -> None:
    server.fail_next(400)
    with pytest.raises(openai.BadRequestError):
        await ask(cascade(client), "achat", QUESTION)
    assert asked(server) == [(SMALL, True)]


# --- usage of streams ---


@each_stream
async def test_a_live_stream_is_asked_for_its_usage(client: Any, server: PlaygroundServer, how: str) -> None:
    pieces = await stream(cascade(client, 1.0), how, TALK)
    assert [request.body.get("stream_options") for request in server.requests] == [None, {"include_usage": True}]
    last = decision(pieces[-1])["steps"][-1]
    assert last["estimated"] is False
    whole = decision(await ask(cascade(client, 1.0), "chat", TALK))["steps"][-1]
    assert [last[name] for name in ("input_tokens", "output_tokens", "cost_usd")] == [
        whole[name] for name in ("input_tokens", "output_tokens", "cost_usd")
    ]


@each_stream
async def test_refused_usage_of_a_stream_is_asked_for_once_and_counted_here(
    client: Any, server: PlaygroundServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "stream_options")
    llm = cascade(client, 1.0)
    pieces = await stream(llm, how, TALK)
    await stream(llm, how, TALK)
    wanted = [(request.model, "stream_options" in request.body) for request in server.requests]
    assert wanted == [(SMALL, False), (LARGE, True), (LARGE, False), (SMALL, False), (LARGE, False)]
    last = decision(pieces[-1])["steps"][-1]
    assert last["estimated"] is True
    assert last["output_tokens"] > 0
    assert last["cost_usd"] == pytest.approx(3e-6 * (last["input_tokens"] + last["output_tokens"]))


@each_stream
async def test_the_callers_own_stream_options_go_first(client: Any, server: PlaygroundServer, how: str) -> None:
    pieces = await stream(cascade(client, 1.0, scorer=lambda query, answer: None), how, TALK)
    assert decision(pieces[-1])["steps"][-1]["estimated"] is False
    only = FrugalLLM([client(LARGE)], prices=WIRE_PRICES)
    pieces = await stream(only, how, TALK, stream_options={"include_usage": False})
    assert server.requests[-1].body["stream_options"] == {"include_usage": False}
    assert decision(pieces[-1])["steps"][-1]["estimated"] is True


@pytest.mark.parametrize("how", ["stream_chat", "astream_chat"])
async def test_a_stream_refused_both_extras_goes_on_without_either(
    client: Any, server: PlaygroundServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "stream_options")
    refuse(monkeypatch, "logprobs")
    with pytest.warns(FrugalWarning, match="log-?prob"):
        pieces = await stream(cascade(client), how, TALK)
    assert pieces[-1].message.content
    assert [request.model for request in server.requests] == [SMALL, SMALL, LARGE, LARGE]


@pytest.mark.parametrize("how", ["stream_chat", "astream_chat"])
async def test_leaving_a_stream_ends_its_request(client: Any, server: PlaygroundServer, how: str) -> None:
    server.delay(math.inf, LARGE, after_tokens=1)
    pieces: Any = getattr(cascade(client, 1.0), how)([ChatMessage(TALK)])
    if how == "stream_chat":
        next(pieces)
        pieces.close()
    else:
        pieces = await pieces
        await anext(pieces)
        await pieces.aclose()
    del pieces
    (request,) = server.calls(LARGE)
    for _ in range(20):
        gc.collect()  # to which, and to asyncio's care, LlamaIndex's own package leaves the connection
        if await asyncio.to_thread(request.wait, 0.1):
            break
    assert (request.outcome, request.tokens) == ("cancelled", 1)


async def test_after_a_cancellation_no_later_model_is_called(client: Any, server: PlaygroundServer) -> None:
    server.delay(math.inf, SMALL)
    task = asyncio.create_task(cascade(client).achat([ChatMessage(QUESTION)]))
    assert await asyncio.to_thread(server.wait_for_requests, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (request,) = server.requests
    assert await asyncio.to_thread(request.wait)
    assert (request.model, request.outcome) == (SMALL, "cancelled")


# --- what it cost ---


def says(words: str, usage: Any, **raw: Any) -> ChatResponse:
    message = ChatMessage(words, role="assistant")
    return ChatResponse(message=message, raw={"choices": [{"finish_reason": "stop"}], "usage": usage, **raw})


CACHED = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 80}}


@each_way
async def test_what_the_provider_read_from_its_cache_costs_less(how: str) -> None:
    prices = {"small": PRICES["small"], "large": Price(10.0, 10.0, cached_input=1.0)}
    response = await ask(frugal(small(sure=0.1), large(says("fine", CACHED)), prices=prices), how)
    last = decision(response)["steps"][-1]
    assert (last["input_tokens"], last["output_tokens"], last["estimated"]) == (100, 10, False)
    assert last["cost_usd"] == pytest.approx((20 * 10 + 80 * 1 + 10 * 10) * 1e-6)


@each_way
async def test_where_the_provider_counts_nothing_the_count_is_an_estimate_and_says_so(how: str) -> None:
    response = await ask(frugal(small(sure=0.1, usage=None), large(usage=None)), how, "A question of some words")
    for one in decision(response)["steps"]:
        assert one["estimated"] is True
        assert one["input_tokens"] > 5
        assert one["output_tokens"] >= 3
        assert one["cost_usd"] > 0


@each_way
async def test_the_baseline_is_the_last_model_real_or_reckoned(how: str) -> None:
    llm, _, _ = escalating()
    real = decision(await ask(llm, how))
    assert (real["baseline_cost_usd"], real["baseline_estimated"]) == (pytest.approx(6e-5), False)
    reckoned = decision(await ask(frugal(small(), large()), how))
    assert (reckoned["baseline_cost_usd"], reckoned["baseline_estimated"]) == (pytest.approx(6e-5), True)
    assert reckoned["saved_usd"] == pytest.approx(6e-5 - 6e-6)


@each_way
async def test_a_model_of_unknown_price_makes_the_cost_unknown(how: str) -> None:
    with pytest.warns(FrugalWarning, match=r"No price is known for model 'small'.*never as \$0|not as \$0"):
        llm = frugal(small(), large(), prices={"large": (10, 10)})
    assert decision(await ask(llm, how))["cost_usd"] is None


@each_way
async def test_what_was_asked_for_and_refused_by_the_users_own_wish_rises(
    client: Any, server: PlaygroundServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "logprobs")
    with pytest.raises(openai.BadRequestError, match="logprobs"):
        await ask(cascade(client), how, QUESTION, logprobs=True, top_logprobs=2)
    assert asked(server) == [(SMALL, True)]


@each_stream
async def test_a_last_model_that_refuses_what_the_user_wants_is_not_asked_for_ever(
    client: Any, server: PlaygroundServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "logprobs")
    refuse(monkeypatch, "stream_options")
    for own in ({"logprobs": True}, {"stream_options": {"include_usage": True}}):
        only = FrugalLLM([client(LARGE)], prices=WIRE_PRICES)
        with pytest.raises(openai.BadRequestError, match=next(iter(own))):
            await stream(only, how, TALK, **own)
    assert len(server.requests) <= 3


class Strict(Fake):
    """A model whose client knows no such argument."""

    refuses: str = ""

    def _refuse(self, kwargs: Any) -> None:
        if self.refuses in kwargs:
            raise TypeError(f"create() got an unexpected keyword argument {self.refuses!r}")

    def chat(self, messages: Any, **kwargs: Any) -> Any:
        self._refuse(kwargs)
        return super().chat(messages, **kwargs)

    async def achat(self, messages: Any, **kwargs: Any) -> Any:
        self._refuse(kwargs)
        return await super().achat(messages, **kwargs)


@each_way
async def test_extra_arguments_are_for_models_that_are_known_to_take_them(how: str) -> None:
    first, last = Strict(model="small", refuses="logprobs"), large()
    assert reasons(await ask(frugal(first, last), how)) == [("small", "confident")]
    assert all("logprobs" not in call.kwargs and "stream_options" not in call.kwargs for call in first.log.calls)


@pytest.mark.parametrize("how", ["chat", "achat"])
async def test_extra_arguments_and_tools_go_together(client: Any, server: PlaygroundServer, how: str) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    with pytest.warns(FrugalWarning, match="log-?prob"):
        await ask(cascade(client, 1.0), how, QUESTION, tools=[FunctionTool.from_defaults(add)])
    assert asked(server) == [(SMALL, True), (LARGE, False)]
    for request in server.requests:
        assert [tool["function"]["name"] for tool in request.body["tools"]] == ["add"]
