import asyncio
import copy
import json
import pickle
import queue
import threading
import warnings
from contextvars import ContextVar
from dataclasses import replace

import numpy as np
import pytest

from core_builders import make_query, says
from frugal_core.audit import Audit
from frugal_core.audit_cases import Finding
from frugal_core.audit_log import AuditLog
from frugal_core.background import Background
from frugal_core.decision import Trace
from frugal_core.engine import drive
from frugal_core.errors import ConfigurationError, FrugalWarning, RecordingsError
from frugal_core.learning.eprocess import EProcess, log_evidence
from frugal_core.policies import Cascade, Single
from frugal_core.policies.audited import Audited
from frugal_core.types import ToolCall

ALARM = "answers differ from the reference's"


def decided(query, answer):
    """The decision to serve an answer."""
    trace = Trace(Single(answer.tier), query)
    trace.answered(answer, "routed", accepted=True)
    return trace.close(answer)


def watch(audit, served="Paris", reference="Paris", *, tier=0, text="Which city?", drafts=None, ask=None):
    """One query through an audit; texts or answers, or an exception of the reference's."""
    query = make_query(2, text)
    answer = replace(says(served) if isinstance(served, str) else served, tier=tier)
    said = replace(says(reference, cost=10.0) if isinstance(reference, str) else reference, tier=1) if ask is None else None
    audit.watch(query, decided(query, answer), drafts or {}, ask or (lambda: said))


def watched(audit, *served, **rest):
    """Several queries, each once the audit of the one before is over."""
    for each in served:
        watch(audit, each, **rest)
        assert audit.drain(20)


def until_alarm(audit):
    while not audit.alarm:
        watched(audit, "Rome")


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


def test_losses_cost_and_evidence_are_reported():
    audit = Audit(0.5, 1)
    for served in ("Paris", "paris.", "Rome"):
        watch(audit, served)
    watch(audit, "Paris", tier=1, ask=pytest.fail)
    assert audit.drain(20)
    report = audit.report()
    assert (report.requests, report.audited, report.losses, report.disagreement) == (4, 4, 1.0, 0.25)
    assert (report.cost_usd, report.alarm, report.pending, report.dropped, report.failures) == (30.0, False, 0, 0, 0)
    expected = EProcess(0.5, 1 - 0.95, 1.0, 4)
    assert report.evidence == pytest.approx(np.exp(expected.log_value))
    assert report.bounds == expected.bounds
    assert report.needed == pytest.approx(20)
    assert json.loads(json.dumps(report.to_dict()))["bounds"] == list(report.bounds)


def test_before_the_first_query_nothing_is_known():
    report = Audit(0.1).report()
    assert (report.audited, report.disagreement, report.bounds, report.evidence, report.cost_usd) == (0, None, (0, 1), 1, 0)


def test_an_answer_of_unknown_price_makes_the_cost_unknown():
    audit = Audit(0.5, 1)
    watch(audit, "Paris", says("Paris", cost=None))
    audit.drain(20)
    assert audit.report().cost_usd is None


@pytest.mark.parametrize(
    ("compare", "served", "reference", "loss"),
    [
        ("exact", "Paris", "paris", 1),
        ("normalised", "Paris", "paris.", 0),
        ("numeric", "It is 7", "7.0", 0),
        ("numeric", "seven", "Seven.", 0),
        (lambda query, answer, reference: query == "Which city?", "a", "b", 0),
        (lambda query, answer, reference: 0.75, "a", "b", 0.25),
        ("exact", says("a", parsed={"n": 1}), says("b", parsed={"n": 1}), 0),
        ("exact", says("a", parsed={"n": 1}), says("a", parsed={"n": 2}), 1),
        ("exact", says("a", tool_calls=(ToolCall("f", {"x": 1}, "id1"),)), says("", tool_calls=(ToolCall("f", {"x": 1}),)), 0),
        ("exact", says("", tool_calls=(ToolCall("f", {"x": 1}),)), says("", tool_calls=(ToolCall("f", {"x": 2}),)), 1),
        ("exact", says("", tool_calls=(ToolCall("f", {}),)), says(""), 1),
        ("exact", says("a", parsing_error="no"), says("a", parsing_error="no"), 1),
    ],
)
def test_what_counts_as_agreement(compare, served, reference, loss):
    audit = Audit(0.5, 1, compare=compare)
    watch(audit, served, reference)
    audit.drain(20)
    assert audit.report().losses == loss


def test_about_the_share_is_audited_and_by_the_seed():
    def audited(seed):
        asked = []
        audit = Audit(0.5, 0.25, seed=seed)
        for number in range(400):
            watch(audit, ask=lambda number=number: asked.append(number) or says(tier=1))
            audit.drain()  # else some might be dropped
        return asked

    first = audited(7)
    assert first == audited(7) != audited(8)
    assert 70 < len(first) < 130


def test_an_alarm_is_raised_once_and_told():
    audit = Audit(0.1, 1)
    with pytest.warns(FrugalWarning, match=ALARM) as heard:
        until_alarm(audit)
    assert len(heard) == 1
    assert "max_disagreement=0.1" in str(heard[0].message)
    known = EProcess(0.1, 1 - 0.95)
    while not known.alarm:
        known = known.observe(1)
    assert audit.report().audited == known.seen
    watch(audit, "Rome", ask=pytest.fail)
    assert audit.drain(20)
    assert (audit.report().requests, audit.report().audited) == (known.seen + 1, known.seen)


def test_a_kept_promise_is_seldom_alarmed_over_all_time():
    rng = np.random.default_rng(5)
    limit, streams, looks = 0.05, 500, 300
    by_reference = rng.random((streams, looks)) < 0.4  # these have no loss, so the others have the more
    losses = ~by_reference & (rng.random((streams, looks)) < limit / 0.6)
    assert losses.mean() == pytest.approx(limit, rel=0.05)
    evidence = log_evidence(np.cumsum(losses, axis=1), np.arange(1, looks + 1), limit)
    assert 0.005 < (evidence.max(axis=1) >= np.log(1 / 0.05)).mean() <= 0.05
    worse = rng.random((100, looks)) < 3 * limit
    evidence = log_evidence(np.cumsum(worse, axis=1), np.arange(1, looks + 1), limit)
    assert (evidence.max(axis=1) >= np.log(1 / 0.05)).mean() > 0.99


def test_evidence_is_in_the_order_of_the_draws_not_of_the_answers():
    """A reference that is quick to contradict and slow to agree would else raise the alarm of a kept promise."""
    audit, agree = Audit(0.2, 1), threading.Event()
    audit._background = Background(64, "test")

    def slow():
        agree.wait(20)
        return says(tier=1)

    for _ in range(20):
        watch(audit, ask=slow)
    for _ in range(4):
        watch(audit, "Rome")
    assert EProcess(0.2).observe(4, 4).alarm
    assert not audit.drain(0.05)
    assert (audit.report().audited, audit.alarm) == (0, False)
    agree.set()
    assert audit.drain(20)
    assert (audit.report().audited, audit.report().losses, audit.alarm) == (24, 4, False)


def test_a_call_that_never_ends_does_not_hold_back_the_evidence_for_ever(monkeypatch):
    monkeypatch.setattr("frugal_core.audit_log._MOST_BEHIND", 8)
    log = AuditLog(0.5, 0.05, None)
    for number in range(1, 9):
        log.settle(number, Finding(0.0, 0.0, ()))
    assert log.found[0].seen == 0
    log.settle(9, Finding(0.0, 0.0, ()))
    assert log.found[0].seen == 9
    log.settle(0, Finding(1.0, 0.0, ()))
    assert (log.found[0].seen, log.found[0].total) == (9, 0)


def timed_out():
    raise TimeoutError("slow")


def test_a_failing_reference_is_counted_and_told_once():
    audit = Audit(0.5, 1)
    with pytest.warns(FrugalWarning, match="TimeoutError: slow") as heard:
        watched(audit, *"abc", ask=timed_out)
    watched(audit, "Paris")
    assert len(heard) == 1
    assert (audit.report().failures, audit.report().audited) == (3, 1)


@pytest.mark.parametrize("compare", [lambda *texts: 1 / 0, lambda *texts: "much"])
def test_a_failing_comparison_is_a_failed_audit(compare):
    audit = Audit(0.5, 1, compare=compare)
    with pytest.warns(FrugalWarning, match="ZeroDivisionError|ScorerError"):
        watched(audit, "Paris")
    assert (audit.report().failures, audit.report().audited) == (1, 0)


def test_too_many_at_once_are_dropped_whoever_answered():
    audit, go = Audit(0.5, 1), threading.Event()
    for _ in range(100):
        watch(audit, ask=lambda: go.wait(20) and says(tier=1))
    watch(audit, tier=1)
    report = audit.report()
    assert (report.pending, report.dropped, report.requests) == (64, 37, 101)
    go.set()
    assert audit.drain(20)
    assert (audit.report().pending, audit.report().audited) == (0, 64)


def test_drafts_and_the_reference_are_kept_as_recordings(path):
    audit = Audit(0.5, 1, path=path)
    watch(audit, "Rome", "Paris", text="one")
    drafts = {"tier0": replace(says("Paris"), tier=0)}
    watch(audit, "Paris", tier=1, text="two", drafts=drafts, ask=pytest.fail)
    watch(audit, "Paris", "Paris", text="one")
    audit.drain(20)
    rows = rows_of(path)
    assert [(row["query"], row["model"], row["correct"], row["label"]) for row in rows] == [
        ("one", "tier1", 1.0, "agreement"),
        ("one", "tier0", 0.0, "agreement"),
        ("two", "tier0", 1.0, "agreement"),
        ("two", "tier1", 1.0, "agreement"),
        ("one", "tier1", 1.0, "agreement"),
        ("one", "tier0", 1.0, "agreement"),
    ]
    assert [row.get("audit") for row in rows] == [
        *(None, {"loss": 1.0, "cost_usd": 10.0}),
        *(None, {"loss": 0.0, "cost_usd": 0.0}),
        *(None, {"loss": 0.0, "cost_usd": 10.0}),
    ]
    assert rows[0]["split"] == rows[4]["split"]
    read = audit.recordings()
    assert (read.dataset, read.models, len(read.query_ids)) == ("audit", ("tier1", "tier0"), 3)
    assert read.present.all()
    assert read.correct[:, 1].tolist() == [0, 1, 1]
    audit.close()


def test_a_restart_goes_on_with_the_evidence_and_the_alarm(path):
    audit = Audit(0.1, 1, path=path)
    watch(audit, "Rome")
    watch(audit, "Paris")
    audit.drain(20)
    before = audit.report()
    audit.close()
    audit = Audit(0.1, 1, path=path)
    assert replace(audit.report(), requests=2) == before
    with pytest.warns(FrugalWarning, match=ALARM):
        until_alarm(audit)
    for _ in range(2):
        audit.close()
        with pytest.warns(FrugalWarning, match="goes on with an alarm"):
            audit = Audit(0.1, 1, path=path)
        assert audit.alarm
    assert len({(row["query_id"], row["model"]) for row in rows_of(path)}) == len(rows_of(path))
    audit.close()


def test_an_alarm_outlives_evidence_that_recovers(path):
    path.write_text(
        "".join(
            json.dumps({"query_id": n, "model": "m", "audit": {"loss": loss, "cost_usd": None}}) + "\n"
            for n, loss in enumerate([1] * 6 + [0] * 300)
        )
    )
    with pytest.warns(FrugalWarning, match="goes on"):
        audit = Audit(0.2, path=path)
    assert audit.report().evidence < 1
    assert (audit.alarm, audit.report().cost_usd) == (True, None)
    audit.close()


def test_a_torn_last_line_costs_that_audit_alone(path):
    audit = Audit(0.1, 1, path=path)
    for text in ("one", "two"):
        watch(audit, text=text)
    audit.drain(20)
    audit.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    audit = Audit(0.1, 1, path=path)
    assert audit.report().audited == 1
    watch(audit, text="two")
    audit.drain(20)
    assert audit.report().audited == 2
    assert audit.recordings().models == ("tier1", "tier0")
    audit.close()


def test_reset_keeps_the_answers_and_forgets_the_alarm(path):
    audit = Audit(0.1, 1, path=path)
    with pytest.warns(FrugalWarning):
        until_alarm(audit)
    kept = len(rows_of(path))
    audit.reset()
    report = audit.report()
    assert (audit.alarm, report.audited, report.requests, report.cost_usd, len(rows_of(path))) == (False, 0, 0, 0, kept)
    watch(audit, "Paris")
    audit.drain(20)
    audit.close()
    audit = Audit(0.1, 1, path=path)
    assert (audit.alarm, audit.report().audited) == (False, 1)
    assert len(audit.recordings().query_ids) == kept // 2 + 1
    audit.close()


def test_audits_under_way_at_a_reset_do_not_count():
    audit, go = Audit(0.1, 1), threading.Event()
    watch(audit, "Rome", ask=lambda: go.wait(20) and says("Paris", tier=1))
    audit.reset()
    go.set()
    audit.drain(20)
    assert audit.report().audited == 0
    watch(audit)
    audit.drain(20)
    assert audit.report().audited == 1


def test_many_threads_lose_no_count(path):
    audit = Audit(0.9, 1, path=path)

    def work(name):
        for number in range(40):
            watch(audit, "Rome" if number % 2 else "Paris", text=f"{name}-{number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert audit.drain(30)
    report = audit.report()
    assert report.requests == 320
    assert report.audited + report.dropped == 320
    assert len(rows_of(path)) == 2 * report.audited
    assert sum(row["audit"]["loss"] for row in rows_of(path) if "audit" in row) == report.losses
    audit.close()


def test_two_writers_are_refused(path):
    audit = Audit(0.1, path=path)
    with pytest.raises(RecordingsError, match="another process"):
        Audit(0.1, path=path)
    audit.close()


def test_a_full_disk_harms_no_query_and_is_told(path):
    audit = Audit(0.5, 1, path=path)
    audit._log._file._file.close()  # writing fails from now on
    with pytest.warns(FrugalWarning, match="could not be written") as heard:
        watched(audit, "Paris", "Rome")
    assert len(heard) == 1
    assert audit.report().audited == 2


def test_a_file_of_something_else_is_refused(path):
    path.write_text('{"query_id": "q", "model": "m", "audit": {"loss": 2}}\n')
    with pytest.raises(RecordingsError, match="no audit wrote"):
        Audit(0.1, path=path)


def test_without_a_path_there_are_no_recordings():
    with pytest.raises(ConfigurationError, match="path="):
        Audit(0.1).recordings()


def test_copies_are_audited_together_and_no_other_process_has_it():
    audit = Audit(0.1)
    assert copy.deepcopy(audit) is audit
    with pytest.raises(ConfigurationError, match="its own path"):
        pickle.dumps(audit)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_disagreement": 0}, "max_disagreement=0 is out of range"),
        ({"max_disagreement": True}, "max_disagreement=True"),
        ({"max_disagreement": 0.1, "share": 0}, "share=0"),
        ({"max_disagreement": 0.1, "share": 1.5}, "share=1.5"),
        ({"max_disagreement": 0.1, "share": True}, "share=True"),
        ({"max_disagreement": 0.1, "seed": "x"}, "seed='x'"),
        ({"max_disagreement": 0.1, "confidence": 1}, "confidence=1"),
        ({"max_disagreement": 0.1, "confidence": "high"}, "confidence='high'"),
        ({"max_disagreement": 0.1, "compare": "fuzzy"}, "compare='fuzzy'"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(ConfigurationError, match=message):
        Audit(**given)


async def test_tasks_of_the_loop_are_drained_and_cancelled_ones_dropped():
    audit, go = Audit(0.5, 1), asyncio.Event()
    query, answer = make_query(2), says()

    async def ask():
        await go.wait()
        return says(tier=1)

    for _ in range(2):
        audit.watch_async(query, decided(query, answer), {}, ask)
    (first, _) = audit._tasks
    first.cancel()
    assert not await audit.adrain(0.01)
    go.set()
    assert await audit.adrain(20)
    report = audit.report()
    assert (report.audited, report.dropped, report.pending) == (1, 1, 0)


async def test_a_failing_task_is_counted():
    audit, query = Audit(0.5, 1), make_query(2)

    async def ask():
        raise TimeoutError("slow")

    audit.watch_async(query, decided(query, says()), {}, ask)
    with pytest.warns(FrugalWarning, match="slow"):
        await audit.adrain()
    assert audit.report().failures == 1


def test_a_job_that_raises_takes_no_other_with_it(monkeypatch):
    heard, done, first = queue.Queue(), threading.Event(), threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda args: heard.put(args.exc_type))
    background = Background(1, "test")
    background.submit(lambda: first.wait(20) and 1 / 0)
    background.submit(done.set)
    first.set()
    assert done.wait(20)
    assert heard.get(timeout=20) is ZeroDivisionError


def test_what_a_job_sets_is_not_the_next_one_s():
    background, who, seen = Background(1, "test"), ContextVar("who", default="nobody"), queue.Queue()
    first = threading.Event()
    background.submit(lambda: first.wait(20) and who.set("the first"))
    background.submit(lambda: seen.put(who.get()))
    first.set()
    assert seen.get(timeout=20) == "nobody"


def test_when_no_thread_can_be_started_the_audit_is_dropped(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    audit = Audit(0.5, 1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        watch(audit)
    assert (audit.report().dropped, audit.report().pending) == (1, 0)
    watch(audit)
    audit.drain(20)
    assert audit.report().audited == 1


def alarmed(policy):
    audit = Audit(0.1, 1)
    audited = Audited(policy, audit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FrugalWarning)
        until_alarm(audit)
    return audited


def answers(call):
    return says(f"tier {call.tier}", 0.9, tier=call.tier)


def test_without_alarm_the_policy_decides_and_with_it_the_reference():
    policy = Cascade(lambda query, answer: 0.9, 0.5)
    audited = Audited(policy, Audit(0.1))
    query = make_query(3, reference=1)
    assert drive(audited.decide(query), answers).to_dict() | {"steps": 0} == drive(policy.decide(query), answers).to_dict() | {
        "steps": 0
    }
    assert (audited.name, audited.version, audited.identity) == (policy.name, policy.version, policy.identity)
    assert audited.needs_logprobs == policy.needs_logprobs
    audited = alarmed(policy)
    flow = audited.decide(query)
    call = next(flow)
    assert (call.tier, call.final) == (1, True)
    decision = drive(audited.decide(query), answers)
    assert [(step.tier, step.reason, step.accepted) for step in decision.steps] == [("tier1", "audit_alarm", True)]
    assert (decision.policy, decision.version) == ("audited", audited.version)
    assert audited.version != policy.version
    assert audited.identity != policy.identity
    audited.audit.reset()
    assert drive(audited.decide(query), answers).tier == "tier0"


def test_the_last_tier_is_the_reference_by_default():
    assert drive(alarmed(Single(0)).decide(make_query(3)), answers).tier == "tier2"


def test_what_cannot_be_audited_is_refused(tmp_path):
    audited = Audited(Single(), Audit(0.1))
    with pytest.raises(ConfigurationError, match="not audited yet"):
        Audited(audited, Audit(0.1))
    with pytest.raises(ConfigurationError, match="must be an Audit"):
        Audited(Single(), 0.1)
    with pytest.raises(ConfigurationError, match=r"audited\.policy\.save"):
        audited.save(tmp_path / "policy.json")
    with pytest.raises(ConfigurationError, match="no tier 5"):
        Audited(Single(5), Audit(0.1)).check(make_query(2).tiers)
