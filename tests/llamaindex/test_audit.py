"""A share of the queries also goes to the reference, where no caller waits for it, hears of it or is harmed by it."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.instrumentation.events.llm import LLMChatStartEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel

from frugal_core.agreement import numeric
from frugal_core.playground.questions import generate
from li import HOWS, Fake, accepting, ask, calls_tool, counting, decision, escalating, frugal, large, listening, reasons, small
from llamaindex_frugal import Audit, Audited, Cascade, ConfigurationError, FrugalLLM, FrugalWarning, Single
from llamaindex_frugal.playground import PlaygroundLLM

each_way = pytest.mark.parametrize("how", HOWS)
CHATS = HOWS[:4]
REFERENCE_USD = 6e-5  # of a fake's call, of 4 tokens in and 2 out


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def text_of(response: Any) -> str:
    return response.message.content if isinstance(response, ChatResponse) else response.text


async def asked(llm: Any, audit: Audit, how: str, *args: Any, **kwargs: Any) -> Any:
    """One answer, once its audit is over."""
    answer = await ask(llm, how, *args, **kwargs)
    assert await audit.adrain(20)
    return answer


async def until_alarm(llm: Any, audit: Audit, how: str) -> None:
    while not audit.alarm:
        await asked(llm, audit, how)


async def several(llm: Any, audit: Audit, how: str, *texts: str) -> list[Any]:
    return [await asked(llm, audit, how, text) for text in texts]


@each_way
async def test_the_reference_is_asked_the_same(how: str) -> None:
    audit = Audit(0.5, 1)
    llm, first, last = accepting(audit=audit)
    answer = await asked(llm, audit, how, stop=["!"])
    assert text_of(answer) == "the small answer"
    assert decision(answer)["policy"] == "cascade"
    (served,), (reference,) = first.log.calls, last.log.calls
    assert reference.how == ("achat" if how.startswith("a") else "chat")
    assert reference.messages == served.messages
    assert reference.kwargs == {"stop": ["!"]}
    report = audit.report()
    assert (report.audited, report.losses, report.cost_usd) == (1, 1.0, pytest.approx(REFERENCE_USD))


@each_way
async def test_what_the_reference_has_answered_costs_no_further_call(how: str, tmp_path: Path) -> None:
    audit = Audit(0.5, 1, path=tmp_path / "audit.jsonl")
    llm, first, last = escalating(audit=audit)
    assert text_of(await asked(llm, audit, how)) == "the large answer"
    assert (len(first.log), len(last.log)) == (1, 1)
    assert (audit.report().losses, audit.report().cost_usd) == (0, 0)
    rows = rows_of(tmp_path / "audit.jsonl")
    assert [(row["model"], row["answer"], row["correct"]) for row in rows] == [
        ("small", "SECRET draft words", 0.0),
        ("large", "the large answer", 1.0),
    ]
    assert rows[0]["margin"] == pytest.approx(0.1)
    audit.close()


class Slow(Fake):
    """Answers when it is told to."""

    _go: threading.Event = PrivateAttr(default_factory=threading.Event)

    @llm_chat_callback()
    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        assert self._go.wait(20)
        return self._answer("chat", messages, kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        assert await asyncio.to_thread(self._go.wait, 20)
        return self._answer("achat", messages, kwargs)


@each_way
async def test_nobody_waits_for_it(how: str) -> None:
    audit = Audit(0.5, 1)
    last = Slow(model="large", reply="the small answer")
    assert text_of(await ask(frugal(small(), last, audit=audit), how)) == "the small answer"
    assert (audit.report().pending, audit.report().audited) == (1, 0)
    last._go.set()
    assert await audit.adrain(20)
    assert (audit.report().audited, audit.report().losses) == (1, 0)


class AsyncOnly(Fake):
    """Has no sync form."""

    @llm_chat_callback()
    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        raise NotImplementedError("async only")


@pytest.mark.parametrize("how", ["achat", "astream_chat", "acomplete"])
async def test_a_model_that_only_works_async(how: str) -> None:
    audit = Audit(0.5, 1)
    await asked(frugal(small(), AsyncOnly(model="large"), audit=audit), audit, how)
    assert (audit.report().audited, audit.report().failures) == (1, 0)


@each_way
async def test_after_the_alarm_only_the_reference_is_asked_and_streams_live(how: str) -> None:
    audit = Audit(0.2, 1)
    llm, first, last = accepting(audit=audit)
    with pytest.warns(FrugalWarning, match="only the reference is asked"):
        await until_alarm(llm, audit, how)
    calls = len(first.log)
    answer = await asked(llm, audit, how)
    assert text_of(answer) == "the large answer"
    assert reasons(answer) == [("large", "audit_alarm")]
    assert decision(answer)["policy"] == "audited"
    assert len(first.log) == calls
    assert last.log.hows[-1] == how.replace("complete", "chat")
    audit.reset()
    assert reasons(await asked(llm, audit, how)) == [("small", "confident")]


@each_way
async def test_the_caller_s_callbacks_do_not_hear_it(how: str) -> None:
    audit = Audit(0.5, 1)
    manager, counter = counting()
    llm, _, last = accepting(audit=audit, callback_manager=manager)
    await asked(llm, audit, how)
    assert len(last.log) == 1
    assert len(counter.llm_token_counts) == 1
    assert last.callback_manager is manager, "the model's own stays"


@pytest.mark.parametrize("how", HOWS[:2])
async def test_its_span_is_no_child_of_the_caller_s(how: str) -> None:
    audit = Audit(0.5, 1)
    llm, _, _ = accepting(audit=audit)
    spans, root = SimpleSpanHandler(), get_dispatcher()
    root.add_span_handler(spans)
    try:
        with listening() as heard:
            await asked(llm, audit, how)
    finally:
        root.span_handlers.remove(spans)
    parents = {span.id_.split(".")[0]: span.parent_id for span in spans.completed_spans}
    assert parents == {"FrugalLLM": None, "Fake": None}, "the audit's span ends last"
    assert any(str(span.parent_id).startswith("FrugalLLM") for span in spans.completed_spans)
    starts = [event for event in heard if isinstance(event, LLMChatStartEvent)]
    assert [event.model_dict["model_name"] for event in starts] == ["small", "large"]


WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


@each_way
async def test_it_runs_in_an_empty_context(how: str) -> None:
    seen: list[str] = []
    audit = Audit(0.5, 1)
    llm = frugal(small(), large(lambda messages: seen.append(WHO.get()) or "so"), audit=audit)
    token = WHO.set("the caller")
    await asked(llm, audit, how)
    WHO.reset(token)
    assert seen == ["nobody"]


@each_way
async def test_a_failing_reference_harms_nobody(how: str) -> None:
    audit = Audit(0.5, 1)
    llm = frugal(small(), large(ConnectionError("the line is dead")), audit=audit)
    with pytest.warns(FrugalWarning, match="the line is dead") as heard:
        answers = await several(llm, audit, how, "one", "two")
    assert list(map(text_of, answers)) == ["the small answer"] * 2
    assert len(heard) == 1
    assert (audit.report().failures, audit.report().audited) == (2, 0)


def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


TOOL = FunctionTool.from_defaults(weather)


@pytest.mark.parametrize(("args", "loss"), [({"city": "Rome"}, 0), ({"city": "Oslo"}, 1)])
@pytest.mark.parametrize("how", CHATS)
async def test_tool_calls_are_compared_by_name_and_arguments(how: str, args: dict[str, Any], loss: float) -> None:
    audit = Audit(0.5, 1)
    first, last = small(calls_tool("weather", {"city": "Rome"}, "call_1")), large(calls_tool("weather", args, "call_2"))
    llm = frugal(first, last, audit=audit)
    await asked(llm, audit, how, tools=[TOOL])
    assert last.log.calls[0].kwargs["tools"] == first.log.calls[0].kwargs["tools"]
    assert (audit.report().audited, audit.report().losses) == (1, loss)


class Larger(BaseModel):
    """The larger number."""

    value: int


def as_call(value: int) -> ChatMessage:
    """A tool call as OpenAI's integration gives it."""
    message = calls_tool("Larger", {"value": value})
    message.additional_kwargs["tool_calls"] = [{"id": "call_1"}]
    return message


@pytest.mark.parametrize(("value", "loss"), [(3, 0), (4, 1)])
@pytest.mark.parametrize("how", ["structured_predict", "astructured_predict"])
async def test_structured_values_are_compared(how: str, value: int, loss: float) -> None:
    audit = Audit(0.5, 1)
    llm = frugal(small(as_call(3)), large(as_call(value)), audit=audit)
    reply = getattr(llm, how)(Larger, PromptTemplate("Which is the larger of 3 and 4?"))
    assert (await reply if how.startswith("a") else reply) == Larger(value=3)
    assert await audit.adrain(20)
    assert (audit.report().audited, audit.report().losses) == (1, loss)


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
async def test_an_agent_s_steps_are_audited() -> None:
    def reply(messages: list[ChatMessage]) -> Any:
        done = messages[-1].role.value == "tool"
        return ChatMessage("It is sunny.", role="assistant") if done else calls_tool("weather", {"city": "Rome"})

    audit = Audit(0.5, 1)
    first, last = small(reply), large(reply)
    output = await FunctionAgent(tools=[TOOL], llm=frugal(first, last, audit=audit)).run("weather in Rome?")
    assert await audit.adrain(20)
    assert str(output) == "It is sunny."
    assert len(last.log) == 2
    assert (audit.report().audited, audit.report().losses) == (2, 0)


@pytest.mark.parametrize("how", CHATS)
async def test_what_the_caller_changes_afterwards_does_not_reach_it(how: str) -> None:
    audit = Audit(0.5, 1)
    last = Slow(model="large", reply=lambda messages: str(len(messages)))
    llm, messages = frugal(small("1"), last, audit=audit), [ChatMessage("hi")]
    reply = getattr(llm, how)(messages)
    reply = await reply if how.startswith("a") else reply
    if "stream" in how:
        _ = [piece async for piece in reply] if how.startswith("a") else list(reply)
    messages.append(ChatMessage("more"))
    last._go.set()
    assert await audit.adrain(20)
    assert audit.report().losses == 0


def test_copies_are_audited_together_and_no_other_process_has_it() -> None:
    audit = Audit(0.9, 1)
    llm, _, _ = accepting(audit=audit)
    copies = [llm.model_copy(), copy.deepcopy(llm), llm.model_copy(update={"temperature": 0.5})]
    for one in copies:
        one.complete("hi")
    llm.threshold = 0.4
    llm.complete("hi")
    assert audit.drain(20)
    assert audit.report().audited == len(copies) + 1
    assert "Audit" in repr(llm)
    assert "audit" not in llm.to_dict()
    with pytest.raises(ConfigurationError, match="cannot be pickled"):
        pickle.dumps(llm)


def test_an_audit_goes_with_any_policy() -> None:
    audit, policy = Audit(0.5), Cascade(threshold=0.5)
    first, last = small(), large()
    assert frugal(first, last, policy=policy, audit=audit).policy_in_use == Audited(policy, audit)
    assert frugal(first, last, policy=Audited(Single(0), audit)).complete("hi").text == "the small answer"
    assert audit.report().requests == 1
    with pytest.raises(ConfigurationError, match="must be an Audit"):
        frugal(first, last, audit=0.05)
    with pytest.raises(ConfigurationError, match="not audited yet"):
        frugal(first, last, policy=Audited(policy, audit), audit=audit)


async def test_a_program_that_starts_again_stays_alarmed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(0.2, 1, path=path)
    llm, _, _ = accepting(audit=audit)
    with pytest.warns(FrugalWarning):
        await until_alarm(llm, audit, "complete")
    audit.close()
    with pytest.warns(FrugalWarning, match="goes on with an alarm"):
        audit = Audit(0.2, 1, path=path)
    llm, first, _ = accepting(audit=audit)
    assert reasons(llm.complete("hi")) == [("large", "audit_alarm")]
    assert len(first.log) == 0
    audit.close()


def test_playground_models_are_found_to_differ_where_they_do(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    questions = [question.text for question in generate(12, seed=3)]
    first, last = PlaygroundLLM(model="playground-small"), PlaygroundLLM(model="playground-large")
    prices = {"playground-small": (0.1, 0.1), "playground-large": (1.0, 1.0)}
    audit = Audit(0.9, 1, compare="numeric", path=path)
    llm = FrugalLLM(models=[first, last], threshold=0.9, prices=prices, audit=audit)
    served = [llm.complete(question) for question in questions]
    assert audit.drain(60)
    differ = 0
    for question, response in zip(questions, served, strict=True):
        reference = last.complete(question).text
        differ += not (numeric(response.text, reference) or response.text == reference)
    report = audit.report()
    assert (report.audited, report.losses) == (12, differ)
    assert report.cost_usd is not None
    assert report.cost_usd > 0
    read = audit.recordings()
    assert sorted(read.models) == ["playground-large", "playground-small"]
    assert read.present.all()
    assert "margin" in read.signals
    audit.close()
