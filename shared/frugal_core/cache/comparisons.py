"""Whether the answers of neighbours would have done: found out off the hot path, and told to the decider."""

from __future__ import annotations

from collections.abc import Callable

from frugal_core.background import Background
from frugal_core.cache.deciders.base import Candidate, Decider, Verdict

MOST_WAITING = 1_000
"""Comparisons that wait; further ones from which the decider would only have learned are left out. Audits never are."""


class Comparisons:
    """Compares answers one after another, on a thread of its own.

    Args:
        decider: Who learns from them.
        failed: Hears of what went wrong; nobody else does.
    """

    def __init__(self, decider: Decider, failed: Callable[[Exception], None]) -> None:
        self._decider = decider
        self._failed = failed
        self._background = Background(1, "frugal-cache")

    def opened(self, candidate: Candidate, verdict: Verdict) -> None:
        """The decider wants to see the model's own answer, which is yet to come."""
        self._do(lambda: self._decider.opened(candidate, verdict))

    def compare(self, candidate: Candidate, verdict: Verdict, answer: str, reference: str) -> None:
        """The model's own answer has come.

        Args:
            candidate: The neighbour.
            verdict: Why it was not served.
            answer: The neighbour's.
            reference: The model's.
        """
        if verdict.reason != "exploring" and self._background.waiting >= MOST_WAITING:
            return

        def compare() -> None:
            same: float | None = None
            try:
                same = self._decider.same(candidate.asked, answer, reference)
            except Exception as error:  # a judge that cannot be reached: the decider hears that nothing came of it
                self._failed(error)
            self._decider.learn(candidate, verdict, same)

        self._do(compare)

    def gave_up(self, verdict: Verdict) -> None:
        """The model's own answer will not come."""
        self._do(lambda: self._decider.gave_up(verdict))

    def do(self, job: Callable[[], object]) -> None:
        """Other work that nobody waits for."""
        self._do(job)

    def drain(self, timeout_s: float) -> bool:
        """Wait until all is done, no longer than this; whether it is."""
        return self._background.drain(timeout_s)

    def _do(self, job: Callable[[], object]) -> None:
        def guarded() -> None:
            try:
                job()
            except Exception as error:
                self._failed(error)

        try:
            self._background.submit(guarded)
        except RuntimeError as error:  # the interpreter shuts down
            self._failed(error)
