"""A decider that learns from compared answers when a neighbour may answer, and audits itself by chance."""

from __future__ import annotations

import math
import random
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from frugal_core.arguments import shown
from frugal_core.cache.deciders.audit_account import jump_of, rate_of
from frugal_core.cache.deciders.base import Candidate, Decider, Verdict
from frugal_core.cache.deciders.comparing import by_meaning, identity_of
from frugal_core.cache.deciders.features import UNKNOWN
from frugal_core.cache.deciders.forks import follow
from frugal_core.cache.deciders.shared_state import AuditNote, Comparison, SharedState
from frugal_core.cache.stores.memory import MemoryStore
from frugal_core.errors import ConfigurationError, StoreError
from frugal_core.learning.labels import COMPARISONS, Grade, grader

if TYPE_CHECKING:
    from frugal_core.cache.embedders.base import Embedder
    from frugal_core.cache.stores.base import Store

PATIENCE_S = 600.0
"""Seconds until an audit of which nothing more was heard is reported as lost. It is at risk from the first on, and stays so."""

_AIM = 1.6
_LEAST_AIM = 0.2
_MOST_AIM = 1.4
_JUMPS = 6.0
_DOUBT = 80.0
_LEAST_SHARE = 0.01
_HOPELESS = 0.05
_HOPELESS_SHARE = 0.2
_CROSSED = 10_000
_GREY = 0.2


@dataclass(frozen=True, slots=True)
class Seen(Verdict):
    """A verdict with what it was based on.

    Attributes:
        features: As named in `frugal_core.cache.deciders.evidence.NAMES`.
        share: Probability with which the pair was to be compared.
        fit: Whether it was good enough to be served.
        rate: Of the account's bound.
        ticket: Number of the comparison, in this process.
    """

    features: tuple[float, ...] = ()
    share: float = 1.0
    fit: bool = False
    rate: float = math.inf
    ticket: int = 0

    @property
    def at_stake(self) -> bool:
        """Whether this is an audit of what could have been served."""
        return self.fit and self.learn and self.share < 1


class Verified(Decider):
    """A neighbour answers where what was learned from compared answers says that its answer will do.

    A refused neighbour's answer is compared with the model's own, off the hot path. From these comparisons a model learns the
    probability that a neighbour's answer would do: from the similarity, from the wording of both questions, from which other
    near entries share its answer, and from how this entry's answers did before. What it learns is shared through the store, by
    all who use it, and survives restarts. As long as nothing is known nobody is served; some hundred comparisons are needed,
    and without comparisons it never serves.

    What it promises: over all requests that had a neighbour, the expected number of served answers that differ (as `compare`
    sees it) is at most `max_error` times their number, at every moment. This does not rest on the model being right, nor on
    traffic that stays as it was. A neighbour that is good enough is now and then not served but compared (an audit), by a coin
    whose probability is fixed before it is tossed; so what audits find is an unbiased estimate of the errors served, and
    nobody is served when that estimate, with the next error it may reveal, could exceed the allowance. An audit counts as an
    error from when it is begun, until its answer has been compared: also where the comparison fails, and where the process
    ends before it, for good.

    It rests on four things: the coin knows nothing of the answers; an answer that is served would have compared as it does in
    an audit; where the model failed, or its caller gave up, the answers missing are like those that come at that time, which
    stand for them (where most are missing, nothing stands for the rest, and these count as errors); and a process that dies
    before its audit is written down, which is at once, does not die of what the answer would have been. Processes that share
    a store hear of each other's audits with each of their own; one that was begun elsewhere since then is not counted yet.
    Deciders share only with those of the same `max_error`, `compare` and `least`; a function is told from others by its code
    and what it refers to, an object by what it holds. The model and its threshold, which is chosen on pairs that the model has
    not seen, only decide how many are served.

    Beside it, `report` gives a bound that holds with probability 95% at all times, and what it means for hits alone. A promise
    about all requests is weaker than one about hits: with one hit in five, 1% of requests is 5% of hits.

    Args:
        max_error: Share of all requests that may be served an answer that differs, in (0, 0.5].
        compare: How answers are compared: `"exact"`, `"normalised"`, `"numeric"`, or a function `(question, answer,
            reference) -> score` from 0 to 1, such as `SemanticAgreement` or an `LLMJudge`. Default: by meaning, as
            `SemanticAgreement` does with the cache's embedder from a cosine of 0.9, or `"normalised"` where there is no
            embedder. What it takes for the same is what is promised.
        cross_encoder: A function `(question, cached question) -> score`, or an object with `predict(pairs)` such as a
            `CrossEncoder` of sentence-transformers; asked only where the rest leaves it open.
        least: Least similarity of a neighbour that is looked at.
        seed: Of the coin; default: another one each time. Processes that share a store need different ones.

    Raises:
        ConfigurationError: An argument is out of range or of the wrong kind.

    Source: the setting is that of vCache (arXiv 2502.03771), which fits similarity alone, per entry.
    """

    def __init__(
        self,
        max_error: float = 0.01,
        *,
        compare: str | Grade | None = None,
        cross_encoder: Any = None,
        least: float = 0.6,
        seed: int | None = None,
    ) -> None:
        if isinstance(max_error, bool) or not isinstance(max_error, (int, float)) or not 0 < max_error <= 0.5:
            raise ConfigurationError(f"max_error={max_error!r} is out of range: a share of requests, above 0 and up to 0.5.")
        if isinstance(least, bool) or not isinstance(least, (int, float)) or not 0 <= least <= 1:
            raise ConfigurationError(f"least={least!r} is out of range: it is a cosine similarity, from 0 to 1.")
        if seed is not None and type(seed) is not int:
            raise ConfigurationError(f"seed={seed!r} must be a whole number, or None.")
        if compare is not None and not (callable(compare) or (isinstance(compare, str) and compare in COMPARISONS)):
            raise ConfigurationError(
                f"compare={shown(compare)} is no way to compare answers: give {', '.join(map(repr, COMPARISONS))}, or a "
                "function (question, answer, reference) -> score from 0 to 1."
            )
        self.max_error = float(max_error)
        self.least = float(least)
        self._given = compare
        self._cross = None if cross_encoder is None else _batched(cross_encoder)
        self._cross_given = cross_encoder
        self._seed = seed
        self._chance = random.Random(seed)  # noqa: S311 - a coin, no secret
        self._lock = Lock()
        self._store: Store = MemoryStore()
        self._embedder: Callable[[], Embedder | None] = lambda: None
        self._compare: Grade | None = None if compare is None else grader(compare)
        self._shared: SharedState | None = None
        self._tickets = 0
        self._scores: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._begin()
        follow(self)

    def _begin(self) -> None:
        """What is this process's own: its name, and what it has not told others yet."""
        self._process = secrets.token_hex(8)
        self._requests = 0
        self._hits = 0
        self._pending: dict[int, float] = {}
        self._pending_jumps = 0.0

    def forked(self) -> None:
        """Begin anew in a child process: other coins, and what the parent has not told others is the parent's to tell."""
        self._lock = Lock()
        self._begin()
        if self._seed is None:
            self._chance = random.Random()  # noqa: S311 - a coin, no secret

    def __repr__(self) -> str:
        return f"Verified(max_error={self.max_error})"

    def bind(self, store: Store, embedder: Callable[[], Embedder | None] = lambda: None) -> Verified:
        """One like it, with what has been learned through this store."""
        kind = Verified if self._cross is None else _Crossing
        bound = kind(self.max_error, compare=self._given, cross_encoder=self._cross_given, least=self.least, seed=self._seed)
        bound._store, bound._embedder = store, embedder
        if self._given is not None:  # otherwise the embedder says how answers are compared, once it has been opened
            bound._share()
        return bound

    @property
    def _state(self) -> SharedState:
        return self._shared or self._share()

    def _share(self) -> SharedState:
        meaning = identity_of(self._given, self._embedder() if self._given is None else None)
        state = SharedState(self._store, self.max_error, f"{self.least!r} {meaning}")
        with suppress(StoreError):  # it is down: what was learned is taken up with the next comparison
            state.catch_up()
        with self._lock:
            self._shared = self._shared or state
            return self._shared

    # --- deciding ---

    def decide(self, candidate: Candidate) -> Seen:
        """By what has been learned; now and then, to audit, against it."""
        state = self._state
        features = state.evidence.features(candidate, self._crossed(candidate))
        model = state.model
        p = None if model is None else model.probability(features)
        fit = p is not None and model is not None and p >= model.threshold(self._aim())
        with self._lock:
            self._requests += 1
            self._tickets += 1
            ticket = self._tickets
            if p is None or not fit:
                share = 1.0 if p is None or p >= _HOPELESS else _HOPELESS_SHARE
                learn = self._chance.random() < share
                return Seen(False, "unsure", None, p, learn, tuple(features), share, False, math.inf, ticket)
            share, least_share = self._audit_share(p)
            if share < 1 and self._chance.random() >= share:
                self._hits += 1
                return Seen(True, "verified", None, p, False, tuple(features), share, True, math.inf, ticket)
            self._wait_for(ticket, jump_of(share))
            return Seen(False, "exploring", None, p, True, tuple(features), share, True, rate_of(least_share), ticket)

    def _aim(self) -> float:
        """What share of the allowed errors to aim at, now that so much of the allowance is used up."""
        account = self._state.account
        allowed = self.max_error * (account.requests + self._requests + 1)
        return min(_MOST_AIM, max(_LEAST_AIM, _AIM - (account.estimate + account.at_risk) / allowed))

    def _audit_share(self, p: float) -> tuple[float, float]:
        """With what probability a would-be hit is audited, and the least such probability at present."""
        account = self._state.account
        allowed = self.max_error * (account.requests + self._requests)
        least = self._least_share(allowed)
        share = max(least, _DOUBT * math.sqrt(1 - p) / allowed)
        if share >= 1:
            return 1.0, least
        possible = self._pending_jumps + account.at_risk + account.estimate + jump_of(share)
        return (share, least) if possible <= allowed else (1.0, least)

    @staticmethod
    def _least_share(allowed: float) -> float:
        return min(1.0, max(_LEAST_SHARE, _JUMPS / allowed))

    def _wait_for(self, ticket: int, jump: float) -> None:
        """An audit that others have not heard of."""
        self._pending[ticket] = jump
        self._pending_jumps += jump

    def _heard_of(self, ticket: int) -> None:
        """The account has it now, with all who share it."""
        with self._lock:
            jump = self._pending.pop(ticket, 0.0)
            self._pending_jumps = max(0.0, self._pending_jumps - jump) if self._pending else 0.0

    def _crossed(self, candidate: Candidate) -> float:
        """The cross-encoder's score, where it was asked."""
        return UNKNOWN

    # --- learning, off the hot path ---

    def same(self, question: str, answer: str, reference: str) -> float:
        """Whether a candidate's answer would have done, by `compare`."""
        if self._compare is None:
            self._compare = by_meaning(self._embedder())
        return self._compare(question, answer, reference)

    def opened(self, candidate: Candidate, verdict: Verdict) -> None:
        """Share that an audit has begun: whatever becomes of this process, it is known that there was one."""
        self._note(verdict, "begun")

    def gave_up(self, verdict: Verdict) -> None:
        """Share that an audit brought no answer."""
        self._note(verdict, "unanswered")

    def learn(self, candidate: Candidate, verdict: Verdict, same: float | None) -> None:
        """Take up a comparison, share it, and fit the model anew when it is time. One that failed counts in audits only."""
        if not isinstance(verdict, Seen):
            return
        if same is None:
            self._note(verdict, "failed")
            return
        alike, kept = self._alike(candidate, same)
        comparison = Comparison(
            entry=candidate.neighbour.key,
            asked=candidate.key if kept else "",
            text=candidate.asked,
            cached=candidate.neighbour.question,
            features=verdict.features,
            expected=verdict.p_right,
            share=verdict.share,
            fit=verdict.fit,
            rate=verdict.rate,
            outcome=same,
            alike=alike,
            audit=self._name(verdict) if verdict.at_stake else "",
        )
        self._tell(comparison, verdict)
        self._state.fit_if_due()

    def _note(self, verdict: Verdict, event: Literal["begun", "failed", "unanswered"]) -> None:
        if isinstance(verdict, Seen) and verdict.at_stake:
            note = AuditNote(self._name(verdict), event, verdict.share, verdict.rate, time.time())
            self._tell(note, verdict)

    def _name(self, verdict: Seen) -> str:
        return f"{self._process}:{verdict.ticket}"

    def _tell(self, news: Comparison | AuditNote, verdict: Seen) -> None:
        """Share news, with what was decided since the last. Where that fails, an audit stays at risk."""
        with self._lock:
            requests, hits = self._requests, self._hits
            self._requests = self._hits = 0
        try:
            self._state.add(news, requests, hits)
        except BaseException:
            with self._lock:
                self._hits += hits  # the requests may have been written: they allow for errors, and must not count twice
            raise
        self._heard_of(verdict.ticket)

    def _alike(self, candidate: Candidate, same: float) -> tuple[tuple[str, ...], bool]:
        """Keys of the near entries with the answer that the question got, nearest first, and whether that answer is kept."""
        try:
            own = self._store.get(candidate.key) if candidate.key else None
            if own is None:
                return (), False
            alike = [candidate.neighbour.key] if same >= 0.5 else []
            if not callable(self._given):  # comparing costs next to nothing
                keys = [rival.key for rival in candidate.rivals]
                for key, entry in zip(keys, self._store.get_many(keys), strict=True):
                    if entry is not None and self.same(candidate.asked, entry.answer, own.answer) >= 0.5:
                        alike.append(key)
        except Exception:  # the comparison itself must not be lost with it
            return (), False
        return tuple(alike), True

    def prepare(self) -> None:
        """Read what was learned through the store, if that has not been done."""
        assert self._state is not None

    def report(self) -> Mapping[str, Any]:
        """What is known of the errors served.

        Returns:
            `max_error`; `requests` that had a neighbour, and `serves_from`, before how many of them nobody is served; `hits`,
            and `audits` of would-be hits; `compared`, all comparisons; `threshold` on the probability, `None` while nobody is
            served; `error`, the estimated share of all requests that were served an answer that differs, and `error_bound`,
            which it does not exceed with probability 95%; `hit_error`
            and `hit_error_bounds`, the same of hits alone. Errors are `None` where there were no requests, or no hits. Audits
            that were lost count as errors, in the upper bounds also those under way. What others found is not known before
            the first decision where the embedder compares, which is not opened for this.
        """
        state = self._shared or SharedState(MemoryStore(), self.max_error)
        account = state.account
        with self._lock:
            requests, hits = account.requests + self._requests, account.hits + self._hits
        estimate = account.estimate + account.lost(time.time() - PATIENCE_S)
        low, high = account.bounds(hits, rate_of(self._least_share(self.max_error * max(1, requests))))
        threshold = state.model.threshold(self._aim()) if state.model is not None else math.inf
        return {
            "max_error": self.max_error,
            "requests": requests,
            "serves_from": math.ceil(_JUMPS / self.max_error),
            "hits": hits,
            "audits": account.audits,
            "compared": state.compared,
            "threshold": threshold if math.isfinite(threshold) else None,
            "error": estimate / requests if requests else None,
            "error_bound": high / requests if requests else None,
            "hit_error": min(1.0, estimate / hits) if hits else None,
            "hit_error_bounds": (low / hits, high / hits) if hits else None,
        }


class _Crossing(Verified):
    """With a cross-encoder, which is asked about all candidates of a batch at once. Without one there is no `prefetch`."""

    def prefetch(self, candidates: Sequence[Candidate]) -> None:
        """Ask the cross-encoder about those that the rest leaves open."""
        assert self._cross is not None
        open_ = [candidate for candidate in candidates if self._open(candidate)]
        if not open_:
            return
        given = self._cross([(candidate.asked, candidate.neighbour.question) for candidate in open_])
        with self._lock:
            for candidate, score in zip(open_, given, strict=True):
                self._scores[candidate.asked, candidate.neighbour.question] = score
            while len(self._scores) > _CROSSED:
                self._scores.popitem(last=False)

    def _open(self, candidate: Candidate) -> bool:
        model = self._state.model
        if (candidate.asked, candidate.neighbour.question) in self._scores:
            return False
        if model is None:
            return True
        p = model.probability(self._state.evidence.features(candidate))
        return _GREY <= p < _sure(model.threshold(self._aim()))

    def _crossed(self, candidate: Candidate) -> float:
        return self._scores.get((candidate.asked, candidate.neighbour.question), UNKNOWN)


def _sure(threshold: float) -> float:
    """From what probability on a neighbour is beyond question: halfway from the threshold to 1."""
    return (1 + min(threshold, 1.0)) / 2


def _batched(cross_encoder: Any) -> Callable[[list[tuple[str, str]]], Sequence[float]]:
    predict = getattr(cross_encoder, "predict", None)
    if callable(predict) and not isinstance(cross_encoder, type):
        return lambda pairs: [float(score) for score in predict(pairs)]
    if not callable(cross_encoder) or isinstance(cross_encoder, type):
        raise ConfigurationError(
            f"cross_encoder={shown(cross_encoder)} scores no pairs: give a function (question, cached question) -> score, or "
            "an object with predict(pairs), such as a CrossEncoder of sentence-transformers."
        )
    return lambda pairs: [float(cross_encoder(asked, cached)) for asked, cached in pairs]
