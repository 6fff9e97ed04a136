"""Objects that have to begin anew in a forked process."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What has locks, coins or counts of one process."""

    def forked(self) -> None:
        """Begin anew, in a child of the process that it was made in."""


_known: WeakSet[Forked] = WeakSet()


def follow(one: Forked) -> None:
    """Call an object's `forked` in every child of this process, for as long as the object lives."""
    _known.add(one)


def _in_child() -> None:
    for one in list(_known):
        one.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
