"""Questions that are being answered right now, so that who asks the same waits instead of paying."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from threading import Lock, get_ident
from typing import Any


class Flight(Future[None]):
    """A question that is being answered.

    Attributes:
        leader: Who answers it: a task, or a thread's number.
    """

    def __init__(self) -> None:
        super().__init__()
        self.leader = _who()


class Flights:
    """Who leads for a key, and who waits for it. Thread-safe; threads and tasks of any event loop may wait for each other."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._flying: dict[str, Flight] = {}

    def join(self, key: str, *, lead: bool = True) -> Flight | None:
        """The flight of a key; `None` where there is none: the caller then leads it, if it wants to, and must `land` it."""
        with self._lock:
            flight = self._flying.get(key)
            if flight is None and lead:
                self._flying[key] = Flight()
            return flight

    def leads(self, but: str | None = None) -> bool:
        """Whether the task or thread that asks is waited for itself. It then waits for nobody: they might wait for each other.

        Args:
            but: A key that does not count.
        """
        who = _who()
        with self._lock:
            return any(flight.leader == who for key, flight in self._flying.items() if key != but)

    def land(self, key: str) -> None:
        """Let those who wait go on."""
        with self._lock:
            flight = self._flying.pop(key, None)
        if flight is not None:
            flight.set_result(None)


def wait(flight: Future[None], timeout_s: float) -> None:
    """Block until a flight has landed, at most so long.

    On a thread that runs an event loop it does not: the one waited for may be a task of that very loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            flight.result(timeout_s)
        except Late:
            return


async def await_(flight: Future[None], timeout_s: float) -> None:
    """As `wait`, for tasks."""
    await asyncio.wait([asyncio.wrap_future(flight)], timeout=timeout_s)


def _who() -> Any:
    """The task that runs now, or else the thread."""
    try:
        return asyncio.current_task() or get_ident()
    except RuntimeError:
        return get_ident()
