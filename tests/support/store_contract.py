"""What every store must do. Each store's tests subclass `StoreContract` and say where theirs lives."""

import random
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores import Limits
from frugal_core.errors import StoreError

EMBEDDER = "embedder-1"


def unit(seed, numbers=64):
    """A vector of unit length, as entries hold it."""
    vector = np.random.default_rng(seed).normal(size=numbers)
    return (vector / np.linalg.norm(vector)).astype("<f2").tobytes()


def entry(name="one", **fields):
    """An entry that differs from others in all that follows from its name."""
    known = {
        "key": f"key-{name}",
        "partition": "partition",
        "namespace": "",
        "question": f"What is {name}?",
        "answer": f"The answer to {name}",
        "payload": f'{{"text": "answer to {name}"}}',
        "created_s": 1_700_000_000.0,
        "vector": fields["vector"] if "vector" in fields else unit(sum(map(ord, name))),
        "embedder": EMBEDDER,
    }
    return Entry(**{**known, **fields})


def rich(name="rich"):
    """An entry with everything in it."""
    return entry(
        name,
        namespace="tenant é",
        question="Wie heißt 東京? \U0001f600 \"'\\ \x00 \n",
        answer="Zeile\nZeile\t\x1f",
        payload='{"a": [1, "é", null]}',
        expires_s=time.time() + 3600,
        tags=("news", 'a "quoted" tag', "%_\\"),
        documents=("doc-1", "päper"),
        cost_usd=0.00125,
        baseline_cost_usd=0.5,
    )


class Follower:
    """Knows of a store what `changes` tells."""

    def __init__(self, store):
        self.store, self.cursor, self.known = store, 0, {}

    def pull(self):
        """Follow the store, and see that what it tells holds together."""
        changes = self.store.changes(self.cursor)
        columns = (changes.partitions, changes.questions, changes.vectors, changes.embedders)
        assert len(set(changes.keys)) == len(changes.keys)
        assert all(len(column) == len(changes.keys) for column in columns)
        assert not set(changes.keys) & set(changes.removed)
        if changes.whole:
            self.known.clear()
        for key in changes.removed:
            self.known.pop(key, None)
        self.known.update(zip(changes.keys, zip(*columns, strict=True), strict=True))
        self.cursor = changes.cursor
        return changes

    def told(self):
        """Keys it knows after another pull."""
        self.pull()
        return set(self.known)


def as_told(own):
    """An entry as `Changes` tells of it."""
    return own.partition, own.question, own.vector, own.embedder


def keys(entries):
    """Their keys, sorted."""
    return sorted(each.key for each in entries)


class StoreContract:
    """Tests of any store.

    A subclass has a fixture `make`, a function `(limits=None) -> Store` that opens the same, at first empty, place at every
    call, and closes what it opened at the end.

    Attributes:
        shared: Whether two objects, or two processes, see the same entries.
        exact: Whether limits hold at every moment, in the order that `eviction` says; otherwise only about.
        follows: Whether `changes` tells of changes.
    """

    shared = True
    exact = True
    follows = True

    @pytest.fixture
    def store(self, make):
        return make()

    # --- entries ---

    def test_an_entry_comes_back_as_it_was(self, store):
        empty = entry("empty", question="", answer="", payload="")
        for own in (entry(), rich(), entry("plain", vector=b"", embedder=""), empty):
            store.put(own)
            assert store.get(own.key) == own

    def test_an_entry_comes_back_in_another_object(self, make):
        if not self.shared:
            pytest.skip("nobody shares this store")
        first, second = make(), make()
        for own in (rich(), entry("plain", vector=b"", embedder="")):
            first.put(own)
            assert second.get(own.key) == own
            assert make().get(own.key) == own

    def test_unknown_keys_are_none(self, store):
        store.put(entry())
        assert store.get("unknown") is None
        assert store.get("") is None
        assert store.get_many(["unknown", "key-one", "unknown"]) == [None, entry(), None]
        assert store.get_many([]) == []

    def test_an_entry_takes_the_place_of_one_with_its_key(self, make):
        first = make()
        second = make() if self.shared else first
        first.put(entry())
        assert second.get("key-one") == entry()
        first.put(entry(answer="another", vector=unit(99)))
        for each in (first, second):
            assert each.get("key-one") == entry(answer="another", vector=unit(99))
            assert each.size().entries == 1

    def test_large_entries_come_back(self, store):
        own = entry(payload="é" * 300_000, question="q" * 70_000, vector=unit(1, 3072))
        store.put(own)
        assert store.get(own.key) == own
        assert list(store.scan()) == [own]

    def test_deleted_entries_are_gone(self, make):
        first = make()
        second = make() if self.shared else first
        for name in "abc":
            first.put(entry(name))
        assert second.get("key-a") == entry("a")
        assert first.delete(["key-a", "key-c", "unknown"]) == 2
        assert first.delete(["key-a"]) == 0
        assert first.delete([]) == 0
        for each in (first, second):
            assert each.get("key-a") is None
            assert keys(each.scan()) == ["key-b"]
            assert each.size().entries == 1

    def test_delete_takes_any_iterable_and_many_keys(self, store):
        names = [f"{number:04}" for number in range(1200)]
        for name in names:
            store.put(entry(name, vector=b"", embedder=""))
        assert store.delete(f"key-{name}" for name in names) == 1200
        assert store.size().entries == 0

    def test_an_expired_entry_is_not_found(self, make):
        first = make()
        second = make() if self.shared else first
        first.put(entry("past", expires_s=time.time() - 1))
        first.put(entry("future", expires_s=time.time() + 1000))
        for each in (second, first):
            assert each.get("key-past") is None
            assert each.get("key-future") is not None
            assert keys(each.scan()) == ["key-future"]

    def test_an_entry_expires_while_it_is_there(self, store):
        own = entry(expires_s=time.time() + 0.05)
        store.put(own)
        while own.alive():
            assert store.get(own.key) in (own, None)
        assert store.get(own.key) is None
        assert list(store.scan()) == []

    def test_scan_and_select_have_vectors_and_no_others(self, store):
        held = [
            entry("a", namespace="x", tags=("t", "u"), documents=("d",)),
            entry("b", namespace="x", tags=("u",)),
            entry("c", namespace="y", tags=("t",), documents=("d", "e")),
            rich(),
            entry("gone", namespace="x", tags=("t",), documents=("d",), expires_s=time.time() - 1),
        ]
        for own in held:
            store.put(own)
        assert sorted(store.scan(), key=lambda own: own.key) == sorted(held[:4], key=lambda own: own.key)
        assert keys(store.select(namespace="x")) == ["key-a", "key-b"]
        assert keys(store.select(tag="t")) == ["key-a", "key-c"]
        assert keys(store.select(document="d")) == ["key-a", "key-c"]
        assert keys(store.select(namespace="x", tag="t", document="d")) == ["key-a"]
        assert keys(store.select(namespace="")) == []
        assert keys(store.select()) == keys(held[:4])
        assert list(store.select(namespace=held[3].namespace)) == [held[3]]
        for tag in held[3].tags:
            assert keys(store.select(tag=tag)) == ["key-rich"]
        for document in held[3].documents:
            assert keys(store.select(document=document)) == ["key-rich"]
        for nearly in ("T", "t%", "", "doc", "%", "_", '"'):
            assert list(store.select(tag=nearly)) == []
            assert list(store.select(document=nearly)) == []

    def test_scan_stands_changes_on_the_way(self, store):
        for number in range(50):
            store.put(entry(str(number)))
        seen = []
        for own in store.scan():
            seen.append(own.key)
            store.delete([own.key])
            store.put(entry(f"new-{number}", answer=str(len(seen))))
        assert {f"key-{number}" for number in range(50)} <= set(seen)

    def test_revise_changes_the_vector_alone(self, make):
        first = make()
        second = make() if self.shared else first
        own = rich()
        first.put(own)
        second.get("key-rich")
        first.revise("key-rich", unit(7), "embedder-2")
        for each in (first, second):
            assert each.get("key-rich") == replace(own, vector=unit(7), embedder="embedder-2")
        first.revise("unknown", unit(7), "embedder-2")
        assert first.get("unknown") is None
        assert first.size().entries == 1

    # --- limits ---

    def test_no_more_entries_than_the_limit(self, make):
        store = make(Limits(max_entries=10))
        for number in range(40):
            store.put(entry(str(number)))
            assert store.get(f"key-{number}") is not None
            if self.exact:
                assert store.size().entries <= 10
        assert 5 <= store.size().entries <= (10 if self.exact else 20)
        assert len(list(store.scan())) == store.size().entries
        assert store.size().evicted >= 20

    def test_no_more_bytes_than_the_limit(self, make):
        if not self.exact:
            pytest.skip("this store leaves bytes to its server")
        one = entry(payload="x" * 1000)
        store = make(Limits(max_entries=None, max_bytes=10 * one.size))
        for number in range(40):
            store.put(entry(f"{number:02}", payload="x" * random.Random(number).randint(100, 3000)))
            assert store.size().bytes <= 10 * one.size
            assert store.size().bytes == sum(own.size for own in store.scan())
        assert store.get("key-39") is not None
        assert store.size().entries >= 3

    def test_an_entry_above_the_limit_of_bytes_is_the_only_one(self, make):
        if not self.exact:
            pytest.skip("this store leaves bytes to its server")
        store = make(Limits(max_bytes=2000))
        store.put(entry("small"))
        store.put(entry("large", payload="x" * 5000))
        assert keys(store.scan()) == ["key-large"]
        store.put(entry("small"))
        assert keys(store.scan()) == ["key-small"]

    def test_the_one_not_used_for_longest_goes_first(self, make):
        if not self.exact:
            pytest.skip("this store's server decides")
        store = make(Limits(max_entries=4, eviction="lru"))
        for name in "abcd":
            store.put(entry(name))
        store.get("key-a")
        store.get_many(["key-b", "key-c"])
        store.put(entry("e"))
        assert keys(store.scan()) == ["key-a", "key-b", "key-c", "key-e"]
        store.get("key-a")
        store.put(entry("b", answer="stored anew"))
        store.put(entry("f"))
        store.put(entry("g"))
        assert keys(store.scan()) == ["key-a", "key-b", "key-f", "key-g"]
        assert store.size().evicted == 3

    def test_the_one_used_least_goes_first(self, make):
        if not self.exact:
            pytest.skip("this store's server decides")
        store = make(Limits(max_entries=4, eviction="lfu"))
        for name, uses in (("a", 3), ("b", 1), ("c", 2), ("d", 4)):
            store.put(entry(name))
            for _ in range(uses):
                assert store.get(f"key-{name}")
        store.put(entry("e"))
        assert keys(store.scan()) == ["key-a", "key-c", "key-d", "key-e"]
        store.put(entry("f"))  # "e" was never used
        assert keys(store.scan()) == ["key-a", "key-c", "key-d", "key-f"]
        for _ in range(3):
            store.get("key-f")
        store.put(entry("g"))
        assert keys(store.scan()) == ["key-a", "key-d", "key-f", "key-g"]

    # --- changes ---

    def test_a_follower_learns_of_everything_at_first(self, make):
        if not self.follows:
            pytest.skip("nobody follows this store")
        store = make()
        held = [entry("a"), entry("b", partition="other", embedder="embedder-2"), rich()]
        for own in [*held, entry("none", vector=b"", embedder="")]:
            store.put(own)
        follower = Follower(make() if self.shared else store)
        changes = follower.pull()
        assert changes.whole
        assert follower.known == {own.key: as_told(own) for own in held}

    def test_a_follower_learns_of_what_is_new_alone(self, make):
        if not self.follows:
            pytest.skip("nobody follows this store")
        store = make()
        follower = Follower(make() if self.shared else store)
        follower.pull()
        store.put(entry("a"))
        store.put(entry("b"))
        assert set(follower.pull().keys) == {"key-a", "key-b"}
        before = follower.cursor
        changes = follower.pull()
        assert (changes.cursor, list(changes.keys), list(changes.removed), changes.whole) == (before, [], [], False)
        store.put(entry("a", vector=unit(99)))
        store.put(entry("c"))
        assert set(follower.pull().keys) == {"key-a", "key-c"}
        assert follower.known["key-a"] == as_told(entry("a", vector=unit(99)))
        store.delete(["key-b"])
        changes = follower.pull()
        assert (list(changes.keys), list(changes.removed)) == ([], ["key-b"])
        store.revise("key-c", unit(5), "embedder-2")
        assert list(follower.pull().embedders) == ["embedder-2"]
        store.put(entry("b"))
        store.delete(["key-b"])
        store.put(entry("c", vector=b"", embedder=""))  # may no longer be found by likeness
        follower.pull()
        assert set(follower.known) == {"key-a"}

    def test_a_follower_learns_of_evictions_and_clearing(self, make):
        if not self.follows:
            pytest.skip("nobody follows this store")
        store = make(Limits(max_entries=3))
        follower = Follower(store)
        for name in "abcdef":
            store.put(entry(name))
            assert follower.told() == {own.key for own in store.scan()}
        store.clear()
        assert follower.told() == set()
        store.put(entry("new"))
        assert follower.told() == {"key-new"}

    def test_followers_agree_with_the_store_whatever_happens(self, make):
        if not self.follows:
            pytest.skip("nobody follows this store")
        stores = [make(Limits(max_entries=30)), make(Limits(max_entries=30))] if self.shared else [make(Limits(max_entries=30))]
        followers = [Follower(stores[0]), Follower(stores[-1])]
        rng = random.Random(5)
        for step in range(400):
            store, name = rng.choice(stores), str(rng.randrange(45))
            action = rng.random()
            if action < 0.6:
                vectored = rng.random() < 0.9
                fields = {"vector": unit(step), "embedder": EMBEDDER} if vectored else {"vector": b"", "embedder": ""}
                store.put(entry(name, answer=str(step), **fields))
            elif action < 0.8:
                store.delete([f"key-{name}", f"key-{rng.randrange(45)}"])
            elif action < 0.9:
                store.get(f"key-{name}")
            elif action > 0.99:
                store.clear()
            if rng.random() < 0.3:
                follower = rng.choice(followers)
                follower.pull()
                assert follower.known == {own.key: as_told(own) for own in stores[0].scan() if own.vector}
        for store in stores:
            assert store.size().entries == len(list(stores[0].scan()))
            if self.exact:
                assert store.size().bytes == sum(own.size for own in stores[0].scan())

    def test_a_follower_that_was_away_for_long_comes_back(self, make):
        if not self.follows:
            pytest.skip("nobody follows this store")
        store = make(Limits(max_entries=5))
        follower = Follower(make(Limits(max_entries=5)) if self.shared else store)
        for name in "abc":
            store.put(entry(name))
        assert len(follower.told()) == 3
        for number in range(100):
            store.put(entry(str(number)))
            store.delete([f"key-{number - 2}"])
        assert follower.told() == {own.key for own in store.scan()}

    # --- logs and locks ---

    def test_a_log_is_read_from_where_one_stopped(self, make):
        first = make()
        second = make() if self.shared else first
        assert first.read("outcomes", 0)[0] == []
        first.append("outcomes", ["a", "b"])
        first.append("other", ["x"])
        lines, cursor = second.read("outcomes", 0)
        assert lines == ["a", "b"]
        assert second.read("outcomes", cursor) == ([], cursor)
        second.append("outcomes", ['{"c": "é\\n"}'])
        first.append("outcomes", [])
        lines, after = second.read("outcomes", cursor)
        assert lines == ['{"c": "é\\n"}']
        assert first.read("outcomes", after) == ([], after)
        assert first.read("outcomes", 0)[0] == ["a", "b", '{"c": "é\\n"}']
        assert first.read("other", 0)[0] == ["x"]

    def test_a_reader_of_a_log_goes_on_after_clear(self, make):
        first = make()
        second = make() if self.shared else first
        first.append("outcomes", ["a", "b", "c"])
        cursor = second.read("outcomes", 0)[1]
        first.clear()
        first.append("outcomes", ["d"])
        assert second.read("outcomes", cursor)[0] == ["d"]
        assert second.read("outcomes", 0)[0] == ["d"]

    def test_logs_are_no_entries(self, store):
        store.append("outcomes", ["a"])
        store.acquire("key-lock", 10)
        assert (store.size().entries, list(store.scan()), store.get("outcomes"), store.get("key-lock")) == (0, [], None, None)

    def test_only_one_has_a_lock(self, make):
        if not self.shared:
            pytest.skip("nobody shares this store")
        first, second = make(), make()
        assert first.acquire("key", 60)
        assert not second.acquire("key", 60)
        assert second.acquire("other", 60)
        second.release("key")  # not its own
        assert not second.acquire("key", 60)
        first.release("key")
        assert second.acquire("key", 60)
        assert not first.acquire("key", 60)

    def test_a_lock_expires(self, make):
        if not self.shared:
            pytest.skip("nobody shares this store")
        first, second = make(), make()
        assert first.acquire("key", 0.05)
        until = time.monotonic() + 30
        while not second.acquire("key", 60):
            assert time.monotonic() < until
        first.release("key")  # it is another's now
        assert not first.acquire("key", 60)

    # --- all of it ---

    def test_clear_leaves_nothing(self, make):
        first = make()
        second = make() if self.shared else first
        for name in "ab":
            first.put(entry(name))
        second.get("key-a")
        first.append("outcomes", ["a"])
        first.clear()
        for each in (first, second):
            assert each.get("key-a") is None
            assert list(each.scan()) == []
            assert (each.size().entries, each.size().bytes) == (0, 0) or not self.exact
            assert each.read("outcomes", 0)[0] == []
        second.put(entry("a"))
        assert first.get("key-a") == entry("a")

    def test_a_closed_store_says_so(self, make):
        store = make()
        store.put(entry())
        store.close()
        store.close()
        calls = [
            lambda: store.get("key-one"),
            lambda: store.put(entry()),
            lambda: store.delete(["key-one"]),
            lambda: list(store.scan()),
            lambda: store.changes(0),
            store.size,
            lambda: store.append("log", ["line"]),
            lambda: store.read("log", 0),
            lambda: store.acquire("key", 1),
            store.clear,
        ]
        for call in calls:
            with pytest.raises(StoreError, match="closed"):
                call()

    def test_it_is_a_context(self, make):
        with make() as store:
            store.put(entry())
        with pytest.raises(StoreError, match="closed"):
            store.get("key-one")

    def test_eight_threads_use_one_store(self, make):
        store = make(Limits(max_entries=1000))
        failures = []

        def work(number):
            try:
                rng = random.Random(number)
                for step in range(40):
                    own = entry(f"{number}-{step}")
                    store.put(own)
                    assert store.get(own.key) == own
                    other = store.get(f"key-{rng.randrange(8)}-{rng.randrange(40)}")
                    assert other is None or other.answer.endswith(other.key.removeprefix("key-"))
                    if self.follows:
                        store.changes(rng.choice([0, step]))
                    store.append("log", [own.key])
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert store.size().entries == 320
        assert sorted(store.read("log", 0)[0]) == keys(store.scan())
