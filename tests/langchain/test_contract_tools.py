"""Tools: every model is offered them in its own provider's form, and what is shown to others never reaches a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_type_hints

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableLambda, RunnableWithFallbacks
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from frugal_core.types import Answer, Query
from langchain_frugal import ChatFrugal, FrugalWarning, Margin, SchemaValid
from langchain_frugal.playground import ChatPlayground
from lc import (
    HOWS,
    AnthropicFake,
    Fake,
    ToollessFake,
    accepting,
    ask,
    calls_tool,
    decision,
    frugal,
    large,
    reasons,
    small,
    wired,
)

each_way = pytest.mark.parametrize("how", HOWS)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Subtract(BaseModel):
    """Subtract two numbers."""

    a: int
    b: int = Field(description="What to take away.")


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


WISH = calls_tool("add", {"a": 1, "b": 2})
OPENAI = convert_to_openai_tool(add)
ANTHROPIC = {
    "name": "add",
    "description": "Add two numbers.",
    "input_schema": OPENAI["function"]["parameters"],
}


# --- each model in its own form ---


@each_way
async def test_each_model_is_bound_in_its_own_form(how: str) -> None:
    first, last = AnthropicFake(model="small", reply="x", sure=0.1), large(WISH)
    message = await ask(frugal(first, last).bind_tools([add]), how)
    assert first.log.calls[0].kwargs == {"tools": [ANTHROPIC]}
    assert last.log.calls[0].kwargs == {"tools": [OPENAI]}
    assert message.tool_calls == WISH.tool_calls


@each_way
async def test_the_choice_of_a_tool_reaches_every_model_in_its_own_form(how: str) -> None:
    first, last = AnthropicFake(model="small", reply="x", sure=0.1), large(WISH)
    bound = frugal(first, last).bind_tools([add], tool_choice="any", parallel_tool_calls=False)
    await ask(bound, how)
    assert first.log.calls[0].kwargs == {"tools": [ANTHROPIC], "tool_choice": {"type": "any"}, "parallel_tool_calls": False}
    assert last.log.calls[0].kwargs == {"tools": [OPENAI], "tool_choice": "any", "parallel_tool_calls": False}
    assert isinstance(bound, RunnableBinding)
    assert bound.kwargs["tool_choice"] == "any"


def test_any_form_of_tool() -> None:
    llm, first, _ = accepting()
    llm.bind_tools([add, Subtract, multiply, OPENAI]).invoke("hi")
    names = [each["function"]["name"] for each in first.log.calls[0].kwargs["tools"]]
    assert names == ["add", "Subtract", "multiply", "add"]


@each_way
async def test_a_providers_own_tool_is_left_alone(how: str) -> None:
    class Searching(Fake):
        def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
            return self.bind(tools=["own form"], **kwargs)

    first = Searching(model="small")
    bound = frugal(first, large()).bind_tools([{"type": "web_search"}])
    assert isinstance(bound, RunnableBinding)
    assert bound.kwargs["tools"] == [{"type": "web_search"}]
    await ask(bound, how)
    assert first.log.calls[0].kwargs == {"tools": ["own form"]}


@each_way
async def test_no_tools_at_all(how: str) -> None:
    class Strict(Fake):
        def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
            return self.bind(**({"tools": tools} if tools else {}), **kwargs)

    first = Strict(model="small")
    await ask(frugal(first, large()).bind_tools([]), how)
    assert first.log.calls[0].kwargs == {}


# --- what is returned ---


def test_the_binding_is_over_a_chat_model_and_shows_openais_form() -> None:
    llm, _, _ = accepting()
    bound = llm.bind_tools([add])
    assert isinstance(bound, RunnableBinding)
    assert isinstance(bound.bound, BaseChatModel)
    assert isinstance(bound.bound, ChatFrugal)
    assert bound.kwargs == {"tools": [OPENAI]}
    assert not llm._runner.tools, "the original offers none"


def test_the_annotation_resolves_at_run_time() -> None:
    for method in (ChatFrugal.bind_tools, ChatFrugal.with_structured_output):
        returned = get_type_hints(method)["return"]
        assert issubclass(getattr(returned, "__origin__", returned), Runnable)


def test_fallbacks_are_kept_through_tools() -> None:
    llm = frugal(small(ConnectionError("a")), large(ConnectionError("b")))
    other, third, fourth = accepting()
    third.reply = WISH
    bound = llm.with_fallbacks([other]).bind_tools([add])
    assert isinstance(bound, RunnableWithFallbacks)
    assert bound.invoke("hi").tool_calls == WISH.tool_calls
    assert third.log.calls[0].kwargs == {"tools": [OPENAI]}
    assert len(fourth.log) == 0


async def test_fallbacks_are_kept_through_structured_output() -> None:
    llm = frugal(small(ConnectionError("a")), large(ConnectionError("b")))
    other = frugal(small(calls_tool("Subtract", {"a": 1, "b": 2})), large())
    structured: Any = llm.with_fallbacks([other]).with_structured_output(Subtract)
    assert structured.invoke("hi") == Subtract(a=1, b=2)
    assert await structured.ainvoke("hi") == Subtract(a=1, b=2)


def test_tools_pass_through_a_fallback_to_frugal() -> None:
    """A model of a provider with Frugal as its fallback."""
    first = large(ConnectionError("a"))
    bound = first.with_fallbacks([frugal(small(WISH), large())]).bind_tools([add])
    assert bound.invoke("hi").tool_calls == WISH.tool_calls


# --- models that take none ---


@each_way
async def test_a_model_without_tools_is_skipped(how: str) -> None:
    first, last = ToollessFake(model="small"), large(WISH)
    message = await ask(frugal(first, last).bind_tools([add]), how)
    assert reasons(message) == [("small", "no_tools"), ("large", "last_tier")]
    assert len(first.log) == 0
    assert decision(message)["steps"][0]["called"] is False


@each_way
async def test_a_chain_is_skipped_when_tools_are_offered(how: str) -> None:
    chain = RunnableLambda(lambda _: AIMessage("x"))
    llm = frugal(chain, large(WISH), prices={"RunnableLambda": (1, 1), "large": (1, 1)}, scorer=lambda query, answer: 1)
    assert reasons(await ask(llm, how)) == [("RunnableLambda", "confident")]
    assert reasons(await ask(llm.bind_tools([add]), how)) == [("RunnableLambda", "no_tools"), ("large", "last_tier")]


def test_a_model_whose_profile_takes_no_tools_is_skipped() -> None:
    llm = frugal(small(WISH, profile={"tool_calling": False}), large(WISH))
    assert reasons(llm.bind_tools([add]).invoke("hi"))[0] == ("small", "no_tools")
    assert reasons(llm.invoke("hi"))[0] == ("small", "confident")


def test_a_last_model_without_tools_is_no_last_tier() -> None:
    first, last = small(WISH, sure=0.1), ToollessFake(model="large")
    message = frugal(first, last).bind_tools([add]).invoke("hi")
    assert reasons(message)[0] == ("small", "last_tier")
    assert len(last.log) == 0


def test_when_no_model_takes_tools() -> None:
    with pytest.raises(NotImplementedError, match="None of the models can do tools"):
        frugal(ToollessFake(model="small"), ToollessFake(model="large")).bind_tools([add])


# --- bound and wrapped models ---


@each_way
async def test_what_was_bound_stays_bound(how: str) -> None:
    first, last = small("x", sure=0.1), large(WISH)
    llm = frugal(first.bind(temperature=0), last.bind(seed=7))
    await ask(llm.bind_tools([add]), how)
    assert first.log.calls[0].kwargs == {"tools": [OPENAI], "temperature": 0}
    assert last.log.calls[0].kwargs == {"tools": [OPENAI], "seed": 7}


@each_way
async def test_models_with_retries_take_tools(how: str) -> None:
    first = small(WISH)
    retrying = first.with_retry(stop_after_attempt=2)
    message = await ask(frugal(retrying, large()).bind_tools([add]), how)
    assert first.log.calls[0].kwargs == {"tools": [OPENAI]}
    assert reasons(message) == [("small", "confident")]


@each_way
async def test_tools_given_by_bind_reach_the_models_as_they_are(how: str) -> None:
    llm, first, _ = accepting()
    first.reply = WISH
    message = await ask(llm.bind(tools=[OPENAI]), how)
    assert first.log.calls[0].kwargs == {"tools": [OPENAI]}
    assert message.tool_calls == WISH.tool_calls


@each_way
async def test_stop_and_other_arguments_reach_bound_models(how: str) -> None:
    llm, first, _ = accepting()
    await ask(llm.bind_tools([add]), how, stop=["."], seed=3)
    assert first.log.calls[0].kwargs == {"tools": [OPENAI], "stop": ["."], "seed": 3}
    await ask(llm, how)
    assert first.log.calls[1].kwargs == {}, "no stop=None"


def test_tools_can_be_bound_anew() -> None:
    llm, first, _ = accepting()
    bound: Any = llm.bind_tools([add], tool_choice="any")
    bound.bind_tools([multiply]).invoke("hi")
    assert [each["function"]["name"] for each in first.log.calls[0].kwargs["tools"]] == ["multiply"]
    assert "tool_choice" not in first.log.calls[0].kwargs, "as from any model, the first binding is gone"
    bound.invoke("hi")
    assert [each["function"]["name"] for each in first.log.calls[1].kwargs["tools"]] == ["add"]


# --- judging tool calls ---


@each_way
@pytest.mark.parametrize(
    "wish",
    [
        calls_tool("divide", {"a": 1, "b": 2}),
        calls_tool("add", {"a": 1}),
        AIMessage(
            "", invalid_tool_calls=[{"name": "add", "args": "{", "id": "1", "error": "no JSON", "type": "invalid_tool_call"}]
        ),
    ],
    ids=["unknown tool", "missing argument", "no JSON"],
)
async def test_a_malformed_call_is_escalated(how: str, wish: AIMessage) -> None:
    llm = frugal(small(wish), large(WISH), scorer=Margin() & SchemaValid())
    message = await ask(llm.bind_tools([add]), how)
    assert reasons(message) == [("small", "unsure"), ("large", "last_tier")]
    assert message.tool_calls == WISH.tool_calls
    assert not message.invalid_tool_calls


def test_a_call_without_text_is_an_answer() -> None:
    assert reasons(frugal(small(WISH), large()).bind_tools([add]).invoke("hi")) == [("small", "confident")]


# --- histories ---


@each_way
async def test_a_tool_round_reaches_the_model_untouched(how: str) -> None:
    llm, first, _ = accepting()
    history = [HumanMessage("1+2?"), WISH, ToolMessage("3", tool_call_id="call_1")]
    await ask(llm.bind_tools([add]), how, history)
    assert [(type(turn), turn.content) for turn in first.log.calls[0].messages] == [
        (type(turn), turn.content) for turn in history
    ]
    assert first.log.calls[0].messages[1].tool_calls == WISH.tool_calls  # type: ignore[attr-defined]


@each_way
async def test_media_blocks_pass_through_untouched(how: str) -> None:
    blocks: list[Any] = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    first, last = small(sure=0.1), large()
    await ask(frugal(first, last), how, [HumanMessage(blocks)])
    assert first.log.calls[0].messages[0].content == last.log.calls[0].messages[0].content == blocks


# --- real models ---


def confident(query: Query, answer: Answer) -> float:
    """Providers give no log-probabilities for tool calls."""
    return 0.5


def calculator(expression: str) -> str:
    """Evaluate an arithmetic expression."""
    left, right = expression.split("+")
    return str(int(left) + int(right))


@pytest.mark.parametrize("threshold", [0.0, 1.0])
async def test_the_playgrounds_tool_loop(threshold: float) -> None:
    models = [ChatPlayground(model="playground-small"), ChatPlayground(model="playground-medium")]
    llm = ChatFrugal(models=models, threshold=threshold, scorer=confident)
    bound = llm.bind_tools([calculator], tool_choice="any")
    asked = "What is 412 plus 205?"
    wish, again = bound.invoke(asked), await bound.ainvoke(asked)
    (call,) = wish.tool_calls
    assert call["name"] == again.tool_calls[0]["name"] == "calculator"
    assert decision(wish)["tier"] == ("playground-medium" if threshold else "playground-small")
    history = [HumanMessage(asked), wish, ToolMessage("617", tool_call_id=call["id"])]
    assert llm.bind_tools([calculator]).invoke(history).text


@each_way
async def test_real_clients_send_their_tools_over_the_wire(how: str) -> None:
    async with wired() as wire:
        models = [wire.client("playground-small"), wire.client("playground-medium")]
        llm = ChatFrugal(models=models, threshold=1.0, prices=WIRE_PRICES)
        with pytest.warns(FrugalWarning, match="log-?prob"):  # for tool calls; text brings them
            message = await ask(llm.bind_tools([calculator], tool_choice="calculator"), how, "What is 412 plus 205?")
        first, last = wire.server.requests
    assert first.body["tools"] == last.body["tools"] == [convert_to_openai_tool(calculator)]
    assert first.body["tool_choice"] == {"type": "function", "function": {"name": "calculator"}}
    assert (first.body.get("logprobs"), last.body.get("logprobs")) == (True, None)
    assert message.tool_calls[0]["name"] == "calculator"


WIRE_PRICES = {"playground-small": (0.05, 0.05), "playground-medium": (3, 3)}
