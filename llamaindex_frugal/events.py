"""Instrumentation events of the wrapper: add an event handler to LlamaIndex's dispatcher to hear them.

Events of the calls themselves (start, tokens, end) come from the models, once for each real call.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.instrumentation.events import BaseEvent

from frugal_core.decision import Decision
from llamaindex_frugal._spans import dispatcher, heard


class FrugalDecisionEvent(BaseEvent):
    """A query was answered.

    Attributes:
        decision: How, as `frugal_core.decision.Decision.to_dict` gives it.
    """

    decision: dict[str, Any]

    @classmethod
    def class_name(cls) -> str:
        """Name of the event."""
        return "FrugalDecisionEvent"


class FrugalTierSkippedEvent(BaseEvent):
    """A tier was ruled out without a call.

    Attributes:
        tier: Its name.
        reason: `"too_long"`, `"no_tools"` or `"no_schema"`.
    """

    tier: str
    reason: str

    @classmethod
    def class_name(cls) -> str:
        """Name of the event."""
        return "FrugalTierSkippedEvent"


def dispatch(decision: Decision) -> None:
    """Tell event handlers, if there are any, what was decided."""
    if not heard():
        return
    for step in decision.steps:
        if not step.called:
            dispatcher.event(FrugalTierSkippedEvent(tier=step.tier, reason=step.reason))
    dispatcher.event(FrugalDecisionEvent(decision=decision.to_dict()))
