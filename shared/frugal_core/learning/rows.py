"""What is kept of an answer in a file of recordings: the same columns, whoever collects them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from frugal_core.errors import ConfigurationError
from frugal_core.learning.items import id_of, split_of, written
from frugal_core.saving import encode
from frugal_core.scorers.base import ScoreFunction, as_score
from frugal_core.scorers.logprobs import logprobs_of
from frugal_core.scorers.margin import Margin
from frugal_core.types import Answer, Query

_LEAST_LOGPROB = -9999.0  # what OpenAI's API says of the impossible; JSON has no infinity
_DIGITS = 6
_LONGEST = 1000


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
    """An answer's log-probabilities, its confidence by each scorer under the scorer's name, and what these scorers are."""
    return {
        "logprobs": _logprobs(answer),
        **{name: _score(scorer, query, answer) for name, scorer in scorers.items()},
        "scorers": {name: described(scorer) for name, scorer in scorers.items()},
    }


def described(scorer: ScoreFunction) -> Any:
    """A scorer as it would be saved, so that live answers can be scored alike; `None` for code, and for what is very long."""
    try:
        plain = encode(scorer)
    except ConfigurationError:
        return None
    return plain if len(json.dumps(plain)) <= _LONGEST else None


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
