"""From what a user typed to a `Runner`: everything checked, and nothing built twice."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from frugal_core.errors import ConfigurationError
from frugal_core.policies import Policy
from frugal_core.policies.settings import POLICY_SETTINGS, policy_from
from frugal_core.pricing import PriceBook
from langchain_frugal._messages import MessageShape
from langchain_frugal._runner import Runner
from langchain_frugal._tiers import TierModel, build_tiers

_PARAMETERS = ("temperature", "max_tokens", "stop", "timeout", "max_retries", "api_key", "streaming")
SETTINGS = frozenset({"models", "reference", "prices", *_PARAMETERS, *POLICY_SETTINGS})
"""Arguments that decide about tiers and policy."""


def build_runner(models: Sequence[Any], settings: Mapping[str, Any]) -> Runner:
    """Tiers and policy for what the user gave, everything checked."""
    shared, prices = settings["shared"], settings.get("prices")
    parameters = {name: settings.get(name) for name in _PARAMETERS}
    parts = (*(models if isinstance(models, (list, tuple)) else [models]), prices, *parameters.values())
    tiers: tuple[TierModel, ...] = _remembered(shared, parts, lambda: build_tiers(models, _price_book(prices), parameters))
    reference = settings.get("reference", -1)
    if type(reference) is not int or not -len(tiers) <= reference < len(tiers):
        raise ConfigurationError(f"reference={reference!r} is no index of the {len(tiers)} models: 0 to {len(tiers) - 1}.")
    parts = ("policy", *(settings.get(name) for name in POLICY_SETTINGS))
    policy: Policy = _remembered(shared, parts, lambda: policy_from(settings))
    policy.check([tier.about for tier in tiers])
    return Runner(tiers, policy, reference % len(tiers), MessageShape(settings.get("output_version")))


def _remembered(shared: dict[Any, Any], parts: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What was made of these parts before, by this object or one it was copied from; else made now."""
    key = _key(parts)
    if key not in shared:
        shared.setdefault(key, (parts, make()))  # the parts are kept, so that no other object can take on their id
    return shared[key][1]


def _key(part: Any) -> Any:
    """What tells parts apart: numbers, texts and lists of them by value, all else by being another object."""
    if isinstance(part, (list, tuple)):
        return tuple(map(_key, part))
    return part if part is None or isinstance(part, (int, float, str)) else id(part)


def _price_book(prices: Any) -> PriceBook:
    if prices is None:
        return PriceBook.default()
    if isinstance(prices, PriceBook):
        return prices
    if not isinstance(prices, Mapping):
        raise ConfigurationError(f"prices={prices!r} must map model names to (input, output) in USD per million tokens.")
    return PriceBook.default().override(prices)


def refuse_unknown(given: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Refuse an argument that there is not, and name the one that may have been meant."""
    unknown = [name for name in given if name not in fields]
    if unknown:
        near = difflib.get_close_matches(unknown[0], fields, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"ChatFrugal has no argument {unknown[0]!r}.{hint}")
