"""Chat engines with FrugalLLM: several turns, every way of asking, every memory; and nothing of a decision is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.embeddings.mock_embed_model import MockEmbedding
from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer, Memory
from llama_index.core.schema import TextNode

import rag
from li import Fake, frugal, large, listening, small
from llamaindex_frugal import FrugalDecisionEvent, FrugalLLM
from llamaindex_frugal.playground import PlaygroundLLM

HOWS = ("chat", "achat", "stream_chat", "astream_chat")
each_how = pytest.mark.parametrize("how", HOWS)
each_memory = pytest.mark.parametrize("kind", ["buffer", "memory"])


@asynccontextmanager
async def remembering(kind: str, **settings: Any) -> AsyncIterator[Any]:
    """A memory of either kind; `Memory` keeps a database open."""
    if kind == "buffer":
        yield ChatMemoryBuffer.from_defaults(token_limit=2000, **settings)
        return
    memory = Memory.from_defaults(token_limit=2000, **settings)
    yield memory
    if memory.sql_store._async_engine is not None:
        await memory.sql_store._async_engine.dispose()


async def say(engine: Any, how: str, text: str) -> tuple[str, list[str]]:
    """The answer, and the pieces it came in. Synchronous ways run on a thread, as in a server."""
    if how == "chat":
        reply = await asyncio.to_thread(engine.chat, text)
        return str(reply), [str(reply)]
    if how == "achat":
        reply = await engine.achat(text)
        return str(reply), [str(reply)]
    if how == "stream_chat":

        def read() -> list[str]:
            return list(engine.stream_chat(text).response_gen)

        pieces = await asyncio.to_thread(read)
    else:
        reply = await engine.astream_chat(text)
        pieces = [piece async for piece in reply.async_response_gen()]
    return "".join(pieces), pieces


async def recalled(engine: Any) -> list[ChatMessage]:
    """What the engine remembers; asked on a thread, where a memory may run a loop of its own."""
    found: list[ChatMessage] = await asyncio.to_thread(lambda: engine.chat_history)
    return found


def clerk(messages: list[ChatMessage]) -> str:
    """Says how many turns it has heard of, and whether it was shown the ledger. Asked to, it rephrases."""
    prompt = messages[-1].content or ""
    if "Follow Up" in prompt:
        return "How many apples does Ann have?"
    turns = sum(message.role.value == "user" for message in messages)
    shown = any("Ann has 53 apples." in (message.content or "") for message in messages)
    return f"turn {turns}, {'with' if shown else 'without'} the ledger"


def pair(accepts: bool) -> tuple[FrugalLLM, Fake, Fake]:
    """A cascade of clerks, of which the first is believed or not."""
    first = small(clerk) if accepts else small("SECRET draft", sure=0.1)
    last = large(clerk)
    return frugal(first, last), first, last


def engine_of(mode: str, llm: FrugalLLM, memory: Any) -> Any:
    index = VectorStoreIndex([TextNode(text="Ann has 53 apples.")], embed_model=MockEmbedding(embed_dim=3))
    if mode == "simple":
        return SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt="Be brief.")
    if mode == "context":
        return ContextChatEngine.from_defaults(index.as_retriever(), llm=llm, memory=memory)
    if mode == "condense_plus_context":
        return CondensePlusContextChatEngine.from_defaults(index.as_retriever(), llm=llm, memory=memory)
    return CondenseQuestionChatEngine.from_defaults(index.as_query_engine(llm=llm), llm=llm, memory=memory)


MODES = {
    # what is answered in each turn, and how many questions the model is asked in it
    "simple": ([f"turn {turn}, without the ledger" for turn in (1, 2, 3)], [1, 1, 1]),
    "context": ([f"turn {turn}, with the ledger" for turn in (1, 2, 3)], [1, 1, 1]),
    "condense_plus_context": ([f"turn {turn}, with the ledger" for turn in (1, 2, 3)], [1, 2, 2]),
    "condense_question": (["turn 1, with the ledger"] * 3, [1, 2, 2]),
}


@each_how
@each_memory
@pytest.mark.parametrize("accepts", [True, False])
@pytest.mark.parametrize("mode", MODES)
async def test_three_turns(mode: str, accepts: bool, kind: str, how: str) -> None:
    llm, first, last = pair(accepts)
    expected, asked = MODES[mode]
    async with remembering(kind) as memory:
        engine = engine_of(mode, llm, memory)
        for turn, text in enumerate(("How many apples?", "And now?", "Sure?")):
            with listening() as events:
                answer, pieces = await say(engine, how, text)
            assert answer == expected[turn]
            assert (len(pieces) > 1) == ("stream" in how and not accepts)  # the last model is live, a draft is one piece
            told = [event.decision for event in events if isinstance(event, FrugalDecisionEvent)]
            assert [decision["tier"] for decision in told] == ["small" if accepts else "large"] * asked[turn]
        history = await recalled(engine)
    assert [message.role.value for message in history] == ["user", "assistant"] * 3
    assert [message.content for message in history[1::2]] == expected
    remembered = repr([message.model_dump() for message in history])
    assert "frugal" not in remembered
    assert "SECRET" not in remembered
    assert len(first.log) == sum(asked)
    assert len(last.log) == (0 if accepts else sum(asked))
    prompts = repr([call.messages for tier in (first, last) for call in tier.log.calls])
    assert "frugal" not in prompts
    assert "SECRET" not in prompts


# --- for real ---

QUESTIONS = [
    (f"{note.text} {note.question}", note.answer) for note in (rag.NOTES[0], rag.NOTES[1], rag.NOTES[28], rag.NOTES[17])
]


def playground() -> FrugalLLM:
    return FrugalLLM([PlaygroundLLM("playground-small"), PlaygroundLLM("playground-large")], threshold=0.5)


@each_how
@each_memory
async def test_small_talk_and_sums_with_playground_models(kind: str, how: str) -> None:
    async with remembering(kind) as memory:
        engine = SimpleChatEngine.from_defaults(llm=playground(), memory=memory)
        with listening() as events:
            for question, answer in [("Hello", "Hello! Ask me a small question."), *QUESTIONS]:
                assert (await say(engine, how, question))[0] == answer
        history = await recalled(engine)
    told = [event.decision for event in events if isinstance(event, FrugalDecisionEvent)]
    read = [decision["steps"][0]["input_tokens"] for decision in told]
    assert read == sorted(set(read))  # the conversation grows
    assert {decision["tier"] for decision in told} == {"playground-small", "playground-large"}
    assert [message.content for message in history[1::2]] == ["Hello! Ask me a small question.", *(a for _, a in QUESTIONS)]
    assert "frugal" not in repr([message.model_dump() for message in history])


@each_how
async def test_follow_ups_over_the_ledger(how: str) -> None:
    """What is condensed is scripted; the note is found and the question answered for real."""
    other = rag.NOTES[17]
    rephrasing = frugal(small("SECRET", sure=0.1), large(other.question))
    engine = CondenseQuestionChatEngine.from_defaults(
        rag.query_engine(playground(), rag.index(rag.NOTES[:20])), llm=rephrasing, memory=ChatMemoryBuffer(token_limit=2000)
    )
    assert (await say(engine, how, rag.NOTES[0].question))[0] == "83"
    assert (await say(engine, how, "And what is left of Mia's?"))[0] == other.answer
    history = await recalled(engine)
    assert [message.content for message in history] == [rag.NOTES[0].question, "83", "And what is left of Mia's?", "25"]


# --- memory ---


@each_how
async def test_a_memory_that_overflows(how: str) -> None:
    """The window of the wrapper bounds what is sent; what is dropped is dropped for both models alike."""
    llm, first, last = pair(False)
    memory = ChatMemoryBuffer(token_limit=12, tokenizer_fn=str.split)
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory)
    for turn in range(4):
        await say(engine, how, f"question {turn} in words")
    sent = [[message.content for message in call.messages] for call in first.log.calls]
    assert sent == [[message.content for message in call.messages] for call in last.log.calls]
    assert sent[0] == ["question 0 in words"]
    assert sent[3][-1] == "question 3 in words"
    assert "question 0 in words" not in sent[3]


def test_a_memory_that_asks_the_model_for_a_summary() -> None:
    drafted, asked = small("SECRET", sure=0.1), large("They spoke of apples.")
    llm = frugal(drafted, asked)
    memory = ChatSummaryMemoryBuffer.from_defaults(llm=llm, token_limit=8, tokenizer_fn=str.split)
    for number in range(4):
        memory.put(ChatMessage(f"question number {number}"))
        memory.put(ChatMessage(f"answer number {number}", role="assistant"))
    found = memory.get()
    assert found[0].content == "They spoke of apples."
    assert (len(drafted.log), len(asked.log)) == (1, 1)


@each_how
@each_memory
async def test_a_history_of_another_makers(kind: str, how: str) -> None:
    """Turns that came from elsewhere go through as they are, and stay in the memory."""
    llm, first, _ = pair(True)
    history = [ChatMessage("Hi"), ChatMessage("Hello!", role="assistant", additional_kwargs={"frugal": "their own"})]
    async with remembering(kind, chat_history=history) as memory:
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory)
        assert (await say(engine, how, "Sure?"))[0] == "turn 2, without the ledger"
        assert len(await recalled(engine)) == 4
    assert [message.content for message in first.log.calls[0].messages] == ["Hi", "Hello!", "Sure?"]


@each_how
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # the engine's writer thread raises it too
async def test_a_failing_model_reaches_the_reader(how: str) -> None:
    llm = frugal(small(TimeoutError("slow")), large(ValueError("broken")))
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=ChatMemoryBuffer(token_limit=2000))
    with pytest.raises(ValueError, match="broken"):
        await asyncio.wait_for(say(engine, how, "Hi"), 20)
    assert [message.content for message in await recalled(engine)] == ["Hi"]


@each_how
async def test_a_chat_engine_counts_every_call_once(how: str) -> None:
    llm, _, _ = pair(False)
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=ChatMemoryBuffer(token_limit=2000))
    for text in ("Hi", "Sure?"):
        await say(engine, how, text)
    assert len(counter.llm_token_counts) == 4
    assert counter.total_llm_token_count == 4 * 6
