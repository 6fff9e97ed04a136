"""Everything by which LangChain programs configure a model: bindings, configurable fields, copies, chains of every kind."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_frugal import BudgetedThreshold, ChatFrugal, ConfigurationError, FrugalWarning, Margin, Single
from langchain_frugal.playground import ChatPlayground
from lc import (
    HOWS,
    PRICES,
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
    joined,
    large,
    reasons,
    small,
)

each_way = pytest.mark.parametrize("how", HOWS)
CHAINS = {**PRICES, "RunnableSequence": (1, 1), "RunnableLambda": (1, 1)}


# --- arguments of a call ---


@each_way
async def test_stop_by_call_and_by_bind(how: str) -> None:
    llm, first, last = escalating()
    await ask(llm, how, stop=["a"])
    await ask(llm.bind(stop=["b"]), how)
    await ask(llm, how)
    assert [call.kwargs for call in first.log.calls] == [{"stop": ["a"]}, {"stop": ["b"]}, {}]
    assert [call.kwargs for call in last.log.calls] == [{"stop": ["a"]}, {"stop": ["b"]}, {}]


@each_way
async def test_other_arguments_reach_every_model(how: str) -> None:
    llm, first, last = escalating()
    await ask(llm.bind(temperature=0.5), how, seed=1)
    assert first.log.calls[0].kwargs == last.log.calls[0].kwargs == {"temperature": 0.5, "seed": 1}


@each_way
async def test_shared_settings_are_for_models_that_have_none(how: str) -> None:
    first, last = small(temperature=0.9, sure=0.1), large()
    llm = frugal(first, last, temperature=0.0, max_tokens=7, stop=["."])
    used = [tier.model for tier in llm._runner.tiers]
    assert [(model.temperature, model.max_tokens, model.stop) for model in used] == [(0.9, 7, ["."]), (0.0, 7, ["."])]  # type: ignore[union-attr]
    assert (first.max_tokens, last.temperature) == (None, None), "the user's own objects stay as they are"
    await ask(llm, how)
    assert (len(first.log), len(last.log)) == (1, 1)


# --- with_config, with_retry, with_fallbacks ---


@each_way
async def test_with_config(how: str) -> None:
    recorder = Recorder()
    llm, _, _ = escalating()
    await ask(llm.with_config(callbacks=[recorder], tags=["t"], run_name="mine"), how)
    (wrapper,) = recorder.of("chain")
    assert wrapper.name == "mine"
    assert [run.tags[0] for run in recorder.of("chat")] == ["t", "t"]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "batch", "abatch"])
async def test_with_retry(how: str) -> None:
    tries: list[int] = []

    def unsteady(messages: Any) -> Any:
        tries.append(1)
        return ValueError("not yet") if len(tries) < 3 else "at last"

    llm = frugal(small(unsteady), large())
    retrying = llm.with_retry(stop_after_attempt=3, wait_exponential_jitter=False, exponential_jitter_params={"max": 0})
    assert (await ask(retrying, how)).text == "at last"
    assert len(tries) == 3


@each_way
async def test_a_model_that_retries_by_itself(how: str) -> None:
    tries: list[int] = []

    def unsteady(messages: Any) -> Any:
        tries.append(1)
        return ConnectionError("not yet") if len(tries) < 2 else "at last"

    retrying = small(unsteady).with_retry(wait_exponential_jitter=False, exponential_jitter_params={"max": 0})
    message = await ask(frugal(retrying, large()), how)
    assert (message.text, reasons(message)) == ("at last", [("small", "confident")])


@each_way
async def test_as_a_fallback_and_with_one(how: str) -> None:
    broken = frugal(small(ConnectionError("a")), large(ConnectionError("b")))
    llm, _, _ = accepting()
    assert (await ask(broken.with_fallbacks([llm]), how)).text == "the small answer"


# --- configurable fields ---


@each_way
async def test_a_configurable_threshold(how: str) -> None:
    llm, _, _ = accepting()
    configurable: Any = llm.configurable_fields(threshold=ConfigurableField(id="threshold"))
    assert decision(await ask(configurable, how))["tier"] == "small"
    assert decision(await ask(configurable, how, config={"configurable": {"threshold": 1.0}}))["tier"] == "large"
    assert decision(await ask(configurable.with_config(configurable={"threshold": [0.95]}), how))["tier"] == "large"


def test_lists_given_one_after_the_other_are_not_confused() -> None:
    """Their addresses may be the same."""
    llm, _, _ = accepting()
    configurable: Any = llm.configurable_fields(threshold=ConfigurableField(id="threshold"))
    for _ in range(20):
        for value, tier in ((0.95, "large"), (0.2, "small"), (0.6, "small"), (0.91, "large")):
            message = configurable.invoke("hi", {"configurable": {"threshold": [value]}})
            (step, *_) = decision(message)["steps"]
            assert (step["threshold"], decision(message)["tier"]) == (value, tier)
    assert len(llm.shared) <= 6, "equal lists are one setting, however many calls give one"


def test_the_dynamic_threshold_is_shared_between_copies() -> None:
    llm = frugal(small(), large(), call_large=0.5)
    configurable: Any = llm.configurable_fields(call_large=ConfigurableField(id="share"))
    for _ in range(30):
        configurable.invoke("hi")
    policy: Any = llm.policy_in_use
    assert policy.threshold.export()["seen"] == 30
    other = [configurable.invoke("hi", {"configurable": {"share": 0.0}}) for _ in range(20)]
    assert {decision(message)["tier"] for message in other} == {"small"}
    assert policy.threshold.export()["seen"] == 30, "another share learns by itself"


def test_the_dynamic_threshold_is_shared_with_bound_and_structured_models() -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    llm = frugal(small(calls_tool("add", {"a": 1, "b": 2})), large(), call_large=0.5)
    llm.bind_tools([add]).invoke("hi")
    llm.with_structured_output({"title": "add", "description": "", "type": "object", "properties": {}}).invoke("hi")
    llm.model_copy(update={"tags": ["t"]}).invoke("hi")
    llm.invoke("hi")
    policy: Any = llm.policy_in_use
    assert policy.threshold.export()["seen"] == 4


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_configurable_model_streams(how: str) -> None:
    llm, _, last = escalating()
    configurable: Any = llm.configurable_fields(threshold=ConfigurableField(id="threshold"))
    config: Any = {"configurable": {"threshold": 0.4}}
    chunks = list(configurable.stream("hi", config)) if how == "stream" else await collect(configurable.astream("hi", config))
    assert [chunk.text for chunk in chunks if chunk.text] == ["the", " large", " answer"]
    assert last.log.hows == [how]


def test_a_configurable_model_keeps_its_settings() -> None:
    recorder = Recorder()
    llm, _, _ = accepting(callbacks=[recorder], tags=["own"], metadata={"team": "a"}, name="support")
    configurable: Any = llm.configurable_fields(threshold=ConfigurableField(id="threshold"))
    message = configurable.invoke("hi", {"configurable": {"threshold": 0.1}})
    assert decision(message)["steps"][0]["threshold"] == 0.1
    assert [run.tags for run in recorder.of("chat")] == [["own"]]
    assert [run.name for run in recorder.of("chain")] == ["support"]


def test_a_configurable_model_takes_tools() -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    llm, first, _ = accepting()
    configurable: Any = llm.configurable_fields(threshold=ConfigurableField(id="threshold"))
    first.reply = calls_tool("add", {"a": 1, "b": 2})
    bound = configurable.bind_tools([add])
    assert bound.invoke("hi").tool_calls


@each_way
async def test_configurable_alternatives(how: str) -> None:
    llm, _, _ = accepting()
    either = llm.configurable_alternatives(ConfigurableField(id="llm"), default_key="frugal", large=large("plain"))
    assert (await ask(either, how)).text == "the small answer"
    assert (await ask(either, how, config={"configurable": {"llm": "large"}})).text == "plain"


@each_way
async def test_models_with_configurable_fields_of_their_own(how: str) -> None:
    first: Any = ChatPlayground(model="playground-small").configurable_fields(temperature=ConfigurableField(id="heat"))
    with pytest.warns(FrugalWarning):  # what is inside a configurable model is not known before it is asked
        llm = ChatFrugal([first, ChatPlayground(model="playground-medium")], scorer=lambda query, answer: 1.0)
    assert "heat" in {spec.id for spec in llm.config_specs}
    assert (await ask(llm, how, "Hello", {"configurable": {"heat": 0.0}})).text


def test_config_specs_are_those_of_all_models() -> None:
    first: Any = RunnableLambda(lambda messages: "x")
    one: Any = small().configurable_fields(temperature=ConfigurableField(id="one"))
    other: Any = large().configurable_fields(temperature=ConfigurableField(id="other"))
    prices = {**CHAINS, "RunnableConfigurableFields": (1, 1), "RunnableConfigurableFields#2": (1, 1)}
    llm = frugal(first, one, other, prices=prices, scorer=lambda query, answer: 1.0)
    assert {spec.id for spec in llm.config_specs} == {"one", "other"}
    assert llm.with_config(configurable={"one": 1}).invoke("hi")


# --- copies ---


def test_copies_with_other_settings() -> None:
    llm, first, last = accepting()
    strict = llm.model_copy(update={"threshold": 1.0})
    assert (strict.invoke("hi").text, llm.invoke("hi").text) == ("the large answer", "the small answer")
    swapped = llm.model_copy(update={"models": [last, first]})
    assert swapped.invoke("hi").text == "the large answer"
    assert decision(swapped.invoke("hi"))["tier"] == "large"


def test_a_copy_is_checked_as_the_original() -> None:
    llm, _, _ = accepting()
    with pytest.raises(ConfigurationError, match="out of range"):
        llm.model_copy(update={"threshold": 7})
    with pytest.raises(ConfigurationError, match="contradict"):
        llm.model_copy(update={"call_large": 0.5})
    bound: Any = llm.bind_tools([{"name": "f", "description": "", "parameters": {"type": "object", "properties": {}}}])
    with pytest.raises(ConfigurationError, match="cannot change once tools are bound"):
        bound.bound.model_copy(update={"threshold": 0.1})


def test_a_copy_whose_streams_are_hidden() -> None:
    """What agent middleware does with a model it asks on the side."""
    llm, _, _ = escalating()
    hidden = llm.model_copy(update={"tags": ["nostream"], "disable_streaming": True})
    recorder = Recorder()
    assert len(list(hidden.stream("hi", heard_by(recorder)))) == 1
    assert all("nostream" in run.tags for run in recorder.runs.values())
    assert len(list(llm.stream("hi"))) > 1


def test_profiles_of_copies() -> None:
    llm = frugal(small(profile={"max_input_tokens": 10}), large(profile={"max_input_tokens": 20}))
    copy = llm.model_copy(update={"models": [large(profile={"max_input_tokens": 20})]})
    assert (llm.profile, copy.profile) == ({"max_input_tokens": 10}, {"max_input_tokens": 20})


# --- chains around it ---


@each_way
async def test_prompt_model_parser(how: str) -> None:
    llm, first, _ = escalating()
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{x}")]) | llm | StrOutputParser()
    if how in {"stream", "astream"}:
        texts = list(chain.stream({"x": "hi"})) if how == "stream" else await collect(chain.astream({"x": "hi"}))
        assert [text for text in texts if text] == ["the", " large", " answer"]
    else:
        assert await ask(chain, how, {"x": "hi"}) == "the large answer"
    assert [message.content for message in first.log.calls[0].messages] == ["Be brief.", "hi"]


def test_a_plain_prompt() -> None:
    llm, first, _ = accepting()
    (PromptTemplate.from_template("Say {x}") | llm).invoke({"x": "hi"})
    assert first.log.calls[0].messages == [HumanMessage("Say hi")]


def test_in_parallel_branches() -> None:
    llm, _, _ = escalating()
    chain = RunnableParallel(answer=llm | StrOutputParser(), question=RunnablePassthrough())
    assert chain.invoke("hi") == {"answer": "the large answer", "question": "hi"}
    assert chain.batch(["a", "b"]) == [{"answer": "the large answer", "question": text} for text in "ab"]


def test_map_and_each() -> None:
    llm, _, _ = accepting()
    assert [message.text for message in llm.map().invoke(["a", "b"])] == ["the small answer"] * 2


def test_any_form_of_input() -> None:
    llm, first, _ = accepting()
    for input in (
        "hi",
        [("user", "hi")],
        [HumanMessage("hi")],
        [{"role": "user", "content": "hi"}],
        ["hi"],
        ChatPromptTemplate.from_template("hi").invoke({}),
        PromptTemplate.from_template("hi").invoke({}),
        (HumanMessage("hi"),),
    ):
        llm.invoke(input)
    assert [[message.content for message in call.messages] for call in first.log.calls] == [["hi"]] * 8


def test_system_messages_and_histories() -> None:
    llm, first, last = escalating()
    history = [SystemMessage("Be brief."), HumanMessage("a"), AIMessage("b"), HumanMessage("c")]
    llm.invoke(history)
    assert first.log.calls[0].messages == last.log.calls[0].messages == history


# --- tiers of every kind ---


@each_way
async def test_functions_as_models(how: str) -> None:
    def quick(messages: list[Any]) -> str:
        assert isinstance(messages, list)
        return f"{messages[-1].text}!"

    llm = frugal(RunnableLambda(quick), large(), prices=CHAINS, scorer=lambda query, answer: float(answer.text == "hi!"))
    message = await ask(llm, how, "hi")
    assert (message.text, decision(message)["tier"]) == ("hi!", "RunnableLambda")
    assert decision(message)["steps"][0]["estimated"] is True
    assert (await ask(llm, how, "ho")).text == "the large answer"


@each_way
@pytest.mark.parametrize("input", ["hi", [("user", "hi")], ChatPromptTemplate.from_template("hi").invoke({})])
async def test_chains_as_models_get_messages_whatever_the_input(how: str, input: Any) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), MessagesPlaceholder("asked")])
    inner = small("in a chain")
    chain = RunnableLambda(lambda messages: {"asked": messages}) | prompt | inner
    message = await ask(frugal(chain, large(), prices=CHAINS), how, input)
    assert message.text == "in a chain"
    assert reasons(message) == [("RunnableSequence", "confident")], "the log-probabilities come through"
    assert [each.content for each in inner.log.calls[0].messages] == ["Be brief.", "hi"]


@each_way
async def test_a_prompt_of_one_placeholder_takes_messages_as_they_are(how: str) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), MessagesPlaceholder("messages")])
    inner = small("in a chain")
    message = await ask(frugal(prompt | inner, large(), prices=CHAINS), how)
    assert message.text == "in a chain"


@each_way
async def test_bound_models(how: str) -> None:
    first, last = small(sure=0.1), large()
    llm = frugal(first.bind(temperature=0), last.bind(stop=["x"]).with_config(tags=["dear"]))
    recorder = Recorder()
    message = await ask(llm, how, config=heard_by(recorder), seed=1)
    assert first.log.calls[0].kwargs == {"temperature": 0, "seed": 1}
    assert last.log.calls[0].kwargs == {"stop": ["x"], "seed": 1}
    assert reasons(message) == [("small", "unsure"), ("large", "last_tier")]
    assert recorder.of("chat")[1].tags == ["dear"]
    assert decision(message)["cost_usd"] == pytest.approx(66e-6), "priced by the model inside"


@each_way
async def test_a_chain_that_ends_in_text(how: str) -> None:
    chain = small("plain text") | StrOutputParser()
    message = await ask(frugal(chain, prices=CHAINS, policy=Single(0)), how)
    assert isinstance(message, AIMessage)
    assert message.text == "plain text"


@each_way
async def test_a_cascade_within_a_cascade(how: str) -> None:
    inner, first, middle = escalating()
    with pytest.warns(FrugalWarning, match="No price"):
        llm = frugal(inner, Fake(model="mid"), scorer=lambda query, answer: 0.0)
    recorder = Recorder()
    message = await ask(llm, how, config=heard_by(recorder))
    assert recorder.models == ["small", "large", "mid"]
    assert len(first.log) == len(middle.log) == 1
    assert decision(message)["tier"] == "mid"


def test_equal_models_are_told_apart() -> None:
    llm = frugal(small(sure=0.1), small(sure=0.1), small())
    assert reasons(llm.invoke("hi")) == [("small", "unsure"), ("small#2", "unsure"), ("small#3", "last_tier")]


def test_one_model() -> None:
    llm = frugal(large())
    assert reasons(llm.invoke("hi")) == [("large", "last_tier")]
    assert joined(list(llm.stream("hi"))).text == "the large answer"


# --- construction ---


def test_models_by_position_and_by_name() -> None:
    models = [small(), large()]
    assert ChatFrugal(models, prices=PRICES).invoke("hi").text
    assert ChatFrugal(models=models, prices=PRICES).invoke("hi").text
    assert ChatFrugal((models[0], models[1]), prices=PRICES).invoke("hi").text


def test_the_defaults() -> None:
    llm = ChatFrugal([small(), large()], prices=PRICES)
    policy: Any = llm.policy_in_use
    assert isinstance(policy.scorer, Margin)
    assert isinstance(policy.threshold, BudgetedThreshold)
    assert policy.threshold.call_large == 0.3


def test_models_by_name_without_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "dummy")
    llm = ChatFrugal(["openai:gpt-4o-mini", "openai:gpt-4o"], temperature=0, max_tokens=5)
    first, last = (tier.model for tier in llm._runner.tiers)
    assert isinstance(first, ChatOpenAI)
    assert isinstance(last, ChatOpenAI)
    assert (first.model_name, last.model_name, first.temperature, last.max_tokens) == ("gpt-4o-mini", "gpt-4o", 0, 5)
    assert [tier.about.price.input for tier in llm._runner.tiers if tier.about.price] == [0.15, 2.5]


def test_names_and_objects_together() -> None:
    llm = ChatFrugal(["openai:gpt-4o-mini", large()], prices=PRICES, api_key=SecretStr("k"))
    assert [tier.about.name for tier in llm._runner.tiers] == ["gpt-4o-mini", "large"]


def test_it_is_a_chat_model() -> None:
    assert isinstance(accepting()[0], BaseChatModel)
