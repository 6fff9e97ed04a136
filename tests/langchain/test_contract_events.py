"""`astream_events` v2 and the event protocol v3: each served token once, no rejected draft, usage counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from langchain_frugal import ChatFrugal
from langchain_frugal.playground import ChatPlayground
from lc import USAGE, accepting, calls_tool, collect, decision, escalating, frugal, large, reasons, small

WORDS = {accepting: ["the", " small", " answer"], escalating: ["the", " large", " answer"]}
MODEL = {accepting: "small", escalating: "large"}

either = pytest.mark.parametrize("make", [accepting, escalating])


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def events_of(llm: Any, **kwargs: Any) -> list[dict[str, Any]]:
    return await collect(llm.astream_events("hi", version="v2", **kwargs))


def texts(events: list[dict[str, Any]], name: str = "on_chat_model_stream") -> list[str]:
    return [event["data"]["chunk"].text for event in events if event["event"] == name]


# --- v2 ---


@either
async def test_each_served_token_is_an_event_once(make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    events = await events_of(llm)
    assert [text for text in texts(events) if text] == WORDS[make]
    assert "SECRET" not in repr(events)


@either
async def test_each_served_token_is_an_event_once_inside_a_chain(make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    chain = ChatPromptTemplate.from_template("{x}") | llm
    events = await collect(chain.astream_events({"x": "hi"}, version="v2"))
    assert [text for text in texts(events) if text] == WORDS[make]
    assert "SECRET" not in repr(events)


@either
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "batch", "abatch"])
@pytest.mark.parametrize("bound", [False, True])
async def test_each_served_token_is_an_event_once_where_a_function_calls_the_model(
    make: Callable[[], Any], how: str, bound: bool
) -> None:
    llm, _, _ = make()
    if bound:  # a binding merges configs, where handlers could come in twice
        llm = llm.bind_tools([add])

    def node(text: str) -> Any:
        return llm.invoke(text) if how == "invoke" else llm.batch([text])[0]

    async def anode(text: str) -> Any:
        return await llm.ainvoke(text) if how == "ainvoke" else (await llm.abatch([text]))[0]

    events = await events_of(RunnableLambda(anode if how in {"ainvoke", "abatch"} else node))
    assert [text for text in texts(events) if text] == WORDS[make]
    assert "SECRET" not in repr(events)


@either
async def test_the_names_and_order_of_events(make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    events = await events_of(llm)
    numbers = Counter(event["event"] for event in events)
    assert numbers["on_chain_start"] == numbers["on_chain_end"] == 1
    assert numbers["on_chat_model_start"] == numbers["on_chat_model_end"] == 1
    assert (events[0]["event"], events[-1]["event"]) == ("on_chain_start", "on_chain_end")
    assert events[0]["name"] == "ChatFrugal"
    (start,) = [event for event in events if event["event"] == "on_chat_model_start"]
    assert start["metadata"]["ls_model_name"] == MODEL[make]
    assert start["parent_ids"] == [events[0]["run_id"]]
    (end,) = [event for event in events if event["event"] == "on_chat_model_end"]
    assert end["data"]["output"].text == "".join(WORDS[make])
    assert decision(events[-1]["data"]["output"])["tier"] == MODEL[make]


async def test_the_last_model_is_live_in_events() -> None:
    llm, _, last = escalating()
    async for event in llm.astream_events("hi", version="v2"):
        if event["event"] == "on_chat_model_stream":
            assert (event["data"]["chunk"].text, last.log.produced) == ("the", 1)
            break


async def test_filters_of_events_work() -> None:
    llm, _, _ = accepting()
    named = await events_of(llm, include_types=["chat_model"])
    assert {event["event"] for event in named} == {"on_chat_model_start", "on_chat_model_stream", "on_chat_model_end"}


async def test_structured_output_in_events() -> None:
    schema = {"title": "Answer", "description": "An answer.", "type": "object", "properties": {"value": {"type": "integer"}}}
    wish = calls_tool("Answer", {"value": 3})
    secret = calls_tool("Answer", {"value": 666666666})
    events = await events_of(frugal(small(secret, sure=0.1), large(wish)).with_structured_output(schema))
    assert "666666666" not in repr(events)
    assert events[-1]["data"]["output"] == {"value": 3} or events[-1]["data"]["output"]["parsed"] == {"value": 3}


@pytest.mark.filterwarnings("ignore:astream_log is deprecated")
async def test_the_log_of_a_stream_has_no_draft() -> None:
    llm, _, _ = escalating()
    patches = [patch async for patch in llm.astream_log("hi")]
    assert "SECRET" not in repr(patches)


# --- v3 ---


@either
def test_the_v3_stream(make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    with get_usage_metadata_callback() as counter:
        stream = llm.stream_events("hi", version="v3")
        assert "".join(stream.text) == "".join(WORDS[make])
        message = stream.output
    assert message.text == "".join(WORDS[make])
    assert message.usage_metadata == USAGE
    assert reasons(message)[-1] == (MODEL[make], "confident" if make is accepting else "last_tier")
    assert counter.usage_metadata == ({"small": USAGE} if make is accepting else {"small": USAGE, "large": USAGE})


@either
async def test_the_async_v3_stream(make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    with get_usage_metadata_callback() as counter:
        stream = await llm.astream_events("hi", version="v3")
        assert "".join([text async for text in stream.text]) == "".join(WORDS[make])
        message = await stream.output
    assert message.text == "".join(WORDS[make])
    assert message.usage_metadata == USAGE
    assert reasons(message)[-1] == (MODEL[make], "confident" if make is accepting else "last_tier")
    assert counter.usage_metadata == ({"small": USAGE} if make is accepting else {"small": USAGE, "large": USAGE})


def test_v3_is_live() -> None:
    llm, _, last = escalating()
    stream = llm.stream_events("hi", version="v3")
    assert last.log.calls == []
    assert next(iter(stream.text)) == "the"
    assert last.log.produced < 4


@either
def test_v3_events_are_well_formed(make: Callable[[], Any]) -> None:
    llm, _, _ = make()
    events = list(llm.stream_events("hi", version="v3"))
    names = [event["event"] for event in events]
    assert (names[0], names[-1]) == ("message-start", "message-finish")
    assert names.count("content-block-start") == names.count("content-block-finish") == 1
    assert "SECRET" not in repr(events)


@pytest.mark.parametrize("draft", [True, False])
async def test_v3_tool_calls(draft: bool) -> None:
    wish = calls_tool("add", {"a": 1, "b": 2})
    llm = frugal(small(wish), large()) if draft else frugal(small("SECRET", sure=0.1), large(wish))
    bound: Any = llm.bind_tools([add])
    stream = bound.stream_events("hi", version="v3")
    assert [(call["name"], call["args"]) for call in stream.tool_calls.get()] == [("add", {"a": 1, "b": 2})]
    assert [call["id"] for call in stream.output.tool_calls] == ["call_1"]
    later = await bound.astream_events("hi", version="v3")
    assert [(call["name"], call["args"]) for call in await later.tool_calls] == [("add", {"a": 1, "b": 2})]


async def test_v3_raises_what_the_last_model_raises() -> None:
    llm = frugal(small(sure=0.1), large(ValueError("no luck")))
    with pytest.raises(ValueError, match="no luck"):
        _ = llm.stream_events("hi", version="v3").output
    stream = await llm.astream_events("hi", version="v3")
    with pytest.raises(ValueError, match="no luck"):
        await stream.output


async def test_v3_of_the_playground() -> None:
    models = [ChatPlayground(model="playground-small"), ChatPlayground(model="playground-medium")]
    llm = ChatFrugal(models=models, threshold=1.0)
    expected = models[1].invoke("What is 2 plus 3?")
    stream: Any = llm.stream_events("What is 2 plus 3?", version="v3")
    assert str(stream.text) == expected.text
    assert stream.output.usage_metadata == expected.usage_metadata
