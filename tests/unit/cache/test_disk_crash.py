"""What was acknowledged is there after a kill; what cannot be stored or read is an error, never a wrong answer."""

import os
import random
import shutil
import sqlite3

import pytest

from frugal_core.cache.stores import Limits
from frugal_core.cache.stores.disk import DiskStore
from frugal_core.errors import StoreError
from store_contract import Follower, entry, keys
from store_processes import ended, started

WRITE_ON = """
import itertools
for number in itertools.count():
    own = entry(f"{sys.argv[2]}-{number}")
    if number % 5 == 4:  # others are stored anew, and some are removed
        store.put(entry(f"{sys.argv[2]}-{number - 4}", "anew"))
        say("anew", number - 4)
        store.delete([f"key-{sys.argv[2]}-{number - 3}"])
        say("removed", number - 3)
    store.put(own)
    say("stored", number)
"""


def test_what_eight_writers_were_told_is_stored_survives_their_kill(tmp_path):
    folder = tmp_path / "cache"
    DiskStore(folder).close()
    writers = [started(WRITE_ON, f"disk:{folder}", number) for number in range(8)]
    said = [[writer.stdout.readline() for _ in range(60)] for writer in writers]  # all of them are at it
    for writer in writers:
        writer.kill()
    for writer, lines in zip(writers, said, strict=True):
        lines += [line for line in writer.stdout.read().splitlines(True) if line.endswith("\n")]
        writer.communicate()
    there, gone, maybe = expected(said)
    with DiskStore(folder) as store:
        found = {own.key: own for own in store.scan()}
        assert {key: found[key].answer for key in there} == there
        assert not gone & set(found)
        for key, own in found.items():
            assert key in there or key in maybe  # in the middle of being stored
            assert store.get(key) == own
        assert store.size().entries == len(found)
        assert store.size().bytes == sum(own.size for own in found.values())
        assert Follower(store).told() == set(found)
        store.put(entry("after"))
        assert store.get("key-after") == entry("after")
    with sqlite3.connect(folder / "cache.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def expected(said):
    """What must be there, with its answer; what must not; and what was being written when the kill came."""
    there, gone, maybe = {}, set(), set()
    for writer, lines in enumerate(said):
        key = f"key-{writer}-{{}}".format
        for action, number in map(str.split, lines):
            if action == "removed":
                gone.add(key(number))
                del there[key(number)]
            else:
                there[key(number)] = "anew" if action == "anew" else f"{writer}-{number}"
        following = int([line.split()[1] for line in lines if line.startswith("stored")][-1]) + 1
        maybe.add(key(following))
        if following % 5 == 4:  # perhaps stored anew, or removed, and not yet told
            for number in (following - 4, following - 3):
                maybe.add(key(number))
                there.pop(key(number), None)
                gone.discard(key(number))
    return there, gone, maybe


def test_a_writer_killed_in_its_transaction_leaves_nothing_behind(tmp_path):
    program = """
store.put(entry("before"))
with store._writing() as sql:
    sql("DELETE FROM Cache")
    sql("DELETE FROM Frugal_feed")
    say("ready")
    sys.stdin.readline()
"""
    with DiskStore(tmp_path / "cache") as store:
        writer = started(program, f"disk:{tmp_path / 'cache'}")
        assert writer.stdout.readline() == "ready\n"
        writer.kill()
        writer.communicate()
        store.put(entry("after"))
        assert keys(store.scan()) == ["key-after", "key-before"]


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path):
    program = """
import resource
from frugal_core.errors import StoreError
store.put(entry("first"))
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limit[1]))
stored, error = [], None
for number in range(10_000):
    try:
        store.put(entry(str(number)))
    except StoreError as raised:
        error = raised
        break
    stored.append(f"key-{number}")
say(type(error).__name__, "cannot be written" in str(error), 10 < len(stored) < 5000)
say(all(key == store.get(key).key for key in stored), store.get(f"key-{len(stored)}"))
for attempt in range(3):
    try:
        store.put(entry("more"))
        say("stored after all")
    except StoreError:
        pass
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
store.put(entry("again"))
say(store.size().entries == len(stored) + 2 == len(list(store.scan())))
store.close()
"""
    process = started(program, f"disk:{tmp_path / 'cache'}")
    assert ended(process) == ["StoreError True True", "True None", "True"]


def test_a_damaged_file_is_an_error_and_never_a_wrong_answer(tmp_path):
    held = [entry(str(number), payload=f"{number} " * 300) for number in range(40)]
    with DiskStore(tmp_path / "whole") as store:
        for own in held:
            store.put(own)
        store._cache.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    rng = random.Random(3)
    whole = (tmp_path / "whole" / "cache.db").read_bytes()
    errors = 0
    for number in range(60):
        damaged = bytearray(whole)
        for _ in range(20):
            damaged[rng.randrange(len(damaged) if number % 2 else 8192)] ^= 1 << rng.randrange(8)
        folder = tmp_path / f"damaged-{number}"
        folder.mkdir(mode=0o700)
        (folder / "cache.db").write_bytes(damaged)
        try:
            with DiskStore(folder) as store:
                for own in held:
                    assert store.get(own.key) in (own, None)
                assert all(own in held for own in store.scan())
                store.changes(0)
                store.put(entry("new"))
        except StoreError:
            errors += 1
        shutil.rmtree(folder)
    assert errors >= 20


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_file_that_is_no_database_is_an_error(tmp_path, content):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    (folder / "cache.db").write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        DiskStore(folder)
    assert (folder / "cache.db").read_bytes() == content


def test_a_database_without_our_tables_is_an_error(tmp_path):
    store = DiskStore(tmp_path / "cache")
    store.put(entry())
    with sqlite3.connect(tmp_path / "cache" / "cache.db") as database:
        database.execute("DROP TABLE Frugal_feed")
    database.close()
    for call in (lambda: store.put(entry("b")), lambda: store.changes(0), lambda: list(store.scan())):
        with pytest.raises(StoreError, match="damaged"):
            call()
    store.close()


def test_a_folder_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(StoreError, match="cannot be made"):
            DiskStore(path)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_an_error(tmp_path):
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(StoreError):
        DiskStore(tmp_path / "cache")


def test_a_transaction_that_fails_is_undone(tmp_path):
    with DiskStore(tmp_path / "cache", Limits(max_entries=5)) as store:
        store.put(entry("a"))
        with pytest.raises(StoreError, match="written"):
            store.put(entry("b", embedder=["no text"]))
        with pytest.raises(StoreError, match="written"):
            store.append("log", ["line", ["no text"]])
        assert keys(store.scan()) == ["key-a"]
        assert store.read("log", 0)[0] == []
        store.put(entry("b"))
        assert store.size().entries == 2
