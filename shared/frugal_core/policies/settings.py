"""The policy for what a user typed: the same arguments, defaults and refusals in every framework."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frugal_core.errors import ConfigurationError
from frugal_core.policies.audited import Audited
from frugal_core.policies.base import Policy
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.policies.cascade import Cascade
from frugal_core.policies.failures import recoverable

DEFAULT_CALL_LARGE = 0.3

POLICY_SETTINGS = ("policy", "scorer", "threshold", "call_large", "budget_usd", "on_missing", "escalate_on", "audit")


def policy_from(settings: Mapping[str, Any]) -> Policy:
    """Build the policy that a wrapper's arguments ask for.

    Args:
        settings: Those of `POLICY_SETTINGS` that were given; `None` counts as not given.

    Raises:
        ConfigurationError: One is out of range, or two contradict each other.

    >>> policy_from({"call_large": 0.2}).threshold.call_large
    0.2
    """
    given = {name: settings[name] for name in POLICY_SETTINGS if settings.get(name) is not None}
    audit = given.pop("audit", None)
    policy = _policy(given)
    return policy if audit is None else Audited(policy, audit)


def _policy(given: Mapping[str, Any]) -> Policy:
    if "policy" in given:
        return _whole(given)
    rules = [name for name in ("threshold", "call_large", "budget_usd") if name in given]
    if len(rules) > 1:
        raise ConfigurationError(f"{' and '.join(rules)} contradict each other: each sets the threshold its own way. Give one.")
    if "threshold" in given:
        threshold = given["threshold"]
    elif "budget_usd" in given:
        threshold = BudgetedThreshold(usd=given["budget_usd"])
    else:
        threshold = BudgetedThreshold(given.get("call_large", DEFAULT_CALL_LARGE))
    return Cascade(
        given.get("scorer"),
        threshold,
        on_missing=given.get("on_missing", "escalate"),
        escalate_on=given.get("escalate_on", recoverable),
    )


def _whole(given: Mapping[str, Any]) -> Policy:
    others = [name for name in given if name != "policy"]
    if others:
        raise ConfigurationError(f"policy already decides all: it cannot be combined with {', '.join(others)}.")
    policy = given["policy"]
    if isinstance(policy, (str, Path)):
        return Policy.load(policy)
    if not isinstance(policy, Policy):
        raise ConfigurationError(f"policy={policy!r} must be a Policy or the path of a saved one.")
    return policy
