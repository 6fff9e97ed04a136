"""Every mistake has its own message: what was seen, the number, and the fix. Nothing is called before it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableLambda

from langchain_frugal import (
    Cascade,
    ChatFrugal,
    ConfigurationError,
    FixedThreshold,
    FrugalError,
    FrugalWarning,
    Margin,
    PriceBook,
    ScorerError,
    Single,
    UnknownModelError,
)
from lc import HOWS, PRICES, Fake, ask, decision, frugal, large, logprobs, reasons, small

each_way = pytest.mark.parametrize("how", HOWS)


def build(models: Any = None, **settings: Any) -> ChatFrugal:
    return ChatFrugal([small(), large()] if models is None else models, **{"prices": PRICES, **settings})


# --- models ---


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([], r"models=\[\] is empty: give at least one model"),
        ((), r"models=\[\] is empty|models=\(\) is empty"),
        ("openai:gpt-4o", r"models='openai:gpt-4o' must be a list of models"),
        (None, r"models=None must be a list"),
        ({"a": 1}, r"must be a list of models"),
        ([5], r"5 in models is a int: give chat models"),
        ([None], r"None in models is a NoneType"),
        ([small(), len], r"in models is a builtin_function_or_method"),
        ([Fake], r"in models is a"),
        ([["nested"]], r"in models is a list"),
    ],
    ids=str,
)
def test_models(models: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        ChatFrugal(models, prices=PRICES)


def test_no_models_at_all() -> None:
    with pytest.raises(ConfigurationError, match="models"):
        ChatFrugal()


def test_a_single_model_by_itself() -> None:
    with pytest.raises(ConfigurationError, match="must be a list of models, cheapest first"):
        ChatFrugal(small())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["nobody:gpt-4o", "no-such-model", "", "openai", ":gpt-4o", "anthropic:claude-sonnet-4-5", "groq:llama"]
)
def test_unknown_names(name: str) -> None:
    with pytest.raises(UnknownModelError, match=r"(?s)names no model that can be built here.*provider:model"):
        ChatFrugal([name])


def test_a_name_without_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(Exception, match=r"(?i)api_key|OPENAI_API_KEY"):
        ChatFrugal(["openai:gpt-4o"])


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"threshold": 1.5}, r"threshold=1.5 is out of range.*0 to 1"),
        ({"threshold": -0.1}, r"threshold=-0.1 is out of range"),
        ({"threshold": float("nan")}, r"threshold=nan is out of range"),
        ({"threshold": True}, r"threshold=True is out of range"),
        ({"threshold": "high"}, r"threshold='high' must be a number"),
        ({"threshold": [0.5, 0.6]}, r"2 thresholds for 2 models: give one per escalation, that is 1"),
        ({"threshold": []}, r"0 thresholds for 2 models"),
        ({"threshold": [0.5, 7]}, r"threshold=7 is out of range"),
        ({"threshold": ["x"]}, r"threshold='x' is out of range"),
        ({"threshold": {"a": 1}}, r"threshold={'a': 1} must be a number"),
        ({"call_large": 1.2}, r"call_large=1.2 is out of range"),
        ({"call_large": -1}, r"call_large=-1 is out of range"),
        ({"call_large": "30%"}, r"call_large='30%' is out of range"),
        ({"call_large": True}, r"call_large=True is out of range"),
        ({"budget_usd": 0}, r"budget_usd=0 is out of range"),
        ({"budget_usd": -1}, r"budget_usd=-1 is out of range"),
        ({"budget_usd": float("inf")}, r"budget_usd=inf is out of range"),
        ({"budget_usd": "1$"}, r"budget_usd='1\$' is out of range"),
        ({"budget_usd": 1e-12}, r"budget_usd=1e-12 is below the cheapest possible call"),
        ({"call_large": 0.3, "threshold": 0.5}, r"threshold and call_large contradict each other.*Give one"),
        ({"call_large": 0.3, "budget_usd": 0.5}, r"call_large and budget_usd contradict each other"),
        ({"on_missing": "maybe"}, r"on_missing='maybe'.*\"escalate\""),
        ({"scorer": 5}, r"scorer=5 must be a scorer or a function"),
        ({"scorer": "margin"}, r"scorer='margin' must be a scorer or a function"),
        ({"escalate_on": "errors"}, r"escalate_on='errors' must be exception classes or a predicate"),
        ({"escalate_on": ["x"]}, r"escalate_on=\['x'\] must hold exception classes only"),
        ({"escalate_on": [int]}, r"must hold exception classes only"),
        ({"reference": 2}, r"reference=2 is no index of the 2 models: 0 to 1"),
        ({"reference": -3}, r"reference=-3 is no index"),
        ({"reference": "large"}, r"reference='large' is no index"),
        ({"reference": True}, r"reference=True is no index"),
        ({"prices": 5}, r"prices=5 must map model names"),
        ({"prices": {"small": 5}}, r"prices\['small'\] is 5. Give a Price"),
        ({"prices": {"small": (1, -1)}}, r"Price.output must be a finite number"),
        ({"prices": {"small": "no-such-model"}}, r"stands for 'no-such-model', which is not in the price table"),
        ({"policy": 5}, r"policy=5 must be a Policy or the path of a saved one"),
        ({"policy": Single(-1), "threshold": 0.5}, r"policy already decides all: it cannot be combined with threshold"),
        ({"policy": Single(-1), "scorer": Margin(), "call_large": 0.1}, r"cannot be combined with scorer, call_large"),
        ({"policy": Cascade(threshold=FixedThreshold([0.1, 0.2]))}, r"2 thresholds for 2 models"),
        ({"policy": "/no/such/file"}, r"No saved policy at '/no/such/file'. Save one with policy.save"),
        ({"polcy": Single(-1)}, r"ChatFrugal has no argument 'polcy'. Did you mean 'policy'\?"),
        ({"tresholds": 0.5}, r"has no argument 'tresholds'. Did you mean 'threshold'\?"),
        ({"call_larg": 0.5}, r"has no argument 'call_larg'. Did you mean 'call_large'\?"),
        ({"xyzzy": 1}, r"ChatFrugal has no argument 'xyzzy'"),
    ],
    ids=str,
)
def test_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build(**settings)


def test_a_policy_for_other_tiers_is_refused_before_anything_is_called() -> None:
    with pytest.raises(ConfigurationError, match="1 thresholds for 3 models"):
        build([small(), Fake(model="mid"), large()], policy=Cascade(threshold=FixedThreshold([0.5])))


def test_a_tier_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match="There is no tier 5"):
        build(policy=Single(5)).invoke("hi")


def test_a_budget_in_money_needs_all_prices() -> None:
    with pytest.raises(ConfigurationError, match=r"budget_usd needs the price of every model; unknown: large"):
        build(prices={"small": (1, 1)}, budget_usd=0.1)


def test_all_errors_are_of_one_family() -> None:
    assert issubclass(ConfigurationError, FrugalError)
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(UnknownModelError, ConfigurationError)


def test_an_unknown_price_is_told_once_with_the_fix() -> None:
    with pytest.warns(FrugalWarning, match=r"No price is known for model 'nameless'.*") as warned:
        llm = ChatFrugal([Fake(model="nameless"), large()], prices={"large": (1, 1)}, threshold=0.5)
    assert len(warned) == 1
    assert 'prices={"nameless": (input, output)}' in str(warned[0].message)
    assert warned[0].filename == __file__, "it points at the user's line"
    message = llm.invoke("hi")
    assert (decision(message)["cost_usd"], decision(message)["saved_usd"]) == (None, None)


def test_a_price_of_nothing_is_a_price() -> None:
    llm = ChatFrugal([small(), large()], prices={"small": (0, 0), "large": (1, 1)}, threshold=0.5)
    assert decision(llm.invoke("hi"))["cost_usd"] == 0.0


def test_a_price_book_is_taken_as_it_is() -> None:
    book = PriceBook.default().override(PRICES)  # type: ignore[arg-type]
    assert decision(ChatFrugal([small(), large()], prices=book, threshold=0.5).invoke("hi"))["cost_usd"] == pytest.approx(6e-6)


# --- saved policies ---


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a saved policy"),
        (b"garbage", "is not a saved policy"),
        (b"\xff\xfe\x00", "is not a saved policy"),
        (b"[]", "has no 'frugal' and 'object' entries"),
        (b'{"frugal": 99, "object": {}}', "has format 99, this version reads 1"),
        (b'{"frugal": 1, "object": {"kind": "unheard"}}', "Unknown kind 'unheard'"),
        (b'{"frugal": 1, "object": {"kind": "single", "height": 3}}', "A saved 'single' does not fit this version"),
        (b'{"frugal": 1, "object": {"kind": "margin"}}', "holds a Margin, not a Policy"),
        (b'{"frugal": 1, "object": 5}', "holds a int, not a Policy"),
        (b'{"frugal": 1, "object": {"kind": "fixed_threshold", "value": 7}}', "threshold=7 is out of range"),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", [str, Path])
def test_broken_policy_files(tmp_path: Path, content: bytes, words: str, form: Any) -> None:
    path = tmp_path / "policy.frugal"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=words):
        build(policy=form(path))


def test_a_folder_is_no_policy_file(tmp_path: Path) -> None:
    with pytest.raises((ConfigurationError, OSError)):
        build(policy=tmp_path)


@pytest.mark.parametrize("form", [str, Path])
def test_a_saved_policy_decides_as_before(tmp_path: Path, form: Any) -> None:
    path = tmp_path / "policy.frugal"
    Cascade(threshold=0.95).save(path)
    llm = build(policy=form(path))
    assert reasons(llm.invoke("hi")) == [("small", "unsure"), ("large", "last_tier")]


def test_a_policy_with_code_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a policy file holds data, not code"):
        Cascade(lambda query, answer: 1.0, 0.5).save(tmp_path / "x")
    assert not list(tmp_path.iterdir())


# --- scorers ---


def raising(query: Any, answer: Any) -> float:
    raise KeyError("no such thing")


def later(query: Any, answer: Any) -> Any:
    raise ZeroDivisionError("in the middle")
    yield


WRONG: dict[str, Any] = {
    "nan": lambda query, answer: float("nan"),
    "inf": lambda query, answer: float("inf"),
    "above": lambda query, answer: 1.5,
    "below": lambda query, answer: -0.1,
    "text": lambda query, answer: "0.9",
    "list": lambda query, answer: [0.9],
    "raising": raising,
    "raising later": later,
    "wrong arity": lambda answer: 1.0,
}


@each_way
@pytest.mark.parametrize("scorer", WRONG)
async def test_a_wrong_score_is_no_confidence(how: str, scorer: str) -> None:
    llm = frugal(small(), large(), scorer=WRONG[scorer])
    with pytest.warns(FrugalWarning, match="The scorer .* Such answers are escalated"):
        message = await ask(llm, how)
    await ask(llm, how)  # says so once
    assert reasons(message) == [("small", "no_signal"), ("large", "last_tier")]
    assert "The scorer" in decision(message)["steps"][0]["error"]


@each_way
async def test_a_wrong_score_may_be_an_error(how: str) -> None:
    first, last = small(), large()
    with pytest.raises(ScorerError, match="raised KeyError"):
        await ask(frugal(first, last, scorer=raising, on_missing="raise"), how)
    assert len(last.log) == 0


@each_way
async def test_a_missing_score_may_be_an_error(how: str) -> None:
    with pytest.raises(ScorerError, match="no signal"):
        await ask(frugal(small(sure=None), large(), on_missing="raise"), how)


@each_way
async def test_a_missing_score_may_be_accepted(how: str) -> None:
    llm = frugal(small(sure=None), large(), on_missing="accept")
    with pytest.warns(FrugalWarning, match="log-?prob"):
        message = await ask(llm, how)
    assert reasons(message) == [("small", "no_signal")]


@each_way
async def test_a_scorer_that_abstains_is_not_told_that_logprobs_are_missing(how: str) -> None:
    message = await ask(frugal(small(), large(), scorer=lambda query, answer: None), how)
    assert reasons(message) == [("small", "no_signal"), ("large", "last_tier")]


@pytest.mark.parametrize("scorer", [True, 1, 0.75, None])
def test_scores_of_any_number_type(scorer: Any) -> None:
    import numpy as np

    for kind in (lambda x: x, np.float32, np.array):
        if scorer is None:
            continue
        message = frugal(small(), large(), scorer=lambda query, answer, kind=kind: kind(scorer)).invoke("hi")
        assert reasons(message) == [("small", "confident")]


# --- log-probabilities ---


def spoilt(**changes: Any) -> dict[str, Any]:
    found = logprobs("an answer", 0.9)
    found["content"][0].update(changes)
    return found


MALFORMED: dict[str, Any] = {
    "text": "high",
    "number": 0.9,
    "empty": {},
    "no content": {"content": None},
    "content of nothing": {"content": []},
    "content of text": {"content": "abc"},
    "content of numbers": {"content": [1, 2]},
    "a string": spoilt(logprob="-0.1"),
    "not a number": spoilt(logprob=float("nan")),
    "positive": spoilt(logprob=3.0),
    "missing": spoilt(logprob=None),
    "no token": spoilt(token=None),
    "one alternative": spoilt(top_logprobs=[{"token": "an", "logprob": -0.1}]),
    "alternatives of text": spoilt(top_logprobs="ab"),
    "alternatives of nothing": spoilt(top_logprobs=None),
    "an alternative of nan": spoilt(top_logprobs=[{"token": "an", "logprob": -0.1}, {"token": "b", "logprob": float("nan")}]),
}


@pytest.mark.parametrize("found", MALFORMED)
@pytest.mark.parametrize("how", ["invoke", "abatch"])
async def test_malformed_logprobs_are_no_confidence(how: str, found: str) -> None:
    answer = AIMessage("an answer", response_metadata={"logprobs": MALFORMED[found]})
    with pytest.warns(FrugalWarning, match="log-?prob"):
        message = await ask(frugal(small(answer, sure=None), large(), threshold=0.0), how)
    assert reasons(message) == [("small", "no_signal"), ("large", "last_tier")]


# --- inputs ---


@each_way
@pytest.mark.parametrize(
    ("input", "words"),
    [
        ([], "There are no messages to answer"),
        ((), "There are no messages to answer"),
        (5, "Invalid input type <class 'int'>: give a prompt value, a string or a list"),
        (None, "Invalid input type <class 'NoneType'>"),
        ({"messages": []}, "Invalid input type <class 'dict'>"),
        ({"input": "hi"}, "Invalid input type <class 'dict'>"),
        (AIMessageChunk(content="hi"), "Invalid input type"),
    ],
    ids=str,
)
async def test_inputs(how: str, input: Any, words: str) -> None:
    first = small()
    with pytest.raises(ConfigurationError, match=words):
        await ask(frugal(first, large()), how, input)
    assert len(first.log) == 0


@each_way
async def test_messages_that_are_none(how: str) -> None:
    first = small()
    for input in ([5], [object()], [{"role": "nobody", "content": "x"}], [("user",)]):
        with pytest.raises((ValueError, NotImplementedError, TypeError)):
            await ask(frugal(first, large()), how, input)
    assert len(first.log) == 0


@each_way
async def test_odd_inputs_that_are_none_of_our_business(how: str) -> None:
    """The provider's answer says it best."""
    first = small()
    for input in ("", [SystemMessage("x")], [AIMessage("x")], [HumanMessage("")], [HumanMessage([])], "\ud800"):
        assert (await ask(frugal(first, large()), how, input)).text == "the small answer"


# --- answers ---


@each_way
@pytest.mark.parametrize("output", [{"a": 1}, 5, None, ["x"], b"bytes"], ids=str)
async def test_answers_that_are_no_message(how: str, output: Any) -> None:
    chain = RunnableLambda(lambda messages: output)
    llm = frugal(chain, large(), prices={"RunnableLambda": (1, 1), "large": (1, 1)})
    with pytest.raises(ConfigurationError, match=r"Tier 'RunnableLambda' answered with a (dict|int|NoneType|list|bytes)"):
        await ask(llm, how)
    only = frugal(chain, prices={"RunnableLambda": (1, 1)})
    with pytest.raises(ConfigurationError, match="Put the parser behind Frugal"):
        await ask(only, how)


@each_way
async def test_answers_of_other_message_types(how: str) -> None:
    chain = RunnableLambda(lambda messages: HumanMessage("said by a human"))
    message = await ask(frugal(chain, prices={"RunnableLambda": (1, 1)}), how)
    assert isinstance(message, AIMessage)
    assert message.text == "said by a human"


@each_way
async def test_usage_that_is_odd(how: str) -> None:
    answer = AIMessage("x", usage_metadata={"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})
    message = await ask(frugal(small(answer), large()), how)
    assert decision(message)["cost_usd"] == 0.0


def test_a_scorer_that_is_a_class_or_async_is_refused() -> None:
    async def later(query: object, answer: object) -> float:
        return 1.0

    with pytest.raises(ConfigurationError, match=r"scorer=Margin is a class: give an object of it, Margin\(…\)"):
        frugal(small(), large(), scorer=Margin)
    with pytest.raises(ConfigurationError, match="scorer=later is async"):
        frugal(small(), large(), scorer=later)


def test_the_dearer_model_first_is_pointed_out() -> None:
    with pytest.warns(FrugalWarning, match="large costs more than small. Name the cheapest model first"):
        frugal(large(), small())


def test_a_wrapper_and_its_policy_say_what_they_are() -> None:
    assert repr(frugal(small(), large(), call_large=0.2)) == (
        "ChatFrugal(models=['small', 'large'], policy=Cascade(Margin(classes=None, tokens=1, ignore_overlaps=True), "
        "BudgetedThreshold(call_large=0.2), on_missing='escalate'))"
    )
