import json
from pathlib import Path

import numpy as np
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda

from frugal_core.cli import main
from frugal_core.errors import ConfigurationError, FrugalWarning
from frugal_core.learning.setting import prepare
from frugal_core.playground.questions import generate
from langchain_frugal import ChatFrugal, arecord, fit, grade, record
from langchain_frugal.playground import ChatPlayground
from lc import large, small
from openai_shapes import PRICES

QUERIES = ["one", "two", "three"]
FREE = {"playground-small": (0.1, 0.1), "playground-large": (1.0, 1.0)}
both = pytest.mark.parametrize("how", ["sync", "async"])


async def recorded(how, models, queries, path, **options):
    options = {"prices": PRICES, "progress": False, **options}
    return record(models, queries, path, **options) if how == "sync" else await arecord(models, queries, path, **options)


def rows_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.jsonl"


@both
async def test_models_are_asked_once_each_with_logprobs(how, path):
    first, last = small(), large(sure=0.5)
    done = await recorded(how, [first, last], QUERIES, path)
    assert first.log.hows == last.log.hows == [{"sync": "invoke", "async": "ainvoke"}[how]] * 3
    (read,) = done.read()
    assert sorted(read.models) == ["large", "small"]
    for row in rows_of(path):
        name = row["model"]
        assert row["margin"] == pytest.approx({"small": 0.9, "large": 0.5}[name])
        assert row["cost_usd"] == pytest.approx(6e-6 * PRICES[name][0])
        assert (row["prompt_tokens"], row["completion_tokens"], row["finish_reason"]) == (4, 2, "stop")
        assert row["latency_s"] >= 0
        assert row["answer"] == f"the {name} answer"
        assert row["correct"] == float(name == "large")
    await recorded(how, [first, last], QUERIES, path)
    assert (len(first.log), len(last.log)) == (3, 3)


class Crash(BaseException):
    pass


@both
async def test_crash_in_the_middle(how, path):
    broken = True

    def crash(messages):
        if broken and messages[0].text == "two":
            raise Crash
        return messages

    first, last = small("fine"), large()
    models, prices = [RunnableLambda(crash) | first, last], {**PRICES, "RunnableSequence": (1, 1)}
    with pytest.raises(Crash):
        await recorded(how, models, QUERIES, path, prices=prices, max_concurrency=1)
    assert [row["query"] for row in rows_of(path)] == ["one", "one"]
    broken = False
    await recorded(how, models, QUERIES, path, prices=prices)
    assert (len(first.log), len(last.log), len(rows_of(path))) == (3, 3, 6)


@both
async def test_conversations_prompts_and_chains(how, path):
    prompt = ChatPromptTemplate([("system", "Be brief."), ("user", "{question}")])
    first, last = small(), large()
    chain = RunnableLambda(lambda messages: messages) | last
    queries = [
        prompt.invoke({"question": "Why?"}),
        [SystemMessage("Be brief."), HumanMessage("How?")],
        [("user", "Who?")],
        {"query": [HumanMessage("When?")], "query_id": "when", "reference": "the small answer"},
    ]
    await recorded(how, [first, chain], queries, path)
    assert all(row["cost_usd"] > 0 for row in rows_of(path))  # a chain costs what its model does
    rows = [row for row in rows_of(path) if row["model"] == "small"]
    assert sorted(row["query"] for row in rows) == [
        "When?",
        "Who?",
        "system: Be brief.\n\nuser: How?",
        "system: Be brief.\n\nuser: Why?",
    ]
    assert next(call.messages for call in first.log.calls if len(call.messages) == 2)[0] == SystemMessage("Be brief.")
    assert len(last.log) == 4


@both
async def test_samples_have_their_temperature(how, path):
    first = small()
    await recorded(how, [first, large()], ["one"], path, samples=2, temperature=0.8)
    assert [call.kwargs.get("temperature") for call in first.log.calls] == [None, 0.8, 0.8]
    assert rows_of(path)[0]["samples"]


async def test_failures(path):
    with pytest.warns(FrugalWarning, match="2 of 4 rows are failures, the first of small: ValueError: out"):
        done = await recorded("sync", [small(ValueError("out")), large()], ["one", "two"], path)
    assert done.failures == 2


async def test_nothing_is_asked_that_is_too_dear(path):
    first = small()
    with pytest.raises(ConfigurationError, match="max_usd"):
        await recorded("sync", [first, large()], QUERIES, path, max_usd=1e-9)
    assert len(first.log) == 0


async def test_wrong_arguments(path):
    with pytest.raises(ConfigurationError, match="Did you mean 'samples'"):
        record([small()], QUERIES, path, sample=3)
    with pytest.raises(ConfigurationError, match="models="):
        record(small(), QUERIES, path)
    with pytest.raises(ConfigurationError, match=r"queries\[0\]: cannot be read as a query"):
        record([small()], [3], path, prices=PRICES)


def test_playground_to_file_to_evaluate(path, tmp_path, capsys):
    models = [ChatPlayground(model="playground-small"), ChatPlayground(model="playground-large")]
    questions = [{"query": question.text, "reference": question.answer} for question in generate(60, seed=3)]
    done = record(models, questions, path, prices=FREE, progress=False, samples=1)
    assert (done.calls, done.failures, done.missing) == (240, 0, 0)
    read = done.recordings
    assert read.present.all()
    accuracy = dict(zip(read.models, read.correct.mean(axis=0), strict=True))
    assert accuracy["playground-large"] > accuracy["playground-small"]
    assert {"margin", "logprobs"} <= set(read.signals)
    assert 10 < read.train.sum() < 50
    report = tmp_path / "report.json"
    assert main(["evaluate", "--recordings", str(path), "--json", str(report)]) == 0
    (dataset,) = json.loads(report.read_text())["datasets"]
    assert (dataset["dataset"], dataset["signal"], dataset["cost_source"]) == ("answers", "margin", "cost_answer_usd")
    assert "playground-small" in capsys.readouterr().out
    assert grade(path, "exact", again=True) == 120


def test_votes_of_recorded_samples_are_charged_to_the_cascade_that_goes_by_them(path):
    first, last = ChatPlayground(model="playground-small"), ChatPlayground(model="playground-large")
    questions = [{"query": "What is 12 plus 7?", "reference": "19"}, {"query": "What is 3 plus 4?", "reference": "7"}]
    done = record([first, last], questions, path, prices=FREE, samples=2, temperature=1.0, progress=False)
    votes, margin = (prepare(done.recordings, signal=signal) for signal in ("votes", "margin"))
    rows = {(row["query_id"], row["model"]): row for row in rows_of(path)}
    expected = [
        [rows[query, model]["cost_usd"] - rows[query, model]["cost_answer_usd"] for model in votes.models]
        for query in done.recordings.query_ids
    ]
    assert votes.scoring == pytest.approx(np.array(expected))
    assert (votes.scoring > 0).all()
    assert (margin.scoring == 0).all()
    assert (votes.cost == margin.cost).all()


def test_prompts_are_arms_under_names_of_their_own(tmp_path):
    """A prompt before a model makes another arm: it is priced like the model, and a policy may choose it."""
    small, large = (ChatPlayground(model=f"playground-{size}") for size in ("small", "large"))
    example = ChatPromptTemplate.from_messages([("human", "What is 1 plus 2?"), ("ai", "3"), MessagesPlaceholder("turns")])
    arm = (RunnableLambda(lambda turns: {"turns": turns}) | example | small).with_config(run_name="small with an example")
    queries = [{"query": f"What is {a} plus {b}?", "reference": str(a + b)} for a in range(3, 8) for b in range(2, 7)]
    done = record([small, arm, large], queries, tmp_path / "arms.jsonl", progress=False)
    models = ["playground-small", "small with an example", "playground-large"]
    recordings = done.recordings.select(models)
    costs = recordings.values["cost_usd"].mean(axis=0)
    assert costs[0] < costs[1] < costs[2]
    policy = fit(recordings, budget_usd=float(costs[1]) * 1.01)
    served = ChatFrugal(models=[small, arm, large], policy=policy).invoke("What is 3 plus 4?")
    assert served.response_metadata["frugal"]["tier"] in models


def test_nameless_chains_are_told_to_have_names(tmp_path):
    chains = [RunnableLambda(lambda turns: turns) | small(), RunnableLambda(lambda turns: turns) | large()]
    with pytest.warns(FrugalWarning, match=r"2 of the models are chains without a name.*with_config\(run_name="):
        record(chains, ["one"], tmp_path / "nameless.jsonl", prices=PRICES, progress=False)
    named = [chain.with_config(run_name=name) for chain, name in zip(chains, ("plain", "other"), strict=True)]
    done = record(named, ["one"], tmp_path / "named.jsonl", prices=PRICES, progress=False)
    assert set(done.recordings.models) == {"plain", "other"}


def test_unknown_costs_are_counted_not_taken_for_nothing(tmp_path):
    with pytest.warns(FrugalWarning, match="No price is known"):
        done = record([small(), large()], ["one", "two"], tmp_path / "unknown.jsonl", prices={"small": (1, 1)}, progress=False)
    assert (done.rows, done.unpriced) == (4, 2)
    assert record([small()], ["one"], tmp_path / "known.jsonl", prices=PRICES, progress=False).unpriced == 0
