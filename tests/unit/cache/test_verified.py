"""The decider that learns: whom it serves, what it promises, and what becomes of it without answers."""

import random

import pytest

from caching import ask, cache, told
from frugal_core.cache import SemanticCache
from frugal_core.cache.deciders.base import Candidate, Decider
from frugal_core.cache.deciders.fixed import Fixed
from frugal_core.cache.deciders.verified import Verified
from frugal_core.cache.entry import Entry
from frugal_core.cache.stores.base import Neighbour
from frugal_core.cache.stores.memory import MemoryStore
from frugal_core.errors import ConfigurationError, StoreError


class Traffic:
    """Questions about topics. The nearer a neighbour the likelier it is about the same; answers are the topics."""

    def __init__(self, store, seed=0, muddled=False):
        self.store = store
        self.muddled = muddled
        self._chance = random.Random(seed)
        self._asked = 0

    def next(self):
        """A candidate, and whether its answer would do."""
        chance = self._chance
        self._asked += 1
        similarity = chance.uniform(0.6, 1.0)
        right = chance.random() < (0.1 if self.muddled else min(1.0, max(0.0, (similarity - 0.7) * 8)))
        key, topic = f"q{self._asked}", chance.randrange(50)
        near = Neighbour(f"e{topic}", f"tell me of topic {topic}", similarity)
        rival = Neighbour(f"e{(topic + 1) % 50}", f"tell me of topic {topic + 1}", similarity - 0.05)
        self.store.put(Entry(near.key, "", "", near.question, str(topic), "", 0.0))
        self.store.put(Entry(key, "", "", f"what is topic {topic}", str(topic if right else -topic - 1), "", 0.0))
        return Candidate(f"what is topic {topic}", near, (rival,), "", key), right


def drive(decider, traffic, count, labels=True):
    """So many decisions: hits, and wrong ones among them."""
    hits = wrong = 0
    for _ in range(count):
        candidate, right = traffic.next()
        verdict = decider.decide(candidate)
        if verdict.serve:
            hits += 1
            wrong += not right
        elif verdict.learn and labels:
            decider.learn(candidate, verdict, float(right))
    return hits, wrong


@pytest.fixture
def store():
    return MemoryStore()


def verified(store, **settings):
    return Verified(**{"max_error": 0.05, "compare": "exact", "seed": 1, **settings}).bind(store)


def test_it_serves_after_some_hundred_comparisons_and_errs_less_than_allowed(store):
    decider, traffic = verified(store), Traffic(store)
    assert drive(decider, traffic, 50) == (0, 0)
    drive(decider, traffic, 950)
    hits, wrong = drive(decider, traffic, 2000)
    assert hits > 500
    assert wrong <= 0.05 * 3000


def test_without_comparisons_it_never_serves(store):
    assert drive(verified(store), Traffic(store), 2000, labels=False) == (0, 0)


def test_where_answers_never_agree_nobody_is_served(store):
    decider, traffic = verified(store), Traffic(store, muddled=True)
    hits, _ = drive(decider, traffic, 1000)
    assert hits < 50


def test_it_notices_when_what_it_learned_no_longer_holds(store):
    decider, traffic = verified(store), Traffic(store)
    drive(decider, traffic, 2000)
    traffic.muddled = True
    before = drive(decider, traffic, 300)
    after = drive(decider, traffic, 700)
    assert before[0] > 20
    assert after[0] < before[0] / 2
    assert decider.report()["error_bound"] > 0


def test_a_restart_resumes_with_the_same_state(store):
    decider, traffic = verified(store), Traffic(store)
    drive(decider, traffic, 1500)
    again = verified(store)
    candidates = [traffic.next()[0] for _ in range(50)]
    assert [again.decide(each).p_right for each in candidates] == [decider.decide(each).p_right for each in candidates]
    told_, known = again.report(), decider.report()
    assert told_["compared"] == known["compared"]
    assert told_["audits"] == known["audits"]
    assert told_["error"] == pytest.approx(known["error"], rel=0.05)


def test_two_on_one_store_learn_from_each_other(store):
    one, other, traffic = verified(store), verified(store, seed=2), Traffic(store)
    drive(one, traffic, 1000)
    candidate, right = traffic.next()
    assert other.decide(candidate).p_right is None
    verdict = other.decide(candidate)
    other.learn(candidate, verdict, float(right))
    assert other.decide(traffic.next()[0]).p_right is not None
    assert other.report()["compared"] == one.report()["compared"] + 1


def test_a_cleared_store_is_a_fresh_start(store):
    decider, traffic = verified(store), Traffic(store)
    drive(decider, traffic, 200)
    store.clear()
    drive(decider, traffic, 1)
    assert decider.report()["compared"] == 1


def test_the_same_seed_decides_alike():
    def served(seed):
        own = MemoryStore()
        return drive(verified(own, seed=seed), Traffic(own), 900)

    assert served(3) == served(3)
    assert served(3) != served(4)


def test_lines_of_another_version_are_passed_over(store):
    log = verified(store)._state._log
    store.append(log, ["{", '{"e": 1}', '{"n": 5, "h": 2}', '{"x": [1.0]}', '{"v": "begun"}', "null", "7"])
    store.append(f"{log}models", ["{}", "null"])
    report = verified(store).report()
    assert (report["requests"], report["hits"], report["compared"]) == (5, 2, 0)


def test_a_store_that_is_down_is_taken_up_later(store, monkeypatch):
    first, traffic = verified(store), Traffic(store)
    drive(first, traffic, 100)

    def down(log, cursor):
        raise StoreError("down")

    with monkeypatch.context() as broken:
        broken.setattr(store, "read", down)
        late = verified(store)
    assert late.report()["compared"] == 0
    drive(late, traffic, 1)
    assert late.report()["compared"] == first.report()["compared"] + 1


def test_the_report_is_plain_and_complete(store):
    decider = verified(store)
    assert decider.report()["error"] is None
    drive(decider, Traffic(store), 1500)
    report = decider.report()
    low, high = report["hit_error_bounds"]
    assert 0 <= low <= report["hit_error"] <= high <= 1
    assert 0 <= report["error"] <= report["error_bound"]
    assert report["hits"] + report["audits"] < report["requests"] == 1500


# --- comparing ---


def test_answers_are_compared_by_meaning_where_there_is_an_embedder(store):
    vectors = {"It is open all day.": [1.0, 0.1], "All day.": [1.0, 0.2], "Never.": [0.0, 1.0]}

    class Embedder:
        def embed_query(self, text):
            return vectors[text]

    decider = Verified().bind(store, Embedder)
    assert decider.same("When?", "It is open all day.", "All day.") == 1.0
    assert decider.same("When?", "Never.", "All day.") == 0.0


def test_without_an_embedder_form_does_not_count():
    assert Verified().same("Where?", "**Paris**.", "paris") == 1.0
    assert Verified().same("Where?", "In Paris.", "paris") == 0.0


def test_a_function_compares_and_is_asked_once_per_comparison(store):
    calls = []

    def judge(question, answer, reference):
        calls.append((question, answer, reference))
        return 0.25

    decider = verified(store, compare=judge)
    assert decider.same("q", "one", "two") == 0.25
    candidate, _ = Traffic(store).next()
    decider.learn(candidate, decider.decide(candidate), 0.25)
    assert len(calls) == 1


# --- the cross-encoder ---


class Encoder:
    def __init__(self):
        self.asked = []

    def predict(self, pairs):
        self.asked.append(list(pairs))
        return [0.5] * len(pairs)


def test_a_cross_encoder_is_asked_in_one_batch_and_only_where_the_rest_leaves_it_open(store):
    encoder = Encoder()
    decider, traffic = verified(store, cross_encoder=encoder), Traffic(store)
    first = [traffic.next()[0] for _ in range(3)]
    decider.prefetch(first)
    assert [len(batch) for batch in encoder.asked] == [3]
    assert decider.decide(first[0]).features[-1] == 0.5
    drive(decider, traffic, 1000)
    encoder.asked.clear()
    decider.prefetch([traffic.next()[0] for _ in range(200)])
    assert 0 < len(encoder.asked[0]) < 150


def test_without_a_cross_encoder_nothing_is_fetched_before(store):
    assert type(verified(store)).prefetch is Decider.prefetch
    assert type(verified(store, cross_encoder=lambda one, other: 1.0)).prefetch is not Decider.prefetch


# --- in the cache ---


class AtOnce:
    """Work that is done where it is handed over."""

    waiting = 0

    def submit(self, job):
        job()


def test_a_cache_has_it_by_default_and_learns_through_it(store):
    own = cache(store, decider=None)
    own._comparisons._background = AtOnce()
    assert isinstance(own.decider, Verified)
    for place in range(5):
        lookup = own.lookup(ask(f"how do I reset my pin number {'please ' * place}"))
        assert lookup.hit is None
        lookup.settle(told("In the app."))
    assert own.stats().decider["compared"] == 4
    assert own.stats().explored == 4


def test_a_threshold_is_still_a_threshold():
    assert isinstance(SemanticCache(embed=None, decider=0.9).decider, Fixed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_error": 0}, "max_error=0 is out of range"),
        ({"max_error": True}, "max_error=True is out of range"),
        ({"max_error": 0.6}, "max_error=0.6 is out of range"),
        ({"least": 2}, "least=2 is out of range"),
        ({"seed": 1.5}, "seed=1.5 must be a whole number"),
        ({"compare": "loosely"}, "compare='loosely' is no way to compare"),
        ({"cross_encoder": "name"}, "cross_encoder='name' scores no pairs"),
    ],
)
def test_bad_arguments_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Verified(**settings)
