"""Runs a recording: opens its files, shows the estimate and the progress, makes the calls on threads or in an event loop."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typing_extensions import TypedDict

from frugal_core.arguments import reference_index, refuse_unknown, shown
from frugal_core.errors import ConfigurationError, FrugalWarning, RecordingsError
from frugal_core.learning.calls import amake_calls, make_calls
from frugal_core.learning.grading import Entry, agreed, cell_of
from frugal_core.learning.items import items
from frugal_core.learning.labels import Comparison, Grade, grader
from frugal_core.learning.recording import Asked, Estimate, Recording
from frugal_core.learning.recordings import Recordings
from frugal_core.learning.row_file import RowFile
from frugal_core.pricing import unknown_price_hint
from frugal_core.scorers.base import ScoreFunction
from frugal_core.scorers.margin import Margin
from frugal_core.types import Answer, Query, Tier


class Options(TypedDict, total=False):
    """How to record; the same in every framework.

    Attributes:
        dataset: Name of the dataset. Default: the file's name up to its first point.
        reference: Index of the model whose answers are the standard. Default: -1, the last.
        labels: How answers are compared with the right one: `"exact"`, `"normalised"` (default), `"numeric"`, a function
            `(query, answer, reference) -> score in [0, 1]`, or `None` for no labels; see `grade`.
        agreement: Where no right answer is given, compare with the reference model's. Default: True.
        samples: Further answers to draw per query and model, for votes. Default: 0.
        temperature: Of these samples; the model's own by default.
        scorers: Confidence columns by name. Default: `{"margin": Margin()}`.
        train_share: Share of queries whose split is "train" where not given. Default: 0.5.
        max_concurrency: Calls at a time. Default: 8.
        max_usd: Largest cost of the whole file, earlier runs included. Refused before the first call if the estimate is above
            it; while running, no call is begun that is expected to pass it; calls under way may, by as much as they were
            underestimated.
        output_tokens: Expected length of an answer, for the estimate, of models that have not answered yet. Default: 256.
        retry_failures: Ask again what failed in earlier runs. Default: False.
        progress: Show estimate and progress on stderr. Default: True.
    """

    dataset: str | None
    reference: int
    labels: Comparison | Grade | None
    agreement: bool
    samples: int
    temperature: float | None
    scorers: Mapping[str, ScoreFunction] | None
    train_share: float
    max_concurrency: int
    max_usd: float | None
    output_tokens: int
    retry_failures: bool
    progress: bool


class Asker(Protocol):
    """What a framework brings: its models, and how to ask one."""

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The models."""

    def read(self, given: Any) -> Query:
        """A query in the framework's form, as policies see it."""

    def ask(self, asked: Asked) -> Answer:
        """Make a call."""

    async def aask(self, asked: Asked) -> Answer:
        """As `ask`, awaited."""


@dataclass(frozen=True)
class Recorded:
    """What a recording came to.

    Attributes:
        path: The file.
        rows: Rows in it, those of earlier runs included.
        calls: Calls made in this run.
        failures: Those of its rows that hold no answer because the call failed.
        cost_usd: Known cost of all its rows.
        missing: Answers asked for that it has no row of, because `max_usd` was reached or a model was given up.
        unpriced: Rows whose cost is not known; it is not in `cost_usd`.
    """

    path: Path
    rows: int
    calls: int
    failures: int
    cost_usd: float
    missing: int
    unpriced: int = 0

    def read(self) -> list[Recordings]:
        """The recordings of each dataset in the file."""
        return Recordings.read([self.path])

    @property
    def recordings(self) -> Recordings:
        """The recordings, where the file holds one dataset.

        Raises:
            RecordingsError: It holds several.
        """
        found = self.read()
        if len(found) > 1:
            names = ", ".join(each.dataset for each in found)
            raise RecordingsError(f"{self.path}: holds several datasets ({names}). Use .read(), which lists them.")
        return found[0]


def run(asker: Asker, queries: Iterable[Any], path: str | Path, options: Options) -> Recorded:
    """Record on threads.

    Raises:
        ConfigurationError: An argument is wrong, or `max_usd` is too little; nothing was asked.
        RecordingsError: The file cannot be used; nothing was asked.
    """
    with _session(asker, queries, path, options) as session:
        recording = session.recording

        def perform(asked: Asked) -> Entry:
            return recording.entry(asked, asker.ask(asked))

        with ThreadPoolExecutor(session.max_concurrency, thread_name_prefix="frugal-record") as pool:

            def submit(asked: Asked) -> Future[Entry]:
                return pool.submit(copy_context().run, perform, asked)

            make_calls(recording, submit, session.max_concurrency, session.tick)
    return session.recorded()


async def arun(asker: Asker, queries: Iterable[Any], path: str | Path, options: Options) -> Recorded:
    """As `run`, in the event loop. A call that is being awaited when this is cancelled is cancelled as well."""
    with _session(asker, queries, path, options) as session:
        recording = session.recording

        async def perform(asked: Asked) -> Entry:
            answer = await asker.aask(asked)
            return await asyncio.to_thread(recording.entry, asked, answer) if session.slow else recording.entry(asked, answer)

        await amake_calls(recording, perform, session.max_concurrency, session.tick)
    return session.recorded()


@dataclass
class _Session:
    """A recording and its files."""

    recording: Recording
    file: RowFile
    part: RowFile | None
    max_concurrency: int
    slow: bool
    tick: Callable[[], None] = lambda: None
    _result: dict[str, int] = field(default_factory=dict)

    def finish(self, reference_model: str, compare: Grade | None) -> None:
        """Grade by agreement, and tidy up."""
        rows: list[Entry] = list(self.file.read())
        if compare is not None:
            rows, graded = agreed(rows, reference_model, compare)
            if graded:
                self.file.rewrite(rows)
        self.file.close()
        failures = sum(bool(row.get("error")) for row in rows)
        wanted = {(*item.key, tier.name) for item in self.recording.items for tier in self.recording.tiers}
        missing = len(wanted - {cell_of(row) for row in rows})
        unpriced = sum(row.get("cost_usd") is None for row in rows)
        self._result = {"rows": len(rows), "failures": failures, "missing": missing, "unpriced": unpriced}
        if self.part is not None:
            if missing or failures:
                self.part.close()
            else:
                self.part.remove()
        _warn(self.recording, rows, failures, missing)

    def recorded(self) -> Recorded:
        """What it came to."""
        return Recorded(self.file.path, calls=self.recording.calls, cost_usd=self.recording.spent_usd, **self._result)


@contextmanager
def _session(asker: Asker, queries: Iterable[Any], path: str | Path, options: Options) -> Iterator[_Session]:
    """Open files and make the plan; grade and close in the end."""
    refuse_unknown("record", options, Options.__annotations__)
    tiers, path = asker.tiers, Path(path)
    reference = reference_index(options.get("reference", -1), len(tiers))
    labels = options.get("labels", "normalised")
    compare = None if labels is None else grader(labels)
    concurrency = options.get("max_concurrency", 8)
    if type(concurrency) is not int or concurrency < 1:
        raise ConfigurationError(f"max_concurrency={concurrency!r} must be a whole number, at least 1.")
    scorers = _columns(options.get("scorers"))
    chosen = items(
        queries,
        options.get("dataset") or path.name.split(".")[0],
        asker.read,
        train_share=options.get("train_share", 0.5),
        kept=scorers,
    )
    samples = options.get("samples", 0)
    file = RowFile(path)
    part: RowFile | None = None
    try:
        beside = path.with_name(f"{path.name}.part")
        if samples or beside.exists():
            part = RowFile(beside)
        rows = file.rows
        if options.get("retry_failures", False):
            asked_for = {(*item.key, tier.name) for item in chosen for tier in tiers}
            rows = [row for row in rows if not (row.get("error") and cell_of(row) in asked_for)]
        recording = Recording(
            chosen,
            tiers,
            rows,
            part.rows if part is not None else (),
            file.append,
            part.append if part is not None else lambda entry: None,
            samples=samples,
            temperature=options.get("temperature"),
            grade=compare,
            scorers=scorers,
            max_usd=options.get("max_usd"),
            output_tokens=options.get("output_tokens", 256),
        )
        if len(rows) < len(file.rows):
            file.rewrite(rows)
        for tier in tiers:
            if tier.price is None:
                warnings.warn(unknown_price_hint(tier.model or tier.name), FrugalWarning, stacklevel=5)
        session = _Session(recording, file, part, concurrency, slow=callable(labels))
        with _shown(recording, path, len(rows), options.get("progress", True)) as session.tick:
            yield session
        session.finish(tiers[reference].name, compare if options.get("agreement", True) else None)
    finally:
        for each in (file, part):
            if each is not None:
                each.close()
                if each.path.exists() and not each.path.stat().st_size:
                    each.path.unlink()  # nothing came of it


def _columns(given: Any) -> dict[str, ScoreFunction]:
    """Scorers by the names of their columns.

    Raises:
        ConfigurationError: They have no names.
    """
    if given is None:
        return {"margin": Margin()}
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"scorers={shown(given)} does not name the columns: give a dictionary from column to scorer, such as "
            'scorers={"margin": Margin()}.'
        )
    return dict(given)


@contextmanager
def _shown(recording: Recording, path: Path, rows: int, wanted: bool) -> Iterator[Callable[[], None]]:
    """The estimate, then a progress bar with the running cost."""
    console = Console(stderr=True, quiet=not wanted)
    estimate = recording.estimate()
    console.print(escape(describe(recording, path, rows)), highlight=False, soft_wrap=True)
    columns = (
        TextColumn("Recording"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("calls  ${task.fields[usd]:.4f}  {task.fields[failures]} failed"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    hidden = not wanted or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden) as progress:
        task = progress.add_task("", total=estimate.calls, usd=recording.spent_usd, failures=0)

        def tick() -> None:
            progress.update(task, completed=recording.calls, usd=recording.spent_usd, failures=recording.failures)

        yield tick


def describe(recording: Recording, path: Path, rows: int) -> str:
    """What is going to be asked, and what that is estimated to cost.

    Args:
        recording: What is going to be asked.
        path: Where it is kept.
        rows: How many rows are there already.
    """
    estimate = recording.estimate()
    kept = (*recording.rows, *recording.entries)
    spent = f", which cost ${recording.spent_usd:.4f}" if any(row.get("cost_usd") is not None for row in kept) else ""
    already = f"; it has {rows} rows already{spent}" if rows else ""
    priced = [f"{name} ${usd:.4f}" for name, usd in estimate.usd.items() if usd is not None]
    unpriced = [name for name, usd in estimate.usd.items() if usd is None]
    cost = f"Estimated cost ${estimate.total_usd:.4f} ({', '.join(priced)})" if priced else "No cost is known"
    missing = f", without {', '.join(unpriced)}, whose price is unknown" if unpriced and priced else ""
    size = f"{len(recording.items)} queries, {len(recording.tiers)} models"
    asked = f"{size}, {estimate.calls} calls to make into {path}{already}."
    return f"{asked} {cost}{missing}{_assumed(recording, estimate)}." if estimate.calls else asked


def _assumed(recording: Recording, estimate: Estimate) -> str:
    """The length of answers that the estimate goes by, and of which models where others have answered already."""
    answered = {cell_of(row)[2] for row in (*recording.rows, *recording.entries) if row.get("completion_tokens") is not None}
    priced = [name for name, usd in estimate.usd.items() if usd is not None]
    unknown = [name for name in priced if name not in answered]
    if not unknown:
        return ""
    whose = f" by {', '.join(unknown)}" if len(unknown) < len(priced) else ""
    return f", assuming answers of {recording.output_tokens} tokens{whose}"


def _warn(recording: Recording, rows: Sequence[Entry], failures: int, missing: int) -> None:
    """Say what is not as it should be."""
    for name, error in recording.given_up.items():
        _say(f"{name} was given up: it failed ten times in a row ({error}). Mend that and run again; it goes on from here.")
    if recording.stopped:
        _say(
            f"Stopped at ${recording.spent_usd:.4f}: the next call might have passed max_usd={recording.max_usd}. "
            f"{missing} answers are missing. Run again with a larger max_usd; nothing is paid twice."
        )
    if failures:
        first = next(row for row in rows if row.get("error"))
        _say(
            f"{failures} of {len(rows)} rows are failures, the first of {first['model']}: {first['error']}. Run again with "
            "retry_failures=True to ask for these anew."
        )
    faults = [row for row in rows if row.get("label_error")]
    if faults:
        _say(
            f"{len(faults)} answers could not be graded, the first for {faults[0]['label_error']}. Mend the labels function "
            "and grade the file with grade(path, labels)."
        )


def _say(what: str) -> None:
    warnings.warn(what, FrugalWarning, stacklevel=6)
