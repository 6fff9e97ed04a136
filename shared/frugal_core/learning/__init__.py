"""Learning from recorded answers."""

from frugal_core.learning.recordings import Recordings

__all__ = ["Recordings"]
