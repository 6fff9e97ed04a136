"""Which tiers cannot be asked at all."""

from __future__ import annotations

from frugal_core.decision import Reason
from frugal_core.tokens import fits
from frugal_core.types import Query, Tier


def obstacles_of(query: Query) -> list[Reason | None]:
    """Why each tier cannot be asked, `None` for those that can: it takes no tools, gives no schema, or has too small a window.

    >>> from frugal_core.types import Message
    >>> query = Query((Message("user", "Hello"),), (Tier("small", supports_tools=False), Tier("large")), tools=({"name": "f"},))
    >>> obstacles_of(query)
    ['no_tools', None]
    """
    return [
        None if tier.context_window is None and tier.supports_tools and tier.supports_schema else _obstacle(query, tier)
        for tier in query.tiers
    ]


def _obstacle(query: Query, tier: Tier) -> Reason | None:
    if query.tools and not tier.supports_tools:
        return "no_tools"
    if query.response_format is not None and not tier.supports_schema:
        return "no_schema"
    return None if tier.context_window is None or fits(query, tier) else "too_long"
