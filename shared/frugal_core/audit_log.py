"""The evidence of an audit: what its findings amount to, and the file that they survive in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from frugal_core.audit_cases import Finding, evidence_in, forgotten
from frugal_core.errors import RecordingsError
from frugal_core.learning.row_file import RowFile

if TYPE_CHECKING:
    from frugal_core.learning.eprocess import EProcess
    from frugal_core.learning.recordings import Recordings

_MOST_BEHIND = 1024


class AuditLog:
    """Takes findings in the order in which their queries were drawn, whatever the order they come in. Thread-safe.

    A finding waits for those drawn before it; for one that never comes, no longer than 1,024 others take.

    Args:
        limit: The promised mean loss.
        alpha: Chance of a false alarm.
        path: Where rows are kept; what stands there already counts. `None` for nowhere.

    Attributes:
        alarm: Whether the promise was found broken.

    Raises:
        RecordingsError: The file cannot be used.
    """

    def __init__(self, limit: float, alpha: float, path: Path | None) -> None:
        self._limit, self._alpha = limit, alpha
        self._lock = Lock()
        self._findings: dict[int, Finding | None] = {}
        self._next = 0
        self._names: Counter[str] = Counter()
        self._forget()
        self._file = None if path is None else RowFile(path)
        if self._file is not None:
            try:
                self._take_up(self._file)
            except BaseException:
                self._file.close()
                raise

    @property
    def found(self) -> tuple[EProcess, float | None]:
        """The evidence, and the known cost of the reference's calls; `None` where one has no known price."""
        with self._lock:
            return self._evidence, self._cost_usd

    def settle(self, number: int, finding: Finding | None) -> str | None:
        """What became of an audit.

        Args:
            number: Its place in the order of the draws.
            finding: What it came to; `None` for nothing.

        Returns:
            What went wrong in writing it, or an earlier one that has waited.
        """
        fault = None
        with self._lock:
            if number < self._next:  # it began before a reset, or others have waited for it too long
                return None
            self._findings[number] = finding
            while self._next in self._findings or len(self._findings) > _MOST_BEHIND:
                following = self._findings.pop(self._next, None)
                self._next += 1
                if following is not None:
                    fault = self._take(following) or fault
        return fault

    def recordings(self, path: Path) -> Recordings:
        """What stands in the file.

        Raises:
            RecordingsError: That cannot be read, or is of several datasets.
        """
        from frugal_core.learning.recordings import Recordings

        with self._lock:
            found = Recordings.read([path])
        if len(found) > 1:
            names = ", ".join(each.dataset for each in found)
            raise RecordingsError(f"{path}: holds several datasets ({names}). Read them by Recordings.read([path]).")
        return found[0]

    def reset(self, number: int) -> None:
        """Begin anew, with the audit of this number; the rows stay, as mere recordings."""
        with self._lock:
            if self._file is not None:
                self._file.rewrite(forgotten(self._file.read()))
            self._findings.clear()
            self._next = number
            self._forget()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _forget(self) -> None:
        from frugal_core.learning.eprocess import EProcess  # with numpy, which a program without audit does not need

        self._evidence = EProcess(self._limit, self._alpha)
        self._cost_usd: float | None = 0.0
        self.alarm = False

    def _take(self, finding: Finding) -> str | None:
        """Count a finding and keep its rows; what went wrong in keeping them."""
        self._evidence = self._evidence.observe(finding.loss)
        self._cost_usd = _sum(self._cost_usd, finding.cost_usd)
        self.alarm = self._evidence.alarm
        if self._file is None:
            return None
        try:
            name = self._unused(finding.rows[0]["query_id"])
            for row in finding.rows:
                self._file.append({**row, "query_id": name})
        except (OSError, ValueError) as error:  # a full disk; a number that JSON has not
            return (
                f"{self._file.path}: an audit could not be written ({error}). Its evidence counts in this process, but one "
                "that starts again will not know of it. Check disk and permissions."
            )
        return None

    def _unused(self, name: str) -> str:
        """A name for a query in the file, where each may stand once."""
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}#{self._names[name]}"

    def _take_up(self, file: RowFile) -> None:
        """Go on where an earlier process ended."""
        rows, file.rows = file.rows, []
        found = evidence_in(rows, file.path)
        for name in {str(row.get("query_id")) for row in rows}:
            first, _, number = name.partition("#")
            self._names[first] = max(self._names[first], int(number) if number.isdecimal() else 1)
        if not found:
            return
        import numpy as np

        from frugal_core.learning.eprocess import EProcess, log_evidence

        totals = np.cumsum([loss for loss, _ in found])
        peak = float(log_evidence(totals, np.arange(1, len(found) + 1), self._limit).max())
        self._evidence = EProcess(self._limit, self._alpha, float(totals[-1]), len(found), max(0.0, peak))
        for _, cost in found:
            self._cost_usd = _sum(self._cost_usd, cost)
        self.alarm = self._evidence.alarm


def _sum(known: float | None, cost: float | None) -> float | None:
    return None if known is None or cost is None else known + cost
