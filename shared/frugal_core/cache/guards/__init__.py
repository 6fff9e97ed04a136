"""What must agree before a near neighbour may answer."""

from frugal_core.cache.guards.base import Guard, GuardFunction
from frugal_core.cache.guards.dates import Dates
from frugal_core.cache.guards.kinds import Kinds
from frugal_core.cache.guards.names import Names
from frugal_core.cache.guards.negation import Negation
from frugal_core.cache.guards.numbers import Numbers
from frugal_core.cache.guards.order import Order
from frugal_core.cache.guards.polarity import Polarity
from frugal_core.cache.guards.quotes import Quotes
from frugal_core.cache.guards.units import Units

STANDARD: tuple[GuardFunction, ...] = (
    Numbers(),
    Units(),
    Dates(),
    Negation(),
    Polarity(),
    Quotes(),
    Order(),
    Kinds(),
    Names(),
)
"""All of them, which a cache has by default."""

__all__ = [
    "STANDARD",
    "Dates",
    "Guard",
    "GuardFunction",
    "Kinds",
    "Names",
    "Negation",
    "Numbers",
    "Order",
    "Polarity",
    "Quotes",
    "Units",
]
