"""Entries on a Redis server."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

from frugal_core.cache.entry import Entry
from frugal_core.cache.stores.base import Changes, Limits, Neighbour, Size
from frugal_core.cache.stores.redis_scripts import RELEASE, scripts
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
from frugal_core.errors import ConfigurationError

if TYPE_CHECKING:
    from redis import Redis

    from frugal_core.learning.columns import Floats

T = TypeVar("T")


class RedisStore(ServerStore):
    """A store on a Redis server (5 or later, one node), which several processes and hosts may share.

    What changes entries is a script on the server, so it is done as a whole or not at all. Expired entries are removed by the
    server. Limits hold at every moment; uses are dated by the clocks of the processes.

    Vectors are searched by an index in each process that follows the server. With `replica=False` the server searches, where it
    has the search module (2.10 or later): exactly, and among the entries of the partition and the embedder alone, in time in
    proportion to their number. A graph index (HNSW) was measured and left out: it lost up to a sixth of the nearest neighbours,
    and was slower where it was set to lose none.

    Args:
        url: `redis://[[user]:password@]host[:port][/db]`, `rediss://…` or `unix://[[user]:password@]/path[?db=0]`. The options
            below may stand in its query.
        limits: How much it may hold.
        prefix: Word that all names on the server begin with: caches with different ones do not see each other.
        timeout_s: Seconds that the server has to answer, and to accept a connection.
        refresh_s: Seconds for which what others have stored may stay unseen by likeness.
        replica: Whether this process keeps an index of its own.

    Raises:
        ConfigurationError: The package is missing, or an option is out of range.
    """

    word = "prefix"

    def __init__(
        self,
        url: str,
        limits: Limits | None = None,
        *,
        prefix: str = "frugal",
        timeout_s: float = 1.0,
        refresh_s: float = 0.1,
        replica: bool = True,
    ) -> None:
        super().__init__(url, limits, space=prefix, timeout_s=timeout_s, refresh_s=refresh_s, replica=replica)
        self._client = self._open_client()
        self._meta = f"{self._space}:meta"
        self._scripts = {name: self._client.register_script(text) for name, text in scripts(KEPT_REMOVALS).items()}
        self._giving_back = self._client.register_script(RELEASE)
        self._can_search: bool | None = None
        self._indexed: set[int] = set()

    @property
    def searches(self) -> bool:  # type: ignore[override]
        """Whether the server searches: if it is wanted and the server can. It is asked once."""
        if self._replica:
            return False
        if self._can_search is None:
            self._can_search = self._do(self._ask_for_search)
        return self._can_search

    def ping(self) -> float:
        """Seconds that the server took for a sign of life."""
        began = time.perf_counter()
        self._do(self._client.ping)
        return time.perf_counter() - began

    # --- entries ---

    def get(self, key: str) -> Entry | None:
        """The entry, as the one used last."""
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """The entries, as the ones used last, in one round trip."""
        self.check_open()
        return self._do(lambda: self._fetched(keys, use=True)) if keys else []

    def put(self, entry: Entry) -> None:
        """Store an entry, and evict what it makes room for."""
        limits = self.limits
        field = f"v{len(entry.vector) // 2}" if entry.vector else ""
        ends = "" if entry.expires_s is None else str(max(0, round(entry.expires_s * 1000)))
        arguments = [
            encoded(entry.key),
            encoded(entry.to_json()),
            encoded(entry.embedder),
            encoded(entry.partition),
            _place(entry.partition, entry.embedder),
            encoded(entry.question),
            field,
            entry.vector,
            ends,
            self._score(),
            entry.size,
            "" if limits.max_entries is None else limits.max_entries,
            "" if limits.max_bytes is None else limits.max_bytes,
            *_groups(entry),
        ]
        self._evicted += self._run("put", *arguments)
        self._stale = True

    def delete(self, keys: Iterable[str]) -> int:
        """Remove entries."""
        self.check_open()
        count = 0
        for part in chunks([encoded(key) for key in keys]):
            count += self._run("delete", *part)
            self._stale = True
        return count

    def scan(self) -> Iterator[Entry]:
        """All live entries."""
        yield from self._each(self._asked("HKEYS", f"{self._space}:about"))

    def select(self, *, namespace: str | None = None, tag: str | None = None, document: str | None = None) -> Iterator[Entry]:
        """The live entries for which all that is given holds; the server knows which."""
        given = [("n", namespace), ("t", tag), ("d", document)]
        names = [f"{self._space}:g:{_group(kind, value)}" for kind, value in given if value is not None]
        if not names:
            yield from self.scan()
            return
        for entry in self._each(self._asked("SINTER", *names)):
            if (
                (namespace is None or entry.namespace == namespace)
                and (tag is None or tag in entry.tags)
                and (document is None or document in entry.documents)
            ):
                yield entry

    def revise(self, key: str, vector: bytes, embedder: str) -> None:
        """Give an entry another vector, if it is still there."""
        found = self._asked("HGET", f"{self._space}:e:".encode() + encoded(key), "p")
        if found is not None:
            place = _place(decoded(found), embedder)
            self._run("revise", encoded(key), encoded(embedder), place, f"v{len(vector) // 2}", vector)
            self._stale = True

    def size(self) -> Size:
        """How much it holds."""
        entries, taken = self._run("size")
        return Size(entries, taken, self._evicted)

    def clear(self) -> None:
        """Remove all entries and logs, in parts; what is stored meanwhile may go too."""
        while self._run("clear"):
            continue
        self._stale = True

    def close(self) -> None:
        """Let go of the connections."""
        if not self._closed:
            super().close()
            self._client.close()

    # --- searching ---

    def nearest(self, partition: str, vector: Floats, embedder: str, count: int) -> list[Neighbour]:
        """The nearest entries of a partition; the server searches among its entries of this embedder alone."""
        numbers, blob = len(vector), vector.astype("<f2").tobytes()
        query = f"(@t:{{{_place(partition, embedder)}}})=>[KNN {count} @v{numbers} $v AS far]"
        name = self._index_name(numbers)
        asked = ("FT.SEARCH", name, query, "PARAMS", 2, "v", blob, "SORTBY", "far", "LIMIT", 0, count)
        found = self._do(lambda: self._searched(numbers, (*asked, "RETURN", 2, "q", "far", "DIALECT", 2)))
        return [neighbour for name, fields in _pairs(found[1:]) if (neighbour := self._neighbour(name, fields)) is not None]

    def _searched(self, numbers: int, command: tuple[Any, ...]) -> Any:
        from redis.exceptions import ResponseError

        if numbers in self._indexed:
            try:
                return self._command(*command)
            except ResponseError as error:  # a server that was emptied has no index any more
                if "index" not in str(error).lower():
                    raise
        self._make_index(numbers)
        self._indexed.add(numbers)
        return self._command(*command)

    def _make_index(self, numbers: int) -> None:
        from redis.exceptions import ResponseError

        about = ("TYPE", "FLOAT16", "DIM", numbers, "DISTANCE_METRIC", "IP")
        schema = ("t", "TAG", "CASESENSITIVE", f"v{numbers}", "VECTOR", "FLAT", len(about), *about)
        name, prefix = self._index_name(numbers), f"{self._space}:e:"
        try:
            self._command("FT.CREATE", name, "ON", "HASH", "PREFIX", 1, prefix, "SCHEMA", *schema)
        except ResponseError as error:
            if "already exists" not in str(error).lower():
                raise
        until = time.monotonic() + self._timeout_s
        while dict(_pairs(self._command("FT.INFO", name))).get(b"indexing") not in (0, b"0") and time.monotonic() < until:
            time.sleep(0.005)  # entries that are there already are taken up meanwhile; what is missing is a miss

    def _index_name(self, numbers: int) -> str:
        return f"{self._space}:index:{numbers}"

    def _neighbour(self, name: bytes, fields: list[bytes] | None) -> Neighbour | None:
        known = dict(_pairs(fields or []))
        if b"q" not in known or b"far" not in known:  # it expired just now
            return None
        key = decoded(name[len(self._space) + 3 :])
        return Neighbour(key, decoded(known[b"q"]), max(-1.0, min(1.0, 1.0 - float(known[b"far"]))))

    def _ask_for_search(self) -> bool:
        from redis.exceptions import ResponseError

        try:
            self._command("FT._LIST")
        except ResponseError as error:
            if "unknown command" not in str(error).lower():
                raise
            return False
        return True

    # --- the change feed ---

    def _pull(self, cursor: int) -> Changes:
        seq, whole, live, gone = self._run("poll", cursor)
        rows: list[tuple[str, list[bytes]]] = []
        removed = {decoded(key) for key in gone}
        for part in chunks(live):
            for key, row in zip(part, self._run("rows", *part), strict=True):
                if row:
                    rows.append((decoded(key), row))
                else:  # removed since, which the next pull tells again
                    removed.add(decoded(key))
        partitions, questions, embedders = ([decoded(row[place]) for _, row in rows] for place in range(3))
        keys = [key for key, _ in rows]
        vectors = [row[3] for _, row in rows]
        left = [] if whole else sorted(removed)
        return Changes(int(seq), keys, partitions, questions, vectors, embedders, left, bool(whole))

    # --- logs and locks ---

    def append(self, log: str, lines: Sequence[str]) -> None:
        """Write lines at the end of a log."""
        self.check_open()
        for part in chunks([encoded(line) for line in lines]):
            self._run("append", log, KEPT_LINES, *part)

    def read(self, log: str, cursor: int) -> tuple[list[str], int]:
        """Lines of a log since `cursor`."""
        lines: list[str] = []
        more = 1
        while more:
            last, part, more = self._run("read", log, cursor, 10 * CHUNK)
            cursor = int(last)
            lines += map(decoded, part)
        return lines, cursor

    def acquire(self, key: str, ttl_s: float) -> bool:
        """Take a lock that all who share the server respect."""
        token = secrets.token_hex(8)
        taken = self._do(lambda: self._client.set(self._lock_name(key), token, nx=True, px=max(1, round(ttl_s * 1000))))
        if taken:
            self._tokens[key] = token
        return bool(taken)

    def release(self, key: str) -> None:
        """Give back a lock, if it is still this object's."""
        token = self._tokens.pop(key, None)
        if token is not None:
            self._do(lambda: self._giving_back(keys=[self._lock_name(key)], args=[token]))

    def _lock_name(self, key: str) -> bytes:
        return f"{self._space}:lock:".encode() + encoded(key)

    # --- the connection ---

    def _open_client(self) -> Redis:
        try:
            from redis import Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise ConfigurationError(
                'A cache on Redis needs the package redis: pip install "langchain-frugal[redis]".'
            ) from error
        seconds = self._timeout_s
        try:
            return Redis.from_url(
                self._url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0), protocol=2
            )
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{self._shown!r} is no URL of a Redis server: {error}") from error

    def _do(self, call: Callable[[], T]) -> T:
        return guarded(self, self._breaker, call, _away)

    def _run(self, script: str, *arguments: Any) -> Any:
        return self._do(lambda: self._scripts[script](keys=[self._meta], args=arguments))

    def _command(self, *words: Any) -> Any:
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    def _asked(self, *words: Any) -> Any:
        return self._do(lambda: self._command(*words))

    def _each(self, keys: Iterable[bytes]) -> Iterator[Entry]:
        for part in chunks([decoded(key) for key in keys], CHUNK // 4):
            for entry in self._do(lambda part=part: self._fetched(part, use=False)):  # type: ignore[misc]
                if entry is not None:
                    yield entry

    def _fetched(self, keys: Sequence[str], *, use: bool) -> list[Entry | None]:
        pipeline = self._client.pipeline(transaction=False)
        names = [encoded(key) for key in keys]
        for name in names:
            pipeline.hgetall(f"{self._space}:e:".encode() + name)
        if use and self.limits.eviction == "lru":
            pipeline.zadd(f"{self._space}:use", dict.fromkeys(names, time.time()), xx=True)
        elif use:
            for name in names:
                pipeline.zadd(f"{self._space}:use", {name: 1}, xx=True, incr=True)
        return [_entry(fields) for fields in pipeline.execute()[: len(names)]]

    def _score(self) -> str:
        """Where a new entry stands among those that may be evicted; among those used equally often, by its age."""
        now = time.time()
        return f"{now:.6f}" if self.limits.eviction == "lru" else f"{1 + now / 1e10:.16g}"


def _entry(fields: dict[bytes, bytes]) -> Entry | None:
    if b"j" not in fields:
        return None
    entry = Entry.from_json(fields[b"j"], fields.get(fields.get(b"d", b""), b""))
    embedder = decoded(fields.get(b"e", b""))
    if embedder != entry.embedder:
        entry = replace(entry, embedder=embedder)
    return entry if entry.alive() else None


def _place(partition: str, embedder: str) -> str:
    """Digest of all that must agree in a search: letters and digits, whatever the two contain."""
    parts = encoded(partition), encoded(embedder)
    return blake2b(len(parts[0]).to_bytes(4, "big") + b"".join(parts), digest_size=16).hexdigest()


def _group(kind: str, value: str) -> str:
    return blake2b(encoded(kind + value), digest_size=16).hexdigest()


def _groups(entry: Entry) -> list[str]:
    """Digests of what an entry can be selected by."""
    kinds = [("n", (entry.namespace,)), ("t", entry.tags), ("d", entry.documents)]
    return sorted({_group(kind, value) for kind, values in kinds for value in values})


def _pairs(items: list[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _away(error: Exception) -> bool | None:
    """Whether the server is away; whether it refuses this call alone; or what is no matter of the server's."""
    from redis.exceptions import ConnectionError as Unreachable
    from redis.exceptions import RedisError
    from redis.exceptions import TimeoutError as Late

    if isinstance(error, (Unreachable, Late, OSError)):
        return True
    return False if isinstance(error, RedisError) else None
