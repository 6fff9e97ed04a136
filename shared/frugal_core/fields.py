"""Reads what providers return, which is a dict of one SDK and an object of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def field(entry: Any, name: str) -> Any:
    """Read a key of a dict or an attribute of an SDK's object; `None` where there is none.

    >>> field({"token": "Yes"}, "token"), field(object(), "token")
    ('Yes', None)
    """
    return entry.get(name) if isinstance(entry, dict) else getattr(entry, name, None)


def fields(entry: Any) -> Callable[[str], Any]:
    """Read several: what `field` does with one entry, by name.

    >>> fields({"token": "Yes"})("token")
    'Yes'
    """
    return entry.get if isinstance(entry, dict) else lambda name: getattr(entry, name, None)
