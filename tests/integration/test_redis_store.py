"""A plain Redis keeps what every store keeps, and survives what servers go through."""

import pytest
from redis import Redis

from frugal_core.cache.stores import open_store
from frugal_core.errors import ConfigurationError, StoreError
from server_contract import ServerContract
from store_contract import Follower, entry


class TestRedis(ServerContract):
    @pytest.fixture
    def url(self, redis_url):
        return redis_url

    def test_the_server_does_not_search_if_it_cannot(self, make):
        assert not make().searches
        assert not make(replica=False).searches

    def test_emptied_server(self, url, make, space):
        store, follower = make(), Follower(make())
        store.put(entry())
        store.append("log", ["line"])
        _, cursor = store.read("log", 0)
        assert follower.told() == {"key-one"}
        self.empty(url, space)
        assert store.get("key-one") is None
        store.put(entry("two"))
        store.append("log", ["another"])
        store.append("log", ["more"])
        assert follower.told() == {"key-two"}
        assert store.read("log", cursor + 2)[0] == ["another", "more"]
        assert (store.size().entries, store.size().bytes) == (1, entry("two").size)

    def test_lost_scripts_are_loaded_again(self, url, store):
        store.put(entry())
        with Redis.from_url(url) as client:
            client.script_flush()
        store.put(entry("two"))
        assert store.size().entries == 2

    def test_nothing_is_left_behind(self, url, store, space):
        store.put(entry(tags=("a",), documents=("b",), namespace="c"))
        store.append("log", ["line"])
        assert store.acquire("key", 60)
        store.release("key")
        store.clear()
        with Redis.from_url(url) as client:
            assert client.keys(f"{space}:*") == [f"{space}:meta".encode()]

    def test_entries_that_the_server_dropped_are_missed_by_nobody(self, url, store, space):
        store.put(entry())
        with Redis.from_url(url) as client:
            client.delete(f"{space}:e:key-one")
        assert store.get("key-one") is None
        assert list(store.scan()) == []
        assert Follower(store).told() == set()
        store.put(entry())
        assert store.get("key-one") == entry()

    def test_something_else_in_an_entrys_place_is_an_error_that_says_so(self, url, store, space):
        store.put(entry())
        with Redis.from_url(url) as client:
            client.hset(f"{space}:e:key-one", "j", "[broken")
        with pytest.raises(StoreError, match="cannot be read"):
            store.get("key-one")
        with Redis.from_url(url) as client:
            client.delete(f"{space}:e:key-one")
            client.set(f"{space}:e:key-one", "text")
        with pytest.raises(StoreError, match="WRONGTYPE"):
            store.get("key-one")
        store.put(entry("two"))  # one call was refused: the server is not away

    @staticmethod
    def empty(url, space):
        """Remove all of a store, as when a server has lost its memory."""
        with Redis.from_url(url) as client:
            for key in client.scan_iter(f"{space}:*"):
                client.delete(key)


def test_urls_that_are_none_are_refused_at_once():
    with pytest.raises(ConfigurationError, match="no URL of a Redis server"):
        open_store("redis://host:port")


def test_passwords_are_not_shown():
    assert repr(open_store("redis://me:secret@host/1?prefix=own")) == "RedisStore('redis://me:***@host/1', prefix='own')"
