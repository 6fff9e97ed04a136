"""The settings of a chat model that LangChain itself cannot tell from others of its class."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, SecretBytes, SecretStr

from frugal_core.secret_names import is_secret

_ELSEWHERE = frozenset({*BaseChatModel.model_fields, "timeout", "request_timeout", "max_retries"}) - {"output_version"}
"""Fields that decide about nothing in an answer: callbacks, tags, the cache, ..."""


def settings_of(model: BaseChatModel) -> str:
    """Digest of a model's class, and of its fields where it has no `_identifying_params`; empty if core can serialize it.

    Secrets and what decides about nothing in an answer are left out. Objects count by their class, functions by their name.
    Private texts, truth values and tuples count; other private attributes are taken for clients and counters.

    Args:
        model: The model.

    Returns:
        64 hexadecimal digits, or nothing.
    """
    if model.is_lc_serializable():
        return ""
    written = json.dumps([_named(type(model)), {} if _tells_itself(type(model)) else _plain(_fields(model))], sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()


def _tells_itself(cls: type[BaseChatModel]) -> bool:
    return any(getattr(cls, name) is not getattr(BaseChatModel, name) for name in ("_identifying_params", "_get_llm_string"))


def _fields(model: BaseChatModel) -> dict[str, Any]:
    private = model.__pydantic_private__ or {}
    said = {name: value for name, value in private.items() if isinstance(value, (str, bool, tuple))}
    fields = {name: value for name, value in model.__dict__.items() if name in type(model).model_fields}  # no cached properties
    found = {**fields, **(model.__pydantic_extra__ or {}), **said}
    return {name: value for name, value in found.items() if name.lstrip("_") not in _ELSEWHERE}


def _plain(value: Any) -> Any:
    """A value as JSON data, in which equal things are equal."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (SecretStr, SecretBytes)):
        return None
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items() if not is_secret(str(name))}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(part) for part in value), key=repr)
    if isinstance(value, BaseChatModel):  # a model around another
        return [_named(type(value)), value._get_llm_string(), settings_of(value)]
    if isinstance(value, BaseModel):
        return [_named(type(value)), _plain(value.__dict__)]
    return _named(value if hasattr(value, "__qualname__") else type(value))


def _named(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"
