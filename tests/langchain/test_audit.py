"""A share of the queries also goes to the reference, where no caller waits for it, hears of it or is harmed by it."""

from __future__ import annotations

import asyncio
import json
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel, PrivateAttr

from frugal_core.agreement import numeric
from frugal_core.playground.questions import generate
from langchain_frugal import Audit, Audited, Cascade, ChatFrugal, ConfigurationError, FrugalWarning, Single, record
from langchain_frugal._auditing import TAG
from langchain_frugal.playground import ChatPlayground
from lc import (
    GRAPH_WAYS,
    HOWS,
    Fake,
    Recorder,
    accepting,
    ask,
    calls_tool,
    collect,
    decision,
    escalating,
    frugal,
    heard_by,
    large,
    reasons,
    small,
)
from openai_shapes import PRICES

each_way = pytest.mark.parametrize("how", HOWS)
REFERENCE_USD = 6e-5  # of a fake's call, of 4 tokens in and 2 out


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def awaited(how: str) -> bool:
    return how.startswith("a")


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
    answer = await asked(llm, audit, how, [HumanMessage("hi")], stop=["!"])
    assert answer.text == "the small answer"
    assert decision(answer)["policy"] == "cascade"
    (served,), (reference,) = first.log.calls, last.log.calls
    assert reference.how == ("ainvoke" if awaited(how) else "invoke")
    assert reference.messages == served.messages
    assert reference.kwargs == {"stop": ["!"]}
    report = audit.report()
    assert (report.audited, report.losses, report.cost_usd) == (1, 1.0, pytest.approx(REFERENCE_USD))


@each_way
async def test_what_the_reference_has_answered_costs_no_further_call(how: str, tmp_path: Path) -> None:
    audit = Audit(0.5, 1, path=tmp_path / "audit.jsonl")
    llm, first, last = escalating(audit=audit)
    answer = await asked(llm, audit, how)
    assert answer.text == "the large answer"
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

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        assert self._go.wait(20)
        return super()._generate(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        assert await asyncio.to_thread(self._go.wait, 20)
        return await super()._agenerate(*args, **kwargs)


@each_way
async def test_nobody_waits_for_it(how: str) -> None:
    audit = Audit(0.5, 1)
    last = Slow(model="large", reply="the small answer")
    answer = await ask(frugal(small(), last, audit=audit), how)
    assert answer.text == "the small answer"
    assert (audit.report().pending, audit.report().audited) == (1, 0)
    last._go.set()
    assert await audit.adrain(20)
    assert (audit.report().audited, audit.report().losses) == (1, 0)


class AsyncOnly(Fake):
    """Has no sync form."""

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError("async only")


@pytest.mark.parametrize("how", ["ainvoke", "astream", "abatch"])
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
    assert answer.text == "the large answer"
    assert reasons(answer) == [("large", "audit_alarm")]
    assert decision(answer)["policy"] == "audited"
    assert len(first.log) == calls
    assert last.log.hows[-1] == {"batch": "invoke", "abatch": "ainvoke"}.get(how, how)
    audit.reset()
    assert reasons(await asked(llm, audit, how)) == [("small", "confident")]


@each_way
async def test_the_caller_s_listeners_do_not_hear_it(how: str) -> None:
    audit, in_config, in_wrapper, of_model = Audit(0.5, 1), Recorder(), Recorder(), Recorder()
    llm = frugal(small(), large(callbacks=[of_model]), audit=audit, callbacks=[in_wrapper])
    with get_usage_metadata_callback() as counter:
        await asked(llm, audit, how, config=heard_by(in_config, tags=["mine"]))
    assert in_config.models == in_wrapper.models == ["small"]
    assert list(counter.usage_metadata) == ["small"]
    (run,) = of_model.of("chat")
    assert (run.tags, run.parent) == ([TAG], None)


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


@pytest.mark.parametrize("how", GRAPH_WAYS)
async def test_nothing_leaks_into_a_graph_s_message_stream(how: str) -> None:
    audit = Audit(0.5, 1)
    llm, _, last = accepting(audit=audit)

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": llm.invoke(state["messages"])}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": await llm.ainvoke(state["messages"])}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", node if how == "sync" else anode)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", END)
    graph: Any = builder.compile()
    given: Any = {"messages": [HumanMessage("hi")]}
    pieces = (
        list(graph.stream(given, stream_mode="messages"))
        if how == "sync"
        else await collect(graph.astream(given, stream_mode="messages"))
    )
    assert await audit.adrain(20)
    assert "".join(piece.text for piece, _ in pieces) == "the small answer"
    assert len(last.log) == 1


async def test_nothing_leaks_into_streamed_events() -> None:
    audit = Audit(0.5, 1)
    llm, _, last = accepting(audit=audit)
    chain: Any = RunnableLambda(lambda text: text) | llm
    events = await collect(chain.astream_events("hi", version="v2"))
    assert await audit.adrain(20)
    assert len(last.log) == 1
    assert [event["metadata"]["ls_model_name"] for event in events if event["event"] == "on_chat_model_start"] == ["small"]


@each_way
async def test_a_failing_reference_harms_nobody(how: str) -> None:
    audit = Audit(0.5, 1)
    llm = frugal(small(), large(ConnectionError("the line is dead")), audit=audit)
    with pytest.warns(FrugalWarning, match="the line is dead") as heard:
        answers = await several(llm, audit, how, "one", "two")
    assert [answer.text for answer in answers] == ["the small answer"] * 2
    assert len(heard) == 1
    assert (audit.report().failures, audit.report().audited) == (2, 0)


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_each_of_a_batch_has_its_own_chance(how: str, tmp_path: Path) -> None:
    audit = Audit(0.9, 0.5, seed=3, path=tmp_path / "audit.jsonl")
    llm = frugal(small(lambda messages: messages[0].text), large("b"), audit=audit)
    inputs: list[Any] = list("abababababababab")
    messages = llm.batch(inputs) if how == "batch" else await llm.abatch(inputs)
    assert [message.text for message in messages] == inputs
    assert await audit.adrain(20)
    report = audit.report()
    assert (report.requests, 0 < report.audited < 16) == (16, True)
    served = [row for row in rows_of(tmp_path / "audit.jsonl") if "audit" in row]
    assert report.losses == sum(row["query"] == "a" for row in served)
    audit.close()


@pytest.mark.parametrize(("args", "loss"), [({"city": "Rome"}, 0), ({"city": "Oslo"}, 1)])
@each_way
async def test_tool_calls_are_compared_by_name_and_arguments(how: str, args: dict[str, Any], loss: float) -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        return city

    audit = Audit(0.5, 1)
    first, last = small(calls_tool("weather", {"city": "Rome"}, "call_1")), large(calls_tool("weather", args, "call_2"))
    llm = frugal(first, last, audit=audit).bind_tools([weather])
    assert (await asked(llm, audit, how)).tool_calls[0]["args"] == {"city": "Rome"}
    assert last.log.calls[0].kwargs["tools"] == first.log.calls[0].kwargs["tools"]
    assert (audit.report().audited, audit.report().losses) == (1, loss)


class Larger(BaseModel):
    """The larger number."""

    value: int


@pytest.mark.parametrize(("value", "loss"), [(3, 0), (4, 1)])
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "batch", "abatch"])
async def test_structured_values_are_compared(how: str, value: int, loss: float) -> None:
    audit = Audit(0.5, 1)
    first, last = small(calls_tool("Larger", {"value": 3})), large(calls_tool("Larger", {"value": value}))
    llm = frugal(first, last, audit=audit).with_structured_output(Larger)
    assert await asked(llm, audit, how) == Larger(value=3)
    assert (audit.report().audited, audit.report().losses) == (1, loss)


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_an_agent_s_steps_are_audited(how: str) -> None:
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    def reply(messages: list[Any]) -> Any:
        return "It is sunny." if messages[-1].type == "tool" else calls_tool("weather", {"city": "Rome"})

    audit = Audit(0.5, 1)
    first, last = small(reply), large(reply)
    agent = create_agent(frugal(first, last, audit=audit), [weather])
    given: Any = {"messages": [HumanMessage("weather in Rome?")]}
    state = agent.invoke(given) if how == "invoke" else await agent.ainvoke(given)
    assert await audit.adrain(20)
    assert state["messages"][-1].text == "It is sunny."
    assert sorted(len(call.messages) for call in last.log.calls) == [1, 3]
    assert (audit.report().audited, audit.report().losses) == (2, 0)


@each_way
async def test_what_the_caller_changes_afterwards_does_not_reach_it(how: str) -> None:
    audit = Audit(0.5, 1)
    last = Slow(model="large", reply=lambda messages: str(len(messages)))
    messages = [HumanMessage("hi")]
    await ask(frugal(small("1"), last, audit=audit), how, messages)
    messages.append(HumanMessage("more"))
    last._go.set()
    assert await audit.adrain(20)
    assert audit.report().losses == 0


async def test_a_configurable_model_is_asked_as_configured() -> None:
    audit = Audit(0.5, 1)
    last = large(lambda messages: "plain").configurable_alternatives(
        ConfigurableField(id="dialect"), default_key="plain", other=large("other")
    )
    llm = frugal(small("other"), last, audit=audit, prices={"small": (1, 1), "RunnableConfigurableAlternatives": (1, 1)})
    await asked(llm, audit, "invoke", config={"configurable": {"dialect": "other"}})
    assert audit.report().losses == 0


def test_copies_are_audited_together() -> None:
    audit = Audit(0.9, 1)
    llm, _, _ = accepting(audit=audit)
    configurable = llm.configurable_fields(temperature=ConfigurableField(id="temperature"))
    copies: list[Any] = [llm.model_copy(), llm.bind(stop=["x"]), llm.with_config(tags=["t"])]
    copies += [llm.model_copy(update={"temperature": 0.5}), configurable.with_config(configurable={"temperature": 0.3})]
    for one in copies:
        one.invoke("hi")
    assert audit.drain(20)
    assert audit.report().audited == len(copies)
    assert "Audit" in repr(llm)
    assert "not_implemented" in dumps(llm), "as ever: it holds clients"


def test_an_audit_goes_with_any_policy() -> None:
    audit, policy = Audit(0.5), Cascade(threshold=0.5)
    first, last = small(), large()
    assert frugal(first, last, policy=policy, audit=audit).policy_in_use == Audited(policy, audit)
    assert frugal(first, last, policy=Audited(Single(0), audit)).invoke("hi").text == "the small answer"
    assert audit.report().requests == 1
    with pytest.raises(ConfigurationError, match="must be an Audit"):
        frugal(first, last, audit=0.05)
    with pytest.raises(ConfigurationError, match="not audited yet"):
        frugal(first, last, policy=Audited(policy, audit), audit=audit)


async def test_answers_cached_before_the_alarm_are_not_served_after_it() -> None:
    audit = Audit(0.2, 1)
    llm, _, _ = accepting(audit=audit, cache=InMemoryCache())
    for _ in range(2):
        assert (await asked(llm, audit, "invoke", "known")).text == "the small answer"
    assert (audit.report().requests, audit.report().audited) == (1, 1)
    with pytest.warns(FrugalWarning):
        await several(llm, audit, "invoke", *map(str, range(20)))
    assert (await asked(llm, audit, "invoke", "known")).text == "the large answer"


async def test_a_program_that_starts_again_stays_alarmed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(0.2, 1, path=path)
    llm, _, _ = accepting(audit=audit)
    with pytest.warns(FrugalWarning):
        await until_alarm(llm, audit, "invoke")
    audit.close()
    with pytest.warns(FrugalWarning, match="goes on with an alarm"):
        audit = Audit(0.2, 1, path=path)
    llm, first, _ = accepting(audit=audit)
    assert reasons(llm.invoke("hi")) == [("large", "audit_alarm")]
    assert len(first.log) == 0
    audit.close()


def test_playground_models_are_found_to_differ_where_they_do(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    questions = [question.text for question in generate(12, seed=3)]
    first, last = ChatPlayground(model="playground-small"), ChatPlayground(model="playground-large")
    prices = {"playground-small": (0.1, 0.1), "playground-large": (1.0, 1.0)}
    audit = Audit(0.9, 1, compare="numeric", path=path)
    llm = ChatFrugal(models=[first, last], threshold=0.9, prices=prices, audit=audit)
    served = [llm.invoke(question) for question in questions]
    assert audit.drain(60)
    differ = 0
    for question, message in zip(questions, served, strict=True):
        reference = last.invoke(question).text
        differ += not (numeric(message.text, reference) or message.text == reference)
    report = audit.report()
    assert (report.audited, report.losses) == (12, differ)
    assert report.cost_usd is not None
    assert report.cost_usd > 0
    read = audit.recordings()
    assert sorted(read.models) == ["playground-large", "playground-small"]
    assert read.present.all()
    assert "margin" in read.signals
    audit.close()


def test_record_adds_the_models_that_were_not_asked(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    models = [small("so"), small("no").model_copy(update={"model": "mid"}), large("so")]
    audit = Audit(0.5, 1, path=path)
    llm = frugal(*models, audit=audit)
    for text in ("one", "two"):
        llm.invoke(text)
    assert audit.drain(20)
    audit.close()
    done = record(models, ["one", "two"], path, prices=PRICES, progress=False)
    assert done.calls == 2
    read = audit.recordings()
    assert read.present.all()
    assert {name: column.tolist() for name, column in zip(read.models, read.correct.T, strict=True)} == {
        "large": [1, 1],
        "small": [1, 1],
        "mid": [0, 0],
    }
    again = Audit(0.5, 1, path=path)
    assert (again.report().audited, again.report().losses) == (2, 0)
    again.close()
