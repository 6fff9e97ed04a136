"""Providers' words for why they stopped."""

from __future__ import annotations

import pytest

from frugal_core.finish_reasons import normalised


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),  # Google
        ("end_turn", "stop"),  # Anthropic, Bedrock
        ("COMPLETE", "stop"),  # Cohere
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),  # OpenAI's Responses API
        ("model_context_window_exceeded", "length"),  # Bedrock
        ("model_length", "length"),  # Mistral
        ("tool_calls", "tool_calls"),
        ("tool_use", "tool_calls"),
        ("TOOL_CALL", "tool_calls"),
        ("content_filter", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("refusal", "content_filter"),
        ("Unload", "unload"),  # Ollama: means none of the four
        ("", ""),
    ],
)
def test_each_word_has_its_meaning(word: str, meaning: str) -> None:
    assert normalised(word) == meaning
