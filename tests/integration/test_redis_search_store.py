"""A Redis with its search module finds neighbours by itself, in the right partition alone."""

import pytest
from redis import Redis

from server_contract import SearchContract, ServerContract, near
from store_contract import entry


class TestRedisSearch(SearchContract, ServerContract):
    options = {"replica": False}

    @pytest.fixture
    def url(self, redis_search_url):
        return redis_search_url

    def test_a_server_that_lost_its_index_makes_it_again(self, url, store, space):
        store.put(entry())
        assert [found.key for found in store.nearest("partition", near(1), "embedder-1", 8)] == ["key-one"]
        with Redis.from_url(url) as client:
            client.execute_command("FT.DROPINDEX", f"{space}:index:64", "DD")
        assert store.nearest("partition", near(1), "embedder-1", 8) == []
        store.put(entry("two"))
        assert [found.key for found in store.nearest("partition", near(1), "embedder-1", 8)] == ["key-two"]
