"""Replies of models, as the semantic cache takes them."""

from __future__ import annotations

import json

from langchain_core.messages import AIMessage

from frugal_core.cache import Answered
from frugal_core.cache.storable import UNSERIALIZABLE, objection_to
from frugal_core.pricing import PriceBook
from frugal_core.types import Answer
from langchain_frugal._convert import spoken


def answered(message: AIMessage, payload: str | None, temperature: float | None, *, semantic: bool = True) -> Answered:
    """A reply of a model that is nobody's tier. Its baseline is its own cost: that is saved when it is served again.

    Args:
        message: The reply.
        payload: Its JSON, `None` where it has none.
        temperature: It was sampled at, where one was set.
        semantic: Whether it may answer other questions, if it makes no calls.
    """
    name = message.response_metadata.get("model_name") or message.response_metadata.get("model")
    price = PriceBook.default().price(name) if isinstance(name, str) else None
    answer = spoken(message, price)
    return Answered(
        compared(answer),
        payload or "",
        objection_to(answer, None, temperature) or (None if payload else UNSERIALIZABLE),
        semantic=semantic and not answer.tool_calls,
        cost_usd=answer.cost_usd,
        baseline_cost_usd=answer.cost_usd,
    )


def compared(answer: Answer) -> str:
    """What of an answer is compared with another's: its calls, if it makes any, else its text."""
    if not answer.tool_calls:
        return answer.text
    return json.dumps([[call.name, call.args] for call in answer.tool_calls], sort_keys=True, default=repr)
