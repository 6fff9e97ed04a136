import json
import pickle
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from frugal_core.errors import ConfigurationError, FrugalError
from langchain_frugal import SmartJob
from langchain_frugal.recording import Asker
from lc import Fake, calls_tool, large, small
from openai_shapes import PRICES

QUESTIONS = [f"question {number}" for number in range(60)]
both = pytest.mark.parametrize("how", ["sync", "async"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "job.jsonl"


async def ran(how, models, reference, items, path, bound=0.2, **options):
    job = SmartJob(models, reference, items, bound, path=path, **{"prices": PRICES, "progress": False, **options})
    return job.run() if how == "sync" else await job.arun()


def rows_of(path):
    return [row for row in map(json.loads, Path(path).read_text().splitlines()) if row["kind"] == "call"]


@both
async def test_models_are_asked_once_each_without_logprobs(how, path):
    first, last = small("Yes."), large("yes")
    done = await ran(how, [first], last, QUESTIONS, path)
    assert done.texts == ["yes" if output.model == "large" else "Yes." for output in done.outputs]
    assert done.plan.certified == ("small",)
    asked = {"sync": "invoke", "async": "ainvoke"}[how]
    for model, calls in ((first, 60), (last, done.plan.profiled)):
        assert set(model.log.hows) == {asked}
        assert len({call.messages[0].text for call in model.log.calls}) == len(model.log) == calls
        assert not any("logprobs" in call.kwargs for call in model.log.calls)
    assert done.cost_usd == pytest.approx(6e-6 * (60 + 10 * done.plan.profiled))
    assert done.outputs[0].finish_reason == "stop"
    row = rows_of(path)[0]
    assert (row["prompt_tokens"], row["completion_tokens"], row["error"]) == (4, 2, None)
    again = await ran(how, [first], last, QUESTIONS, path)
    assert (again.calls, again.outputs) == (0, done.outputs)


class Crash(BaseException):
    pass


@both
async def test_crash_in_the_middle(how, path):
    broken = True

    def crash(messages):
        if broken and messages[0].text == "question 33":
            raise Crash
        return messages

    first, last = small("yes"), large("yes")
    models, prices = [RunnableLambda(crash) | first], {**PRICES, "RunnableSequence": (1, 1)}
    with pytest.raises(Crash):
        await ran(how, models, last, QUESTIONS, path, prices=prices, max_concurrency=1)
    broken = False
    done = await ran(how, models, last, QUESTIONS, path, prices=prices)
    assert done.texts == ["yes"] * 60
    assert (len(first.log), len(last.log)) == (60, done.plan.profiled)


@both
async def test_conversations_in_any_form(how, path):
    template = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{question}")])
    items = [
        "one",
        [HumanMessage("two")],
        template.invoke({"question": "three"}),
        {"query": [SystemMessage("Be brief."), ("user", "four")], "query_id": "fourth"},
        HumanMessage("five").text,
    ]
    last = large(lambda messages: messages[-1].text.upper())
    done = await ran(how, [small("no")], last, items, path)
    assert done.texts == ["ONE", "TWO", "THREE", "FOUR", "FIVE"]
    assert done.outputs[3].query_id == "fourth"
    assert {len(call.messages) for call in last.log.calls} == {1, 2}


@both
async def test_tool_calls_count(how, path):
    def add(a: int) -> int:
        """Add."""
        return a

    def says(messages):
        return calls_tool("add", {"a": 1 if messages[-1].text < "question 3" else 2})

    models = [small(says).bind_tools([add])]
    reference = large(calls_tool("add", {"a": 1})).bind_tools([add])
    done = await ran(how, models, reference, QUESTIONS, path)
    assert all(output.tool_calls == (("add", {"a": 1}),) for output in done.outputs if output.model == "large")
    differ = sum(output.tool_calls != (("add", {"a": 1}),) for output in done.outputs)
    assert differ <= done.plan.allowed
    assert done.plan.certified == ()


@both
async def test_a_failing_model_is_replaced_by_the_reference(how, path):
    def says(messages):
        return ValueError("too hard") if messages[0].text in QUESTIONS[::20] else "yes"

    done = await ran(how, [small(says)], large("yes"), QUESTIONS, path)
    assert done.texts == ["yes"] * 60
    assert {done.outputs[number].model for number in (0, 20, 40)} == {"large"}


def test_several_models_and_the_cheapest_that_will_do(path):
    tiny = Fake(model="tiny", reply="no")
    models = [tiny, small("yes"), Fake(model="mid", reply="yes")]
    job = SmartJob(models, large("yes"), QUESTIONS, 0.2, 0.9, path=path, prices={**PRICES, "tiny": (0.1, 0.1)}, progress=False)
    estimate = job.estimate()
    done = job.run()
    assert done.plan.certified[0] == "small"
    assert estimate.items == 60
    assert estimate.least_usd < estimate.reference_usd
    assert len(tiny.log) < 60


def test_wrong_arguments(path):
    first, last = small(), large()
    with pytest.raises(ConfigurationError, match="No price is known for model 'large'"):
        SmartJob([first], last, QUESTIONS, 0.1, path=path, prices={"small": (1, 1)})
    with pytest.raises(ConfigurationError, match="is the reference and in models as well"):
        SmartJob([first, last], last, QUESTIONS, 0.1, path=path, prices=PRICES)
    with pytest.raises(ConfigurationError, match="give chat models"):
        SmartJob([first], 5, QUESTIONS, 0.1, path=path, prices=PRICES)
    with pytest.raises(ConfigurationError, match=r"items\[1\]: cannot be read as a query"):
        SmartJob([first], last, ["one", 5], 0.1, path=path, prices=PRICES)
    with pytest.raises(ConfigurationError, match="Did you mean 'max_usd'"):
        SmartJob([first], last, QUESTIONS, 0.1, path=path, prices=PRICES, maxusd=3)
    assert not path.exists()


def test_named_models_reach_other_processes(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    asker = Asker(["openai:gpt-4o-mini", "openai:gpt-4o"], None)
    assert pickle.loads(pickle.dumps(asker)).tiers == asker.tiers
    assert [tier.model for tier in asker.tiers] == ["gpt-4o-mini", "gpt-4o"]


def test_ten_failures_in_a_row(path):
    down = small(ValueError("no credit"))
    with pytest.raises(FrugalError, match="small failed 10 times in a row, the last time with ValueError: no credit"):
        SmartJob([down], large(), QUESTIONS, 0.1, path=path, prices=PRICES, progress=False).run()
    assert len(down.log) < 30
