"""Audits without an outcome: none is taken for one that found nothing, whoever began it and whatever became of it."""

import os
import signal
import threading
import time

import pytest

from frugal_core.cache.deciders.base import Candidate, Verdict
from frugal_core.cache.deciders.verified import PATIENCE_S, Verified
from frugal_core.cache.stores.base import Neighbour
from frugal_core.cache.stores.memory import MemoryStore
from frugal_core.errors import StoreError

ALIKE = Candidate("what is it", Neighbour("e", "what is that", 0.95), (), "", "q")


def forks(test):
    """For tests that fork, which warns where there are threads."""
    quiet = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
    return pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")(quiet(test))


class Sure:
    """A model to whom every neighbour is right, as it would be after many comparisons."""

    rows = 10**9

    def __init__(self, p=1.0):
        self.p = p

    def probability(self, row):
        return self.p

    def threshold(self, aim):
        return 0.0


@pytest.fixture
def store():
    return MemoryStore()


def sure(store, requests=10_000, **settings):
    """One who is sure of all, and had so many requests before: 5% of them may be wrong."""
    decider = Verified(**{"max_error": 0.05, "compare": "exact", "seed": 1, **settings}).bind(store)
    decider._state.model = Sure()
    if requests:
        decider._state.account.count(requests, 0)
    return decider


def audit(decider):
    """The next audit, and how many were served before."""
    for served in range(10**5):
        verdict = decider.decide(ALIKE)
        if verdict.learn:
            return verdict, served
    raise AssertionError("there was no audit")


def drive(decider, then, count=10_000):
    """How many were served, where this becomes of every audit."""
    hits = 0
    for _ in range(count):
        verdict = decider.decide(ALIKE)
        hits += verdict.serve
        if verdict.learn:
            then(verdict)
    return hits


def test_right_answers_let_it_serve_nearly_all(store):
    decider = sure(store)
    assert drive(decider, lambda verdict: decider.learn(ALIKE, verdict, 1.0)) > 9_000


@pytest.mark.parametrize("fate", ["wrong", "failed", "begun", "unheard of", "unanswered", "not even begun"])
def test_without_right_answers_no_more_are_served_than_may_be_wrong(store, fate):
    decider = sure(store)
    fates = {
        "wrong": lambda verdict: decider.learn(ALIKE, verdict, 0.0),
        "failed": lambda verdict: decider.learn(ALIKE, verdict, None),
        "begun": lambda verdict: decider.opened(ALIKE, verdict),
        "unheard of": lambda verdict: None,
        "unanswered": lambda verdict: (decider.opened(ALIKE, verdict), decider.gave_up(verdict)),
        "not even begun": decider.gave_up,
    }
    assert 0.2 < drive(decider, fates[fate]) / (0.05 * 20_000) < 1.3


def test_audits_that_a_process_left_open_count_for_those_who_come_after(store):
    hits = 0
    for process in range(200):
        decider = sure(store, seed=process)
        hits += drive(decider, lambda verdict: decider.opened(ALIKE, verdict), 100)  # noqa: B023 - called at once
    assert hits < 0.05 * (10_000 + 200 * 100) * 1.3


def test_an_outcome_that_comes_late_is_taken_for_what_it_is(store):
    decider = sure(store)
    verdict, _ = audit(decider)
    decider.opened(ALIKE, verdict)
    account = decider._state.account
    assert account.at_risk == pytest.approx((1 - verdict.share) / verdict.share)
    assert not decider._pending
    other = sure(store, requests=0)
    assert other._state.account.at_risk == account.at_risk
    decider.learn(ALIKE, verdict, 1.0)
    other._state.catch_up()
    assert account.at_risk == other._state.account.at_risk == account.estimate == 0


def test_two_processes_never_name_an_audit_alike(store):
    one, other = sure(store), sure(store)
    for decider in (one, other):
        decider.opened(ALIKE, audit(decider)[0])
    one._state.catch_up()
    assert len(one._state.account._open) == 2


def test_lost_audits_are_reported_as_errors(store, monkeypatch):
    decider = sure(store)
    verdict, served = audit(decider)
    decider.opened(ALIKE, verdict)
    assert decider.report()["error"] == 0
    later = time.time() + 2 * PATIENCE_S
    monkeypatch.setattr("frugal_core.cache.deciders.verified.time.time", lambda: later)
    assert decider.report()["error"] == pytest.approx((1 - verdict.share) / verdict.share / (10_000 + served + 1))


def test_failed_comparisons_teach_nothing_but_count_in_audits(store):
    decider = Verified(0.05, compare="exact", seed=1).bind(store)
    decider.learn(ALIKE, decider.decide(ALIKE), None)
    assert decider.report()["compared"] == 0
    decider = sure(store)
    verdict, _ = audit(decider)
    decider.learn(ALIKE, verdict, None)
    assert (decider.report()["compared"], decider.report()["audits"]) == (0, 1)
    assert decider._state.account.estimate == pytest.approx((1 - verdict.share) / verdict.share)


def test_a_store_that_fails_loses_no_audit(store, monkeypatch):
    decider = sure(store)
    verdict, _ = audit(decider)
    jump = (1 - verdict.share) / verdict.share

    def down(*about):
        raise StoreError("down")

    with monkeypatch.context() as broken:
        broken.setattr(store, "append", down)
        for tell in (lambda: decider.opened(ALIKE, verdict), lambda: decider.learn(ALIKE, verdict, 1.0)):
            with pytest.raises(StoreError):
                tell()
    assert decider._pending_jumps == pytest.approx(jump)


def test_an_audit_is_kept_where_other_entries_cannot_be_compared(store, monkeypatch):
    decider = sure(store)
    verdict, _ = audit(decider)

    def down(key):
        raise StoreError("down")

    monkeypatch.setattr(store, "get", down)
    decider.learn(ALIKE, verdict, 0.0)
    assert decider._state.account.estimate > 0


def test_other_verdicts_are_no_audits(store):
    decider = sure(store)
    plain = Verdict(False, "dissimilar", learn=True)
    decider.opened(ALIKE, plain)
    decider.gave_up(plain)
    decider.learn(ALIKE, plain, None)
    assert decider.report()["audits"] == decider._state.account.at_risk == 0


# --- forked processes ---


def in_child(ask):
    """What a function gives in a forked child."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(20)  # one that hangs dies
        try:
            os.write(into, repr(ask()).encode())
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as told:
        answer = told.read()
    os.waitpid(child, 0)
    return answer


@forks
def test_forked_processes_toss_coins_of_their_own_unless_there_is_a_seed():
    plain, seeded = Verified(), Verified(seed=1)
    assert len({in_child(lambda: plain._chance.random()) for _ in range(3)}) == 3
    assert len({in_child(lambda: seeded._chance.random()) for _ in range(3)}) == 1
    assert in_child(lambda: seeded._process) != repr(seeded._process)


@forks
def test_a_forked_process_leaves_to_its_parent_what_the_parent_has_not_told(store):
    decider = sure(store)
    audit(decider)
    assert decider._requests
    assert in_child(lambda: (decider._requests, decider._hits, len(decider._pending))) == "(0, 0, 0)"


@forks
def test_locks_that_were_held_when_a_process_forked_do_not_hang_the_child(store):
    decider = sure(store)
    decider.opened(ALIKE, audit(decider)[0])
    held, done = threading.Event(), threading.Event()

    def work():
        with decider._lock, decider._state._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=work)
    thread.start()
    held.wait()
    try:
        told = in_child(lambda: (decider.decide(ALIKE).serve, decider._state.catch_up(), decider._state.account.at_risk > 0))
    finally:
        done.set()
        thread.join()
    assert told == "(False, None, True)"
