"""What must agree before a near neighbour may answer."""

from frugal_core.cache.guards.base import Guard, GuardFunction

STANDARD: tuple[GuardFunction, ...] = ()
"""All of them, which a cache has by default."""

__all__ = ["STANDARD", "Guard", "GuardFunction"]
