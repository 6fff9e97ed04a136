"""Names of settings that hold secrets, which belong into no key, file or message."""

from __future__ import annotations

import re

_SECRET = re.compile(r"key$|access_key|secret|password|credential|authorization|(^|_)token$|headers$", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret.

    >>> [is_secret(name) for name in ("api_key", "token", "max_tokens", "model")]
    [True, True, False, False]
    """
    return _SECRET.search(name) is not None
