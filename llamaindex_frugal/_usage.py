"""Reading tokens and the reason for stopping from what an LLM returned, and asking a stream for its tokens.

Every integration keeps the provider's own response in `raw`, as an SDK's object or as a dict; under which names it counts
tokens there is told by `reported_usage`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.llms import LLM

from frugal_core.fields import field, fields
from frugal_core.finish_reasons import normalised
from frugal_core.provider_logprobs import refuses
from frugal_core.types import Usage

_SILENT_STREAMS = frozenset({"OpenAI", "LiteLLM"})
"""Classes, with their heirs, whose streams report no tokens unless asked."""


def reported_usage(response: ChatResponse | CompletionResponse) -> Usage | None:
    """Read the tokens of a call by the provider's own count.

    Args:
        response: What an LLM returned. In a stream, the one response (mostly the last) that carries the count.

    Returns:
        Tokens of the call. Input includes what was read from the prompt cache and written to it, output includes hidden
        reasoning, whether the provider counts them in (OpenAI) or beside (Anthropic, Bedrock, Google's reasoning). `None`
        where there is no count, where it is malformed, and where it is zero on both sides, as some integrations fill it in.

    >>> usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    >>> reported_usage(CompletionResponse(text="Yes", raw={"usage": usage}))
    Usage(input_tokens=9, output_tokens=2, cached_input_tokens=4, estimated=False)
    """
    raw = response.raw
    found = None if raw is None else _counted(raw)
    return _counted(response.additional_kwargs) if found is None and response.additional_kwargs else found


def finish_reason(response: ChatResponse | CompletionResponse) -> str | None:
    """Read why the model stopped.

    Args:
        response: What an LLM returned. In a stream the reason mostly comes before the count of tokens: keep the last one
            that is not `None`.

    Returns:
        `"stop"`, `"length"`, `"tool_calls"` or `"content_filter"` where the provider means one of these, else its own
        word; `None` where it gave none.

    >>> finish_reason(CompletionResponse(text="Yes", raw={"stop_reason": "max_tokens"}))
    'length'
    """
    raw = response.raw
    reason = None if raw is None else _reason(raw)
    if reason is None and response.additional_kwargs:
        reason = _reason(response.additional_kwargs)
    if not isinstance(reason, str):
        reason = getattr(reason, "name", None)  # an enumeration
    return normalised(reason) if isinstance(reason, str) and reason else None


def stream_usage_kwargs(llm: LLM) -> dict[str, Any]:
    """Find the call kwargs that make an LLM's streams report their tokens.

    Args:
        llm: Any LLM.

    Returns:
        Kwargs for `llm.stream_chat(messages, **kwargs)` and its like; `{}` where the provider needs none, is not known, or
        the user set `stream_options` himself. For streams only: OpenAI refuses them elsewhere.
    """
    silent = not _SILENT_STREAMS.isdisjoint(cls.__name__ for cls in type(llm).__mro__)
    if not silent or "stream_options" in getattr(llm, "additional_kwargs", {}):
        return {}
    return {"stream_options": {"include_usage": True}}


def refuses_stream_options(error: BaseException) -> bool:
    """Tell whether a stream failed because it was asked for its tokens, so that it may be repeated without.

    >>> refuses_stream_options(TypeError("create() got an unexpected keyword argument 'stream_options'"))
    True
    """
    return refuses(error, "stream_options")


# --- tokens ---


def _counted(raw: Any) -> Usage | None:
    usage = field(raw, "usage")
    if usage is None and field(raw, "choices") is None:  # a chunk of OpenAI's shape has it nowhere else
        usage = field(raw, "usage_metadata")  # Google
        for event in ("response", "data", "metadata"):  # where streams hold it: OpenAI's Responses API, Mistral, Bedrock
            if usage is None and (inner := field(raw, event)) is not None:
                usage = field(inner, "usage")
        if usage is None:
            usage = raw  # Ollama, and LlamaIndex's own `additional_kwargs`
    if usage is None:
        return None
    told = fields(usage)
    try:
        for name, read in _SPELLINGS.items():
            if told(name) is not None:
                return read(told)
    except (TypeError, ValueError):
        pass
    return None


_Told = Callable[[str], Any]
"""What a provider counted, by name."""


def _openai(told: _Told) -> Usage | None:
    details = told("prompt_tokens_details")
    cached = None if details is None else field(details, "cached_tokens")
    if cached is None:
        cached = told("prompt_cache_hit_tokens")  # DeepSeek
    return _checked(told("prompt_tokens"), told("completion_tokens"), cached)


def _anthropic_or_responses(told: _Told) -> Usage | None:
    read, output, details = told("input_tokens"), told("output_tokens"), told("input_tokens_details")
    if details is not None:
        return _checked(read, output, field(details, "cached_tokens"))
    return _beside(read, output, told("cache_read_input_tokens"), told("cache_creation_input_tokens"))


def _bedrock(told: _Told) -> Usage | None:
    return _beside(*map(told, ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")))


def _google(told: _Told) -> Usage | None:
    read = _count(told("prompt_token_count")) + _count(told("tool_use_prompt_token_count") or 0)
    written = (_count(told(name) or 0) for name in ("candidates_token_count", "thoughts_token_count"))
    return _checked(read, sum(written), told("cached_content_token_count"))


def _ollama(told: _Told) -> Usage | None:
    return _checked(told("prompt_eval_count"), told("eval_count"), None)


_SPELLINGS: Mapping[str, Callable[[_Told], Usage | None]] = {
    "prompt_tokens": _openai,
    "input_tokens": _anthropic_or_responses,
    "inputTokens": _bedrock,
    "prompt_token_count": _google,
    "prompt_eval_count": _ollama,
}


def _beside(read: Any, written: Any, from_cache: Any, to_cache: Any) -> Usage | None:
    """Tokens where the provider does not count the cached ones among those read."""
    from_cache, to_cache = _count(from_cache or 0), _count(to_cache or 0)
    return _checked(_count(read) + from_cache + to_cache, written, from_cache)


def _checked(read: Any, written: Any, cached: Any) -> Usage | None:
    usage = Usage(_count(read), _count(written), _count(cached or 0))
    if usage.cached_input_tokens > usage.input_tokens:
        raise ValueError(usage)
    return usage if usage.input_tokens or usage.output_tokens else None


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:  # a bool is no count either
        raise ValueError(value)
    return value


# --- the reason for stopping ---


_PLACES = frozenset(
    {
        *("choices", "candidates", "stop_reason", "finish_reason", "done_reason", "stopReason"),
        *("incomplete_details", "delta", "response", "data"),
    }
)
"""Where a reason may stand, or what holds it."""


def _reason(raw: Any) -> Any:
    if isinstance(raw, dict) and _PLACES.isdisjoint(raw):
        return None
    choices = field(raw, "choices")
    if choices is None:
        choices = field(raw, "candidates")  # Google's whole response
    if isinstance(choices, list):
        return field(choices[0], "finish_reason") if choices else None
    for name in ("stop_reason", "finish_reason", "done_reason", "stopReason"):  # Anthropic, Google, Ollama, Bedrock
        if (reason := field(raw, name)) is not None:
            return reason
    for place, name in (("incomplete_details", "reason"), ("delta", "stop_reason")):  # Responses API, Anthropic's streams
        if (reason := field(field(raw, place), name)) is not None:
            return reason
    for event in ("response", "data"):  # where streams hold it: OpenAI's Responses API, Mistral
        if (inner := field(raw, event)) is not None:
            return _reason(inner)
    return None
