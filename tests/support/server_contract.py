"""What every store on a server must do besides; see `store_contract`."""

import os
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest

from caching import ask, cache, told
from frugal_core.cache.embedders.base import unit_rows
from frugal_core.cache.stores import Limits, open_store
from frugal_core.errors import ConfigurationError
from store_contract import Follower, StoreContract, entry, unit
from tenants import tenants

OTHER_PROCESS = """
import sys
sys.path[:0] = sys.argv[2:]
from caching import ask
from frugal_core.cache import SemanticCache

with SemanticCache(sys.argv[1], embed=None) as cache:
    acquire = cache.store.acquire
    def told(key, ttl_s):
        taken = acquire(key, ttl_s)
        print("asks" if taken else "waits", flush=True)
        return taken
    cache.store.acquire = told
    lookup = cache.lookup(ask("Who goes first?"))
    print("hit", lookup.hit.entry.answer if lookup.hit else None, *lookup.notes, flush=True)
"""


def near(seed, of=None, numbers=64, share=0.1):
    """A vector of unit length, near another one."""
    vector = np.random.default_rng(seed).normal(size=(1, numbers))
    if of is not None:
        vector = np.frombuffer(of, "<f2").astype(float) + share * unit_rows(vector, 1, "chance")
    return unit_rows(vector, 1, "chance")[0]


class ServerContract(StoreContract):
    """Tests of any store on a server.

    A subclass has a fixture `url`, and says in `word` what keeps its caches apart, and in `options` what else opens it.
    """

    word = "prefix"
    options = {}

    @pytest.fixture
    def space(self):
        return f"t{uuid.uuid4().hex[:12]}"

    @pytest.fixture
    def make(self, url, space):
        opened = []

        def make(limits=None, **options):
            limits = limits or Limits()
            own = {"max_entries": limits.max_entries, "max_bytes": limits.max_bytes, "eviction": limits.eviction}
            opened.append(open_store(url, **{self.word: space, "refresh_s": 0, **own, **self.options, **options}))
            return opened[-1]

        yield make
        for store in opened:
            store.close()

    def test_it_answers(self, store):
        assert 0 < store.ping() < 60
        assert store.remote

    def test_options_may_stand_in_the_url(self, url, space, make):
        mark = "&" if "?" in url else "?"
        with open_store(f"{url}{mark}{self.word}={space}&timeout_s=2.5&replica=true") as store:
            store.put(entry())
            assert not store.searches
        assert make().get("key-one") == entry()
        for wrong in (f"{self.word}=a:b", f"{self.word}=a'b", "timeout_s=0", "timeout_s=soon", "refresh_s=-1", "replica=maybe"):
            with pytest.raises(ConfigurationError, match=wrong.partition("=")[0]):
                open_store(f"{url}{mark}{wrong}")

    def test_caches_with_other_names_do_not_meet(self, url, make, space):
        store = make()
        with open_store(url, **{self.word: f"{space}_e"}, **self.options) as other:
            store.put(entry())
            other.put(entry("two"))
            store.append("log", ["line"])
            assert store.acquire("lock", 60)
            assert other.get("key-one") is None
            assert [own.key for own in other.scan()] == ["key-two"]
            assert other.read("log", 0)[0] == []
            assert other.acquire("lock", 60)
            if store.searches:
                assert [found.key for found in store.nearest("partition", near(1), entry().embedder, 5)] == ["key-one"]
            other.clear()
            assert store.get("key-one") == entry()

    def test_own_entries_are_seen_at_once_and_others_when_it_is_time(self, make):
        store, other = make(refresh_s=3600), make()
        follower = Follower(store)
        follower.pull()
        other.put(entry("theirs"))
        assert follower.told() == set()
        store.put(entry("own"))
        assert follower.told() == {"key-own", "key-theirs"}
        assert Follower(store).told() == {"key-own", "key-theirs"}

    def test_expired_entries_leave_the_feed_and_the_count(self, make):
        store, follower = make(), Follower(make())
        own = entry(expires_s=time.time() + 0.2)
        store.put(own)
        store.put(entry("stays"))
        assert follower.told() == {"key-one", "key-stays"}
        while own.alive():
            pass
        until = time.monotonic() + 30
        while follower.told() != {"key-stays"}:
            assert time.monotonic() < until
        assert (store.size().entries, store.size().bytes) == (1, entry("stays").size)

    def test_a_feed_that_forgot_begins_anew(self, make, monkeypatch):
        monkeypatch.setattr(sys.modules[type(make()).__module__], "KEPT_REMOVALS", 40)
        store = make()
        near_by, far = Follower(make()), Follower(make())
        store.put(entry("old"))
        far.pull()
        near_by.pull()
        for first in range(0, 100, 20):
            names = [f"{number}" for number in range(first, first + 20)]
            for name in names:
                store.put(entry(name))
            assert not near_by.pull().whole
            store.delete(f"key-{name}" for name in names)
        store.delete(["key-old"])
        store.put(entry("new"))
        assert not near_by.pull().whole
        assert far.pull().whole
        assert set(near_by.known) == set(far.known) == {"key-new"}

    def test_a_lower_limit_is_kept_too(self, make):
        large = make()
        for number in range(60):
            large.put(entry(str(number)))
        small = make(Limits(max_entries=5))
        small.put(entry("last"))
        assert small.size().entries == 5
        assert small.size().evicted == 56
        assert small.get("key-last") is not None

    def test_near_duplicates_of_other_tenants_are_never_found(self, make):
        hits, leaks = tenants(make(), 1500)
        assert leaks == 0
        assert hits > 500

    def test_two_processes_ask_once(self, url, space):
        mark = "&" if "?" in url else "?"
        own = f"{url}{mark}{self.word}={space}"
        with cache(own, embed=None) as first:
            lookup = first.lookup(ask("Who goes first?"))
            words = [sys.executable, "-c", OTHER_PROCESS, own, *sys.path]
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
                assert other.stdout.readline() == "waits\n"
                lookup.settle(told("I do."))
                said = [line for line in other.stdout if line not in ("waits\n", "asks\n")]
            assert said == ["hit I do. The same question was being answered already: waited for it.\n"]

    def test_a_forked_process_has_connections_of_its_own(self, make):
        store = make()
        store.put(entry("before"))
        child = os.fork()
        if not child:
            right = False
            try:
                store.put(entry("child"))
                right = store.get("key-before") == entry("before")
            finally:
                os._exit(0 if right else 1)
        store.put(entry("parent"))
        assert os.waitpid(child, 0)[1] == 0
        assert {own.key for own in store.scan()} == {"key-before", "key-child", "key-parent"}


class SearchContract:
    """Tests of stores whose server searches, beside those of `ServerContract`."""

    def test_it_searches(self, store):
        assert store.searches

    def test_the_nearest_come_first_with_their_cosines(self, store):
        rng = np.random.default_rng(0)
        vectors = unit_rows(rng.normal(size=(200, 64)), 200, "chance").astype("<f2")
        for number, vector in enumerate(vectors):
            store.put(entry(str(number), vector=vector.tobytes(), question=f"question \x00 {number}"))
        for number in range(20):
            asked = near(number, vectors[number].tobytes(), share=0.3)
            cosines = vectors.astype(np.float32) @ asked.astype(np.float16).astype(np.float32)
            order = np.argsort(-cosines)[:8]
            found = store.nearest("partition", asked, "embedder-1", 8)
            assert [neighbour.key for neighbour in found] == [f"key-{place}" for place in order]
            assert [neighbour.question for neighbour in found] == [f"question \x00 {place}" for place in order]
            assert np.allclose([neighbour.similarity for neighbour in found], cosines[order], atol=2e-3)

    def test_a_small_partition_is_found_beside_a_large_one_that_lies_nearer(self, store):
        asked = near(0)
        for number in range(300):
            store.put(entry(f"large-{number}", partition="large", vector=asked.astype("<f2").tobytes()))
        for number in range(5):
            store.put(entry(f"small-{number}", partition="small", vector=near(number, unit(3)).astype("<f2").tobytes()))
        found = store.nearest("small", asked, "embedder-1", 8)
        assert sorted(neighbour.key for neighbour in found) == [f"key-small-{number}" for number in range(5)]

    @pytest.mark.parametrize(
        "name", ["a|b", "{a}", "a} | @t:{b", "*", "a b", "a,b", "'; DROP TABLE entries; --", "\x00", "ä", "-a", ""]
    )
    def test_names_mean_nothing_to_the_server(self, store, name):
        store.put(entry("own", partition=name, embedder=name))
        store.put(entry("other", partition="b", embedder=name))
        store.put(entry("others", partition=name, embedder="b"))
        assert [found.key for found in store.nearest(name, near(1), name, 8)] == ["key-own"]

    def test_embedders_and_lengths_stand_side_by_side(self, store):
        store.put(entry("a", embedder="first", vector=unit(1, 64)))
        store.put(entry("b", embedder="second", vector=unit(1, 64)))
        store.put(entry("c", embedder="third", vector=unit(1, 96)))
        store.put(entry("d", vector=b"", embedder=""))
        for embedder, numbers, key in (("first", 64, "a"), ("second", 64, "b"), ("third", 96, "c")):
            found = store.nearest("partition", near(1, numbers=numbers), embedder, 8)
            assert [neighbour.key for neighbour in found] == [f"key-{key}"]
        assert store.nearest("partition", near(1), "unknown", 8) == []
        store.revise("key-a", unit(2, 96), "third")
        assert store.nearest("partition", near(1), "first", 8) == []
        assert {found.key for found in store.nearest("partition", near(1, numbers=96), "third", 8)} == {"key-a", "key-c"}

    def test_what_is_gone_is_not_found(self, store):
        own = entry("expires", expires_s=time.time() + 0.2)
        for each in (own, entry("deleted"), entry("stays"), entry("plain")):
            store.put(each)
        store.put(entry("plain", vector=b"", embedder=""))
        store.delete(["key-deleted"])
        while own.alive():
            pass
        until = time.monotonic() + 30
        while [found.key for found in store.nearest("partition", near(1), "embedder-1", 8)] != ["key-stays"]:
            assert time.monotonic() < until
