"""PostgreSQL keeps what every store keeps, tells changes in the order in which they become visible, and searches."""

import psycopg
import pytest

from frugal_core.cache.stores import open_store
from frugal_core.errors import ConfigurationError, StoreError
from server_contract import SearchContract, ServerContract, near
from store_contract import Follower, entry


class TestPostgres(ServerContract):
    word = "schema"

    @pytest.fixture
    def url(self, postgres_url):
        return postgres_url

    def test_what_is_committed_late_is_not_missed(self, url, store, space):
        follower = Follower(store)
        store.put(entry("early"))
        follower.pull()
        with psycopg.connect(url) as late:  # another writer, in the middle of storing something
            late.execute(
                f"SELECT {space}.put('late', 'p', 'e', 'q', 'v', '{{}}', '{{}}', 1, NULL, 0, NULL, NULL, false,"
                " '{}', '{}', '{}')"
            )
            assert follower.told() == {"key-early"}
            with pytest.raises(StoreError, match="statement timeout"):
                open_store(url, schema=space, timeout_s=0.1).put(entry("waits"))
        store.put(entry("after"))
        assert follower.told() == {"key-early", "late", "key-after"}

    def test_a_schema_that_was_dropped_is_made_again(self, url, store, space):
        store.put(entry())
        follower = Follower(store)
        assert follower.told() == {"key-one"}
        with psycopg.connect(url) as own:
            own.execute(f"DROP SCHEMA {space} CASCADE")
        assert store.get("key-one") is None
        store.put(entry("two"))
        assert follower.told() == {"key-two"}
        assert store.size().entries == 1

    def test_a_schema_of_a_later_release_is_left_alone(self, url, store, space):
        store.put(entry())
        with psycopg.connect(url) as own:
            own.execute(f"UPDATE {space}.meta SET version = 99")
        with pytest.raises(StoreError, match="later release"):
            open_store(url, schema=space).get("key-one")

    def test_reading_writes_nothing(self, url, store, space):
        store.put(entry())
        for _ in range(50):
            assert store.get("key-one") is not None
        with psycopg.connect(url) as own:
            assert own.execute(f"SELECT uses FROM {space}.entries").fetchone() == (1,)
            store.put(entry("two"))
            assert own.execute(f"SELECT uses FROM {space}.entries ORDER BY key").fetchall() == [(51,), (1,)]

    def test_many_keys_in_use_are_written_before_there_is_an_entry(self, store):
        names = [f"key-{number}" for number in range(1000)]
        store.put(entry("0"))
        store.get_many(names)
        assert len(store._uses) == 1
        store._uses.update(dict.fromkeys(map(str.encode, names), (0.0, 1)))
        store.get("key-0")
        assert store._uses == {}


class TestPostgresSearch(SearchContract, ServerContract):
    word = "schema"
    options = {"replica": False}

    @pytest.fixture
    def url(self, postgres_url):
        return postgres_url

    def test_what_was_stored_by_those_who_do_not_search_is_found(self, make):
        plain = make(replica=True)
        plain.put(entry("before"))
        store = make()
        assert [found.key for found in store.nearest("partition", near(1), "embedder-1", 8)] == ["key-before"]
        late = make(replica=True)
        late.put(entry("late"))
        found = store.nearest("partition", near(1), "embedder-1", 8)
        assert {neighbour.key for neighbour in found} == {"key-before", "key-late"}


def test_urls_that_are_none_are_refused_at_once():
    with pytest.raises(ConfigurationError, match="no URL of a PostgreSQL database"):
        open_store("postgresql://host/db?nonsense=1")


def test_passwords_are_not_shown():
    shown = repr(open_store("postgresql://me:secret@host/db?schema=own"))
    assert shown == "PostgresStore('postgresql://me:***@host/db', schema='own')"
