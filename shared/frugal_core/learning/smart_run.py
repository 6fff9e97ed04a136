"""Runs a batch job under SMART: opens its file, shows estimate, progress and saving, makes the calls on an executor."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from typing_extensions import TypedDict

from frugal_core.arguments import check_models, refuse_unknown, shown
from frugal_core.engine import is_control_flow
from frugal_core.errors import ConfigurationError, FrugalError, FrugalWarning, RecordingsError
from frugal_core.learning.calls import amake_calls, make_calls
from frugal_core.learning.grading import Entry
from frugal_core.learning.items import Item, each
from frugal_core.learning.labels import Comparison, Grade, grader
from frugal_core.learning.record_run import Asker
from frugal_core.learning.recording import Asked
from frugal_core.learning.row_file import RowFile
from frugal_core.learning.smart import Batch, Outcome, Plan, Smart
from frugal_core.learning.smart_work import Output, SmartWork, answered, failed, not_run
from frugal_core.pricing import unknown_price_hint
from frugal_core.tokens import count_messages
from frugal_core.types import Tier, Usage

_VERSION = 1
_SAMPLE = 200
"""So many items are read to estimate how long prompts are."""


class Options(TypedDict, total=False):
    """How to run a batch job; the same in every framework.

    Attributes:
        compare: When an answer is as good as the reference's: `"exact"`, `"normalised"` (default), `"numeric"` (the same last
            number), or a function `(query, answer, reference_answer)` to a truth value or a score, of which 0.5 will do. It
            runs in this process, one comparison at a time.
        seed: Determines the order in which items are taken. Choose it without looking at answers. Default: 0.
        batch: Items profiled between two looks. Default: 20.
        max_concurrency: Calls at a time, on any executor. Default: 8.
        max_usd: Largest cost of the whole job, earlier runs included. Refused before the first call if the estimate is above
            it even if no model ever differs; while running, no call is begun that is expected to pass it.
        output_tokens: Expected length of an answer, for the estimate. Default: 256.
        progress: Show estimate, progress and saving on stderr. Default: True.
    """

    compare: Comparison | Grade
    seed: int
    batch: int
    max_concurrency: int
    max_usd: float | None
    output_tokens: int
    progress: bool


@dataclass(frozen=True)
class Estimate:
    """What a job may cost, estimated from the lengths of its prompts.

    Attributes:
        items: How many it has.
        reference_usd: What the reference alone would cost.
        least_usd: What the job costs if no model ever differs from the reference. It costs more when they do, and no more than
            the reference alone but for what was spent on profiling.
        least_profiled: How many items are profiled then.
        output_tokens: So long all answers are assumed to be; shorter ones cost less.
    """

    items: int
    reference_usd: float
    least_usd: float
    least_profiled: int
    output_tokens: int


@dataclass(frozen=True)
class SmartResult:
    """What a batch job came to.

    Attributes:
        outputs: One for each item, in order.
        plan: How the items that were not profiled were answered. `at_most` of all outputs differ from the reference's, of
            `allowed`, with the confidence asked for.
        cost_usd: Known cost of the whole job, earlier runs included.
        reference_usd: What the reference alone costs for all items; `None` where it has answered none.
        reference_estimated: Whether that is an estimate, by the mean of the profiled items.
        calls: Calls made in this run.
        path: The file.
    """

    outputs: tuple[Output, ...]
    plan: Plan
    cost_usd: float
    reference_usd: float | None
    reference_estimated: bool
    calls: int
    path: Path

    @property
    def texts(self) -> list[str | None]:
        """The answers, in order of the items; `None` for one that has none."""
        return [output.text for output in self.outputs]

    @property
    def saving(self) -> float | None:
        """How many times cheaper than the reference alone, as far as that is known; below 1 if it was dearer."""
        return self.reference_usd / self.cost_usd if self.reference_usd is not None and self.cost_usd else None

    @property
    def fallbacks(self) -> int:
        """Items that the reference answered because the model that was to had failed. These never differ."""
        return sum(output.fallback for output in self.outputs)

    @property
    def failed(self) -> tuple[int, ...]:
        """Places of the items that have no answer. Run again to have these asked once more."""
        return tuple(place for place, output in enumerate(self.outputs) if output.error is not None)


class SmartRun:
    """A batch job; see `frugal_core.learning.smart` for what is promised and why.

    Args:
        asker: The models; the last is the reference.
        given: Items in the framework's form.
        max_disagreement: Largest share of outputs that may differ from the reference's.
        confidence: Of that.
        path: Where the job is kept.
        options: See `Options`.

    Raises:
        ConfigurationError: An argument is wrong, or a model's price is unknown.
    """

    def __init__(
        self,
        asker: Asker,
        given: Iterable[Any],
        max_disagreement: float,
        confidence: float,
        path: str | Path,
        options: Options,
    ) -> None:
        refuse_unknown("SmartJob", options, Options.__annotations__)
        self._asker, self._path, self._options = asker, Path(path), options
        names = [tier.name for tier in asker.tiers]
        if len(names) < 2:
            raise ConfigurationError("models is empty: give at least one model that may stand in for the reference.")
        compare = options.get("compare", "normalised")
        self._grade, self._slow = _compared_by(compare)
        self._compare = compare if isinstance(compare, str) else getattr(compare, "__qualname__", type(compare).__name__)
        self._at_once = _whole("max_concurrency", options.get("max_concurrency", 8))
        self._output_tokens = _whole("output_tokens", options.get("output_tokens", 256))
        self._max_usd = _usd(options.get("max_usd"))
        self._items = each(given, "items", asker.read, called="items")
        for tier in asker.tiers:
            if tier.price is None:
                hint = unknown_price_hint(tier.model or tier.name)
                raise ConfigurationError(f"SmartJob weighs costs, so it needs the price of every model. {hint}")
        self._settings: dict[str, Any] = {
            "max_disagreement": max_disagreement,
            "confidence": confidence,
            "batch": options.get("batch", 20),
            "seed": options.get("seed", 0),
        }
        if type(self._settings["seed"]) is not int:
            raise ConfigurationError(f"seed={shown(self._settings['seed'])} must be a whole number.")
        self._smart()  # refuses what is out of range

    def estimate(self) -> Estimate:
        """What the job may cost; nothing is asked."""
        each_usd = self._each_usd()
        smart, profiling = self._smart(), 0.0
        unique = len({item.key for item in self._items}) / len(self._items)
        while isinstance(step := smart.next(), Batch):
            outcomes = [Outcome(item, model, unique * each_usd[model]) for item in step.items for model in step.models]
            profiling += math.fsum(outcome.usd for outcome in outcomes)
            smart.receive(outcomes)
        whole = unique * len(self._items) * each_usd[smart.reference]
        return Estimate(len(self._items), whole, profiling + step.expected_usd, step.profiled, self._output_tokens)

    def run(self, executor: Executor | None = None) -> SmartResult:
        """Run the job, or go on with it.

        Args:
            executor: Where calls are made: any `concurrent.futures.Executor`, such as Dask's `client.get_executor()`; by
                default threads. It stays open.

        Raises:
            ConfigurationError: `max_usd` is too little; nothing was asked.
            RecordingsError: The file cannot be used, or holds another job; nothing was asked.
            FrugalError: It had to stop: a model failed ten times in a row, `max_usd` was reached, or the executor cannot run
                calls. What was paid for is kept; run it again to go on.
            Exception: Whatever a `compare` function raised. What was paid for is kept.
        """
        own = (
            ThreadPoolExecutor(self._at_once, thread_name_prefix="frugal-smart") if executor is None else nullcontext(executor)
        )
        with self._session() as (work, tick), own as pool:
            make_calls(work, partial(_submit, pool, self._asker), self._at_once, tick)
        return self._result(work)

    async def arun(self) -> SmartResult:
        """As `run`, awaiting the models. When it is cancelled, so are the calls under way."""
        with self._session() as (work, tick):
            await amake_calls(work, lambda asked: aperform(self._asker, asked), self._at_once, tick, slow=self._slow)
        return self._result(work)

    def _smart(self) -> Smart:
        *models, reference = (tier.name for tier in self._asker.tiers)
        return Smart(models, reference, len(self._items), **self._settings)

    def _each_usd(self) -> dict[str, float]:
        """Expected cost of a call to each model, by the mean length of some prompts taken in random order."""
        some = [self._items[number] for number in self._smart().order[:_SAMPLE]]
        return {tier.name: _mean_usd(tier, some, self._output_tokens) for tier in self._asker.tiers}

    @contextmanager
    def _session(self) -> Iterator[tuple[SmartWork, Callable[[], None]]]:
        """Open the file, and show how the job gets on. Raises in the end if it could not be finished."""
        file = RowFile(self._path)
        try:
            rows = self._own_rows(file)
            models = [tier.name for tier in self._asker.tiers]
            work = SmartWork(
                *(self._items, models, self._smart(), self._grade, self._each_usd()),
                rows=rows,
                write=file.append,
                max_usd=self._max_usd,
            )
            estimate = self.estimate()
            if self._max_usd is not None and not rows and estimate.least_usd > self._max_usd:
                raise ConfigurationError(
                    f"max_usd={self._max_usd} is too little: this job is estimated to cost about ${estimate.least_usd:.4f} if "
                    f"no model ever differs, with answers of {estimate.output_tokens} tokens. Nothing was asked. Raise "
                    "max_usd, give fewer items, or give output_tokens if answers are shorter."
                )
            if not file.rows:
                file.append(self._header())
            with _shown(work, estimate, self._path, self._options.get("progress", True)) as tick:
                yield work, tick
            if work.stopped:
                raise FrugalError(work.stopped)
        finally:
            file.close()
            if self._path.exists() and not self._path.stat().st_size:
                self._path.unlink()  # nothing came of it

    def _result(self, work: SmartWork) -> SmartResult:
        assert work.plan is not None
        usd, estimated = work.reference_usd()
        result = SmartResult(tuple(work.outputs()), work.plan, work.paid_usd(), usd, estimated, work.calls, self._path)
        if result.failed:
            first = result.outputs[result.failed[0]]
            warnings.warn(
                f"{len(result.failed)} of {len(result.outputs)} items have no answer, the first, {first.query_id!r}, for "
                f"{first.error}. Run again to have them asked once more; nothing is paid twice.",
                FrugalWarning,
                stacklevel=4,
            )
        return result

    def _header(self) -> dict[str, Any]:
        """What makes this job this job: the file's first row."""
        *models, reference = (tier.name for tier in self._asker.tiers)
        digest = hashlib.sha256()
        for item in self._items:
            digest.update(f"{item.key!r}{item.text!r}".encode("utf-8", "backslashreplace"))
        return {
            "kind": "smart job",
            "version": _VERSION,
            "models": models,
            "reference": reference,
            "items": f"{len(self._items)} items, {digest.hexdigest()[:16]}",
            "compare": self._compare,
            **self._settings,
        }

    def _own_rows(self, file: RowFile) -> Sequence[Entry]:
        """The rows behind the first.

        Raises:
            RecordingsError: The file holds something else, or another job.
        """
        if not file.rows:
            return ()
        first, *rows = file.rows
        if first.get("kind") != "smart job":
            raise RecordingsError(f"{self._path}: was not written by SmartJob. Give another path.")
        header = self._header()
        for name, value in header.items():
            if first.get(name) != value:
                raise RecordingsError(
                    f"{self._path}: holds a job with {name}={first.get(name)!r}, and {name}={value!r} is asked for. Give the "
                    "same to go on with that job, or another path for a new one."
                )
        return rows


def perform(asker: Asker, asked: Asked) -> Entry:
    """Make a call, in whatever process. A model's failure comes back as an entry: its exception may not travel."""
    try:
        answer = asker.ask(asked)
    except Exception as error:
        if is_control_flow(error):
            raise
        return failed(error)
    return answered(answer)


async def aperform(asker: Asker, asked: Asked) -> Entry:
    """As `perform`, awaited."""
    try:
        answer = await asker.aask(asked)
    except Exception as error:
        if is_control_flow(error):
            raise
        return failed(error)
    return answered(answer)


def _submit(pool: Executor, asker: Asker, asked: Asked) -> Future[Entry]:
    """Begin a call: on a thread in the caller's context, which does not travel to another process."""
    try:
        if isinstance(pool, ThreadPoolExecutor):
            return pool.submit(copy_context().run, perform, asker, asked)
        return pool.submit(perform, asker, asked)
    except Exception as error:
        raise not_run(error) from error


def with_reference(models: Any, reference: Any) -> list[Any]:
    """Models and their reference as one list.

    Raises:
        ConfigurationError: `models` is no list, is empty, or has the reference in it.
    """
    check_models(models)
    if any(model is reference or (isinstance(model, str) and model == reference) for model in models):
        raise ConfigurationError(f"{shown(reference)} is the reference and in models as well: name it as reference only.")
    return [*models, reference]


def describe(work: SmartWork, estimate: Estimate, path: Path) -> str:
    """What the job is, and what it is estimated to cost."""
    *models, reference = work.models
    already = f"; it has cost ${work.spent_usd:.4f} so far" if work.rows else ""
    return (
        f"{estimate.items} items, {', '.join(models)} in place of {reference}, into {path}{already}. Estimated cost, "
        f"assuming answers of {estimate.output_tokens} tokens: ${estimate.reference_usd:.4f} by {reference} alone; about "
        f"${estimate.least_usd:.4f}, with {estimate.least_profiled} items profiled, if the others never differ."
    )


@contextmanager
def _shown(work: SmartWork, estimate: Estimate, path: Path, wanted: bool) -> Iterator[Callable[[], None]]:
    """The estimate, then a progress bar with running cost and saving, then what came of it."""
    console = Console(stderr=True, quiet=not wanted)
    console.print(escape(describe(work, estimate, path)), highlight=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("items  ${task.fields[usd]:.4f}  saved ${task.fields[saved]:.4f}"),
        TimeElapsedColumn(),
    )
    hidden = not wanted or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden) as progress:
        task = progress.add_task("Profiling", total=len(work.items), usd=work.spent_usd, saved=0.0)

        def tick() -> None:
            progress.update(
                task,
                description="Profiling" if work.plan is None else "Answering",
                completed=work.done,
                usd=work.spent_usd,
                saved=work.saved_usd(),
            )

        tick()
        yield tick
        tick()
    if work.plan is not None and not work.stopped:
        console.print(escape(_ending(work, work.plan)), highlight=False, soft_wrap=True)


def _ending(work: SmartWork, plan: Plan) -> str:
    parts = ", ".join(f"{len(part)} by {model}" for model, part in plan.parts)
    usd, estimated = work.reference_usd()
    about = "about " if estimated else ""
    alone = f" ({about}${usd:.4f} by {work.models[-1]} alone)" if usd is not None else ""
    return (
        f"Profiled {plan.profiled} items: {plan.reason}. {f'The rest: {parts}. ' if parts else ''}At most {plan.at_most} of "
        f"{len(work.items)} outputs differ, of {plan.allowed} allowed. Cost: ${work.spent_usd:.4f}{alone}."
    )


def _mean_usd(tier: Tier, items: Sequence[Item], output_tokens: int) -> float:
    assert tier.price is not None
    tokens = [
        item.query.prompt_tokens or count_messages(item.query.messages, item.query.system, model=tier.model) for item in items
    ]
    return tier.price.cost(Usage(math.ceil(sum(tokens) / len(tokens)), output_tokens))


def _compared_by(compare: Any) -> tuple[Grade, bool]:
    """How answers are compared, and whether that may take its time."""
    try:
        return grader(compare), callable(compare)
    except ConfigurationError:
        raise ConfigurationError(
            f'compare={shown(compare)} is no way to compare answers: give "exact", "normalised", "numeric", or a function '
            "(query, answer, reference_answer) -> truth value or score from 0 to 1."
        ) from None


def _whole(name: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ConfigurationError(f"{name}={value!r} must be a whole number, at least 1.")
    return value


def _usd(limit: Any) -> float | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 <= limit < math.inf):
        raise ConfigurationError(f"max_usd={shown(limit)} must be a finite number of USD >= 0, or None for no limit.")
    return limit
