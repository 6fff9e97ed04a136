"""What stores on a server have in common: options in their URL, rest after a failure, a feed that is not asked too often."""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from frugal_core.cache.stores.base import Changes, Limits, Store
from frugal_core.errors import ConfigurationError, StoreError

T = TypeVar("T")

REST_S = 1.0
"""Seconds for which a server that did not answer is left alone."""

CHUNK = 1000
"""Most entries that are asked for at once, so that no single answer takes long."""

KEPT_LINES = 100_000
"""Lines of a log that are kept at least; twice as many at most."""

KEPT_REMOVALS = 10_000
"""Removed keys that the change feed remembers, about; who was away for longer starts anew."""

_OWN = ("space", "timeout_s", "refresh_s", "replica")


class Breaker:
    """Keeps a server that does not answer from costing every caller the full timeout. Thread-safe.

    After a failure nobody tries for a while; then one does, and the others wait for what comes of it.

    Args:
        rest_s: Seconds without a try.
        clock: Tells seconds.
    """

    def __init__(self, rest_s: float = REST_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest_s = rest_s
        self._clock = clock
        self._lock = Lock()
        self._until = 0.0  # nobody tries before; 0 where the last try worked
        self._reason = ""

    def enter(self) -> None:
        """Ask for leave to try.

        Raises:
            StoreError: The server did not answer a moment ago, or somebody is just finding out whether it does again.
        """
        if not self._until:
            return
        with self._lock:
            now = self._clock()
            if now < self._until:
                raise StoreError(f"{self._reason} It is tried again every {self._rest_s:g} s.")
            self._until = now + self._rest_s  # this caller finds out; the others do not queue up behind it

    def failed(self, reason: str) -> None:
        """The server did not answer."""
        with self._lock:
            self._until, self._reason = self._clock() + self._rest_s, reason

    def worked(self) -> None:
        """The server answered."""
        if self._until:
            with self._lock:
                self._until = 0.0


class ServerStore(Store):
    """A store whose entries live on a server that several processes and hosts may share.

    The server is not asked for anything before the first call, so a program starts although its cache is down. Options may be
    given as arguments, or in the URL's query, which wins.

    Args:
        url: Where the server is, with user and password.
        limits: How much the store may hold; each process enforces its own when it stores something.
        space: Word that all names on the server begin with: caches with different ones do not see each other.
        timeout_s: Seconds that the server has to answer, and to accept a connection.
        refresh_s: Seconds for which what others have stored may stay unseen by likeness; what this process stores is seen at
            once, and an equal question always.
        replica: Whether this process keeps an index of its own, fed by the server. Otherwise the server searches, if it can.

    Raises:
        ConfigurationError: An option is out of range.
    """

    remote = True
    word = "space"

    def __init__(
        self,
        url: str,
        limits: Limits | None,
        *,
        space: str,
        timeout_s: float,
        refresh_s: float,
        replica: bool,
    ) -> None:
        self.limits = limits or Limits()
        given = {"space": space, "timeout_s": timeout_s, "refresh_s": refresh_s, "replica": replica}
        self._url, chosen = split_options(url, given, self.word)
        self._shown = without_password(self._url)
        self._space: str = chosen["space"]
        self._timeout_s: float = chosen["timeout_s"]
        self._refresh_s: float = chosen["refresh_s"]
        self._replica: bool = chosen["replica"]
        self._breaker = Breaker()
        self._closed = False
        self._evicted = 0
        self._tokens: dict[str, str] = {}
        self._stale = True  # whether this process has changed something since the feed was read
        self._seen = 0
        self._pulled_s = 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown!r}, {self.word}={self._space!r})"

    @abstractmethod
    def ping(self) -> float:
        """Ask the server for a sign of life; the seconds it took.

        Raises:
            StoreError: There was none.
        """

    def changes(self, cursor: int) -> Changes:
        """What happened since `cursor`. The server is asked if this process stored something, or every `refresh_s` seconds."""
        self.check_open()
        fresh = time.monotonic() - self._pulled_s < self._refresh_s
        if cursor and cursor == self._seen and fresh and not self._stale:
            return Changes(cursor)
        self._stale = False
        try:
            changes = self._pull(cursor)
        except StoreError:
            self._stale = True
            raise
        self._seen, self._pulled_s = changes.cursor, time.monotonic()
        return changes

    @abstractmethod
    def _pull(self, cursor: int) -> Changes:
        """What happened since `cursor`, from the server."""

    def close(self) -> None:
        """Let go of the connections."""
        self._closed = True

    def check_open(self) -> None:
        """Refuse what comes after `close`."""
        if self._closed:
            raise StoreError(f"The store {self._shown} is closed. Open another one.")


def guarded(store: ServerStore, breaker: Breaker, call: Callable[[], T], judge: Callable[[Exception], bool | None]) -> T:
    """Do something that needs the server.

    Args:
        store: Whose server it is.
        breaker: Its own.
        call: What is done.
        judge: Whether an exception says that the server is away (`True`) or refuses this call alone (`False`); `None` for one
            that is none of its client's.

    Raises:
        StoreError: It could not be done.
    """
    store.check_open()
    breaker.enter()
    try:
        result = call()
    except StoreError:
        breaker.worked()  # it was read, but not understood
        raise
    except Exception as error:
        away = judge(error)
        if away is None:
            raise
        said = " ".join(str(error).split())[:300]
        reason = f"{store!r} does not work: {type(error).__name__}: {said}"
        if away:
            breaker.failed(reason)
        raise StoreError(reason) from error
    breaker.worked()
    return result


def split_options(url: str, given: dict[str, Any], word: str) -> tuple[str, dict[str, Any]]:
    """A URL without the options that are the store's own, and those options, checked.

    Args:
        url: The URL.
        given: What holds where the URL says nothing.
        word: What `space` is called.

    Raises:
        ConfigurationError: An option is out of range.

    >>> split_options("redis://host/1?prefix=a&ssl=no", {"space": "b", "replica": True}, "prefix")
    ('redis://host/1?ssl=no', {'space': 'a', 'replica': True})
    """
    parts = urlsplit(url)
    chosen, rest = dict(given), []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        own = "space" if name == word else name
        if own in given and (own != "space" or name == word):
            chosen[own] = _read(own, value)
        else:
            rest.append((name, value))
    for name in _OWN:
        if name in chosen:
            _check(name, chosen[name], word)
    # Without a query the text stays as it is: "unix:///path" and "postgresql:///db" do not survive being put together again.
    text = url if not parts.query else _with_query(url, urlencode(rest))
    return text, chosen


def without_password(url: str) -> str:
    """A URL that may be shown.

    >>> without_password("redis://me:secret@host:6379/0?password=secret")
    'redis://me:***@host:6379/0'
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user:
        user = user.partition(":")[0] + ":***"
    bare = url.partition("?")[0].partition("#")[0]
    return bare.replace(parts.netloc, f"{user}{at}{host}", 1) if at else bare


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """A sequence in parts."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def encoded(text: str) -> bytes:
    """Any text as bytes, halves of surrogate pairs included."""
    return text.encode("utf-8", "surrogatepass")


def decoded(data: bytes) -> str:
    """What `encoded` wrote."""
    return data.decode("utf-8", "surrogatepass")


def _with_query(url: str, query: str) -> str:
    bare, fragment = url.partition("?")[0], urlsplit(url).fragment
    return bare + (f"?{query}" if query else "") + (f"#{fragment}" if fragment else "")


def _read(name: str, value: str) -> Any:
    """An option as a URL has it; what cannot be read is left as it is, to be refused with the others."""
    if name == "replica":
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(value.lower(), value)
    if name.endswith("_s"):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _check(name: str, value: Any, word: str) -> None:
    if name == "space" and not (isinstance(value, str) and re.fullmatch(r"[a-z_][a-z0-9_]{0,47}", value)):
        raise ConfigurationError(f"{word}={value!r} must be a word of a-z, 0-9 and _, 48 characters at most.")
    if name == "replica" and not isinstance(value, bool):
        raise ConfigurationError(f"replica={value!r} must be true or false.")
    if name.endswith("_s"):
        number = not isinstance(value, bool) and isinstance(value, (int, float))
        if not number or not (0 <= value < float("inf")) or (name == "timeout_s" and value == 0):
            least = "above 0" if name == "timeout_s" else "0 or more"
            raise ConfigurationError(f"{name}={value!r} must be a number of seconds, {least}.")
