"""What a model said when its own client could not parse it: such a client raises, where a parser behind it would tell."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from pydantic import ValidationError

_UNFINISHED = frozenset({"LengthFinishReasonError", "ContentFilterFinishReasonError"})
"""What OpenAI's SDK raises for structured output that was cut off or filtered."""


def unparsed(error: BaseException) -> AIMessage | None:
    """Read a model's words from the exception of a client that could not parse them.

    Args:
        error: What the call raised.

    Returns:
        The message, with usage and reason for stopping as far as the exception carries the provider's response
        (`ChatOpenAI` attaches it); `None` where something else went wrong.
    """
    if not isinstance(error, ValidationError) and type(error).__name__ not in _UNFINISHED:
        return None
    try:
        body = error.response.json()  # type: ignore[attr-defined]
        choice = body["choices"][0]
        metadata = {name: choice[name] for name in ("finish_reason", "logprobs") if choice.get(name) is not None}
        text = choice["message"].get("content") or ""
        return AIMessage(text, response_metadata=metadata, usage_metadata=_usage(body.get("usage")))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return AIMessage("")


def _usage(told: Any) -> Any:
    if not told:
        return None
    read, written = told["prompt_tokens"], told["completion_tokens"]
    cached = (told.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    details = {"input_token_details": {"cache_read": cached}}
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written, **details}
