import json
import pickle
from pathlib import Path

import pytest
from llama_index.core.base.llms.types import ChatMessage

from frugal_core.errors import ConfigurationError, FrugalError
from frugal_core.playground.questions import generate
from li import Fake
from llamaindex_frugal import SmartJob
from llamaindex_frugal.playground import PlaygroundLLM
from llamaindex_frugal.recording import Asker
from openai_shapes import PRICES

QUESTIONS = [f"question {number}" for number in range(60)]
both = pytest.mark.parametrize("how", ["sync", "async"])


def pair(first="yes", last="yes", **settings):
    return Fake(model="small", reply=first, **settings), Fake(model="large", reply=last, **settings)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "job.jsonl"


async def ran(how, models, reference, items, path, bound=0.2, **options):
    job = SmartJob(models, reference, items, bound, path=path, **{"prices": PRICES, "progress": False, **options})
    return job.run() if how == "sync" else await job.arun()


def rows_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@both
@pytest.mark.parametrize("chats", [True, False])
async def test_models_are_asked_once_each_without_logprobs(how, chats, path):
    first, last = pair("Yes.", chats=chats)
    done = await ran(how, [first], last, QUESTIONS, path)
    assert done.texts == ["yes" if output.model == "large" else "Yes." for output in done.outputs]
    assert done.plan.certified == ("small",)
    for model, calls in ((first, 60), (last, done.plan.profiled)):
        assert len(model.log) == calls
        assert all(name.startswith("a") == (how == "async") for name in model.log.hows)
        assert not any("logprobs" in call.kwargs for call in model.log.calls)
    assert done.cost_usd == pytest.approx(6e-6 * (60 + 10 * done.plan.profiled))
    again = await ran(how, [first], last, QUESTIONS, path)
    assert (again.calls, again.outputs) == (0, done.outputs)


class Crash(BaseException):
    pass


@both
async def test_crash_in_the_middle(how, path):
    crashing, last = pair(lambda messages: Crash() if messages[0].content == "question 33" else "yes")
    with pytest.raises(Crash):
        await ran(how, [crashing], last, QUESTIONS, path, max_concurrency=1)
    mended, _ = pair()
    done = await ran(how, [mended], last, QUESTIONS, path)
    assert done.texts == ["yes"] * 60
    assert len(crashing.log) - 1 + len(mended.log) == 60
    assert len(last.log) == done.plan.profiled


@both
async def test_conversations(how, path):
    first, last = pair("no", lambda messages: messages[-1].content.upper())
    items = [
        "one",
        ChatMessage("two"),
        [ChatMessage("Be brief.", role="system"), ChatMessage("three")],
        {"query": [ChatMessage("four")], "query_id": "fourth"},
    ]
    done = await ran(how, [first], last, items, path)
    assert done.texts == ["ONE", "TWO", "THREE", "FOUR"]
    assert done.outputs[3].query_id == "fourth"


@both
async def test_a_failing_model_is_replaced_by_the_reference(how, path):
    first, last = pair(lambda messages: ValueError("hard") if messages[0].content in QUESTIONS[::20] else "yes")
    done = await ran(how, [first], last, QUESTIONS, path)
    assert done.texts == ["yes"] * 60
    assert {done.outputs[number].model for number in (0, 20, 40)} == {"large"}


async def test_wrong_arguments(path):
    first, last = pair()
    with pytest.raises(ConfigurationError, match="No price is known for model 'large'"):
        SmartJob([first], last, QUESTIONS, 0.1, path=path, prices={"small": (1, 1)})
    with pytest.raises(ConfigurationError, match="is the reference and in models as well"):
        SmartJob([first, last], last, QUESTIONS, 0.1, path=path, prices=PRICES)
    with pytest.raises(ConfigurationError, match=r"items\[0\]: cannot be read .*neither a text nor a list of ChatMessage"):
        SmartJob([first], last, [["one"]], 0.1, path=path, prices=PRICES)
    with pytest.raises(ConfigurationError, match="Did you mean 'compare'"):
        SmartJob([first], last, QUESTIONS, 0.1, path=path, prices=PRICES, compares="exact")
    down, _ = pair(ValueError("no credit"))
    with pytest.raises(FrugalError, match="small failed 10 times in a row, the last time with ValueError: no credit"):
        await ran("async", [down], last, QUESTIONS, path)


def test_named_models_reach_other_processes(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    asker = Asker(["openai:gpt-4o-mini", "openai:gpt-4o"], None)
    assert pickle.loads(pickle.dumps(asker)).tiers == asker.tiers
    assert [tier.model for tier in asker.tiers] == ["gpt-4o-mini", "gpt-4o"]


async def test_both_frameworks_do_the_same(tmp_path):
    pytest.importorskip("langchain_core")
    import langchain_frugal
    from langchain_frugal.playground import ChatPlayground

    questions = [question.text for question in generate(60, seed=9, families=["check", "extreme", "units", "letters"])]
    names = ("playground-small", "playground-medium", "playground-large")
    prices = dict(zip(names, [(0.1, 0.1), (0.4, 0.4), (3.0, 3.0)], strict=True))
    options = {"prices": prices, "progress": False, "batch": 10}
    chat, llms = [ChatPlayground(model=name) for name in names], [PlaygroundLLM(name) for name in names]
    files = [tmp_path / f"{number}.jsonl" for number in range(4)]

    def job(cls, models, path):
        return cls(models[:2], models[2], questions, 0.2, path=path, **options)

    done = [
        job(langchain_frugal.SmartJob, chat, files[0]).run(),
        await job(langchain_frugal.SmartJob, chat, files[1]).arun(),
        job(SmartJob, llms, files[2]).run(),
        await job(SmartJob, llms, files[3]).arun(),
    ]
    assert len({output.model for output in done[0].outputs}) > 1

    def kept(path):
        rows = rows_of(path)
        for row in rows:
            assert row.pop("latency_s", 1) > 0
        return sorted(map(json.dumps, rows))

    assert [(each.outputs, each.plan, each.cost_usd, each.reference_usd, each.calls) for each in done] == [
        (done[0].outputs, done[0].plan, done[0].cost_usd, done[0].reference_usd, done[0].calls)
    ] * 4
    assert [kept(path) for path in files] == [kept(files[0])] * 4
    taken_up = job(SmartJob, llms, files[0]).run()  # one's file is the other's
    assert (taken_up.calls, taken_up.outputs) == (0, done[0].outputs)
