"""RouteLLM's matrix factorisation: models and queries in one small space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from frugal_core.errors import ConfigurationError
from frugal_core.predictors.base import LearnedPredictor, graded
from frugal_core.predictors.standard import Standard
from frugal_core.predictors.view import QueryView
from frugal_core.saving import saveable
from frugal_core.types import Query

if TYPE_CHECKING:
    import numpy.typing as npt

    from frugal_core.learning.columns import Floats

RANK = 8
"""Most dimensions of the common space; never more than there are models."""

PENALTIES = (100.0, 30.0, 10.0, 3.0)
"""Penalties that are tried, the strongest first."""

_STEPS = 200
_HELD_OUT = 5


@saveable("factorisation_predictor")
@dataclass(frozen=True)
class FactorisationPredictor(LearnedPredictor):
    """P(right) of each model from the product of a vector for the model and one for the query, learned together.

    RouteLLM (Ong et al. 2024, arXiv 2406.18665, section 4.2) gives the log-odds that a strong model wins over a weak one as
    wᵀ[(v_s − v_w) ∘ Wq]. Here, for graded answers of any number of models, log-odds(model m is right) = b_m + v_mᵀWq, with w
    taken into the v: the difference between two models has RouteLLM's form. What the models have in common is thus learned
    from the answers of all.

    Attributes:
        models: Names of the models.
        view: What it looks at.
        standard: Makes its numbers comparable.
        vectors: v, one per model.
        projection: W, a row per dimension.
        biases: b, one per model.
        penalty: Per half of the squares of all v and W.
    """

    models: tuple[str, ...]
    view: QueryView
    standard: Standard
    vectors: tuple[tuple[float, ...], ...]
    projection: tuple[tuple[float, ...], ...]
    biases: tuple[float, ...]
    penalty: float

    def __post_init__(self) -> None:
        for name in ("models", "biases"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("vectors", "projection"):
            object.__setattr__(self, name, tuple(map(tuple, getattr(self, name))))
        widths = {len(row) for row in self.projection}, {len(row) for row in self.vectors}
        if widths != ({len(self.standard.means)}, {len(self.projection)}) or not (
            len(self.vectors) == len(self.biases) == len(self.models)
        ):
            raise ConfigurationError("The parts of a saved factorisation predictor do not fit one another. Learn it anew.")

    @classmethod
    def fit(cls, queries: Sequence[Query], quality: npt.ArrayLike, models: Sequence[str], *, embed: Any = None) -> Self:
        """Learn from graded answers; the penalty is the one with the least log loss on a fifth of the queries left out.

        Args:
            queries: The queries.
            quality: Shape (queries, models): from 0 (wrong) to 1 (right); NaN where nobody graded.
            models: Their names.
            embed: Turns a text into a vector: a function, or embeddings of LangChain or LlamaIndex. Called once per query.

        Raises:
            ConfigurationError: Fewer than 20 graded answers of a model, or shapes or values that do not fit.
        """
        grades = graded(queries, quality, models)
        view = QueryView.fit(queries, embed)
        standard, rows = _rows(view, queries)
        penalty = _best_penalty(rows, grades, queries)
        return cls(tuple(models), view, standard, *_parts(_factors(rows, grades, penalty)), penalty)

    def refit(self, queries: Sequence[Query], quality: npt.ArrayLike) -> Self:
        """Learn from other answers, with the penalty found."""
        standard, rows = _rows(self.view, queries)
        vectors, projection, biases = _parts(_factors(rows, graded(queries, quality, self.models), self.penalty))
        return replace(self, standard=standard, vectors=vectors, projection=projection, biases=biases)

    def __call__(self, query: Query) -> list[float]:
        """P(right) of each model.

        Raises:
            ScorerError: It was learned with an embedding and has none.
        """
        from frugal_core.learning.logistic import sigmoid

        features = self.standard(self.view(query))
        place = [_product(row, features) for row in self.projection]
        return [sigmoid(bias + _product(vector, place)) for vector, bias in zip(self.vectors, self.biases, strict=True)]


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _rows(view: QueryView, queries: Sequence[Query]) -> tuple[Standard, Floats]:
    import numpy as np

    views = view.many(queries)
    standard = Standard.of(views)
    return standard, np.array([standard(row) for row in views])


def _parts(
    factors: tuple[Floats, Floats, Floats],
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...], tuple[float, ...]]:
    vectors, projection, biases = factors
    return tuple(map(tuple, vectors.tolist())), tuple(map(tuple, projection.tolist())), tuple(biases.tolist())


def _best_penalty(rows: Floats, grades: Floats, queries: Sequence[Query]) -> float:
    """Of `PENALTIES`, by the queries left out."""
    import numpy as np

    from frugal_core.learning.logistic import folds_of

    texts: dict[str, int] = {}
    held = folds_of([texts.setdefault(query.text, len(texts)) for query in queries], _HELD_OUT) == 0
    known = ~np.isnan(grades)
    if not (known & ~held[:, None]).any(axis=0).all() or not (known & held[:, None]).any():
        return PENALTIES[0]

    def loss(penalty: float) -> float:
        vectors, projection, biases = _factors(rows[~held], grades[~held], penalty)
        return _loss(rows[held] @ projection.T @ vectors.T + biases, grades[held])

    return min(PENALTIES, key=loss)


def _loss(log_odds: Floats, grades: Floats) -> float:
    """Cross-entropy in nats, over all graded answers."""
    import numpy as np

    return float(np.nansum(np.logaddexp(0.0, log_odds) - grades * log_odds))


def _factors(rows: Floats, grades: Floats, penalty: float) -> tuple[Floats, Floats, Floats]:
    """Vectors (models, rank), projection (rank, numbers) and biases (models,) of least penalised log loss.

    By turns, one with the other held: each half is a convex problem, and one step of Newton's method (with the curvature's
    upper bound of a quarter in place of each answer's own, Böhning & Lindsay 1988) never makes it worse. Started from the
    leading directions of the least-squares fit, so that the same rows always give the same factors.
    """
    import numpy as np

    from frugal_core.learning.logistic import sigmoids

    known = ~np.isnan(grades)
    labels = np.where(known, grades, 0.0)
    means = (labels.sum(axis=0) + 0.5) / (known.sum(axis=0) + 1)
    biases = np.log(means / (1 - means))
    gram = rows.T @ rows / 4
    size = rows.shape[1]
    inverse = np.linalg.inv(gram + penalty * np.eye(size))
    start = inverse @ (rows.T @ np.where(known, labels - means, 0.0))
    left, strengths, right = np.linalg.svd(start, full_matrices=False)
    rank = min(RANK, len(strengths))
    projection = (left[:, :rank] * np.sqrt(strengths[:rank])).T
    vectors = right[:rank].T * np.sqrt(strengths[:rank])
    before = np.inf
    for _ in range(_STEPS):
        places = rows @ projection.T
        residual = np.where(known, sigmoids(places @ vectors.T + biases) - labels, 0.0)
        bound = places.T @ places / 4 + penalty * np.eye(rank)
        vectors = vectors - np.linalg.solve(bound, (residual.T @ places + penalty * vectors).T).T
        residual = np.where(known, sigmoids(places @ vectors.T + biases) - labels, 0.0)
        biases = biases - residual.sum(axis=0) / (known.sum(axis=0) / 4 + 1)
        residual = np.where(known, sigmoids(places @ vectors.T + biases) - labels, 0.0)
        slope = vectors.T @ residual.T @ rows + penalty * projection
        steepness = float(np.linalg.norm(vectors, 2) ** 2)
        bound = steepness * gram + penalty * np.eye(size)
        projection = projection - np.linalg.solve(bound, slope.T).T
        loss = _loss(rows @ projection.T @ vectors.T + biases, grades) + penalty / 2 * float(
            (vectors**2).sum() + (projection**2).sum()
        )
        if before - loss <= 1e-7 * (1 + abs(loss)):
            break
        before = loss
    return vectors, projection, biases
