"""Tool calls: whether, which and with what arguments."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from frugal_core.playground.chat import ChatRequest, Choice, complete, stream
from frugal_core.playground.language_model import LanguageModel


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel.load("playground-large")


def tool(name: str, description: str = "", required: tuple[str, ...] | None = None, **properties: Any) -> dict[str, Any]:
    needed = list(properties) if required is None else list(required)
    parameters = {"type": "object", "properties": properties, "required": needed}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


NUMBER, TEXT = {"type": "integer"}, {"type": "string"}
WEATHER = tool("get_weather", "Get the weather at a location.", location=TEXT)
ADDER = tool("adder", "Returns a sum.", a=NUMBER, b=NUMBER)
CALCULATOR = tool("calculator", "Evaluate an arithmetic expression.", expression=TEXT)


def ask(model: LanguageModel, text: str, *tools: dict[str, Any], choice: Any = "auto", **options: Any) -> Choice:
    request = ChatRequest([{"role": "user", "content": text}], tools=tools, tool_choice=choice, **options)
    return complete(model, request).choices[0]


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def arguments(choice: Choice) -> dict[str, Any]:
    assert choice.tool_call is not None
    result: dict[str, Any] = json.loads(choice.tool_call.arguments)
    return result


def called(choice: Choice) -> str | None:
    return choice.tool_call.name if choice.tool_call else None


# -- whether and which


def test_a_tool_that_is_mentioned_is_called(model: LanguageModel) -> None:
    answer = ask(model, "What is the weather in San Francisco, CA?", ADDER, WEATHER)
    assert called(answer) == "get_weather"
    assert arguments(answer) == {"location": "San Francisco, CA"}
    assert (answer.text, answer.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize("text", ["Hello", 'What is the first letter of "cat"?', "Is 80 larger than 3?"])
def test_a_tool_that_is_not_mentioned_is_not_called(model: LanguageModel, text: str) -> None:
    answer = ask(model, text, WEATHER)
    assert called(answer) is None
    assert answer == ask(model, text)


@pytest.mark.parametrize(
    ("text", "expression"),
    [("What is 12 plus 34?", "12+34"), ("What is 412 minus 205?", "412-205"), ("Subtract 25 from 61.", "61-25")],
)
def test_the_model_calls_a_calculator_by_itself(model: LanguageModel, text: str, expression: str) -> None:
    assert arguments(ask(model, text, CALCULATOR)) == {"expression": expression}
    assert list(arguments(ask(model, text, ADDER)).values()) == [int(n) for n in expression.replace("-", "+").split("+")]
    assert called(ask(model, text, WEATHER)) is None


def test_the_most_mentioned_tool_is_called(model: LanguageModel) -> None:
    forecast = tool("forecast", "Get the weather at a location on a later day.", location=TEXT)
    assert called(ask(model, "What will the weather be on a later day in Rome?", WEATHER, forecast)) == "forecast"
    assert called(ask(model, "Weather in Rome, please.", WEATHER, ADDER, CALCULATOR)) == "get_weather"


def test_required_calls_one_of_the_tools_and_none_calls_none(model: LanguageModel) -> None:
    assert called(ask(model, "Hello!", WEATHER, ADDER, choice="required")) in ("get_weather", "adder")
    assert called(ask(model, "What is the weather in Rome?", WEATHER, choice="none")) is None


def test_a_named_tool_is_called_and_the_reason_is_stop(model: LanguageModel) -> None:
    answer = ask(model, "Hello!", WEATHER, ADDER, choice=named("adder"))
    assert called(answer) == "adder"
    assert answer.finish_reason == "stop"


def test_a_result_is_answered_without_a_further_call(model: LanguageModel) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "calculator", "arguments": '{"expression": "412+205"}'}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "What is 412 plus 205?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": '{"result": 617}'},
    ]
    assert complete(model, ChatRequest(messages, tools=[CALCULATOR])).choices[0].text == "617"
    forced = complete(model, ChatRequest(messages, tools=[CALCULATOR], tool_choice="required")).choices[0]
    assert called(forced) == "calculator"


# -- arguments


def test_numbers_are_copied_from_the_text(model: LanguageModel) -> None:
    magic = tool("magic_function", "Apply a magic function.", input={**NUMBER, "exclusiveMinimum": -1000})
    answer = ask(model, "What is the value of magic_function(3)? Use the tool.", magic, choice="required")
    assert arguments(answer) == {"input": 3}


def test_numbers_are_never_invented(model: LanguageModel) -> None:
    for text, operands in (("Resize it to 640 x 480.", {640, 480}), ("Add 7.", {7}), ("Is 3 more than 1 or 2?", {1, 2, 3})):
        for seed in range(5):
            answer = ask(model, text, ADDER, choice="required", temperature=2.0, seed=seed)
            assert len(operands & {*arguments(answer).values()}) == min(len(operands), 2)


def test_operands_are_in_the_order_of_the_models_expression(model: LanguageModel) -> None:
    orders = set()
    for seed in range(40):
        options: dict[str, Any] = {"choice": "required", "temperature": 2.0, "seed": seed}
        expression = arguments(ask(model, "How much is 61 + 25?", CALCULATOR, **options))["expression"]
        if operands := re.fullmatch(r"(\d+)[-+*](\d+)", expression):
            a, b = map(int, operands.groups())
            assert arguments(ask(model, "How much is 61 + 25?", ADDER, **options)) == {"a": a, "b": b}
            orders.add(a > b)
    assert orders


def test_each_part_of_the_text_is_copied_once(model: LanguageModel) -> None:
    move = tool("move", "Move a file.", source=TEXT, target=TEXT)
    answer = ask(model, "Move 'a.txt' to 'b.txt'.", move)
    assert sorted(arguments(answer).values()) == ["a.txt", "b.txt"]
    resize = tool("resize", "Resize a picture.", width=NUMBER, height=NUMBER)
    assert sorted(arguments(ask(model, "Resize it to 640 x 480.", resize)).values()) == [480, 640]


def test_unicode_and_quotes_survive(model: LanguageModel) -> None:
    customer = tool("customer", "Create a customer.", full_name=TEXT)
    for name in ("你好啊集团", "Zoë 🙂", 'a\\b "c"'):
        answer = ask(model, f"New customer '{name}'.", customer)
        assert arguments(answer) == {"full_name": name}


def test_a_tool_without_parameters_gets_none(model: LanguageModel) -> None:
    bare = {"type": "function", "function": {"name": "now", "description": "Tell the time."}}
    assert arguments(ask(model, "What time is it?", bare)) == {}
    assert arguments(ask(model, "What time is it?", tool("now", "Tell the time."))) == {}


def test_arguments_of_a_named_tool_are_the_models_answer(model: LanguageModel) -> None:
    shape = tool("answer", "The result.", value=NUMBER)
    text = "Which is larger, 3 or 88?"
    assert arguments(ask(model, text, shape, choice=named("answer"))) == {"value": int(ask(model, text).text)}


def test_calls_stream_in_pieces_and_are_cut_by_max_tokens(model: LanguageModel) -> None:
    request = ChatRequest([{"role": "user", "content": "Weather in Rome?"}], tools=[WEATHER])
    parts = [delta.tool_call for delta in stream(model, request) if delta.tool_call]
    assert [part.name for part in parts if part.name] == ["get_weather"]
    assert parts[0].id
    assert all(part.id is None for part in parts[1:])
    assert json.loads("".join(part.arguments for part in parts)) == {"location": "Rome"}
    cut = ask(model, "Weather in Rome?", WEATHER, max_tokens=4)
    assert cut.finish_reason == "length"
    assert cut.tool_call is not None
    assert len(cut.tool_call.arguments) < len('{"location":"Rome"}')
