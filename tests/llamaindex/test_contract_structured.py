"""Structured prediction: each model by its own method, what cannot be parsed goes to the next, and every call is paid for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError

from frugal_core.policies import Single
from frugal_core.types import Answer, Query
from li import Fake, frugal, large, listening, small
from llamaindex_frugal import FrugalDecisionEvent
from llamaindex_frugal.playground import PlaygroundLLM

HOWS = ("structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict")
WHOLE = HOWS[:2]
each_how = pytest.mark.parametrize("how", HOWS)
each_whole = pytest.mark.parametrize("how", WHOLE)
QUESTION = "Which is the larger of {numbers}?"
SMALL_USD, LARGE_USD = 6e-6, 6e-5  # of a fake's call, of 4 tokens in and 2 out


class Larger(BaseModel):
    """The larger number."""

    value: int


def as_call(value: Any) -> ChatMessage:
    """A tool call as OpenAI's integration gives it."""
    block = {"block_type": "tool_call", "tool_call_id": "call_1", "tool_name": "Larger", "tool_kwargs": {"value": value}}
    return ChatMessage(role="assistant", blocks=[block], additional_kwargs={"tool_calls": [{"id": "call_1"}]})


def as_text(value: Any) -> str:
    return json.dumps({"value": value}, separators=(",", ":"))


FORMS = {"tool call": (as_call, {"tools": True}), "text": (as_text, {"tools": False})}
each_form = pytest.mark.parametrize("form", FORMS)


def pair(form: str, first: Any = 3, last: Any = 4, sure: float = 0.9) -> tuple[Fake, Fake]:
    """A cheap and a dear model and their values, given as tool calls or as text."""
    says, settings = FORMS[form]
    return small(says(first), sure=sure, **settings), large(says(last), **settings)


async def pieces(llm: Any, how: str, llm_kwargs: Any = None, prompt: Any = None, **prompt_args: Any) -> list[Any]:
    """All objects; one where nothing is streamed."""
    prompt = prompt or PromptTemplate(QUESTION)  # a new one: models that are asked without a wrapper leave traces in it
    reply = getattr(llm, how)(Larger, prompt, llm_kwargs, **({"numbers": "3 and 4"} | prompt_args))
    if how.startswith("a"):
        reply = await reply
    if "stream" not in how:
        return [reply]
    return [piece async for piece in reply] if how.startswith("a") else list(reply)


async def predict(llm: Any, how: str, *args: Any, **kwargs: Any) -> Any:
    return (await pieces(llm, how, *args, **kwargs))[-1]


def decisions(events: list[Any]) -> list[dict[str, Any]]:
    return [event.decision for event in events if isinstance(event, FrugalDecisionEvent)]


def reasons(events: list[Any]) -> list[tuple[str, str]]:
    (decision,) = decisions(events)
    return [(step["tier"], step["reason"]) for step in decision["steps"]]


# --- values ---


@each_form
@each_how
async def test_a_convincing_value_is_served(how: str, form: str) -> None:
    first, last = pair(form)
    with listening() as events:
        assert await predict(frugal(first, last), how) == Larger(value=3)
    assert reasons(events) == [("small", "confident")]
    assert (len(first.log), len(last.log)) == (1, 0)


@each_form
@each_how
async def test_a_doubtful_value_is_left_behind_unseen(how: str, form: str) -> None:
    first, last = pair(form, sure=0.1)
    with listening() as events:
        seen = await pieces(frugal(first, last), how)
    assert seen[-1] == Larger(value=4)
    assert Larger(value=3) not in seen
    assert reasons(events) == [("small", "unsure"), ("large", "last_tier")]


@each_form
@each_how
async def test_models_are_asked_sync_or_async_and_only_the_last_for_a_stream(how: str, form: str) -> None:
    first, last = pair(form, sure=0.1)
    await predict(frugal(first, last), how)
    chat = "achat" if how.startswith("a") else "chat"
    assert first.log.hows == [chat]
    assert last.log.hows == [chat.replace("chat", "stream_chat") if "stream" in how else chat]


@each_how
async def test_a_streamed_object_grows(how: str) -> None:
    class Writing(Fake):
        def _pieces(self, response: ChatResponse) -> Any:
            for piece in super()._pieces(response):
                yield piece.model_copy(update={"message": ChatMessage('{"value":', role="assistant")})
                yield piece

    if "stream" in how:
        last = Writing(model="large", reply=as_text(4), tools=False)
        first = small(as_text("x"), tools=False)
        begun, whole = await pieces(frugal(first, last), how)
        assert getattr(begun, "value", None) is None
        assert whole == Larger(value=4)


@each_how
async def test_a_scorer_sees_the_value_the_schema_and_the_words(how: str) -> None:
    seen: list[tuple[Query, Answer]] = []

    def score(query: Query, answer: Answer) -> float:
        seen.append((query, answer))
        return 1.0

    first, last = pair("text")
    await predict(frugal(first, last, scorer=score, system_prompt=None), how)
    ((query, answer),) = seen
    assert query.text == "Which is the larger of 3 and 4?"
    assert query.response_format == Larger.model_json_schema()
    assert (answer.parsed, answer.text) == (Larger(value=3), as_text(3))
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.estimated) == (4, False)


class Native(Fake):
    """Has structured prediction of its own, as OpenAI's models do."""

    def structured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any) -> Any:
        self._answer("native", [], {})
        response = self.chat(prompt.format_messages(**prompt_args), response_format=output_cls, **(llm_kwargs or {}))
        return output_cls.model_validate_json(response.message.content)

    async def astructured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any) -> Any:
        self._answer("native", [], {})
        response = await self.achat(prompt.format_messages(**prompt_args), response_format=output_cls, **(llm_kwargs or {}))
        return output_cls.model_validate_json(response.message.content)

    def _structured_stream_call(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any) -> Any:
        self._answer("native", [], {})
        responses = self.stream_chat(prompt.format_messages(**prompt_args), response_format=output_cls, **(llm_kwargs or {}))

        def objects() -> Generator[Any, None, None]:
            for response in responses:
                if response.raw["usage"]:
                    yield output_cls.model_validate_json(response.message.content)

        return objects()

    async def _structured_astream_call(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any) -> Any:
        self._answer("native", [], {})
        messages = prompt.format_messages(**prompt_args)
        responses = await self.astream_chat(messages, response_format=output_cls, **(llm_kwargs or {}))

        async def objects() -> AsyncGenerator[Any, None]:
            async for response in responses:
                if response.raw["usage"]:
                    yield output_cls.model_validate_json(response.message.content)

        return objects()


@each_how
@pytest.mark.parametrize("sure", [0.9, 0.1], ids=["accepted", "escalated"])
async def test_each_model_is_asked_by_its_own_method(how: str, sure: float) -> None:
    first = Native(model="small", reply=as_text(3), sure=sure)
    last = Native(model="large", reply=as_text(4))
    with listening() as events:
        assert await predict(frugal(first, last), how) == Larger(value=3 if sure > 0.5 else 4)
    for model in [first] if sure > 0.5 else [first, last]:
        assert model.log.hows[0] == "native"
        assert model.log.calls[1].kwargs["response_format"] is Larger
    (decision,) = decisions(events)
    assert decision["cost_usd"] == pytest.approx(SMALL_USD if sure > 0.5 else SMALL_USD + LARGE_USD)


@each_how
async def test_real_models_write_by_the_schema(how: str) -> None:
    models = [PlaygroundLLM(model="playground-small"), PlaygroundLLM(model="playground-large")]
    llm = frugal(*models, prices={}, threshold=0.999)
    with listening() as events:
        value = await predict(llm, how, prompt=PromptTemplate("What is {sum}?"), sum="2 plus 3")
    assert value == await predict(models[-1], how, prompt=PromptTemplate("What is {sum}?"), sum="2 plus 3")
    assert reasons(events)[0][0] == "playground-small"


# --- what cannot be parsed ---


@each_form
@each_how
async def test_what_cannot_be_parsed_is_escalated_however_sure_the_model_is(how: str, form: str) -> None:
    first, last = pair(form, first="no number")
    with listening() as events:
        assert await predict(frugal(first, last), how) == Larger(value=4)
    assert reasons(events) == [("small", "invalid"), ("large", "last_tier")]
    (decision,) = decisions(events)
    assert decision["cost_usd"] == pytest.approx(SMALL_USD + LARGE_USD)
    assert "value" in decision["steps"][0]["error"]


@each_how
@pytest.mark.parametrize("tools", [True, False])
async def test_words_where_a_value_was_wanted_are_escalated(how: str, tools: bool) -> None:
    first, last = small("I would rather not.", tools=tools), pair("tool call")[1]
    with listening() as events:
        assert await predict(frugal(first, last), how) == Larger(value=4)
    assert reasons(events) == [("small", "invalid"), ("large", "last_tier")]


@each_form
@each_whole
@pytest.mark.parametrize("sure", [0.9, 0.1])
async def test_the_last_models_failure_rises_as_its_own(how: str, form: str, sure: float) -> None:
    first, last = pair(form, first="no", last="no number", sure=sure)
    with pytest.raises(ValueError) as alone:
        await predict(pair(form, last="no number")[1], how)
    with pytest.raises(ValueError) as wrapped:
        await predict(frugal(first, last), how)
    assert type(wrapped.value) is type(alone.value)
    assert str(wrapped.value) == str(alone.value)
    assert len(last.log) == 1


@each_whole
async def test_the_failure_of_a_native_method_rises_as_its_own(how: str) -> None:
    llm = frugal(Native(model="small", reply="no"), Native(model="large", reply="no"))
    with pytest.raises(ValidationError, match="Invalid JSON"):
        await predict(llm, how)


@each_form
@pytest.mark.parametrize("how", HOWS[2:])
async def test_a_streamed_value_of_the_last_model_is_as_it_streams_it_itself(how: str, form: str) -> None:
    first, last = pair(form, first="no", last="no number")
    wrapped, alone = await pieces(frugal(first, last), how), await pieces(pair(form, last="no number")[1], how)
    assert [piece.model_dump() for piece in wrapped] == [piece.model_dump() for piece in alone]


@each_whole
async def test_a_models_own_failure_before_it_has_answered_is_no_value_that_cannot_be_parsed(how: str) -> None:
    last = pair("tool call")[1]
    with pytest.raises(TypeError, match="no such argument"):
        await predict(frugal(small(TypeError("no such argument")), last), how)
    assert len(last.log) == 0


@each_how
async def test_a_failure_that_the_next_model_may_mend_is_escalated(how: str) -> None:
    with listening() as events:
        assert await predict(frugal(small(TimeoutError("slow")), pair("tool call")[1]), how) == Larger(value=4)
    assert reasons(events) == [("small", "failed"), ("large", "last_tier")]


# --- what the caller gave stays as it is ---


@each_form
@each_how
@pytest.mark.parametrize(
    "make", [PromptTemplate, lambda text: ChatPromptTemplate([ChatMessage(text)])], ids=["text", "messages"]
)
async def test_the_callers_prompt_stays_as_it_is(how: str, form: str, make: Any) -> None:
    prompt = make(QUESTION)
    before = dict(prompt.__dict__)
    first, last = pair(form, sure=0.1)
    await predict(frugal(first, last), how, prompt=prompt)
    assert prompt.output_parser is None
    assert prompt.__dict__ == before
    (asked,) = (call.messages for call in last.log.calls)
    assert asked[-1].content.startswith("Which is the larger of 3 and 4?")
    assert asked[-1].content.count("schema") == first.log.calls[0].messages[-1].content.count("schema")


@each_form
@each_how
async def test_the_callers_arguments_reach_each_model_and_stay_as_they_are(how: str, form: str) -> None:
    given = {"temperature": 0.2, "stop": ["\n"]}
    if form == "tool call":
        given |= {"tool_choice": "auto", "tool_required": False, "allow_parallel_tool_calls": True}  # which programs take out
    before = {name: list(value) if isinstance(value, list) else value for name, value in given.items()}
    first, last = pair(form, sure=0.1)
    await predict(frugal(first, last), how, given)
    assert given == before
    for model in (first, last):
        assert (model.log.calls[0].kwargs["temperature"], model.log.calls[0].kwargs["stop"]) == (0.2, ["\n"])


# --- the wrapper's own settings ---


@each_how
async def test_a_system_prompt_of_the_wrapper_reaches_each_model_once_and_changes_none(how: str) -> None:
    first, last = pair("text", sure=0.1)
    llm = frugal(first, last)
    llm.system_prompt = "Be brief."
    await predict(llm, how)
    for model in (first, last):
        assert [message.content for message in model.log.calls[0].messages if message.role == "system"] == ["Be brief."]
        assert model.system_prompt is None
    llm.system_prompt = None
    await predict(llm, how)
    assert all(message.role != "system" for message in last.log.calls[1].messages)


async def test_a_system_prompt_may_be_given_at_once() -> None:
    first, last = pair("text", sure=0.1)
    llm = frugal(first, last, system_prompt="Be brief.")  # no warning: this is what was meant
    assert llm.structured_predict(Larger, PromptTemplate(QUESTION), numbers="3 and 4") == Larger(value=4)
    assert last.log.calls[0].messages[0].content == "Be brief."


@each_how
async def test_the_mode_of_the_wrapper_is_that_of_the_models(how: str) -> None:
    says = small(as_text("no"), sure=0.9), large(as_text(4))  # they could take tools
    llm = frugal(*says, pydantic_program_mode=PydanticProgramMode.LLM)
    assert await predict(llm, how) == Larger(value=4)
    later = frugal(*says)
    later.pydantic_program_mode = PydanticProgramMode.LLM  # as Settings.pydantic_program_mode does
    assert await predict(later, how) == Larger(value=4)
    assert all("tools" not in call.kwargs for model in says for call in model.log.calls)
    assert all(model.pydantic_program_mode == PydanticProgramMode.DEFAULT for model in says)


async def test_models_keep_modes_of_their_own_unless_the_wrapper_has_one() -> None:
    first, last = pair("text", sure=0.1)
    first = small(as_text(3), sure=0.1, pydantic_program_mode=PydanticProgramMode.LLM)
    assert await frugal(first, last).astructured_predict(Larger, PromptTemplate(QUESTION), numbers="3 and 4") == Larger(value=4)
    assert "tools" not in first.log.calls[0].kwargs


# --- what it costs ---


class Retrying(Fake):
    """Asks twice for a value, as programs that mend their answers do."""

    def structured_predict(self, *args: Any, **kwargs: Any) -> Any:
        self.chat([ChatMessage("first try")])
        return super().structured_predict(*args, **kwargs)

    async def astructured_predict(self, *args: Any, **kwargs: Any) -> Any:
        await self.achat([ChatMessage("first try")])
        return await super().astructured_predict(*args, **kwargs)


@each_whole
@pytest.mark.parametrize("sure", [0.9, 0.1], ids=["accepted", "escalated"])
async def test_every_call_for_a_value_is_charged(how: str, sure: float) -> None:
    first = Retrying(model="small", reply=as_text(3), sure=sure, tools=False)
    with listening() as events:
        await predict(frugal(first, pair("text")[1]), how)
    (decision,) = decisions(events)
    assert decision["cost_usd"] == pytest.approx(2 * SMALL_USD if sure > 0.5 else 2 * SMALL_USD + LARGE_USD)
    assert decision["steps"][0]["input_tokens"] == 8


@each_whole
async def test_a_value_is_judged_by_the_models_last_words(how: str) -> None:
    def reply(messages: list[ChatMessage]) -> str:
        return "Let me think." if messages[-1].content == "first try" else as_text(3)

    seen: list[str] = []

    def score(query: Query, answer: Answer) -> float:
        seen.append(answer.text)
        return 1.0

    await predict(frugal(Retrying(model="small", reply=reply, tools=False), large(), scorer=score), how)
    assert seen == [as_text(3)]


@each_form
@each_how
async def test_concurrent_values_are_charged_each_for_itself(how: str, form: str) -> None:
    first, last = pair(form, sure=0.1)
    llm = frugal(first, last)
    with listening() as events:
        if how.startswith("a"):
            await asyncio.gather(*(predict(llm, how) for _ in range(4)))
        else:
            await asyncio.gather(*(asyncio.to_thread(asyncio.run, predict(llm, how)) for _ in range(4)))
    assert [decision["cost_usd"] for decision in decisions(events)] == [pytest.approx(SMALL_USD + LARGE_USD)] * 4


async def test_what_a_reader_of_a_stream_asks_meanwhile_is_not_charged() -> None:
    other = small("unrelated")
    llm = frugal(*pair("tool call", sure=0.1))
    with listening() as events:
        for _ in llm.stream_structured_predict(Larger, PromptTemplate(QUESTION), numbers="3 and 4"):
            other.chat([ChatMessage("hi")])
        async for _ in await llm.astream_structured_predict(Larger, PromptTemplate(QUESTION), numbers="3 and 4"):
            await other.achat([ChatMessage("hi")])
    assert len(other.log) == 2
    assert [decision["cost_usd"] for decision in decisions(events)] == [pytest.approx(SMALL_USD + LARGE_USD)] * 2


@each_how
async def test_a_wrapper_within_a_wrapper_is_charged_as_well(how: str) -> None:
    inner = frugal(*pair("tool call", sure=0.1))
    outer = frugal(inner, prices={"small > large": (1.0, 1.0)})
    with listening() as events:
        assert await predict(outer, how) == Larger(value=4)
    within, around = decisions(events)
    assert within["cost_usd"] == pytest.approx(SMALL_USD + LARGE_USD)
    assert around["steps"][0]["input_tokens"] == 8
    assert not around["steps"][0]["estimated"]


# --- as_structured_llm ---


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # core's own streams use it
@pytest.mark.parametrize("how", ["chat", "achat", "stream_chat", "astream_chat", "complete", "acomplete"])
@pytest.mark.parametrize(("first", "expected"), [(3, 3), ("no number", 4)], ids=["accepted", "escalated"])
async def test_a_structured_llm_cascades(how: str, first: Any, expected: int) -> None:
    llm = frugal(*pair("tool call", first=first)).as_structured_llm(Larger)
    reply = getattr(llm, how)("3 and 4" if "complete" in how else [ChatMessage("3 and 4, with {braces}")])
    if how.startswith("a"):
        reply = await reply
    if "stream" in how:
        reply = ([piece async for piece in reply] if how.startswith("a") else list(reply))[-1]
    if "complete" in how:
        assert json.loads(reply.text) == {"value": expected}
    else:
        assert reply.raw == Larger(value=expected)
        assert json.loads(reply.message.content) == {"value": expected}


@each_how
async def test_a_routed_value_is_the_chosen_models(how: str) -> None:
    first, last = pair("tool call")
    with listening() as events:
        assert await predict(frugal(first, last, policy=Single(0)), how) == Larger(value=3)
    assert reasons(events) == [("small", "routed")]
    assert len(last.log) == 0
