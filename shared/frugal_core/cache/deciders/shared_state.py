"""What deciders on one store have learned together: comparisons in a log, and the model that was fitted to them last."""

from __future__ import annotations

import json
import math
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal

from frugal_core.cache.deciders.audit_account import AuditAccount, OpenAudit
from frugal_core.cache.deciders.evidence import NAMES, Evidence
from frugal_core.cache.deciders.forks import follow

if TYPE_CHECKING:
    from frugal_core.cache.deciders.model import PairModel
    from frugal_core.cache.stores.base import Store

WINDOW = 10_000
"""Comparisons that a model is fitted to, the latest."""

FIRST = 60
"""Comparisons before the first fit."""

_GROWTH = 1.35
_SELDOM = 2_000
_TEXT = 300


@dataclass(frozen=True, slots=True)
class Comparison:
    """An entry's answer beside the one that a question got.

    Attributes:
        entry: Key of the entry.
        asked: Key of the question, empty where its answer was not kept.
        text: The question.
        cached: The entry's question.
        features: Of the pair when it was decided.
        expected: Probability that the answer would do, if there was an estimate.
        share: Probability with which the pair was to be compared.
        fit: Whether it was good enough to be served.
        rate: Of the account's bound; infinite where `fit` is false.
        outcome: Whether the answer would have done, from 0 to 1.
        alike: Keys of entries with the answer that the question got, nearest first.
        audit: Name of the audit that it ends, empty where it is none.
    """

    entry: str
    asked: str
    text: str
    cached: str
    features: tuple[float, ...]
    expected: float | None
    share: float
    fit: bool
    rate: float
    outcome: float
    alike: tuple[str, ...]
    audit: str = ""

    def to_json(self) -> str:
        """As one line. Numbers are rounded: what is read again is what was taken up at first."""
        return json.dumps(
            {
                "e": self.entry,
                "a": self.asked,
                "t": self.text[:_TEXT],
                "c": self.cached[:_TEXT],
                "x": [None if math.isnan(value) else round(value, 5) for value in self.features],
                "p": None if self.expected is None else round(self.expected, 6),
                "s": self.share,
                "f": int(self.fit),
                "r": self.rate if math.isfinite(self.rate) else None,
                "y": self.outcome,
                "l": self.alike,
                "i": self.audit,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Read what `to_json` wrote."""
        return cls.of(json.loads(text))

    @classmethod
    def of(cls, found: dict[str, Any]) -> Comparison:
        """Of what a line says."""
        return cls(
            entry=found["e"],
            asked=found["a"],
            text=found["t"],
            cached=found["c"],
            features=tuple(math.nan if value is None else float(value) for value in found["x"]),
            expected=found["p"],
            share=float(found["s"]),
            fit=bool(found["f"]),
            rate=math.inf if found["r"] is None else float(found["r"]),
            outcome=float(found["y"]),
            alike=tuple(found["l"]),
            audit=str(found["i"]),
        )


@dataclass(frozen=True, slots=True)
class AuditNote:
    """What became of an audit, other than that its answers were compared.

    Attributes:
        audit: Its name, unlike that of any other, of any process.
        event: It was begun; the answer came but could not be compared; or no answer came.
        share: Its probability.
        rate: Of the account's bound.
        at_s: When, in seconds of the wall clock.
    """

    audit: str
    event: Literal["begun", "failed", "unanswered"]
    share: float
    rate: float
    at_s: float

    def to_json(self) -> str:
        """As one line."""
        kept = {"v": self.event, "i": self.audit, "s": self.share, "r": self.rate, "w": self.at_s}
        return json.dumps(kept, separators=(",", ":"))

    @classmethod
    def of(cls, found: dict[str, Any]) -> AuditNote:
        """Of what a line says."""
        return cls(str(found["i"]), found["v"], float(found["s"]), float(found["r"]), float(found["w"]))


class SharedState:
    """The state that all deciders with one promise on one store share. Thread-safe.

    A process that is forked while a thread of its parent is at work here reads everything anew.

    Args:
        store: Where the logs are.
        max_error: What is promised; deciders with another promise keep their own logs.
        meaning: What is promised about, such as how answers are compared; deciders that differ in it keep their own logs.

    Attributes:
        evidence: What features are computed from.
        account: What audits found.
        model: The one fitted last, `None` before the first.
        compared: Comparisons taken up.
    """

    def __init__(self, store: Store, max_error: float, meaning: str = "") -> None:
        self._store = store
        self._max_error = max_error
        name = f"verified{blake2b(f'{max_error!r} {meaning}'.encode(), digest_size=8).hexdigest()}"
        self._log, self._models = name, f"{name}models"
        self._lock = RLock()
        self._era = ""
        self._forget()
        follow(self)

    def _forget(self) -> None:
        self.evidence = Evidence()
        self.account = AuditAccount()
        self.model: PairModel | None = None
        self.compared = 0
        self._rows: deque[Comparison] = deque(maxlen=WINDOW)
        self._cursor = 0
        self._models_cursor = 0

    def forked(self) -> None:
        """Go on in a child process: with what was known, unless another thread was about to change it."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
            return
        self._lock = RLock()
        self._era = ""
        self._forget()

    def add(self, news: Comparison | AuditNote, requests: int, hits: int) -> None:
        """Share a comparison or an audit, and what was decided since the last time, and take up what others have shared."""
        lines = [json.dumps({"n": requests, "h": hits}, separators=(",", ":")), news.to_json()]
        with self._lock:
            self._store.append(self._log, lines)
            self.catch_up()

    def catch_up(self) -> None:
        """Take up what has been shared since the last time. Lines of another version, which cannot be read, are passed over."""
        with self._lock:
            era = self._current_era()
            if era != self._era:  # the store was cleared
                self._forget()
                self._era = era
            lines, self._cursor = self._store.read(self._log, self._cursor)
            for line in lines:
                self._take(line)
            models, self._models_cursor = self._store.read(self._models, self._models_cursor)
            for line in models[-1:]:
                self._take_model(line)

    def _current_era(self) -> str:
        """What tells this store's state from one before it was cleared: the first to come names it."""
        name = f"{self._log}era"
        lines, _ = self._store.read(name, 0)
        if not lines:
            self._store.append(name, [secrets.token_hex(8)])
            lines, _ = self._store.read(name, 0)
        return lines[0] if lines else ""

    def fit_if_due(self) -> None:
        """Fit the model anew where there is enough that it has not seen."""
        with self._lock:
            if not _due(self.compared, 0 if self.model is None else self.model.rows):
                return
            rows, compared = list(self._rows), self.compared
        model = _fitted(rows, self._max_error, compared)
        with self._lock:
            self._store.append(self._models, [model.to_json()])
            self.model = model

    def _take(self, line: str) -> None:
        try:
            found = json.loads(line)
            if "n" in found:
                self.account.count(int(found["n"]), int(found["h"]))
                return
            if "v" in found:
                self._take_note(AuditNote.of(found))
                return
            comparison = Comparison.of(found)
        except (ValueError, TypeError, KeyError):
            return
        if comparison.fit:
            self.account.audit(comparison.share, 1 - comparison.outcome, comparison.rate, comparison.audit)
        if len(comparison.features) != len(NAMES):
            return
        self.compared += 1
        self._rows.append(comparison)
        self.evidence.take(
            comparison.entry,
            comparison.asked,
            comparison.text,
            comparison.cached,
            comparison.features[0],
            comparison.outcome,
            comparison.expected,
            comparison.alike,
        )

    def _take_note(self, note: AuditNote) -> None:
        if note.event == "begun":
            self.account.begin(note.audit, OpenAudit(note.share, note.rate, note.at_s))
        elif note.event == "failed":
            self.account.audit(note.share, None, note.rate, note.audit)
        else:
            self.account.give_up(note.audit, note.share)

    def _take_model(self, line: str) -> None:
        from frugal_core.cache.deciders.model import PairModel

        try:
            model = PairModel.from_json(line)
        except (ValueError, TypeError, KeyError):
            return
        if len(model.linear.weights) == len(NAMES):
            self.model = model


def _due(compared: int, known: int) -> bool:
    return compared >= FIRST and (compared >= known * _GROWTH or compared >= known + _SELDOM)


def _fitted(rows: Sequence[Comparison], max_error: float, compared: int) -> PairModel:
    import numpy as np

    from frugal_core.cache.deciders.model import fit_model

    groups: dict[str, int] = {}
    return fit_model(
        np.array([row.features for row in rows]),
        np.array([row.outcome for row in rows]),
        1 / np.array([row.share for row in rows]),
        [groups.setdefault(row.entry, len(groups)) for row in rows],
        max_error,
        compared,
    )
