"""A scorer learned from answers whose correctness is known.

What a scorer was learned on says too much about it: its scores there look better than they will be. Thresholds therefore
belong on `LearnedScorer.cross_fit`, whose every score comes from a scorer that saw no answer to that query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.saving import saveable
from frugal_core.scorers.base import ScoreFunction, Scorer, needs_logprobs
from frugal_core.scorers.features import QUANTILES, feature_names, features_of, graded_rows, groups_of, model_name
from frugal_core.scorers.margin import Margin
from frugal_core.types import Answer, Query

if TYPE_CHECKING:  # deciding by a margin loads no numpy
    from frugal_core.learning.columns import Floats
    from frugal_core.learning.logistic import Logistic

Embed = Callable[[str], Sequence[float]]
"""Turns a text into a vector, as `embed_query` of LangChain's embeddings and `get_text_embedding` of LlamaIndex's do."""

FEWEST = 20
"""Rows from which a scorer may be learned, and rows without a signal that tell what its absence means."""

COMPONENTS = 32
"""Most directions of the embeddings that are looked at; one in ten rows at most."""


@saveable("learned_scorer")
@dataclass(frozen=True)
class LearnedScorer(Scorer):
    """P(right) by logistic regression on all that an answer shows of itself.

    Looks at other scorers' scores (the margin), quantiles of the tokens' log-probabilities (Gupta et al. 2024, arXiv
    2404.10136), their mean, lengths, why the answer ended, which model gave it, and embeddings of query and answer if wished.
    Made by `fit`; nothing in it changes afterwards. What regression gives is a probability, so scores are calibrated.
    All else equal, a greater signal or likelier tokens never lower the score.

    A missing signal is never confidence. Whether an answer has a signal is a feature itself, so answers without one get the
    confidence that such answers earned. Where fewer than 20 of the answers learned from lacked it, nobody knows what they
    earn, and the score is `None`.

    Attributes:
        signals: Scorers whose scores are features; none of them may make calls.
        models: The models known by name.
        required: Which signals, by place, an answer must have: those of `signals`, then the log-probabilities.
        model: The regression.
        direction: Weights of the embeddings of query and answer, one after the other; empty without.
        embed: Turns text into a vector. Code is not saved: give it again, `loaded.with_embedding(embed)`.
    """

    signals: tuple[ScoreFunction, ...]
    models: tuple[str, ...]
    required: tuple[bool, ...]
    model: Logistic
    direction: tuple[float, ...] = ()
    embed: Embed | None = field(default=None, compare=False, repr=False)

    @classmethod
    def fit(
        cls,
        queries: Sequence[Query],
        answers: Sequence[Answer],
        correct: Sequence[float | None],
        *,
        signals: Sequence[ScoreFunction] = (Margin(),),
        embed: Embed | None = None,
        penalty: float | None = None,
    ) -> LearnedScorer:
        """Learn from answers whose correctness is known.

        Args:
            queries: The queries, one per answer.
            answers: An answer to each; several answers to one query are several rows.
            correct: From 0 (wrong) to 1 (right); rows with `None` or NaN, which nobody graded, are left out.
            signals: Scorers whose scores are features.
            embed: Turns a text into a vector, called once per distinct text.
            penalty: Of the regression; by default the best in cross-validation over queries.

        Raises:
            ConfigurationError: Fewer than 20 graded answers, lengths or values that do not fit, a scorer that makes calls or
                fails, or an embedding of changing length.

        >>> from math import log
        >>> from frugal_core.types import Message, Query, TokenLogprob
        >>> def says(p: float) -> Answer:
        ...     return Answer("Paris", logprobs=(TokenLogprob("Paris", log(p), (("Paris", log(p)), ("Rome", log(1 - p)))),))
        >>> queries = [Query((Message("user", f"question {n}"),), ()) for n in range(100)]
        >>> scorer = LearnedScorer.fit(queries, [says(0.95), says(0.6)] * 50, [1, 0, 1, 1] * 25)
        >>> round(scorer(queries[50], says(0.95)), 1), round(scorer(queries[50], says(0.6)), 1)
        (1.0, 0.5)
        >>> scorer(queries[0], Answer("Paris")) is None  # no answer without log-probabilities was learned from
        True
        """
        return _Rows.of(queries, answers, correct, signals, embed).fit(None, penalty)

    @staticmethod
    def cross_fit(
        queries: Sequence[Query],
        answers: Sequence[Answer],
        correct: Sequence[float | None],
        *,
        signals: Sequence[ScoreFunction] = (Margin(),),
        embed: Embed | None = None,
        penalty: float | None = None,
        folds: int = 5,
    ) -> Floats:
        """Scores of the same answers by scorers that saw no answer to that query: what thresholds may be tuned on.

        Args:
            queries: As in `fit`.
            answers: As in `fit`.
            correct: As in `fit`. Answers nobody graded are scored all the same.
            signals: As in `fit`.
            embed: As in `fit`.
            penalty: As in `fit`; chosen within the rows of each scorer by default.
            folds: Number of scorers, each learned without one part of the queries; 2 or more.

        Returns:
            Shape (answers,), in [0, 1]; NaN where such a scorer gives no signal.

        Raises:
            ConfigurationError: As `fit`, also where a part leaves too few rows.
        """
        if type(folds) is not int or folds < 2:
            raise ConfigurationError(f"folds={folds!r} is out of range: it is a number of parts, 2 or more.")
        return _Rows.of(queries, answers, correct, signals, embed).cross_fit(folds, penalty)

    @property
    def needs_logprobs(self) -> bool:  # type: ignore[override]
        """Unless it was learned on answers without."""
        weights = self.model.weights
        last = 2 * len(self.signals)
        if self.required[-1] or any(weights[last : last + len(QUANTILES) + 4]):
            return True
        return any(needs_logprobs(signal) and any(weights[2 * i : 2 * i + 2]) for i, signal in enumerate(self.signals))

    def __call__(self, query: Query, answer: Answer) -> float | None:
        """P(right), in [0, 1]; `None` where a signal is missing that was there nearly always.

        Raises:
            ScorerError: It was learned with an embedding and has none.
        """
        features, known = features_of(query, answer, self.signals, self.models)
        if any(needed and not there for needed, there in zip(self.required, known, strict=True)):
            return None
        if self.direction:
            features.append(self._projection(query, answer))
        return self.model.probability(features)

    def with_embedding(self, embed: Embed) -> LearnedScorer:
        """This scorer with the embedding that it was learned with, which no file holds.

        Raises:
            ConfigurationError: It was learned without.

        A loaded cascade gets it so: `Cascade(loaded.scorer.with_embedding(embed), loaded.threshold)`.
        """
        if not self.direction:
            raise ConfigurationError("This scorer was learned without an embedding and needs none.")
        return replace(self, embed=embed)

    def state(self) -> Mapping[str, Any]:
        """All but the embedding."""
        return {
            "signals": self.signals,
            "models": self.models,
            "required": self.required,
            "model": vars(self.model),
            "direction": self.direction,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> LearnedScorer:
        """Back from `state`.

        Raises:
            ConfigurationError: The parts do not fit one another.
        """
        from frugal_core.learning.logistic import Logistic

        model = Logistic(**state.get("model", {}))
        signals, models, required, direction = (
            tuple(state.get(name, ())) for name in ("signals", "models", "required", "direction")
        )
        scorer = cls(signals, models, required, model, direction)
        width = len(feature_names(scorer.signals, scorer.models)) + bool(scorer.direction)
        if len(scorer.model.weights) != width or len(scorer.required) != len(scorer.signals) + 1:
            raise ConfigurationError(
                f"A saved learned scorer has {len(scorer.model.weights)} weights where its features are {width}: it was "
                "changed, or is of another version. Learn it anew."
            )
        return scorer

    def weights(self) -> dict[str, float]:
        """What each feature adds to the log-odds per unit, by its name, for reports."""
        names = [*feature_names(self.signals, self.models), *(["embedding"] if self.direction else [])]
        return dict(zip(names, self.model.weights, strict=True))

    def _projection(self, query: Query, answer: Answer) -> float:
        if self.embed is None:
            raise ScorerError(
                "This scorer was learned with an embedding, which a file does not hold: give it again by "
                "scorer.with_embedding(embed)."
            )
        vector = [*self.embed(query.text), *self.embed(answer.text)]
        if len(vector) != len(self.direction):
            raise ScorerError(
                f"The embedding gives {len(vector)} numbers for query and answer, {len(self.direction)} were learned on: give "
                "the one that the scorer was learned with."
            )
        return float(sum(weight * value for weight, value in zip(self.direction, vector, strict=True)))


@dataclass(frozen=True)
class _Rows:
    """What scorers are learned from.

    Attributes:
        signals: Scorers whose scores are features.
        models: Names of all models.
        embed: Turns a text into a vector.
        features: Shape (rows, features), without the embedding.
        known: Shape (rows, signals + 1): which signals each answer has.
        vectors: Shape (rows, numbers): embeddings of query and answer.
        labels: Shape (rows,); NaN where nobody graded.
        groups: Shape (rows,): equal for answers to the same query.
    """

    signals: tuple[ScoreFunction, ...]
    models: tuple[str, ...]
    embed: Embed | None
    features: Floats
    known: Any
    vectors: Floats
    labels: Floats
    groups: Any

    @classmethod
    def of(
        cls,
        queries: Sequence[Query],
        answers: Sequence[Answer],
        correct: Sequence[float | None],
        signals: Sequence[ScoreFunction],
        embed: Embed | None,
    ) -> _Rows:
        """Look at every answer once."""
        import numpy as np

        signals = tuple(signals)
        rows = graded_rows(queries, answers, correct)
        names = {model_name(query, answer) for query, answer, _ in rows} - {None}
        models = tuple(sorted(map(str, names))) if len(names) > 1 else ()
        looked = [features_of(query, answer, signals, models) for query, answer, _ in rows]
        return cls(
            signals,
            models,
            embed,
            np.array([features for features, _ in looked], dtype=float).reshape(len(rows), len(feature_names(signals, models))),
            np.array([known for _, known in looked], dtype=bool).reshape(len(rows), len(signals) + 1),
            _embedded(rows, embed),
            np.array([label for _, _, label in rows], dtype=float),
            np.array(groups_of(queries), dtype=np.int64),
        )

    def fit(self, chosen: Any, penalty: float | None) -> LearnedScorer:
        """Learn from some of the rows, all by default."""
        import numpy as np

        from frugal_core.learning.logistic import Logistic

        graded = ~np.isnan(self.labels)
        use = graded if chosen is None else graded & chosen
        rows = int(use.sum())
        if rows < FEWEST:
            raise ConfigurationError(f"{rows} graded answers are too few to learn a scorer from: give at least {FEWEST}.")
        required = (~self.known[use]).sum(axis=0) < FEWEST
        required &= self.known[use].any(axis=0)
        features, vectors = self.features[use], self.vectors[use]
        axes = _axes(vectors)
        start = 2 * len(self.signals)
        model = Logistic.fit(
            np.hstack([features, vectors @ axes]),
            self.labels[use],
            groups=self.groups[use],
            penalty=penalty,
            rising=[*range(0, start, 2), *range(start, start + len(QUANTILES) + 3)],
        )
        direction = axes @ np.array(model.weights[features.shape[1] :])
        if self.embed is not None:
            model = _joined(model, features.shape[1], vectors @ direction)
        return LearnedScorer(
            self.signals,
            self.models,
            tuple(map(bool, required)),
            model,
            tuple(direction.tolist()) if self.embed is not None else (),
            self.embed,
        )

    def cross_fit(self, folds: int, penalty: float | None) -> Floats:
        """Score each part of the queries by what was learned from the others."""
        import numpy as np

        from frugal_core.learning.logistic import folds_of

        parts = folds_of(self.groups, folds)
        if len(parts) and parts.max() < 1:
            raise ConfigurationError("All answers are to one query: out-of-fold scores need two queries or more.")
        scores = np.full(len(self.labels), np.nan)
        for part in range(int(parts.max(initial=0)) + 1):
            scorer = self.fit(parts != part, penalty)
            there = (self.known | ~np.array(scorer.required)).all(axis=1) & (parts == part)
            features = self.features[there]
            if scorer.direction:
                features = np.hstack([features, (self.vectors[there] @ np.array(scorer.direction))[:, None]])
            scores[there] = scorer.model.probabilities(features)
        return scores


def _embedded(rows: Sequence[tuple[Query, Answer, float]], embed: Embed | None) -> Floats:
    """Embeddings of query and answer of each row; no columns without."""
    import numpy as np

    if embed is None:
        return np.empty((len(rows), 0))
    distinct = dict.fromkeys(text for query, answer, _ in rows for text in (query.text, answer.text))
    texts = {text: [float(value) for value in embed(text)] for text in distinct}
    sizes = {len(vector) for vector in texts.values()}
    if len(sizes) > 1 or 0 in sizes:
        raise ConfigurationError(f"The embedding gives vectors of {sorted(sizes)} numbers: they must have one length, above 0.")
    vectors = np.array([[*texts[query.text], *texts[answer.text]] for query, answer, _ in rows], dtype=float)
    if not np.isfinite(vectors).all():
        raise ConfigurationError("The embedding gives numbers that are not finite.")
    return vectors


def _axes(vectors: Floats) -> Floats:
    """The directions in which embeddings differ most, shape (numbers, components): too few rows can weigh no more of them."""
    import numpy as np

    count = min(COMPONENTS, len(vectors) // 10, vectors.shape[1])
    if not count:
        return np.empty((vectors.shape[1], 0))
    _, _, axes = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    result: Floats = axes[:count].T
    return result


def _joined(model: Logistic, plain: int, projections: Floats) -> Logistic:
    """The same regression with one feature for all of the embedding, of weight 1."""
    return replace(
        model,
        weights=(*model.weights[:plain], 1.0),
        means=(*model.means[:plain], float(projections.mean())),
        low=(*model.low[:plain], float(projections.min())),
        high=(*model.high[:plain], float(projections.max())),
    )
