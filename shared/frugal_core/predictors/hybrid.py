"""HybridLLM's predictor: whether the small model's answer to a query will be as good as the large one's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from typing_extensions import Self

from frugal_core.errors import ConfigurationError
from frugal_core.predictors.base import LearnedPredictor, graded
from frugal_core.predictors.view import QueryView
from frugal_core.saving import saveable
from frugal_core.types import Query

if TYPE_CHECKING:
    import numpy.typing as npt

    from frugal_core.learning.columns import Floats
    from frugal_core.learning.logistic import Logistic

Kind = Literal["deterministic", "probabilistic", "transformed"]

_CANDIDATES = 200


@saveable("hybrid_predictor")
@dataclass(frozen=True)
class HybridPredictor(LearnedPredictor):
    """P(the small model is as good as the large one), by logistic regression; 1 for the large one itself.

    Ding et al. 2024 (arXiv 2404.14618), section 3. A router asks the model of greatest `quality - cost_weight * cost`: here the
    small one where `p - w * c_s >= 1 - w * c_l`, that is where p reaches 1 - w * (c_l - c_s). That is HybridLLM's rule, with
    its threshold said in money.

    With H = quality of the small model - quality of the large one, over all pairs of samples, the regression learns

    - `"deterministic"`: whether the mean of the small one's samples is at least that of the large one's;
    - `"probabilistic"`: P(H >= 0);
    - `"transformed"`: P(H >= -t) at the t that tells queries apart best, for small models that are hardly ever as good.

    Grades of right and wrong with one sample each give the same labels in all three.

    Attributes:
        models: Names of the small and the large model.
        view: What it looks at.
        head: The regression.
        labels: What it learned, a `Kind`.
        relaxation: t; 0 unless transformed.
    """

    models: tuple[str, ...]
    view: QueryView
    head: Logistic
    labels: Kind
    relaxation: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", tuple(self.models))
        if len(self.models) != 2 or len(self.head.weights) != self.view.size:
            raise ConfigurationError(
                f"A saved hybrid predictor has {len(self.models)} models, and a regression on {len(self.head.weights)} numbers "
                f"where {self.view.size} features are: it was changed, or is of another version. Learn it anew."
            )

    @classmethod
    def fit(
        cls,
        queries: Sequence[Query],
        quality: npt.ArrayLike,
        models: Sequence[str],
        *,
        embed: Any = None,
        kind: Kind = "transformed",
    ) -> Self:
        """Learn from graded answers of two models.

        Args:
            queries: The queries.
            quality: Shape (queries, 2) or (queries, 2, samples): of the small and the large model, from 0 to 1; NaN where
                nobody graded.
            models: Names of the small and the large model.
            embed: Turns a text into a vector: a function, or embeddings of LangChain or LlamaIndex. Called once per query.
            kind: What to learn.

        Raises:
            ConfigurationError: Not two models, fewer than 20 graded answers of one, or shapes or values that do not fit.
        """
        if kind not in get_args(Kind):
            raise ConfigurationError(f'kind={kind!r} must be "deterministic", "probabilistic" or "transformed".')
        samples = _samples(queries, quality, models)
        relaxation = best_relaxation(samples) if kind == "transformed" else 0.0
        view = QueryView.fit(queries, embed)
        return cls(tuple(models), view, _head(view, queries, _labels(samples, kind, relaxation), None), kind, relaxation)

    def refit(self, queries: Sequence[Query], quality: npt.ArrayLike) -> Self:
        """Learn from other answers, with the penalty and the t found."""
        labels = _labels(_samples(queries, quality, self.models), self.labels, self.relaxation)
        return replace(self, head=_head(self.view, queries, labels, self.head.penalty))

    def __call__(self, query: Query) -> list[float]:
        """P(the small model is as good), and 1.

        Raises:
            ScorerError: It was learned with an embedding and has none.
        """
        return [self.head.probability(self.view(query)), 1.0]


def best_relaxation(samples: npt.ArrayLike) -> float:
    """t*: where the labels P(H >= -t) of two queries differ most on average (equation 4 of the paper), the least such t.

    Args:
        samples: Shape (queries, 2, samples): quality of the small and the large model; NaN where nobody graded.

    >>> best_relaxation([[[0.5], [0.9]], [[0.2], [0.9]], [[0.3], [0.8]], [[0.1], [0.9]]])  # never as good: t = 0 tells nothing
    0.5
    """
    import numpy as np

    values = np.asarray(samples, dtype=float)
    lost = values[:, 1, None, :] - values[:, 0, :, None]
    lost = np.unique(lost[lost > 0])
    if len(lost) > _CANDIDATES:
        lost = np.unique(np.quantile(lost, np.linspace(0, 1, _CANDIDATES), method="lower"))
    candidates = [0.0, *map(float, lost)]
    return max(candidates, key=lambda t: (round(_spread(_share(values, t)), 12), -t))


def _samples(queries: Sequence[Query], quality: npt.ArrayLike, models: Sequence[str]) -> Floats:
    """Shape (queries, 2, samples), checked."""
    import numpy as np

    values = np.asarray(quality, dtype=float)
    if len(models) != 2 or values.ndim not in (2, 3) or values.shape[1] != 2:
        raise ConfigurationError(
            f"{len(models)} models and quality of shape {values.shape}: this predictor compares two, a small one and a large "
            "one. Give (queries, 2) or (queries, 2, samples); for more models use PerformancePredictor."
        )
    if values.ndim == 2:
        values = values[:, :, None]
    for extremes in (np.fmin.reduce(values, axis=2), np.fmax.reduce(values, axis=2)):  # of the samples that were graded
        graded(queries, extremes, models)
    return values


def _labels(samples: Floats, kind: Kind, relaxation: float) -> Floats:
    """What the regression learns; NaN where one of the models was not graded."""
    import numpy as np

    if kind != "deterministic":
        return _share(samples, relaxation)
    known = ~np.isnan(samples)
    means = np.where(known, samples, 0.0).sum(axis=2) / np.maximum(known.sum(axis=2), 1)
    both = known[:, 0].any(axis=1) & known[:, 1].any(axis=1)
    return np.where(both, (means[:, 0] >= means[:, 1]).astype(float), np.nan)


def _share(samples: Floats, relaxation: float) -> Floats:
    """Share of the pairs of samples with H >= -t; NaN where there is no pair."""
    import numpy as np

    lost = samples[:, 1, None, :] - samples[:, 0, :, None]
    pairs = (~np.isnan(lost)).sum(axis=(1, 2))
    return np.where(pairs > 0, (lost <= relaxation).sum(axis=(1, 2)) / np.maximum(pairs, 1), np.nan)


def _spread(labels: Floats) -> float:
    """Mean absolute difference of two labels, over all pairs, from the labels in order."""
    import numpy as np

    values = np.sort(labels[~np.isnan(labels)])
    count = len(values)
    return float(2 * ((2 * np.arange(count) - count + 1) @ values) / max(count, 1) ** 2)


def _head(view: QueryView, queries: Sequence[Query], labels: Floats, penalty: float | None) -> Logistic:
    import numpy as np

    from frugal_core.learning.logistic import Logistic

    known = ~np.isnan(labels)
    texts: dict[str, int] = {}
    groups = np.array([texts.setdefault(query.text, len(texts)) for query in queries], dtype=np.int64)
    return Logistic.fit(view.many(queries)[known], labels[known], groups=groups[known], penalty=penalty)
