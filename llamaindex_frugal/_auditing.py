"""Audits what a wrapper serves: asks the reference the same, outside the caller's spans and unheard by its callbacks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llama_index.core.callbacks import CallbackManager

from frugal_core.audit import Audit
from frugal_core.decision import Decision
from frugal_core.handing_over import hand_over
from frugal_core.policies import Single
from llamaindex_frugal._asking import Asking
from llamaindex_frugal._requests import Request

if TYPE_CHECKING:
    from llamaindex_frugal._runner import Runner


def watch(audit: Audit, runner: Runner, request: Request, asking: Asking, decision: Decision, *, awaited: bool) -> None:
    """Hand an answered request to its audit.

    Args:
        audit: The audit.
        runner: The wrapper's tiers.
        request: What was asked for.
        asking: Its query, with what the tiers said.
        decision: How it was answered.
        awaited: Whether the tiers were awaited; then so is the reference.
    """

    def again() -> Asking:
        return Asking(_unheard(runner), request)

    hand_over(audit, asking, decision, again, awaited=awaited)


def _unheard(runner: Runner) -> Runner:
    """The tiers, the reference one without the callbacks that its model has been given; only the reference is asked."""
    manager = CallbackManager([])
    manager.set_handlers([])  # it begins with the global handler
    tier = runner.tiers[runner.reference]
    quiet = replace(tier, llm=tier.llm.model_copy(update={"callback_manager": manager}), _prompted={})
    tiers = tuple(quiet if each is tier else each for each in runner.tiers)
    return replace(runner, tiers=tiers, policy=Single(runner.reference))
