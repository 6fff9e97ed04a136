"""The semantic cache in agents: behind `ChatFrugal`, and as a middleware in front of any model."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from pydantic import BaseModel

from caching import cache
from frugal_core.cache import cache_options
from frugal_core.errors import ConfigurationError
from langchain_frugal import SemanticCacheMiddleware
from lc import GRAPH_WAYS, Recorder, accepting, calls_tool, decision, frugal, heard_by, large, small

QUESTION = "What is the capital of France?"
NEAR = "What is the capital city of France?"
ways = pytest.mark.parametrize("way", GRAPH_WAYS)


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


class Number(BaseModel):
    """A number."""

    value: int


def own(**settings: Any) -> SemanticCacheMiddleware:
    return SemanticCacheMiddleware(cache(**settings))


async def run(agent: Any, way: str, question: str = QUESTION, config: Any = None) -> Any:
    """The agent's final state."""
    state = {"messages": [("user", question)]}
    return agent.invoke(state, config) if way == "sync" else await agent.ainvoke(state, config)


def adding(messages: Any) -> AIMessage:
    """Calls the tool, and tells its result."""
    return AIMessage("It is 3.") if messages[-1].type == "tool" else calls_tool("add", {"a": 1, "b": 2})


# --- ChatFrugal in agents ---


@ways
async def test_an_agent_over_chat_frugal_repeats_itself_without_a_call(way: str) -> None:
    first = small(adding)
    agent = create_agent(frugal(first, large(), cache=cache()), [add])
    for _ in range(2):
        state = await run(agent, way)
        assert state["messages"][-1].text == "It is 3."
    assert len(first.log) == 2
    assert [decision(message)["cache"] for message in state["messages"] if message.type == "ai"] == ["hit", "hit"]


@ways
async def test_a_repeated_question_in_one_thread_keeps_both_turns(way: str) -> None:
    """A cached id would make `add_messages` replace the earlier turn."""
    llm, first, _ = accepting(cache=cache(max_turns=1))
    agent = create_agent(llm, [], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    await run(agent, way, QUESTION, {"configurable": {"thread_id": "other"}})
    await run(agent, way, QUESTION, config)
    state = await run(agent, way, QUESTION, config)
    texts = [message.text for message in state["messages"]]
    assert texts == [QUESTION, "the small answer"] * 2
    assert len(first.log) == 2


@pytest.mark.parametrize("kind", ["chat_frugal", "middleware"])
async def test_the_answer_is_streamed_once(kind: str) -> None:
    llm, first, _ = accepting(cache=cache() if kind == "chat_frugal" else None)
    agent = create_agent(llm, [], middleware=[own()] if kind == "middleware" else [])
    agent.invoke({"messages": [("user", QUESTION)]})
    pieces = [piece for piece, _ in agent.stream({"messages": [("user", QUESTION)]}, stream_mode="messages")]
    assert "".join(piece.text for piece in pieces if piece.type != "human") == "the small answer"
    assert len(first.log) == 1


# --- the middleware ---


@ways
async def test_any_model(way: str) -> None:
    model = small(adding)
    agent = create_agent(model, [add], middleware=[own()])
    for _ in range(2):
        state = await run(agent, way)
        assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"]
        assert state["messages"][-1].text == "It is 3."
    assert len(model.log) == 2
    hits = [decision(message) for message in state["messages"] if message.type == "ai"]
    assert [(hit["cache"], hit["cost_usd"]) for hit in hits] == [("hit", 0.0)] * 2


@ways
async def test_a_near_question_only_where_nothing_is_called(way: str) -> None:
    plain, tooled = small("Paris"), small(adding)
    for model in (plain, tooled):
        agent = create_agent(model, [add], middleware=[own()])
        for question in (QUESTION, NEAR):
            await run(agent, way, question)
    assert len(plain.log) == 1
    assert len(tooled.log) == 4


@ways
async def test_a_hit_is_no_llm_run(way: str) -> None:
    agent = create_agent(small("Paris"), [], middleware=[own()])
    await run(agent, way)
    recorder = Recorder()
    await run(agent, way, QUESTION, heard_by(recorder))
    assert recorder.models == []


@ways
async def test_models_prompts_tools_formats_and_tenants_are_told_apart(way: str) -> None:
    shared = own()
    model, other = small("Paris"), large("Lyon")
    agents = [
        create_agent(model, [], middleware=[shared]),
        create_agent(other, [], middleware=[shared]),
        create_agent(model, [], system_prompt="be short", middleware=[shared]),
        create_agent(model, [add], middleware=[shared]),
    ]
    for _ in range(2):
        for question in (QUESTION, NEAR):
            texts = [(await run(agent, way, question))["messages"][-1].text for agent in agents]
            assert texts == ["Paris", "Lyon", "Paris", "Paris"]
            await run(agents[0], way, question, {"configurable": {"cache_namespace": "a"}})
    assert (len(model.log), len(other.log)) == (4, 1)


@ways
async def test_options(way: str) -> None:
    model = small("Paris")
    agent = create_agent(model, [], middleware=[own()])
    await run(agent, way)
    state = await run(agent, way, QUESTION, {"configurable": {"no_cache": True}})
    assert "frugal" not in state["messages"][-1].response_metadata
    with cache_options(refresh=True):
        await run(agent, way)
    await run(agent, way)
    assert len(model.log) == 3


@ways
async def test_structured_responses_come_back_as_values(way: str) -> None:
    model = small(calls_tool("Number", {"value": 7}))
    agent = create_agent(model, [], response_format=ToolStrategy(Number), middleware=[own()])
    for question in (QUESTION, QUESTION, NEAR):
        state = await run(agent, way, question)
        assert state["structured_response"] == Number(value=7)
        assert isinstance(state["structured_response"], Number)
        assert [message.type for message in state["messages"]] == ["human", "ai", "tool"]
    assert len(model.log) == 1


@ways
async def test_response_formats_are_told_apart(way: str) -> None:
    shared, model = own(), small(calls_tool("Number", {"value": 7}))
    formats = [ToolStrategy(Number), ToolStrategy(Number, tool_message_content="noted")]
    agents = [create_agent(model, [], response_format=each, middleware=[shared]) for each in formats]
    for _ in range(2):
        contents = [(await run(agent, way))["messages"][-1].content for agent in agents]
        assert contents[1] == "noted" != contents[0]
    assert len(model.log) == 2


@pytest.mark.parametrize("error", [GraphInterrupt(), ConnectionError("cut")])
async def test_what_goes_wrong_rises_and_leaves_nobody_waiting(error: Exception) -> None:
    shared = own()

    def fail(request: Any) -> Any:
        raise error

    async def afail(request: Any) -> Any:
        raise error

    class Request:
        model = small()
        messages = (HumanMessage(QUESTION),)
        system_message = tool_choice = response_format = None
        tools: tuple[Any, ...] = ()
        model_settings: dict[str, Any] = {}

    request: Any = Request()
    with pytest.raises((GraphBubbleUp, ConnectionError)):
        shared.wrap_model_call(request, fail)
    with pytest.raises((GraphBubbleUp, ConnectionError)):
        await shared.awrap_model_call(request, afail)
    assert not shared.semantic_cache._flights._flying


async def test_a_cancelled_call_leaves_nobody_waiting() -> None:
    shared = own()
    reached, never = asyncio.Event(), asyncio.Event()

    @wrap_model_call
    async def stuck(request: Any, handler: Any) -> Any:
        reached.set()
        await never.wait()

    agent = create_agent(small(), [], middleware=[shared, stuck])
    task = asyncio.create_task(run(agent, "async"))
    await reached.wait()
    assert shared.semantic_cache._flights._flying
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not shared.semantic_cache._flights._flying


@ways
async def test_chat_frugal_behind_the_middleware(way: str) -> None:
    llm, first, _ = accepting()
    agent = create_agent(llm, [], middleware=[own()])
    missed, hit = [decision((await run(agent, way))["messages"][-1]) for _ in range(2)]
    assert (missed["cache"], hit["cache"]) == ("miss", "hit")
    assert hit["saved_usd"] == missed["baseline_cost_usd"] > 0
    assert len(first.log) == 1


def test_bad_arguments() -> None:
    with pytest.raises(ConfigurationError, match="cache=7 must be a SemanticCache"):
        SemanticCacheMiddleware(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="embed cannot be given with a cache"):
        SemanticCacheMiddleware(cache(), embed=None)
    assert SemanticCacheMiddleware("memory://", embed=None).semantic_cache.embedder is None
