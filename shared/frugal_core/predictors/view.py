"""What predictors look at: a query as a list of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.predictors.query_features import QUERY_FEATURES, query_features
from frugal_core.predictors.table import Table
from frugal_core.predictors.words import WordDirections
from frugal_core.saving import saveable
from frugal_core.types import Query

if TYPE_CHECKING:
    from frugal_core.learning.columns import Floats

Embed = Callable[[str], Sequence[float]]
"""Turns a text into a vector."""

COMPONENTS = 64
"""Most directions of the embeddings that are looked at; one for every 50 queries learned from at most."""


@saveable("query_view")
@dataclass(frozen=True)
class QueryView:
    """Surface features of a query, the directions of its words, and those of its embedding if there is one.

    Attributes:
        words: The directions of the words; `None` where the queries were too few to learn any.
        axes: The directions in which the embeddings differ most, a row for each of their numbers.
        embed: Turns text into a vector. Code is not saved: give it again, `with_embedding`.
    """

    words: WordDirections | None = None
    axes: Table | None = None
    embed: Embed | None = field(default=None, compare=False, repr=False)

    @classmethod
    def fit(cls, queries: Sequence[Query], embed: Any = None) -> QueryView:
        """Learn the directions, from the texts alone.

        Args:
            queries: The queries.
            embed: See `as_embed`.

        Raises:
            ConfigurationError: The embedding is none, or gives vectors of changing length or of numbers that are not finite.
        """
        words = WordDirections.fit([query.text for query in queries])
        if embed is None:
            return cls(words)
        embed = as_embed(embed)
        return cls(words, _axes([embed(query.text) for query in queries]), embed)

    def __call__(self, query: Query) -> list[float]:
        """The numbers of one query.

        Raises:
            ScorerError: The view was learned with an embedding, and there is none or another one.
        """
        features = query_features(query)
        if self.words is not None:
            features += self.words(query.text)
        if self.axes is not None:
            features += self.embedded(query)
        return features

    def embedded(self, query: Query) -> list[float]:
        """The place of a query's embedding along the directions learned.

        Raises:
            ScorerError: As above.
        """
        assert self.axes is not None
        if self.embed is None:
            raise ScorerError(
                "This predictor was learned with an embedding, which a file does not hold: give it again by "
                "predictor.with_embedding(embed)."
            )
        import numpy as np

        vector = np.asarray(self.embed(query.text), dtype=float)
        axes = self.axes.matrix
        if vector.shape != axes.shape[:1]:
            raise ScorerError(
                f"The embedding gives {vector.size} numbers, {len(axes)} were learned on: give the one that the predictor was "
                "learned with."
            )
        result: list[float] = (vector @ axes).tolist()
        return result

    def many(self, queries: Sequence[Query]) -> Floats:
        """The numbers of many, shape (queries, numbers)."""
        import numpy as np

        return np.array([self(query) for query in queries], dtype=float).reshape(len(queries), self.size)

    @property
    def size(self) -> int:
        """How many numbers a query becomes."""
        words = 0 if self.words is None else self.words.size
        return len(QUERY_FEATURES) + words + (0 if self.axes is None else self.axes.width)

    def with_embedding(self, embed: Any) -> Self:
        """This view with the embedding that it was learned with, which no file holds.

        Raises:
            ConfigurationError: It was learned without.
        """
        if self.axes is None:
            raise ConfigurationError("This predictor was learned without an embedding and needs none.")
        return replace(self, embed=as_embed(embed))

    def state(self) -> dict[str, Any]:
        """All but the embedding."""
        return {"words": self.words, "axes": self.axes}


def as_embed(embed: Any) -> Embed:
    """A function from text to vector, for what a user may give: one, or embeddings of LangChain or of LlamaIndex.

    Raises:
        ConfigurationError: It is nothing of the kind.

    >>> as_embed(len) is len
    True
    """
    for name in ("embed_query", "get_text_embedding"):
        method = getattr(embed, name, None)
        if callable(method):
            return method  # type: ignore[no-any-return]
    if not callable(embed):
        raise ConfigurationError(
            f"embed={embed!r} must be a function from a text to a vector, or an object with embed_query (LangChain's) or "
            "get_text_embedding (LlamaIndex's)."
        )
    return embed  # type: ignore[no-any-return]


def _axes(vectors: Sequence[Sequence[float]]) -> Table:
    """The directions in which embeddings differ most, a row for each of their numbers."""
    import numpy as np

    sizes = sorted({len(vector) for vector in vectors})
    if len(sizes) != 1 or not sizes[0]:
        raise ConfigurationError(f"The embedding gives vectors of {sizes} numbers: they must have one length, above 0.")
    matrix = np.array(vectors, dtype=float)
    if not np.isfinite(matrix).all():
        raise ConfigurationError("The embedding gives numbers that are not finite.")
    count = max(1, min(COMPONENTS, len(matrix) // 50, matrix.shape[1]))
    _, axes = np.linalg.eigh(np.cov(matrix, rowvar=False).reshape(matrix.shape[1], -1))
    return Table.of(axes[:, ::-1][:, :count])
