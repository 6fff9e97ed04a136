"""Learning from recorded answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugal_core.learning.recordings import Recordings

__all__ = ["Recordings"]


def __getattr__(name: str) -> Any:
    """Import it when it is used: numpy, which it needs, takes longer than all the rest."""
    if name == "Recordings":
        from frugal_core.learning.recordings import Recordings

        return Recordings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
