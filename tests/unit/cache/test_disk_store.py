import pytest

from caching import ask, cache, filled
from frugal_core.cache.stores.disk import DiskStore
from frugal_core.cache.stores.disk_tables import TOLD_KEPT
from store_contract import Follower, StoreContract, entry


class TestDiskStore(StoreContract):
    @pytest.fixture
    def make(self, tmp_path):
        opened = []

        def make(limits=None):
            opened.append(DiskStore(tmp_path / "cache", limits))
            return opened[-1]

        yield make
        for store in opened:
            store.close()


def test_a_cache_on_disk_answers_after_it_was_opened_again(tmp_path):
    texts = ("how do i change the address of my account", "where is my parcel")
    with cache(f"disk:{tmp_path / 'cache'}") as own:
        filled(own, *texts)
    with cache(f"disk:{tmp_path / 'cache'}") as own:
        assert own.lookup(ask(texts[0])).hit.kind == "exact"
        near = own.lookup(ask("how do i change the address of my accounts")).hit
        assert (near.kind, near.entry.answer) == ("semantic", texts[0].upper())
        assert own.lookup(ask("something else")).hit is None
        assert own.stats().errors == 0


def test_expired_entries_leave_when_the_folder_is_opened(tmp_path):
    with DiskStore(tmp_path / "cache") as store:
        follower = Follower(store)
        store.put(entry("a"))
        store.put(entry("b", expires_s=1.0))
        assert store.size().entries == 2
        assert follower.told() == {"key-a", "key-b"}
        with DiskStore(tmp_path / "cache") as other:
            assert other.size().entries == 1
            assert Follower(other).told() == {"key-a"}
        assert store.get("key-b") is None
        assert follower.told() == {"key-a"}


def test_half_a_character_is_kept_where_it_matters(tmp_path):
    own = entry("half \ud83d", tags=("\ud83d",), namespace="\ud83d", key="key")
    with DiskStore(tmp_path / "cache") as store:
        store.put(own)
    with DiskStore(tmp_path / "cache") as store:
        assert store.get("key") == own
        assert list(store.select(tag="\ud83d", namespace="\ud83d")) == [own]
        assert list(store.changes(0).questions) == ["What is half ??"]


def test_a_log_keeps_its_last_lines(tmp_path):
    with DiskStore(tmp_path / "cache") as store:
        for first in range(0, 210_000, 30_000):
            store.append("log", [str(number) for number in range(first, first + 30_000)])
        lines, cursor = store.read("log", 0)
        assert 100_000 <= len(lines) <= 101_000
        assert lines[-1] == "209999"
        store.append("log", ["next"])
        assert store.read("log", cursor)[0] == ["next"]


def test_removals_are_forgotten_in_the_end(tmp_path):
    with DiskStore(tmp_path / "cache") as store:
        away = Follower(store)
        store.put(entry("a"))
        away.pull()
        with store._writing() as sql:  # as if very much had happened since
            sql("UPDATE Frugal_gone SET number = ?", (TOLD_KEPT + 10,))
        for number in range(70):
            store.put(entry("b", answer=str(number)))
            store.delete(["key-b"])
        assert away.pull().whole
        assert set(away.known) == {"key-a"}
        ((removals,),) = store._cache.connection.execute("SELECT count(*) FROM Frugal_gone").fetchall()
        assert removals == 71
