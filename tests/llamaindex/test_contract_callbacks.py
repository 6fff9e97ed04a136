"""Callbacks: each real call is heard once, nothing else is, and a manager assigned from outside reaches the models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.llms.utils import resolve_llm
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from li import HOWS, Fake, ask, calls_tool, counting, frugal, large, listening, small
from llamaindex_frugal import FrugalDecisionEvent
from openai_shapes import PRICES

each_how = pytest.mark.parametrize("how", HOWS)
TOKENS = 6  # of each call of a fake
PROMPT = PromptTemplate("Which number is {word}?")


class Number(BaseModel):
    """A number."""

    value: int


def noted(value: int) -> int:
    """Note a number."""
    return value


async def taken(reply: Any) -> Any:
    """What a call gives, awaited and read to its end."""
    if hasattr(reply, "__await__"):
        reply = await reply
    if hasattr(reply, "__aiter__"):
        return [piece async for piece in reply]
    return list(reply) if hasattr(reply, "__next__") else reply


PREDICTIONS = ("predict", "apredict", "stream", "astream")
WITH_TOOLS = ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools")
STRUCTURED = (
    *("structured_predict", "astructured_predict"),
    *("stream_structured_predict", "astream_structured_predict"),
)
EVERY_HOW = (*HOWS, *PREDICTIONS, *WITH_TOOLS, *STRUCTURED)
each_of_all = pytest.mark.parametrize("how", EVERY_HOW)


async def used(llm: Any, how: str) -> Any:
    """An LLM asked in one of all ways."""
    if how in HOWS:
        return await ask(llm, how)
    if how in PREDICTIONS:
        return await taken(getattr(llm, how)(PROMPT, word="it"))
    if how in WITH_TOOLS:
        return await taken(getattr(llm, how)([FunctionTool.from_defaults(noted)], "it?"))
    return await taken(getattr(llm, how)(Number, PROMPT, word="it"))


ONE = calls_tool("Number", {"value": 1})


def pair(*, accept: bool, said: Any = ONE, **settings: Any) -> tuple[Fake, Fake]:
    """A cheap model that is believed or not, and a dear one."""
    return small(said, sure=0.9 if accept else 0.1, **settings), large(said, **settings)


# --- real calls are heard once ---


@each_of_all
@pytest.mark.parametrize("accept", [True, False], ids=["accepted", "escalated"])
@pytest.mark.parametrize("chats", [True, False], ids=["chat models", "text models"])
async def test_a_token_counter_counts_each_real_call_once(how: str, accept: bool, chats: bool) -> None:
    if not chats and how in (*WITH_TOOLS, *STRUCTURED):
        return
    manager, counter = counting()
    first, last = pair(accept=accept, said=ONE if chats else "in words", chats=chats)
    await used(frugal(first, last, callback_manager=manager), how)
    calls = len(first.log) + len(last.log)
    assert calls == (1 if accept else 2)
    assert [one.total_token_count for one in counter.llm_token_counts] == [TOKENS] * calls


@each_of_all
@pytest.mark.parametrize("accept", [True, False], ids=["accepted", "escalated"])
async def test_instrumentation_tells_each_real_call_once_and_one_decision(how: str, accept: bool) -> None:
    first, last = pair(accept=accept)
    llm = frugal(first, last)
    with listening() as events:
        await used(llm, how)
    heard = Counter(type(event) for event in events)
    calls = 1 if accept else 2
    assert heard[LLMChatStartEvent] + heard[LLMCompletionStartEvent] == calls
    assert heard[LLMChatEndEvent] + heard[LLMCompletionEndEvent] == calls
    assert {event.model_dict["class_name"] for event in events if isinstance(event, LLMChatStartEvent)} == {"fake_llm"}
    assert heard[FrugalDecisionEvent] == 1


# --- a manager given or assigned reaches the models ---


@pytest.fixture
def settings() -> Iterator[Any]:
    """LlamaIndex's global settings, put back afterwards."""
    before = dict(Settings.__dict__)
    Settings.__dict__.update(_llm=None, _callback_manager=None)
    yield Settings
    Settings.__dict__.clear()
    Settings.__dict__.update(before)


async def counted(llm: Any, counter: Any) -> list[int]:
    """Numbers of calls that a counter heard of: of an accepted and of an escalated query, and structured."""
    numbers = []
    for how in ("chat", "astream_complete", "structured_predict"):
        counter.reset_counts()
        await used(llm, how)
        numbers.append(len(counter.llm_token_counts))
    return numbers


async def test_a_manager_given_to_the_wrapper_is_the_models(settings: Any) -> None:
    manager, counter = counting()
    assert await counted(frugal(*pair(accept=False), callback_manager=manager), counter) == [2, 2, 2]


async def test_settings_bring_their_manager_to_the_models(settings: Any) -> None:
    manager, counter = counting()
    settings.callback_manager = manager
    settings.llm = frugal(*pair(accept=False))
    assert await counted(settings.llm, counter) == [2, 2, 2]


async def test_a_manager_set_after_the_llm_reaches_the_models(settings: Any) -> None:
    settings.llm = frugal(*pair(accept=False))
    for _ in range(2):
        manager, counter = counting()
        settings.callback_manager = manager
        assert await counted(settings.llm, counter) == [2, 2, 2]


async def test_resolving_the_llm_with_a_manager_reaches_the_models(settings: Any) -> None:
    manager, counter = counting()
    assert await counted(resolve_llm(frugal(*pair(accept=False)), manager), counter) == [2, 2, 2]


class Shelf(BaseRetriever):
    """Finds the same note whatever is sought."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(text="Note."), score=1.0)]


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_query_engine_brings_its_manager_to_the_models(settings: Any, streaming: bool) -> None:
    llm = frugal(small("A note.", sure=0.1), large("A note."))
    (manager, counter), (later, later_counter) = counting(), counting()
    synthesizer = get_response_synthesizer(llm=llm, callback_manager=manager, streaming=streaming)
    engine = RetrieverQueryEngine(Shelf(), synthesizer)
    assert str(engine.query("What?")) == "A note."
    assert len(counter.llm_token_counts) == 2
    synthesizer.callback_manager = later
    assert str(await engine.aquery("What?")) == "A note."
    assert (len(counter.llm_token_counts), len(later_counter.llm_token_counts)) == (2, 2)


async def test_handlers_that_models_have_of_their_own_stay_when_nobody_gives_another_manager(settings: Any) -> None:
    manager, counter = counting()
    llm = frugal(*pair(accept=False, callback_manager=manager))
    assert await counted(llm, counter) == [2, 2, 2]
    llm.callback_manager = llm.callback_manager  # as LlamaIndex does in many places
    assert resolve_llm(llm) is llm
    settings.llm = llm
    get_response_synthesizer(llm=llm, callback_manager=llm.callback_manager).callback_manager = llm.callback_manager
    assert await counted(llm, counter) == [2, 2, 2]


async def test_no_manager_is_given_by_none(settings: Any) -> None:
    manager, counter = counting()
    first, last = pair(accept=False, callback_manager=manager)
    llm = frugal(first, last, callback_manager=None)
    assert isinstance(llm.callback_manager, CallbackManager)
    assert await counted(llm, counter) == [2, 2, 2]


@pytest.mark.parametrize("change", ["models", "temperature", "copy", "system_prompt", "threshold"])
async def test_models_that_come_with_a_change_of_settings_get_the_manager_too(settings: Any, change: str) -> None:
    manager, counter = counting()
    llm = frugal(*pair(accept=False), temperature=0.5)
    llm.callback_manager = manager
    if change == "models":
        llm.models = list(pair(accept=False))
    elif change == "copy":
        llm = llm.model_copy(update={"max_tokens": 9})
    elif change == "system_prompt":
        llm.system_prompt = "Be brief."
    else:
        setattr(llm, change, 0.6)
    assert await counted(llm, counter) == [2, 2, 2]


async def test_a_manager_that_comes_between_two_queries_hears_the_second(settings: Any) -> None:
    llm = frugal(*pair(accept=False))
    llm.system_prompt = "Be brief."
    for how in EVERY_HOW:
        await used(llm, how)
    manager, counter = counting()
    llm.callback_manager = manager
    assert await counted(llm, counter) == [2, 2, 2]


async def test_models_keep_their_own_handlers_through_a_change_of_settings(settings: Any) -> None:
    manager, counter = counting()
    llm = frugal(*pair(accept=False, callback_manager=manager))
    llm.temperature = 0.5
    llm.system_prompt = "Be brief."
    assert await counted(llm, counter) == [2, 2, 2]


async def test_a_wrapper_within_a_wrapper_hands_the_manager_down(settings: Any) -> None:
    manager, counter = counting()
    prices = {**PRICES, "small > large": (1.0, 1.0)}
    llm = frugal(frugal(*pair(accept=False)), large(), callback_manager=manager, prices=prices)
    assert await counted(llm, counter) == [2, 2, 2]
