"""Batch jobs: complete, in order, under their bound, and never paid twice, wherever they are killed."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smart_asker
from frugal_core.errors import ConfigurationError, FrugalError, FrugalWarning, RecordingsError
from frugal_core.learning import smart_run
from frugal_core.learning.smart import Smart
from frugal_core.types import Answer, ToolCall
from smart_asker import USD, Crash, Scripted, differing, play, texts
from smart_jobs import scatter

both = pytest.mark.parametrize("how", ["sync", "async"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "job.jsonl"


def rows_of(path, kind="call"):
    return [row for row in map(json.loads, Path(path).read_text().splitlines()) if row["kind"] == kind]


class Refused(Exception):
    status_code = 400


# --- what a job gives ---


@both
async def test_a_perfect_model_answers_the_rest(how, path):
    asker = Scripted()
    done = await play(how, asker, texts(500), path)
    assert done.texts == [f"item {number}." for number in range(500)]
    assert done.plan.certified == ("small",)
    profiled = done.plan.profiled
    assert Counter(output.model for output in done.outputs) == {"large": profiled, "small": 500 - profiled}
    assert len(asker.calls) == len(set(asker.calls)) == done.calls == 500 + profiled
    assert done.cost_usd == pytest.approx(0.01 * 500 + 0.1 * profiled)
    assert done.reference_usd == pytest.approx(50)
    assert done.reference_estimated
    assert done.saving == pytest.approx(50 / done.cost_usd)
    assert done.saving > 4
    assert (done.fallbacks, done.failed) == (0, ())
    assert asker.finals == {True}  # nobody looks at log-probabilities


@both
async def test_a_useless_model_is_given_up(how, path):
    asker = Scripted(wrong={"small": set(range(500))})
    done = await play(how, asker, texts(500), path)
    assert {output.model for output in done.outputs} == {"large"}
    assert done.plan.certified == ()
    assert not done.reference_estimated
    assert done.reference_usd == pytest.approx(50)
    assert 0.9 < done.saving < 1


@both
async def test_profiling_stops_where_it_does_not_pay(how, path):
    asker = Scripted({"small": 0.099, "large": 0.1})
    done = await play(how, asker, texts(60), path, batch=5)
    assert done.plan.reason == "more profiling would cost more than it is expected to save"
    assert (done.plan.profiled, done.calls) == (5, 65)


async def test_a_mix_keeps_to_the_bound(path):
    wrong = scatter(np.random.default_rng(1), 1500, 0.12)
    asker = Scripted(wrong={"small": wrong})
    done = await play("sync", asker, texts(1500), path, 0.1)
    assert len(done.plan.parts) == 2
    assert 0 < differing(done, asker) <= done.plan.at_most <= done.plan.allowed == 150
    assert done.saving > 1


@pytest.mark.parametrize("items", [1, 7, 60, 300])
@pytest.mark.parametrize("bound", [0.02, 0.1, 0.3])
async def test_a_perfect_model_is_never_pruned(items, bound, path):
    asker = Scripted(dict(USD))
    done = await play("sync", asker, texts(items), path, bound)
    states = [row["state"]["counts"] for row in rows_of(path, "look")]
    assert all(state["tiny"]["status"] in ("unknown", "certified") for state in states)
    assert [output.text for output in done.outputs] == [f"item {number}." for number in range(items)]
    if items == 300 and bound > 0.02:
        assert done.plan.certified[0] == "tiny"


async def test_the_bound_holds_in_simulation(tmp_path):
    """At shares of differing items just above the bound, where to certify a model is a mistake."""
    broken, mixed = 0, 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        asker = Scripted(dict(USD), {"small": scatter(rng, 300, 0.12), "tiny": scatter(rng, 300, 0.15)})
        done = await play("async", asker, texts(300), tmp_path / f"{seed}.jsonl", 0.1, seed=seed, batch=60)
        assert done.plan.allowed == 30
        broken += differing(done, asker) > 30
        mixed += len(done.plan.parts) > 1
    assert broken == 0
    assert mixed > 6


async def test_the_same_item_twice_is_paid_once_and_counts_twice(path):
    items = [f"item {number % 40}" for number in range(200)]
    asker = Scripted()
    done = await play("sync", asker, items, path)
    for look in rows_of(path, "look"):  # what is weighed is what was paid
        count = look["state"]["counts"]["large"]
        taken = {items[number] for number in Smart.from_state(look["state"]).order[: count["seen"]]}
        assert count["usd"] == pytest.approx(0.1 * len(taken))
    assert done.texts == [f"{text}." for text in items]
    assert len(asker.calls) == len(set(asker.calls)) < 80
    by_reference = {text for model, text in asker.calls if model == "large"}
    assert all((output.model == "large") == (text in by_reference) for text, output in zip(items, done.outputs, strict=True))
    assert done.plan.allowed == 20
    assert done.reference_usd == pytest.approx(4)
    assert {output.query_id for output in done.outputs[::40]} == {done.outputs[0].query_id}


async def test_names_and_columns_of_items(path):
    items = [{"query": "item 1", "query_id": 7, "answer": "mine"}, "item 2"]
    done = await play("sync", Scripted(), items, path)
    assert done.outputs[0].query_id == "7"
    assert done.texts == ["item 1.", "item 2."]


# --- comparing ---


@pytest.mark.parametrize(
    ("compare", "agreed"),
    [
        ("exact", 0),
        ("normalised", 30),
        ("numeric", 30),
        (lambda query, answer, reference: query in reference, 30),
        (lambda query, answer, reference: 0.49, 0),
        (lambda query, answer, reference: 0.5, 30),
    ],
)
@both
async def test_ways_to_compare(how, compare, agreed, path):
    asker = Scripted(say=lambda model, text: f"**{text}**" if model == "small" else None)
    await play(how, asker, texts(30), path, compare=compare, batch=30)
    (look,) = rows_of(path, "look")
    assert look["state"]["counts"]["small"]["agreed"] == agreed


@both
async def test_a_compare_that_raises_loses_nothing(how, path):
    seen = []

    def judge(query, answer, reference):
        seen.append(query)
        if len(seen) == 13:
            raise ConnectionError("judge is out")
        return True

    first, second = Scripted(), Scripted()
    with pytest.raises(ConnectionError, match="judge is out"):
        await play(how, first, texts(100), path, compare=judge)
    done = await play(how, second, texts(100), path, compare=judge)
    assert not set(first.calls) & set(second.calls)
    assert Counter(seen) == {query: 1 if query != seen[12] else 2 for query in seen}
    assert done.texts == [f"item {number}." for number in range(100)]


async def test_tool_calls_are_compared_and_served(path):
    def say(model, text):
        return Answer("", (ToolCall("add", {"a": 1 if model == "large" or text < "item 5" else 2}),), cost_usd=0.1)

    done = await play("sync", Scripted(say=say), texts(30), path, batch=30)
    (look,) = rows_of(path, "look")
    assert look["state"]["counts"]["small"]["agreed"] == sum(text < "item 5" for text in texts(30))
    assert done.outputs[0].tool_calls == (("add", {"a": 1}),)


async def test_no_answer_of_a_tool_is_like_a_text(path):
    asker = Scripted(say=lambda model, text: "" if model == "large" else Answer("", (ToolCall("add", {}),), cost_usd=0.1))
    await play("sync", asker, texts(10), path, batch=10)
    assert rows_of(path, "look")[0]["state"]["counts"]["small"]["agreed"] == 0


# --- killed and run again ---


@settings(max_examples=15, deadline=None)
@given(
    items=st.integers(1, 120),
    bound=st.sampled_from([0.05, 0.1, 0.3]),
    shares=st.tuples(st.sampled_from([0.0, 0.05, 0.3, 1.0]), st.sampled_from([0.0, 0.1, 0.5])),
    kills=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    at_once=st.sampled_from([1, 4]),
    how=st.sampled_from(["sync", "async"]),
)
def test_killed_anywhere_nothing_is_paid_twice(tmp_path_factory, items, bound, shares, kills, at_once, how):
    folder = tmp_path_factory.mktemp("job")
    rng = np.random.default_rng(items)
    wrong = {name: scatter(rng, items, share) for name, share in zip(("tiny", "small"), shares, strict=True)}
    given = {"batch": 10, "max_concurrency": at_once}
    whole = Scripted(dict(USD), wrong)
    expected = asyncio.run(play("sync", whole, texts(items), folder / "whole.jsonl", bound, **given))
    assert whole.most <= at_once

    paid, path = [], folder / "killed.jsonl"
    for kill in kills:
        asker = Scripted(dict(USD), wrong)
        lost = []

        def say(model, text, asker=asker, kill=kill, lost=lost):
            if len(asker.calls) > kill:
                lost.append((model, text))
                return Crash()
            return None

        asker.say = say
        with suppress(Crash):
            asyncio.run(play(how, asker, texts(items), path, bound, **given))
        written = [(row["model"], row["query_id"]) for row in rows_of(path)]
        assert len(written) == len(set(written))
        paid += [call for call in asker.calls if call not in lost]
    last = Scripted(dict(USD), wrong)
    done = asyncio.run(play(how, last, texts(items), path, bound, **given))
    paid += last.calls
    if how == "sync":  # in a loop, calls that are being awaited are cancelled
        assert len(paid) == len(set(paid))
        assert set(paid) == set(whole.calls)
    assert done.outputs == expected.outputs
    assert done.plan == expected.plan
    assert done.cost_usd == pytest.approx(expected.cost_usd)


KILLED = """
    import asyncio, sys
    from smart_asker import Scripted, play, texts
    counter, path, after = sys.argv[1:]
    asker = Scripted(wrong={"small": set(range(0, 200, 20))}, counter=counter, kill_after=int(after))
    asyncio.run(play("sync", asker, texts(200), path, 0.2, max_concurrency=4))
"""


def test_killed_for_real(tmp_path, path):
    counter = tmp_path / "calls.txt"
    program = [sys.executable, "-c", textwrap.dedent(KILLED), str(counter), str(path)]
    env = {"PYTHONPATH": str(Path(smart_asker.__file__).parent), "OPENBLAS_NUM_THREADS": "1"}
    written = 0
    for after in (25, 60):
        killed = subprocess.run([*program, str(after)], env=env, capture_output=True, text=True, timeout=60)
        assert killed.returncode == -9, killed.stderr
        assert len(rows_of(path)) > written
        written = len(rows_of(path))
    asker = Scripted(wrong={"small": set(range(0, 200, 20))}, counter=str(counter))
    done = asyncio.run(play("sync", asker, texts(200), path, 0.2, max_concurrency=4))
    calls = Counter(counter.read_text().splitlines())
    again = sum(calls.values()) - len(calls)
    assert again <= 2 * 4  # no more than were under way when it died
    assert len(asker.calls) == done.calls == len(calls) - written
    assert len(done.texts) == 200
    assert done.plan.certified == ("small",)
    assert differing(done, asker) <= done.plan.allowed


@both
async def test_a_finished_job_asks_nothing(how, path):
    first = await play(how, Scripted(), texts(100), path)
    size = path.stat().st_size
    idle = Scripted(say=lambda *_: Crash())
    again = await play(how, idle, texts(100), path)
    assert idle.calls == []
    assert (again.outputs, again.plan, again.cost_usd, again.calls) == (first.outputs, first.plan, first.cost_usd, 0)
    assert path.stat().st_size == size


async def test_a_torn_line_is_one_call_lost(path):
    first = Scripted()
    whole = await play("sync", first, texts(50), path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:31]) + lines[31][:20])
    kept = len(rows_of_bytes(lines[:31]))
    second = Scripted()
    done = await play("sync", second, texts(50), path)
    assert len(second.calls) == len(first.calls) - kept
    assert done.outputs == whole.outputs


def rows_of_bytes(lines):
    return [row for row in map(json.loads, lines) if row["kind"] == "call"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": texts(51)}, "holds a job with items='50 items, .*', and items='51 items, .*' is asked for"),
        ({"items": texts(50)[::-1]}, "items="),
        ({"bound": 0.2}, r"max_disagreement=0\.1, and max_disagreement=0\.2 is asked for. Give the same"),
        ({"confidence": 0.9}, "confidence=0.95"),
        ({"seed": 1}, "seed=0, and seed=1"),
        ({"batch": 5}, "batch=20"),
        ({"compare": "exact"}, "compare='normalised', and compare='exact'"),
        ({"compare": lambda *_: True}, "compare='normalised', and compare='.*<lambda>'"),
        ({"asker": Scripted({"tiny": 0.01, "large": 0.1})}, r"models=\['small'\], and models=\['tiny'\]"),
        ({"asker": Scripted({"small": 0.01, "huge": 0.1})}, "reference='large', and reference='huge'"),
    ],
)
async def test_another_job_in_the_same_file(change, message, path):
    await play("sync", Scripted(), texts(50), path)
    before = path.read_bytes()
    arguments = {"asker": Scripted(), "items": texts(50), "path": path, **change}
    with pytest.raises(RecordingsError, match=message):
        await play("sync", **arguments)
    assert arguments["asker"].calls == []
    assert path.read_bytes() == before


async def test_other_prices_are_the_same_job(path):
    first = await play("sync", Scripted(), texts(50), path)
    again = await play("sync", Scripted({"small": 5, "large": 6}), texts(50), path)
    assert (again.calls, again.cost_usd) == (0, first.cost_usd)


async def test_a_file_of_something_else(path):
    path.write_text('{"model": "small"}\n')
    with pytest.raises(RecordingsError, match="was not written by SmartJob"):
        await play("sync", Scripted(), texts(5), path)
    assert path.read_text() == '{"model": "small"}\n'


# --- failures ---


@both
async def test_where_a_model_fails_the_reference_answers(how, path):
    down = set(texts(200)[::25])
    asker = Scripted(say=lambda model, text: Refused("no") if model == "small" and text in down else None)
    done = await play(how, asker, texts(200), path, 0.2)
    assert done.texts == [f"item {number}." for number in range(200)]
    assert {output.model for output, text in zip(done.outputs, texts(200), strict=True) if text in down} == {"large"}
    profiled = {row["query_id"] for row in rows_of(path) if row["model"] == "large"}
    assert len(profiled) == done.plan.profiled + done.fallbacks
    assert 0 < done.fallbacks <= len(down)
    again = await play(how, Scripted(), texts(200), path, 0.2)
    assert (again.calls, again.fallbacks, again.outputs) == (0, done.fallbacks, done.outputs)


async def test_a_failure_while_profiling_does_not_agree_and_costs_what_is_known(path):
    answers = iter(range(1000))
    asker = Scripted(say=lambda model, text: Refused("no") if model == "small" and next(answers) % 4 == 0 else None)
    await play("sync", asker, texts(40), path, batch=40, max_concurrency=1)
    (look,) = rows_of(path, "look")
    small = look["state"]["counts"]["small"]
    assert (small["seen"], small["agreed"], small["usd"]) == (40, 30, pytest.approx(0.3))
    failed = [row for row in rows_of(path) if row["error"]]
    assert {(row["cost_usd"], row["error"]) for row in failed} == {(0.0, "Refused: no")}


@both
async def test_an_item_whose_reference_fails_is_told_and_asked_again_in_the_next_run(how, path):
    order = Smart(["small"], "large", 200, 0.1).order
    places = tuple(sorted((order[0], order[-1])))  # one that is profiled, and one that is not
    down = {f"item {place}" for place in places}
    asker = Scripted(wrong={"small": set(range(200))}, say=lambda model, text: OSError("gone") if text in down else None)
    with pytest.warns(FrugalWarning, match=r"2 of 200 items have no answer, the first, '.*', for OSError: gone. Run again"):
        done = await play(how, asker, texts(200), path)
    assert done.plan.profiled < 200
    assert done.failed == places
    first = done.outputs[places[0]]
    assert (first.text, first.model, first.error) == (None, None, "OSError: gone")
    assert sum(text is not None for text in done.texts) == 198
    mended = Scripted(wrong={"small": set(range(200))})
    again = await play(how, mended, texts(200), path)
    assert sorted(mended.calls) == sorted(("large", text) for text in down)
    assert again.failed == ()
    assert again.texts == [f"item {number}." for number in range(200)]


async def test_both_fail_in_the_rest(path):
    whole = await play("sync", Scripted(), texts(100), path.with_name("whole.jsonl"))
    assert whole.outputs[1].model == "small"
    asker = Scripted(say=lambda model, text: OSError(model) if text == "item 1" else None)
    with pytest.warns(FrugalWarning, match="1 of 100 items"):
        done = await play("sync", asker, texts(100), path)
    assert done.failed == (1,)
    assert done.outputs[1].error == "OSError: large"
    again = await play("sync", Scripted(), texts(100), path)
    assert (again.outputs, again.calls) == (whole.outputs, 1)


@both
@pytest.mark.parametrize("model", ["small", "large"])
async def test_a_model_that_is_down_stops_the_job_and_loses_nothing(how, model, path):
    down = Scripted(say=lambda name, text: OSError("gone") if name == model else None)
    with pytest.raises(FrugalError, match=rf"{model} failed 10 times in a row, the last time with OSError: gone. Mend that"):
        await play(how, down, texts(100), path)
    answers = sum(row["error"] is None for row in rows_of(path))
    mended = Scripted()
    done = await play(how, mended, texts(100), path)
    assert done.plan.certified == ("small",)
    assert len(mended.calls) == 100 + done.plan.profiled - answers


async def test_a_framework_leaving_its_graph_is_no_failure(path):
    class GraphBubbleUp(Exception):
        pass

    asker = Scripted(say=lambda model, text: GraphBubbleUp() if text == "item 3" else None)
    for how in ("sync", "async"):
        with pytest.raises(GraphBubbleUp):
            await play(how, asker, texts(5), path)
    assert not any(row["error"] for row in rows_of(path))


async def test_cancelled(path):
    started = asyncio.Event()

    class Hanging(Scripted):
        async def aask(self, asked):
            if len(self.calls) < 5:
                return self.ask(asked)
            started.set()
            return await asyncio.Future()

    task = asyncio.ensure_future(play("async", Hanging(), texts(50), path))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(rows_of(path)) == 5
    second = Scripted()
    done = await play("async", second, texts(50), path)
    assert len(done.texts) == 50


async def test_cancelled_while_a_judge_thinks(path):
    thinking, go_on = threading.Event(), threading.Event()

    def judge(*_):
        thinking.set()
        return go_on.wait(10)

    task = asyncio.ensure_future(play("async", Scripted(), texts(50), path, compare=judge))
    await asyncio.to_thread(thinking.wait, 10)
    task.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()  # the thread still needs the file
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rows_of(path, "comparison")


async def test_calls_under_way_are_waited_for_when_a_judge_fails(path):
    loop, released = asyncio.get_running_loop(), asyncio.Event()

    class Slow(Scripted):
        async def aask(self, asked):
            answer = self.ask(asked)
            if asked.item.text != self.calls[0][1]:
                await released.wait()
                for _ in range(20):
                    await asyncio.sleep(0)
            return answer

    def judge(*_):
        loop.call_soon_threadsafe(released.set)
        raise ConnectionError("judge is out")

    asker = Slow()
    with pytest.raises(ConnectionError):
        await play("async", asker, texts(50), path, compare=judge)
    assert len(rows_of(path)) == len(asker.calls) == 8


# --- money ---


async def test_a_model_without_a_price_is_refused(path):
    asker = Scripted({"small": None, "large": 0.1})
    with pytest.raises(
        ConfigurationError, match=r"needs the price of every model. No price is known for model 'small'(.|\n)*prices="
    ):
        await play("sync", asker, texts(5), path)
    assert not path.exists()


async def test_the_estimate(path):
    job = smart_run.SmartRun(Scripted(), texts(1000), 0.1, 0.95, path, {})
    estimate = job.estimate()
    assert estimate.reference_usd == pytest.approx(100)
    done = await play("sync", Scripted(), texts(1000), path)
    assert estimate.least_profiled == done.plan.profiled
    assert estimate.least_usd == pytest.approx(done.cost_usd)


@both
async def test_too_dear_is_refused_before_anything_is_paid(how, path):
    asker = Scripted()
    with pytest.raises(
        ConfigurationError, match=r"max_usd=5 is too little: .* about \$1\d\.\d+ if .* 256 tokens\. Nothing was asked"
    ):
        await play(how, asker, texts(1000), path, max_usd=5)
    assert asker.calls == []
    assert not path.exists()


@both
async def test_it_stops_at_its_budget(how, path):
    asker = Scripted(wrong={"small": set(range(300))})
    with pytest.raises(FrugalError, match=r"Stopped at \$1[23]\.\d+: the next call might have passed max_usd=13\. Run again"):
        await play(how, asker, texts(300), path, max_usd=13)
    spent = sum(row["cost_usd"] for row in rows_of(path))
    assert 12.8 < spent <= 13 + 1e-9
    rest = Scripted(wrong=asker.wrong)
    done = await play(how, rest, texts(300), path, max_usd=100)
    assert not set(rest.calls) & set(asker.calls)
    assert done.cost_usd == pytest.approx(spent + sum(rest.usd[name] for name, _ in rest.calls))


async def test_free_models(path):
    done = await play("sync", Scripted({"small": 0, "large": 0}), texts(30), path)
    assert (done.saving, done.cost_usd) == (None, 0)


# --- what is shown ---


async def test_estimate_progress_and_saving_are_shown(path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "140")
    await play("sync", Scripted(), texts(500), path, progress=True)
    shown = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "500 items, small in place of large, into" in shown
    assert "Estimated cost, assuming answers of 256 tokens: $50.0000 by large alone; about $11.0000, with 60 items" in shown
    assert re.search(r"Answering .*500/500 items  \$11\.0000  saved \$39\.0000", shown)
    assert "Profiled 60 items: every model is judged. The rest: 440 by small. At most 34 of 500 outputs differ, of 50" in shown
    assert "Cost: $11.0000 (about $50.0000 by large alone)." in shown
    await play("sync", Scripted(), texts(500), path, progress=True)
    assert "it has cost $11.0000 so far" in capsys.readouterr().err
    await play("sync", Scripted(), texts(500), path)
    assert capsys.readouterr().err == ""


# --- executors ---


async def test_threads_have_the_context_of_the_caller(path):
    seen = ContextVar("seen", default=0)
    seen.set(3)
    found = set()
    asker = Scripted(say=lambda *_: found.add(seen.get()))
    await play("sync", asker, texts(5), path)
    with ThreadPoolExecutor(2) as pool:
        await play("sync", asker, texts(5), path.with_name("other.jsonl"), executor=pool)
    assert found == {3}


async def test_a_given_executor_stays_open(path):
    with ThreadPoolExecutor(2) as pool:
        done = await play("sync", Scripted(), texts(20), path, executor=pool)
        assert pool.submit(int).result() == 0
    assert len(done.texts) == 20


@both
async def test_concurrency(how, path):
    gate = threading.Barrier(3)

    def say(model, text):
        if how == "sync":
            gate.wait(10)  # never opens unless three are asked at once
        return None

    asker = Scripted(say=say)
    await play(how, asker, texts(3), path, max_concurrency=3)
    assert asker.most == (3 if how == "sync" else 1)


async def test_an_executor_that_cannot_run_calls(path):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(FrugalError, match=r"could not run a call: RuntimeError.*Mend that and run again"):
        await play("sync", Scripted(), texts(5), path, executor=pool)
    asker = Scripted(say=lambda *_: None)  # a lambda cannot be sent to another process
    spawning = get_context("spawn")
    with (
        ProcessPoolExecutor(1, spawning) as processes,
        pytest.raises(FrugalError, match=r'could not run a call.*"provider:model"'),
    ):
        await play("sync", asker, texts(5), path, executor=processes)
    done = await play("sync", Scripted(), texts(5), path)
    assert done.calls == 10


# --- arguments ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bound": 0}, "max_disagreement=0 "),
        ({"confidence": 95}, "confidence=95 "),
        ({"batch": 0}, "batch=0"),
        ({"seed": "a"}, "seed='a'"),
        ({"max_concurrency": 0}, "max_concurrency=0"),
        ({"output_tokens": True}, "output_tokens=True"),
        ({"max_usd": -1}, "max_usd=-1"),
        ({"compare": "close"}, "compare='close' is no way to compare"),
        ({"compare": None}, "compare=None"),
        ({"comparison": "exact"}, "SmartJob has no argument 'comparison'. Did you mean 'compare'"),
        ({"items": []}, "items is empty"),
        ({"items": "item 1"}, "items='item 1' must be a list"),
        ({"items": ["item 1", ""]}, r"items\[1\]: is empty"),
        ({"asker": Scripted({"large": 1})}, "models is empty"),
    ],
)
async def test_wrong_arguments(options, message, path):
    arguments = {"asker": Scripted(), "items": texts(5), "path": path, **options}
    with pytest.raises(ConfigurationError, match=message):
        await play("sync", **arguments)
    assert not path.exists()


def test_the_reference_is_named_once():
    assert smart_run.with_reference(["a", "b"], "c") == ["a", "b", "c"]
    model = object()
    for models, reference in ((["a", "b"], "b"), ([model], model)):
        with pytest.raises(ConfigurationError, match="is the reference and in models as well"):
            smart_run.with_reference(models, reference)
    with pytest.raises(ConfigurationError, match="must be a list of models"):
        smart_run.with_reference("a", "b")
