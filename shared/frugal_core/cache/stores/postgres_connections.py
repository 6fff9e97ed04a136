"""Connections to a PostgreSQL server that are used again, and never wait for longer than they may."""

from __future__ import annotations

import math
import os
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Any

import psycopg
from psycopg.abc import PQGen

from frugal_core.errors import StoreError

MOST = 16
"""Connections of one process at a time: servers take 100 from all together, unless told otherwise."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which nothing waits for longer than `timeout_s` for a server that has stopped answering."""

    timeout_s = 1.0

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's, with a limit."""
        limit = self.timeout_s if timeout is None else timeout
        try:
            return super().wait(gen, interval=interval, timeout=limit)
        except psycopg.OperationalError as error:
            if type(error).__name__ != "_WaitTimeout":
                raise
            raise psycopg.OperationalError(f"no answer within {limit:g} s") from error


class Connections:
    """Up to `MOST` connections. Thread-safe; a forked process opens its own.

    Args:
        url: Where to.
        timeout_s: Seconds that a statement may take, and about so many for a connection: PostgreSQL's client gives it 2 at
            least.
        prepare: What is done with a new connection.
    """

    def __init__(self, url: str, timeout_s: float, prepare: Callable[[Connection], None]) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._prepare = prepare
        self._inherited: list[Connection] = []
        self._idle: list[Connection] = []
        self._start()

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """A connection for one thread at a time. One on which something failed is not used again.

        Raises:
            StoreError: All are in use, for too long.
            psycopg.Error: None can be had.
        """
        if os.getpid() != self._process:
            self._inherited += self._idle  # they are the parent's: closing them here would end its sessions
            self._start()
        free = self._free
        if not free.acquire(timeout=self._timeout_s):
            raise StoreError(f"All {MOST} connections have been in use for {self._timeout_s:g} s. Make fewer calls at a time.")
        try:
            connection = self._take()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            with self._lock:
                if not self._closed:
                    self._idle.append(connection)
                    return
            connection.close()
        finally:
            free.release()

    def close(self) -> None:
        """Close those that nobody uses, and the others when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        if os.getpid() == self._process:
            for connection in idle:
                connection.close()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = Lock()
        self._free = BoundedSemaphore(MOST)
        self._idle = []
        self._closed = False

    def _take(self) -> Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect()
            if not connection.closed and not _has_news(connection):
                return connection
            connection.close()

    def _connect(self) -> Connection:
        connection: Connection = Connection.connect(
            self._url, autocommit=True, connect_timeout=max(2, math.ceil(self._timeout_s)), application_name="frugal"
        )
        try:
            connection.timeout_s = self._timeout_s
            limit = str(max(1, round(800 * self._timeout_s)))  # ms: a server that is only busy says so before it is given up
            connection.execute("SELECT set_config('statement_timeout', %s, false)", [limit])
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _has_news(connection: Connection) -> bool:
    """Whether the server said something to a connection that asked for nothing: that it is going away."""
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))
