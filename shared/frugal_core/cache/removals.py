"""What was removed while answers were on their way: they must not come back by them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import TypeAlias

from frugal_core.cache.entry import Entry

Condition: TypeAlias = Callable[[Entry], bool]
"""Which entries were removed."""

KEPT = 1_000
"""Removals that are remembered; an answer that began before all of them is not kept."""


class Removals:
    """Remembers removals for as long as an answer may take. Thread-safe.

    An entry is stored first and asked about then; a removal is noted first and done then. So whichever comes first, an answer
    that began before a removal does not outlive it. This holds within a process; what another process is answering just now, it
    may still store.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0
        self._recent: deque[tuple[int, Condition]] = deque(maxlen=KEPT)

    @property
    def now(self) -> int:
        """The number of removals so far: when a lookup begins."""
        return self._count

    def note(self, condition: Condition) -> None:
        """Such entries are about to be removed."""
        with self._lock:
            self._count += 1
            self._recent.append((self._count, condition))

    def forbid(self, entry: Entry, since: int) -> bool:
        """Whether an entry is one of those removed since then."""
        if since == self._count:
            return False
        with self._lock:
            later = [condition for number, condition in self._recent if number > since]
            if self._count - since > len(later):
                return True
        return any(condition(entry) for condition in later)
