"""A predictor without a model: queries that are alike are answered alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from frugal_core.errors import ConfigurationError
from frugal_core.predictors.base import LearnedPredictor, graded
from frugal_core.predictors.standard import Standard
from frugal_core.predictors.table import Table
from frugal_core.predictors.view import QueryView
from frugal_core.saving import saveable
from frugal_core.types import Query

if TYPE_CHECKING:
    import numpy.typing as npt

    from frugal_core.learning.columns import Floats

COUNTS = (10, 30, 100)
"""Numbers of neighbours that are tried."""

_PRIOR = 10.0
_TINY = 1e-12


@saveable("neighbour_predictor")
@dataclass(frozen=True)
class NeighbourPredictor(LearnedPredictor):
    """Mean quality on the nearest queries learned from, the more alike the heavier, shrunk towards each model's mean.

    Nearness is the cosine of standardised views. A neighbour as far away as the median one weighs 1/e of the nearest, and the
    model's mean weighs as much as ten of the nearest. The idea is RouteLLM's similarity-weighted ranking (Ong et al. 2024,
    arXiv 2406.18665, section 4.2), with graded answers in the place of battles. The only predictor that needs numpy to decide.

    Attributes:
        models: Names of the models.
        view: What it looks at.
        standard: Makes its numbers comparable.
        rows: The standardised views learned from, each of length 1.
        quality: Quality of each model's answer to them; the model's mean where nobody graded.
        prior: Mean quality of each model.
        count: Number of neighbours: of `COUNTS` the one with the least squared error on queries left out.
    """

    models: tuple[str, ...]
    view: QueryView
    standard: Standard
    rows: Table
    quality: Table
    prior: tuple[float, ...]
    count: int

    def __post_init__(self) -> None:
        for name in ("models", "prior"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        rows, quality = self.rows.matrix.shape, self.quality.matrix.shape
        if rows != (quality[0], len(self.standard.means)) or quality[1] != len(self.models) or len(self.prior) != quality[1]:
            raise ConfigurationError(
                f"The parts of a saved neighbour predictor do not fit: {rows} views, {quality} grades. Learn it anew."
            )

    @classmethod
    def fit(cls, queries: Sequence[Query], quality: npt.ArrayLike, models: Sequence[str], *, embed: Any = None) -> Self:
        """Keep the graded answers, and find the number of neighbours.

        Args:
            queries: The queries.
            quality: Shape (queries, models): from 0 (wrong) to 1 (right); NaN where nobody graded.
            models: Their names.
            embed: Turns a text into a vector: a function, or embeddings of LangChain or LlamaIndex. Called once per query.

        Raises:
            ConfigurationError: Fewer than 20 graded answers of a model, or shapes or values that do not fit.
        """
        grades, prior = _filled(graded(queries, quality, models))
        view = QueryView.fit(queries, embed)
        standard, rows = _placed(view, queries)
        count = _best_count(rows, grades, prior)
        return cls(tuple(models), view, standard, Table.of(rows), Table.of(grades), tuple(prior.tolist()), count)

    def refit(self, queries: Sequence[Query], quality: npt.ArrayLike) -> Self:
        """Keep other answers, with the number of neighbours found."""
        grades, prior = _filled(graded(queries, quality, self.models))
        standard, rows = _placed(self.view, queries)
        return replace(self, standard=standard, rows=Table.of(rows), quality=Table.of(grades), prior=tuple(prior.tolist()))

    def __call__(self, query: Query) -> list[float]:
        """Mean quality of each model on the neighbours, in [0, 1].

        Raises:
            ScorerError: It was learned with an embedding and has none.
        """
        import numpy as np

        place = np.array(self.standard(self.view(query)))
        alike = self.rows.matrix @ (place / max(float(np.linalg.norm(place)), _TINY))
        found = _estimate(alike[None, :], self.quality.matrix, np.array(self.prior), self.count)[0]
        return [min(1.0, max(0.0, float(value))) for value in found]


def _filled(grades: Floats) -> tuple[Floats, Floats]:
    """Grades with each model's mean where nobody graded, and these means."""
    import numpy as np

    prior = np.nanmean(grades, axis=0)
    return np.where(np.isnan(grades), prior, grades), prior


def _placed(view: QueryView, queries: Sequence[Query]) -> tuple[Standard, Floats]:
    """Standardised views of length 1."""
    import numpy as np

    views = view.many(queries)
    standard = Standard.of(views)
    rows = np.array([standard(row) for row in views])
    result: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _TINY)
    return standard, result


def _estimate(alike: Floats, grades: Floats, prior: Floats, count: int) -> Floats:
    """Shrunk means over the neighbours of each place.

    Args:
        alike: Shape (places, rows): cosines.
        grades: Shape (rows, models).
        prior: Shape (models,).
        count: Number of neighbours.

    Returns:
        Shape (places, models).
    """
    import numpy as np

    count = min(count, alike.shape[1])
    nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
    distances = 1 - np.take_along_axis(alike, nearest, axis=1)
    distances = distances - distances.min(axis=1, keepdims=True)
    weights = np.exp(-distances / np.maximum(np.median(distances, axis=1, keepdims=True), _TINY))
    totals = np.einsum("pn,pnm->pm", weights, grades[nearest]) + _PRIOR * prior
    result: Floats = totals / (weights.sum(axis=1, keepdims=True) + _PRIOR)
    return result


def _best_count(rows: Floats, grades: Floats, prior: Floats) -> int:
    """The number of neighbours with the least squared error when each query is estimated from the others, by blocks."""
    import numpy as np

    errors = dict.fromkeys(COUNTS, 0.0)
    for start in range(0, len(rows), 500):
        block = slice(start, start + 500)
        alike = rows[block] @ rows.T
        alike[np.arange(len(alike)), np.arange(start, start + len(alike))] = -np.inf  # not from itself
        for count in COUNTS:
            found = _estimate(alike, grades, prior, min(count, len(rows) - 1))
            errors[count] += float(((found - grades[block]) ** 2).sum())
    return min(COUNTS, key=lambda count: errors[count])
