"""Messages that are converted from a framework's own only when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from frugal_core.types import Message


class Conversation(Sequence[Message]):
    """Neutral messages, made once and only if they are read: most policies look at answers alone.

    Args:
        convert: Makes them. System messages are left out: they stand in `Query.system`.

    >>> Conversation(lambda: [Message("user", "Hello")])[-1].text
    'Hello'
    """

    __slots__ = ("_convert", "_messages")

    def __init__(self, convert: Callable[[], list[Message]]) -> None:
        self._convert = convert
        self._messages: list[Message] | None = None

    @property
    def _converted(self) -> list[Message]:
        if self._messages is None:
            self._messages = self._convert()
        return self._messages

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        return self._converted[index]

    def __len__(self) -> int:
        return len(self._converted)
