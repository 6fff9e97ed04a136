"""Who makes room for others: orders of keys, in which every step takes the same time however many there are."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol


class Order(Protocol):
    """An order of keys."""

    def add(self, key: str) -> None:
        """Take in a key that is new."""

    def use(self, key: str) -> None:
        """Note a use of a key; nothing where it is unknown."""

    def remove(self, key: str) -> None:
        """Forget a key that is there."""

    def first(self) -> str:
        """The key whose turn it is."""


class Recency:
    """The key not used for longest goes first.

    >>> order = Recency()
    >>> for key in "ab": order.add(key)
    >>> order.use("a"); order.first()
    'b'
    """

    def __init__(self) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()

    def add(self, key: str) -> None:
        """Take in a key, as the one used last."""
        self._keys[key] = None

    def use(self, key: str) -> None:
        """Note a use."""
        if key in self._keys:
            self._keys.move_to_end(key)

    def remove(self, key: str) -> None:
        """Forget a key."""
        del self._keys[key]

    def first(self) -> str:
        """The key not used for longest."""
        return next(iter(self._keys))


class Frequency:
    """The key used least goes first; of those used equally often, the one that has been so for longest.

    >>> order = Frequency()
    >>> for key in "aabbc": order.use(key) if key in "ab" and key in order.uses else order.add(key)
    >>> order.first()
    'c'
    """

    def __init__(self) -> None:
        self.uses: dict[str, int] = {}
        self._keys: dict[int, dict[str, None]] = {}  # keys by their number of uses
        self._least = 0

    def add(self, key: str) -> None:
        """Take in a key, as one never used."""
        self.uses[key] = self._least = 0
        self._keys.setdefault(0, {})[key] = None

    def use(self, key: str) -> None:
        """Note a use."""
        uses = self.uses.get(key)
        if uses is not None:
            self._drop(key, uses)
            self.uses[key] = uses + 1
            self._keys.setdefault(uses + 1, {})[key] = None

    def remove(self, key: str) -> None:
        """Forget a key."""
        self._drop(key, self.uses.pop(key))

    def first(self) -> str:
        """The key used least."""
        if self._least not in self._keys:
            self._least = min(self._keys)
        return next(iter(self._keys[self._least]))

    def _drop(self, key: str, uses: int) -> None:
        alike = self._keys[uses]
        del alike[key]
        if not alike:
            del self._keys[uses]
