"""Faults of rivals and of LangChain itself that users reported or that we reproduced, each shown not to be here.

Named `test_<who>_<fault>`; numbers are the projects' issue threads.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, messages_from_dict, messages_to_dict
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel, SecretStr

from frugal_core.types import Answer, Query
from langchain_frugal import BudgetedThreshold, Cascade, ChatFrugal, Margin, Price, SchemaValid
from langchain_frugal.playground import ChatPlayground
from lc import (
    GRAPH_WAYS,
    HOWS,
    PRICES,
    USAGE,
    AnthropicFake,
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
    logprobs,
    reasons,
    small,
    wired,
)

each_way = pytest.mark.parametrize("how", HOWS)


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


class Number(BaseModel):
    """A number."""

    value: int


# --- cascadeflow ---


@each_way
async def test_cascadeflow_structured_output_always_raises(how: str) -> None:
    llm = frugal(small(calls_tool("Number", {"value": 7})), large())
    structured: Any = llm.with_structured_output(Number)
    if how in {"stream", "astream"}:
        values = list(structured.stream("hi")) if how == "stream" else await collect(structured.astream("hi"))
        assert values == [Number(value=7)]
    else:
        assert await ask(structured, how) == Number(value=7)


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_cascadeflow_stream_shows_the_rejected_draft(how: str) -> None:
    llm, _, _ = escalating()
    assert (await ask(llm, how)).text == "the large answer"


@pytest.mark.parametrize("how", ["sync", "async"])
async def test_cascadeflow_langgraph_messages_come_twice(how: str) -> None:
    llm, _, _ = accepting()

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": llm.invoke(state["messages"])}

    graph = StateGraph(MessagesState).add_node("ask", node).add_edge(START, "ask").compile()
    asked: Any = {"messages": "hi"}
    stream = graph.stream(asked, stream_mode="messages") if how == "sync" else None
    parts: Any = list(stream) if stream else await collect(graph.astream(asked, stream_mode="messages"))
    assert "".join(message.text for message, _ in parts) == "the small answer"


@each_way
async def test_cascadeflow_inner_runs_are_invisible(how: str) -> None:
    llm, _, _ = escalating()
    recorder = Recorder()
    await ask(llm, how, config=heard_by(recorder))
    assert recorder.models == ["small", "large"]


@each_way
async def test_cascadeflow_one_providers_tools_are_sent_to_the_other(how: str) -> None:
    first, last = AnthropicFake(model="small", sure=0.1), large()
    await ask(frugal(first, last).bind_tools([add]), how)
    (of_first,), (of_last,) = (model.log.calls[0].kwargs["tools"] for model in (first, last))
    assert set(of_first) == {"name", "description", "input_schema"}
    assert set(of_last) == {"type", "function"}


def test_cascadeflow_different_cascades_share_cache_entries() -> None:
    cache = InMemoryCache()
    one, other = frugal(small("one"), large(), cache=cache), frugal(small("other"), large(), cache=cache)
    assert (one.invoke("hi").text, other.invoke("hi").text) == ("one", "other")


@pytest.mark.parametrize("answer", ["Paris.", "42", "No"])
def test_cascadeflow_a_short_answer_is_a_bad_one(answer: str) -> None:
    assert decision(frugal(small(answer, sure=0.9), large()).invoke("hi"))["steps"][0]["score"] == pytest.approx(0.9)


def test_cascadeflow_length_is_taken_for_quality() -> None:
    nonsense = "the same words again and again " * 50
    assert reasons(frugal(small(nonsense, sure=0.1), large()).invoke("hi")) == [("small", "unsure"), ("large", "last_tier")]


@each_way
async def test_cascadeflow_any_tool_call_scores_one(how: str) -> None:
    wish = calls_tool("subtract", {"x": 1})
    llm = frugal(small(wish), large(), scorer=Margin().or_else(SchemaValid()) & SchemaValid()).bind_tools([add])
    assert reasons(await ask(llm, how)) == [("small", "unsure"), ("large", "last_tier")]


def test_cascadeflow_an_unknown_model_costs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(UserWarning, match="No price is known for model 'nameless'"):
        llm = ChatFrugal([Fake(model="nameless")])
    assert decision(llm.invoke("hi"))["cost_usd"] is None
    assert capsys.readouterr() == ("", "")


def test_cascadeflow_the_last_result_is_shared_by_threads() -> None:
    llm = frugal(small(lambda messages: messages[-1].text), large(), scorer=lambda query, answer: int(answer.text) % 2)

    def asked(number: int) -> bool:
        message = llm.invoke(str(number))
        return decision(message)["tier"] == ("small" if number % 2 else "large")

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(asked, range(200)))


@each_way
async def test_cascadeflow_a_failure_of_the_first_model_ends_the_query(how: str) -> None:
    message = await ask(frugal(small(TimeoutError("slow")), large()), how)
    assert message.text == "the large answer"


# --- RouteLLM ---


def test_routellm_20_35_only_two_models() -> None:
    models = [Fake(model="small", sure=0.1), Fake(model="mid", sure=0.9), Fake(model="large")]
    assert reasons(frugal(*models).invoke("hi")) == [("small", "unsure"), ("mid", "confident")]


def test_routellm_19_62_a_key_is_needed_to_import() -> None:
    heavy = ["openai", "langchain_openai", "anthropic", "torch", "transformers", "langgraph", "jsonschema", "matplotlib"]
    code = f"import sys, langchain_frugal; print([name for name in {heavy} if name in sys.modules])"
    paths = [path for path in sys.path if path]
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(paths)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


def test_routellm_36_65_what_a_threshold_means_for_my_traffic() -> None:
    """`call_large` is the share itself."""
    scores = iter([number * 37 % 100 / 100 for number in range(400)])
    llm = ChatFrugal([small(), large()], call_large=0.3, scorer=lambda query, answer: next(scores), prices=PRICES)
    tiers = [decision(message)["tier"] for message in llm.batch(["hi"] * 200)]
    assert tiers.count("large") / 200 == pytest.approx(0.3, abs=0.03)


# --- litellm ---


@each_way
async def test_litellm_35471_only_the_last_message_is_looked_at(how: str) -> None:
    seen: list[Query] = []

    def scorer(query: Query, answer: Answer) -> float:
        seen.append(query)
        return 1.0

    history = [SystemMessage("You prove theorems."), HumanMessage("Prove it."), AIMessage("Shall I?"), HumanMessage("yes")]
    await ask(frugal(small(), large(), scorer=scorer), how, history)
    (query,) = seen
    assert (query.system, query.text) == ("You prove theorems.", "yes")
    assert [(message.role, message.text) for message in query.messages] == [
        ("user", "Prove it."),
        ("assistant", "Shall I?"),
        ("user", "yes"),
    ]


class ContextOverflow(Exception):
    """As a provider says it."""


@each_way
async def test_litellm_38844_the_cheap_models_window_overflows(how: str) -> None:
    known = small(profile={"max_input_tokens": 30})
    assert reasons(await ask(frugal(known, large()), how, "word " * 200))[0] == ("small", "too_long")
    assert len(known.log) == 0
    unknown = small(ContextOverflow("This model's maximum context length is 30 tokens."))
    assert reasons(await ask(frugal(unknown, large()), how, "word " * 200)) == [("small", "failed"), ("large", "last_tier")]


@each_way
async def test_litellm_38078_the_providers_prompt_cache_is_broken(how: str) -> None:
    """Each model sees a conversation grow at its end only, and cached tokens have their own price."""
    first = small(AIMessage("x", usage_metadata={**USAGE, "input_token_details": {"cache_read": 4}}))
    llm = frugal(first, large(), prices={"small": Price(1.0, 1.0, cached_input=0.5), "large": (10, 10)})
    history: list[Any] = [SystemMessage("Be brief."), HumanMessage("one")]
    message = await ask(llm, how, history)
    await ask(llm, how, [*history, message, HumanMessage("two")])
    one, two = (call.messages for call in first.log.calls)
    assert two[: len(one)] == one
    assert decision(message)["cost_usd"] == pytest.approx(4e-6 * 0.5 + 2e-6)


def test_litellm_12234_unrelated_prompts_share_an_answer() -> None:
    llm, first, _ = accepting(cache=InMemoryCache())
    for text in ("Enable 2FA", "Disable 2FA", "enable 2FA", "Enable 2FA."):
        llm.invoke(text)
    assert len(first.log) == 4


# --- GPTCache ---


@each_way
async def test_gptcache_402_usage_and_tool_calls_vanish_through_a_cache(how: str) -> None:
    wish = calls_tool("add", {"a": 1, "b": 2})
    llm = frugal(small(wish), large(), cache=InMemoryCache()).bind_tools([add])
    await ask(llm, how)
    hit = await ask(llm, how)
    assert decision(hit)["cache"] == "hit"
    assert hit.tool_calls == wish.tool_calls
    assert hit.usage_metadata == {**USAGE, "total_cost": 0}


def test_gptcache_8_a_follow_up_question_hits_another_conversation() -> None:
    llm, first, _ = accepting(cache=InMemoryCache())
    for person in ("Ada", "Alan"):
        llm.invoke([HumanMessage(f"Who is {person}?"), AIMessage("A mathematician."), HumanMessage("How old is he?")])
    assert len(first.log) == 2


# --- caches of others, as far as `cache=` goes ---


def test_spring_ai_5256_the_system_prompt_is_ignored() -> None:
    llm, first, _ = accepting(cache=InMemoryCache())
    for system in ("Answer in French.", "Answer in German."):
        llm.invoke([SystemMessage(system), HumanMessage("hi")])
    assert len(first.log) == 2


def test_lightrag_755_1041_an_answer_outlives_its_documents() -> None:
    llm, first, _ = accepting(cache=InMemoryCache())
    for documents in ("Rain today.", "Sun today."):
        llm.invoke([SystemMessage(f"Use these documents: {documents}"), HumanMessage("What is the weather?")])
    assert len(first.log) == 2


def test_langchain_14590_keys_omit_model_tools_and_choice() -> None:
    cache = InMemoryCache()
    first = small()
    asked: list[Any] = [
        frugal(first, large(), cache=cache),
        frugal(first, Fake(model="mid"), cache=cache),
        frugal(first, large(), cache=cache).bind_tools([add]),
        frugal(first, large(), cache=cache).bind_tools([add], tool_choice="any"),
    ]
    for llm in asked * 2:
        llm.invoke("hi")
    assert len(first.log) == len(asked)


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_langchain_13119_23701_streams_ignore_the_cache(how: str) -> None:
    llm, first, _ = accepting(cache=InMemoryCache())
    await ask(llm, how)
    assert decision(await ask(llm, how))["cache"] == "hit"
    assert len(first.log) == 1


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_langchain_27741_agents_ignore_the_cache(how: str) -> None:
    def reply(messages: list[Any]) -> Any:
        return "3" if isinstance(messages[-1], ToolMessage) else calls_tool("add", {"a": 1, "b": 2})

    first = small(reply)
    agent: Any = create_agent(frugal(first, large(), cache=InMemoryCache()), [add])
    asked = {"messages": [HumanMessage("1+2?")]}
    for _ in range(3):
        result = agent.invoke(asked) if how == "invoke" else await agent.ainvoke(asked)
    assert result["messages"][-1].text == "3"
    assert len(first.log) == 2


# --- LangChain's wrappers ---


@each_way
async def test_langchainjs_11372_a_wrapper_drops_callbacks(how: str) -> None:
    llm, _, _ = escalating()
    with get_usage_metadata_callback() as counter:
        await ask(llm, how)
    assert counter.usage_metadata == {"small": USAGE, "large": USAGE}


def test_langchainjs_11372_a_wrapper_degrades_streaming() -> None:
    llm, _, last = escalating()
    stream = llm.stream("hi")
    assert next(stream).text == "the"
    assert last.log.produced == 1
    assert [chunk.text for chunk in stream if chunk.text] == [" large", " answer"]


def test_langchain_22134_28848_35170_tools_and_structures_break_on_wrappers() -> None:
    llm = frugal(small(calls_tool("add", {"a": 1, "b": 2})), large())
    assert llm.bind_tools([add]).invoke("hi").tool_calls
    assert llm.with_fallbacks([large()]).bind_tools([add]).invoke("hi").tool_calls  # type: ignore[attr-defined]
    assert llm.with_structured_output({"title": "add", "description": "", "type": "object", "properties": {}}).invoke("hi") == {
        "a": 1,
        "b": 2,
    }


@each_way
async def test_langsmith_1018_langchain_20277_traces_name_the_wrong_model(how: str) -> None:
    llm, _, _ = escalating()
    recorder = Recorder()
    message = await ask(llm, how, config=heard_by(recorder))
    named = [
        (run.metadata["ls_model_name"], run.output.generations[0][0].message.response_metadata["model_name"])
        for run in recorder.of("chat")
    ]
    assert named == [("small", "small"), ("large", "large")]
    assert message.response_metadata["model_name"] == "large"


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_langchain_25664_what_comes_back_cannot_be_serialized() -> None:
    message = escalating()[0].invoke("hi")
    assert json.loads(json.dumps(decision(message))) == decision(message)
    assert loads(dumps(message), allowed_objects="core") == message
    assert messages_from_dict(messages_to_dict([message])) == [message]
    assert pickle.loads(pickle.dumps(message)) == message
    assert decision(AIMessage.model_validate_json(message.model_dump_json())) == decision(message)


@pytest.mark.parametrize("how", GRAPH_WAYS)
async def test_langgraph_2132_7614_inner_calls_leak_into_messages(how: str) -> None:
    llm, _, _ = escalating()

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": llm.invoke(state["messages"])}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": await llm.ainvoke(state["messages"])}

    graph = StateGraph(MessagesState).add_node("ask", node if how == "sync" else anode).add_edge(START, "ask").compile()
    asked: Any = {"messages": "hi"}
    stream = graph.stream(asked, stream_mode="messages") if how == "sync" else None
    parts: Any = list(stream) if stream else await collect(graph.astream(asked, stream_mode="messages"))
    assert [message.text for message, _ in parts if message.text] == ["the", " large", " answer"]


def test_langchain_39598_a_copy_keeps_the_identity_of_its_original() -> None:
    llm, _, _ = accepting(cache=InMemoryCache())
    llm.invoke("hi")
    _ = llm._serialized
    copy = llm.model_copy(update={"threshold": 1.0})
    assert copy._serialized is not llm._serialized
    assert copy.invoke("hi").text == "the large answer"
    shared = ChatPlayground(model="playground-small")
    _ = shared._serialized
    warm = ChatFrugal([shared], temperature=1.5)
    assert warm._get_llm_string() != ChatFrugal([shared])._get_llm_string()


@each_way
async def test_langchain_34933_foreign_reasoning_and_tool_ids(how: str) -> None:
    """A conversation that Anthropic's model began goes to OpenAI's client over a real wire."""
    long_id = "toolu_" + "x" * 60
    thought = [
        {"type": "thinking", "thinking": "Hm.", "signature": "secret"},
        {"type": "text", "text": "Let me add."},
        {"type": "tool_use", "id": long_id, "name": "add", "input": {"a": 1, "b": 2}},
    ]
    history = [
        HumanMessage("What is 1 plus 2?"),
        AIMessage(
            thought,
            tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": long_id}],
            response_metadata={"model_provider": "anthropic"},
        ),
        ToolMessage("3", tool_call_id=long_id),
        HumanMessage("And 2 plus 3?"),
    ]
    before = [message.model_copy(deep=True) for message in history]
    async with wired() as wire:
        models = [small(sure=0.1), wire.client("playground-small")]
        llm = ChatFrugal(models, threshold=0.5, prices={**PRICES, "playground-small": (1, 1)})
        assert (await ask(llm, how, history)).text
        (request,) = wire.server.requests
    _, turn, result, _ = request.body["messages"]
    assert "secret" not in json.dumps(request.body)
    assert turn["content"] in ("Let me add.", [{"type": "text", "text": "Let me add."}])
    assert turn["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) <= 40
    assert history == before, "the user's own messages stay as they are"


def test_langchain_36211_logprobs_are_missing_on_the_responses_api() -> None:
    """So they are not asked for there: a request for what does not come back would cost the prompt cache."""
    responses, completions = (
        ChatOpenAI(model="gpt-4o-mini", api_key=SecretStr("k"), use_responses_api=flag) for flag in (True, False)
    )
    llm = ChatFrugal([responses, completions])
    assert [tier.logprobs for tier in llm._runner.tiers] == [None, {"logprobs": True, "top_logprobs": 10}]


# --- budgets ---


def test_langchain_38842_40444_budgets_are_overspent_under_concurrency() -> None:
    threshold = BudgetedThreshold(0.25, queries=400)
    llm = ChatFrugal([small(), large()], policy=Cascade(lambda query, answer: 0.0, threshold), prices=PRICES)
    with ThreadPoolExecutor(8) as pool:
        tiers = list(pool.map(lambda number: decision(llm.invoke(str(number)))["tier"], range(400)))
    assert tiers.count("large") <= 100


@each_way
async def test_langchain_community_390_totals_in_dollars_for_any_provider(how: str) -> None:
    llm, _, _ = escalating()
    found = decision(await ask(llm, how))
    assert found["cost_usd"] == pytest.approx(sum(step["cost_usd"] for step in found["steps"])) == pytest.approx(6.6e-5)


# --- vCache, uqlm: a signal that is missing is no confidence ---


@each_way
async def test_everybody_a_missing_signal_is_taken_for_confidence(how: str) -> None:
    with pytest.warns(UserWarning, match="log-?prob"):
        message = await ask(frugal(small(sure=None), large(), threshold=0.0), how)
    assert reasons(message) == [("small", "no_signal"), ("large", "last_tier")]


@each_way
async def test_everybody_a_truncated_answer_is_served(how: str) -> None:
    cut = AIMessage("half an ans", response_metadata={"finish_reason": "length", "logprobs": logprobs("half an ans", 0.99)})
    assert reasons(await ask(frugal(small(cut), large(), threshold=0.0), how))[0] == ("small", "truncated")


def test_everybody_a_cached_generation_is_told_apart_from_a_message() -> None:
    cache = InMemoryCache()
    llm = frugal(RunnableLambda(lambda messages: "plain text"), prices={"RunnableLambda": (1, 1)}, cache=cache)
    llm.invoke("hi")
    ((generation,),) = cache._cache.values()
    assert isinstance(generation, ChatGeneration)
    assert type(generation.message) is AIMessage
