"""Asking a chat model for token log-probabilities, and finding them in what it returned.

Providers differ in how log-probabilities are asked for, in who may ask, and in where the answer lands. The first two
are the table `_DIALECTS`, keyed by class name so that no provider package is imported; the third is
`extract_logprobs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable

from frugal_core import provider_logprobs
from frugal_core.provider_logprobs import is_reasoning_model, parse_logprobs
from frugal_core.types import TokenLogprob


def logprob_kwargs(model: Any, top: int = 10) -> dict[str, Any] | None:
    """Find the call kwargs that make a chat model return token log-probabilities with alternatives.

    What the user set himself (on the model, in its `model_kwargs`, or by `.bind`) is never overridden, only completed.

    Args:
        model: A chat model, bare or wrapped by `.bind`, `.with_config`, `.with_retry` or `.configurable_fields`.
        top: Number of alternatives wanted per token; capped at what the provider takes.

    Returns:
        Kwargs for `model.invoke(messages, **kwargs)`; `{}` if the model returns log-probabilities as it is; `None` if
        it cannot, is not known to, or was told by the user not to.
    """
    inner, bound = unwrap(model)
    asks, able = _dialect(inner)
    if not able(inner, bound):
        return None
    wanted = {name: most if most is True else min(top, most) for name, most in asks.items()}
    said = {name: _setting(inner, bound, name) for name in wanted}
    if any(value is False for value in said.values()):
        return None
    # Where the switch counts the alternatives (`logprobs=5`), `True` asks for none of them.
    return {name: value for name, value in wanted.items() if said[name] is None or (said[name] is True is not value)}


def extract_logprobs(message: AIMessage) -> tuple[TokenLogprob, ...]:
    """Read the log-probabilities of an answer's tokens, in order, whichever provider gave them.

    A refusal's log-probabilities are not those of an answer and count as none. One malformed entry (a string, NaN, a
    positive number, a missing key) discards them all: half a signal is a missing one.

    Args:
        message: A chat model's message, streamed and merged or not.

    Returns:
        One entry per token; `()` where there are none or they are malformed. `-inf` is legal; rounding above zero
        becomes `0.0`.

    >>> found = {"content": [{"token": "Yes", "logprob": -0.1}]}
    >>> extract_logprobs(AIMessage("Yes", response_metadata={"logprobs": found}))
    (TokenLogprob(token='Yes', logprob=-0.1, top=()),)
    """
    metadata = message.response_metadata
    found = metadata.get("logprobs")
    if found is None:
        found = metadata.get("logprobs_result")
        if found is None and isinstance(message.content, str):
            return ()
    return parse_logprobs(_of_blocks(message.content) if found is None else found)


def missing_logprobs_hint(model: Any) -> str:
    """Say which tier gives no token log-probabilities, and what to do about it, in one sentence."""
    inner, _ = unwrap(model)
    name = _model_name(inner)
    tier = f"{type(inner).__name__}({name!r})" if name else type(inner).__name__
    return provider_logprobs.missing_logprobs_hint(tier)


def unwrap(model: Any) -> tuple[Any, dict[str, Any]]:
    """Take a chat model out of its bindings and configurable wrappers, with the kwargs bound on the way."""
    bound: dict[str, Any] = {}
    while True:
        if isinstance(model, RunnableBindingBase):
            bound = {**model.kwargs, **bound}
            model = model.bound
        elif isinstance(model, DynamicRunnable):
            model = model.default
        else:
            return model, bound


def uses_responses_api(model: Any, bound: Mapping[str, Any]) -> bool:
    """Tell whether an OpenAI-family model talks to the Responses API rather than to Chat Completions."""
    decide = getattr(model, "_use_responses_api", None)  # langchain-openai's own rule: settings, tools, model names
    return bool(decide({**model.model_kwargs, **bound})) if decide else False


# --- who can be asked, and how ---

Able = Callable[[Any, Mapping[str, Any]], bool]


def _always(model: Any, bound: Mapping[str, Any]) -> bool:
    return True


def _never(model: Any, bound: Mapping[str, Any]) -> bool:
    return False


def _not_reasoning(model: Any, bound: Mapping[str, Any]) -> bool:
    name = str(bound.get("model") or _model_name(model))
    return not is_reasoning_model(name) or _setting(model, bound, "reasoning_effort") == "none"


def _chat_completions(model: Any, bound: Mapping[str, Any]) -> bool:
    # langchain-openai drops the log-probabilities of the Responses API on the way back (langchain #36211).
    return not uses_responses_api(model, bound) and _not_reasoning(model, bound)


def _configured(model: Any, bound: Mapping[str, Any]) -> bool:
    # Vertex parses the response by the constructor's `logprobs`: asked for in a call only, they come and are dropped.
    return bool(getattr(model, "logprobs", False))


def _served(model: Any, bound: Mapping[str, Any]) -> bool:
    return type(getattr(model, "llm", None)).__name__ in {"HuggingFaceEndpoint", "HuggingFaceTextGenInference"}


def _keeps_logits(model: Any, bound: Mapping[str, Any]) -> bool:
    return bool(getattr(model, "logits_all", False))


_OPENAI = {"logprobs": True, "top_logprobs": 20}

_DIALECTS: dict[str, tuple[Mapping[str, int], Able]] = {
    # class name: (kwarg -> `True` for a switch or the most alternatives the provider takes; who of that class can)
    "BaseChatOpenAI": (_OPENAI, _chat_completions),
    "ChatXAI": ({"logprobs": True, "top_logprobs": 8}, _chat_completions),
    "ChatTogether": ({"logprobs": 20}, _chat_completions),
    "ChatFireworks": ({"logprobs": True, "top_logprobs": 5}, _always),
    "ChatHuggingFace": ({"logprobs": True, "top_logprobs": 5}, _served),
    "ChatLiteLLM": (_OPENAI, _not_reasoning),
    "ChatLlamaCpp": (_OPENAI, _keeps_logits),
    "ChatOllama": (_OPENAI, _always),
    "ChatOpenRouter": (_OPENAI, _not_reasoning),
    "ChatPlayground": (_OPENAI, _always),
    "ChatVertexAI": ({}, _configured),
}


def _dialect(model: Any) -> tuple[Mapping[str, int], Able]:
    known = (_DIALECTS[cls.__name__] for cls in type(model).__mro__ if cls.__name__ in _DIALECTS)
    return next(known, ({}, _never))


def _setting(model: Any, bound: Mapping[str, Any], name: str) -> Any:
    """What the user set `name` to: bound, in `model_kwargs`, or as a field; `None` when he said nothing."""
    if name in bound:
        return bound[name]
    extra = getattr(model, "model_kwargs", None)
    if isinstance(extra, dict) and name in extra:
        return extra[name]
    return getattr(model, name, None) if name in getattr(model, "model_fields_set", ()) else None


def _model_name(model: Any) -> str:
    names = (getattr(model, field, None) for field in ("model_name", "model", "deployment_name", "model_id"))
    return next((name for name in names if isinstance(name, str) and name), "")


# --- where the answer lands ---


def _of_blocks(content: Any) -> list[Any] | None:
    parts = [block["logprobs"] for block in content if isinstance(block, dict) and block.get("logprobs")]
    return [token for part in parts for token in part] if all(isinstance(part, list) for part in parts) else None
