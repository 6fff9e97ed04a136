"""From what a user typed to a `Runner`: everything checked, and nothing built twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from frugal_core.arguments import price_book, reference_index, remembered
from frugal_core.policies import Policy
from frugal_core.policies.settings import POLICY_SETTINGS, policy_from
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
    tiers: tuple[TierModel, ...] = remembered(shared, parts, lambda: build_tiers(models, price_book(prices), parameters))
    reference = reference_index(settings.get("reference", -1), len(tiers))
    parts = ("policy", *(settings.get(name) for name in POLICY_SETTINGS))
    policy: Policy = remembered(shared, parts, lambda: policy_from(settings))
    policy.check([tier.about for tier in tiers])
    return Runner(tiers, policy, reference, MessageShape(settings.get("output_version")))
