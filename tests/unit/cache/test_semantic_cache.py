import asyncio
import copy
import os
import pickle
import threading
from dataclasses import replace

import pytest

from caching import Words, ask, cache, filled, told
from frugal_core.background import Background
from frugal_core.cache import CacheOptions, Decider, SemanticCache, cache_options, question_of
from frugal_core.cache.deciders import Verdict
from frugal_core.cache.stores import MemoryStore
from frugal_core.errors import ConfigurationError, FrugalWarning, StoreError
from frugal_core.types import Message, Query, Tier, ToolCall

LONG = "how do i change the address of my account"
NEAR = "how do i change the address of my accounts"


class Broken(MemoryStore):
    """A store that can be taken away."""

    down = False

    def _check(self):
        if self.down:
            raise StoreError("The server is down.")

    def get(self, key):
        self._check()
        return super().get(key)

    def put(self, entry):
        self._check()
        super().put(entry)


class Shared(MemoryStore):
    """A store whose locks another process may hold."""

    def __init__(self):
        super().__init__()
        self.others = set()
        self.released = []

    def acquire(self, key, ttl_s):
        return key not in self.others

    def release(self, key):
        self.released.append(key)


def answered_by(lookup):
    return lookup.hit and (lookup.hit.kind, lookup.hit.entry.answer)


# --- exact, then alike ---


def test_the_same_text_is_answered_without_an_embedder():
    own = filled(cache(embed=None), LONG)
    found = own.lookup(ask(LONG))
    assert answered_by(found) == ("exact", LONG.upper())
    assert found.hit.similarity == 1
    assert own.lookup(ask(NEAR)).hit is None


def test_exact_hits_embed_nothing():
    words = Words()
    own = filled(cache(embed=words), LONG)
    words.calls.clear()
    assert own.lookup(ask(LONG)).hit
    assert words.calls == []


def test_a_near_neighbour_answers_with_its_similarity_and_age():
    found = filled(cache(), LONG, "something else entirely").lookup(ask(NEAR))
    assert answered_by(found) == ("semantic", LONG.upper())
    assert 0.8 < found.hit.similarity < 1
    assert found.hit.age_s >= 0


@pytest.mark.parametrize(
    "other",
    [
        {"identity": "other models"},
        {"namespace": "tenant-2"},
        {"given": {"tool_choice": "any"}},
        {"given": {"temperature": 0.5}},
        {"media": "picture"},
    ],
)
def test_nothing_is_looked_at_across_partitions(other):
    own = filled(cache(decider=0.01), LONG)
    for text in (LONG, NEAR):
        found = own.lookup(ask(text, **other))
        assert found.hit is None
        assert found.notes == []
        found.abandon()


@pytest.mark.parametrize(
    "change",
    [
        {"system": "Speak French."},
        {"tools": [{"name": "search"}]},
        {"response_format": {"type": "object"}},
        {"messages": [Message("user", "Hi"), Message("assistant", "Hello"), Message("user", LONG)]},
    ],
)
def test_the_whole_request_is_the_key(change):
    plain = {"messages": [Message("user", LONG)], "tiers": (Tier("large"),)}
    asked = [question_of(Query(**{**plain, **changed}), identity="m", max_turns=9) for changed in ({}, change)]
    assert asked[0].partition != asked[1].partition
    assert asked[0].key != asked[1].key
    assert asked[0].text == asked[1].text == LONG


@pytest.mark.parametrize(
    ("messages", "semantic"),
    [
        ([Message("user", "How old is he?")], True),
        ([Message("user", "Who is Kant?"), Message("assistant", "A thinker."), Message("user", "How old is he?")], False),
        ([Message("user", "See this", has_media=True)], False),
        ([Message("user", "Look it up"), Message("assistant", "", (ToolCall("search", {}),)), Message("tool", "3")], False),
        ([Message("user", "Continue"), Message("assistant", "Well")], False),
        ([Message("user", "  ")], False),
        ([], False),
    ],
)
def test_only_a_users_own_words_are_compared(messages, semantic):
    assert question_of(Query(messages, (Tier("large"),)), identity="m").semantic is semantic


def test_longer_conversations_may_be_compared_if_wished():
    talk = [Message("user", "Who is Kant?"), Message("assistant", "A thinker."), Message("user", "How old is he?")]
    assert question_of(Query(talk, (Tier("large"),)), identity="m", max_turns=2).semantic
    assert not question_of(Query(talk[:1], (Tier("large"),)), identity="m", max_turns=0).semantic


def test_a_guards_veto_is_told_and_the_next_neighbour_tried():
    def no_plural(asked, cached):
        return "it is plural" if cached.endswith("accounts") else None

    own = filled(cache(guards=[no_plural]), NEAR, f"{LONG} please")
    before = own.stats().vetoes["no_plural"]
    found = own.lookup(ask(LONG))
    assert answered_by(found) == ("semantic", f"{LONG} please".upper())
    assert found.notes[0] == f"answered as '{LONG} please'"
    assert found.notes[1].startswith("no_plural: it is plural")
    assert own.stats().vetoes == {"no_plural": before + 1}


def test_below_what_the_decider_would_ever_take_nothing_is_looked_at():
    found = filled(cache(decider=0.99), LONG).lookup(ask(NEAR))
    assert found.hit is None
    assert found.notes == []


def test_a_refused_neighbour_is_told():
    own, _ = curious()
    found = own.lookup(ask(NEAR))
    assert found.hit is None
    assert found.notes == [f"exploring: {LONG!r}, similarity {found.candidate.neighbour.similarity:.3f}"]


def test_an_expired_neighbour_makes_way_for_the_next():
    own = filled(cache(), f"{LONG} please")
    with cache_options(ttl_s=1e-9):
        filled(own, NEAR)
    assert answered_by(own.lookup(ask(LONG))) == ("semantic", f"{LONG} please".upper())


# --- what is kept ---


def test_objections_keep_an_answer_out():
    own = cache()
    own.lookup(ask(LONG)).settle(told(objection="refusal"))
    assert own.lookup(ask(LONG)).hit is None
    assert own.stats().kept_out == {"refusal": 1}


def test_the_user_may_decide_what_is_kept():
    own = cache(keep=lambda answered: answered.objection == "sampled")
    own.lookup(ask("one")).settle(told(objection="sampled"))
    own.lookup(ask("two")).settle(told())
    assert own.lookup(ask("one")).hit
    assert own.lookup(ask("two")).hit is None


def test_answers_with_tool_calls_answer_their_own_question_only():
    own = cache()
    own.lookup(ask(LONG)).settle(told(semantic=False))
    assert own.lookup(ask(LONG)).hit
    assert own.lookup(ask(NEAR)).hit is None


def test_an_entry_expires():
    own = cache(ttl_s=1e-9)
    filled(own, LONG)
    assert own.lookup(ask(LONG)).hit is None


# --- options ---


def test_no_cache_neither_reads_nor_writes():
    own = filled(cache(), LONG)
    with cache_options(no_cache=True):
        found = own.lookup(ask(LONG))
        assert found.hit is None
        found.settle(told("new"))
    assert own.lookup(ask(LONG)).hit.entry.answer == LONG.upper()
    assert own.stats().lookups == 2


def test_refresh_asks_again_and_keeps_the_new_answer():
    own = filled(cache(), LONG)
    found = own.lookup(ask(LONG), CacheOptions(refresh=True))
    assert found.hit is None
    found.settle(told("new"))
    assert own.lookup(ask(LONG)).hit.entry.answer == "new"
    assert own.lookup(ask(NEAR)).hit.entry.answer == "new"  # it is still found by likeness


def test_whose_entries_they_are_may_change_from_call_to_call():
    tenants = iter(["a", "b"])
    own = cache(namespace=lambda: next(tenants))
    assert [own.namespace(CacheOptions()) for _ in range(2)] == ["a", "b"]
    assert own.namespace(CacheOptions(namespace="c")) == "c"


# --- only one asks ---


def test_threads_that_ask_the_same_wait_for_one_answer():
    own, asked, ready = cache(), [], threading.Barrier(8)

    def one():
        ready.wait()
        found = own.lookup(ask(LONG))
        if found.hit is None:
            asked.append(1)
            found.settle(told())
        else:
            assert found.hit.entry.answer == "the answer"

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


async def test_tasks_that_ask_the_same_wait_for_one_answer():
    own, asked = cache(), []

    async def one():
        found = await own.alookup(ask(LONG))
        if found.hit is None:
            asked.append(1)
            await asyncio.sleep(0)
            await found.asettle(told())
        return found

    found = await asyncio.gather(*(one() for _ in range(20)))
    assert len(asked) == 1
    assert any("waited for it" in note for each in found for note in each.notes)


async def test_after_an_abandoned_answer_who_waited_asks():
    own = cache()
    first = await own.alookup(ask(LONG))
    waiting = asyncio.create_task(own.alookup(ask(LONG)))
    await asyncio.sleep(0)
    first.abandon()
    first.abandon()
    assert (await waiting).hit is None


async def test_a_cancelled_lookup_holds_nothing():
    own = cache()
    first = await own.alookup(ask(LONG))
    waiting = asyncio.create_task(own.alookup(ask(LONG)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await first.asettle(told())
    assert (await own.alookup(ask(LONG))).hit


async def test_a_call_without_await_does_not_wait_for_a_task_of_its_own_loop():
    own = cache()
    await own.alookup(ask(LONG))
    assert own.lookup(ask(LONG)).hit is None  # waiting would never end


def test_nobody_waits_longer_than_told():
    own = cache(wait_s=1e-3)
    own.lookup(ask(LONG))
    assert own.lookup(ask(LONG)).hit is None


def test_without_single_flight_all_ask():
    own = cache(single_flight=False)
    assert own.lookup(ask(LONG)).hit is None
    assert own.lookup(ask(LONG)).hit is None


def test_a_batch_embeds_once_and_leaves_doubles_pending():
    words = Words()
    own = filled(cache(embed=words), "an old question of mine")
    words.calls.clear()
    texts = ["an old question of mine", LONG, "something else entirely", LONG]
    found = own.lookup_many([ask(text) for text in texts], [CacheOptions()] * 4)
    assert [bool(each.hit) for each in found] == [True, False, False, False]
    assert [each.pending for each in found] == [False, False, False, True]
    assert words.calls == [[LONG, "something else entirely"]]
    for each in found[1:3]:
        each.settle(told(each.question.text.upper()))
    second = own.lookup_many([found[3].question], [CacheOptions()], follow=True)
    assert answered_by(second[0]) == ("exact", LONG.upper())
    assert own.stats().lookups == 5


async def test_batches_that_wait_for_each_other_both_end():
    own, asked = cache(), []
    one, other = ask("the first question"), ask("quite another matter")

    async def batch(questions):
        found = await own.alookup_many(questions, [CacheOptions()] * 2)
        await asyncio.sleep(0)
        for each in found:
            if not each.pending and each.hit is None:
                asked.append(each.question.text)
                await each.asettle(told())
        late = [each.question for each in found if each.pending]
        found += await own.alookup_many(late, [CacheOptions()] * len(late), follow=True)
        return [each for each in found if not each.pending]

    for answered in await asyncio.gather(batch([one, other]), batch([other, one])):
        assert len(answered) == 2
        assert all(each.hit or each.question.text in asked for each in answered)
    assert sorted(asked) == sorted([one.text, other.text])


def test_who_follows_in_vain_asks_and_leads_nobody():
    own = cache()
    found = own.lookup_many([ask(LONG)], [CacheOptions()], follow=True)[0]
    assert found.hit is None
    again = own.lookup(ask(LONG))
    assert again.leads


def test_another_process_is_waited_for():
    store = Shared()
    own, question = cache(store), ask(LONG)
    store.others.add(question.key)

    def answer():
        filled(cache(store, single_flight=False), LONG)
        store.others.clear()

    timer = threading.Timer(0.05, answer)
    timer.start()
    found = own.lookup(question)
    timer.join()
    assert answered_by(found) == ("exact", LONG.upper())


def test_in_a_batch_another_process_is_waited_for_last():
    store = Shared()
    own, question = cache(store), ask(LONG)
    store.others.add(question.key)
    found = own.lookup_many([question, ask("something else entirely")], [CacheOptions()] * 2)
    assert [each.pending for each in found] == [True, False]
    store.others.clear()
    found[1].settle(told())
    assert store.released == [found[1].question.key]


# --- failures ---


def test_a_store_that_is_down_means_a_miss_that_says_so():
    store = Broken()
    own = filled(cache(store), LONG)
    store.down = True
    with pytest.warns(FrugalWarning, match="The server is down"):
        found = own.lookup(ask(LONG))
    assert found.hit is None
    assert "The server is down" in found.notes[0]
    found.settle(told())
    store.down = False
    assert own.lookup(ask(LONG)).hit
    assert own.stats().errors > 1


def test_an_embedder_that_fails_means_exact_matches_only():
    def broken(text):
        raise ConnectionError("no route")

    own = cache(embed=broken)
    with pytest.warns(FrugalWarning, match="no route"):
        filled(own, LONG)
    found = own.lookup(ask(NEAR))  # told once is enough: a further warning would be an error
    assert found.hit is None
    assert "no route" in found.notes[0]
    assert own.lookup(ask(LONG)).hit


def test_a_rule_of_what_to_keep_that_raises_costs_nobody_an_answer():
    own = cache(keep=lambda answered: 1 / 0)
    with pytest.warns(FrugalWarning, match="ZeroDivisionError"):
        own.lookup(ask(LONG)).settle(told())
    assert own.lookup(ask(LONG)).hit is None
    assert own.stats().kept_out == {"keep": 1}


def test_a_vector_of_another_length_harms_no_other():
    store = MemoryStore()
    own = filled(cache(store), LONG)
    (entry,) = store.scan()
    store.put(replace(entry, key="f" * 32, question="bad", vector=entry.vector[:-2]))
    assert own.lookup(ask(NEAR)).hit.entry.question == LONG


# --- what the decider hears ---


class Curious(Decider):
    """Serves nobody and wants to see every answer."""

    least = 0.5

    def __init__(self, same=None):
        self.heard = []
        self._same = same

    def decide(self, candidate):
        self.heard.append(("decide", candidate.neighbour.question))
        return Verdict(False, "exploring", learn=True)

    def opened(self, candidate, verdict):
        self.heard.append(("opened",))

    def same(self, question, answer, reference):
        if self._same is not None:
            raise self._same
        return float(answer == reference)

    def learn(self, candidate, verdict, same):
        self.heard.append(("learn", same))

    def gave_up(self, verdict):
        self.heard.append(("gave_up",))


def heard(own, decider):
    wait_for_background(own)
    found, decider.heard = decider.heard, []
    return found


def curious(**settings):
    decider = Curious(**settings)
    own = filled(cache(decider=decider), LONG)
    heard(own, decider)
    return own, decider


@pytest.mark.parametrize("objection", [None, "refusal"])
def test_every_answer_is_compared_also_one_that_is_not_kept(objection):
    own, decider = curious()
    own.lookup(ask(NEAR)).settle(told(LONG.upper(), objection=objection))
    assert heard(own, decider) == [("decide", LONG), ("opened",), ("learn", 1.0)]


def test_a_comparison_that_fails_is_told_as_such():
    own, decider = curious(same=ConnectionError("no judge"))

    def compared():
        own.lookup(ask(NEAR)).settle(told())
        wait_for_background(own)

    with pytest.warns(FrugalWarning, match="no judge"):
        compared()
    assert heard(own, decider) == [("decide", LONG), ("opened",), ("learn", None)]


def test_an_answer_that_never_comes_is_told_once():
    own, decider = curious()
    found = own.lookup(ask(NEAR))
    found.abandon()
    found.abandon()
    assert heard(own, decider) == [("decide", LONG), ("opened",), ("gave_up",)]


def test_the_decider_is_asked_once_and_never_about_an_entry_that_is_gone():
    own, decider = curious()
    with cache_options(ttl_s=1e-9):
        own.lookup(ask(f"{LONG} now")).settle(told())
        own.lookup(ask(f"{LONG} soon")).settle(told())
    heard(own, decider)
    own.lookup(ask(NEAR)).abandon()
    assert heard(own, decider)[0] == ("decide", LONG)


def test_closing_waits_for_comparisons():
    own, decider = curious()
    own.lookup(ask(NEAR)).settle(told())
    own.close()
    assert decider.heard[-1] == ("learn", 0.0)


# --- removals while an answer is on its way ---


@pytest.mark.parametrize(
    "remove",
    [
        lambda own: own.clear(),
        lambda own: own.invalidate(tag="prices"),
        lambda own: own.invalidate(document="d1"),
        lambda own: own.invalidate(key=ask(LONG).key),
        lambda own: own.invalidate(where=lambda entry: entry.question == LONG),
    ],
)
def test_what_is_removed_does_not_come_back_by_an_answer_on_its_way(remove):
    own = cache()
    with cache_options(tags=["prices"], documents=["d1"]):
        found, other = own.lookup(ask(LONG)), own.lookup(ask("something else entirely", namespace="other"))
    remove(own)
    found.settle(told("old"))
    assert own.lookup(ask(LONG)).hit is None
    assert own.stats().kept_out == {"invalidated": 1}
    other.abandon()
    filled(own, LONG)
    assert own.lookup(ask(LONG)).hit


def test_removing_others_keeps_an_answer_on_its_way():
    own = cache()
    found = own.lookup(ask(LONG))
    own.invalidate(tag="prices")
    found.settle(told())
    assert own.lookup(ask(LONG)).hit


def test_an_older_answer_does_not_replace_a_refreshed_one():
    own = cache(single_flight=False)
    found = own.lookup(ask(LONG))
    own.lookup(ask(LONG), CacheOptions(refresh=True)).settle(told("new"))
    found.settle(told("old"))
    assert own.lookup(ask(LONG)).hit.entry.answer == "new"


# --- threads that wait for each other, forks, copies ---


def test_threads_that_hold_what_the_other_wants_do_not_wait():
    own, ready = cache(), threading.Barrier(2)
    found = []

    def both(first, second):
        own.lookup(ask(first))
        ready.wait()
        found.append(own.lookup(ask(second)).hit)

    threads = [
        threading.Thread(target=both, args=pair)
        for pair in [("one question", "another matter"), ("another matter", "one question")]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)  # wait_s is a minute
    assert found == [None, None]


def test_a_lock_that_comes_too_late_is_given_back():
    store = Shared()
    own = cache(store)
    found = own.lookup(ask(LONG))
    found.abandon()
    store.released.clear()
    own._lock_up(found)  # the thread that took it went on when its task was cancelled
    assert store.released == [found.question.key]
    assert not found.locked


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_does_its_own_jobs():
    background, begun, done = Background(1, "test"), threading.Event(), threading.Event()
    background.submit(lambda: (begun.set(), done.wait(10)))
    assert begun.wait(10)
    child = os.fork()
    if child == 0:
        own = threading.Event()
        background.submit(own.set)
        os._exit(0 if own.wait(10) else 1)
    _, status = os.waitpid(child, 0)
    done.set()
    assert os.waitstatus_to_exitcode(status) == 0
    assert background.drain(10)


def test_a_cache_is_not_pickled_but_named():
    with pytest.raises(ConfigurationError, match=r"cannot be pickled.*URL"):
        pickle.dumps(cache())


# --- looking after it ---


def test_entries_are_invalidated_by_what_they_are():
    own = cache(embed=None)
    with cache_options(tags=["prices"], documents=["d1", "d2"]):
        filled(own, "a", "b")
    with cache_options(documents=["d2"]):
        filled(own, "c")
    filled(own, "d", namespace="tenant")
    filled(own, "e")
    with pytest.raises(ConfigurationError, match="nothing to go by"):
        own.invalidate()
    assert own.invalidate(tag="prices", where=lambda entry: entry.question == "a") == 1
    assert own.invalidate(document="d2") == 2
    assert own.invalidate(namespace="tenant") == 1
    assert own.invalidate(key=ask("e").key) == 1
    assert own.invalidate(key=ask("e").key) == 0
    assert own.stats().entries == 0


def test_what_is_invalidated_is_not_found_by_likeness():
    own = filled(cache(), LONG)
    assert own.lookup(ask(NEAR)).hit
    own.invalidate(key=ask(LONG).key)
    assert own.lookup(ask(NEAR)).hit is None


def test_a_changed_embedder_embeds_anew_and_compares_nothing_wrong():
    store = MemoryStore()
    filled(cache(store, embed=Words(64)), LONG)
    own = SemanticCache(store, embed=Other(128), decider=0.8, guards=())
    own.lookup(ask(NEAR)).abandon()  # the first search finds out, and may come before the new vectors or after
    wait_for_background(own)
    found = own.lookup(ask(f"{LONG} please"))
    assert answered_by(found) == ("semantic", LONG.upper())
    (entry,) = [entry for entry in store.scan() if entry.question == LONG]
    assert len(entry.vector) == 2 * 128


class Other(Words):
    """Another embedder, by its name and its length."""

    model_name = "other"


def wait_for_background(own):
    assert own._comparisons.drain(10)


def test_statistics_tell_hits_and_what_they_saved():
    own = cache()
    own.lookup(ask(LONG)).settle(told(baseline_cost_usd=0.5))
    own.lookup(ask(LONG))
    own.lookup(ask(NEAR))
    stats = own.stats()
    assert (stats.lookups, stats.exact_hits, stats.semantic_hits, stats.stored) == (3, 1, 1, 1)
    assert stats.saved_usd == 1.0
    assert stats.hit_rate == pytest.approx(2 / 3)
    assert stats.to_dict()["entries"] == 1


def test_a_hits_decision_costs_nothing_and_tells_the_saving():
    own = cache()
    own.lookup(ask(LONG)).settle(told(baseline_cost_usd=0.5))
    decision = own.lookup(ask(NEAR)).decision("cascade", "v1")
    assert (decision.cost_usd, decision.saved_usd, decision.cache) == (0, 0.5, "hit")
    assert decision.tier is None
    assert decision.cache_key == ask(LONG).key


def test_a_copy_is_the_same_cache():
    own = cache()
    assert copy.deepcopy({"cache": own})["cache"] is own


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"store": "file:x"}, "names no store"),
        ({"max_entries": 0}, "max_entries=0"),
        ({"eviction": "fifo"}, "'lru'|\"lru\""),
        ({"decider": 1.5}, "threshold=1.5"),
        ({"decider": "high"}, "decider='high'"),
        ({"ttl_s": -1}, "ttl_s=-1"),
        ({"max_turns": -1}, "max_turns=-1"),
        ({"namespace": 3}, "namespace=3"),
        ({"embed": 3}, "embed=3"),
        ({"embed": "minilm"}, "embed='minilm'"),
        ({"guards": "numbers"}, "guards='numbers'"),
        ({"guards": ["numbers"]}, "is no guard"),
        ({"keep": True}, "keep=True"),
        ({"store": MemoryStore(), "max_entries": 3}, "max_entries cannot be given with a store"),
        ({"max_entires": 3}, "no argument 'max_entires'. Did you mean 'max_entries'"),
        ({"threshold": 0.9}, "no argument 'threshold'"),
    ],
)
def test_bad_arguments_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        cache(**settings)


def test_options_are_checked():
    with pytest.raises(ConfigurationError, match="Did you mean 'namespace'"), cache_options(namspace="x"):
        pass
    with pytest.raises(ConfigurationError, match="tags='x'"), cache_options(tags="x"):
        pass
    with pytest.raises(ConfigurationError, match="refresh=1"), cache_options(refresh=1):
        pass


# --- nobody waits for what nobody needs ---


async def test_letting_go_of_a_distant_lock_is_left_to_a_thread():
    class Distant(Shared):
        remote = True

        def release(self, key):
            super().release(key)
            self.threads = threading.get_ident()

    store = Distant()
    own = cache(store)
    (await own.alookup(ask(LONG))).abandon()
    await (await own.alookup(ask("something else entirely"))).asettle(told())
    assert own._releases.drain(10)
    assert len(store.released) == 2
    assert store.threads != threading.get_ident()


def test_comparisons_that_pile_up_are_left_out_but_for_audits(monkeypatch):
    monkeypatch.setattr("frugal_core.cache.comparisons.MOST_WAITING", 3)
    begun, done = threading.Event(), threading.Event()

    class Slow(Curious):
        reason = "unsure"

        def decide(self, candidate):
            return Verdict(False, self.reason, learn=True)

        def same(self, question, answer, reference):
            begun.set()
            assert done.wait(10)
            return 1.0

    decider = Slow()
    own = filled(cache(decider=decider), LONG)
    own.lookup(ask(NEAR)).settle(told())
    assert begun.wait(10)
    for number in range(10):
        own.lookup(ask(f"{NEAR} {number}")).settle(told())
    decider.reason = "exploring"
    own.lookup(ask(f"{NEAR} audited")).settle(told())
    done.set()
    found = heard(own, decider)
    assert 2 <= found.count(("learn", 1.0)) <= 5
    assert found[-1] == ("learn", 1.0)
