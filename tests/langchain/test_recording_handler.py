"""What a program's models answer in production is recorded as `record` would have recorded it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call

from frugal_core.learning import Recordings
from frugal_core.playground.questions import generate
from langchain_frugal import ChatFrugal, FrugalWarning, RecordingHandler, RecordingsError, grade, record
from langchain_frugal.playground import ChatPlayground
from lc import HOWS, accepting, ask, calls_tool, escalating, frugal, heard_by, large, small
from openai_shapes import PRICES

each_way = pytest.mark.parametrize("how", HOWS)
QUERIES: list[Any] = [
    "one",
    "two",
    [SystemMessage("Be brief."), HumanMessage("three"), AIMessage("3"), HumanMessage("and four?")],
    [
        HumanMessage("weather?"),
        AIMessage("", tool_calls=[tool_call(name="weather", args={"city": "Rome"}, id="call_1")]),
        ToolMessage("sunny", tool_call_id="call_1"),
    ],
]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def timeless(path: Path) -> list[dict[str, Any]]:
    """Rows without what differs from run to run, in an order of their own."""
    rows = [{name: value for name, value in row.items() if name != "latency_s"} for row in rows_of(path)]
    return sorted(rows, key=lambda row: (row["query_id"], row["model"]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


@each_way
async def test_rows_are_those_that_record_writes(how: str, path: Path, tmp_path: Path) -> None:
    llm, first, last = escalating()
    handler = RecordingHandler(path, prices=PRICES)
    for query in QUERIES:
        await ask(llm, how, query, heard_by(handler))
    handler.close()
    (tmp_path / "recorded").mkdir()
    expected = tmp_path / "recorded" / "answers.jsonl"
    record([first, last], QUERIES, expected, prices=PRICES, labels=None, progress=False)
    assert timeless(path) == timeless(expected)
    assert len(rows_of(path)) == 2 * len(QUERIES)
    assert all(row["latency_s"] >= 0 for row in rows_of(path))


@each_way
async def test_the_first_answer_of_a_model_to_a_query_is_kept(how: str, path: Path) -> None:
    answers = iter(["first", "second", "third"])
    for _ in range(2):  # a program that starts again
        handler = RecordingHandler(path, prices=PRICES)
        llm = frugal(small(lambda messages: next(answers)), large(), callbacks=[handler])
        await ask(llm, how)
        handler.close()
    (row,) = rows_of(path)
    assert row["answer"] == "first"


@pytest.mark.parametrize("how", ["batch", "abatch"])
async def test_a_batch_is_recorded_whole(how: str, path: Path) -> None:
    handler = RecordingHandler(path, prices=PRICES)
    llm = frugal(small(lambda messages: messages[0].text), large("so"), scorer=lambda _, answer: float(answer.text < "5"))
    inputs: list[Any] = list("0123456789")
    config = heard_by(handler)
    messages = llm.batch(inputs, config) if how == "batch" else await llm.abatch(inputs, config)
    handler.close()
    assert [message.text for message in messages] == [*"01234", *["so"] * 5]
    rows = rows_of(path)
    assert sorted(row["query"] for row in rows if row["model"] == "small") == inputs
    assert sorted(row["query"] for row in rows if row["model"] == "large") == inputs[5:]


def test_failed_calls_and_cached_answers_have_no_row(path: Path) -> None:
    handler = RecordingHandler(path, prices=PRICES)
    calls = iter([TimeoutError("slow"), "answer"])
    llm = frugal(small(lambda messages: next(calls)), large(cache=InMemoryCache()))
    llm.invoke("hi", heard_by(handler))
    assert [row["model"] for row in rows_of(path)] == ["large"]
    llm.invoke("hi", heard_by(handler))
    assert [row["model"] for row in rows_of(path)] == ["large", "small"]
    handler.close()
    again = RecordingHandler(path.with_name("again.jsonl"), prices=PRICES)
    frugal(small(ConnectionError("dead")), llm.models[1]).invoke("hi", heard_by(again))
    again.close()
    assert path.with_name("again.jsonl").read_text() == "", "the large model's answer came from its cache"


def test_images_and_empty_questions_are_passed_over(path: Path) -> None:
    handler = RecordingHandler(path, prices=PRICES)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    llm, _, _ = accepting(callbacks=[handler])
    llm.invoke([HumanMessage([{"type": "text", "text": "what is it?"}, image])])
    llm.invoke(" ")
    handler.close()
    assert path.read_text() == ""


def test_models_without_a_wrapper_and_without_a_price(path: Path) -> None:
    handler = RecordingHandler(path, dataset="mine")
    small(calls_tool("f", {})).invoke("hi", heard_by(handler))
    handler.close()
    (row,) = rows_of(path)
    assert (row["dataset"], row["model"], row["answer"], row["cost_usd"]) == ("mine", "small", "", None)


def test_many_threads_lose_no_row(path: Path) -> None:
    handler = RecordingHandler(path, prices=PRICES)
    llm, _, _ = escalating(callbacks=[handler])
    threads = [threading.Thread(target=llm.batch, args=([f"{name}-{n}" for n in range(10)],)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.close()
    assert len(rows_of(path)) == len({(row["query"], row["model"]) for row in rows_of(path)}) == 120


@each_way
async def test_a_failing_disk_breaks_no_call_and_is_told_once(how: str, path: Path) -> None:
    handler = RecordingHandler(path, prices=PRICES)

    def fail(row: Any) -> None:
        raise OSError("no space left")

    handler._collection._file.append = fail  # type: ignore[method-assign]
    llm, _, _ = escalating(callbacks=[handler])
    with pytest.warns(FrugalWarning, match="no space left") as heard:
        answer = await ask(llm, how)
    assert answer.text == "the large answer"
    assert len(heard) == 1
    handler.close()
    assert (await ask(llm, how, "later")).text == "the large answer"


def test_two_writers_and_foreign_files_are_refused(path: Path) -> None:
    handler = RecordingHandler(path)
    with pytest.raises(RecordingsError, match="another process"):
        RecordingHandler(path)
    handler.close()
    path.write_text('{"a": 1}\n')
    with pytest.raises(RecordingsError, match="not recorded"):
        RecordingHandler(path)


def test_production_is_graded_and_read(path: Path) -> None:
    prices = {"playground-small": (0.1, 0.1), "playground-large": (1.0, 1.0)}
    handler = RecordingHandler(path, prices=prices)
    models = [ChatPlayground(model="playground-small"), ChatPlayground(model="playground-large")]
    llm = ChatFrugal(models=models, threshold=0.9, prices=prices)
    messages = [llm.invoke(question.text, heard_by(handler)) for question in generate(10, seed=5)]
    handler.close()
    asked = sum(step["called"] for message in messages for step in message.response_metadata["frugal"]["steps"])
    both = sum(len(message.response_metadata["frugal"]["steps"]) == 2 for message in messages)
    assert 0 < both < 10
    assert len(rows_of(path)) == asked
    assert grade(path, "numeric", reference_model="playground-large") == 2 * both
    (read,) = Recordings.read([path])
    assert read.models == ("playground-small", "playground-large")
    assert read.present.sum() == 2 * both
    assert "margin" in read.signals
    total = sum(message.response_metadata["frugal"]["cost_usd"] for message in messages)
    assert sum(row["cost_usd"] for row in rows_of(path)) == pytest.approx(total)
