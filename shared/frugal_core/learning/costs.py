"""What each recorded answer cost: from the best source that the recordings offer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from frugal_core.errors import RecordingsError
from frugal_core.learning.columns import Floats
from frugal_core.learning.recordings import Recordings
from frugal_core.pricing import PriceBook
from frugal_core.tokens import count_tokens
from frugal_core.types import Usage

USD = "USD per query"
RELATIVE = "model size (B parameters) per query"

_WITH_THE_ANSWER = frozenset({"margin", "p_top1", "logprobs"})
"""Signals that come with the answer, at no further call."""


@dataclass(frozen=True)
class Costs:
    """What answers cost.

    Attributes:
        answer: Shape (queries, models): cost of an answer; NaN where unknown.
        scoring: Shape (queries, models): further cost of asking how confident to be in it.
        source: Where the costs are from, in words.
        unit: `USD` or `RELATIVE`.
    """

    answer: Floats
    scoring: Floats
    source: str
    unit: str

    @property
    def covered(self) -> list[int]:
        """Indices of the models all of whose answers have a cost."""
        return [i for i in range(self.answer.shape[1]) if not np.isnan(self.answer[:, i]).any()]


def find_costs(recordings: Recordings, signal: str | None, sizes: Mapping[str, float]) -> Costs:
    """Costs of all answers, from the source that knows most models; among equals from the more exact one.

    In order: `cost_answer_usd` (a cascade then also pays `cost_usd - cost_answer_usd` for every answer that it scores by a
    signal that takes calls of its own, as votes of further samples do), `cost_usd`, list price x recorded tokens, list price x
    tokens counted in the recorded texts (unless the user gave sizes), and the models' sizes, times the number of samples that
    an answer was drawn from.

    Args:
        recordings: The answers.
        signal: Name of the confidence signal that cascades will go by.
        sizes: Parameter count (or any number in proportion to a call's cost) by model, over the `params_b` column.

    Raises:
        RecordingsError: Fewer than two models have a cost.
    """
    best: Costs | None = None
    for costs in _sources(recordings, signal, sizes):
        if best is None or len(costs.covered) > len(best.covered):
            best = costs
        if len(best.covered) == len(recordings.models):
            break
    assert best is not None
    if len(best.covered) < min(2, len(recordings.models)):
        known = ", ".join(recordings.models[i] for i in best.covered) or "none"
        names = " ".join(f"{name}=B" for name in recordings.models[:3]) + (" ..." if len(recordings.models) > 3 else "")
        raise RecordingsError(
            f"{recordings.dataset}: no cost (no cost_answer_usd or cost_usd, no tokens of models with a list price, no "
            f"params_b); models with a cost: {known}, at least 2 are needed. Give --sizes {names}"
        )
    return best


def _sources(recordings: Recordings, signal: str | None, sizes: Mapping[str, float]) -> Iterator[Costs]:
    """All sources, the more exact ones first; counting tokens takes its time and is left until it is needed."""
    yield _answer_usd(recordings, signal)
    yield _usd(recordings)
    yield _priced(recordings, counting=False)
    if not any(name in sizes for name in recordings.models):
        yield _priced(recordings, counting=True)
    yield _sized(recordings, sizes)


def _answer_usd(recordings: Recordings, signal: str | None) -> Costs:
    answer, total = recordings.values["cost_answer_usd"], recordings.values["cost_usd"]
    apart = signal is not None and signal not in _WITH_THE_ANSWER
    scoring = np.maximum(np.nan_to_num(total - answer), 0.0) if apart else np.zeros_like(answer)
    scoring[scoring < 1e-6 * np.nan_to_num(answer)] = 0.0  # rounding of the two columns, not a call
    paid = " (answers), cost_usd - cost_answer_usd (scoring them)" if scoring.any() else ""
    return Costs(answer, scoring, f"cost_answer_usd{paid}", USD)


def _usd(recordings: Recordings) -> Costs:
    total = recordings.values["cost_usd"]
    return Costs(total, np.zeros_like(total), "cost_usd", USD)


def _priced(recordings: Recordings, *, counting: bool) -> Costs:
    """List price x recorded tokens; where these are missing, `counting` counts them in the texts."""
    book = PriceBook.default()
    cost = np.full(recordings.correct.shape, np.nan)
    read, written = recordings.values["prompt_tokens"], recordings.values["completion_tokens"]
    for i, model in enumerate(recordings.models):
        price = book.price(model)
        if price is None:
            continue
        for row in range(len(recordings.query_ids)):
            question, answer = recordings.queries[row], recordings.answers[row, i]
            if not np.isnan(read[row, i] + written[row, i]):
                usage = Usage(int(read[row, i]), int(written[row, i]))
            elif counting and question is not None and answer is not None:
                usage = Usage(count_tokens(question, model), count_tokens(answer, model), estimated=True)
            else:
                break  # unknown for this model
            cost[row, i] = price.cost(usage)
    tokens = "tokens counted in the recorded texts (estimated)" if counting else "recorded tokens"
    return Costs(cost, np.zeros_like(cost), f"list price x {tokens}", USD)


def _sized(recordings: Recordings, sizes: Mapping[str, float]) -> Costs:
    size = recordings.values["params_b"].copy()
    given = [name for name in recordings.models if name in sizes]
    for name in given:
        size[:, recordings.models.index(name)] = sizes[name]
    columns = "--sizes" if len(given) == len(recordings.models) or np.isnan(recordings.values["params_b"]).all() else "params_b"
    drawn = " x number of samples" if (recordings.samples > 1).any() else ""
    return Costs(size * recordings.samples, np.zeros_like(size), f"in proportion to {columns}{drawn}", RELATIVE)
