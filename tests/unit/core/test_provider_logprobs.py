"""Log-probabilities in every provider's form, and the complaints that refuse them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugal_core.fields import field
from frugal_core.provider_logprobs import (
    is_reasoning_model,
    missing_logprobs_hint,
    parse_logprobs,
    refuses,
    refuses_logprobs,
)
from frugal_core.types import TokenLogprob


def token(text: str, logprob: Any, **top: Any) -> dict[str, Any]:
    alternatives = [{"token": other, "bytes": None, "logprob": value} for other, value in top.items()]
    return {"token": text, "bytes": [120], "logprob": logprob, "top_logprobs": alternatives}


ONE = (TokenLogprob("a", -0.1, (("a", -0.1), ("b", -3.0))),)
LEGACY = {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": [{"b": -3.0, "a": -0.1}]}


def _objects(value: Any) -> Any:
    """The same structure as an SDK's objects."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _objects(item) for key, item in value.items()})
    return [_objects(item) for item in value] if isinstance(value, list) else value


def _candidate(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "token_id": 7, "log_probability": logprob}


SHAPES: dict[str, Any] = {
    "openai": {"content": [token("a", -0.1, a=-0.1, b=-3.0)], "refusal": None},
    "openai objects": _objects({"content": [token("a", -0.1, a=-0.1, b=-3.0)], "refusal": None}),
    "unsorted": {"content": [token("a", -0.1, b=-3.0, a=-0.1)]},
    "ollama": [token("a", -0.1, a=-0.1, b=-3.0)],
    "ollama objects": [_objects(token("a", -0.1, a=-0.1, b=-3.0))],
    "google": {
        "chosen_candidates": [_candidate("a", -0.1)],
        "top_candidates": [{"candidates": [_candidate("a", -0.1), _candidate("b", -3.0)]}],
    },
    "together": LEGACY,
    "together through the openai client": {"content": None, "refusal": None, **LEGACY},
}


@pytest.mark.parametrize("found", SHAPES.values(), ids=SHAPES)
def test_every_shape_reads_alike(found: Any) -> None:
    assert parse_logprobs(found) == ONE


@pytest.mark.parametrize(
    "found",
    [
        {"content": [token("a", -0.1)]},
        {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": None}]},
        {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": None},
        {"chosen_candidates": [_candidate("a", -0.1)], "top_candidates": None},
    ],
    ids=repr,
)
def test_alternatives_may_be_missing(found: Any) -> None:
    assert parse_logprobs(found) == (TokenLogprob("a", -0.1),)


@pytest.mark.parametrize(("logprob", "read"), [(-math.inf, -math.inf), (0, 0.0), (1e-3, 0.0), (-9999, -9999.0)])
def test_legal_extremes(logprob: float, read: float) -> None:
    assert parse_logprobs({"content": [token("a", logprob, a=logprob)]}) == (TokenLogprob("a", read, (("a", read),)),)


@pytest.mark.parametrize("logprob", ["-0.1", None, True, False, math.nan, math.inf, 0.01, [-0.1], 10**400, -(10**400)])
@pytest.mark.parametrize("place", ["token", "alternative"])
def test_a_malformed_number_discards_all(logprob: Any, place: str) -> None:
    bad = token("a", logprob) if place == "token" else token("a", -0.1, a=logprob)
    assert parse_logprobs({"content": [token("x", -0.1), bad]}) == ()


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        [],
        "logprobs",
        -0.1,
        {"content": None},
        {"content": {}},
        {"content": [None]},
        {"content": [[token("a", -0.1)]]},
        {"content": [{"logprob": -0.1}]},
        {"content": [{"token": "a"}]},
        {"content": [{"token": 7, "logprob": -0.1}]},
        {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": [None]}]},
        {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": "a"}]},
        {"content": None, "refusal": [token("Sorry", -0.01)]},
        {"tokens": ["a", "b"], "token_logprobs": [-0.1]},
        {"tokens": ["a"], "token_logprobs": [None]},
        {"tokens": ["a"], "token_logprobs": [-0.1], "top_logprobs": [None]},
        {"tokens": ["a"]},
        {"chosen_candidates": [_candidate("a", -0.1)], "top_candidates": [{}, {}]},
        {"chosen_candidates": "a"},
    ],
    ids=repr,
)
def test_what_is_not_a_signal_is_none(found: Any) -> None:
    assert parse_logprobs(found) == ()


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "content",
                    "token",
                    "logprob",
                    "log_probability",
                    "top_logprobs",
                    "tokens",
                    "token_logprobs",
                    "chosen_candidates",
                    "top_candidates",
                    "candidates",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(junk=JUNK)
def test_junk_never_raises_and_never_passes_for_a_probability(junk: Any) -> None:
    for entry in parse_logprobs(junk):
        assert isinstance(entry.token, str)
        assert all(logprob <= 0.0 for logprob in (entry.logprob, *(value for _, value in entry.top)))


def test_a_field_is_read_from_dicts_and_objects() -> None:
    assert field({"a": 1}, "a") == field(SimpleNamespace(a=1), "a") == 1
    assert field({}, "a") is field(None, "a") is field([], "a") is None


# --- refusals ---


class _ApiError(Exception):
    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        vars(self).update(fields)


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (_ApiError("top_logprobs must be <= 5", status_code=400), True),
        (_ApiError("Logprobs is not enabled", code=400), True),
        (_ApiError("logprobs", response=SimpleNamespace(status_code=422)), True),
        (_caused(_ApiError("model error"), _ApiError("logprobs", status_code=400)), True),
        (_ApiError("logprobs", status_code=500), False),
        (_ApiError("rate limited while computing logprobs", status_code=429), False),
        (_ApiError("temperature", status_code=400), False),
        (_ApiError("logprobs", code="unsupported"), False),
        (TimeoutError(), False),
    ],
    ids=repr,
)
def test_only_a_complaint_about_logprobs_is_a_refusal(error: Exception, refused: bool) -> None:
    assert refuses_logprobs(error) is refused


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (_ApiError("Unrecognized request argument supplied: stream_options", status_code=400), True),
        (_ApiError("Extra inputs: Stream_Options", status_code=422), True),
        (_ApiError("logprobs", status_code=400), False),
    ],
    ids=repr,
)
def test_any_argument_may_be_refused(error: Exception, refused: bool) -> None:
    assert refuses(error, "stream_options") is refused


def test_an_argument_that_a_client_does_not_know_is_refused() -> None:
    assert refuses_logprobs(TypeError("chat() got an unexpected keyword argument 'top_logprobs'"))


# --- reasoning models and the hint ---


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("o1", True),
        ("O3-mini", True),
        ("openai/gpt-5-mini", True),
        ("ft:o4-mini-2025-04-16:me", True),
        ("gpt-5.2", True),
        ("deepseek-reasoner", True),
        ("gpt-5-chat-latest", False),
        ("gpt-4o", False),
        ("gpt-35-turbo", False),
        ("olmo-2", False),
        ("openai/gpt-oss-20b", False),
        ("deepseek-chat", False),
        ("", False),
    ],
)
def test_reasoning_models_are_known_by_name(name: str, reasons: bool) -> None:
    assert is_reasoning_model(name) is reasons


def test_the_hint_names_the_tier_and_the_way_out() -> None:
    hint = missing_logprobs_hint("OpenAI('o3')")
    assert hint.startswith("OpenAI('o3') gave an answer without token log-probabilities")
    assert "SchemaValid()" in hint
