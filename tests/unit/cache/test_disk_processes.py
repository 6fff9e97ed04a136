"""Several processes on one machine share a folder."""

import pytest

from frugal_core.cache.stores import Limits
from frugal_core.cache.stores.disk import DiskStore
from store_contract import Follower, entry
from store_processes import ask, ended, started

FOUR_BY_EIGHT = """
from threading import Thread
from store_contract import Follower
follower, process = Follower(store), sys.argv[2]
failures = []

def work(thread):
    try:
        for number in range(10):
            own = entry(f"{process}-{thread}-{number}")
            store.put(own)
            assert store.get(own.key) == own
            store.append("log", [own.key])
            store.changes(0)
    except BaseException as error:
        failures.append(repr(error))

threads = [Thread(target=work, args=(thread,)) for thread in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
say("done", *failures)
sys.stdin.readline()
names = [f"{process}-{thread}-{number}" for process in range(4) for thread in range(8) for number in range(10)]
say(sum(store.get("key-" + name) == entry(name) for name in names), len(follower.told()), store.size().entries,
    len(set(store.read("log", 0)[0])))
"""

ANSWER = """
from store_contract import Follower
follower = Follower(store)
for line in sys.stdin:
    word, name = line.split()
    if word == "get":
        found = store.get("key-" + name)
        say(found.answer if found else None)
    elif word == "told":
        say(*sorted(follower.told()))
    elif word == "delete":
        say(store.delete(["key-" + name]))
    elif word == "clear":
        say(store.clear())
    else:
        store.put(entry(name, word))
        say("stored")
"""

COUNT = """
from pathlib import Path
path = Path(sys.argv[2])
for number in range(15):
    while not store.acquire("count", 60):
        pass
    path.write_text(str(int(path.read_text()) + 1))
    store.release("count")
"""

FORK = """
import threading
import traceback
from frugal_core.cache.stores import Limits
stop = threading.Event()

def write():
    number = 0
    while not stop.is_set():
        store.put(entry(f"parent-{number % 50}"))
        store.get(f"key-parent-{number % 50}")
        number += 1

store.put(entry("before"))
store.get("key-before")
threads = [threading.Thread(target=write) for _ in range(3)]
for thread in threads: thread.start()
children = []
for child in range(12):  # while others hold its locks and are in the middle of transactions
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert store._cache._connection is None  # what SQLite has open must not be carried over
            for number in range(20):
                store.put(entry(f"child-{child}-{number}"))
            assert store.get("key-before") == entry("before")
            assert store.acquire(f"lock-{child}", 60)
            store.close()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    children.append(pid)
say(*(os.waitpid(pid, 0)[1] for pid in children))
stop.set()
for thread in threads: thread.join()
say(sum(store.get(f"key-child-{child}-{number}") is not None for child in range(12) for number in range(20)))
store.put(entry("after"))
say(store.size().entries == len(list(store.scan())), store._cache.connection.execute("PRAGMA integrity_check").fetchall()[0][0])
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def test_four_processes_of_eight_threads_lose_nothing_and_see_everything(folder):
    processes = [started(FOUR_BY_EIGHT, f"disk:{folder}", number) for number in range(4)]  # and make it at the same time
    assert [process.stdout.readline() for process in processes] == ["done\n"] * 4
    assert [ask(process, "go") for process in processes] == [["320"] * 4] * 4
    assert [ended(process) for process in processes] == [[]] * 4


def test_another_process_is_seen_at_the_next_call(folder):
    with DiskStore(folder) as store:
        other = started(ANSWER, f"disk:{folder}")
        follower = Follower(store)
        for number in range(60):
            store.put(entry("x", answer=f"answer-{number}"))
            assert ask(other, "get", "x") == [f"answer-{number}"]  # which it holds in memory from now on
            assert ask(other, f"anew-{number}", "x") == ["stored"]
            assert store.get("key-x").answer == f"anew-{number}"
            assert follower.told() == {"key-x"}
            if number % 10 == 0:
                assert ask(other, "told", "all") == ["key-x"]
                store.delete(["key-x"])
                assert ask(other, "get", "x") == ["None"]
                assert ask(other, "told", "all") == []
            if number % 10 == 5:
                assert ask(other, "clear", "all") == ["None"]
                assert store.get("key-x") is None
                assert follower.told() == set()
        ended(other)


def test_processes_evict_together(folder):
    limits = Limits(max_entries=20)
    with DiskStore(folder, limits) as store, DiskStore(folder, limits) as other:
        for number in range(100):
            (store, other)[number % 2].put(entry(str(number)))
            assert store.size().entries <= 20
        assert store.size().evicted + other.size().evicted == 80
        assert Follower(store).told() == Follower(other).told() == {f"key-{number}" for number in range(80, 100)}


def test_uses_are_told_to_others_when_a_store_is_closed(folder):
    limits = Limits(max_entries=3, eviction="lfu")
    with DiskStore(folder, limits) as store:
        for name in "abc":
            store.put(entry(name))
        with DiskStore(folder, limits) as reader:
            reader.get("key-a")
            reader.get("key-c")
        store.put(entry("d"))
        assert [store.get(f"key-{name}") is None for name in "abcd"] == [False, True, False, False]


def test_a_lock_holds_across_processes(folder, tmp_path):
    DiskStore(folder).close()
    count = tmp_path / "count"
    count.write_text("0")
    for process in [started(COUNT, f"disk:{folder}", count) for _ in range(4)]:
        ended(process)
    assert count.read_text() == "60"


def test_a_put_gives_its_lock_back(folder):
    with DiskStore(folder) as store, DiskStore(folder) as other:
        assert store.acquire("key-a", 60)
        assert not other.acquire("key-a", 60)
        store.put(entry("a"))
        assert other.acquire("key-a", 60)
        store.release("key-a")  # it is the other's now
        assert not store.acquire("key-a", 60)


def test_a_store_that_was_open_at_a_fork_works_in_both(folder):
    process = started(FORK, f"disk:{folder}")
    assert ended(process) == [" ".join("0" * 12), "240", "True ok"]
