"""Token log-probabilities in the forms that providers give them, and the ways they are refused.

Who can be asked, in which words, and in which corner of a response the answer lands is each framework's own matter; what
is found there is read by `parse_logprobs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from frugal_core.fields import field
from frugal_core.types import TokenLogprob

_ROUNDING = 1e-3
"""How far above zero a log-probability may lie before it is malformed rather than rounded."""

_REFUSED = frozenset({400, 422})

_REASONING_MODEL = re.compile(r"(?:.*/)?(?:ft:)?(?:o\d(?:-|$)|gpt-[5-9](?:[.-]|$)|deepseek-reasoner)(?!.*chat)")


def parse_logprobs(found: Any) -> tuple[TokenLogprob, ...]:
    """Read the log-probabilities of an answer's tokens, in order, whichever provider gave them.

    A refusal's log-probabilities are not those of an answer and count as none. One malformed entry (a string, NaN, a
    positive number, a missing key) discards them all: half a signal is a missing one.

    Args:
        found: What stood at the provider's place for log-probabilities, as dicts and lists or as an SDK's objects:
            a list of tokens (Ollama, Vertex, OpenAI's content blocks), `{"content": [...]}` (OpenAI and compatible),
            `{"chosen_candidates": [...], "top_candidates": [...]}` (Google), or
            `{"tokens": [...], "token_logprobs": [...], "top_logprobs": [...]}` (OpenAI's legacy completions, Together).

    Returns:
        One entry per token; `()` where there are none or they are malformed. `-inf` is legal; rounding above zero
        becomes `0.0`.

    >>> parse_logprobs({"content": [{"token": "Yes", "logprob": -0.1}]})
    (TokenLogprob(token='Yes', logprob=-0.1, top=()),)
    >>> parse_logprobs({"content": [{"token": "Yes", "logprob": "-0.1"}]})
    ()
    """
    if found is None:
        return ()
    try:
        return tuple(_tokens(found))
    except (TypeError, ValueError, OverflowError):
        return ()


def refuses_logprobs(error: BaseException) -> bool:
    """Tell whether a call failed because it asked for log-probabilities, so that it may be repeated without.

    True for a provider's 400 or 422 that names them, and for a client method that does not know the argument.

    >>> refuses_logprobs(TypeError("create() got an unexpected keyword argument 'logprobs'"))
    True
    >>> refuses_logprobs(ValueError("logprobs"))
    False
    """
    return refuses(error, "logprob")


def refuses(error: BaseException, argument: str) -> bool:
    """Tell whether a call failed because of one argument, so that it may be repeated without.

    Args:
        error: What the call raised; its cause is looked at as well.
        argument: The argument's name or the telling part of it, in lower case.

    >>> refuses(TypeError("create() got an unexpected keyword argument 'stream_options'"), "stream_options")
    True
    """
    return any(
        argument in str(fault).lower() and (isinstance(fault, TypeError) or _status(fault) in _REFUSED)
        for fault in (error, error.__cause__)
        if fault is not None
    )


def is_reasoning_model(name: str) -> bool:
    """Tell whether a model answers a request for log-probabilities with 400, unless it is told not to reason.

    Args:
        name: The provider's model name; a path such as `openai/` may stand before it.

    >>> [is_reasoning_model(name) for name in ("openai/o3-mini", "gpt-5", "gpt-5-chat-latest", "gpt-4o")]
    [True, True, False, False]
    """
    return bool(_REASONING_MODEL.match(name.lower()))


def missing_logprobs_hint(label: str) -> str:
    """Say which tier gives no token log-probabilities, and what to do about it, in one sentence.

    Args:
        label: The tier's client as its user wrote it, such as `ChatOpenAI('o3')`.
    """
    return (
        f"{label} gave an answer without token log-probabilities, which the scorer needs; such answers are escalated, so that "
        "their queries pay for both models. Choose a scorer that needs none: Margin().or_else(SchemaValid()) serves "
        "well-formed tool calls and structured output; for free text give your own, scorer=lambda query, answer: ..."
    )


def _status(error: BaseException) -> Any:
    response = getattr(error, "response", None)
    places = ((error, "status_code"), (error, "code"), (response, "status_code"))
    return next((status for place, name in places if isinstance(status := getattr(place, name, None), int)), None)


def _tokens(found: Any) -> Iterator[TokenLogprob]:
    if isinstance(found, list):  # Ollama, Vertex, content blocks
        entries: Iterable[Any] = found
    elif (content := field(found, "content")) is not None:  # OpenAI and compatible
        entries = _list(content)
    elif (chosen := field(found, "chosen_candidates")) is not None:  # Google
        return _paired(chosen, field(found, "top_candidates"))
    elif (tokens := field(found, "tokens")) is not None:  # Together, Fireworks: OpenAI's legacy completions
        return _parallel(tokens, field(found, "token_logprobs"), field(found, "top_logprobs"))
    else:
        entries = ()
    return (_token(entry, field(entry, "top_logprobs")) for entry in entries)


def _paired(chosen: Any, top: Any) -> Iterator[TokenLogprob]:
    chosen = _list(chosen)
    tops = [field(place, "candidates") for place in _list(top)] if top else [None] * len(chosen)
    return (_token(entry, alternatives) for entry, alternatives in zip(chosen, tops, strict=True))


def _parallel(tokens: Any, logprobs: Any, top: Any) -> Iterator[TokenLogprob]:
    tokens = _list(tokens)
    tops = [_mapping(place).items() for place in _list(top)] if top else [()] * len(tokens)
    for token, logprob, alternatives in zip(tokens, _list(logprobs), tops, strict=True):
        yield TokenLogprob(_text(token), _logprob(logprob), _best_first(alternatives))


def _token(entry: Any, top: Any) -> TokenLogprob:
    alternatives = ((field(other, "token"), _field_logprob(other)) for other in _list(top or []))
    return TokenLogprob(_text(field(entry, "token")), _logprob(_field_logprob(entry)), _best_first(alternatives))


def _best_first(alternatives: Iterable[tuple[Any, Any]]) -> tuple[tuple[str, float], ...]:
    checked = [(_text(token), _logprob(logprob)) for token, logprob in alternatives]
    return tuple(sorted(checked, key=lambda alternative: -alternative[1]))


def _field_logprob(entry: Any) -> Any:
    value = field(entry, "logprob")
    return field(entry, "log_probability") if value is None else value


def _logprob(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    if not value <= _ROUNDING:  # also NaN
        raise ValueError(value)
    return min(float(value), 0.0)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def _mapping(value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value
