import asyncio
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import log
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.errors import ConfigurationError, FrugalWarning, RecordingsError
from frugal_core.learning import record_run
from frugal_core.learning.grading import grade
from frugal_core.learning.items import items
from frugal_core.learning.recording import Recording
from frugal_core.learning.recordings import Recordings
from frugal_core.learning.row_file import RowFile
from frugal_core.pricing import Price
from frugal_core.scorers.margin import Margin
from frugal_core.types import Answer, Message, Query, Tier, TokenLogprob, Usage

CHEAP, DEAR = Price(1.0, 1.0), Price(10.0, 10.0)
QUERIES = ["one", "two", "three", "four"]
USD = {"small": 6e-6, "large": 60e-6}


@dataclass
class Fakes:
    """Models in place of a framework's. `say` makes a model's answer; a call is 4 tokens in, 2 out unless told otherwise."""

    say: object = lambda model, text: f"{text} by {model}"
    prices: tuple = (CHEAP, DEAR)
    written: int = 2
    calls: list = field(default_factory=list)
    most: int = 0
    running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def tiers(self):
        return tuple(Tier(name, name, price) for name, price in zip(("small", "large"), self.prices, strict=True))

    def read(self, given):
        return Query([Message("user", given)] if isinstance(given, str) else given, self.tiers)

    def ask(self, asked):
        model, text = self.tiers[asked.tier].name, asked.item.text
        with self.lock:
            self.calls.append((model, text, asked.sample, asked.temperature))
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            said = self.say(model, text)
        finally:
            with self.lock:
                self.running -= 1
        if isinstance(said, BaseException):
            raise said
        usage, price = Usage(4, self.written), self.tiers[asked.tier].price
        logprobs = (TokenLogprob("x", log(0.8), (("x", log(0.8)), ("y", log(0.2)))), TokenLogprob("z", float("-inf"), ()))
        cost = None if price is None else price.cost(usage)
        return Answer(said, (), logprobs, usage, cost, 0.25, finish_reason="stop", tier=asked.tier)

    async def aask(self, asked):
        await asyncio.sleep(0)
        return self.ask(asked)

    @property
    def asked(self):
        return [(model, text) for model, text, *_ in self.calls]


async def recorded(how, fakes, queries, path, **options):
    options = {"progress": False, **options}
    if how == "sync":
        return record_run.run(fakes, queries, path, options)
    return await record_run.arun(fakes, queries, path, options)


def rows_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def cells(path):
    return sorted((row["model"], row["query"]) for row in rows_of(path))


ALL = sorted((model, text) for model in ("small", "large") for text in QUERIES)
both = pytest.mark.parametrize("how", ["sync", "async"])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.jsonl"


@both
async def test_a_row_has_all_that_signals_need(how, path):
    done = await recorded(how, Fakes(), [{"query": "one", "query_id": 7, "reference": "One by small.", "topic": "n"}], path)
    small, large = sorted(rows_of(path), key=lambda row: row["model"], reverse=True)
    assert small == {
        "dataset": "answers",
        "query_id": "7",
        "model": "small",
        "split": small["split"],
        "query": "one",
        "reference": "One by small.",
        "answer": "one by small",
        "correct": 1.0,
        "label": "gold",
        "prompt_tokens": 4,
        "completion_tokens": 2,
        "tokens_estimated": False,
        "cost_usd": pytest.approx(USD["small"]),
        "latency_s": 0.25,
        "finish_reason": "stop",
        "logprobs": [pytest.approx(log(0.8), abs=1e-6), -9999.0],
        "margin": pytest.approx(0.6),
        "scorers": {"margin": {"kind": "margin", "classes": None, "tokens": 1, "ignore_overlaps": True}},
        "error": None,
        "topic": "n",
    }
    assert (large["correct"], large["label"]) == (0.0, "gold")
    assert (done.calls, done.rows, done.failures, done.missing) == (2, 2, 0, 0)
    assert done.cost_usd == pytest.approx(sum(USD.values()))
    read = done.recordings
    assert (read.models, read.dataset, read.query_ids) == (("small", "large"), "answers", ("7",)) or set(read.models) == set(
        USD
    )
    assert read.signals["margin"][0, read.models.index("small")] == pytest.approx(0.6)
    assert {"margin", "logprobs"} == set(read.signals)


@both
async def test_nothing_is_asked_twice(how, path):
    first, second = Fakes(), Fakes()
    await recorded(how, first, QUERIES, path)
    before = path.read_bytes()
    done = await recorded(how, second, QUERIES, path)
    assert sorted(first.asked) == ALL
    assert (second.asked, done.calls, done.rows) == ([], 0, 8)
    assert path.read_bytes() == before
    assert done.cost_usd == pytest.approx(4 * sum(USD.values()))


@both
async def test_further_queries_are_added(how, path):
    fakes = Fakes()
    await recorded(how, fakes, QUERIES[:2], path)
    await recorded(how, fakes, QUERIES, path)
    assert sorted(fakes.asked) == ALL == cells(path)


class Crash(BaseException):
    pass


@both
@pytest.mark.parametrize("after", range(1, 8))
async def test_crash_in_the_middle(how, after, path):
    told = []

    def say(model, text):
        told.append((model, text))
        return Crash() if len(told) == after + 1 else "fine"

    broken, mended = Fakes(say), Fakes()
    with pytest.raises(Crash):
        await recorded(how, broken, QUERIES, path, max_concurrency=1)
    assert len(rows_of(path)) == after
    await recorded(how, mended, QUERIES, path)
    assert cells(path) == ALL
    assert sorted([*told[:after], *mended.asked]) == ALL


@both
async def test_what_is_under_way_at_an_interrupt_is_kept(how, path):
    inside, crashed = threading.Event(), threading.Event()

    class Slow(Fakes):
        async def aask(self, asked):
            if asked.item.text == "one":
                return self.ask(asked)
            raise Crash

    def say(model, text):
        if how == "async":
            return "fine"
        if text == "one":
            inside.set()
            assert crashed.wait(10)
            return "fine"
        assert inside.wait(10)
        crashed.set()
        return Crash()

    with pytest.raises(Crash):
        await recorded(how, Slow(say, prices=(CHEAP, DEAR)), ["one", "two"], path, max_concurrency=3)
    assert ("small", "one") in cells(path)


def test_a_killed_process_goes_on_where_it_was(path, tmp_path):
    log_file = tmp_path / "asked.txt"
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import os, sys, threading
            from test_recording import Fakes, record_run
            lock = threading.Lock()
            def say(model, text):
                with lock, open({str(log_file)!r}, "a") as log:
                    log.write(model + " " + text + chr(10))
                    log.flush()
                    if sum(1 for _ in open({str(log_file)!r})) == int(sys.argv[1]):
                        os.kill(os.getpid(), {int(signal.SIGKILL)})
                return "fine"
            queries = [f"q{{n}}" for n in range(10)]
            record_run.run(Fakes(say), queries, {str(path)!r}, {{"progress": False, "max_concurrency": 1, "samples": 1}})
            """
        )
    )
    folders = [Path(__file__).parent, *map(Path, sys.path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders if str(folder))}

    def started(kill_at):
        return subprocess.run([sys.executable, str(program), str(kill_at)], env=env, capture_output=True, timeout=120)

    for kill_at in (6, 14, 23):
        assert started(kill_at).returncode == -signal.SIGKILL
    last = started(0)
    assert last.returncode == 0, last.stderr.decode()
    rows = rows_of(path)
    asked = log_file.read_text().splitlines()
    assert len(rows) == 20
    assert all(len(row["samples"]) == 1 for row in rows)
    assert len(asked) == 40 + 3  # the three calls under way at the kills, and no other, were made twice
    assert not path.with_name("answers.jsonl.part").exists()
    (read,) = Recordings.read([path])
    assert read.present.all()


@pytest.mark.parametrize("kept", [0, 1, 30, 10_000])
async def test_a_torn_line_is_cut_off(kept, path):
    fakes = Fakes()
    await recorded("sync", fakes, QUERIES, path, max_concurrency=1)
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:-1][:kept])
    before = len(fakes.calls)
    await recorded("sync", fakes, QUERIES, path)
    assert len(fakes.calls) - before == (0 if kept == 10_000 else 1)
    assert len(rows_of(path)) == 8
    assert path.read_bytes().endswith(b"\n")


def test_a_torn_line_longer_than_a_chunk(path):
    path.write_text('{"a": 1}\n{"b": "' + "x" * 200_000)
    file = RowFile(path)
    file.append({"c": "\udc80ü"})
    file.close()
    assert path.read_text() == '{"a": 1}\n{"c": "\\udc80ü"}\n'
    assert file.read() == [{"a": 1}, {"c": "\udc80ü"}]


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers()), max_size=4), st.integers(0, 400))
def test_a_file_cut_anywhere_loses_only_the_end(rows, cut):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "f.jsonl")
        file = RowFile(path)
        for row in rows:
            file.append(row)
        file.close()
        content = path.read_bytes()[:cut]
        path.write_bytes(content)
        again = RowFile(path)
        again.append({"new": 1})
        again.close()
        kept = again.read()
        assert kept[-1] == {"new": 1}
        assert kept[:-1] == rows[: len(kept) - 1]
        assert len(kept) - 1 >= content.count(b"\n")


@both
async def test_failures_stand_in_the_file_and_are_asked_again_only_on_demand(how, path):
    down = Fakes(lambda model, text: TimeoutError("too slow") if text == "two" and model == "small" else "fine")
    with pytest.warns(FrugalWarning, match=r"1 of 8 rows are failures.*small: TimeoutError: too slow.*retry_failures=True"):
        done = await recorded(how, down, QUERIES, path)
    (failed,) = [row for row in rows_of(path) if row["error"]]
    assert (failed["model"], failed["query"], failed["error"]) == ("small", "two", "TimeoutError: too slow")
    assert failed["answer"] is failed["correct"] is failed["cost_usd"] is failed["margin"] is failed["logprobs"] is None
    assert (done.failures, done.missing) == (1, 0)
    assert int(done.recordings.present.sum()) == 7

    up = Fakes()
    with pytest.warns(FrugalWarning, match="failures"):
        await recorded(how, up, QUERIES, path)
    assert up.asked == []
    done = await recorded(how, up, QUERIES, path, retry_failures=True)
    assert up.asked == [("small", "two")]
    assert (done.failures, cells(path)) == (0, ALL)


async def test_a_refused_call_was_free(path):
    class Refused(Exception):
        status_code = 400

    with pytest.warns(FrugalWarning, match="failures"):
        done = await recorded("sync", Fakes(lambda model, text: Refused() if model == "large" else "fine"), ["one"], path)
    assert [row["cost_usd"] for row in rows_of(path) if row["error"]] == [0.0]
    assert done.cost_usd == pytest.approx(USD["small"])


async def test_a_model_that_fails_on_and_on_is_given_up(path):
    queries = [f"q{n}" for n in range(40)]
    fakes = Fakes(lambda model, text: PermissionError("no key") if model == "large" else "fine")
    with pytest.warns(FrugalWarning) as told:
        done = await recorded("sync", fakes, queries, path, max_concurrency=1)
    assert "large was given up: it failed ten times in a row (PermissionError: no key)" in str(told[0].message)
    assert [model for model, _ in fakes.asked].count("large") == 10
    assert (done.failures, done.missing) == (10, 30)
    mended = Fakes()
    await recorded("sync", mended, queries, path, retry_failures=True)
    assert len(mended.asked) == 40


async def test_a_model_that_fails_now_and_then_is_not_given_up(path):
    queries = [f"q{n}" for n in range(40)]
    fakes = Fakes(lambda model, text: OSError("gone") if int(text[1:]) % 9 and model == "large" else "fine")
    with pytest.warns(FrugalWarning) as told:
        done = await recorded("sync", fakes, queries, path, max_concurrency=1)
    assert len(told) == 1
    assert (done.failures, done.missing) == (35, 0)


async def test_threads_have_the_context_of_the_caller(path):
    seen = ContextVar("seen", default=0)
    seen.set(3)
    found = []
    await recorded("sync", Fakes(lambda *_: str(found.append(seen.get()))), QUERIES, path)
    assert found == [3] * 8


@both
async def test_concurrency(how, path):
    gate = threading.Barrier(3)

    def say(model, text):
        if how == "sync":
            gate.wait(10)  # never opens unless three are asked at once
        return "fine"

    fakes = Fakes(say)
    await recorded(how, fakes, ["a", "b", "c"], path, max_concurrency=3)
    assert len(fakes.calls) == 6
    assert fakes.most == (3 if how == "sync" else 1)


# --- samples ---


@both
async def test_samples(how, path):
    fakes = Fakes()
    done = await recorded(how, fakes, ["one"], path, samples=3, temperature=0.7)
    assert sorted(fakes.calls) == sorted(
        (model, "one", sample, 0.7 if sample else None) for model in ("small", "large") for sample in range(4)
    )
    for row in rows_of(path):
        assert row["samples"] == [f"one by {row['model']}"] * 3
        assert row["cost_usd"] == pytest.approx(4 * USD[row["model"]])
        assert row["cost_answer_usd"] == pytest.approx(USD[row["model"]])
    assert done.recordings.signals["votes"].tolist() == [[1.0, 1.0]]
    assert not path.with_name("answers.jsonl.part").exists()


@both
@pytest.mark.parametrize("after", range(1, 16, 2))
async def test_samples_survive_a_crash(how, after, path):
    broken = Fakes(lambda model, text: Crash() if len(broken.calls) == after + 1 else "fine")
    with pytest.raises(Crash):
        await recorded(how, broken, ["one", "two"], path, samples=3, max_concurrency=1)
    mended = Fakes()
    done = await recorded(how, mended, ["one", "two"], path, samples=3)
    assert len(mended.calls) == 16 - after
    made = [call[:3] for call in (*broken.calls[:after], *mended.calls)]
    assert len(set(made)) == len(made) == 16
    assert done.cost_usd == pytest.approx(8 * sum(USD.values()))


async def test_a_failed_sample_leaves_the_answer(path):
    fakes = Fakes(lambda model, text: OSError("gone") if len(fakes.calls) == 3 else "fine")
    with pytest.warns(FrugalWarning, match="failures"):
        await recorded("sync", fakes, [{"query": "one", "reference": "fine"}], path, samples=3, max_concurrency=1)
    (failed,) = [row for row in rows_of(path) if row["error"]]
    assert (failed["answer"], failed["correct"], failed["samples"], failed["cost_usd"]) == ("fine", 1.0, ["fine"], None)
    again = Fakes()
    with pytest.warns(FrugalWarning, match="failures"):
        done = await recorded("sync", again, [{"query": "one", "reference": "fine"}], path, samples=3, max_usd=0.0001)
    assert done.cost_usd == pytest.approx(2 * USD["small"] + 4 * USD["large"])  # nothing to ask: no limit is passed
    await recorded("sync", again, [{"query": "one", "reference": "fine"}], path, samples=3, retry_failures=True)
    assert [call[2] for call in again.calls] == [2, 3]


async def test_other_number_of_samples(path):
    await recorded("sync", Fakes(), ["one"], path)
    with pytest.raises(RecordingsError, match=r"has 0 samples of query .* samples=2"):
        await recorded("sync", Fakes(), ["one"], path, samples=2)


# --- money ---


@both
async def test_too_dear_is_refused_before_anything_is_paid(how, path):
    fakes = Fakes()
    with pytest.raises(
        ConfigurationError, match=r"max_usd=0\.0001 is too little: 8 calls are estimated to cost \$0\.01.*Nothing"
    ):
        await recorded(how, fakes, QUERIES, path, max_usd=0.0001)
    assert fakes.calls == []
    assert not path.exists()
    with pytest.raises(ConfigurationError, match="16 calls"):
        await recorded(how, fakes, QUERIES, path, max_usd=0.0001, samples=1)
    assert list(path.parent.iterdir()) == []


@both
async def test_it_stops_when_the_real_cost_passes(how, path):
    fakes = Fakes(written=20)  # 24e-6 and 240e-6 USD a call; a tenth of that is expected at first
    with pytest.warns(FrugalWarning, match=r"Stopped at \$0\.0003.*max_usd=0\.0005.*5 answers are missing"):
        done = await recorded(how, fakes, QUERIES, path, max_usd=0.0005, output_tokens=1, max_concurrency=1)
    assert done.cost_usd == pytest.approx(288e-6)
    assert (done.calls, done.missing) == (3, 5)
    await recorded(how, fakes, QUERIES, path)
    assert sorted(fakes.asked) == ALL


def test_calls_under_way_count():
    fakes = Fakes()
    queries = items(["one", "two", "three"], "d", fakes.read)
    recording = Recording(queries, fakes.tiers[:1], max_usd=100e-6, output_tokens=20)
    first, second = recording.next(), recording.next()

    def came(asked, usd):
        return {**recording.entry(asked, Answer("a", usage=Usage(4, 20))), "cost_usd": usd}

    recording.receive(first, came(first, 60e-6))
    assert recording.next() is None  # 60, and about 30 for each of two calls, is too much
    assert not recording.stopped
    recording.receive(second, came(second, 0.0))
    third = recording.next()
    assert third is not None
    recording.receive(third, came(third, 0.0))
    assert (recording.next(), recording.stopped, recording.spent_usd) == (None, False, pytest.approx(60e-6))


async def test_what_earlier_runs_cost_counts(path):
    await recorded("sync", Fakes(), QUERIES, path)
    with pytest.raises(ConfigurationError, match=r"after \$0\.0003 that the file has cost already"):
        await recorded("sync", Fakes(), [*QUERIES, "five"], path, max_usd=0.0003)
    await recorded("sync", Fakes(), QUERIES, path, max_usd=0.0003)


async def test_max_usd_without_a_price(path):
    with pytest.raises(ConfigurationError, match=r"max_usd=1 cannot be kept: no price is known for 'large'.*prices="):
        await recorded("sync", Fakes(prices=(CHEAP, None)), QUERIES, path, max_usd=1)


async def test_unknown_cost_is_not_nothing(path):
    with pytest.warns(FrugalWarning, match="No price is known for model 'large'"):
        done = await recorded("sync", Fakes(prices=(CHEAP, None)), ["one"], path)
    assert {row["model"]: row["cost_usd"] for row in rows_of(path)} == {"small": pytest.approx(6e-6), "large": None}
    assert done.cost_usd == pytest.approx(6e-6)


async def test_the_estimate_is_shown_first(path, capsys):
    seen = []

    def say(model, text):
        seen.append(capsys.readouterr().err)
        return "fine"

    await recorded("sync", Fakes(say), QUERIES, path, progress=True, max_concurrency=1)
    # 9 or 10 tokens in (5 to 8 of frame and text), 256 assumed out
    assert "4 queries, 2 models, 8 calls to make into" in seen[0]
    assert "Estimated cost $0.011" in seen[0]
    assert "small $0.001" in seen[0]
    assert re.search(r"\(small .*, large .*\), assuming answers of 256 tokens\.", seen[0])
    await recorded("sync", Fakes(), [*QUERIES, "five"], path, progress=True)
    assert "it has 8 rows already, which cost $0.0003. Estimated cost $0.0001" in (again := capsys.readouterr().err)
    assert "assuming" not in again
    await recorded("sync", Fakes(), QUERIES, path)
    assert capsys.readouterr().err == ""


async def test_the_assumption_is_told_of_models_that_have_not_answered(path, capsys):
    down = Fakes(lambda model, text: OSError() if model == "large" else "fine")
    with pytest.warns(FrugalWarning, match="failures"):
        await recorded("sync", down, ["one"], path)
    await recorded("sync", Fakes(), ["one", "two"], path, progress=True, output_tokens=9, retry_failures=True)
    assert re.search(r"\(large .*, small .*\), assuming answers of 9 tokens by large\.", capsys.readouterr().err)


@pytest.mark.filterwarnings("ignore:No price is known")
async def test_unknown_cost_is_not_shown_as_nothing(path, capsys):
    await recorded("sync", Fakes(prices=(None, None)), ["one"], path)
    await recorded("sync", Fakes(prices=(None, None)), ["one", "two"], path, progress=True)
    assert "it has 2 rows already. No cost is known." in capsys.readouterr().err


async def test_progress_with_running_cost(path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    await recorded("sync", Fakes(), QUERIES, path, progress=True)
    shown = capsys.readouterr().err
    assert "8/8" in re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "$0.0003" in shown


# --- labels ---


@both
async def test_agreement_with_the_reference_where_no_answer_is_given(how, path):
    fakes = Fakes(lambda model, text: "Yes." if model == "large" or text == "one" else "No.")
    queries = ["one", "two", {"query": "three", "reference": "no"}]
    await recorded(how, fakes, queries, path)
    assert {(row["model"], row["query"]): (row["correct"], row["label"]) for row in rows_of(path)} == {
        ("small", "one"): (1.0, "agreement"),
        ("small", "two"): (0.0, "agreement"),
        ("small", "three"): (1.0, "gold"),
        ("large", "one"): (1.0, "agreement"),
        ("large", "two"): (1.0, "agreement"),
        ("large", "three"): (0.0, "gold"),
    }


async def test_agreement_waits_for_the_reference(path):
    down = Fakes(lambda model, text: OSError("gone") if model == "large" else "yes")
    with pytest.warns(FrugalWarning):
        await recorded("sync", down, ["one"], path)
    assert [row["correct"] for row in rows_of(path)] == [None, None]
    await recorded("sync", Fakes(lambda *_: "yes"), ["one"], path, retry_failures=True)
    assert [row["correct"] for row in rows_of(path)] == [1.0, 1.0]


async def test_an_empty_answer_is_no_standard(path):
    await recorded("sync", Fakes(lambda model, text: "" if model == "large" else "yes"), ["one"], path)
    assert [row["correct"] for row in rows_of(path)] == [None, None]


async def test_other_reference(path):
    await recorded("sync", Fakes(lambda model, text: model), ["one"], path, reference=0, labels="exact")
    assert {row["model"]: row["correct"] for row in rows_of(path)} == {"small": 1.0, "large": 0.0}


@pytest.mark.parametrize("options", [{"labels": None}, {"agreement": False}])
async def test_no_labels_and_graded_later(options, path):
    done = await recorded("sync", Fakes(lambda model, text: f"{model} 7"), ["one"], path, **options)
    assert [row["correct"] for row in rows_of(path)] == [None, None]
    assert not done.recordings.present.any()
    with pytest.warns(FrugalWarning, match=r"none of 2 answers .*reference_model= .*; there are large, small\."):
        assert grade(path) == 0
    assert grade(path, "numeric", reference_model="large") == 2
    assert grade(path) == 0  # nothing is left to grade
    assert grade(path, "numeric", reference_model="large") == 0
    assert {row["model"]: (row["correct"], row["label"]) for row in rows_of(path)} == {
        "small": (1.0, "agreement"),
        "large": (1.0, "agreement"),
    }
    assert grade(path, "exact", reference_model="large", again=True) == 2
    assert {row["model"]: row["correct"] for row in rows_of(path)} == {"small": 0.0, "large": 1.0}


@both
async def test_own_labels_that_fail_cost_no_answer(how, path):
    def judge(query, answer, reference):
        if query == "two":
            raise ConnectionError("judge is out")
        return 0.25

    queries = [{"query": text, "reference": "r"} for text in QUERIES]
    fakes = Fakes()
    with pytest.warns(FrugalWarning, match=r"2 answers could not be graded.*ConnectionError: judge is out.*grade\(path"):
        await recorded(how, fakes, queries, path, labels=judge)
    assert {row["query"]: row["correct"] for row in rows_of(path)} == {"one": 0.25, "two": None, "three": 0.25, "four": 0.25}
    asked = []

    def second(query, answer, reference):
        asked.append((query, answer, reference))
        return True

    assert grade(path, second) == 2
    assert sorted(asked) == [("two", "two by large", "r"), ("two", "two by small", "r")]
    assert not any("label_error" in row for row in rows_of(path))


def test_grade_keeps_what_it_has_when_interrupted(path):
    rows = [
        {"dataset": "d", "query_id": f"q{n}", "model": "m", "split": "train", "answer": "a", "reference": "a", "correct": None}
        for n in range(4)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen = []

    def judge(*given):
        seen.append(given)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return 1

    with pytest.raises(KeyboardInterrupt):
        grade(path, judge)
    assert [row["correct"] for row in rows_of(path)] == [1.0, 1.0, None, None]
    assert grade(path) == 2


def test_grade_of_a_compressed_file(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    row = {"dataset": "d", "query_id": "q", "model": "m", "split": "train", "answer": "a", "reference": "A", "correct": None}
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    assert grade(path) == 1
    assert json.loads(gzip.decompress(path.read_bytes()))["correct"] == 1.0


def test_grade_refuses(path):
    with pytest.raises(RecordingsError, match="no such file"):
        grade(path)
    path.write_text(json.dumps({"dataset": "d", "query_id": "q", "model": "m", "split": "train", "correct": 1}) + "\n")
    with pytest.raises(RecordingsError, match="no rows of the reference model 'large'; it has m"):
        grade(path, reference_model="large")


# --- queries ---


def read(text):
    return Query([Message("user", text)] if isinstance(text, str) else text, ())


def test_split_follows_from_the_id_alone():
    first = items([f"q{n}" for n in range(400)], "d", read)
    other = items([f"q{n}" for n in reversed(range(400))], "d", read)
    assert {item.query_id: item.split for item in first} == {item.query_id: item.split for item in other}
    assert 150 < sum(item.split == "train" for item in first) < 250
    assert {item.split for item in items(["a", "b", "c"], "d", read, train_share=0)} == {"test"}
    assert {item.split for item in items(["a", "b", "c"], "d", read, train_share=1)} == {"train"}


def test_fields_of_a_query():
    (item,) = items([{"query": "a", "query_id": 3, "reference": 0, "split": "test", "dataset": "own", "level": 2}], "d", read)
    assert (item.dataset, item.query_id, item.split, item.reference, item.extra) == ("own", "3", "test", "0", {"level": 2})


def test_the_same_question_twice_is_one():
    assert len(items(["a", "b", "a", {"query": "a"}], "d", read)) == 2


def test_conversations_are_told_apart_by_every_turn():
    talks = [[Message("user", "hi"), Message("assistant", said), Message("user", "and?")] for said in ("yes", "no")]
    first, second = items(talks, "d", read)
    assert first.query_id != second.query_id
    assert first.text == "user: hi\n\nassistant: yes\n\nuser: and?"
    assert items([[Message("user", "hi")]], "d", read)[0].query_id == items(["hi"], "d", read)[0].query_id


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ("What?", "must be a list"),
        ({"query": "a"}, "must be a list"),
        ([], "queries is empty"),
        ([""], r"queries\[0\]: is empty"),
        (["a", {"text": "b"}], r"queries\[1\]: has no 'query'; it has text"),
        ([{"query": "a", "split": "dev"}], "split is 'dev'"),
        ([{"query": "a", "query_id": ""}], "query_id is ''"),
        ([{"query": "a", "reference": ["x"]}], "reference is this list"),
        ([{"query": "a", "margin": 1}], "has a column 'margin'"),
        ([{"query": "a", "query_id": "q"}, {"query": "b", "query_id": "q"}], r"queries\[1\]: has the same query_id 'q'"),
        ([{"query": "a", "reference": "x"}, {"query": "a", "reference": "y"}], r"queries\[1\]: has the same query_id"),
        ([[Message("user", "look", has_media=True)]], "give it a 'query_id'"),
        ([5], r"queries\[0\]: cannot be read as a query"),
    ],
)
def test_queries_that_cannot_be_used(queries, message):
    with pytest.raises(ConfigurationError, match=message):
        items(queries, "d", read, kept=["margin"])


async def test_another_text_under_a_known_id(path):
    await recorded("sync", Fakes(), [{"query": "a", "query_id": "q"}], path)
    with pytest.raises(RecordingsError, match="'q' of dataset 'answers' with another text, 'a'"):
        await recorded("sync", Fakes(), [{"query": "b", "query_id": "q"}], path)


async def test_split_stays_what_it_was(path):
    side = items(["a"], "d", read)[0].split
    other = {"train": "test", "test": "train"}[side]
    fakes = Fakes()
    down = Fakes(lambda model, text: OSError() if model == "large" else "fine")
    with pytest.warns(FrugalWarning):
        await recorded("sync", down, [{"query": "a", "split": other}], path)
    await recorded("sync", fakes, ["a"], path, retry_failures=True)
    assert {row["split"] for row in rows_of(path)} == {other}
    with pytest.raises(RecordingsError, match=f"in the split '{other}', and '{side}'"):
        await recorded("sync", fakes, [{"query": "a", "split": side}], path)


async def test_several_datasets(path):
    done = await recorded("sync", Fakes(), ["a", {"query": "a", "dataset": "other"}], path, dataset="mine")
    assert sorted(each.dataset for each in done.read()) == ["mine", "other"]
    with pytest.raises(RecordingsError, match=r"several datasets .*\.read\(\)"):
        _ = done.recordings


# --- arguments and files ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_concurrency": 0}, "max_concurrency=0"),
        ({"samples": -1}, "samples=-1"),
        ({"samples": True}, "samples=True"),
        ({"output_tokens": 0}, "output_tokens=0"),
        ({"max_usd": -1}, "max_usd=-1"),
        ({"max_usd": float("nan")}, "max_usd=nan"),
        ({"train_share": 1.5}, "train_share=1.5"),
        ({"labels": "close"}, "labels='close'"),
        ({"reference": 2}, "reference=2"),
        ({"scorers": [Margin()]}, r'scorers=this list .* scorers=\{"margin": Margin\(\)\}'),
        ({"scorers": Margin()}, "scorers=this Margin"),
        ({"maxusd": 3}, "Did you mean 'max_usd'"),
    ],
)
async def test_wrong_arguments(options, message, path):
    fakes = Fakes()
    with pytest.raises(ConfigurationError, match=message):
        await recorded("sync", fakes, QUERIES, path, **options)
    assert fakes.calls == []
    assert not path.exists()


async def test_files_that_cannot_be_used(path, tmp_path):
    fakes = Fakes()
    with pytest.raises(RecordingsError, match="is compressed"):
        await recorded("sync", fakes, QUERIES, tmp_path / "a.jsonl.gz")
    path.write_bytes(gzip.compress(b"{}"))
    with pytest.raises(RecordingsError, match="is compressed"):
        await recorded("sync", fakes, QUERIES, path)
    with pytest.raises(RecordingsError, match="cannot be written"):
        await recorded("sync", fakes, QUERIES, tmp_path / "none" / "a.jsonl")
    path.write_text('{"a": 1}\nnonsense\n{"b": 2}\n')
    with pytest.raises(RecordingsError, match="row 2"):
        await recorded("sync", fakes, QUERIES, path)
    path.write_text('{"a": 1}\n')
    with pytest.raises(RecordingsError, match="without 'dataset'"):
        await recorded("sync", fakes, QUERIES, path)
    assert fakes.calls == []
    assert path.read_text() == '{"a": 1}\n'


async def test_two_at_once(path):
    fakes = Fakes()
    file = RowFile(path)
    with pytest.raises(RecordingsError, match="another process is recording into it"):
        await recorded("sync", fakes, QUERIES, path)
    file.close()
    await recorded("sync", fakes, QUERIES, path)


async def test_own_scorers(path):
    def failing(query, answer):
        raise ValueError

    scorers = {"length": lambda query, answer: len(answer.text) / 100, "bad": lambda *_: 7, "failing": failing}
    await recorded("sync", Fakes(), ["one"], path, scorers=scorers)
    for row in rows_of(path):
        assert row["length"] == 0.12
        assert row["bad"] is row["failing"] is None
        assert "margin" not in row


async def test_cancelled(path):
    started = asyncio.Event()

    class Hanging(Fakes):
        async def aask(self, asked):
            if asked.item.text == "one":
                return self.ask(asked)
            started.set()
            return await asyncio.Future()

    task = asyncio.ensure_future(recorded("async", Hanging(), ["one", "two"], path))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cells(path) == [("large", "one"), ("small", "one")]
