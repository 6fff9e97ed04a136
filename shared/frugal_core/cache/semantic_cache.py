"""The cache: exact first, then by likeness inside one partition, and only what guards and decider allow."""

from __future__ import annotations

import atexit
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeAlias

from typing_extensions import Self

from frugal_core.arguments import refuse_unknown
from frugal_core.background import Background
from frugal_core.cache.comparisons import Comparisons
from frugal_core.cache.deciders.base import Candidate, Decider, Verdict
from frugal_core.cache.deciders.fixed import as_decider
from frugal_core.cache.driving import Await, Check, Embed, Pause, Reach, Steps, Work, arun, run
from frugal_core.cache.embedders.base import Embedder, as_embedder
from frugal_core.cache.entry import Entry
from frugal_core.cache.flights import Flights
from frugal_core.cache.guards import STANDARD
from frugal_core.cache.guards.base import GuardFunction, check_guards, guard_name
from frugal_core.cache.lookup import Answered, Hit, Lookup
from frugal_core.cache.options import CacheOptions, check_seconds, current_options
from frugal_core.cache.question import Question
from frugal_core.cache.removals import Removals
from frugal_core.cache.replica import Replica
from frugal_core.cache.retrieval import Validator
from frugal_core.cache.stats import CacheStats, Counts
from frugal_core.cache.stores.base import Neighbour, Store
from frugal_core.cache.stores.opening import open_store
from frugal_core.errors import ConfigurationError, FrugalWarning, StoreError

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

Keep: TypeAlias = Callable[[Answered], bool]
"""Whether an answer is kept; it sees the objection against it, if there is one."""

NEIGHBOURS = 8
"""Nearest entries that are looked at: the first that no guard objects to is the candidate."""

_OWN = ("store", "embed", "decider", "guards", "namespace", "ttl_s", "max_turns", "single_flight", "wait_s", "keep")
_POLL_S = 0.05
_CLOSING_S = 10.0


class SemanticCache:
    """Answers that were given before, for questions that are the same, or mean the same.

    A question is looked up by its exact key first, then by likeness among the entries of its partition, where everything but
    its text agrees. What lies near must pass all guards, and then the decider says whether it may answer. A store or embedder
    that fails means a miss, and a note in the decision.

    Thread-safe, and made for several event loops; share one between all models, chains and tenants of a program.

    Args:
        store: A URL (see `open_store`), or a store.
        embed: What turns texts into vectors, see `as_embedder`; `"auto"` for the default, all-MiniLM-L6-v2, where it is
            installed; `None` for exact matches only.
        decider: A threshold on the similarity, or a decider. Default: `Verified(max_error=0.01)`.
        guards: What must agree besides; default: all of `frugal_core.cache.guards.STANDARD`.
        namespace: Whose entries these are, such as a tenant's id, or a function that says so at each call.
        ttl_s: Seconds until an answer expires; `None` for never.
        max_turns: Most user turns of a conversation in which a near neighbour may answer; longer ones are matched exactly.
        single_flight: Whether equal questions that come while the first is being answered wait for its answer.
        wait_s: Seconds they wait at most.
        keep: A function that says whether an answer is kept, `(answered) -> bool`. Default: if there is no objection against
            it, see `objection_to`.
        limits: `max_entries`, `max_bytes` and `eviction` of a store given by its URL.

    A function as `namespace` that raises does so to the caller: an error is better than another tenant's answer.

    Raises:
        ConfigurationError: An argument is out of range or unknown.
        StoreError: The store cannot be opened.
    """

    def __init__(
        self,
        store: str | Store = "memory://",
        *,
        embed: Any = "auto",
        decider: Decider | float | None = None,
        guards: Iterable[GuardFunction] | None = None,
        namespace: str | Callable[[], str] = "",
        ttl_s: float | None = None,
        max_turns: int = 1,
        single_flight: bool = True,
        wait_s: float = 60.0,
        keep: Keep | None = None,
        **limits: Any,
    ) -> None:
        if type(max_turns) is not int or max_turns < 0:
            raise ConfigurationError(f"max_turns={max_turns!r} must be a whole number, 0 or more.")
        if ttl_s is not None:
            check_seconds("ttl_s", ttl_s)
        check_seconds("wait_s", wait_s)
        if not isinstance(namespace, str) and not callable(namespace):
            raise ConfigurationError(f"namespace={namespace!r} must be a text, or a function that gives one.")
        if keep is not None and not callable(keep):
            raise ConfigurationError(f"keep={keep!r} must be a function (answered) -> bool.")
        self._guards = check_guards(STANDARD if guards is None else guards)
        self._given = embed
        self._embedder: Embedder | None = None
        self._opened = False
        self._prepared = False
        if embed is None or isinstance(embed, str):
            if embed not in (None, "auto"):
                raise ConfigurationError(f'embed={embed!r} must be "auto", None, or what turns texts into vectors.')
        else:
            self._embedder, self._opened = as_embedder(embed), True
        decider = as_decider(decider)
        self.store = _opened_store(store, limits)
        self.decider = decider.bind(self.store, lambda: self.embedder)
        self.max_turns = max_turns
        self.single_flight = bool(single_flight)
        self._namespace = namespace
        self._ttl_s = ttl_s
        self._wait_s = float(wait_s)
        self._keep: Keep = keep or _unobjectionable
        self._flights = Flights()
        self._counts = Counts()
        self._removals = Removals()
        self._comparisons = Comparisons(self.decider, lambda error: self._failed((), error))
        self._releases = Background(1, "frugal-cache-release")
        self._lock = RLock()
        self._replica: Replica | None = None
        self._warned: set[str] = set()
        self._closed = False
        atexit.register(_drain, weakref.ref(self))

    def __repr__(self) -> str:
        return f"SemanticCache({self.store!r}, decider={self.decider!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a store is not copied with the model that uses it

    def __getstate__(self) -> Any:
        """Not done: it holds threads, locks and connections.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError("A SemanticCache cannot be pickled. Give its store's URL, cache='disk:…', which can.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self.close()

    # --- looking up ---

    def namespace(self, options: CacheOptions) -> str:
        """Whose entries a call may use."""
        if options.namespace is not None:
            return options.namespace
        return self._namespace if isinstance(self._namespace, str) else self._namespace()

    def lookup(
        self,
        question: Question,
        options: CacheOptions | None = None,
        *,
        valid: Validator | None = None,
        wait: bool = True,
    ) -> Lookup:
        """Look one question up. If somebody is answering it just now, wait for that.

        Args:
            question: The question.
            options: How; default: those of the `cache_options` blocks around the caller.
            valid: Who says whether what is about to answer still holds; what does not is removed.
            wait: Whether to wait, and to be waited for. For callers who may never settle nor abandon what they looked up.
        """
        options = options or current_options()
        at_once = None if valid else self._at_once(question, options)
        return at_once or run(self._looking([question], [options], follow=False, valid=valid, wait=wait))[0]

    async def alookup(
        self,
        question: Question,
        options: CacheOptions | None = None,
        *,
        valid: Validator | None = None,
        wait: bool = True,
    ) -> Lookup:
        """As `lookup`, awaited."""
        options = options or current_options()
        at_once = None if valid else self._at_once(question, options)
        if at_once is not None:
            return at_once
        looking = self._looking([question], [options], follow=False, valid=valid, wait=wait)
        return (await arun(looking, remote=self.store.remote))[0]

    def lookup_many(
        self,
        questions: Sequence[Question],
        options: Sequence[CacheOptions],
        *,
        follow: bool = False,
        valid: Validator | None = None,
    ) -> list[Lookup]:
        """Look many questions up at once, and embed them in one call.

        Args:
            questions: The questions.
            options: For each.
            follow: Wait for those who are answering the same. Without, such a lookup is `pending`: nobody waits who is waited
                for himself.
            valid: As in `lookup`.
        """
        return run(self._looking(questions, options, follow=follow, many=True, valid=valid))

    async def alookup_many(
        self,
        questions: Sequence[Question],
        options: Sequence[CacheOptions],
        *,
        follow: bool = False,
        valid: Validator | None = None,
    ) -> list[Lookup]:
        """As `lookup_many`, awaited."""
        looking = self._looking(questions, options, follow=follow, many=True, valid=valid)
        return await arun(looking, remote=self.store.remote)

    def _at_once(self, question: Question, options: CacheOptions) -> Lookup | None:
        """The exact hit in a store that never waits for a network: what is asked most often, answered without ceremony."""
        if self.store.remote or options.no_cache or options.refresh:
            return None
        try:
            entry = self.store.get(question.key)
        except Exception:  # said when it is looked up in earnest
            return None
        if entry is None:
            return None
        self._counts.hit("exact", entry.baseline_cost_usd)
        return Lookup(self, question, options, _hit(entry, "exact", 1.0))

    def _looking(
        self,
        questions: Sequence[Question],
        options: Sequence[CacheOptions],
        *,
        follow: bool,
        many: bool = False,
        valid: Validator | None = None,
        wait: bool = True,
    ) -> Steps[list[Lookup]]:
        since = self._removals.now
        lookups = [
            Lookup(self, question, own, valid=valid, since=since) for question, own in zip(questions, options, strict=True)
        ]
        used = [lookup for lookup in lookups if not lookup.options.no_cache]
        try:
            asked = [lookup for lookup in used if not lookup.options.refresh]
            yield from self._exactly(asked)
            if many and not follow and self.single_flight:
                self._put_off([lookup for lookup in asked if lookup.hit is None])
            open_ = [lookup for lookup in asked if lookup.hit is None and not lookup.pending]
            yield from self._nearly([lookup for lookup in open_ if lookup.question.semantic])
            if self.single_flight and wait:
                for lookup in open_:
                    if lookup.hit is None:
                        yield from self._together(lookup, follow=follow, many=many)
        except BaseException:
            for lookup in lookups:
                self.abandon(lookup)
            raise
        for lookup in used:
            if lookup.hit is not None:
                self._learn(lookup, lookup.hit.entry.answer)
                self._counts.hit(lookup.hit.kind, lookup.hit.entry.baseline_cost_usd)
            elif not lookup.pending:
                self._counts.add("lookups")
        return lookups

    def _put_off(self, lookups: Sequence[Lookup]) -> None:
        """Leave pending what is being answered already, or asked twice here."""
        seen: set[str] = set()
        for lookup in lookups:
            key = lookup.question.key
            lookup.pending = key in seen or self._flights.join(key, lead=False) is not None
            seen.add(key)

    def _exactly(self, lookups: Sequence[Lookup]) -> Steps[None]:
        if not lookups:
            return
        keys = [lookup.question.key for lookup in lookups]
        try:
            entries = yield Reach(lambda: self.store.get_many(keys))
        except Exception as error:
            self._failed(lookups, error)
            return
        for lookup, entry in zip(lookups, entries, strict=True):
            if entry is not None and (yield from self._holds(lookup, entry)):
                lookup.hit = _hit(entry, "exact", 1.0)

    def _holds(self, lookup: Lookup, entry: Entry) -> Steps[bool]:
        """Whether an entry that is about to answer still may; if not, it goes."""
        if lookup.valid is None:
            return True
        try:
            if (yield Check(lookup.valid, entry)):
                return True
            yield Reach(lambda: self.store.delete([entry.key]))
        except Exception as error:
            self._failed([lookup], error)
            return False
        if self._replica is not None:
            self._replica.forget([entry.key])
        self._counts.add("stale")
        lookup.notes.append(f"stale: what the answer to {entry.question[:80]!r} rests on has changed; it was removed")
        return False

    def _nearly(self, lookups: Sequence[Lookup]) -> Steps[None]:
        if not lookups:
            return
        try:
            if not self._prepared:
                yield Work(self._prepare)
            embedder = self._embedder
            if embedder is None:
                return
            vectors = yield Embed(embedder, [lookup.question.text for lookup in lookups])
            for lookup, vector in zip(lookups, vectors, strict=True):
                lookup.vector = vector
            found: list[list[Neighbour]] = yield Reach(lambda: [self._neighbours(lookup, embedder) for lookup in lookups])
            candidates = [self._candidates(lookup, near) for lookup, near in zip(lookups, found, strict=True)]
            nearest = [own[0] for own in candidates if own]
            if nearest and type(self.decider).prefetch is not Decider.prefetch:
                yield Work(lambda: self.decider.prefetch(nearest))
            for lookup, own in zip(lookups, candidates, strict=True):
                yield from self._decide(lookup, own)
        except Exception as error:
            self._failed([lookup for lookup in lookups if lookup.hit is None], error)

    def _neighbours(self, lookup: Lookup, embedder: Embedder) -> list[Neighbour]:
        question, vector = lookup.question, lookup.vector
        assert vector is not None
        least = self.decider.least
        if self.store.searches:
            found = self.store.nearest(question.partition, vector, embedder.fingerprint, NEIGHBOURS)
            return [neighbour for neighbour in found if neighbour.similarity >= least]
        with self._lock:
            if self._replica is None:
                self._replica = Replica(self.store, embedder.fingerprint)
            replica = self._replica
        near = replica.search(question.partition, vector, NEIGHBOURS, least)
        if replica.foreign:
            self._embed_anew(replica, embedder)
        return near

    def _candidates(self, lookup: Lookup, neighbours: Sequence[Neighbour]) -> list[Candidate]:
        """Those that no guard objects to, nearest first."""
        asked, allowed = lookup.question.text, []
        for neighbour in neighbours:
            veto = self._veto(asked, neighbour.question)
            if veto is None:
                allowed.append(neighbour)
            else:
                lookup.notes.append(f"{veto} ({neighbour.question[:80]!r}, similarity {neighbour.similarity:.3f})")
        partition, key = lookup.question.partition, lookup.question.key
        return [
            Candidate(asked, neighbour, tuple(allowed[place + 1 :]), partition, key) for place, neighbour in enumerate(allowed)
        ]

    def _veto(self, asked: str, cached: str) -> str | None:
        for guard in self._guards:
            reason = guard(asked, cached)
            if reason is not None:
                self._counts.veto(guard_name(guard))
                return f"{guard_name(guard)}: {reason}"
        return None

    def _decide(self, lookup: Lookup, candidates: Sequence[Candidate]) -> Steps[None]:
        """Ask the decider about the nearest candidate whose entry is there and still holds, and about no other."""
        for candidate in candidates:
            key = candidate.neighbour.key
            entry = yield Reach(lambda key=key: self.store.get(key))  # type: ignore[misc]
            if entry is None or entry.partition != lookup.question.partition:
                if self._replica is not None:  # it has expired, or was removed just now
                    self._replica.forget([key])
                continue
            if not (yield from self._holds(lookup, entry)):
                continue
            verdict = self.decider.decide(candidate)
            if verdict.serve:
                lookup.hit = _hit(entry, "semantic", candidate.neighbour.similarity, verdict)
                lookup.notes.insert(0, f"answered as {entry.question[:80]!r}")
                return
            lookup.candidate, lookup.verdict, lookup.neighbour = candidate, verdict, entry.answer
            lookup.notes.append(_refused(candidate, verdict))
            if verdict.learn:
                self._counts.add("explored")
                self._comparisons.opened(candidate, verdict)
            return

    def _together(self, lookup: Lookup, *, follow: bool, many: bool) -> Steps[None]:
        """See that only one of those who ask the same now asks the model."""
        key = lookup.question.key
        flight = self._flights.join(key, lead=not follow)
        if flight is not None:
            if many and not follow:
                self._postpone(lookup)
            elif not self._flights.leads():
                yield Await(flight, self._wait_s)
                yield from self._again(lookup)
            return
        waited_for = self._flights.leads(but=key)
        lookup.leads = not follow
        until = time.monotonic() + (0 if waited_for else self._wait_s)
        while True:
            try:
                yield Reach(lambda: self._lock_up(lookup))
            except Exception as error:
                self._failed([lookup], error)
                return
            if lookup.locked or time.monotonic() >= until:
                yield from self._again(lookup)  # who led before may have stored it since this was looked up
                if lookup.hit is not None:
                    yield from self._let_go(lookup)
                return
            if many and not follow:
                self._land(lookup)
                self._postpone(lookup)
                return
            yield Pause(_POLL_S)
            yield from self._again(lookup)
            if lookup.hit is not None:
                yield from self._let_go(lookup)
                return

    def _postpone(self, lookup: Lookup) -> None:
        lookup.pending = True
        if lookup.verdict is not None and lookup.verdict.learn:
            self._comparisons.gave_up(lookup.verdict)
            lookup.verdict = None

    def _again(self, lookup: Lookup) -> Steps[None]:
        yield from self._exactly([lookup])
        if lookup.hit is not None:
            lookup.notes.append("The same question was being answered already: waited for it.")

    # --- storing ---

    def settle(self, lookup: Lookup, answered: Answered) -> None:
        """Keep a model's answer if it may be kept; see `Lookup.settle`."""
        run(self._settling(lookup, answered))

    async def asettle(self, lookup: Lookup, answered: Answered) -> None:
        """As `settle`, awaited."""
        await arun(self._settling(lookup, answered), remote=self.store.remote)

    def abandon(self, lookup: Lookup) -> None:
        """Let go of what a lookup holds; see `Lookup.abandon`. Never waits for a network."""
        if not lookup.over and lookup.verdict is not None and lookup.verdict.learn:
            self._comparisons.gave_up(lookup.verdict)
        lookup.over = True
        self._land(lookup)
        if lookup.locked:
            lookup.locked = False
            if self.store.remote:
                self._releases.submit(lambda: self._release(lookup))
            else:
                self._release(lookup)

    def _lock_up(self, lookup: Lookup) -> None:
        """Take the lock of a question. A lookup that was given up meanwhile, as a cancelled one is, lets go of it at once."""
        lookup.locked = self.store.acquire(lookup.question.key, self._wait_s)
        if lookup.locked and lookup.over:
            lookup.locked = False
            self._release(lookup)

    def _let_go(self, lookup: Lookup) -> Steps[None]:
        lookup.over = True
        self._land(lookup)
        if lookup.locked:
            lookup.locked = False
            yield Reach(lambda: self._release(lookup))

    def _land(self, lookup: Lookup) -> None:
        if lookup.leads:
            lookup.leads = False
            self._flights.land(lookup.question.key)

    def _release(self, lookup: Lookup) -> None:
        try:
            self.store.release(lookup.question.key)
        except Exception as error:  # it expires by itself
            self._failed([lookup], error)

    def _settling(self, lookup: Lookup, answered: Answered) -> Steps[None]:
        try:
            yield from self._keeping(lookup, answered)
            self._learn(lookup, answered.text)
            yield from self._let_go(lookup)
        except BaseException:
            self.abandon(lookup)
            raise

    def _learn(self, lookup: Lookup, answer: str) -> None:
        """Have the answer that came compared with the neighbour's, if the decider wants to know. Also one that is not kept."""
        if not lookup.over and lookup.candidate is not None and lookup.verdict is not None and lookup.verdict.learn:
            self._comparisons.compare(lookup.candidate, lookup.verdict, lookup.neighbour, answer)
        lookup.over = True

    def _keeping(self, lookup: Lookup, answered: Answered) -> Steps[None]:
        if lookup.options.no_cache:
            return
        try:
            kept = self._keep(answered)
        except Exception as error:
            self._failed([lookup], error)
            kept = False
        if not kept:
            self._counts.kept_out(answered.objection or "keep")
            return
        vector = lookup.vector
        if vector is None and answered.semantic and lookup.question.semantic:
            vector = yield from self._embedded(lookup)
        entry = self._entry(lookup, answered, vector)
        try:
            kept = yield Reach(lambda: self._put(entry, lookup))
        except Exception as error:
            self._failed([lookup], error)
            return
        if kept:
            self._counts.add("stored")
        else:
            self._counts.kept_out("invalidated")

    def _put(self, entry: Entry, lookup: Lookup) -> bool:
        """Store an entry, unless such were removed while it was on its way."""
        if self._removals.forbid(entry, lookup.since):
            return False
        self.store.put(entry)
        if self._removals.forbid(entry, lookup.since):
            self.store.delete([entry.key])
            return False
        if lookup.options.refresh:  # older answers to it, still on their way, are not to replace it
            self._removals.note(lambda other: other.key == entry.key)
        return True

    def _embedded(self, lookup: Lookup) -> Steps[Floats | None]:
        """The vector of a question that was not searched for, as when it is refreshed."""
        try:
            if not self._opened:
                yield Work(self._open_embedder)
            if self._embedder is None:
                return None
            vectors = yield Embed(self._embedder, [lookup.question.text])
        except Exception as error:
            self._failed([lookup], error)
            return None
        vector: Floats = vectors[0]
        return vector

    def _entry(self, lookup: Lookup, answered: Answered, vector: Floats | None) -> Entry:
        question, options, now = lookup.question, lookup.options, time.time()
        ttl_s = self._ttl_s if options.ttl_s is None else options.ttl_s
        alike = vector is not None and answered.semantic and question.semantic and self._embedder is not None
        return Entry(
            question.key,
            question.partition,
            question.namespace,
            question.text,
            answered.text,
            answered.payload,
            now,
            None if ttl_s is None else now + ttl_s,
            options.tags,
            options.documents,
            answered.cost_usd,
            answered.baseline_cost_usd,
            vector.astype("<f2").tobytes() if alike and vector is not None else b"",
            self._embedder.fingerprint if alike and self._embedder is not None else "",
        )

    # --- looking after it ---

    def invalidate(
        self,
        *,
        key: str | None = None,
        namespace: str | None = None,
        tag: str | None = None,
        document: str | None = None,
        where: Callable[[Entry], bool] | None = None,
    ) -> int:
        """Remove the entries for which all that is given holds.

        Args:
            key: Their key, as decisions tell it in `cache_key`.
            namespace: Whose they are.
            tag: One of their tags.
            document: A document they depend on.
            where: A function that says so of an entry.

        Returns:
            How many were removed.

        Raises:
            ConfigurationError: Nothing is given; `clear` removes all.
            StoreError: The store cannot be reached.
        """
        given = {"namespace": namespace, "tag": tag, "document": document}
        chosen = {name: value for name, value in given.items() if value is not None}
        if key is None and not chosen and where is None:
            raise ConfigurationError("invalidate() was told nothing to go by: give key, namespace, tag, document or where.")

        def removed(entry: Entry) -> bool:
            return (
                (key is None or entry.key == key)
                and (namespace is None or entry.namespace == namespace)
                and (tag is None or tag in entry.tags)
                and (document is None or document in entry.documents)
                and (where is None or where(entry))
            )

        self._removals.note(removed)
        if key is not None and not chosen and where is None:
            return self.store.delete([key])
        return self.store.delete([entry.key for entry in self.store.select(**chosen) if removed(entry)])

    def clear(self) -> None:
        """Remove all entries, and what was learned from them."""
        self._removals.note(lambda entry: True)
        self.store.clear()

    def stats(self) -> CacheStats:
        """What it has done so far, in this process, and what the store holds."""
        more: dict[str, Any] = {"decider": self.decider.report()}
        try:
            size = self.store.size()
        except StoreError:
            return self._counts.stats(**more)
        return self._counts.stats(entries=size.entries, bytes=size.bytes, evicted=size.evicted, **more)

    def close(self) -> None:
        """Finish comparing answers, for ten seconds at most, and let go of the store's files and connections."""
        self._comparisons.drain(_CLOSING_S)
        self._releases.drain(_CLOSING_S)
        self._closed = True
        self.store.close()

    @property
    def embedder(self) -> Embedder | None:
        """What turns texts into vectors, for scorers and predictors that should embed no query twice; `None` for nothing."""
        if not self._opened:
            self._open_embedder()
        return self._embedder

    def _open_embedder(self) -> None:
        with self._lock:
            if not self._opened:
                if self._given == "auto":
                    from frugal_core.cache.embedders.default import default_embedder

                    self._embedder = default_embedder()
                self._opened = True

    def _prepare(self) -> None:
        """What takes a while before the first search."""
        if not self._opened:
            self._open_embedder()
        self.decider.prepare()
        self._prepared = True

    def _embed_anew(self, replica: Replica, embedder: Embedder) -> None:
        """Have entries embedded whose vectors are another embedder's, off the hot path."""
        waiting, back = dict(replica.foreign), set(replica.written_back)
        replica.foreign.clear()
        replica.written_back.clear()

        def renew() -> None:
            keys = list(waiting)
            for first in range(0, len(keys), 256):
                part = keys[first : first + 256]
                try:
                    vectors = embedder.embed([waiting[key][1] for key in part])
                    for key, vector in zip(part, vectors, strict=True):
                        replica.add(key, *waiting[key], vector)
                        if key in back:
                            self.store.revise(key, vector.astype("<f2").tobytes(), embedder.fingerprint)
                except Exception as error:
                    self._failed([], error)
                    return

        self._comparisons.do(renew)

    def _failed(self, lookups: Iterable[Lookup], error: Exception) -> None:
        """Note a failure that a model's answer will stand in for. The first of its kind is told aloud."""
        if self._closed:
            return
        self._counts.add("errors")
        text = f"The cache did not work: {type(error).__name__}: {error}"
        for lookup in lookups:
            if text not in lookup.notes:
                lookup.notes.append(text)
        kind = type(error).__name__
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(f"{text.rstrip('.')}. Queries are answered without it.", FrugalWarning, stacklevel=2)


def _drain(reference: weakref.ref[SemanticCache]) -> None:
    """At the end of the program: what was answered last is to be compared, too."""
    cache = reference()
    if cache is not None and not cache._closed:
        cache._comparisons.drain(_CLOSING_S)


def _opened_store(store: str | Store, limits: dict[str, Any]) -> Store:
    if isinstance(store, Store):
        if limits:
            raise ConfigurationError(f"{', '.join(limits)} cannot be given with a store: give them to the store.")
        return store
    refuse_unknown("SemanticCache", limits, (*_OWN, "max_entries", "max_bytes", "eviction"))
    return open_store(store, **limits)


def _unobjectionable(answered: Answered) -> bool:
    return answered.objection is None


def _hit(entry: Entry, kind: Any, similarity: float, verdict: Verdict | None = None) -> Hit:
    return Hit(entry, kind, similarity, max(0.0, time.time() - entry.created_s), verdict)


def _refused(candidate: Candidate, verdict: Verdict) -> str:
    near = candidate.neighbour
    needed = "" if verdict.threshold is None else f", {verdict.threshold:.3f} needed"
    chance = "" if verdict.p_right is None else f", right with probability {verdict.p_right:.3f}"
    return f"{verdict.reason}: {near.question[:80]!r}, similarity {near.similarity:.3f}{needed}{chance}"
