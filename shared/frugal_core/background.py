"""Work that nobody waits for: a few threads that are there only while there is something to do."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextvars import Context
from threading import Condition, Thread


class Background:
    """Does jobs on daemon threads, in the order they came.

    Threads start with the work and end with it, so an idle one costs nothing and none keeps a program alive. Each job runs in
    an empty context: what the caller has in context variables (callbacks, traces, spans) is not the job's. A forked process
    begins with nothing to do: its parent's jobs are its parent's.

    Args:
        threads: Most threads at a time.
        name: Of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = threads
        self._name = name
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = Condition()
        self._jobs: deque[Callable[[], object]] = deque()
        self._working = 0

    @property
    def waiting(self) -> int:
        """Jobs that nobody has begun with."""
        return len(self._jobs)

    def drain(self, timeout_s: float) -> bool:
        """Wait until all jobs are done, no longer than this; whether they are."""
        if self._process != os.getpid():
            return True
        with self._lock:
            return self._lock.wait_for(lambda: not self._jobs and not self._working, timeout_s)

    def submit(self, job: Callable[[], object]) -> None:
        """Have a job done. It deals with its own failures; one that raises all the same ends its thread, not the other jobs.

        Raises:
            RuntimeError: No thread can be started, as while the interpreter shuts down; the job is not done.
        """
        if self._process != os.getpid():
            self._begin()
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
            self._lock.notify_all()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._working -= 1
                    self._lock.notify_all()
                    return
                job = self._jobs.popleft()
            try:
                Context().run(job)
            except BaseException:
                self._stopped()
                self._start()
                raise
