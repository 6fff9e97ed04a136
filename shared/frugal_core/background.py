"""Work that nobody waits for: a few threads that are there only while there is something to do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context
from threading import Lock, Thread


class Background:
    """Does jobs on daemon threads, in the order they came.

    Threads start with the work and end with it, so an idle one costs nothing and none keeps a program alive. Each job runs in
    an empty context: what the caller has in context variables (callbacks, traces, spans) is not the job's.

    Args:
        threads: Most threads at a time.
        name: Of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = threads
        self._name = name
        self._lock = Lock()
        self._jobs: deque[Callable[[], object]] = deque()
        self._working = 0

    def submit(self, job: Callable[[], object]) -> None:
        """Have a job done. It deals with its own failures; one that raises all the same ends its thread, not the other jobs.

        Raises:
            RuntimeError: No thread can be started, as while the interpreter shuts down; the job is not done.
        """
        with self._lock:
            self._jobs.append(job)
        try:
            self._start()
        except RuntimeError:
            with self._lock:
                if job not in self._jobs:  # another thread has it
                    return
                self._jobs.remove(job)
            raise

    def _start(self) -> None:
        with self._lock:
            if not self._jobs or self._working >= self._threads:
                return
            self._working += 1
        try:
            Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError:
            self._stopped()
            raise

    def _stopped(self) -> None:
        with self._lock:
            self._working -= 1

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._working -= 1
                    return
                job = self._jobs.popleft()
            try:
                Context().run(job)
            except BaseException:
                self._stopped()
                self._start()
                raise
