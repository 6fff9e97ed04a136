"""Entries on a PostgreSQL server."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores.base import Changes, Limits, Neighbour, Size
from frugal_core.cache.stores.postgres_schema import VERSION, written
from frugal_core.cache.stores.server import (
    CHUNK,
    KEPT_LINES,
    KEPT_REMOVALS,
    ServerStore,
    chunks,
    decoded,
    encoded,
    guarded,
)
from frugal_core.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from frugal_core.cache.stores.postgres_connections import Connection, Connections
    from frugal_core.learning.columns import Floats

T = TypeVar("T")

HELD_USES = 1000
"""Most keys whose use is kept back."""

HELD_S = 5.0
"""Most seconds for which uses are kept back while the store is used."""

SET_UP_S = 10.0
"""Seconds that making the tables may take."""


class PostgresStore(ServerStore):
    """A store in a schema of a PostgreSQL database (13 or later), which several processes and hosts may share.

    Schema, tables and functions are made when they are missing, so the user may create schemas, or an administrator lets the
    store make them once. Limits on entries and bytes hold at every moment. Uses are kept back and written with the next entry,
    or after 5 seconds, so that reading writes nothing: who goes first is exact within a process, and about right among several.

    Vectors are searched by an index in each process that follows the server, and the server needs no extension. With
    `replica=False` the server searches by pgvector: exactly, and in the entries of the partition and the embedder alone. That
    takes time in proportion to their number, but a graph index, which would not, looks for neighbours first and for their
    partition afterwards, and so misses those of small partitions.

    Args:
        url: `postgresql://[user[:password]@][host][:port][/database]`, with the options of PostgreSQL's own client and those
            below in its query.
        limits: How much it may hold.
        schema: Name of the schema: caches with different ones do not see each other.
        timeout_s: Seconds that a statement may take.
        refresh_s: Seconds for which what others have stored may stay unseen by likeness.
        replica: Whether this process keeps an index of its own.

    Raises:
        ConfigurationError: The package is missing, or an option is out of range.
    """

    word = "schema"

    def __init__(
        self,
        url: str,
        limits: Limits | None = None,
        *,
        schema: str = "frugal",
        timeout_s: float = 1.0,
        refresh_s: float = 0.1,
        replica: bool = True,
    ) -> None:
        super().__init__(url, limits, space=schema, timeout_s=timeout_s, refresh_s=refresh_s, replica=replica)
        self.searches = not self._replica
        self._sql = written(self._space, KEPT_REMOVALS)
        self._lock = Lock()
        self._making = Lock()
        self._uses: dict[bytes, tuple[float, int]] = {}  # time of the last use, and number of uses
        self._written_s = time.monotonic()
        self._made = False
        self._has_vectors = False
        self._connections = self._open_connections()

    def ping(self) -> float:
        """Seconds that the server took for a sign of life."""
        began = time.perf_counter()
        self._do(lambda connection: connection.execute("SELECT 1"))
        return time.perf_counter() - began

    # --- entries ---

    def get(self, key: str) -> Entry | None:
        """The entry, as the one used last."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """The entries, as the ones used last, in one round trip."""
        self.check_open()
        if not keys:
            return []
        found = self._fetched(keys)
        self._use(encoded(key) for key in found)
        return [found.get(key) for key in keys]

    def put(self, entry: Entry) -> None:
        """Store an entry, and evict what it makes room for."""
        limits, uses = self.limits, self._held_uses()
        key = encoded(entry.key)
        values = [
            key,
            encoded(entry.partition),
            encoded(entry.embedder),
            encoded(entry.question),
            entry.vector or None,
            encoded(entry.to_json()),
            _groups(entry),
            entry.size,
            entry.expires_s,
            time.time(),
            limits.max_entries,
            limits.max_bytes,
            limits.eviction == "lfu",
            *uses,
        ]

        def store(connection: Connection) -> int:
            if self._has_vectors and entry.vector:
                return self._number(connection, "put_searched", [*values, _Vector(entry.vector)])
            return self._number(connection, "put", values)

        self._evicted += self._do(store)
        self._stale = True

    def delete(self, keys: Iterable[str]) -> int:
        """Remove entries."""
        self.check_open()
        count = 0
        for part in chunks([encoded(key) for key in keys]):
            count += self._do(lambda connection, part=part: self._number(connection, "delete", [list(part)]))  # type: ignore[misc]
            self._stale = True
        return count

    def scan(self) -> Iterator[Entry]:
        """All live entries."""
        yield from self.select()

    def select(self, *, namespace: str | None = None, tag: str | None = None, document: str | None = None) -> Iterator[Entry]:
        """The live entries for which all that is given holds; the server knows which."""
        given = [("n", namespace), ("t", tag), ("d", document)]
        groups = [_group(kind, value) for kind, value in given if value is not None]
        keys = [decoded(key) for (key,) in self._rows("keys", [groups])]
        for part in chunks(keys, CHUNK // 4):
            yield from self._fetched(part).values()

    def revise(self, key: str, vector: bytes, embedder: str) -> None:
        """Give an entry another vector, if it is still there."""
        name = encoded(key)

        def change(connection: Connection) -> None:
            if self._has_vectors:
                connection.execute(self._sql["revise_searched"], [name, vector, encoded(embedder), _Vector(vector)])
            else:
                connection.execute(self._sql["revise"], [name, vector, encoded(embedder)])

        self._do(change)
        self._stale = True

    def size(self) -> Size:
        """How much it holds."""
        entries, taken = self._rows("size")[0]
        return Size(entries, taken, self._evicted)

    def clear(self) -> None:
        """Remove all entries and logs, in parts; what is stored meanwhile may go too."""
        while self._rows("clear")[0][0]:
            continue
        self._stale = True

    def close(self) -> None:
        """Let go of the connections."""
        if not self._closed:
            super().close()
            self._connections.close()

    # --- searching ---

    def nearest(self, partition: str, vector: Floats, embedder: str, count: int) -> list[Neighbour]:
        """The nearest entries of a partition; the server compares all of them that are of this embedder."""
        asked = [_Vector(vector.astype("<f2").tobytes()), encoded(partition), encoded(embedder), count]
        found = self._rows("nearest", asked)
        return [Neighbour(decoded(key), decoded(question), max(-1.0, min(1.0, -far))) for key, question, far in found]

    # --- the change feed ---

    def _pull(self, cursor: int) -> Changes:
        ((seq, floor),) = self._rows("poll")
        if cursor == seq:
            return Changes(cursor)
        whole = cursor < floor or cursor > seq
        since = 0 if whole else cursor
        removed = set() if whole else {key for (key,) in self._rows("gone", [since])}
        rows: dict[bytes, tuple[Any, ...]] = {}
        while True:
            part = self._rows("live", [since, CHUNK])
            rows.update((row[1], row) for row in part)
            if len(part) < CHUNK:
                break
            since = part[-1][0]
        keys, partitions, questions, embedders = ([decoded(row[place]) for row in rows.values()] for place in (1, 2, 3, 5))
        gone = sorted(decoded(key) for key in removed - rows.keys())
        return Changes(seq, keys, partitions, questions, [row[4] for row in rows.values()], embedders, gone, whole)

    # --- logs and locks ---

    def append(self, log: str, lines: Sequence[str]) -> None:
        """Write lines at the end of a log."""
        self.check_open()
        for part in chunks([encoded(line) for line in lines]):
            self._rows("append", [log, list(part), KEPT_LINES])

    def read(self, log: str, cursor: int) -> tuple[list[str], int]:
        """Lines of a log since `cursor`."""
        lines: list[str] = []
        last = self._rows("last", [log])
        if not last or cursor > last[0][0]:
            cursor = 0
        while part := self._rows("read", [log, cursor, 10 * CHUNK]):
            lines += [decoded(line) for _, line in part]
            cursor = part[-1][0]
            if len(part) < 10 * CHUNK:
                break
        return lines, cursor

    def acquire(self, key: str, ttl_s: float) -> bool:
        """Take a lock that all who share the database respect."""
        token = secrets.token_hex(8)
        taken = bool(self._rows("acquire", [encoded(key), token, float(ttl_s)]))
        if taken:
            self._tokens[key] = token
        return taken

    def release(self, key: str) -> None:
        """Give back a lock, if it is still this object's."""
        token = self._tokens.pop(key, None)
        if token is not None:
            self._do(lambda connection: connection.execute(self._sql["release"], [encoded(key), token]))

    # --- uses ---

    def _use(self, keys: Iterable[bytes]) -> None:
        now = time.time()
        with self._lock:
            for key in keys:
                self._uses[key] = (now, self._uses.get(key, (now, 0))[1] + 1)
            due = len(self._uses) >= HELD_USES or time.monotonic() - self._written_s >= HELD_S
        if due:
            uses = self._held_uses()
            if uses[0]:
                self._rows("touch", uses)

    def _held_uses(self) -> list[list[Any]]:
        """Keys, times and numbers of the uses that were kept back, which are forgotten here."""
        with self._lock:
            uses, self._uses, self._written_s = self._uses, {}, time.monotonic()
        return [list(uses), [used for used, _ in uses.values()], [number for _, number in uses.values()]]

    # --- the connection ---

    def _open_connections(self) -> Connections:
        try:
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict
        except ImportError as error:
            raise ConfigurationError(
                'A cache on PostgreSQL needs the package psycopg: pip install "langchain-frugal[postgres]".'
            ) from error
        from frugal_core.cache.stores.postgres_connections import Connections

        try:
            conninfo_to_dict(self._url)
        except ProgrammingError as error:
            raise ConfigurationError(f"{self._shown!r} is no URL of a PostgreSQL database: {error}") from error
        return Connections(self._url, self._timeout_s, self._prepare)

    def _do(self, call: Callable[[Connection], T]) -> T:
        def attempt() -> T:
            from psycopg import errors

            missing = (errors.UndefinedTable, errors.UndefinedFunction, errors.InvalidSchemaName)
            try:
                with self._connections.one() as connection:
                    return call(connection)
            except missing:  # somebody removed them, or this is another database than it was
                self._made = False
                with self._connections.one() as connection:
                    self._prepare(connection)
                    return call(connection)

        return guarded(self, self._breaker, attempt, _away)

    def _rows(self, name: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._do(lambda connection: connection.execute(self._sql[name], values).fetchall())

    def _number(self, connection: Connection, name: str, values: Sequence[Any] = ()) -> int:
        row = connection.execute(self._sql[name], values).fetchone()
        assert row is not None
        return int(row[0])

    def _fetched(self, keys: Sequence[str]) -> dict[str, Entry]:
        names = [encoded(key) for key in keys]
        rows = self._rows("get", names) if len(names) == 1 else self._rows("get_many", [names])
        found = {decoded(key): _entry(body, vector, embedder) for key, body, vector, embedder in rows}
        return {key: entry for key, entry in found.items() if entry.alive()}

    def _prepare(self, connection: Connection) -> None:
        """Fit a connection out, and make what the schema lacks; at most once in a while."""
        connection.adapters.register_dumper(_Vector, _vector_dumper())
        if not self._made:
            self._set_up(connection)

    def _set_up(self, connection: Connection) -> None:
        with self._making:
            if self._made:
                return
            if self._version(connection) < VERSION:
                self._make(connection, "tables", lambda: self._version(connection) == VERSION)
            self._has_vectors = self._knows_vectors(connection)
            if self.searches:
                if not self._has_vectors:
                    self._make(connection, "vectors", lambda: self._knows_vectors(connection))
                    self._has_vectors = True
                self._fill_in(connection)
            self._made = True

    def _version(self, connection: Connection) -> int:
        """Of the schema; 0 where there is none.

        Raises:
            StoreError: A later release made it.
        """
        if not self._number(connection, "is_made"):
            return 0
        version = self._number(connection, "version")
        if version > VERSION:
            raise StoreError(
                f"The schema {self._space!r} was made by a later release ({version} > {VERSION}): update this one, or use "
                "another schema."
            )
        return version

    def _knows_vectors(self, connection: Connection) -> bool:
        return self._number(connection, "has_vectors") > 0

    def _make(self, connection: Connection, what: str, made: Callable[[], bool]) -> None:
        """Make what the schema lacks, unless another process was faster. It may take longer than other statements."""
        usual, connection.timeout_s = connection.timeout_s, SET_UP_S
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(round(1000 * SET_UP_S))])
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(b"frugal", "big")])
                if not made():
                    connection.execute(self._sql[what])
        finally:
            connection.timeout_s = usual

    def _fill_in(self, connection: Connection) -> None:
        """Have the server search what was stored while nobody wanted it to."""
        while rows := connection.execute(self._sql["vectorless"]).fetchall():
            with connection.cursor() as cursor:
                cursor.executemany(self._sql["put_vector"], [(key, _Vector(vector)) for key, vector in rows])


class _Vector:
    """A vector on its way to the server, as entries hold it."""

    def __init__(self, half: bytes) -> None:
        self.half = half


def _vector_dumper() -> Any:
    import numpy as np
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class VectorDumper(Dumper):
        """Writes vectors as pgvector reads them: two bytes of length, two of nothing, and big-endian float32."""

        format = Format.BINARY

        def dump(self, obj: _Vector) -> bytes:
            numbers = np.frombuffer(obj.half, dtype="<f2")
            return len(numbers).to_bytes(2, "big") + b"\0\0" + numbers.astype(">f4").tobytes()

    return VectorDumper


def _entry(body: bytes, vector: bytes | None, embedder: bytes) -> Entry:
    entry, name = Entry.from_json(body, vector or b""), decoded(embedder)
    return entry if name == entry.embedder else replace(entry, embedder=name)


def _group(kind: str, value: str) -> bytes:
    return blake2b(encoded(kind + value), digest_size=16).digest()


def _groups(entry: Entry) -> list[bytes]:
    """Digests of what an entry can be selected by."""
    kinds = [("n", (entry.namespace,)), ("t", entry.tags), ("d", entry.documents)]
    return sorted({_group(kind, value) for kind, values in kinds for value in values})


def _away(error: Exception) -> bool | None:
    """Whether the server is away; whether it refuses this call alone; or what is no matter of the server's."""
    import psycopg

    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        alone = (psycopg.errors.QueryCanceled, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable)
        return not isinstance(error, alone)
    return False if isinstance(error, psycopg.Error) else None
