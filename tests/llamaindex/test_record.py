import json
from pathlib import Path

import pytest
from llama_index.core.base.llms.types import ChatMessage

from frugal_core.cli import main
from frugal_core.errors import ConfigurationError, FrugalWarning
from frugal_core.playground.questions import generate
from li import Fake
from llamaindex_frugal import arecord, record
from llamaindex_frugal.playground import PlaygroundLLM
from openai_shapes import PRICES

QUERIES = ["one", "two", "three"]
FREE = {"playground-small": (0.1, 0.1), "playground-large": (1.0, 1.0)}
both = pytest.mark.parametrize("how", ["sync", "async"])


async def recorded(how, models, queries, path, **options):
    options = {"prices": PRICES, "progress": False, **options}
    return record(models, queries, path, **options) if how == "sync" else await arecord(models, queries, path, **options)


def rows_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def pair(first="the small answer", **settings):
    return Fake(model="small", reply=first, **settings), Fake(model="large", reply="the large answer", sure=0.5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.jsonl"


@both
@pytest.mark.parametrize("chats", [True, False])
async def test_models_are_asked_once_each(how, chats, path):
    first, last = pair(chats=chats)
    done = await recorded(how, [first, last], QUERIES, path)
    asked = {"sync": "chat", "async": "achat"}[how]
    assert last.log.hows == [asked] * 3
    assert len(first.log) == 3
    assert sorted(done.recordings.models) == ["large", "small"]
    for row in rows_of(path):
        name = row["model"]
        assert row["cost_usd"] == pytest.approx(6e-6 * PRICES[name][0])
        assert (row["prompt_tokens"], row["completion_tokens"]) == (4, 2)
        assert row["answer"] == f"the {name} answer"
        assert row["correct"] == float(name == "large")
        if chats:
            assert row["margin"] == pytest.approx({"small": 0.9, "large": 0.5}[name])
    await recorded(how, [first, last], QUERIES, path)
    assert (len(first.log), len(last.log)) == (3, 3)


class Crash(BaseException):
    pass


@both
async def test_crash_in_the_middle(how, path):
    crashing, last = pair(lambda messages: Crash() if messages[0].content == "two" else "fine")
    with pytest.raises(Crash):
        await recorded(how, [crashing, last], QUERIES, path, max_concurrency=1)
    assert [row["query"] for row in rows_of(path)] == ["one", "one"]
    mended, _ = pair()
    await recorded(how, [mended, last], QUERIES, path)
    assert (len(mended.log), len(last.log), len(rows_of(path))) == (2, 3, 6)


@both
async def test_conversations(how, path):
    first, last = pair()
    queries = [
        ChatMessage("Why?"),
        [ChatMessage("Be brief.", role="system"), ChatMessage("How?")],
        {"query": [ChatMessage("When?")], "query_id": "when", "reference": "the small answer"},
    ]
    await recorded(how, [first, last], queries, path)
    rows = [row for row in rows_of(path) if row["model"] == "small"]
    assert sorted(row["query"] for row in rows) == ["When?", "Why?", "system: Be brief.\n\nuser: How?"]
    assert {row["correct"] for row in rows if row["query_id"] == "when"} == {1.0}


@both
async def test_samples_have_their_temperature(how, path):
    first, last = pair()
    await recorded(how, [first, last], ["one"], path, samples=2, temperature=0.8)
    assert [call.kwargs.get("temperature") for call in first.log.calls] == [None, 0.8, 0.8]


async def test_failures(path):
    with pytest.warns(FrugalWarning, match="2 of 4 rows are failures, the first of small: ValueError: out"):
        await recorded("sync", pair(ValueError("out")), ["one", "two"], path)


async def test_wrong_arguments(path):
    with pytest.raises(ConfigurationError, match="Did you mean 'samples'"):
        record(list(pair()), QUERIES, path, sample=3)
    with pytest.raises(ConfigurationError, match=r"queries\[0\]: cannot be read .*neither a text nor a list of ChatMessage"):
        record(list(pair()), [["one"]], path, prices=PRICES)


def test_playground_to_file_to_evaluate(path, tmp_path):
    questions = [{"query": question.text, "reference": question.answer} for question in generate(40, seed=5)]
    models = [PlaygroundLLM("playground-small"), PlaygroundLLM("playground-large")]
    done = record(models, questions, path, prices=FREE, progress=False)
    assert (done.calls, done.failures) == (80, 0)
    assert done.recordings.present.all()
    report = tmp_path / "report.json"
    assert main(["evaluate", "--recordings", str(path), "--json", str(report)]) == 0
    (dataset,) = json.loads(report.read_text())["datasets"]
    assert (dataset["signal"], dataset["cost_source"]) == ("margin", "cost_usd")


async def test_both_frameworks_write_the_same_rows(tmp_path):
    pytest.importorskip("langchain_core")
    import langchain_frugal
    from langchain_frugal.playground import ChatPlayground

    questions = [{"query": question.text, "reference": question.answer} for question in generate(15, seed=9)]
    questions += [question.text for question in generate(5, seed=11)]
    names = ("playground-small", "playground-large")
    chat, llms = [ChatPlayground(model=name) for name in names], [PlaygroundLLM(name) for name in names]
    options = {"prices": FREE, "progress": False, "samples": 1, "dataset": "d"}
    files = [tmp_path / f"{n}.jsonl" for n in range(4)]
    langchain_frugal.record(chat, questions, files[0], **options)
    await langchain_frugal.arecord(chat, questions, files[1], **options)
    record(llms, questions, files[2], **options)
    await arecord(llms, questions, files[3], **options)

    def written(file):
        rows = sorted(rows_of(file), key=lambda row: (row["query_id"], row["model"]))
        assert all(row.pop("latency_s") > 0 for row in rows)
        return rows

    first, *others = map(written, files)
    assert len(first) == 40
    assert all(row["margin"] is not None and row["logprobs"] for row in first)
    assert others == [first] * 3
