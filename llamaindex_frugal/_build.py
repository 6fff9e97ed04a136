"""From what a user typed to a `Runner`: everything checked, and nothing built twice."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from llama_index.core.llms import LLM

from frugal_core.arguments import price_book, reference_index, remembered
from frugal_core.errors import ConfigurationError, FrugalWarning
from frugal_core.policies import Policy
from frugal_core.policies.settings import POLICY_SETTINGS, policy_from
from llamaindex_frugal._runner import Runner
from llamaindex_frugal._tiers import TierModel, build_tiers

_PARAMETERS = ("temperature", "max_tokens", "timeout", "max_retries", "api_key")
SETTINGS = frozenset({"models", "reference", "prices", "context_window", "cache", *_PARAMETERS, *POLICY_SETTINGS})
"""Arguments that decide about tiers, policy and cache."""

PROMPT_SETTINGS = ("system_prompt", "messages_to_prompt", "completion_to_prompt", "output_parser", "query_wrapper_prompt")
"""How a model turns prompts into its own form; the wrapper has one such form, the first model's."""


def build_runner(settings: Mapping[str, Any], memory: dict[Any, Any]) -> Runner:
    """Tiers and policy for what the user gave, everything checked.

    Args:
        settings: Values of `SETTINGS`.
        memory: What was built for the same wrapper before.
    """
    models, prices = settings.get("models"), settings.get("prices")
    if settings.get("context_window") not in ("min", "max"):
        raise ConfigurationError(
            f'context_window={settings.get("context_window")!r} must be "min" (prompts fit every model) or "max" (models that '
            "cannot take a prompt are skipped)."
        )
    parameters = {name: settings.get(name) for name in _PARAMETERS}
    parts = (*(models if isinstance(models, (list, tuple)) else [models]), prices, *parameters.values())
    tiers: tuple[TierModel, ...] = remembered(memory, parts, lambda: build_tiers(models, price_book(prices), parameters))
    reference = reference_index(settings.get("reference", -1), len(tiers))
    parts = ("policy", *(settings.get(name) for name in POLICY_SETTINGS))
    policy: Policy = remembered(memory, parts, lambda: policy_from(settings))
    policy.check([tier.about for tier in tiers])
    cache = settings.get("cache")
    if cache is None:
        return Runner(tiers, policy, reference)
    from llamaindex_frugal._cached import CachedRunner, as_cache

    return CachedRunner(tiers, policy, reference, remembered(memory, ("cache", cache), lambda: as_cache(cache)))


def first_prompt_settings(models: list[LLM], given: Mapping[str, Any]) -> dict[str, Any]:
    """Prompt settings for the wrapper: those the user gave it, else the first model's, with a warning where others differ."""
    settings = {name: given.get(name) or getattr(models[0], name) for name in PROMPT_SETTINGS}
    for name, value in settings.items():
        differing = [] if given.get(name) else [type(model).__name__ for model in models if getattr(model, name) != value]
        if differing:
            warnings.warn(
                f"{name} of {', '.join(differing)} differs: the first model's is used for all models. Give "
                f"FrugalLLM({name}=...) the one you mean.",
                FrugalWarning,
                stacklevel=4,
            )
    return settings
