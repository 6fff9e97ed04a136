"""One dataset made ready to replay: models by rising cost, each answer with its quality, cost and confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from frugal_core.errors import RecordingsError
from frugal_core.learning.columns import Floats, Objects
from frugal_core.learning.costs import Costs, find_costs
from frugal_core.learning.recordings import SIGNALS, Recordings


@dataclass(frozen=True)
class Setting:
    """What a replay needs to know.

    Attributes:
        dataset: Name of the dataset.
        models: The models, by rising mean cost on the train split unless the user gave their order.
        train: Shape (queries,): mask of the train split.
        correct: Shape (queries, models): quality in [0, 1].
        cost: Shape (queries, models): cost of each answer, in `unit`.
        scoring: Shape (queries, models): further cost of scoring it.
        score: Shape (queries, models): confidence in [0, 1]; NaN for no signal.
        queries: The queries' texts, where recorded.
        answers: Shape (queries, models): the answers' texts, where recorded.
        tokens: Shape (queries, models): tokens of each answer; NaN where unknown.
        logprobs: Shape (queries, models): a tuple of the tokens' log-probabilities, where recorded.
        finish_reasons: Shape (queries, models): why each answer ended, where recorded.
        signal: Name of the signal; `None` when there is none.
        cost_source: Where the costs are from.
        unit: Their unit.
        chance: Accuracy of always giving the answer that is most often right on the train split; `None` when unknown.
        notes: What was missing or left out.
    """

    dataset: str
    models: tuple[str, ...]
    train: npt.NDArray[np.bool_]
    correct: Floats
    cost: Floats
    scoring: Floats
    score: Floats
    queries: tuple[str | None, ...]
    answers: Objects
    tokens: Floats
    logprobs: Objects
    finish_reasons: Objects
    signal: str | None
    cost_source: str
    unit: str
    chance: float | None
    notes: tuple[str, ...]

    def scored(self, model: int) -> bool:
        """Whether a model has a signal on the train split, so that it can be a tier before the last."""
        return not np.isnan(self.score[self.train, model]).all()

    def rows(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Setting:
        """The same for some of the queries.

        Args:
            chosen: A mask, or indices.
        """
        places = np.arange(len(self.train))[chosen]
        columns = ("train", "correct", "cost", "scoring", "score", "answers", "tokens", "logprobs", "finish_reasons")
        return replace(
            self, queries=tuple(self.queries[i] for i in places), **{name: getattr(self, name)[places] for name in columns}
        )

    def select(self, models: Sequence[int]) -> Setting:
        """The same for some of the models, in the order given.

        Args:
            models: Their indices.
        """
        places = np.array(models, dtype=np.int64)
        columns = ("correct", "cost", "scoring", "score", "answers", "tokens", "logprobs", "finish_reasons")
        return replace(
            self, models=tuple(self.models[i] for i in places), **{name: getattr(self, name)[:, places] for name in columns}
        )


def prepare(
    recordings: Recordings,
    *,
    models: Sequence[str] | None = None,
    signal: str | None = None,
    sizes: Mapping[str, float] | None = None,
    fewest: int = 2,
) -> Setting:
    """Choose signal, costs and models for a replay.

    Args:
        recordings: The answers of one dataset.
        models: Only these, in this order; by default all that have a cost, the cheapest first.
        signal: Name of the confidence signal; by default the first of `SIGNALS` that was recorded.
        sizes: See `find_costs`.
        fewest: Models that there must be, 1 or 2.

    Raises:
        RecordingsError: A model or signal is unknown, costs are missing, or the queries differ.
    """
    if models is not None:
        recordings = recordings.select(models)
    if not recordings.present.any():
        raise RecordingsError(
            f"{recordings.dataset}: no answer has a label (`correct` is null in all rows). Grade the file first: grade(path, "
            'labels), with reference_model="…" where no right answers were recorded.'
        )
    if len(recordings.models) < fewest:
        raise RecordingsError(f"{recordings.dataset}: has 1 model ({recordings.models[0]}); comparing takes at least 2.")
    signal = _signal(recordings, signal)
    every = len(recordings.query_ids)
    recordings, costs, notes = _costed(recordings, signal, sizes or {}, chosen=models is not None)
    if len(recordings.query_ids) < every:
        notes.append(f"{every - len(recordings.query_ids)} of {every} queries left out: not every model answered them")
    order = np.arange(len(recordings.models))
    if models is None:
        learning = recordings.train if recordings.train.any() else slice(None)
        order = np.argsort(costs.answer[learning].mean(axis=0), kind="stable")
    costs = Costs(costs.answer[:, order], costs.scoring[:, order], costs.source, costs.unit)
    recordings = recordings.subset(models=order)
    score = recordings.signals[signal].copy() if signal else np.full(recordings.correct.shape, np.nan)
    flawed = flawed_answers(recordings.answers, recordings.finish_reasons)
    score[flawed], costs.scoring[flawed] = np.nan, 0.0
    return Setting(
        recordings.dataset,
        recordings.models,
        recordings.train,
        recordings.correct,
        costs.answer,
        costs.scoring,
        score,
        recordings.queries,
        recordings.answers,
        recordings.values["completion_tokens"],
        recordings.logprobs,
        recordings.finish_reasons,
        signal,
        costs.source,
        costs.unit,
        _chance(recordings),
        (*notes, *_gaps(recordings, signal, score)),
    )


def _signal(recordings: Recordings, wanted: str | None) -> str | None:
    recorded = [name for name in SIGNALS if name in recordings.signals]
    if wanted is None:
        return recorded[0] if recorded else None
    if wanted not in recordings.signals:
        others = ", ".join(recordings.signals) or "none"
        raise RecordingsError(
            f"{recordings.dataset}: no row has a value in the signal column {wanted!r}. Signals it has: {others}. Name one of "
            "them with --signal, or leave --signal out."
        )
    return wanted


def _costed(
    recordings: Recordings, signal: str | None, sizes: Mapping[str, float], *, chosen: bool
) -> tuple[Recordings, Costs, list[str]]:
    """The queries that all models answered, with their costs. Models without cost are left out unless they were asked for."""
    partial = find_costs(_dense(recordings), signal, sizes)
    covered = partial.covered
    if len(covered) == len(recordings.models):
        return recordings.aligned(), partial, []
    without = ", ".join(recordings.models[i] for i in range(len(recordings.models)) if i not in covered)
    if chosen:
        raise RecordingsError(f"{recordings.dataset}: no cost ({partial.source}) for {without}. Give --sizes MODEL=B for all.")
    recordings = recordings.subset(models=np.array(covered)).aligned()
    return recordings, find_costs(recordings, signal, sizes), [f"left out for want of a cost: {without} (give --sizes MODEL=B)"]


def _dense(recordings: Recordings) -> Recordings:
    """The queries that all models answered, however few: a cost is not missing where the whole answer is."""
    return recordings.subset(np.flatnonzero(recordings.present.all(axis=1)))


def flawed_answers(answers: Objects, finish_reasons: Objects) -> npt.NDArray[np.bool_]:
    """Answers that are empty, cut off or filtered: a cascade leaves them behind, unscored.

    Args:
        answers: Any shape, of text or `None`.
        finish_reasons: Same shape, of text or `None`.
    """
    blank = np.array([answer is not None and not answer.strip() for answer in answers.ravel()], dtype=bool)
    stopped = np.array([reason in ("length", "content_filter") for reason in finish_reasons.ravel()], dtype=bool)
    flawed: npt.NDArray[np.bool_] = (blank | stopped).reshape(answers.shape)
    return flawed


def check_split(setting: Setting) -> None:
    """Refuse recordings whose queries are all on one side.

    Raises:
        RecordingsError: How many there are on each, and what to do.
    """
    train = int(setting.train.sum())
    test = len(setting.train) - train
    if not train or not test:
        raise RecordingsError(
            f"{setting.dataset}: has {train} train and {test} test queries; thresholds are chosen on train and measured on "
            'test, so both are needed. Set "split" per query, for instance by a hash of its text.'
        )


def _chance(recordings: Recordings) -> float | None:
    known = [text for text, train in zip(recordings.references, recordings.train, strict=True) if train and text is not None]
    return Counter(known).most_common(1)[0][1] / len(known) if known else None


def _gaps(recordings: Recordings, signal: str | None, score: Floats) -> list[str]:
    """What the recordings do not have."""
    notes = []
    if signal is None:
        notes.append(f"no signal (none of {', '.join(SIGNALS)}): no thresholds on it; --signal names another column")
    else:
        without = [name for i, name in enumerate(recordings.models) if np.isnan(score[:, i]).all()]
        some = int(np.isnan(score).sum() - len(without) * len(score))
        if without:
            notes.append(f"no {signal} recorded for {', '.join(without)}: only last in a cascade")
        if some:
            notes.append(f"{some} of {score.size} answers without {signal}: a cascade escalates them")
    missing = [
        name
        for name, absent in (
            ("query texts", all(text is None for text in recordings.queries)),
            ("answer texts", all(text is None for text in recordings.answers.ravel())),
            ("references", all(text is None for text in recordings.references)),
        )
        if absent
    ]
    return [*notes, f"not recorded: {', '.join(missing)}"] if missing else notes
