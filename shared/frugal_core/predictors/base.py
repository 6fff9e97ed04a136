"""What every predictor is: from a query alone to how well each model will answer it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from typing_extensions import Self

from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.predictors.view import QueryView
from frugal_core.types import Query

if TYPE_CHECKING:  # deciding loads no numpy where a predictor needs none
    import numpy.typing as npt

    from frugal_core.learning.columns import Floats

PredictFunction: TypeAlias = Callable[[Query], Sequence[float]]
"""Any plain function of this form serves as a predictor; the models are then those that a router has costs for, in order."""

FEWEST = 20
"""Graded queries from which a predictor may be learned."""


class Predictor(ABC):
    """Estimated quality of each model's answer to a query, in [0, 1], before anybody has answered it.

    Attributes:
        models: Names of the models.
    """

    models: tuple[str, ...]

    @abstractmethod
    def __call__(self, query: Query) -> Sequence[float]:
        """One estimate per model, in the order of `models`."""


class LearnedPredictor(Predictor):
    """A predictor learned from graded answers. Made by `fit`; nothing in it changes afterwards.

    Attributes:
        view: What it looks at.
    """

    view: QueryView

    @classmethod
    @abstractmethod
    def fit(cls, queries: Sequence[Query], quality: npt.ArrayLike, models: Sequence[str], *, embed: Any = None) -> Self:
        """Learn from graded answers.

        Args:
            queries: The queries.
            quality: Shape (queries, models): from 0 (wrong) to 1 (right); NaN where nobody graded.
            models: Their names.
            embed: Turns a text into a vector: a function, or embeddings of LangChain or LlamaIndex. Called once per query.

        Raises:
            ConfigurationError: Fewer than 20 graded answers of a model, or shapes or values that do not fit.
        """

    @abstractmethod
    def refit(self, queries: Sequence[Query], quality: npt.ArrayLike) -> Self:
        """The same kind of predictor, learned from other answers of the same models.

        What does not depend on single answers stays: the view, which knows texts alone, and the strength of regularisation.
        """

    def with_embedding(self, embed: Any) -> Self:
        """This predictor with the embedding that it was learned with, which no file holds.

        Raises:
            ConfigurationError: It was learned without.

        A loaded router gets it so: `Router(loaded.predictor.with_embedding(embed), loaded.costs, loaded.cost_weight)`.
        """
        return replace(self, view=self.view.with_embedding(embed))  # type: ignore[type-var]


def cross_fit(predictor: LearnedPredictor, queries: Sequence[Query], quality: npt.ArrayLike, *, folds: int = 5) -> Floats:
    """Estimates for queries by predictors that saw no answer to them: what a router's cost weight may be tuned on.

    Args:
        predictor: Learned from these answers; says how to learn.
        queries: The queries; equal texts fall into the same part.
        quality: As it was fitted on, with the queries along the first axis.
        folds: Number of predictors, each learned without one part of the queries; 2 or more.

    Returns:
        Shape (queries, models), in [0, 1].

    Raises:
        ConfigurationError: As `fit`, also where a part leaves too few rows.
    """
    import numpy as np

    from frugal_core.learning.logistic import folds_of

    if type(folds) is not int or folds < 2:
        raise ConfigurationError(f"folds={folds!r} is out of range: it is a number of parts, 2 or more.")
    grades = np.asarray(quality, dtype=float)
    if predictor.view.embed is not None:
        predictor = predictor.with_embedding(cache(predictor.view.embed))  # each text once, not once per fold
    texts: dict[str, int] = {}
    parts = folds_of([texts.setdefault(query.text, len(texts)) for query in queries], folds)
    if not len(parts) or parts.max() < 1:
        raise ConfigurationError(f"{len(texts)} different texts are too few: out-of-fold estimates need 2 or more.")
    estimates = np.empty((len(queries), len(predictor.models)))
    for part in range(int(parts.max()) + 1):
        inside = parts != part
        learned = predictor.refit([query for query, use in zip(queries, inside, strict=True) if use], grades[inside])
        estimates[~inside] = [learned(query) for query, use in zip(queries, inside, strict=True) if not use]
    return estimates


def graded(queries: Sequence[Query], quality: npt.ArrayLike, models: Sequence[str]) -> Floats:
    """Grades as an array of shape (queries, models), checked.

    Raises:
        ConfigurationError: Shapes or values do not fit, names repeat, or a model has fewer than 20 graded answers.
    """
    import numpy as np

    grades = np.asarray(quality, dtype=float)
    if isinstance(models, str) or not models or len(set(models)) < len(models):
        raise ConfigurationError(f"models={models!r} must be the models' names, each once.")
    if grades.shape[:2] != (len(queries), len(models)) or grades.ndim != 2:
        raise ConfigurationError(
            f"quality has shape {grades.shape} for {len(queries)} queries and {len(models)} models: give (queries, models)."
        )
    if not (np.isnan(grades) | ((grades >= 0) & (grades <= 1))).all():
        raise ConfigurationError("quality must be from 0 (wrong) to 1 (right), NaN where nobody graded.")
    counts = (~np.isnan(grades)).sum(axis=0)
    if counts.min() < FEWEST:
        name = models[int(counts.argmin())]
        raise ConfigurationError(
            f"{counts.min()} graded answers of {name} are too few to learn a predictor from: give at least {FEWEST}."
        )
    return grades


def estimates_of(predictor: PredictFunction, query: Query, count: int) -> list[float]:
    """What a predictor says of a query, checked: a router compares these numbers with money.

    Raises:
        ScorerError: It did not give one number in [0, 1] per model.
    """
    found = predictor(query)
    try:
        values = [float(value) for value in found]
    except (TypeError, ValueError):
        values = []
    if len(values) != count or not all(0 <= value <= 1 for value in values):
        name = getattr(predictor, "__name__", None) or type(predictor).__name__
        raise ScorerError(f"The predictor {name} returned {found!r}: it must give {count} numbers from 0 to 1, one per model.")
    return values
