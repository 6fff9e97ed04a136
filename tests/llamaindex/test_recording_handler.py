"""What a program's models answer in production is recorded as `record` would have recorded it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.instrumentation import get_dispatcher

from frugal_core.learning import Recordings
from frugal_core.playground.questions import generate
from li import HOWS, accepting, ask, calls_tool, escalating, frugal, large, small
from llamaindex_frugal import FrugalLLM, FrugalWarning, RecordingHandler, RecordingsError, grade, record
from llamaindex_frugal.playground import PlaygroundLLM
from openai_shapes import PRICES

each_way = pytest.mark.parametrize("how", HOWS)
QUERIES: list[Any] = [
    [ChatMessage("one")],
    [ChatMessage("two")],
    [
        ChatMessage("Be brief.", role="system"),
        ChatMessage("three"),
        ChatMessage("3", role="assistant"),
        ChatMessage("and four?"),
    ],
    [
        ChatMessage("weather?"),
        calls_tool("weather", {"city": "Rome"}),
        ChatMessage("sunny", role="tool", additional_kwargs={"tool_call_id": "call_1"}),
    ],
]


@contextmanager
def recording(path: Path, **options: Any) -> Iterator[RecordingHandler]:
    """Record all that is asked in the block."""
    handler, root = RecordingHandler(path, **options), get_dispatcher()
    root.add_event_handler(handler)
    try:
        yield handler
    finally:
        root.event_handlers.remove(handler)
        handler.close()


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def timeless(path: Path) -> list[dict[str, Any]]:
    """Rows without what differs from run to run, in an order of their own."""
    rows = [{name: value for name, value in row.items() if name != "latency_s"} for row in rows_of(path)]
    return sorted(rows, key=lambda row: (row["query_id"], row["model"]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


@pytest.mark.parametrize("how", HOWS[:2])
async def test_rows_are_those_that_record_writes(how: str, path: Path, tmp_path: Path) -> None:
    llm, first, last = escalating()
    with recording(path, prices=PRICES):
        for query in QUERIES:
            reply = getattr(llm, how)(query)
            _ = await reply if how.startswith("a") else reply
    (tmp_path / "recorded").mkdir()
    expected = tmp_path / "recorded" / "answers.jsonl"
    record([first, last], QUERIES, expected, prices=PRICES, labels=None, progress=False)
    assert timeless(path) == timeless(expected)
    assert len(rows_of(path)) == 2 * len(QUERIES)
    assert all(row["latency_s"] >= 0 for row in rows_of(path))


@each_way
async def test_drafts_and_streams_are_recorded(how: str, path: Path) -> None:
    llm, _, _ = escalating()
    with recording(path, prices=PRICES):
        await ask(llm, how)
    assert [(row["model"], row["query"], row["answer"], row["completion_tokens"]) for row in rows_of(path)] == [
        ("small", "hi", "SECRET draft words", 2),
        ("large", "hi", "the large answer", 2),
    ]


@each_way
async def test_the_first_answer_of_a_model_to_a_query_is_kept(how: str, path: Path) -> None:
    answers = iter(["first", "second", "third"])
    llm = frugal(small(lambda messages: next(answers)), large())
    for _ in range(2):  # a program that starts again
        with recording(path, prices=PRICES):
            await ask(llm, how)
    (row,) = rows_of(path)
    assert row["answer"] == "first"


async def test_models_that_complete_and_models_without_a_wrapper(path: Path) -> None:
    with recording(path, dataset="mine"):
        small(chats=False).complete("hi")
        await large(calls_tool("f", {})).achat([ChatMessage("hi")])
    rows = rows_of(path)
    assert [(row["dataset"], row["model"], row["query"], row["answer"], row["cost_usd"]) for row in rows] == [
        ("mine", "small", "hi", "the small answer", None),
        ("mine", "large", "hi", "", None),
    ]


def test_failed_calls_have_no_row(path: Path) -> None:
    calls = iter([TimeoutError("slow"), "answer"])
    llm = frugal(small(lambda messages: next(calls)), large())
    with recording(path, prices=PRICES):
        llm.complete("hi")
        assert [row["model"] for row in rows_of(path)] == ["large"]
        llm.complete("hi")
    assert [row["model"] for row in rows_of(path)] == ["large", "small"]


def test_calls_whose_end_is_never_told_are_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamaindex_frugal.recording_handler._MOST_BEGUN", 3)
    model = small(TimeoutError("slow"))
    with recording(path) as handler:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                model.complete("hi")
            assert len(handler._begun) <= 3


def test_images_and_empty_questions_are_passed_over(path: Path) -> None:
    llm, _, _ = accepting()
    with recording(path, prices=PRICES):
        llm.chat([ChatMessage(blocks=[TextBlock(text="what is it?"), ImageBlock(image=b"AAAA")])])
        llm.complete(" ")
    assert path.read_text() == ""


def test_many_threads_lose_no_row(path: Path) -> None:
    llm, _, _ = escalating()

    def work(name: int) -> None:
        for number in range(10):
            llm.complete(f"{name}-{number}")

    with recording(path, prices=PRICES):
        threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(rows_of(path)) == len({(row["query"], row["model"]) for row in rows_of(path)}) == 120


@each_way
async def test_a_failing_disk_breaks_no_call_and_is_told_once(how: str, path: Path) -> None:
    def fail(row: Any) -> None:
        raise OSError("no space left")

    llm, _, _ = escalating()
    with recording(path, prices=PRICES) as handler:
        handler._collection._file.append = fail  # type: ignore[method-assign]
        with pytest.warns(FrugalWarning, match="no space left") as heard:
            answer = await ask(llm, how)
    assert "the large answer" in str(answer)
    assert len(heard) == 1
    assert rows_of(path) == []


def test_two_writers_are_refused(path: Path) -> None:
    with recording(path), pytest.raises(RecordingsError, match="another process"):
        RecordingHandler(path)


def test_production_is_graded_and_read(path: Path) -> None:
    prices = {"playground-small": (0.1, 0.1), "playground-large": (1.0, 1.0)}
    models = [PlaygroundLLM(model="playground-small"), PlaygroundLLM(model="playground-large")]
    llm = FrugalLLM(models=models, threshold=0.9, prices=prices)
    with recording(path, prices=prices):
        responses = [llm.complete(question.text) for question in generate(10, seed=5)]
    decisions = [response.additional_kwargs["frugal"] for response in responses]
    both = sum(len(decision["steps"]) == 2 for decision in decisions)
    assert 0 < both < 10
    assert len(rows_of(path)) == 10 + both
    assert grade(path, "numeric", reference_model="playground-large") == 2 * both
    (read,) = Recordings.read([path])
    assert read.models == ("playground-small", "playground-large")
    assert read.present.sum() == 2 * both
    assert "margin" in read.signals
    total = sum(decision["cost_usd"] for decision in decisions)
    assert sum(row["cost_usd"] for row in rows_of(path)) == pytest.approx(total)
