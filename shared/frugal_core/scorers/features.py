"""What an answer shows of itself, as numbers that a scorer can be learned from."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from math import expm1, floor, isnan, log, log1p, nan

from frugal_core.errors import ConfigurationError
from frugal_core.scorers.base import ScoreFunction, Scorer, as_score
from frugal_core.scorers.logprobs import probability
from frugal_core.types import Answer, Query

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75)
"""Of the tokens' log-probabilities: the surest tokens say nothing of what went wrong."""

_FINISHES = ("stop", "length", "tool_calls", "content_filter")
_LEAST = 1e-9
_LOWEST = -30.0


def features_of(
    query: Query, answer: Answer, signals: Sequence[ScoreFunction], models: Sequence[str]
) -> tuple[list[float], list[bool]]:
    """What an answer shows of itself, in the order of `_names`, NaN where unknown; and which signals it has."""
    features: list[float] = []
    known: list[bool] = []
    for signal in signals:
        score = plain_score(signal, query, answer)
        known.append(score is not None)
        features += (nan, 0.0) if score is None else (-log(max(1 - score, _LEAST)), 1.0)
    values = _sorted_logprobs(answer)
    known.append(bool(values))
    features += _of_logprobs(values) if values else [nan] * (len(QUANTILES) + 3) + [0.0]
    written = len(answer.logprobs) if answer.usage is None else answer.usage.output_tokens
    features += (log1p(len(query.text)), log1p(len(answer.text)), log1p(written) if written else nan)
    reason = answer.finish_reason
    features += [float(reason == word) for word in _FINISHES]
    features += (float(reason is None), float(bool(answer.tool_calls)), float(answer.parsing_error is not None))
    if models:
        name = model_name(query, answer, models)
        features += [float(name == model) for model in models] if name in models else [nan] * len(models)
    return features, known


def feature_names(signals: Sequence[ScoreFunction], models: Sequence[str]) -> list[str]:
    """Names of the features."""
    names = [f"{part} signal {i}" for i in range(len(signals)) for part in ("transformed", "has")]
    names += [f"log-probability quantile {quantile:g}" for quantile in QUANTILES]
    names += ["mean log-probability", "transformed least probability", "transformed mean probability", "has log-probabilities"]
    names += ["log characters of query", "log characters of answer", "log tokens of answer"]
    names += [f"finish {word}" for word in (*_FINISHES, "unknown")]
    return [*names, "tool calls", "parsing error", *(f"model {model}" for model in models)]


def _sorted_logprobs(answer: Answer) -> list[float]:
    """Log-probabilities of all tokens, rising, or of none when one of them is malformed."""
    values = [token.logprob for token in answer.logprobs]
    if not values or not {float}.issuperset(map(type, values)) or isnan(sum(values)) or max(values) > 0:  # mostly not so
        if any(probability(value) is None for value in values):
            return []
        values = [min(0.0, value) for value in values]
    values.sort()
    return values if not values or values[0] >= _LOWEST else [max(_LOWEST, value) for value in values]


def _of_logprobs(values: Sequence[float]) -> list[float]:
    """Features of sorted log-probabilities."""
    features = []
    last = len(values) - 1
    for quantile in QUANTILES:
        place = quantile * last
        low = floor(place)
        features.append(values[low] + (place - low) * (values[min(low + 1, last)] - values[low]))
    mean = sum(values) / len(values)
    return [*features, mean, -log(max(-expm1(values[0]), _LEAST)), -log(max(-expm1(mean), _LEAST)), 1.0]


def plain_score(scorer: ScoreFunction, query: Query, answer: Answer) -> float | None:
    """A score, from a scorer that makes no calls."""
    if isinstance(scorer, Scorer) and not scorer.applies(query, answer):
        return None
    scored = scorer(query, answer)
    if isinstance(scored, Generator):
        scored.close()
        raise ConfigurationError(f"{scorer!r} makes calls of its own, so it cannot be a signal here. Give one that only looks.")
    return as_score(scorer, scored)


def model_name(query: Query, answer: Answer, known: Sequence[str] = ()) -> str | None:
    """Name of the tier that answered; or of the model behind it, if only that is known."""
    if not -len(query.tiers) <= answer.tier < len(query.tiers):
        return None
    tier = query.tiers[answer.tier]
    return tier.model if tier.model in known and tier.name not in known else tier.name


def graded_rows(
    queries: Sequence[Query], answers: Sequence[Answer], correct: Sequence[float | None]
) -> list[tuple[Query, Answer, float]]:
    """Rows, NaN where nobody graded."""
    if not len(queries) == len(answers) == len(correct):
        raise ConfigurationError(
            f"{len(queries)} queries, {len(answers)} answers and {len(correct)} labels do not fit: give as many of each."
        )
    labels = [nan if label is None else float(label) for label in correct]
    wrong = [label for label in labels if not (0 <= label <= 1 or label != label)]
    if wrong:
        raise ConfigurationError(f"correct has {wrong[0]!r}: grade from 0 (wrong) to 1 (right), None where nobody did.")
    return list(zip(queries, answers, labels, strict=True))


def groups_of(queries: Sequence[Query]) -> list[int]:
    """A number for each query, equal for those that ask the same: they belong into one part in cross-validation."""
    places: dict[tuple[object, ...], int] = {}
    asked = ((query.system, tuple((turn.role, turn.text) for turn in query.messages)) for query in queries)
    return [places.setdefault(key, len(places)) for key in asked]
