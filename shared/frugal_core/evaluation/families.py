"""The families of policies that `frugal evaluate --policies` compares, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from frugal_core.errors import ConfigurationError
from frugal_core.learning.cascade_path import CascadeSearch
from frugal_core.learning.cascade_routing import CascadeRouting
from frugal_core.learning.choice import Chosen
from frugal_core.learning.learned_cascade import LearnedCascade
from frugal_core.learning.path import Family
from frugal_core.learning.routing import Routing
from frugal_core.learning.singles import Singles

ALL = "all"

FAMILIES: Mapping[str, tuple[Callable[[], Family], str]] = {
    "single": (lambda: Singles(name="single"), "one model for all queries"),
    "threshold": (
        lambda: CascadeSearch(depth=2, name="threshold"),
        "two models, a threshold on the recorded signal",
    ),
    "cascade": (
        lambda: CascadeSearch(name="cascade"),
        "up to three models in any order, thresholds on the recorded signal",
    ),
    "learned-cascade": (
        lambda: LearnedCascade(name="learned-cascade"),
        "the same on a score learned from all that an answer shows (FrugalGPT)",
    ),
    "router": (lambda: Routing(name="router"), "one model per query, chosen by the query's text before any is asked"),
    "cascade-router": (
        lambda: CascadeRouting(fusion=False, name="cascade-router"),
        "whom to ask next, and when to stop, decided anew after every answer",
    ),
    "fusion": (
        lambda: CascadeRouting(fusion=True, name="fusion"),
        "the same, with an eye on which answers agree",
    ),
}
"""By name: makes the family, and says what it is."""

FIT = "fit"
"""Name of what `fit` chooses among those named beside it, for each budget; among all where it stands alone."""


def described_families() -> dict[str, str]:
    """What each name stands for."""
    return {
        **{name: what for name, (_, what) in FAMILIES.items()},
        FIT: "what `frugal fit` chooses among the others for each budget, by cross-validation",
    }


def chosen_families(names: Sequence[str]) -> list[Family]:
    """Families by name, each once.

    Args:
        names: Names, or several of them with commas between; "all" stands for all.

    Raises:
        ConfigurationError: One is unknown, or there are none.

    >>> [family.name for family in chosen_families(["single,cascade"])]
    ['single', 'cascade']
    """
    wanted = [name.strip() for text in names for name in text.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in (*FAMILIES, ALL, FIT)]
    if unknown or not wanted:
        seen = repr(unknown[0]) if unknown else "nothing"
        raise ConfigurationError(f"--policies {seen}: give {ALL}, or some of {', '.join((*FAMILIES, FIT))}.")
    named = [make() for name, (make, _) in FAMILIES.items() if ALL in wanted or name in wanted]
    if not {ALL, FIT} & set(wanted):
        return named
    return [*named, Chosen(tuple(named or (make() for make, _ in FAMILIES.values())), name=FIT)]
