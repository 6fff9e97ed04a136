"""What an LLM's answers depend on, as plain JSON data: for the keys of caches, so without ids, addresses and secrets."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any

from llama_index.core.llms import LLM
from pydantic import BaseModel

from frugal_core.cache.question import digest
from frugal_core.errors import ConfigurationError
from frugal_core.policies import Policy
from frugal_core.saving import encode
from frugal_core.secret_names import is_secret

_ELSEWHERE = frozenset({"callback_manager", "rate_limiter", "timeout", "max_retries", "cache", "memory", "verbose"})
"""Fields that decide about nothing in an answer."""


class OpaqueError(Exception):
    """A value cannot be told from others of its class."""


def refused(value: Any) -> Any:
    """What `plain` is to do with code and other objects in a call's arguments: they may mean anything.

    Raises:
        OpaqueError: Always.
    """
    raise OpaqueError(f"{type(value).__name__} among the call's arguments")


def named(value: Any) -> str:
    """What `plain` is to do with them among a model's own settings: clients and functions go by their names.

    >>> named(digest)
    'frugal_core.cache.question.digest'
    """
    named_thing = value if hasattr(value, "__qualname__") else type(value)
    code = getattr(value, "__code__", None)
    line = f":{code.co_firstlineno}" if code is not None and "<" in value.__qualname__ else ""
    return f"{named_thing.__module__}.{named_thing.__qualname__}{line}"


def plain(value: Any, opaque: Callable[[Any], Any] = refused) -> Any:
    """A value as JSON data in which equal things are equal and, as far as that can be seen, different ones are different.

    Args:
        value: The value.
        opaque: What becomes of code and objects that do not tell what they hold.

    >>> plain({"b": (1, None), "api_key": "sk-…"}, named)
    {'b': [1, None]}
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        settings = opaque is named  # an argument of a call may have any name: a tool's schema, say
        return {str(name): plain(part, opaque) for name, part in value.items() if not (settings and is_secret(str(name)))}
    if isinstance(value, (list, tuple)):
        return [plain(part, opaque) for part in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(part, opaque) for part in value), key=repr)
    if isinstance(value, Enum):
        return plain(value.value, opaque)
    if isinstance(value, type):
        return [named(value), value.model_json_schema() if issubclass(value, BaseModel) else None]
    if isinstance(value, LLM):
        return llm_settings(value)
    if isinstance(value, Policy):
        return value.version
    if isinstance(value, BaseModel):
        return [named(type(value)), plain(value.__dict__, opaque)]
    try:
        return encode(value)  # Frugal's own small objects
    except ConfigurationError:
        return opaque(value)


def llm_settings(llm: LLM) -> dict[str, Any]:
    """All that is known of a model's settings: its class, metadata and fields, and what of its private ones are settings."""
    return {"class": named(type(llm)), **{name: plain(value, named) for name, value in _settings(llm).items()}}


class LLMIdentity:
    """The digest of one model's settings, made anew only when one of them has changed.

    Private numbers and lists count as they are when this is made, for they may be settings, but also counters and logs, with
    which no call would ever equal another. All else counts as it is at each call.

    Args:
        llm: The model.
    """

    __slots__ = ("_digest", "_first", "_llm", "_seen")

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._first = plain(_private(llm, _may_be_counter), named)
        self._seen: dict[str, Any] | None = None
        self._digest = ""

    def __call__(self) -> str:
        """32 hexadecimal digits."""
        now = _settings(self._llm)
        if not self._same(now):
            self._digest = digest(llm_settings(self._llm), self._first)
            self._seen = {name: _frozen(value) for name, value in now.items()}
        return self._digest

    def _same(self, now: Mapping[str, Any]) -> bool:
        try:
            return bool(self._seen == now)
        except Exception:  # objects that cannot be compared, such as arrays
            return False


def _settings(llm: LLM) -> dict[str, Any]:
    metadata = _metadata(llm)  # first, since it may fill in a field: a context window that a server tells
    found = {name: value for name, value in llm.__dict__.items() if _counts(name)}
    return {**found, **_private(llm, _is_setting), "metadata": metadata}


def _metadata(llm: LLM) -> dict[str, Any] | None:
    """What a model says of itself, often all that tells its name; `None` where it cannot say, as of a name unknown to it."""
    try:
        metadata = llm.metadata
    except Exception:  # whatever an integration's own code raises
        return None
    return dict(metadata.__dict__)


def _private(llm: LLM, wanted: Callable[[Any], bool]) -> dict[str, Any]:
    private = llm.__pydantic_private__ or {}
    return {name: value for name, value in private.items() if wanted(value) and _counts(name) and _counts(name.lstrip("_"))}


@cache
def _counts(name: str) -> bool:
    return name not in _ELSEWHERE and not is_secret(name)


def _is_setting(value: Any) -> bool:
    """Whether a private attribute says how a model is set, as many integrations keep it; others are clients and counters."""
    return isinstance(value, (str, bool, tuple, dict, BaseModel)) and not isinstance(value, LLM)


def _may_be_counter(value: Any) -> bool:
    """Whether a private attribute may be a setting, but also something that changes with each call."""
    return isinstance(value, (int, float, list)) and not isinstance(value, bool)


def _frozen(value: Any) -> Any:
    """A copy of what may be written into later."""
    if isinstance(value, dict):
        return {name: _frozen(part) for name, part in value.items()}
    return [_frozen(part) for part in value] if isinstance(value, list) else value
