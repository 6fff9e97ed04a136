"""Which of a wrapper's tiers a learned policy means: it knows its models by name."""

from __future__ import annotations

from collections.abc import Sequence

from frugal_core.errors import ConfigurationError
from frugal_core.types import Tier


def places_of(models: Sequence[str], tiers: Sequence[Tier]) -> tuple[int, ...]:
    """Indices of the tiers that go by these names.

    Args:
        models: Names of tiers, or of the models behind them.
        tiers: The tiers.

    Raises:
        ConfigurationError: No tier goes by a name.

    >>> places_of(["large"], [Tier("small"), Tier("large")])
    (1,)
    """
    by_model = {tier.model: place for place, tier in reversed(list(enumerate(tiers))) if tier.model}
    by_name = {**by_model, **{tier.name: place for place, tier in enumerate(tiers)}}
    missing = [name for name in models if name not in by_name]
    if missing:
        known = ", ".join(tier.name for tier in tiers)
        raise ConfigurationError(
            f"The policy was learned for a model {missing[0]!r}, but the models here are {known}. Give the models it was "
            "learned with, under the names they have in the recordings, or learn it anew."
        )
    return tuple(by_name[name] for name in models)
