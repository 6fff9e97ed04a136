"""Recorded answers: what each model said to each query, whether it was right, what it cost and how sure it seemed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frugal_core.errors import RecordingsError
from frugal_core.learning.columns import Floats, Objects, Place, mean_probability, numbers, vote_share
from frugal_core.learning.lines import read_objects

REQUIRED = ("dataset", "query_id", "model", "split", "correct")
"""What every row has. `correct` may be null, for an answer nobody graded; it then counts as absent."""

SIGNALS = ("margin", "confidence_logp", "p_top1", "votes", "logprobs")
"""Confidence signals that are looked for, the best first."""

_COSTS = ("cost_answer_usd", "cost_usd", "prompt_tokens", "completion_tokens", "params_b")
_COMMON = 0.9
_NAMED = 8
_MOST_MODELS = 1 << 20


@dataclass(frozen=True)
class Recordings:
    """Recorded answers of several models to the queries of one dataset.

    Attributes:
        dataset: Its name.
        models: The models, in the order they were met.
        query_ids: The queries, in the order they were met.
        train: Shape (queries,): which queries are for learning; the others are for testing.
        present: Shape (queries, models): which answers were recorded.
        correct: Shape (queries, models): quality in [0, 1]; NaN where absent.
        signals: By name, shape (queries, models): confidence in [0, 1]; NaN where not recorded. Only recorded ones are listed.
        values: By column (`cost_answer_usd`, `cost_usd`, `prompt_tokens`, `completion_tokens`, `params_b`), shape
            (queries, models); NaN where not recorded.
        samples: Shape (queries, models): how many samples each answer was drawn from, at least 1.
        queries: The queries' texts; `None` where not recorded.
        references: The right answers; `None` where not recorded.
        answers: Shape (queries, models), of text or `None`.
        logprobs: Shape (queries, models): a tuple of the tokens' log-probabilities, or `None`.
        finish_reasons: Shape (queries, models), of text or `None`.
        scorers: By name of a signal, what measured it, as saved (`frugal_core.saving`); `None` where that was code, or not the
            same in all rows. Only what was recorded is listed.
    """

    dataset: str
    models: tuple[str, ...]
    query_ids: tuple[str, ...]
    train: npt.NDArray[np.bool_]
    present: npt.NDArray[np.bool_]
    correct: Floats
    signals: Mapping[str, Floats]
    values: Mapping[str, Floats]
    samples: Floats
    queries: tuple[str | None, ...]
    references: tuple[str | None, ...]
    answers: Objects
    logprobs: Objects
    finish_reasons: Objects
    scorers: Mapping[str, Any]

    @classmethod
    def read(cls, paths: Iterable[str | Path], columns: Sequence[str] = ()) -> list[Recordings]:
        """Read files of the tidy format: one JSON object per query and model, gzip or not, or Parquet with the same columns.

        A dataset may span several files, and a file may hold several datasets.

        Args:
            paths: The files.
            columns: Further columns to keep as signals; their values must be probabilities or log-probabilities.

        Returns:
            One object per dataset, in the order they were met.

        Raises:
            RecordingsError: A file cannot be read, or a row lacks a field, repeats another or has a value out of range.
        """
        tables: dict[str, _Table] = {}
        for path in map(Path, paths):
            for row, content in read_objects(path):
                name = _name(content, "dataset", path, row)
                table = tables.get(name)
                if table is None:
                    table = tables[name] = _Table(name, tuple(column for column in columns if column not in SIGNALS))
                table.add(content, path, row)
        return [table.build() for table in tables.values()]

    def subset(self, queries: npt.NDArray[Any] | None = None, models: npt.NDArray[Any] | None = None) -> Recordings:
        """Some of the queries and models.

        Args:
            queries: Their indices, or a mask; all by default.
            models: Their indices; all by default.
        """
        rows = np.arange(len(self.query_ids))[slice(None) if queries is None else queries]
        places = np.arange(len(self.models)) if models is None else models
        cells = np.ix_(rows, places)
        return replace(
            self,
            models=tuple(self.models[i] for i in places),
            query_ids=tuple(self.query_ids[i] for i in rows),
            train=self.train[rows],
            present=self.present[cells],
            correct=self.correct[cells],
            signals={name: signal[cells] for name, signal in self.signals.items()},
            values={name: column[cells] for name, column in self.values.items()},
            samples=self.samples[cells],
            queries=tuple(self.queries[i] for i in rows),
            references=tuple(self.references[i] for i in rows),
            answers=self.answers[cells],
            logprobs=self.logprobs[cells],
            finish_reasons=self.finish_reasons[cells],
        )

    def select(self, models: Sequence[str]) -> Recordings:
        """Some of the models, in the order given.

        Raises:
            RecordingsError: A model is unknown, or named twice.
        """
        unknown = [name for name in models if name not in self.models]
        if unknown:
            raise RecordingsError(
                f"{self.dataset}: has no model {unknown[0]!r}. Name some of its {len(self.models)} models: "
                f"{', '.join(self.models)}."
            )
        if len(set(models)) < len(models):
            raise RecordingsError(f"{self.dataset}: a model is named twice in {', '.join(models)}. Name each once.")
        return self.subset(models=np.array([self.models.index(name) for name in models], dtype=int))

    def aligned(self) -> Recordings:
        """The queries that all models have answered.

        Raises:
            RecordingsError: They are fewer than nine in ten of all queries.
        """
        common = np.asarray(self.present.all(axis=1))
        share = common.mean() if len(common) else 0.0
        if share < _COMMON:
            fewest = np.argsort(self.present.sum(axis=0), kind="stable")[:_NAMED]
            counts = ", ".join(f"{self.models[i]} {int(self.present[:, i].sum())}" for i in fewest)
            raise RecordingsError(
                f"{self.dataset}: its {len(self.models)} models answered different queries: only {int(common.sum())} of "
                f"{len(common)} queries ({share:.0%}) have an answer of every model, at least {_COMMON:.0%} are needed. "
                f"Queries answered, fewest first: {counts}. Leave out the sparse ones by naming the others with --models."
            )
        return self if common.all() else self.subset(common)


@dataclass
class _Table:
    """The rows of one dataset while they are being read, column by column: a list per row would keep the collector busy."""

    dataset: str
    extra: tuple[str, ...]
    queries: dict[str, int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)
    cells: dict[int, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    about: list[tuple[bool, str | None, str | None, int]] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    scorers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plain = ("correct", *_COSTS, "margin", "p_top1", *self.extra)
        names = (*self.plain, "confidence_logp", "votes", "logprobs", "samples", "answer", "tokens", "finish_reason")
        self.columns = {name: [] for name in names}

    def add(self, content: Mapping[str, Any], path: Path, row: int) -> None:
        """Take one row in.

        Raises:
            RecordingsError: It lacks a field, repeats another row, or contradicts one.
        """
        for name in REQUIRED:
            if name not in content:
                raise RecordingsError(_lacking(content, path, row))
        model = self.models.setdefault(_name(content, "model", path, row), len(self.models))
        cell = self._query(content, path, row) * _MOST_MODELS + model
        if self.cells.setdefault(cell, len(self.rows)) < len(self.rows):
            other = self.place(self.cells[cell])
            raise RecordingsError(
                f"{other._replace(file=str(path), row=row)}: repeats row {other.row} of {other.file}. Keep one row per "
                "dataset, query and model."
            )
        self.files.append(path)
        self.rows.append(row)
        columns = self.columns
        for name in self.plain:
            columns[name].append(content.get(name))
        logp = content.get("confidence_logp")
        columns["confidence_logp"].append(-math.inf if logp is None and content.get("confidence_neg_inf") is True else logp)
        columns["votes"].append(vote_share(content))
        columns["logprobs"].append(mean_probability(content.get("logprobs")))
        samples = content.get("samples")
        columns["samples"].append(max(1, len(samples)) if isinstance(samples, list) else 1)
        columns["answer"].append(_text(content.get("answer")))
        logprobs = content.get("logprobs")
        columns["tokens"].append(tuple(logprobs) if isinstance(logprobs, list) and logprobs else None)
        columns["finish_reason"].append(_text(content.get("finish_reason")))
        scorers = content.get("scorers")
        if isinstance(scorers, dict) and scorers != self.scorers:
            self.scorers = {
                name: scorer if self.scorers.get(name, scorer) == scorer else None
                for name, scorer in {**self.scorers, **scorers}.items()
            }

    def _query(self, content: Mapping[str, Any], path: Path, row: int) -> int:
        """Index of a row's query, new or known."""
        split, name = content["split"], _name(content, "query_id", path, row)
        if split != "train" and split != "test":
            place = Place(str(path), row, name, str(content["model"]))
            raise RecordingsError(f'{place}: split is {split!r}; it must be "train" or "test".')
        index = self.queries.setdefault(name, len(self.queries))
        if index == len(self.about):
            self.about.append((split == "train", _text(content.get("query")), _text(content.get("reference")), len(self.rows)))
        elif self.about[index][0] != (split == "train"):
            other = self.place(self.about[index][3])
            raise RecordingsError(
                f"{Place(str(path), row, name, str(content['model']))}: its split is {split!r}, but row {other.row} of "
                f"{other.file} has the same query in the other one. All rows of a query belong to one split."
            )
        return index

    def place(self, index: int) -> Place:
        """Where a row stands, for messages."""
        cell = next(cell for cell, row in self.cells.items() if row == index)
        query, model = divmod(cell, _MOST_MODELS)
        return Place(str(self.files[index]), self.rows[index], list(self.queries)[query], list(self.models)[model])

    def build(self) -> Recordings:
        """Check all values and arrange them.

        Raises:
            RecordingsError: A value is not a number or out of range.
        """
        shape = (len(self.queries), len(self.models))
        cells = np.fromiter(self.cells, dtype=int, count=len(self.cells))
        cells = cells // _MOST_MODELS * shape[1] + cells % _MOST_MODELS

        def arranged(values: Floats) -> Floats:
            matrix = np.full(shape, np.nan)
            matrix.ravel()[cells] = values
            return matrix

        def objects(name: str) -> Objects:
            matrix = np.full(shape, None, dtype=object)
            column = np.empty(len(cells), dtype=object)
            column[:] = self.columns[name]
            matrix.ravel()[cells] = column
            return matrix

        fix = "Grade it from 0 (wrong) to 1 (right), dividing by the highest grade, or drop the row."
        correct = self._numbers("correct", 0, 1, fix)
        amounts = {name: self._numbers(name, 0, math.inf, "Give the number, or null where it is unknown.") for name in _COSTS}
        signals = {name: signal for name, signal in self._signals().items() if not np.isnan(signal).all()}
        present = arranged(correct)
        return Recordings(
            self.dataset,
            tuple(self.models),
            tuple(self.queries),
            np.array([train for train, *_ in self.about], dtype=bool),
            ~np.isnan(present),
            present,
            {name: arranged(signal) for name, signal in signals.items()},
            {name: arranged(column) for name, column in amounts.items()},
            np.nan_to_num(arranged(np.array(self.columns["samples"], dtype=float)), nan=1.0),
            tuple(text for _, text, _, _ in self.about),
            tuple(reference for _, _, reference, _ in self.about),
            objects("answer"),
            objects("tokens"),
            objects("finish_reason"),
            self.scorers,
        )

    def _signals(self) -> dict[str, Floats]:
        """Confidence in [0, 1] by signal."""
        unknown = "Give a number, or null where it is unknown."
        unit = {name: self._numbers(name, 0, 1, unknown) for name in ("margin", "p_top1", "votes")}
        unit["p_top1"][unit["p_top1"] == 0] = np.nan  # no largest probability is 0: it stands for "none could be read"
        fix = "Give natural logarithms of probabilities, or null where they are unknown."
        logp = np.exp(self._numbers("confidence_logp", -math.inf, 0, fix))
        unit["logprobs"] = self._numbers("logprobs", 0, 1, fix)
        return {**unit, "confidence_logp": logp, **{name: self._extra_signal(name) for name in self.extra}}

    def _extra_signal(self, name: str) -> Floats:
        """A column the user named: probabilities, or logarithms of them if no value is above 0."""
        fix = "A signal is a probability (0 to 1) or a log-probability (0 or less), null where it is unknown."
        given = [value for value in self.columns[name] if isinstance(value, (int, float))]
        if given and all(value <= 0 for value in given):
            return np.exp(self._numbers(name, -math.inf, 0, fix))
        return self._numbers(name, 0, 1, fix)

    def _numbers(self, name: str, low: float, high: float, fix: str) -> Floats:
        return numbers(name, self.columns[name], self.place, low, high, fix)


def _name(content: Mapping[str, Any], name: str, path: Path, row: int) -> str:
    value = content.get(name)
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    seen = "is missing" if name not in content else f"is {value!r}"
    raise RecordingsError(
        f"{path}, row {row}: {name} {seen}; it must be a text that is not empty. Every row needs {', '.join(REQUIRED)}."
    )


def _lacking(content: Mapping[str, Any], path: Path, row: int) -> str:
    missing = ", ".join(name for name in REQUIRED if name not in content)
    return (
        f"{path}, row {row} (query {content.get('query_id')!r}, model {content.get('model')!r}): has no {missing}; it has "
        f"{', '.join(list(content)[:12]) or 'nothing'}. Every row needs {', '.join(REQUIRED)}."
    )


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
