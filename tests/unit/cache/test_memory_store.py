import random
import tracemalloc

import pytest

from frugal_core.cache.stores import Limits, MemoryStore
from frugal_core.cache.stores.memory import GONE_KEPT
from store_contract import Follower, StoreContract, entry, keys


class TestMemoryStore(StoreContract):
    shared = False

    @pytest.fixture
    def make(self):
        return MemoryStore


def operate(store, rng, times):
    """Puts, deletes and uses of keys of which some are much more common than others."""
    for _ in range(times):
        name = str(int(rng.paretovariate(0.5)) % 100_000)
        action = rng.random()
        if action < 0.5:
            store.put(entry(name, payload="x" * rng.randrange(400), vector=b"12345678"))
        elif action < 0.6:
            store.delete([f"key-{name}"])
        else:
            store.get(f"key-{name}")
        assert store.size().entries <= store.limits.max_entries
        assert store.size().bytes <= store.limits.max_bytes


@pytest.mark.parametrize("eviction", ["lru", "lfu"])
def test_memory_stands_still_however_long_it_is_used(eviction):
    store, rng = MemoryStore(Limits(200, 60_000, eviction)), random.Random(4)
    tracemalloc.start()
    operate(store, rng, 30_000)
    before, _ = tracemalloc.get_traced_memory()
    gone = len(store._gone)
    operate(store, rng, 20_000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(store._gone) <= GONE_KEPT
    assert after - before < 50_000 + 400 * (len(store._gone) - gone)
    assert store.size().bytes == sum(own.size for own in store.scan())
    assert store.size().evicted > 1000


def test_those_who_missed_too_many_removals_are_told_all():
    store = MemoryStore(Limits(max_entries=10))
    follower, away = Follower(store), Follower(store)
    store.put(entry("a"))
    away.pull()
    for number in range(GONE_KEPT + 100):
        store.put(entry(str(number), vector=b"12345678"))
        if number % 50 == 0:
            assert not follower.pull().whole or number == 0
    assert away.pull().whole
    assert away.told() == follower.told() == {own.key for own in store.scan()}


@pytest.mark.parametrize("eviction", ["lru", "lfu"])
def test_eviction_is_in_the_order_that_a_plain_search_finds(eviction):
    store, rng = MemoryStore(Limits(max_entries=12, eviction=eviction)), random.Random(8)
    known = {}  # key: number of uses, time of the last
    for step in range(3000):
        key = f"key-{rng.randrange(30)}"
        if rng.random() < 0.6:
            found = store.get(key)
            assert (found is not None) == (key in known)
            if found is not None:
                known[key] = (known[key][0] + 1, step)
        else:
            known.pop(key, None)
            if len(known) == 12:
                del known[min(known, key=lambda own: known[own][1] if eviction == "lru" else known[own])]
            store.put(entry(key.removeprefix("key-")))
            known[key] = (0, step)
        assert keys(store.scan()) == sorted(known)


def test_expired_entries_go_although_nobody_asks_for_them():
    store = MemoryStore(Limits(max_entries=None))
    follower = Follower(store)
    for number in range(5_000):
        store.put(entry(str(number), expires_s=1.0, vector=b"12345678"))
    store.put(entry("lasting", vector=b"12345678"))
    follower.pull()
    assert store.size().entries == 1
    assert set(follower.known) == {"key-lasting"}


def test_an_entry_stored_anew_lives_as_long_as_the_new_one():
    store = MemoryStore()
    for _ in range(3_000):
        store.put(entry("a", expires_s=2e10))
    store.put(entry("a"))
    store.put(entry("b"))
    assert store.size().entries == 2
    assert len(store._expiring) <= 2_000
