"""Audits what a wrapper serves: asks the reference the same, unheard by the caller's callbacks, traces and streams."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_core.runnables import RunnableConfig

from frugal_core.audit import Audit
from frugal_core.decision import Decision
from frugal_core.handing_over import hand_over
from frugal_core.policies import Single
from langchain_frugal._asking import Asking

if TYPE_CHECKING:
    from langchain_frugal._runner import Runner

TAG = "frugal:audit"
"""Of the runs of audits, which only listeners of the model itself, and global ones, hear of."""


def watch(audit: Audit, runner: Runner, asking: Asking, decision: Decision, *, awaited: bool) -> None:
    """Hand an answered query to its audit.

    Args:
        audit: The audit.
        runner: The wrapper's tiers.
        asking: The query, with what its tiers said.
        decision: How it was answered.
        awaited: Whether the tiers were awaited; then so is the reference.
    """

    def again() -> Asking:
        return asking.again(replace(runner, policy=Single(runner.reference)), _unheard)

    hand_over(audit, asking, decision, again, awaited=awaited)


def _unheard(config: RunnableConfig) -> RunnableConfig:
    """A config without the caller's listeners. What chooses a configurable model stays; what is LangGraph's own does not."""
    configurable = {name: value for name, value in (config.get("configurable") or {}).items() if not name.startswith("__")}
    return RunnableConfig(callbacks=[], tags=[TAG], configurable=configurable)
