"""Providers' words for why a model stopped, and the four that they mean."""

from __future__ import annotations

_WORDS = {
    word: meaning
    for meaning, words in {
        "stop": "stop end_turn stop_sequence eos complete completed",
        "length": "length max_tokens max_output_tokens model_length model_context_window_exceeded",
        "tool_calls": "tool_calls tool_call tool_use function_call",
        "content_filter": "content_filter content_filtered guardrail_intervened refusal "
        "safety image_safety recitation blocklist prohibited_content spii",
    }.items()
    for word in words.split()
}


def normalised(reason: str) -> str:
    """Translate a provider's word for why it stopped, in capitals or not.

    Returns:
        `"stop"`, `"length"`, `"tool_calls"` or `"content_filter"` where it means one of these, else the word itself in
        lower case.

    >>> [normalised(reason) for reason in ("MAX_TOKENS", "end_turn", "Malformed_Call")]
    ['length', 'stop', 'malformed_call']
    """
    word = reason.lower()
    return _WORDS.get(word, word)
