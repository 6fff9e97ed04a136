"""Chains behind the semantic cache: keyed on the question, checked against what it retrieves."""

from __future__ import annotations

from functools import reduce
from operator import add, itemgetter
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from caching import cache
from frugal_core.cache import cache_options
from frugal_core.errors import ConfigurationError
from langchain_frugal import CachedChain
from langchain_frugal.playground import ChatPlayground
from lc import Recorder, collect, decision, heard_by, small

QUESTION = "When does the shop open?"
NEAR = "When does the shop open please?"
WAYS = ("invoke", "ainvoke", "stream", "astream")
each_way = pytest.mark.parametrize("way", WAYS)
PROMPT = ChatPromptTemplate.from_template("Context: {context}\n\nQuestion: {question}")


class Shelf(BaseRetriever):
    """Finds everything, and counts how often."""

    documents: list[Document]
    asked: list[str] = []

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.asked.append(query)
        return self.documents


def shelf() -> Shelf:
    return Shelf(documents=[Document("We open at 9.", id="hours"), Document("Ring twice.", id="bell")], asked=[])


def shop(model: Any, retriever: Any = None, **settings: Any) -> CachedChain:
    own = settings.pop("cache", None) or cache()
    return CachedChain(PROMPT | model | StrOutputParser(), own, retriever=retriever, **settings)


async def ask(chain: CachedChain, way: str, input: Any = QUESTION, config: Any = None, **kwargs: Any) -> Any:
    """The whole answer."""
    if way == "invoke":
        return chain.invoke(input, config, **kwargs)
    if way == "ainvoke":
        return await chain.ainvoke(input, config, **kwargs)
    if way == "stream":
        chunks = list(chain.stream(input, config, **kwargs))
    else:
        chunks = await collect(chain.astream(input, config, **kwargs))
    return reduce(add, chunks)


# --- retrieval ---


@each_way
async def test_a_paraphrase_is_answered_though_documents_outweigh_it_in_the_prompt(way: str) -> None:
    model, retriever = small("At 9."), shelf()
    chain = shop(model, retriever)
    assert [await ask(chain, way, question) for question in (QUESTION, QUESTION, NEAR)] == ["At 9."] * 3
    assert len(model.log) == 1
    assert "We open at 9." in model.log.calls[0].messages[0].text
    assert retriever.asked == [QUESTION] * 3  # once to answer, and the stored question for each check


@each_way
async def test_another_question_about_the_same_documents_is_asked(way: str) -> None:
    model = small("At 9.")
    chain = shop(model, shelf())
    for question in (QUESTION, "How do I ring the bell?"):
        await ask(chain, way, question)
    assert len(model.log) == 2


@each_way
@pytest.mark.parametrize("question", [QUESTION, NEAR])
async def test_a_changed_document_makes_the_answer_stale(way: str, question: str) -> None:
    model, retriever = small("At 9."), shelf()
    chain = shop(model, retriever)
    await ask(chain, way)
    retriever.documents[0] = Document("We open at 10.", id="hours")
    await ask(chain, way, question)
    assert len(model.log) == 2
    assert chain.cache.stats().stale == 1
    assert [entry.question for entry in chain.cache.store.scan()] == [question]
    await ask(chain, way, question)
    assert len(model.log) == 2


@each_way
async def test_the_order_of_documents_makes_no_difference(way: str) -> None:
    model, retriever = small("At 9."), shelf()
    chain = shop(model, retriever)
    await ask(chain, way)
    retriever.documents.reverse()
    await ask(chain, way)
    assert len(model.log) == 1


async def test_of_several_neighbours_the_first_that_holds_answers() -> None:
    store = {QUESTION: "a", NEAR: "b"}
    model = small(lambda messages: messages[-1].text)
    chain = CachedChain(
        PROMPT | model | StrOutputParser(), cache(decider=0.999), retriever=lambda question: [Document(store[question])]
    )
    for question in (QUESTION, NEAR):
        chain.invoke(question)
    store[QUESTION] = "c"
    chain.cache.decider.least = 0.5
    assert "b" in chain.invoke("When does the shop open today?")
    assert chain.cache.stats().stale == 1
    assert len(model.log) == 2


async def test_documents_can_be_invalidated_by_their_ids() -> None:
    model = small("At 9.")
    chain = shop(model, shelf(), validate="none")
    chain.invoke(QUESTION)
    assert chain.cache.invalidate(document="bell") == 1
    chain.invoke(QUESTION)
    assert len(model.log) == 2


@each_way
async def test_a_retriever_that_fails_rises_and_leaves_nobody_waiting(way: str) -> None:
    def fail(question: str) -> Any:
        raise ConnectionError("cut")

    chain = shop(small(), RunnableLambda(fail))
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await ask(chain, way)
    assert not chain.cache._flights._flying


# --- versions, and no check ---


@each_way
async def test_the_version_decides(way: str) -> None:
    version = ["1"]
    model = small("At 9.")
    chain = shop(model, version=lambda: version[0], retriever=shelf(), validate="version")
    for _ in range(2):
        await ask(chain, way)
    assert len(model.log) == 1
    version[0] = "2"
    await ask(chain, way, NEAR)
    assert len(model.log) == 2
    assert chain.cache.stats().stale == 1


@each_way
async def test_a_version_that_cannot_be_told_leaves_nobody_waiting(way: str) -> None:
    faults = [OSError("down")]

    def version() -> str:
        if faults:
            raise faults.pop()
        return "1"

    model = small("At 9.")
    chain = shop(model, version=version, retriever=shelf(), validate="version")
    with pytest.raises(OSError, match="down"):
        await ask(chain, way)
    assert not chain.cache._flights._flying
    assert [await ask(chain, way) for _ in range(2)] == ["At 9."] * 2
    assert len(model.log) == 1


@each_way
async def test_a_namespace_that_cannot_be_told_is_an_error(way: str) -> None:
    def whose() -> str:
        raise LookupError("no tenant")

    model = small("At 9.")
    chain = shop(model, shelf(), cache=cache(namespace=whose))
    with pytest.raises(LookupError, match="no tenant"):
        await ask(chain, way)
    assert len(model.log) == 0


@each_way
async def test_any_chain_without_a_check(way: str) -> None:
    model = small("At 9.")
    chain = CachedChain(ChatPromptTemplate.from_template("{question}") | model, cache(), validate="none")
    missed, hit = await ask(chain, way), await ask(chain, way, NEAR)
    assert missed.text == hit.text == "At 9."
    assert decision(hit)["cache"] == "hit"
    assert len(model.log) == 1


# --- what makes a difference ---


@each_way
async def test_everything_else_must_agree(way: str) -> None:
    model = small("At 9.")
    chain = CachedChain(
        ChatPromptTemplate.from_messages([("system", "{language}"), ("placeholder", "{history}"), ("human", "{question}")])
        | model,
        cache(),
        validate="none",
    )
    turns = [HumanMessage("hi", id="1"), AIMessage("yes?", id="2")]
    inputs: list[Any] = [
        {"question": QUESTION, "language": "en", "history": []},
        {"question": QUESTION, "language": "de", "history": []},
        {"question": QUESTION, "language": "en", "history": turns},
        {"question": NEAR, "language": "en", "history": turns},  # in a conversation only the same words
    ]
    for _ in range(2):
        for input in inputs:
            await ask(chain, way, input)
    assert len(model.log) == 4
    fresh = [message.model_copy(update={"id": None}) for message in turns]
    await ask(chain, way, {**inputs[2], "history": fresh})
    assert len(model.log) == 4
    for _ in range(2):
        await ask(chain, way, {**inputs[0], "odd": object()})
    assert len(model.log) == 6


def test_chains_are_told_apart_unless_they_are_named_alike() -> None:
    own = cache()
    unchecked: dict[str, Any] = {"validate": "none"}
    chains = [CachedChain(RunnableLambda(lambda _, number=number: str(number)), own, **unchecked) for number in range(2)]
    assert [chain.invoke(QUESTION) for chain in chains] == ["0", "1"]
    named = [
        CachedChain(RunnableLambda(lambda _, number=number: str(number)), own, identity="1", **unchecked) for number in range(2)
    ]
    assert [chain.invoke(QUESTION) for chain in named] == ["0", "0"]


@each_way
async def test_options(way: str) -> None:
    model = small("At 9.")
    chain = shop(model, shelf())
    await ask(chain, way)
    await ask(chain, way, QUESTION, no_cache=True)
    await ask(chain, way, QUESTION, refresh=True)
    await ask(chain, way, QUESTION, {"configurable": {"cache_namespace": "a"}})
    with cache_options(namespace="b"):
        await ask(chain, way)
    await ask(chain, way)
    assert len(model.log) == 5


# --- what comes back ---


@pytest.mark.parametrize(
    "output",
    [
        "text",
        {"answer": "text", "context": [Document("a", id="1", metadata={"page": 1})]},
        ["a", {"b": None, "c": 1.5}],
        AIMessage("hi"),
    ],
)
def test_outputs_come_back_as_new_objects(output: Any) -> None:
    calls: list[int] = []

    def answer(_: Any) -> Any:
        calls.append(1)
        return output

    chain = CachedChain(RunnableLambda(answer), cache(), validate="none")
    first, second = chain.invoke(QUESTION), chain.invoke(QUESTION)
    assert len(calls) == 1
    if isinstance(output, AIMessage):
        second = second.model_copy(update={"response_metadata": {}, "usage_metadata": None})
    assert second == first
    assert isinstance(output, str) or second is not first


@pytest.mark.parametrize("output", [object(), {"a": {1, 2}}, ("a",), "", "I'm sorry, but I can't help with that."])
def test_what_would_not_come_back_the_same_is_not_kept(output: Any) -> None:
    calls: list[int] = []

    def answer(_: Any) -> Any:
        calls.append(1)
        return output

    chain = CachedChain(RunnableLambda(answer), cache(), validate="none")
    assert [chain.invoke(QUESTION) for _ in range(2)] == [output] * 2
    assert len(calls) == 2


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_streams(way: str) -> None:
    model = small("At nine o'clock.")
    chain = shop(model, shelf())
    rounds = [list(chain.stream(QUESTION)) if way == "stream" else await collect(chain.astream(QUESTION)) for _ in range(2)]
    assert rounds[1] == ["At ", "nine ", "o'clock."]
    assert "".join(rounds[0]) == "".join(rounds[1])
    assert len(model.log) == 1


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_stream_that_was_left_is_not_kept(way: str) -> None:
    chain = shop(small("At nine o'clock."), shelf())
    if way == "stream":
        stream = chain.stream(QUESTION)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    else:
        astream = chain.astream(QUESTION)
        await anext(astream)
        await astream.aclose()  # type: ignore[attr-defined]
    assert chain.cache.store.size().entries == 0
    assert not chain.cache._flights._flying


async def test_mappings_that_stream_in_parts() -> None:
    model = small("At 9.")
    answer = RunnablePassthrough.assign(answer=PROMPT | model | StrOutputParser()) | RunnableLambda(itemgetter("answer"))
    chain = CachedChain(RunnablePassthrough.assign(answer=answer), cache(), retriever=shelf())
    missed = await ask(chain, "stream")
    hit = await ask(chain, "stream")
    assert missed == hit
    assert (hit["answer"], [document.id for document in hit["context"]]) == ("At 9.", ["hours", "bell"])
    assert len(model.log) == 1


@each_way
async def test_a_hit_is_a_chain_run_that_tells_its_decision(way: str) -> None:
    class Listening(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[Any] = []

        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            self.told.append((name, data))

    chain = shop(small("At 9."), shelf())
    await ask(chain, way)
    heard = Listening()
    await ask(chain, way, NEAR, heard_by(heard))
    assert heard.models == []
    ((name, data),) = heard.told
    assert (name, data["cache"]) == ("frugal_cache", "hit")
    assert 0.8 < data["similarity"] < 1


def test_a_real_model() -> None:
    chain = shop(ChatPlayground(model="playground-small"), shelf())
    first = chain.invoke(QUESTION)
    assert chain.invoke(QUESTION) == first


def test_bad_arguments() -> None:
    with pytest.raises(ConfigurationError, match=r'Give retriever=.*version=.*validate="none"'):
        CachedChain(small(), cache())
    with pytest.raises(ConfigurationError, match="cache=7 must be a SemanticCache"):
        CachedChain(small(), 7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match='validate="retrieval" needs retriever='):
        CachedChain(small(), cache(), validate="retrieval")
    with pytest.raises(ConfigurationError, match='validate="version" needs version='):
        CachedChain(small(), cache(), validate="version")
    with pytest.raises(ConfigurationError, match="validate='maybe' must be"):
        CachedChain(small(), cache(), validate="maybe")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="has no question for the retriever"):
        shop(small(), shelf()).invoke({"query": QUESTION})
