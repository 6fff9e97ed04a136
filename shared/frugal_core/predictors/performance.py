"""The plain predictor: for each model, how likely it is to answer a query rightly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from frugal_core.errors import ConfigurationError
from frugal_core.predictors.base import LearnedPredictor, graded
from frugal_core.predictors.view import QueryView
from frugal_core.saving import saveable
from frugal_core.types import Query

if TYPE_CHECKING:
    import numpy.typing as npt

    from frugal_core.learning.logistic import Logistic


@saveable("performance_predictor")
@dataclass(frozen=True)
class PerformancePredictor(LearnedPredictor):
    """P(right) of each model by a logistic regression of its own: "Routing" of the margin-sampling paper, for any models.

    Ramírez, Birch & Titov 2024 (arXiv 2405.02134), section 5, where it predicts the small model's performance alone.

    Attributes:
        models: Names of the models.
        view: What it looks at.
        heads: A regression for each model.
    """

    models: tuple[str, ...]
    view: QueryView
    heads: tuple[Logistic, ...]

    def __post_init__(self) -> None:
        for name in ("models", "heads"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        widths = [len(head.weights) for head in self.heads]
        if widths != [self.view.size] * len(self.models):
            raise ConfigurationError(
                f"A saved performance predictor has regressions on {widths} numbers where {len(self.models)} models and "
                f"{self.view.size} features are: it was changed, or is of another version. Learn it anew."
            )

    @classmethod
    def fit(cls, queries: Sequence[Query], quality: npt.ArrayLike, models: Sequence[str], *, embed: Any = None) -> Self:
        """Learn from graded answers; how strongly to regularise is chosen in cross-validation, for each model.

        Args:
            queries: The queries.
            quality: Shape (queries, models): from 0 (wrong) to 1 (right); NaN where nobody graded.
            models: Their names.
            embed: Turns a text into a vector: a function, or embeddings of LangChain or LlamaIndex. Called once per query.

        Raises:
            ConfigurationError: Fewer than 20 graded answers of a model, or shapes or values that do not fit.

        >>> from frugal_core.types import Message
        >>> queries = [Query((Message("user", f"Add {n}." if n % 2 else f"Why {n}? Explain."),), ()) for n in range(80)]
        >>> quality = [[1.0, 1.0] if n % 2 else [0.0, 1.0] for n in range(80)]
        >>> predictor = PerformancePredictor.fit(queries, quality, ["small", "large"])
        >>> [round(value, 1) for value in predictor(queries[1])], [round(value, 1) for value in predictor(queries[2])]
        ([1.0, 1.0], [0.0, 1.0])
        """
        grades = graded(queries, quality, models)
        view = QueryView.fit(queries, embed)
        return cls(tuple(models), view, _heads(view, queries, grades, [None] * len(models)))

    def refit(self, queries: Sequence[Query], quality: npt.ArrayLike) -> Self:
        """Learn from other answers, with the penalties found."""
        grades = graded(queries, quality, self.models)
        return replace(self, heads=_heads(self.view, queries, grades, [head.penalty for head in self.heads]))

    def __call__(self, query: Query) -> list[float]:
        """P(right) of each model.

        Raises:
            ScorerError: It was learned with an embedding and has none.
        """
        features = self.view(query)
        return [head.probability(features) for head in self.heads]


def _heads(view: QueryView, queries: Sequence[Query], grades: Any, penalties: Sequence[float | None]) -> tuple[Logistic, ...]:
    """A regression per model on the rows where it was graded."""
    import numpy as np

    from frugal_core.learning.logistic import Logistic

    features = view.many(queries)
    texts: dict[str, int] = {}
    groups = np.array([texts.setdefault(query.text, len(texts)) for query in queries], dtype=np.int64)
    heads = []
    for labels, penalty in zip(grades.T, penalties, strict=True):
        known = ~np.isnan(labels)
        heads.append(Logistic.fit(features[known], labels[known], groups=groups[known], penalty=penalty))
    return tuple(heads)
