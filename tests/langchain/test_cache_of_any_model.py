"""`FrugalCache` behind any model: `set_llm_cache`, `cache=`, chat models and plain LLMs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListLLM
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import BaseModel

from caching import Words, cache
from frugal_core.cache import cache_options
from frugal_core.cache.deciders.base import Candidate, Decider, Verdict
from frugal_core.errors import ConfigurationError
from langchain_frugal import FrugalCache
from langchain_frugal.playground import ChatPlayground
from lc import USAGE, Fake, accepting, calls_tool, decision, large, small

QUESTION = "What is the capital of France?"
NEAR = "What is the capital city of France?"


def own(**settings: Any) -> FrugalCache:
    return FrugalCache(cache(**settings))


@pytest.fixture
def global_cache() -> Iterator[FrugalCache]:
    found = own()
    set_llm_cache(found)
    yield found
    set_llm_cache(None)


async def _asked(model: Any, how: str, input: Any, **kwargs: Any) -> Any:
    return model.invoke(input, **kwargs) if how == "invoke" else await model.ainvoke(input, **kwargs)


both = pytest.mark.parametrize("how", ["invoke", "ainvoke"])


@both
async def test_a_near_question_to_any_chat_model(how: str) -> None:
    model = small("Paris", cache=own())
    await _asked(model, how, QUESTION)
    for question, similarity in ((QUESTION, 1.0), (NEAR, 0.9)):
        hit = await _asked(model, how, question)
        assert hit.text == "Paris"
        assert hit.usage_metadata == {**USAGE, "total_cost": 0}
        assert decision(hit)["cache"] == "hit"
        assert decision(hit)["similarity"] == pytest.approx(similarity, abs=0.1)
    assert len(model.log) == 1


@both
async def test_the_global_cache_serves_plain_llms(how: str, global_cache: FrugalCache) -> None:
    llm = FakeListLLM(responses=["first", "second"])
    assert [await _asked(llm, how, question) for question in (QUESTION, NEAR, "Who wrote Faust?", QUESTION)] == [
        "first",
        "first",
        "second",
        "first",
    ]


def test_the_playground_model(global_cache: FrugalCache) -> None:
    model = ChatPlayground(model="playground-small")
    first, second = model.invoke(QUESTION), model.invoke(QUESTION)
    assert first.text == second.text
    assert (second.response_metadata["frugal"]["cache"], first.id == second.id) == ("hit", False)


def test_models_settings_system_prompts_and_tenants_are_told_apart() -> None:
    shared = own()
    first, other = small("one", cache=shared), Fake(model="other", reply="two", cache=shared)
    bound = first.bind(stop=["."])
    for _ in range(2):
        for question in (QUESTION, NEAR):
            assert (first.invoke(question).text, other.invoke(question).text) == ("one", "two")
            bound.invoke(question)
            first.invoke([SystemMessage("be short"), HumanMessage(question)])
            with cache_options(namespace="a"):
                first.invoke(question)
    assert (len(first.log), len(other.log)) == (4, 1)


def test_a_chat_and_a_text_are_told_apart() -> None:
    shared = own()
    chat = dumps([HumanMessage("hi")])
    shared.update(chat, "model", [ChatGeneration(message=AIMessage("chat"))])
    assert shared.lookup("hi", "model") is None
    assert shared.lookup("[1]", "model") is None
    assert shared.lookup('[{"lc": 1, "type": "constructor", "kwargs": {"type": "nonsense"}}]', "model") is None


def test_the_envelope_is_never_embedded() -> None:
    words = Words()
    model = small("Paris", cache=FrugalCache(cache(embed=words)))
    model.invoke([SystemMessage("be short"), HumanMessage(QUESTION)])
    assert words.calls == [[QUESTION]]


def test_classes_that_a_prompt_names_are_not_made() -> None:
    shared = own()
    secret = [{"lc": 1, "type": "secret", "id": ["HOME"]}]
    prompt = json.dumps(
        [{"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"type": "human", "content": secret}}]
    )
    shared.update(prompt, "model", [Generation(text="fine")])
    assert shared.lookup(prompt, "model") == [Generation(text="fine")]
    (entry,) = shared.semantic_cache.store.scan()
    assert "HOME" not in entry.answer


@both
async def test_tool_calls_come_back_for_the_same_question_alone(how: str) -> None:
    wish = calls_tool("add", {"a": 1})
    model = small(wish, cache=own())
    await _asked(model, how, QUESTION)
    assert (await _asked(model, how, QUESTION)).tool_calls == wish.tool_calls
    await _asked(model, how, NEAR)
    assert len(model.log) == 2


def test_hits_are_fresh_copies_without_an_id() -> None:
    model = small(AIMessage("Paris", id="mine", additional_kwargs={"list": []}), cache=own())
    model.invoke(QUESTION)
    one, other = model.invoke(QUESTION), model.invoke(QUESTION)
    one.additional_kwargs["list"].append(1)
    assert other.additional_kwargs == model.invoke(QUESTION).additional_kwargs == {"list": []}
    assert "mine" not in (one.id, other.id)


@pytest.mark.parametrize(
    ("reply", "settings", "kept"),
    [
        ("Paris", {}, True),
        ("Paris", {"temperature": 0.0}, True),
        ("Paris", {"temperature": 0.7}, False),
        ("I'm sorry, but I can't help with that.", {}, False),
        (AIMessage("Par", response_metadata={"finish_reason": "length"}), {}, False),
        (AIMessage("Paris", additional_kwargs={"odd": object()}), {}, False),
        (AIMessage(""), {}, False),
    ],
)
def test_what_should_not_be_served_again_is_not_kept(reply: Any, settings: Any, kept: bool) -> None:
    model = small(reply, cache=own(), **settings)
    for _ in range(2):
        model.invoke(QUESTION)
    assert len(model.log) == (1 if kept else 2)


def test_options_of_the_block_around() -> None:
    model = small("old", cache=own())
    model.invoke(QUESTION)
    model.reply = "new"
    same = Fake(model="small", reply="old", cache=model.cache)
    with cache_options(no_cache=True):
        same.invoke(QUESTION)
    assert len(same.log) == 1
    with cache_options(refresh=True):
        same.invoke(QUESTION)
    assert len(same.log) == 2
    same.invoke(QUESTION)
    assert len(same.log) == 2


def test_structured_output_of_any_model() -> None:
    class Number(BaseModel):
        """A number."""

        value: int

    model = small(calls_tool("Number", {"value": 7}), cache=own())
    structured: Any = model.with_structured_output(Number)
    assert [structured.invoke(QUESTION) for _ in range(2)] == [Number(value=7)] * 2
    assert len(model.log) == 1


class Curious(Decider):
    """Never serves a neighbour, and always wants to know what it would have been worth."""

    def __init__(self) -> None:
        self.learned: list[tuple[str, float]] = []
        self.done = threading.Event()

    def decide(self, candidate: Candidate) -> Verdict:
        return Verdict(False, "exploring", learn=True)

    def same(self, question: str, answer: str, reference: str) -> float:
        return float(answer == reference)

    def learn(self, candidate: Candidate, verdict: Verdict, same: float) -> None:
        self.learned.append((candidate.asked, same))
        self.done.set()


@both
async def test_the_decider_learns_from_what_the_model_says(how: str) -> None:
    decider = Curious()
    shared = own(decider=decider)
    model = small("Paris", cache=shared)
    for question in (QUESTION, NEAR):
        await _asked(model, how, question)
    assert decider.done.wait(10)
    assert decider.learned == [(NEAR, 1.0)]
    assert not shared._missed


def test_a_failing_model_leaves_nobody_waiting() -> None:
    shared = own()
    model = large(ConnectionError("cut"), cache=shared)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            model.invoke(QUESTION)
    assert not shared.semantic_cache._flights._flying


async def test_clear(global_cache: FrugalCache) -> None:
    global_cache.update("a", "b", [Generation(text="c")])
    await global_cache.aclear()
    assert await global_cache.alookup("a", "b") is None


def test_chat_frugal_uses_the_semantic_cache_in_it(global_cache: FrugalCache) -> None:
    llm, first, _ = accepting()
    list(llm.stream(QUESTION))
    hit = llm.invoke(NEAR)
    assert decision(hit)["saved_usd"] > 0
    assert len(first.log) == 1
    given, _, _ = accepting(cache=global_cache)
    assert given.cache is global_cache.semantic_cache


def test_bad_arguments() -> None:
    with pytest.raises(ConfigurationError, match="cache=7 must be a SemanticCache"):
        FrugalCache(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="embed cannot be given with a cache"):
        FrugalCache(cache(), embed=None)
