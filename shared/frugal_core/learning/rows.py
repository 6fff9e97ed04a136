"""What is kept of an answer in a file of recordings: the same columns, whoever collects them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal_core.learning.items import id_of, split_of, written
from frugal_core.scorers.base import ScoreFunction, as_score
from frugal_core.scorers.logprobs import logprobs_of
from frugal_core.scorers.margin import Margin
from frugal_core.types import Answer, Query

_LEAST_LOGPROB = -9999.0  # what OpenAI's API says of the impossible; JSON has no infinity
_DIGITS = 6


def measured(answer: Answer) -> dict[str, Any]:
    """An answer's text, tokens, cost, latency and finish reason."""
    usage = answer.usage
    return {
        "answer": answer.text,
        "prompt_tokens": usage.input_tokens if usage else None,
        "completion_tokens": usage.output_tokens if usage else None,
        "tokens_estimated": bool(usage and usage.estimated),
        "cost_usd": answer.cost_usd,
        "latency_s": None if answer.latency_s is None else round(answer.latency_s, _DIGITS),
        "finish_reason": answer.finish_reason,
    }


def signals(query: Query, answer: Answer, scorers: Mapping[str, ScoreFunction]) -> dict[str, Any]:
    """An answer's log-probabilities, and its confidence by each scorer, under the scorer's name."""
    return {"logprobs": _logprobs(answer), **{name: _score(scorer, query, answer) for name, scorer in scorers.items()}}


def row_of(dataset: str, query: Query, model: str, answer: Answer, label: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The row of an answer given in production: its query is named by a hash, and split by it.

    Args:
        dataset: Name of the dataset.
        query: The query.
        model: Name of the model.
        answer: What it said.
        label: The columns `correct` and `label`; neither is known by default.
    """
    text = written(query)
    name = id_of(text)
    return {
        "dataset": dataset,
        "query_id": name,
        "model": model,
        "split": split_of(name),
        "query": text,
        "reference": None,
        **measured(answer),
        **(label or {"correct": None, "label": None}),
        **signals(query, answer, {"margin": Margin()}),
        "error": None,
    }


def _logprobs(answer: Answer) -> list[float] | None:
    """Natural logarithms of the tokens' probabilities; `None` where there are none, or one is malformed."""
    return [round(max(value, _LEAST_LOGPROB), _DIGITS) for value in logprobs_of(answer)] or None


def _score(scorer: ScoreFunction, query: Query, answer: Answer) -> float | None:
    """Confidence; `None` where the scorer has nothing to go by, or fails."""
    try:
        scored = scorer(query, answer)
        score = as_score(scorer, scored)
    except Exception:  # a missing signal is missing, whatever the reason
        return None
    return None if score is None else round(score, 2 * _DIGITS)
