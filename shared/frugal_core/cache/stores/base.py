"""What every store is: the place where entries live, and which several processes may share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from typing_extensions import Self

from frugal_core.cache.entry import Entry

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry whose question lies near another.

    Attributes:
        key: Of the entry.
        question: Its text.
        similarity: Cosine of the angle between the two questions' embeddings.
    """

    key: str
    question: str
    similarity: float


@dataclass(frozen=True)
class Changes:
    """What happened to a store's entries since somebody last looked, for an index that follows it.

    Attributes:
        cursor: Where to look from next time.
        keys: Of the entries that were stored or stored anew and have a vector; each once.
        partitions: Theirs.
        questions: Their texts.
        vectors: Their embeddings, as in `Entry.vector`.
        embedders: Fingerprints of what made them.
        removed: Keys of entries that are gone. None of them is among `keys`.
        whole: Whether `keys` are all that there is, so that what was known before is to be forgotten.
    """

    cursor: int
    keys: Sequence[str] = ()
    partitions: Sequence[str] = ()
    questions: Sequence[str] = ()
    vectors: Sequence[bytes] = ()
    embedders: Sequence[str] = ()
    removed: Sequence[str] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a store may hold.

    Attributes:
        max_entries: Most entries; `None` for no limit.
        max_bytes: Most bytes of entries, as `Entry.size` counts them; `None` for no limit.
        eviction: Who goes first when a limit is passed: `"lru"`, those not used for longest, or `"lfu"`, those used least.
    """

    max_entries: int | None = 100_000
    max_bytes: int | None = None
    eviction: str = "lru"


@dataclass(frozen=True, slots=True)
class Size:
    """What a store holds.

    Attributes:
        entries: Their number; expired ones that nobody has met yet may count.
        bytes: What they take, as `Entry.size` counts or as the server says.
        evicted: Entries that made room for others, as far as this process knows.
    """

    entries: int
    bytes: int
    evicted: int = 0


class Store(ABC):
    """Where entries live. Thread-safe; several may share one place.

    Everything here is synchronous: asynchronous callers take a `remote` store's calls to a thread. A store whose server cannot
    be reached raises `StoreError`, soon, and works again once the server does.

    Attributes:
        remote: Whether a call may wait for a network.
        searches: Whether `nearest` works, so that no index has to follow the store.
        limits: How much it may hold.
    """

    remote: bool = False
    searches: bool = False
    limits: Limits

    @abstractmethod
    def get(self, key: str) -> Entry | None:
        """The entry of a key, if it is there and has not expired. Counts as a use of it."""

    def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """As `get`, of several; a store on a network asks once for all."""
        return [self.get(key) for key in keys]

    @abstractmethod
    def put(self, entry: Entry) -> None:
        """Store an entry, in place of one with its key. What this makes room for is evicted. Done when it returns."""

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> int:
        """Remove entries; how many of them were there."""

    @abstractmethod
    def scan(self) -> Iterator[Entry]:
        """All live entries, in no particular order, with their vectors. Does not count as use."""

    def select(self, *, namespace: str | None = None, tag: str | None = None, document: str | None = None) -> Iterator[Entry]:
        """The live entries for which all that is given holds."""
        for entry in self.scan():
            if (
                (namespace is None or entry.namespace == namespace)
                and (tag is None or tag in entry.tags)
                and (document is None or document in entry.documents)
            ):
                yield entry

    def revise(self, key: str, vector: bytes, embedder: str) -> None:
        """Give an entry another vector, made by another embedder; nothing where it is gone."""
        entry = self.get(key)
        if entry is not None:
            self.put(replace(entry, vector=vector, embedder=embedder))

    @abstractmethod
    def changes(self, cursor: int) -> Changes:
        """What happened since `cursor`; from 0, everything. Cheap where nothing did: it is asked before every search."""

    @abstractmethod
    def size(self) -> Size:
        """How much it holds."""

    def nearest(self, partition: str, vector: Floats, embedder: str, count: int) -> list[Neighbour]:
        """The entries of a partition nearest to a vector, nearest first, among those of the same embedder.

        Only where `searches`. Args: `vector` has shape (numbers,), float32 of unit length.
        """
        raise NotImplementedError

    # What a decider learns is shared through logs: lines that are appended and never changed.

    @abstractmethod
    def append(self, log: str, lines: Sequence[str]) -> None:
        """Write lines at the end of a log, whose name is a word. The last 100,000 or more are kept."""

    @abstractmethod
    def read(self, log: str, cursor: int) -> tuple[list[str], int]:
        """Lines of a log since `cursor` (from 0: all that are kept), and the cursor to read on from."""

    # Only one asks when many want the same.

    @abstractmethod
    def acquire(self, key: str, ttl_s: float) -> bool:
        """Take a lock that others who share the store respect, for `ttl_s` seconds at most. False if somebody has it.

        A store that is this process's alone may always give it: threads and tasks are dealt with elsewhere.
        """

    @abstractmethod
    def release(self, key: str) -> None:
        """Give back a lock that this object took. One that has expired and is another's now stays."""

    @abstractmethod
    def clear(self) -> None:
        """Remove all entries and logs."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections. Idempotent; what is called afterwards raises `StoreError`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()


@dataclass
class Log:
    """A log in memory, which forgets its oldest lines."""

    first: int = 0
    lines: list[str] = field(default_factory=list)

    def append(self, lines: Sequence[str], keep: int) -> None:
        """Write lines at the end."""
        self.lines += lines
        if len(self.lines) > 2 * keep:
            self.first += len(self.lines) - keep
            del self.lines[:-keep]

    def read(self, cursor: int) -> tuple[list[str], int]:
        """Lines since `cursor`, and the next one."""
        return self.lines[max(0, cursor - self.first) :], self.first + len(self.lines)
