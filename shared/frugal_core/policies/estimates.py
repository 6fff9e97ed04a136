"""Estimated chances that models are right, given the answers that are known so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import log, nan
from typing import TYPE_CHECKING, Any

from frugal_core.agreement import agree
from frugal_core.errors import ConfigurationError
from frugal_core.predictors.query_features import query_features
from frugal_core.saving import saveable
from frugal_core.scorers.features import QUANTILES, features_of
from frugal_core.types import Answer, Query

if TYPE_CHECKING:  # policies are imported without numpy
    from frugal_core.learning.logistic import Logistic

Pairs = Mapping[tuple[int, int], Any]
"""Whether the answers of two models agree, by their indices in rising order: 1 or 0, or an array of these."""

_SUREST = 0.999


@saveable("estimates")
@dataclass(frozen=True)
class Estimates:
    """P(right) of every model's answer, given the query and the answers of the models asked so far.

    Dekoninck, Baader & Vechev 2024 (arXiv 2410.10347), section 4, call them ex-ante where a model was not asked, post-hoc where
    it was. Here they are learned in two layers of logistic regressions: one per model from what its answer shows of itself (and
    one from the query's surface), and on their log-odds one per model and set of known answers, which also sees whether these
    answers agree: an answer speaks for another one that says the same, and against one that does not.

    Attributes:
        models: Names of the models.
        depth: Most answers that are taken into account at once.
        same: How answers are compared, by name; `None` where agreement is not looked at.
        required: Per model: whether its answers always had a score, so that one without is not understood.
        query: Per model: from the query's surface; empty where no texts were recorded.
        answer: Per model: from its own answer.
        heads: Per set of `subsets` and per model; `None` where nobody asks for it.
    """

    models: tuple[str, ...]
    depth: int
    same: str | None
    required: tuple[bool, ...]
    query: tuple[Logistic, ...]
    answer: tuple[Logistic, ...]
    heads: tuple[tuple[Logistic | None, ...], ...]

    @property
    def needs_logprobs(self) -> bool:
        """Unless they were learned from answers without."""
        return any(any(head.weights[2 : 6 + len(QUANTILES)]) for head in self.answer)

    def ante(self, query: Query) -> Sequence[float]:
        """Log-odds of each model before anybody has answered; nothing where no texts were learned from."""
        if not self.query:
            return ()
        seen = query_features(query)
        return [log_odds(head.probability(seen)) for head in self.query]

    def own(self, model: int, query: Query, answer: Answer, score: float | None) -> float:
        """Log-odds of a model's answer by what it shows of itself."""
        return log_odds(self.answer[model].probability(shown(query, answer, score)))

    def agree(self, one: Answer, other: Answer) -> float:
        """1 where two answers say the same, 0 where they do not."""
        return nan if self.same is None else float(agree(one, other, self.same))  # type: ignore[arg-type]

    def chances(self, known: Sequence[int], own: Sequence[float], ante: Sequence[float], pairs: Pairs) -> list[float]:
        """P(right) of each model, in [0, 1].

        Args:
            known: Indices of the models whose answers are known, rising; at most `depth`.
            own: Log-odds of each of the models by its own answer; only those known are looked at.
            ante: What `ante` gave.
            pairs: Whether the known answers agree.
        """
        heads = self.heads[place_of(known, len(self.models), self.depth)]
        fusion = self.same is not None
        return [
            nan if head is None else head.probability(inputs(known, model, own, ante, pairs, fusion=fusion))
            for model, head in enumerate(heads)
        ]

    def state(self) -> Mapping[str, Any]:
        """The numbers of every regression."""
        return {
            "models": self.models,
            "depth": self.depth,
            "same": self.same,
            "required": self.required,
            "query": [vars(head) for head in self.query],
            "answer": [vars(head) for head in self.answer],
            "heads": [[None if head is None else vars(head) for head in heads] for heads in self.heads],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Estimates:
        """Back from `state`.

        Raises:
            ConfigurationError: The parts do not fit one another.
        """
        from frugal_core.learning.logistic import Logistic

        def head(content: Any) -> Any:
            return None if content is None else Logistic(**content)

        estimates = cls(
            tuple(state["models"]),
            state["depth"],
            state["same"],
            tuple(state["required"]),
            tuple(map(head, state["query"])),
            tuple(map(head, state["answer"])),
            tuple(tuple(map(head, heads)) for heads in state["heads"]),
        )
        count = len(estimates.models)
        sizes = {len(estimates.answer), len(estimates.required), *map(len, estimates.heads), len(estimates.query) or count}
        if sizes != {count} or len(estimates.heads) != len(subsets(count, estimates.depth)):
            raise ConfigurationError(
                f"Saved estimates for {count} models do not have {count} of everything: the file was changed, or is of another "
                "version. Learn them anew."
            )
        return estimates


def subsets(models: int, depth: int) -> list[tuple[int, ...]]:
    """All sets of up to `depth` of the models, the smaller ones first.

    >>> subsets(2, 2)
    [(), (0,), (1,), (0, 1)]
    """
    return [chosen for size in range(min(depth, models) + 1) for chosen in combinations(range(models), size)]


def place_of(known: Sequence[int], models: int, depth: int) -> int:
    """Place of a set among `subsets`."""
    return _places(models, depth)[tuple(known)]


def inputs(
    known: Sequence[int], model: int, own: Sequence[Any], ante: Sequence[Any], pairs: Pairs, *, fusion: bool
) -> list[Any]:
    """What a model's chance is learned from, given the answers of the known ones: numbers, or arrays of them.

    Its own log-odds; those of each other answer, apart for where it agrees with the model's and where it does not; whether the
    others agree with each other; and what the query itself says of it.
    """
    features = [own[model]] if model in known else []
    others = [other for other in known if other != model]
    for other in others:
        if model in known and fusion:
            alike = pairs[min(model, other), max(model, other)]
            features += [alike * own[other], (1 - alike) * own[other], alike]
        else:
            features.append(own[other])
    if fusion:
        features += [pairs[pair] for pair in combinations(others, 2)]
    return [*features, ante[model]] if len(ante) else features


def shown(query: Query, answer: Answer, score: float | None) -> list[float]:
    """What an answer shows of itself, its score included."""
    features, _ = features_of(query, answer, [lambda query, answer: score], ())
    return [*features, nan if score is None else score]


def log_odds(p: float) -> float:
    """Log-odds of a probability, which counts as at most 0.999 and at least 0.001."""
    p = min(max(p, 1 - _SUREST), _SUREST)
    return log(p / (1 - p))


@lru_cache(maxsize=64)
def _places(models: int, depth: int) -> Mapping[tuple[int, ...], int]:
    return {chosen: place for place, chosen in enumerate(subsets(models, depth))}
