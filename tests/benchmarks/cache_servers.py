"""What a lookup on a server costs beside the raw client's query, with the server searching and with an index in the process.

    python tests/benchmarks/cache_servers.py [--entries 5000 50000] [--rounds 15] [--tenants 100000]

Starts the servers it needs (`make servers` installs them). Contestants take turns on the same questions within each round, and
a ratio is taken within its round. `--tenants` looks up near duplicates of what other tenants have stored instead, on every
store.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "support")]

import numpy as np
import psycopg
import redis
from side_by_side import measure, timed

from frugal_core.cache.entry import Entry
from frugal_core.cache.replica import Replica
from frugal_core.cache.stores import Limits, MemoryStore, Store, open_store
from frugal_core.cache.stores.redis import _place
from frugal_core.learning.columns import Floats
from servers import Postgres, Redis
from tenants import tenants

NUMBERS, EMBEDDER, PARTITION, ASKED, COUNT = 384, "embedder", "partition", 200, 8


def vectors(entries: int) -> tuple[Floats, Floats]:
    """Vectors of entries, in clusters as questions are, and of questions near some of them (cosine about 0.9)."""
    chance = np.random.default_rng(0)
    centres = chance.normal(size=(max(1, entries // 10), NUMBERS))
    held = unit(centres[np.arange(entries) % len(centres)] + 0.7 * chance.normal(size=(entries, NUMBERS)))
    asked = unit(held[chance.integers(0, entries, ASKED)] + 0.025 * chance.normal(size=(ASKED, NUMBERS)))
    return held, asked


def unit(rows: Floats) -> Floats:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def fill(store: Store, held: Floats) -> None:
    for number, vector in enumerate(held):
        store.put(entry(number, vector))


def entry(number: int, vector: Floats) -> Entry:
    key, text = f"{number:032x}", f"question {number} " + "x" * 60
    payload = '{"text": "' + "y" * 900 + '"}'
    return Entry(
        key, PARTITION, "", text, "y" * 300, payload, 1.7e9, None, (), (), None, None, vector.astype("<f2").tobytes(), EMBEDDER
    )


class Searching:
    """`Store.nearest`, as the cache asks it."""

    def __init__(self, store: Store, asked: Floats) -> None:
        self.store, self.asked = store, asked

    def search(self) -> None:
        for vector in self.asked:
            assert self.store.nearest(PARTITION, vector, EMBEDDER, COUNT)


class InProcess(Searching):
    """The replica of a store."""

    def __init__(self, store: Store, asked: Floats) -> None:
        super().__init__(store, asked)
        self.replica = Replica(store, EMBEDDER)

    def search(self) -> None:
        for vector in self.asked:
            assert self.replica.search(PARTITION, vector, COUNT, 0.5)


class RawRedis(Searching):
    """The bare command, as redis-py sends it, on the same index."""

    def __init__(self, url: str, asked: Floats) -> None:
        self.client, self.asked = redis.Redis.from_url(url, protocol=2), asked

    def search(self) -> None:
        query = f"(@t:{{{_place(PARTITION, EMBEDDER)}}})=>[KNN {COUNT} @v{NUMBERS} $v AS far]"
        more = ("SORTBY", "far", "LIMIT", 0, COUNT, "RETURN", 2, "q", "far", "DIALECT", 2)
        for vector in self.asked:
            named = ("PARAMS", 2, "v", vector.astype(np.float16).tobytes())
            assert self.client.execute_command("FT.SEARCH", f"bench:index:{NUMBERS}", query, *named, *more)[0]


class RawPostgres(Searching):
    """The query that a user of psycopg and pgvector sends, on a table of his own, with vectors as text."""

    def __init__(self, url: str, asked: Floats, table: str) -> None:
        self.connection, self.asked = psycopg.connect(url, autocommit=True), asked
        self.query = (
            f"SELECT key, question, vector <#> %s::vector AS far FROM {table} WHERE partition = %s AND embedder = %s"
            " ORDER BY far LIMIT %s"
        )

    def search(self) -> None:
        for vector in self.asked:
            text = "[" + ",".join(map(str, vector.tolist())) + "]"
            assert self.connection.execute(self.query, [text, PARTITION.encode(), EMBEDDER.encode(), COUNT]).fetchall()


def own_tables(url: str) -> None:
    """Tables as a user of pgvector has them: one scanned by partition, one with a graph index."""
    with psycopg.connect(url, autocommit=True) as own:
        for name, index in (("flat", "(partition, embedder)"), ("graph", "USING hnsw (vector vector_ip_ops)")):
            own.execute(
                f"CREATE TABLE bench.{name} AS SELECT key, v.partition, v.embedder, question, v.vector::vector({NUMBERS})"
                " FROM bench.vectors v JOIN bench.entries USING (key)"
            )
            own.execute(f"CREATE INDEX ON bench.{name} {index}")
        own.execute("VACUUM ANALYZE")


class Exact:
    """Getting by key: the store's, or the client's own."""

    def __init__(self, get) -> None:
        self.get = get

    def search(self) -> None:
        for number in range(ASKED):
            assert self.get(f"{number:032x}")


def table(title: str, contestants: dict, base: str, rounds: int) -> None:
    seconds = measure(contestants, {"search": lambda own: timed(own.search, 1) / ASKED}, lambda way: rounds)["search"]
    print(f"\n{title}\n\n| | µs (median) | x {base} |\n|---|---|---|")
    for name, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(own, seconds[base], strict=True))
        print(f"| {name} | {1e6 * statistics.median(own):.0f} | {ratio:.2f} |")


def compare(entries: int, rounds: int) -> None:
    held, asked = vectors(entries)
    limits = {"max_entries": None, "timeout_s": 60}
    memory = MemoryStore(Limits(None))
    fill(memory, held)
    embedded = InProcess(memory, asked)
    with Redis() as plain, Redis(search=True) as search, Postgres() as postgres:
        with (
            open_store(plain.url, prefix="bench", **limits) as follows,
            open_store(search.url, prefix="bench", replica=False, **limits) as searches,
        ):
            for store in (follows, searches):
                if store.searches:
                    store.nearest(PARTITION, asked[0], EMBEDDER, COUNT)
                fill(store, held)
            client = redis.Redis.from_url(plain.url)
            own = {"redis-py GET": Exact(lambda key: client.hgetall(f"bench:e:{key}")), "RedisStore.get": Exact(follows.get)}
            table(f"Redis, {entries} entries, exact", own, "redis-py GET", rounds)
            own = {
                "redis-py FT.SEARCH": RawRedis(search.url, asked),
                "RedisStore, server searches": Searching(searches, asked),
                "RedisStore, replica": InProcess(follows, asked),
                "MemoryStore": embedded,
            }
            table(f"Redis, {entries} entries, nearest", own, "redis-py FT.SEARCH", rounds)
        with (
            open_store(postgres.url, schema="bench", replica=False, **limits) as searches,
            open_store(postgres.url, schema="bench", **limits) as follows,
        ):
            searches.size()
            fill(searches, held)
            own_tables(postgres.url)
            raw = psycopg.connect(postgres.url, autocommit=True)
            statement = "SELECT body, vector FROM bench.entries WHERE key = %s"
            own = {
                "psycopg SELECT": Exact(lambda key: raw.execute(statement, [key.encode()]).fetchall()),
                "PostgresStore.get": Exact(follows.get),
            }
            table(f"PostgreSQL, {entries} entries, exact", own, "psycopg SELECT", rounds)
            own = {
                "psycopg, pgvector exact": RawPostgres(postgres.url, asked, "bench.flat"),
                "psycopg, pgvector HNSW": RawPostgres(postgres.url, asked, "bench.graph"),
                "PostgresStore, server searches": Searching(searches, asked),
                "PostgresStore, replica": InProcess(follows, asked),
                "MemoryStore": embedded,
            }
            table(f"PostgreSQL, {entries} entries, nearest", own, "psycopg, pgvector exact", rounds)


def leaks(lookups: int) -> None:
    """Near duplicates of other tenants' questions, on every store."""
    print("| store | lookups | hits | leaks |\n|---|---|---|---|")
    with Redis() as plain, Redis(search=True) as search, Postgres() as postgres, tempfile.TemporaryDirectory() as folder:
        stores = {
            "memory": ("memory://", {}),
            "disk": (f"disk:{folder}/cache", {}),
            "Redis, replica": (plain.url, {}),
            "Redis searches": (search.url, {"replica": False}),
            "PostgreSQL, replica": (postgres.url, {"schema": "follows"}),
            "pgvector searches": (postgres.url, {"schema": "searches", "replica": False}),
        }
        for name, (url, options) in stores.items():
            hits, own = tenants(open_store(url, **options), lookups)
            print(f"| {name} | {lookups} | {hits} | {own} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[5000, 50000])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tenants", type=int)
    given = parser.parse_args()
    if given.tenants:
        leaks(given.tenants)
    else:
        for number in given.entries:
            compare(number, given.rounds)
