"""The eight endpoints: each decides alike and asks the models by their own kind, and what comes back carries its decision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ChatResponseAsyncGen
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from frugal_core.policies import Single
from li import HOWS, USAGE, Fake, accepting, ask, calls_tool, decision, escalating, frugal, large, reasons, small, stream
from openai_shapes import logprobs

each_how = pytest.mark.parametrize("how", HOWS)
each_async_how = pytest.mark.parametrize("how", [how for how in HOWS if how.startswith("a")])
each_chat_how = pytest.mark.parametrize("how", [how for how in HOWS if "chat" in how])
each_completion_how = pytest.mark.parametrize("how", [how for how in HOWS if "complete" in how])


def text(response: Any) -> str:
    return str(response.message.content if hasattr(response, "message") else response.text)


def draft_of(how: str, *, chats: bool = True) -> str:
    """The method by which a model is asked for an answer that is still to be judged: never a stream."""
    return ("a" if how.startswith("a") else "") + ("chat" if chats or "chat" in how else "complete")


def final_of(how: str, *, chats: bool = True) -> str:
    """The method by which the last model is asked."""
    return how.replace("complete", "chat") if chats else how


# --- every endpoint decides ---


def test_core_takes_it_for_an_llm_that_calls_functions_and_for_none_with_sync_code_beneath() -> None:
    llm, *_ = accepting()
    assert isinstance(llm, FunctionCallingLLM)
    assert not isinstance(llm, CustomLLM)
    assert llm.metadata.is_function_calling_model


@each_how
async def test_an_endpoint_serves_a_convincing_draft(how: str) -> None:
    llm, first, last = accepting()
    answer = await ask(llm, how)
    assert text(answer) == "the small answer"
    assert reasons(answer) == [("small", "confident")]
    assert (len(first.log), len(last.log)) == (1, 0)


@each_how
async def test_an_endpoint_leaves_a_doubtful_draft_behind_unseen(how: str) -> None:
    llm, first, last = escalating()
    pieces = await stream(llm, how)
    assert text(pieces[-1]) == "the large answer"
    assert reasons(pieces[-1]) == [("small", "unsure"), ("large", "last_tier")]
    assert (len(first.log), len(last.log)) == (1, 1)
    assert "SECRET" not in "".join(map(str, pieces))


@each_how
async def test_the_deltas_of_a_stream_make_up_its_text(how: str) -> None:
    if "stream" not in how:
        return
    for llm in (accepting()[0], escalating()[0]):
        pieces = await stream(llm, how)
        assert "".join(piece.delta or "" for piece in pieces) == text(pieces[-1])


@each_how
@pytest.mark.parametrize("chats", [True, False], ids=["chat models", "text models"])
async def test_models_are_asked_by_their_own_kind_sync_or_async_and_only_the_last_for_a_stream(how: str, chats: bool) -> None:
    first, last = small(sure=0.1, chats=chats), large(chats=chats)
    await ask(frugal(first, last), how)
    assert first.log.hows == [draft_of(how, chats=chats)]
    assert last.log.hows == [final_of(how, chats=chats)]


@each_how
async def test_call_arguments_reach_each_model(how: str) -> None:
    llm, first, last = escalating()
    await ask(llm, how, stop=["\n"], seed=7)
    for model in (first, last):
        (call,) = model.log.calls
        assert {name: call.kwargs[name] for name in ("stop", "seed")} == {"stop": ["\n"], "seed": 7}


@pytest.mark.parametrize("formatted", [True, False])
@each_completion_how
async def test_a_text_model_is_told_whether_the_prompt_is_in_its_form(how: str, formatted: bool) -> None:
    first, last = small(sure=0.1, chats=False), large(chats=False)
    await ask(frugal(first, last), how, formatted=formatted)
    assert [model.log.calls[0].kwargs["formatted"] for model in (first, last)] == [formatted, formatted]


class Meeting(Fake):
    """Answers when two are asking at the same time."""

    _asking: list[asyncio.Event] = PrivateAttr(default_factory=list)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        await self._meet()
        response: ChatResponse = await super().achat(messages, **kwargs)
        return response

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        await self._meet()
        pieces: ChatResponseAsyncGen = await super().astream_chat(messages, **kwargs)
        return pieces

    async def _meet(self) -> None:
        event = asyncio.Event()
        self._asking.append(event)
        if len(self._asking) == 2:
            for waiting in self._asking:
                waiting.set()
        await event.wait()


@each_async_how
async def test_async_queries_run_at_the_same_time_at_every_model(how: str) -> None:
    first, last = Meeting(model="small", sure=0.1), Meeting(model="large", reply="the large answer")
    llm = frugal(first, last)
    answers = await asyncio.wait_for(asyncio.gather(ask(llm, how), ask(llm, how)), timeout=30)
    assert [text(answer) for answer in answers] == ["the large answer"] * 2


# --- the wrapper's own rate limiter ---


class Turnstile:
    """A rate limiter that counts who passes, and how."""

    def __init__(self, *models: Fake) -> None:
        self.models = models
        self.passed: list[str] = []

    def acquire(self) -> None:
        assert not any(len(model.log) for model in self.models), "a model was asked before there was leave to"
        self.passed.append("acquire")

    async def async_acquire(self) -> None:
        self.acquire()
        self.passed[-1] = "async_acquire"


class Number(BaseModel):
    """A number."""

    value: int


def noted(value: int) -> int:
    """Note a number."""
    return value


async def taken(reply: Any) -> Any:
    """What a call gives, awaited and read to its end."""
    if hasattr(reply, "__await__"):
        reply = await reply
    if hasattr(reply, "__aiter__"):
        return [piece async for piece in reply]
    return list(reply) if hasattr(reply, "__next__") else reply


PROMPT = PromptTemplate("Which number is {word}?")
OTHERS = {
    "predict": lambda llm: llm.predict(PROMPT, word="it"),
    "apredict": lambda llm: llm.apredict(PROMPT, word="it"),
    "stream": lambda llm: llm.stream(PROMPT, word="it"),
    "astream": lambda llm: llm.astream(PROMPT, word="it"),
    **{
        name: lambda llm, name=name: getattr(llm, name)([FunctionTool.from_defaults(noted)], "it?")  # type: ignore[misc]
        for name in ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools")
    },
    **{
        name: lambda llm, name=name: getattr(llm, name)(Number, PROMPT, word="it")  # type: ignore[misc]
        for name in (
            *("structured_predict", "astructured_predict"),
            *("stream_structured_predict", "astream_structured_predict"),
        )
    },
}


@pytest.mark.parametrize("how", [*HOWS, *OTHERS])
async def test_a_rate_limiter_is_passed_once_for_a_query_before_any_model_is_asked(how: str) -> None:
    first, last = small(calls_tool("Number", {"value": 1}), sure=0.1), large(calls_tool("Number", {"value": 2}))
    turnstile = Turnstile(first, last)
    llm = frugal(first, last, rate_limiter=turnstile)
    await (ask(llm, how) if how in HOWS else taken(OTHERS[how](llm)))
    assert turnstile.passed == ["async_acquire" if how.startswith("a") else "acquire"]
    assert (len(first.log), len(last.log)) == (1, 1)


@each_how
async def test_a_models_own_rate_limiter_is_passed_once_for_each_of_its_calls(how: str) -> None:
    gates = Turnstile(), Turnstile()
    first, last = small(sure=0.1, rate_limiter=gates[0]), large(rate_limiter=gates[1])
    await ask(frugal(first, last), how)
    expected = ["async_acquire" if how.startswith("a") else "acquire"]
    assert [gate.passed for gate in gates] == [expected, expected]


# --- where the decision stands ---


@each_how
@pytest.mark.parametrize("make", [accepting, escalating])
async def test_the_decision_stands_beside_the_message_and_in_the_last_piece(how: str, make: Any) -> None:
    llm, *_ = make()
    pieces = await stream(llm, how)
    assert decision(pieces[-1])["tier"] == ("small" if make is accepting else "large")
    assert all("steps" not in piece.additional_kwargs.get("frugal", {}) for piece in pieces[:-1])


@each_chat_how
@pytest.mark.parametrize("sure", [0.9, 0.1], ids=["accepted", "escalated"])
async def test_the_message_is_the_models_own_and_prints_as_such(how: str, sure: float) -> None:
    message = ChatMessage("a word", role="assistant", additional_kwargs={"refusal": None})
    llm = frugal(small(message, sure=sure), large(message))
    pieces = await stream(llm, how)
    assert pieces[-1].message.additional_kwargs == {"refusal": None}
    assert all("frugal" not in piece.message.additional_kwargs for piece in pieces)
    assert all("frugal" not in llm.messages_to_prompt([piece.message]) for piece in pieces)


@each_completion_how
@pytest.mark.parametrize("sure", [0.9, 0.1], ids=["accepted", "escalated"])
async def test_a_completion_leaves_the_chat_message_that_it_came_from_as_it_was(how: str, sure: float) -> None:
    message = ChatMessage("a word", role="assistant", additional_kwargs={"refusal": None})

    def response(sure: float) -> ChatResponse:
        raw = {"choices": [{"finish_reason": "stop", "logprobs": logprobs("a word", sure)}], "usage": USAGE}
        return ChatResponse(message=message, raw=raw, additional_kwargs={"prompt_tokens": 4})

    answer = await ask(frugal(small(response(sure)), large(response(0.9))), how)
    assert message.additional_kwargs == {"refusal": None}
    assert answer.text == "a word"
    assert answer.additional_kwargs["refusal"] is None
    assert answer.additional_kwargs["frugal"]["tier"] == ("small" if sure > 0.5 else "large")
    assert answer.raw["usage"]["prompt_tokens"] == 4


class Remembering(Fake):
    """Gives the same response object again, as a model with a cache of its own does."""

    _said: list[ChatResponse] = PrivateAttr(default_factory=list)

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._said = self._said or [super().chat(messages, **kwargs)]
        return self._said[0]

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._said = self._said or [await super().achat(messages, **kwargs)]
        return self._said[0]


@each_how
async def test_the_models_own_response_object_is_not_written_to(how: str) -> None:
    first = Remembering(model="small")
    llm = frugal(first, large())
    for _ in range(2):
        assert decision(await ask(llm, how))["tier"] == "small"
    (said,) = first._said
    assert said.additional_kwargs == {}
    assert said.delta is None


@each_how
async def test_an_answer_that_was_asked_for_once_carries_one_decision_however_it_was_routed(how: str) -> None:
    answer = await ask(frugal(small(), large(), policy=Single(0)), how)
    assert reasons(answer) == [("small", "routed")]


@each_chat_how
async def test_a_stream_answers_what_was_asked_when_it_was_asked(how: str) -> None:
    llm, first, last = escalating()
    conversation = [ChatMessage("before")]
    reply = getattr(llm, how)(conversation)
    if "stream" in how:
        reply = await reply if how.startswith("a") else reply
        conversation.append(ChatMessage("after"))  # while nobody has read a piece yet
    await taken(reply)
    assert [[message.content for message in model.log.calls[0].messages] for model in (first, last)] == [["before"]] * 2
