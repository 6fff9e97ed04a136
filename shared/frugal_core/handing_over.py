"""Hands what a wrapper has answered to its audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from frugal_core.audit import Audit
from frugal_core.decision import Decision
from frugal_core.engine import Flow, adrive, drive
from frugal_core.types import Answer, Call, Query


class Asking(Protocol):
    """What a framework brings: a query, and how its tiers are asked."""

    @property
    def query(self) -> Query:
        """The query."""

    @property
    def answers(self) -> Mapping[str, Answer]:
        """What its tiers have said, by their names."""

    @property
    def flow(self) -> Flow:
        """The policy at work on it."""

    def perform(self, call: Call) -> Answer:
        """Make a call."""

    async def aperform(self, call: Call) -> Answer:
        """As `perform`, awaited."""


def hand_over(audit: Audit, asking: Asking, decision: Decision, again: Callable[[], Asking], *, awaited: bool) -> None:
    """Hand an answered query to its audit.

    Args:
        audit: The audit.
        asking: The query, with what its tiers said.
        decision: How it was answered.
        again: Makes the same query anew, to the reference alone, unheard by the caller's listeners.
        awaited: Whether the tiers were awaited; then so is the reference.
    """

    def ask() -> Answer:
        reference = again()
        return drive(reference.flow, reference.perform).answer

    async def aask() -> Answer:
        reference = again()
        return (await adrive(reference.flow, reference.aperform)).answer

    if awaited:
        audit.watch_async(asking.query, decision, asking.answers, aask)
    else:
        audit.watch(asking.query, decision, asking.answers, ask)
