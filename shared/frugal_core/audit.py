"""Audit in production: a random share of the queries also goes to the reference, and the promise is watched.

What is watched is the chance that a served answer differs from the reference's, over all queries. Each audited query brings a
loss; an e-process bets against "the mean loss is at most `max_disagreement`", and may be looked at after each of them for as
long as the program runs (see `frugal_core.learning.eprocess`). Whether a query is audited is drawn before its answer is looked
at, and the losses enter the evidence in the order of the draws, not in that in which the reference happened to answer: what
comes fast may be what is easy.
"""

from __future__ import annotations

import asyncio
import math
import random
import warnings
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import Context
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from frugal_core.arguments import shown
from frugal_core.audit_cases import Case, Finding, judged
from frugal_core.audit_log import AuditLog
from frugal_core.background import Background
from frugal_core.decision import Decision
from frugal_core.errors import ConfigurationError, FrugalWarning
from frugal_core.learning.labels import COMPARISONS, Comparison, Grade, grader
from frugal_core.types import Answer, Query

if TYPE_CHECKING:
    from frugal_core.learning.recordings import Recordings

_THREADS = 4
_MOST_OPEN = 64
_MOST_LOG = 700.0  # of what a float holds


@dataclass(frozen=True)
class AuditReport:
    """What an audit has found, since it began or was reset.

    Attributes:
        requests: Queries answered in this process.
        audited: How many of them are evidence, those of earlier processes included.
        losses: Sum of their losses; for a comparison that says yes or no, how many answers differed.
        disagreement: Mean loss; `None` before the first.
        max_disagreement: What was promised.
        confidence: How sure the alarm is.
        evidence: Against the promise; 1 at the start.
        needed: The evidence from which the alarm is raised.
        alarm: Whether it was.
        cost_usd: Of the calls to the reference that were made to audit; `None` when its price is unknown.
        dropped: Audits not made, because too many were under way already or the program ended; in this process.
        failures: Audits that failed, since the reference could not be asked or the comparison raised; in this process.
        pending: Audits under way.
    """

    requests: int
    audited: int
    losses: float
    disagreement: float | None
    max_disagreement: float
    confidence: float
    evidence: float
    needed: float
    alarm: bool
    cost_usd: float | None
    dropped: int
    failures: int
    pending: int

    @property
    def bounds(self) -> tuple[float, float]:
        """Between what the disagreement over all queries lies; each end holds at all looks at once with `confidence`."""
        from frugal_core.learning.eprocess import EProcess

        return EProcess(self.max_disagreement, 1 - self.confidence, self.losses, self.audited).bounds

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {**asdict(self), "bounds": list(self.bounds)}


class Audit:
    """Asks the reference about a random share of the queries, out of their way, and raises an alarm once a promise is broken.

    Give it to a wrapper: `ChatFrugal(models, audit=Audit(0.05, path="audit.jsonl"))`, or the same of `FrugalLLM`. After the
    alarm all queries go to the reference model; the reason in their decisions is `"audit_alarm"`, and one `FrugalWarning` tells
    it. If the promise is kept, the alarm is raised with probability 1 − `confidence` at most, over all time.

    The caller never waits for an audit and never hears of its failure. It runs on a thread, or for async calls as a task of the
    running loop, in an empty context (none of the caller's callbacks, traces or context variables). At most 64 are under way at
    a time; beyond that they are dropped, and counted. A dropped or failed audit is no evidence: where only some audits of dear
    queries fail, the alarm comes later than it should, never sooner. Calls that hang hold up the others: give the reference
    model a timeout. An answer that the reference gave itself has loss 0 and costs nothing. Not audited: answers from a cache,
    streams that were not read to their end, and anything after the alarm.

    The evidence is of all queries since the beginning, so a long good past delays the alarm of what has changed since: `reset`
    when you change models, prompts or traffic.

    All audited answers are kept in `path` as recordings (see `frugal_core.learning.recordings`), the rejected drafts as well;
    give them to a fit to calibrate anew, then call `reset`. A program that starts again with the same path goes on with the
    evidence in it, and with the alarm. **One process writes a file: give each process an `Audit` and a path of its own.** Each
    then watches its own queries. One audit is for one policy.

    Args:
        max_disagreement: The promise: answers differ from the reference's in at most this share of queries, in (0, 1).
        share: Share of the queries to audit, in (0, 1].
        confidence: 1 − chance of a false alarm, in (0, 1).
        compare: When texts agree: `"exact"`, `"normalised"`, `"numeric"`, or a function `(query, answer, reference) -> score in
            [0, 1]` (a truth value will do). Tool calls agree when names and arguments are equal, structured values when they
            are.
        path: Where audited answers are kept, JSON lines. Without it nothing but the counts is kept, and only in memory.
        seed: Makes the draws reproducible.

    Attributes:
        path: As given.

    Raises:
        ConfigurationError: An argument is out of range.
        RecordingsError: The file cannot be used, or another process is writing it.

    >>> audit = Audit(0.05, share=0.1)
    >>> audit.alarm, audit.report().audited
    (False, 0)
    """

    def __init__(
        self,
        max_disagreement: float,
        share: float = 0.02,
        confidence: float = 0.95,
        *,
        compare: Comparison | Grade = "normalised",
        path: str | Path | None = None,
        seed: int | None = None,
    ) -> None:
        _check_share("max_disagreement", max_disagreement, "such as 0.05 for one answer in twenty")
        _check_share("confidence", confidence, "such as 0.95")
        if isinstance(share, bool) or share != 1:
            _check_share("share", share, "such as 0.02, or 1 to audit every query")
        if not (callable(compare) or (isinstance(compare, str) and compare in COMPARISONS)):
            raise ConfigurationError(
                f"compare={shown(compare)} is no way to compare: give {', '.join(map(repr, COMPARISONS))}, or a function "
                "(query, answer, reference) -> score from 0 to 1."
            )
        if seed is not None and type(seed) is not int:
            raise ConfigurationError(f"seed={shown(seed)} must be a whole number, or None for another sample each time.")
        self.max_disagreement, self.share, self.confidence = max_disagreement, share, confidence
        self.path = None if path is None else Path(path)
        self._compare = grader(compare)
        self._random = random.Random(seed)  # noqa: S311  (a sample, not a secret)
        self._background = Background(_THREADS, "frugal-audit")
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._waiting: list[Future[None]] = []
        self._lock = Lock()  # held for no longer than counting takes
        self._drawn = self._open = self._requests = self._dropped = self._failures = 0
        self._told: set[str] = set()
        self._log = AuditLog(max_disagreement, 1 - confidence, self.path)
        if self._log.alarm:
            warnings.warn(f"{self.path}: goes on with an alarm. {self._alarm_text()}", FrugalWarning, stacklevel=2)

    def __repr__(self) -> str:
        path = "" if self.path is None else f", path={str(self.path)!r}"
        return f"Audit({self.max_disagreement!r}, share={self.share!r}, confidence={self.confidence!r}{path})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Audit:
        """Copies of a wrapper are audited together."""
        return self

    def __reduce__(self) -> Any:
        raise ConfigurationError(
            f"{self!r} cannot be pickled: it holds the evidence of one process. Give each process an Audit with its own path."
        )

    # --- what wrappers call ---

    @property
    def alarm(self) -> bool:
        """Whether the promise was found broken."""
        return self._log.alarm

    def watch(self, query: Query, decision: Decision, answers: Mapping[str, Answer], ask: Callable[[], Answer]) -> None:
        """A query was answered: by chance, audit it on a thread.

        Args:
            query: The query.
            decision: How it was answered.
            answers: What its tiers said, by their names.
            ask: Asks the reference the same.
        """
        case = self._case(query, decision, answers)
        if case is not None:
            self._submit(case, partial(self._ask, case, ask))

    def watch_async(
        self, query: Query, decision: Decision, answers: Mapping[str, Answer], ask: Callable[[], Coroutine[Any, Any, Answer]]
    ) -> None:
        """As `watch`, the reference being asked by a task of the running loop."""
        case = self._case(query, decision, answers)
        if case is None:
            return
        if (known := case.known) is not None:
            self._submit(case, partial(self._judge, case, known))
            return
        task = Context().run(asyncio.get_running_loop().create_task, ask())
        self._tasks.add(task)
        task.add_done_callback(partial(self._asked, case))

    # --- what users call ---

    def report(self) -> AuditReport:
        """What was found so far."""
        evidence, cost = self._log.found
        with self._lock:
            requests, dropped, failures, pending = self._requests, self._dropped, self._failures, self._open
        return AuditReport(
            requests,
            evidence.seen,
            evidence.total,
            evidence.total / evidence.seen if evidence.seen else None,
            self.max_disagreement,
            self.confidence,
            math.exp(min(evidence.log_value, _MOST_LOG)),
            1 / evidence.alpha,
            evidence.alarm,
            cost,
            dropped,
            failures,
            pending,
        )

    def recordings(self) -> Recordings:
        """The audited answers, to fit a policy on; graded by their agreement with the reference.

        Two models make a whole matrix. Of more, each query lacks those that were not asked: `record(models, queries, path)` on
        the queries in the file adds them (`close` the audit first).

        Raises:
            ConfigurationError: The audit has no path.
            RecordingsError: The file holds no rows, or has been damaged.
        """
        if self.path is None:
            raise ConfigurationError("This audit keeps no answers: give it a file, Audit(…, path='audit.jsonl').")
        return self._log.recordings(self.path)

    def reset(self) -> None:
        """Begin anew, with no evidence and no alarm: the policy has been calibrated again, or the fault was elsewhere.

        The answers in the file stay recordings, and are evidence no more. Audits under way do not count either.
        """
        with self._lock:
            self._requests = self._dropped = self._failures = 0
            self._told.clear()
            drawn = self._drawn
        self._log.reset(drawn)

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until no audit is under way: at the end of a program, or in a test. In async code use `adrain`.

        Args:
            timeout: Seconds; `None` for as long as it takes.

        Returns:
            Whether all are done.
        """
        try:
            self._all_done().result(timeout)
        except FutureTimeoutError:
            return False
        return True

    async def adrain(self, timeout: float | None = None) -> bool:
        """As `drain`, without blocking the loop. Audits of async calls end with their loop: call it before that."""
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._all_done()), timeout)
        except asyncio.TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Let go of the file; what is found from now on is counted, but not kept."""
        self._log.close()

    # --- one audit ---

    def _case(self, query: Query, decision: Decision, answers: Mapping[str, Answer]) -> Case | None:
        """The audit of this query, if there is to be one."""
        with self._lock:
            self._requests += 1
            if self._log.alarm or self._random.random() >= self.share:
                return None
            if self._open >= _MOST_OPEN:  # whoever answered: dropping only dear audits would make the losses look small
                self._dropped += 1
                return None
            self._open += 1
            number, self._drawn = self._drawn, self._drawn + 1
        served = query.tiers[decision.answer.tier].name
        return Case(number, query, served, {**answers, served: decision.answer})

    def _submit(self, case: Case, job: Callable[[], None]) -> None:
        try:
            self._background.submit(job)
        except RuntimeError:  # the interpreter is shutting down
            self._drop(case)

    def _ask(self, case: Case, ask: Callable[[], Answer]) -> None:
        try:
            said = ask() if case.known is None else case.known
        except BaseException as error:  # whatever ends a thread must not leave the audit open
            self._fail(case, error)
        else:
            self._judge(case, said)

    def _asked(self, case: Case, task: asyncio.Task[Answer]) -> None:
        """A task has ended, somehow."""
        self._tasks.discard(task)
        if task.cancelled():
            self._drop(case)
        elif (error := task.exception()) is not None:
            self._submit(case, partial(self._fail, case, error))
        else:
            self._submit(case, partial(self._judge, case, task.result()))

    def _judge(self, case: Case, said: Answer) -> None:
        try:
            dataset = "audit" if self.path is None else self.path.name.split(".")[0]
            finding = judged(case, said, self._compare, dataset)
        except BaseException as error:  # of the user's comparison
            self._fail(case, error)
        else:
            self._end(case, finding)

    def _fail(self, case: Case, error: BaseException) -> None:
        with self._lock:
            self._failures += 1
        try:
            self._warn_once(
                "failed",
                f"An audit failed, since the reference {case.reference!r} could not be asked or the answers not compared "
                f"({type(error).__name__}: {error}). Failed audits are no evidence; audit.report().failures counts them.",
            )
        finally:
            self._end(case, None)

    def _drop(self, case: Case) -> None:
        with self._lock:
            self._dropped += 1
        self._end(case, None)

    def _end(self, case: Case, finding: Finding | None) -> None:
        """An audit has come to something, or to nothing."""
        try:
            before = self._log.alarm
            fault = self._log.settle(case.number, finding)
            if self._log.alarm and not before:
                self._warn_once("alarm", self._alarm_text())
            if fault is not None:
                self._warn_once("file", fault)
        finally:
            with self._lock:
                self._open -= 1
                done, self._waiting = ([], self._waiting) if self._open else (self._waiting, [])
            for waiting in done:
                if waiting.set_running_or_notify_cancel():
                    waiting.set_result(None)

    def _alarm_text(self) -> str:
        found, _ = self._log.found
        return (
            f"The audit found that {found.total / found.seen:.1%} of {found.seen} audited answers differ from the reference's, "
            f"and at least {found.bounds[0]:.1%} of all do with {self.confidence:.0%} confidence; max_disagreement="
            f"{self.max_disagreement} was promised. From now on only the reference is asked. Fit the policy anew, on "
            "audit.recordings(), and call audit.reset()."
        )

    def _warn_once(self, about: str, text: str) -> None:
        with self._lock:
            known = about in self._told
            self._told.add(about)
        if not known:
            warnings.warn(text, FrugalWarning, stacklevel=2)

    def _all_done(self) -> Future[None]:
        future: Future[None] = Future()
        with self._lock:
            if self._open:
                self._waiting.append(future)
                return future
        future.set_result(None)
        return future


def _check_share(name: str, value: Any, example: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ConfigurationError(f"{name}={shown(value)} is out of range: give a number between 0 and 1, {example}.")
