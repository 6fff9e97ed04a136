"""What is kept where: settings that change, copies, other processes, and keys that are told to nobody."""

from __future__ import annotations

import copy
import json
import logging
import multiprocessing
import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.extractors import SummaryExtractor
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode
from llama_index.llms.openai import OpenAI

from li import HOWS, PRICES, Fake, accepting, ask, decision, escalating, frugal, large, listening, reasons, small
from llamaindex_frugal import (
    BudgetedThreshold,
    Cascade,
    ConfigurationError,
    FixedThreshold,
    FrugalDecisionEvent,
    FrugalLLM,
    FrugalWarning,
    LogprobQuantile,
    Margin,
    MeanLogprob,
    MinLogprob,
    RandomRouter,
    SchemaValid,
    Single,
)
from llamaindex_frugal.playground import PlaygroundLLM

SECRET = "sk-secret"
WAYS = ("pickle", "deepcopy", "model_copy")


def again(llm: FrugalLLM, way: str) -> FrugalLLM:
    """The same wrapper in another object."""
    if way == "pickle":
        return pickle.loads(pickle.dumps(llm))  # type: ignore[no-any-return]
    return copy.deepcopy(llm) if way == "deepcopy" else llm.model_copy(deep=True)


each_copy = pytest.mark.parametrize("way", WAYS)


def hi(llm: FrugalLLM) -> Any:
    return llm.chat([ChatMessage("hi")])


def length(query: Any, answer: Any) -> float:
    """A scorer of a module, which can be pickled."""
    return min(1.0, len(answer.text) / 100)


def slow(error: Exception) -> bool:
    """A rule of a module, which can be pickled."""
    return isinstance(error, ZeroDivisionError)


# --- settings that change ---


def test_a_threshold_that_is_set_later_holds() -> None:
    llm = frugal(small(sure=0.3), large())
    assert decision(hi(llm))["tier"] == "large"
    llm.threshold = 0.2
    assert reasons(hi(llm)) == [("small", "confident")]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("threshold", 1.5),
        ("threshold", [0.1, 0.2]),
        ("threshold", "high"),
        ("call_large", 0.5),
        ("budget_usd", -1),
        ("scorer", 5),
        ("scorer", Margin),
        ("on_missing", "guess"),
        ("escalate_on", 5),
        ("policy", Single(0)),
        ("policy", "no such file"),
        ("models", []),
        ("models", ["nobody:nothing"]),
        ("reference", 7),
        ("prices", {"small": (-1, 1)}),
        ("context_window", "mean"),
    ],
)
def test_a_bad_value_is_refused_and_the_old_one_stays(name: str, bad: Any) -> None:
    llm, _, _ = accepting()
    before, policy = getattr(llm, name), llm.policy_in_use
    with pytest.raises(ConfigurationError):
        setattr(llm, name, bad)
    assert getattr(llm, name) is before
    assert llm.policy_in_use is policy
    with pytest.raises(ConfigurationError):
        llm.model_copy(update={name: bad})
    assert reasons(hi(llm)) == [("small", "confident")]


def test_an_attribute_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="treshold"):
        accepting()[0].treshold = 0.2  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r"no argument 'treshold'\. Did you mean 'threshold'"):
        frugal(small(), large(), treshold=0.2)


@pytest.mark.parametrize(
    ("update", "tier"),
    [({"threshold": 0.95}, "large"), ({"scorer": length}, "large"), ({"policy": Single(1), "threshold": None}, "large")],
)
def test_a_copy_with_another_setting_leaves_the_original_alone(update: dict[str, Any], tier: str) -> None:
    llm, _, _ = accepting()
    other = llm.model_copy(update=update)
    assert decision(hi(other))["tier"] == tier
    assert decision(hi(llm))["tier"] == "small"


def test_other_models_can_be_set() -> None:
    llm, first, _ = accepting()
    others = [Fake(model="small", reply="x", sure=0.1), Fake(model="mid", reply="the middle answer")]
    llm.models = others
    assert decision(hi(llm))["tier"] == "mid"
    assert len(first.log) == 0


def test_what_a_threshold_has_learned_outlives_a_setting_that_it_does_not_concern() -> None:
    llm = frugal(small(), large(), call_large=0.3)
    for _ in range(5):
        hi(llm)
    learned = llm.policy_in_use
    llm.context_window = "max"
    llm.temperature = 0.5
    assert llm.policy_in_use is learned
    assert llm.model_copy(update={"max_tokens": 5}).policy_in_use is learned
    llm.call_large = 0.4
    assert llm.policy_in_use is not learned


@pytest.mark.parametrize("how", HOWS)
async def test_parameters_reach_all_models_and_can_change(how: str) -> None:
    models = [Fake(model="small", temperature=0.1), Fake(model="large")]
    llm = frugal(*models, temperature=0.7)
    seen = lambda llm: [tier.llm.temperature for tier in llm._runner.tiers]  # noqa: E731
    assert seen(llm) == [0.7, 0.7]
    llm.temperature = 0.2
    assert seen(llm) == [0.2, 0.2]
    assert seen(llm.model_copy(update={"temperature": None})) == [0.1, None]
    assert [model.temperature for model in models] == [0.1, None], "the user's objects are left alone"
    assert decision(await ask(llm, how))["tier"] == "small"


def heard() -> tuple[CallbackManager, LlamaDebugHandler]:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    return CallbackManager([handler]), handler


def test_handlers_are_heard_by_models_that_are_set_or_made_anew() -> None:
    llm, _, _ = escalating(temperature=0.1)
    manager, handler = heard()
    llm.callback_manager = manager
    llm.temperature = 0.9  # the models are copied anew
    hi(llm)
    assert len(handler.get_llm_inputs_outputs()) == 2
    llm.models = [small(sure=0.1), large()]
    hi(llm)
    assert len(handler.get_llm_inputs_outputs()) == 4


def test_a_models_own_handlers_stay_as_long_as_the_wrapper_is_given_none() -> None:
    manager, handler = heard()
    for llm in (
        frugal(small(callback_manager=manager), large()),
        frugal(small(callback_manager=manager), large(), callback_manager=None),
    ):
        llm.threshold = 0.4
        llm.temperature = 0.9
        llm.callback_manager = llm.callback_manager
        before = len(handler.get_llm_inputs_outputs())
        hi(llm)
        assert len(handler.get_llm_inputs_outputs()) == before + 1


# --- copies and pickles ---


@each_copy
def test_a_copy_answers_as_the_original_and_has_models_of_its_own(way: str) -> None:
    llm, first, last = escalating()
    other = again(llm, way)
    assert reasons(hi(other)) == reasons(hi(llm)) == [("small", "unsure"), ("large", "last_tier")]
    assert (len(first.log), len(last.log)) == (1, 1)


SETTINGS: list[dict[str, Any]] = [
    {"threshold": 0.7},
    {"threshold": FixedThreshold(0.7)},
    {"call_large": 0.2},
    {"budget_usd": 1e-4},
    {"threshold": BudgetedThreshold(0.1)},
    {"threshold": 0.7, "scorer": length},
    {"threshold": 0.7, "scorer": Margin(tokens=2) & SchemaValid()},
    {"threshold": 0.7, "scorer": Margin().or_else(SchemaValid())},
    {"threshold": 0.7, "scorer": MeanLogprob()},
    {"threshold": 0.7, "scorer": MinLogprob()},
    {"threshold": 0.7, "scorer": LogprobQuantile(0.25)},
    {"threshold": 0.7, "escalate_on": slow, "on_missing": "accept"},
    {"threshold": 0.7, "escalate_on": (TimeoutError, ValueError)},
    {"policy": Single(0)},
    {"policy": Cascade(Margin(), 0.4)},
    {"policy": RandomRouter(0.5)},
    {"call_large": 0.2, "temperature": 0.7, "max_tokens": 9, "reference": 0, "context_window": "max", "system_prompt": "Hm."},
]


@each_copy
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings))
def test_a_copy_has_every_setting(way: str, settings: dict[str, Any]) -> None:
    llm = frugal(small(), large(), **settings)
    other = again(llm, way)
    assert repr(other) == repr(llm)
    assert other.metadata == llm.metadata
    for name in (
        "threshold",
        "call_large",
        "budget_usd",
        "on_missing",
        "temperature",
        "max_tokens",
        "reference",
        "context_window",
    ):
        assert repr(getattr(other, name)) == repr(getattr(llm, name)), name
    assert other.system_prompt == llm.system_prompt
    assert [tier.llm.temperature for tier in other._runner.tiers] == [tier.llm.temperature for tier in llm._runner.tiers]
    if settings.get("scorer") is not length and "escalate_on" not in settings:  # code is like no other
        assert other.policy_in_use.version == llm.policy_in_use.version
    mine, theirs = decision(hi(llm)), decision(hi(other))
    assert theirs["cost_usd"] == mine["cost_usd"]
    assert theirs["baseline_cost_usd"] == mine["baseline_cost_usd"]


@each_copy
def test_a_copy_takes_other_settings_as_the_original_does(way: str) -> None:
    llm = again(frugal(small(sure=0.3), large(), call_large=0.2), way)
    llm.call_large = 0.0
    assert decision(hi(llm))["tier"] == "small"
    llm.call_large = None
    llm.threshold = 0.9
    assert decision(hi(llm))["tier"] == "large"
    with pytest.raises(ConfigurationError):
        llm.threshold = 7


def told(llm: FrugalLLM) -> dict[str, Any]:
    """What the wrapper's threshold has learned."""
    policy = llm.policy_in_use
    assert isinstance(policy, Cascade)
    assert isinstance(policy.threshold, BudgetedThreshold)
    return policy.threshold.export()


@each_copy
@pytest.mark.parametrize(
    "make",
    [
        lambda: {"call_large": 0.3},
        lambda: {"call_large": 0.3, "scorer": Margin()},
        lambda: {"budget_usd": 2e-5},
        lambda: {"threshold": BudgetedThreshold(0.3)},
        lambda: {"policy": Cascade(Margin(), BudgetedThreshold(0.3))},
    ],
    ids=["call_large", "scorer", "budget_usd", "threshold", "policy"],
)
def test_a_budget_goes_on_from_what_it_has_learned_and_each_copy_on_its_own(way: str, make: Any) -> None:
    llm = frugal(small(), large(), **make())
    for _ in range(12):
        hi(llm)
    other = again(llm, way)
    before = told(llm)
    assert told(other) == before
    assert before["seen"] == 12
    other.context_window = "max"  # builds anew what it concerns
    assert told(other) == before
    for _ in range(30):
        hi(other)
    assert told(other)["seen"] == 42
    assert told(llm) == before
    if "usd" not in str(make()):
        assert told(other)["large"] == pytest.approx(0.3 * 42, abs=3)
    assert reasons(hi(other))[0][1] in {"confident", "unsure"}, "past its warm-up"


@each_copy
def test_chance_goes_on_where_it_was(way: str) -> None:
    llm = frugal(small(), large(), policy=RandomRouter(0.5))
    for _ in range(7):
        hi(llm)
    other = again(llm, way)
    assert [decision(hi(llm))["tier"] for _ in range(20)] == [decision(hi(other))["tier"] for _ in range(20)]


@each_copy
def test_a_copys_threshold_is_the_object_that_decides(way: str) -> None:
    other = again(frugal(small(), large(), threshold=BudgetedThreshold(0.3)), way)
    hi(other)
    assert other.threshold.export()["seen"] == 1


@pytest.mark.parametrize("deep", [False, True])
def test_a_shallow_copy_shares_what_is_learned_and_a_deep_one_does_not(deep: bool) -> None:
    llm = frugal(small(), large(), call_large=0.3)
    other = llm.model_copy(deep=deep)
    hi(other)
    assert told(llm)["seen"] == (0 if deep else 1)


def test_a_policy_of_a_file_is_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / "support.frugal"
    Cascade(Margin(), 0.95).save(file)
    pickled = pickle.dumps(frugal(small(), large(), policy=str(file)))
    file.unlink()
    assert decision(hi(pickle.loads(pickled)))["tier"] == "large"


@pytest.mark.parametrize(
    "settings",
    [
        {"scorer": lambda query, answer: 1.0},
        {"escalate_on": lambda error: True},
        {"policy": Cascade(lambda query, answer: 1.0, 0.5)},
    ],
    ids=["scorer", "escalate_on", "policy"],
)
def test_a_lambda_is_refused_in_a_pickle_with_what_to_do(settings: dict[str, Any]) -> None:
    llm = frugal(small(), large(), **settings)
    with pytest.raises(ConfigurationError, match=r"cannot be pickled.*Give functions of a module instead of lambdas"):
        pickle.dumps(llm)
    assert decision(hi(copy.deepcopy(llm)))["tier"] == "small"


def test_a_model_that_cannot_be_pickled_is_not_left_out_in_silence() -> None:
    class Local(Fake):
        """A class of a function, which pickle does not find."""

    llm = frugal(Local(model="small"), large())
    with pytest.raises((AttributeError, pickle.PicklingError), match="Local"):
        pickle.dumps(llm)
    assert decision(hi(llm))["tier"] == "small"
    assert "Local" in repr(llm.models), "nor does the wrapper lose it"


def test_what_cannot_be_pickled_and_need_not_be_is_left_out_of_the_pickle_alone() -> None:
    """Core's models lose it themselves."""
    llm, _, _ = accepting(messages_to_prompt=lambda messages: "mine")
    other = pickle.loads(pickle.dumps(llm))
    assert llm.messages_to_prompt([]) == "mine"
    assert other.messages_to_prompt([]) != "mine"
    assert decision(hi(other))["tier"] == decision(hi(llm))["tier"] == "small"


def test_unpickling_repeats_no_warning() -> None:
    with pytest.warns(FrugalWarning):
        llm = FrugalLLM([small(system_prompt="Be brief."), large()], threshold=0.5)
    pickled = pickle.dumps(llm)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pickle.loads(pickled).system_prompt == "Be brief."


def test_handlers_survive_a_pickle_where_they_can() -> None:
    manager, _ = heard()
    llm = pickle.loads(pickle.dumps(frugal(small(callback_manager=manager), large())))
    (handler,) = llm.models[0].callback_manager.handlers
    hi(llm)
    assert len(handler.get_llm_inputs_outputs()) == 1


# --- in another process ---


def answered(llm: FrugalLLM, question: str) -> tuple[str, list[tuple[str, str]], int]:
    """Run in another process."""
    with listening() as events:
        response = llm.chat([ChatMessage(question)])
    return response.message.content or "", reasons(response), sum(isinstance(event, FrugalDecisionEvent) for event in events)


def playground(**settings: Any) -> FrugalLLM:
    prices = {"playground-small": (1, 1), "playground-medium": (10, 10)}
    return FrugalLLM([PlaygroundLLM("playground-small"), PlaygroundLLM("playground-medium")], prices=prices, **settings)


def test_a_wrapper_works_in_another_process() -> None:
    llm = playground(scorer=length, threshold=0.5)
    here = answered(llm, "What is 2 plus 3?")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(answered, llm, "What is 2 plus 3?").result(120) == here
    assert here == ("5", [("playground-small", "unsure"), ("playground-medium", "last_tier")], 1)


def test_an_ingestion_pipeline_works_in_other_processes() -> None:
    extractor = SummaryExtractor(llm=playground(threshold=1.0), prompt_template="What is 2 plus 3?")
    given = [TextNode(text="one"), TextNode(text="two")]
    nodes = IngestionPipeline(transformations=[extractor], disable_cache=True).run(nodes=given, num_workers=2)
    assert [node.metadata["section_summary"] for node in nodes] == ["5", "5"]


# --- forms ---


def secret() -> FrugalLLM:
    models = [OpenAI(model="gpt-4o-mini", api_key=SECRET), OpenAI(model="gpt-4o", api_key=SECRET)]
    return FrugalLLM(models, threshold=0.5, api_key=SECRET)


@pytest.mark.parametrize(
    "form",
    [
        repr,
        str,
        lambda llm: repr(llm.to_dict()),
        lambda llm: llm.to_json(),
        lambda llm: llm.json(),
        lambda llm: llm.model_dump_json(),
        lambda llm: repr(llm.model_dump()),
        lambda llm: repr(llm.to_payload()),
        lambda llm: repr(llm.metadata),
        lambda llm: repr(llm.policy_in_use),
        lambda llm: SummaryExtractor(llm=llm).to_json(),
        lambda llm: repr(SummaryExtractor(llm=llm)),
    ],
)
def test_no_form_tells_a_key(form: Any) -> None:
    told = form(secret())
    assert SECRET not in told
    assert told


@pytest.mark.parametrize(
    "make",
    [
        lambda: FrugalLLM(OpenAI(model="gpt-4o", api_key=SECRET)),  # type: ignore[arg-type]
        lambda: FrugalLLM([[OpenAI(model="gpt-4o", api_key=SECRET)]]),
        lambda: FrugalLLM([{"model": "gpt-4o", "api_key": SECRET}]),
        lambda: FrugalLLM({"large": OpenAI(model="gpt-4o", api_key=SECRET)}),  # type: ignore[arg-type]
        lambda: FrugalLLM(["openai:gpt-4o"], api_key=SECRET, temperature="hot"),
        lambda: FrugalLLM(["nobody:gpt-4o"], api_key=SECRET),
        lambda: FrugalLLM(["openai:gpt-4o"], api_key=SECRET, threshold=7),
        lambda: pickle.dumps(frugal(OpenAI(model="gpt-4o", api_key=SECRET), scorer=lambda query, answer: 1.0)),
    ],
)
def test_no_error_tells_a_key(make: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make()
    assert SECRET not in str(raised.value)


def test_no_warning_and_no_log_tells_a_key(caplog: pytest.LogCaptureFixture) -> None:
    models = [
        OpenAI(model="gpt-4o", api_key=SECRET, system_prompt="Be brief."),
        OpenAI(model="gpt-4o-mini", api_key=SECRET),
        OpenAI(model="ft:gpt-4o:me", api_key=SECRET),
    ]
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        pickle.loads(pickle.dumps(FrugalLLM(models, api_key=SECRET)))
    texts = [str(warning.message) for warning in warned]
    assert any("system_prompt" in text for text in texts)
    assert any("dearer" in text or "No price" in text for text in texts)
    assert SECRET not in "".join(texts) + caplog.text


async def test_no_event_tells_a_key() -> None:
    llm = frugal(small(sure=0.1), large(), api_key=SECRET)
    with listening() as events:
        await ask(llm, "achat")
    assert len(events) > 4
    assert SECRET not in "".join(event.model_dump_json(exclude={"response"}) for event in events)


def test_the_representation_names_models_and_policy() -> None:
    llm, _, _ = accepting()
    assert repr(llm) == f"FrugalLLM(models=['small', 'large'], policy={llm.policy_in_use!r})"
    assert str(llm) == f"models=['small', 'large'] policy={llm.policy_in_use!r}"
    llm.threshold = 0.25
    assert "0.25" in repr(llm)


def test_the_dictionary_is_json_and_names_its_class() -> None:
    llm, _, _ = accepting(temperature=0.5)
    told = json.loads(llm.to_json())
    assert (told["class_name"], told["temperature"], told["context_window"]) == ("frugal_llm", 0.5, "min")
    assert FrugalLLM.class_name() == "frugal_llm"
    assert told["frugal"]["models"] == ["small", "large"]


def test_the_dictionary_brings_the_plain_settings_back() -> None:
    llm, first, last = accepting(temperature=0.5, context_window="max")
    other = FrugalLLM.from_dict(llm.to_dict(), models=[first, last], threshold=0.5, prices=PRICES)
    assert other.to_dict() == llm.to_dict()
    with pytest.raises(ConfigurationError, match="at least one model"):
        FrugalLLM.from_dict(llm.to_dict())


@pytest.mark.parametrize("change", [{"models": [large()]}, {"threshold": 0.9}, {"temperature": 0.3}, {"scorer": length}])
def test_what_changes_answers_changes_the_dictionary(change: dict[str, Any]) -> None:
    """LlamaIndex's ingestion cache answers for whatever has the same one."""
    llm, _, _ = accepting()
    other = llm.model_copy(update=change)
    nodes = [TextNode(text="x")]
    one, two, same = (get_transformation_hash(nodes, SummaryExtractor(llm=each)) for each in (llm, other, llm.model_copy()))
    assert one != two
    assert one == same


def test_an_ingestion_cache_does_not_answer_for_other_models() -> None:
    cache, first, other = IngestionCache(), small("one"), large("two")
    for model in (first, first, other):
        extractor = SummaryExtractor(llm=frugal(model))
        nodes = IngestionPipeline(transformations=[extractor], cache=cache).run(nodes=[TextNode(text="x", id_="1")])
    assert nodes[0].metadata["section_summary"] == "two"
    assert (len(first.log), len(other.log)) == (1, 1)


def test_a_prompt_answered_by_a_copy_is_priced_as_by_the_original() -> None:
    llm, _, _ = accepting()
    copied = pickle.loads(pickle.dumps(llm))
    assert copied.predict(PromptTemplate("hi")) == "the small answer"
    assert decision(hi(copied))["cost_usd"] == pytest.approx(6e-6)
