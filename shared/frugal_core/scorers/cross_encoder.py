"""A scorer that reads query and answer together: a small encoder, fine-tuned to tell right answers from wrong ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from frugal_core.errors import ConfigurationError
from frugal_core.saving import load, save, saveable
from frugal_core.scorers.base import Scorer
from frugal_core.scorers.features import graded_rows, groups_of
from frugal_core.types import Answer, Query

if TYPE_CHECKING:  # deciding by a margin loads no numpy
    from frugal_core.learning.calibration import Calibration
    from frugal_core.learning.columns import Floats

FEWEST = 50
"""Graded answers from which an encoder may be fine-tuned: a fifth of them calibrates it."""

_PARTS = 5
_WARM_UP = 0.1
_DECAY = 0.01
_STEEPEST = 1.0
_CALIBRATION = "calibration.json"

Pair: TypeAlias = tuple[str, str]
"""Texts of a query and an answer."""


@saveable("cross_encoder")
@dataclass(frozen=True)
class CrossEncoderScorer(Scorer):
    """P(right) by an encoder that reads the query's last user turn and the answer's text as one pair.

    FrugalGPT's scorer (Chen et al. 2023, arXiv 2305.05176, section 3), with sentence-transformers and any checkpoint that it
    loads: a pretrained encoder gets a fresh head, a cross-encoder of other labels a new one. All weights are fine-tuned with
    the cross-entropy of right and wrong; four fifths of the queries teach, the last fifth turns what comes out into a
    probability. Equal input and seed give equal scores on one machine. An answer without text has no score.

    Made by `fit`; nothing in it changes afterwards. Weights are no JSON: `save` writes them to a folder, and policy files name
    that folder and a digest of what is in it. The weights are read when first needed.

    What it learned from it knows too well: put thresholds on the scores of `cross_fit`.

    Attributes:
        encoder: The fine-tuned encoder, loaded or to be loaded.
        calibration: From its output to P(right).
        folder: Where both are saved, as it was given; `None` while they are in memory only.
        digest: Of what is saved there.
    """

    encoder: Encoder = field(compare=False, repr=False)
    calibration: Calibration
    folder: str | None = None
    digest: str = ""

    @classmethod
    def fit(
        cls,
        queries: Sequence[Query],
        answers: Sequence[Answer],
        correct: Sequence[float | None],
        *,
        checkpoint: str | Path,
        epochs: int = 3,
        seed: int = 0,
        batch: int = 16,
        rate: float = 1e-4,
        max_tokens: int = 256,
    ) -> CrossEncoderScorer:
        """Fine-tune an encoder on answers whose correctness is known.

        Args:
            queries: The queries, one per answer.
            answers: An answer to each; several answers to one query are several rows.
            correct: From 0 (wrong) to 1 (right); rows with `None` or NaN, which nobody graded, are left out.
            checkpoint: Folder, or name on the Hugging Face hub, of the model to start from.
            epochs: How often each row is learned from.
            seed: Of the fresh head, of the order of rows and of dropout.
            batch: Rows per step.
            rate: Greatest learning rate: reached after a tenth of the steps, 0 after the last.
            max_tokens: Where pairs of query and answer are cut; the model's own limit where that is lower.

        Raises:
            ConfigurationError: sentence-transformers is not installed, `checkpoint` cannot be loaded, fewer than 50 graded
                answers with a text, or lengths or values that do not fit.
        """
        training = _Training(str(checkpoint), epochs, seed, batch, rate, max_tokens)
        return _Rows.of(queries, answers, correct).fit(None, training)

    @staticmethod
    def cross_fit(
        queries: Sequence[Query],
        answers: Sequence[Answer],
        correct: Sequence[float | None],
        *,
        checkpoint: str | Path,
        epochs: int = 3,
        seed: int = 0,
        batch: int = 16,
        rate: float = 1e-4,
        max_tokens: int = 256,
        folds: int = 5,
    ) -> Floats:
        """Scores of the same answers by scorers that saw no answer to that query: what thresholds may be tuned on.

        Args:
            queries: As in `fit`.
            answers: As in `fit`.
            correct: As in `fit`. Answers nobody graded are scored all the same.
            checkpoint: As in `fit`.
            epochs: As in `fit`.
            seed: As in `fit`.
            batch: As in `fit`.
            rate: As in `fit`.
            max_tokens: As in `fit`.
            folds: Number of scorers, each learned without one part of the queries; 2 or more.

        Returns:
            Shape (answers,), in [0, 1]; NaN where an answer has no text.

        Raises:
            ConfigurationError: As `fit`, also where a part leaves too few rows.
        """
        if type(folds) is not int or folds < 2:
            raise ConfigurationError(f"folds={folds!r} is out of range: it is a number of parts, 2 or more.")
        training = _Training(str(checkpoint), epochs, seed, batch, rate, max_tokens)
        return _Rows.of(queries, answers, correct).cross_fit(folds, training)

    def __call__(self, query: Query, answer: Answer) -> float | None:
        """P(right), in [0, 1]; `None` for an answer without text."""
        if not answer.text.strip():
            return None
        return self.calibration(float(self.encoder([(query.text, answer.text)])[0]))

    def scores(self, queries: Sequence[Query], answers: Sequence[Answer]) -> Floats:
        """Score many answers at once, several times as fast as one by one.

        Args:
            queries: The queries, one per answer.
            answers: An answer to each.

        Returns:
            Shape (answers,), in [0, 1]; NaN where an answer has no text.

        Raises:
            ConfigurationError: There are not as many of both, or the weights cannot be read.
        """
        import numpy as np

        rows = graded_rows(queries, answers, [None] * len(answers))
        pairs = [(query.text, answer.text) for query, answer, _ in rows]
        there = np.array([bool(text.strip()) for _, text in pairs], dtype=bool)
        scores = np.full(len(pairs), np.nan)
        if there.any():
            scores[there] = self.calibration.apply(self.encoder([pairs[row] for row in np.flatnonzero(there)]))
        return scores

    def save(self, folder: str | Path) -> CrossEncoderScorer:
        """Write weights (safetensors, never pickle), tokenizer and calibration to a folder; what it held is replaced.

        A relative path counts from the working directory, here and in policy files.

        Returns:
            This scorer, as one that a policy file can refer to: build the policy with it.

        Raises:
            OSError: The folder cannot be written.
        """
        folder = Path(folder)
        self.encoder.save(folder)
        save(self.calibration, folder / _CALIBRATION)
        return replace(self, folder=str(folder), digest=_digest(folder))

    @classmethod
    def load(cls, folder: str | Path) -> CrossEncoderScorer:
        """The scorer that was saved to a folder.

        Raises:
            ConfigurationError: There is no such folder, or no scorer in it.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ConfigurationError(
                f"No folder {str(folder)!r} with the weights of a cross-encoder, looked for from {str(Path.cwd())!r}. Put it "
                "there, or load it from where it is by CrossEncoderScorer.load(folder) and build the policy with that."
            )
        calibration: Any = load(folder / _CALIBRATION)
        if getattr(calibration, "kind", None) != "calibration" or not any(folder.rglob("*.safetensors")):
            raise ConfigurationError(f"{str(folder)!r} holds no scorer: write one by CrossEncoderScorer.save.")
        return cls(Encoder(folder.absolute()), calibration, str(folder), _digest(folder))

    def state(self) -> Mapping[str, Any]:
        """Where it is saved.

        Raises:
            ConfigurationError: It is not.
        """
        if self.folder is None:
            raise ConfigurationError(
                "This cross-encoder's weights are in memory only, and a policy file holds none: write them to a folder by "
                "`scorer = scorer.save(folder)` and build the policy with that."
            )
        return {"folder": self.folder, "digest": self.digest}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> CrossEncoderScorer:
        """Back from `state`.

        Raises:
            ConfigurationError: The folder is missing, or holds something else by now.
        """
        scorer = cls.load(str(state.get("folder")))
        if scorer.digest != state.get("digest"):
            raise ConfigurationError(
                f"{scorer.folder!r} holds other weights than those that this was saved with: thresholds for these say nothing "
                "of them. Put the old ones back, or build the policy anew with CrossEncoderScorer.load(folder)."
            )
        return scorer


class Encoder:
    """Weights and tokenizer, read from a folder when first needed; one thread at a time uses them.

    Args:
        source: The folder, or a loaded model of sentence-transformers.
    """

    def __init__(self, source: Path | Any) -> None:
        self._source = source
        self._lock = Lock()

    def __call__(self, pairs: Sequence[Pair]) -> Floats:
        """Output for each pair, in [0, 1], shape (pairs,).

        Raises:
            ConfigurationError: The weights cannot be read.
        """
        import numpy as np

        with self._lock:  # fast tokenizers are for one thread at a time
            scores = self._model().predict(list(pairs), show_progress_bar=False)
        return np.asarray(scores, dtype=float)

    def save(self, folder: Path) -> None:
        """Write them to a folder."""
        with self._lock:
            self._model().save(str(folder), create_model_card=False)

    def _model(self) -> Any:
        if isinstance(self._source, Path):
            self._source = _opened(str(self._source))
        return self._source


@dataclass(frozen=True)
class _Training:
    """How to fine-tune; see `CrossEncoderScorer.fit`."""

    checkpoint: str
    epochs: int
    seed: int
    batch: int
    rate: float
    max_tokens: int

    def __post_init__(self) -> None:
        least = {"epochs": 1, "seed": 0, "batch": 1, "max_tokens": 8}
        for name, low in least.items():
            if type(value := getattr(self, name)) is not int or value < low:
                raise ConfigurationError(f"{name}={value!r} is out of range: it is a whole number, {low} or more.")
        if not isinstance(self.rate, (int, float)) or not 0 < self.rate < 1:
            raise ConfigurationError(
                f"rate={self.rate!r} is out of range: a learning rate is between 0 and 1, mostly 2e-5 to 1e-4."
            )

    def tuned(self, pairs: Sequence[Pair], labels: Sequence[float]) -> Any:
        """A model fine-tuned on pairs."""
        torch = _torch()
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(self.seed)
            model = _opened(self.checkpoint, fresh=True)
            model.max_seq_length = min(self.max_tokens, model.max_seq_length or self.max_tokens)
            self._tune(torch, model, pairs, torch.tensor(labels, dtype=torch.float32, device=model.device))
        model.eval()
        return model

    def _tune(self, torch: Any, model: Any, pairs: Sequence[Pair], labels: Any) -> None:
        weights = list(model.parameters())
        optimizer = torch.optim.AdamW(weights, lr=self.rate, weight_decay=_DECAY)
        steps = self.epochs * -(-len(pairs) // self.batch)
        warm = max(1, round(_WARM_UP * steps))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm))
        )
        loss = torch.nn.BCEWithLogitsLoss()
        model.train()
        for _ in range(self.epochs):
            for rows in torch.randperm(len(pairs)).split(self.batch):
                features = model.preprocess([pairs[row] for row in rows.tolist()])
                features = {k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in features.items()}
                optimizer.zero_grad()
                loss(model(features)["scores"].float().view(-1), labels[rows.to(labels.device)]).backward()
                torch.nn.utils.clip_grad_norm_(weights, _STEEPEST)
                optimizer.step()
                schedule.step()


@dataclass(frozen=True)
class _Rows:
    """What scorers are fine-tuned on.

    Attributes:
        queries: The queries.
        answers: Answers to them.
        labels: Shape (rows,); NaN where nobody graded, or where there is no text.
        groups: Shape (rows,): equal for answers to the same query.
    """

    queries: Sequence[Query]
    answers: Sequence[Answer]
    labels: Floats
    groups: Any

    @classmethod
    def of(cls, queries: Sequence[Query], answers: Sequence[Answer], correct: Sequence[float | None]) -> _Rows:
        """Check them."""
        import numpy as np

        rows = graded_rows(queries, answers, correct)
        labels = np.array([label if answer.text.strip() else np.nan for _, answer, label in rows], dtype=float)
        return cls(queries, answers, labels, np.array(groups_of(queries), dtype=np.int64))

    def fit(self, chosen: Any, training: _Training) -> CrossEncoderScorer:
        """Fine-tune on four fifths of some of the rows, all by default, and calibrate on the others."""
        import numpy as np

        from frugal_core.learning.calibration import Calibration
        from frugal_core.learning.logistic import folds_of

        graded = ~np.isnan(self.labels)
        use = np.flatnonzero(graded if chosen is None else graded & chosen)
        if len(use) < FEWEST:
            raise ConfigurationError(
                f"{len(use)} graded answers are too few to fine-tune an encoder: give at least {FEWEST}, better {10 * FEWEST}."
            )
        held = folds_of(self.groups[use], _PARTS) == 0
        if held.all():
            raise ConfigurationError("All graded answers are to one query: a scorer is learned from answers to many.")
        pairs = [(self.queries[row].text, self.answers[row].text) for row in use.tolist()]
        labels = self.labels[use]
        taught = [pair for pair, kept in zip(pairs, held, strict=True) if not kept]
        encoder = Encoder(training.tuned(taught, labels[~held].tolist()))
        outputs = encoder([pair for pair, kept in zip(pairs, held, strict=True) if kept])
        return CrossEncoderScorer(encoder, Calibration.fit(outputs, labels[held], form="two_sided", method="logistic"))

    def cross_fit(self, folds: int, training: _Training) -> Floats:
        """Score each part of the queries by what was learned from the others."""
        import numpy as np

        from frugal_core.learning.logistic import folds_of

        parts = folds_of(self.groups, folds)
        if len(parts) and parts.max() < 1:
            raise ConfigurationError("All answers are to one query: out-of-fold scores need two queries or more.")
        scores = np.full(len(self.labels), np.nan)
        for part in range(int(parts.max(initial=0)) + 1):
            scorer = self.fit(parts != part, training)
            rows = np.flatnonzero(parts == part).tolist()
            scores[rows] = scorer.scores([self.queries[row] for row in rows], [self.answers[row] for row in rows])
        return scores


def _opened(source: str, *, fresh: bool = False) -> Any:
    """A model of sentence-transformers, in 32 bits.

    Raises:
        ConfigurationError: It is not installed, or cannot load this.
    """
    torch = _torch()
    from sentence_transformers import CrossEncoder

    options = {"num_labels": 1, "model_kwargs": {"ignore_mismatched_sizes": True}} if fresh else {}
    try:
        model: Any = CrossEncoder(source, activation_fn=torch.nn.Sigmoid(), **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigurationError(
            f"{source!r} cannot be loaded as an encoder ({error}). Give the folder of a checkpoint, or its name on the hub."
        ) from error
    return model.float()


def _torch() -> Any:
    try:
        import sentence_transformers  # noqa: F401  # needs torch itself
        import torch
    except ImportError as error:
        raise ConfigurationError(
            f"A cross-encoder needs sentence-transformers ({error}): pip install 'langchain-frugal[embeddings]'."
        ) from error
    return torch


def _digest(folder: Path) -> str:
    """Of weights and calibration."""
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*.safetensors"), folder / _CALIBRATION]):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
