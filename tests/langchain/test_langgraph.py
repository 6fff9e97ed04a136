"""ChatFrugal inside LangGraph: message streams, checkpoints, agents, tool loops and interrupts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, wrap_model_call
from langchain.agents.structured_output import ToolStrategy
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from frugal_core.types import Answer, Query
from langchain_frugal import ChatFrugal
from langchain_frugal.playground import ChatPlayground
from lc import (
    GRAPH_WAYS,
    USAGE,
    Fake,
    accepting,
    calls_tool,
    collect,
    decision,
    escalating,
    frugal,
    graph_context,
    joined,
    large,
    reasons,
    small,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:The v3 streaming protocol on Pregel is experimental", "ignore:create_react_agent has been moved"
)
both_ways = pytest.mark.parametrize("how", GRAPH_WAYS)
either = pytest.mark.parametrize("make", [accepting, escalating])
ANSWER = {accepting: ["the", " small", " answer"], escalating: ["the", " large", " answer"]}
ASKED: Any = {"messages": [HumanMessage("hi", id="question")]}


def graph(llm: Any, how: str = "sync", *, by: str = "invoke", name: str = "ask", saver: Any = None) -> Any:
    """A graph of one node that asks a model."""

    def node(state: MessagesState) -> dict[str, Any]:
        asked = state["messages"]
        return {"messages": llm.invoke(asked) if by == "invoke" else joined(list(llm.stream(asked)))}

    async def anode(state: MessagesState) -> dict[str, Any]:
        asked = state["messages"]
        return {"messages": await llm.ainvoke(asked) if by == "invoke" else joined(await collect(llm.astream(asked)))}

    builder = StateGraph(MessagesState)
    builder.add_node(name, node if how == "sync" else anode)
    builder.add_edge(START, name)
    builder.add_edge(name, END)
    return builder.compile(checkpointer=saver)


async def run(compiled: Any, how: str, input: Any = ASKED, config: Any = None) -> dict[str, Any]:
    result: dict[str, Any] = compiled.invoke(input, config) if how == "sync" else await compiled.ainvoke(input, config)
    return result


async def streamed(compiled: Any, how: str, mode: Any, input: Any = ASKED, config: Any = None) -> list[Any]:
    if how == "sync":
        return list(compiled.stream(input, config, stream_mode=mode))
    return await collect(compiled.astream(input, config, stream_mode=mode))


def texts(messages: list[tuple[Any, Any]]) -> list[str]:
    return [message.text for message, _ in messages if message.text and message.type in {"ai", "AIMessageChunk"}]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def looping(tier: Callable[..., Fake], sure: float = 0.9) -> Fake:
    """A model that asks for a sum and, when it has it, says it."""

    def reply(messages: list[BaseMessage]) -> Any:
        last = messages[-1]
        return f"it is {last.content}" if isinstance(last, ToolMessage) else calls_tool("add", {"a": 1, "b": 2})

    return tier(reply, sure=sure)


# --- stream_mode="messages" ---


@both_ways
@either
@pytest.mark.parametrize("by", ["invoke", "stream"])
async def test_each_served_token_once_and_no_draft(how: str, make: Callable[[], Any], by: str) -> None:
    llm, _, _ = make()
    messages = await streamed(graph(llm, how, by=by), how, "messages")
    assert texts(messages) == ANSWER[make]
    assert "SECRET" not in repr(messages)
    assert {metadata["langgraph_node"] for _, metadata in messages} == {"ask"}
    assert len({message.id for message, _ in messages}) == 1


@both_ways
@either
async def test_a_node_of_the_wrappers_own_name(how: str, make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    assert texts(await streamed(graph(llm, how, name="ChatFrugal"), how, "messages")) == ANSWER[make]


@both_ways
@either
async def test_a_chain_in_a_node(how: str, make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    chain = RunnableLambda(lambda asked: {"m": asked}) | ChatPromptTemplate.from_messages([MessagesPlaceholder("m")]) | llm
    assert texts(await streamed(graph(chain, how), how, "messages")) == ANSWER[make]


@both_ways
async def test_tokens_are_live(how: str) -> None:
    """The last model says its second word only once the reader has its first."""
    heard, aheard = threading.Event(), asyncio.Event()

    class Patient(Fake):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
            for number, chunk in enumerate(super()._stream(*args, **kwargs)):
                assert number == 0 or heard.wait(30)
                yield chunk

        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            number = 0
            async for chunk in super()._astream(*args, **kwargs):
                if number:
                    await asyncio.wait_for(aheard.wait(), 30)
                number += 1
                yield chunk

    compiled = graph(frugal(small("SECRET", sure=0.1), Patient(model="large", reply="the large answer")), how)
    words = []
    if how == "sync":
        for message, _ in compiled.stream(ASKED, stream_mode="messages"):
            words.append(message.text)
            heard.set()
    else:
        async for message, _ in compiled.astream(ASKED, stream_mode="messages"):
            words.append(message.text)
            aheard.set()
    assert [word for word in words if word] == ["the", " large", " answer"]


@both_ways
@either
async def test_several_modes_together(how: str, make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    parts = await streamed(graph(llm, how), how, ["messages", "updates"])
    assert texts([data for mode, data in parts if mode == "messages"]) == ANSWER[make]
    (update,) = [data for mode, data in parts if mode == "updates"]
    assert update["ask"]["messages"].text == "".join(ANSWER[make])
    assert "frugal" in update["ask"]["messages"].response_metadata


@both_ways
async def test_a_subgraph(how: str) -> None:
    llm, _, _ = escalating()
    outer = StateGraph(MessagesState)
    outer.add_node("inner", graph(llm, how))
    outer.add_edge(START, "inner")
    compiled: Any = outer.compile()
    stream = compiled.stream(ASKED, stream_mode="messages", subgraphs=True) if how == "sync" else None
    parts = list(stream) if stream else await collect(compiled.astream(ASKED, stream_mode="messages", subgraphs=True))
    assert texts([data for _, data in parts]) == ["the", " large", " answer"]


@both_ways
async def test_a_model_asked_twice_in_one_node(how: str) -> None:
    llm, first, _ = accepting()
    first.reply = lambda messages: f"echo {messages[-1].text}"

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [llm.invoke("a"), llm.invoke("b")]}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await llm.ainvoke("a"), await llm.ainvoke("b")]}

    builder = StateGraph(MessagesState).add_node("ask", node if how == "sync" else anode).add_edge(START, "ask")
    messages = await streamed(builder.compile(), how, "messages")
    assert texts(messages) == ["echo", " a", "echo", " b"]
    assert len({message.id for message, _ in messages}) == 2


@both_ways
async def test_a_batch_in_a_node(how: str) -> None:
    llm, _, _ = escalating()

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": llm.batch(["a", "b"])}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": await llm.abatch(["a", "b"])}

    builder = StateGraph(MessagesState).add_node("ask", node if how == "sync" else anode).add_edge(START, "ask")
    messages = await streamed(builder.compile(), how, "messages")
    assert "SECRET" not in repr(messages)
    assert sorted(texts(messages)) == sorted(["the", " large", " answer"] * 2)


@both_ways
async def test_hidden_when_tagged_so(how: str) -> None:
    llm, _, _ = escalating()
    hidden = llm.model_copy(update={"tags": ["nostream"]})

    def node(state: MessagesState) -> dict[str, Any]:
        hidden.invoke("hi")
        return {}

    async def anode(state: MessagesState) -> dict[str, Any]:
        await hidden.ainvoke("hi")
        return {}

    builder = StateGraph(MessagesState).add_node("ask", node if how == "sync" else anode).add_edge(START, "ask")
    assert await streamed(builder.compile(), how, "messages") == []


@both_ways
async def test_an_answer_from_the_cache_is_streamed_once(how: str) -> None:
    llm, first, _ = accepting(cache=InMemoryCache())
    compiled = graph(llm, how)
    await run(compiled, how)
    messages = await streamed(compiled, how, "messages")
    assert texts(messages) == ["the small answer"]
    assert len(first.log) == 1


@both_ways
async def test_structured_output_in_a_node_leaks_no_draft(how: str) -> None:
    class Number(BaseModel):
        """A number."""

        value: int

    llm = frugal(small(calls_tool("Number", {"value": 666666666}), sure=0.1), large(calls_tool("Number", {"value": 7})))
    structured = llm.with_structured_output(Number)
    chain = structured | (lambda number: AIMessage(str(number.value)))
    messages = await streamed(graph(chain, how), how, "messages")
    assert "666666666" not in repr(messages)
    assert [message.text for message, _ in messages][-1] == "7"


# --- the newer protocol ---


@both_ways
@either
async def test_the_newer_protocol_streams_each_token_once(how: str, make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    compiled = graph(llm, how)
    seen = []
    with get_usage_metadata_callback() as counter:
        if how == "sync":
            stream = compiled.stream_events(ASKED, version="v3")
            for message in stream.messages:
                seen.append((list(message.text), message.output))
        else:
            stream = await compiled.astream_events(ASKED, version="v3")
            async for message in stream.messages:
                seen.append(([text async for text in message.text], await message.output))
    ((words, output),) = seen
    assert "".join(words) == output.text == "".join(ANSWER[make])
    assert output.usage_metadata == USAGE
    assert counter.usage_metadata == ({"small": USAGE} if make is accepting else {"small": USAGE, "large": USAGE})


# --- events ---


@graph_context
@either
async def test_events_of_a_graph(make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    events = await collect(graph(llm, "async").astream_events(ASKED, version="v2"))
    words = [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]
    assert [word for word in words if word] == ANSWER[make]
    assert "SECRET" not in repr(events)


# --- checkpoints ---


@both_ways
@pytest.mark.parametrize("by", ["invoke", "stream"])
async def test_decisions_survive_checkpoints(how: str, by: str) -> None:
    llm, _, _ = escalating()
    compiled = graph(llm, how, by=by, saver=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    result = await run(compiled, how, config=config)
    state = compiled.get_state(config) if how == "sync" else await compiled.aget_state(config)
    kept = state.values["messages"][-1]
    assert decision(kept) == decision(result["messages"][-1])
    assert reasons(kept) == [("small", "unsure"), ("large", "last_tier")]
    assert kept.usage_metadata == USAGE


@both_ways
async def test_a_conversation_goes_on_from_its_checkpoint(how: str) -> None:
    llm, first, last = escalating()
    compiled = graph(llm, how, saver=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    await run(compiled, how, {"messages": [HumanMessage("one")]}, config)
    result = await run(compiled, how, {"messages": [HumanMessage("two")]}, config)
    assert [message.text for message in result["messages"]] == ["one", "the large answer", "two", "the large answer"]
    assert [message.text for message in last.log.calls[1].messages] == ["one", "the large answer", "two"]
    assert len(first.log) == 2


@both_ways
async def test_a_cached_answer_does_not_replace_the_earlier_turn(how: str) -> None:
    llm, first, _ = accepting(cache=InMemoryCache())

    class LastOnly(RunnableLambda[Any, Any]):
        pass

    compiled = graph(LastOnly(lambda asked: asked[-1:]) | llm, how, saver=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    for _ in range(3):
        result = await run(compiled, how, {"messages": [HumanMessage("same")]}, config)
    assert [message.text for message in result["messages"]] == ["same", "the small answer"] * 3
    assert len({message.id for message in result["messages"]}) == 6
    assert len(first.log) == 1


# --- agents ---


AGENTS: dict[str, Callable[..., Any]] = {"create_agent": create_agent, "create_react_agent": create_react_agent}
each_agent = pytest.mark.parametrize("agent", AGENTS)


@both_ways
@each_agent
@pytest.mark.parametrize("sure", [0.9, 0.1])
async def test_an_agents_loop(how: str, agent: str, sure: float) -> None:
    llm = frugal(looping(small, sure), looping(large))
    result = await run(AGENTS[agent](llm, [add]), how)
    kinds = [message.type for message in result["messages"]]
    assert kinds == ["human", "ai", "tool", "ai"]
    assert result["messages"][-1].text == "it is 3"
    tier = "small" if sure > 0.5 else "large"
    assert [decision(message)["tier"] for message in result["messages"] if message.type == "ai"] == [tier, tier]


@both_ways
@each_agent
@pytest.mark.parametrize("sure", [0.9, 0.1])
async def test_an_agents_messages(how: str, agent: str, sure: float) -> None:
    llm = frugal(looping(small, sure), looping(large))
    messages = await streamed(AGENTS[agent](llm, [add]), how, "messages")
    assert texts(messages) == ["it", " is", " 3"]
    chunks = [message for message, _ in messages if isinstance(message, AIMessageChunk) and message.tool_call_chunks]
    assert [chunk.tool_call_chunks[0]["name"] for chunk in chunks] == ["add"]
    assert [message.content for message, _ in messages if isinstance(message, ToolMessage)] == ["3"]


@both_ways
@each_agent
async def test_an_agents_tokens_are_counted_once(how: str, agent: str) -> None:
    llm = frugal(looping(small, 0.1), looping(large))
    with get_usage_metadata_callback() as counter:
        await run(AGENTS[agent](llm, [add]), how)
    assert {name: usage["total_tokens"] for name, usage in counter.usage_metadata.items()} == {"small": 12, "large": 12}


@both_ways
@each_agent
async def test_a_model_bound_beforehand(how: str, agent: str) -> None:
    llm = frugal(looping(small), looping(large))
    bound = llm.bind_tools([add]) if agent == "create_react_agent" else llm
    assert (await run(AGENTS[agent](bound, [add]), how))["messages"][-1].text == "it is 3"


@both_ways
@each_agent
async def test_an_agent_without_tools(how: str, agent: str) -> None:
    llm, _, _ = escalating()
    assert (await run(AGENTS[agent](llm, []), how))["messages"][-1].text == "the large answer"


@both_ways
async def test_an_agent_with_a_cache(how: str) -> None:
    first = looping(small)
    agent = create_agent(frugal(first, looping(large), cache=InMemoryCache()), [add])
    one, other = await run(agent, how), await run(agent, how)
    assert len(first.log) == 2
    assert [message.text for message in one["messages"]] == [message.text for message in other["messages"]]
    assert [decision(message)["cache"] for message in other["messages"] if message.type == "ai"] == ["hit", "hit"]
    streamed_messages = await streamed(agent, how, "messages")
    assert texts(streamed_messages) == ["it is 3"]
    assert len(first.log) == 2


@both_ways
async def test_an_agent_with_a_fixed_form_of_answer(how: str) -> None:
    class Number(BaseModel):
        """A number."""

        value: int

    llm = frugal(small(calls_tool("Number", {"value": 7})), large())
    for form in (ToolStrategy(Number), Number):
        agent: Any = create_agent(llm, [add], response_format=form)
        assert (await run(agent, how))["structured_response"] == Number(value=7)


@both_ways
async def test_middleware_that_changes_the_model(how: str) -> None:
    llm = frugal(looping(small), looping(large))
    broken = large(ValueError("no luck"))
    agent: Any = create_agent(broken, [add], middleware=[ModelFallbackMiddleware(llm)])
    assert (await run(agent, how))["messages"][-1].text == "it is 3"
    agent = create_agent(
        frugal(small(ConnectionError("a")), broken), [add], middleware=[ModelFallbackMiddleware(looping(large))]
    )
    assert (await run(agent, how))["messages"][-1].text == "it is 3"


def test_middleware_that_sets_arguments() -> None:
    llm, first, _ = accepting()

    @wrap_model_call
    def cooler(request: Any, handler: Any) -> Any:
        return handler(request.override(model_settings={"temperature": 0.1}))

    agent: Any = create_agent(llm, [add], middleware=[cooler])
    agent.invoke(ASKED)
    assert first.log.calls[0].kwargs["temperature"] == 0.1
    assert [each["function"]["name"] for each in first.log.calls[0].kwargs["tools"]] == ["add"]


@graph_context
@both_ways
async def test_an_agents_events_have_no_draft(how: str) -> None:
    llm = frugal(small("SECRET", sure=0.1), looping(large))
    agent: Any = create_agent(llm, [add])
    events = await collect(agent.astream_events(ASKED, version="v2"))
    assert "SECRET" not in repr(events)
    words = [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]
    assert [word for word in words if word] == ["it", " is", " 3"]


# --- real models in a tool loop ---


def confident(query: Query, answer: Answer) -> float:
    """Tool calls bring no log-probabilities."""
    return 0.5


def calculator(expression: str) -> str:
    """Evaluate an arithmetic expression."""
    left, right = expression.split("+")
    return str(int(left) + int(right))


@both_ways
@pytest.mark.parametrize("threshold", [0.0, 1.0])
async def test_the_playgrounds_calculator(how: str, threshold: float) -> None:
    models = [ChatPlayground(model="playground-medium"), ChatPlayground(model="playground-large")]
    llm = ChatFrugal(models, threshold=threshold, scorer=confident).bind_tools([calculator])

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": llm.invoke(state["messages"])}

    builder = StateGraph(MessagesState).add_node("ask", ask).add_node("tools", ToolNode([calculator]))
    builder.add_edge(START, "ask").add_conditional_edges("ask", tools_condition).add_edge("tools", "ask")
    result = await run(builder.compile(), how, {"messages": [HumanMessage("What is 412 plus 205?")]})
    kinds = [message.type for message in result["messages"]]
    tier = "playground-large" if threshold else "playground-medium"
    assert {decision(message)["tier"] for message in result["messages"] if message.type == "ai"} == {tier}
    if threshold:
        assert kinds == ["human", "ai", "tool", "ai"]
        assert result["messages"][-1].text == "617"


# --- interrupts ---


@both_ways
@pytest.mark.parametrize("question", ["May I?", "There are too many tokens; may I go on?"])
@pytest.mark.parametrize("escalate_on", [None, Exception, lambda error: True])
@pytest.mark.parametrize("final", [True, False])
async def test_an_interrupt_is_no_failure_of_a_model(how: str, question: str, escalate_on: Any, final: bool) -> None:
    asking = RunnableLambda(lambda messages: f"the answer is {interrupt(question)}")
    other = large()
    settings = {} if escalate_on is None else {"escalate_on": escalate_on}
    models = [other, asking] if final else [asking, other]
    scorer = (lambda query, answer: 0.0) if final else (lambda query, answer: 1.0)
    llm = frugal(*models, prices={"RunnableLambda": (1, 1), "large": (1, 1)}, scorer=scorer, **settings)
    compiled = graph(llm, how, saver=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    result = await run(compiled, how, config=config)
    assert [each.value for each in result["__interrupt__"]] == [question]
    assert len(other.log) == int(final)
    result = await run(compiled, how, Command(resume="yes"), config)
    assert result["messages"][-1].text == "the answer is yes"


@both_ways
async def test_an_interrupt_in_a_batch(how: str) -> None:
    asking = RunnableLambda(lambda messages: f"the answer is {interrupt('May I?')}")
    other = large()
    llm = frugal(asking, other, prices={"RunnableLambda": (1, 1), "large": (1, 1)}, escalate_on=Exception)

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": llm.batch(["a"])}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": await llm.abatch(["a"])}

    builder = StateGraph(MessagesState).add_node("ask", node if how == "sync" else anode).add_edge(START, "ask")
    result = await run(builder.compile(checkpointer=InMemorySaver()), how, config={"configurable": {"thread_id": "1"}})
    assert [each.value for each in result["__interrupt__"]] == ["May I?"]
    assert len(other.log) == 0
