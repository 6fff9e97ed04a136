"""Recording: which calls are still to be made, what they will cost, and the rows that come of them. Makes no call itself.

`Recording` names the next call, is told what came of it, and hands finished rows to where they are kept. A *cell* is a query
and a model; it becomes one row of the tidy format (see `frugal_core.learning.recordings`), once its answer and all samples are
there. Until then the answers of a cell of several calls wait in a second file, so that these are not paid twice either.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from frugal_core.arguments import shown
from frugal_core.decision import failed_cost
from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.learning.grading import Cell, Entry, cell_of, graded
from frugal_core.learning.items import Item
from frugal_core.learning.labels import Grade
from frugal_core.learning.rows import measured, signals
from frugal_core.scorers.base import ScoreFunction
from frugal_core.scorers.margin import Margin
from frugal_core.tokens import count_messages
from frugal_core.types import Answer, Call, Query, Tier, Usage

_GIVE_UP = 10


@dataclass(frozen=True)
class Asked:
    """A call to make.

    Attributes:
        item: The query.
        tier: Index of the model.
        sample: 0 for the answer, from 1 for further samples.
        temperature: Sampling temperature; `None` leaves the model's own.
        final: Nobody looks at the answer's log-probabilities, so they are not asked for.
    """

    item: Item
    tier: int
    sample: int = 0
    temperature: float | None = None
    final: bool = False

    def call(self, query: Query) -> Call:
        """The call, of the query in its framework's form."""
        return Call(self.tier, query, temperature=self.temperature, final=self.final)


@dataclass(frozen=True)
class Estimate:
    """What is still to be done.

    Attributes:
        calls: Calls to make.
        usd: What they will cost, by model; `None` where its price is unknown.
    """

    calls: int
    usd: Mapping[str, float | None]

    @property
    def total_usd(self) -> float:
        """Of the models whose price is known."""
        return math.fsum(usd for usd in self.usd.values() if usd is not None)


@dataclass
class Recording:
    """State of a recording; see the module. Not thread-safe: `next` and `receive` are for one thread, `entry` is for any.

    Args:
        items: The queries.
        tiers: The models.
        rows: What is on disk already.
        entries: Answers on disk whose cells have no row yet.
        write: Keeps a row.
        keep: Keeps an entry.
        samples: Samples to draw for each cell beside its answer.
        temperature: Of the samples.
        grade: Grades answers whose reference is known; `None` leaves all ungraded.
        scorers: Confidence by the name of its column.
        max_usd: No call is begun that may bring the cost of the whole file above this.
        output_tokens: Length of an answer of which nothing is known.

    Attributes:
        calls: Calls made.
        failures: Rows written that hold no answer.
        spent_usd: Known cost of the whole file.
        stopped: Whether `max_usd` has ended it.
        given_up: Models that failed ten times in a row, and their last error.

    Raises:
        RecordingsError: What is on disk contradicts the queries.
        ConfigurationError: `max_usd` is below the estimate, or a model's price is unknown.
    """

    items: Sequence[Item]
    tiers: Sequence[Tier]
    rows: Sequence[Entry] = ()
    entries: Sequence[Entry] = ()
    write: Callable[[Entry], None] = lambda row: None
    keep: Callable[[Entry], None] = lambda entry: None
    samples: int = 0
    temperature: float | None = None
    grade: Grade | None = None
    scorers: Mapping[str, ScoreFunction] = field(default_factory=lambda: {"margin": Margin()})
    max_usd: float | None = None
    output_tokens: int = 256
    calls: int = 0
    failures: int = 0
    spent_usd: float = 0.0
    stopped: bool = False
    given_up: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("samples", 0), ("output_tokens", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ConfigurationError(f"{name}={value!r} must be a whole number, at least {least}.")
        limit = self.max_usd
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 <= limit < math.inf):
            raise ConfigurationError(f"max_usd={shown(limit)} must be a finite number of USD >= 0, or None for no limit.")
        self._written = {tier.name: (0, 0) for tier in self.tiers}  # answers and their tokens, by model
        self._read: dict[tuple[tuple[str, str], int], int] = {}
        self._failed = dict.fromkeys(self._written, 0)
        self._running: dict[tuple[Cell, int], float] = {}
        self._parts: dict[Cell, list[Entry]] = {}
        self.items = _resumed(self.items, self.rows)
        done = self._taken_in()
        self._queue = deque(
            asked
            for item in self.items
            for tier in range(len(self.tiers))
            if self._cell(item, tier) not in done and (asked := self._after(item, tier)) is not None
        )
        self._check_budget()

    def estimate(self) -> Estimate:
        """What is still to be done, and what that will cost."""
        usd: dict[str, float | None] = {}
        calls = 0
        for asked in self._queue:
            left = 1 + self.samples - asked.sample
            calls += left
            name, cost = self.tiers[asked.tier].name, self._cost(asked)
            known = usd.get(name, 0.0)
            usd[name] = None if cost is None or known is None else known + left * cost
        return Estimate(calls, usd)

    def next(self) -> Asked | None:
        """A call to make now; `None` for none before `receive` is told of one that is being made, or for none at all."""
        if not self._queue or self.stopped:
            return None
        asked = self._queue[0]
        cost = self._cost(asked) or 0.0
        if self.max_usd is not None and self.spent_usd + math.fsum(self._running.values()) + cost > self.max_usd:
            self.stopped = not self._running
            return None
        self._running[self._cell(asked.item, asked.tier), asked.sample] = cost
        return self._queue.popleft()

    def entry(self, asked: Asked, answer: Answer) -> Entry:
        """What is to be kept of an answer: its text, label, confidence, tokens and cost. May call the user's grader."""
        item, known = asked.item, measured(answer)
        if asked.sample:
            return {**self._names(asked), "sample": asked.sample, **known}
        return {
            **self._names(asked),
            "sample": 0,
            **known,
            **graded(self.grade, item.text, answer.text, item.reference),
            **signals(item.query, answer, self.scorers),
        }

    def receive(self, asked: Asked, came: Entry | Exception) -> None:
        """What came of a call.

        Args:
            asked: The call.
            came: What `entry` made of its answer, or the exception that ended it.
        """
        cell = self._cell(asked.item, asked.tier)
        self._running.pop((cell, asked.sample), None)
        self.calls += 1
        parts = self._parts.setdefault(cell, [])
        if isinstance(came, Exception):
            self._fail(asked, parts, came)
            return
        self._failed[cell[2]] = 0
        parts.append(came)
        self._count(cell[2], came)
        further = self._after(asked.item, asked.tier)
        if further is None:
            self.write(self._row(asked, parts))
        else:
            self.keep(came)
            self._queue.appendleft(further)

    def _fail(self, asked: Asked, parts: list[Entry], error: Exception) -> None:
        name = self.tiers[asked.tier].name
        text = f"{type(error).__name__}: {error}"
        self.failures += 1
        self.write(self._row(asked, parts, text, failed_cost(error)))
        self._failed[name] += 1
        if self._failed[name] >= _GIVE_UP:
            self.given_up[name] = text
            self._queue = deque(other for other in self._queue if other.tier != asked.tier)

    def _row(self, asked: Asked, parts: Sequence[Entry], error: str | None = None, failed_usd: float | None = 0.0) -> Entry:
        """The row of a cell. Tokens, latency and `cost_answer_usd` are the answer's, `cost_usd` is that of all calls."""
        item = asked.item
        parts = sorted(parts, key=lambda part: part["sample"])
        costs = [*(part["cost_usd"] for part in parts), *([failed_usd] if error else [])]
        nothing: Entry = dict.fromkeys(
            ("answer", "correct", "label", "prompt_tokens", "completion_tokens", "cost_usd", "latency_s", "finish_reason")
        )
        first = parts[0] if parts else {**nothing, "logprobs": None, **dict.fromkeys(self.scorers)}
        row = {
            **self._names(asked),
            "split": item.split,
            "query": item.text,
            "reference": item.reference,
            **{name: value for name, value in first.items() if name != "sample"},
            "cost_usd": None if None in costs else math.fsum(costs),
            "error": error,
            **item.extra,
        }
        if self.samples:
            row["cost_answer_usd"] = first["cost_usd"]
            row["samples"] = [part["answer"] for part in parts if part["sample"]]
        return row

    def _after(self, item: Item, tier: int) -> Asked | None:
        """The next call of a cell; `None` when it has all."""
        have = {part["sample"] for part in self._parts.get(self._cell(item, tier), ())}
        sample = next((number for number in range(self.samples + 1) if number not in have), None)
        return None if sample is None else Asked(item, tier, sample, self.temperature if sample else None)

    def _taken_in(self) -> set[Cell]:
        """Learn from what is on disk; the cells that are done."""
        done: set[Cell] = set()
        unknown: set[Cell] = set()
        names = {tier.name for tier in self.tiers}
        keys = {item.key for item in self.items}
        for row in self.rows:
            cell = cell_of(row)
            done.add(cell)
            self.spent_usd += row.get("cost_usd") or 0.0
            if row.get("cost_usd") is None:
                unknown.add(cell)
            drawn = len(row.get("samples") or ())
            if cell[2] in names and cell[:2] in keys and not row.get("error") and drawn != self.samples:
                raise RecordingsError(
                    f"The file has {drawn} samples of query {cell[1]!r} by {cell[2]!r}, and samples={self.samples} are asked "
                    "for. Ask for as many, or record into another file."
                )
            self._learn(cell[2], row)
        for entry in self.entries:
            cell = cell_of(entry)
            if cell not in done:
                self._parts.setdefault(cell, []).append(entry)
                self._count(cell[2], entry)
            elif cell in unknown:
                self.spent_usd += entry.get("cost_usd") or 0.0
        return done

    def _count(self, name: str, entry: Entry) -> None:
        self.spent_usd += entry.get("cost_usd") or 0.0
        self._learn(name, entry)

    def _learn(self, name: str, entry: Entry) -> None:
        written = entry.get("completion_tokens")
        if written is not None and name in self._written:
            answers, tokens = self._written[name]
            self._written[name] = answers + 1, tokens + written

    def _check_budget(self) -> None:
        if self.max_usd is None:
            return
        for tier in self.tiers:
            if tier.price is None:
                raise ConfigurationError(
                    f"max_usd={self.max_usd} cannot be kept: no price is known for {tier.model or tier.name!r}. Pass "
                    f'prices={{"{tier.model or tier.name}": (input, output)}} in USD per 1M tokens.'
                )
        estimate = self.estimate()
        if estimate.calls and self.spent_usd + estimate.total_usd > self.max_usd:
            already = f" after ${self.spent_usd:.4f} that the file has cost already" if self.spent_usd else ""
            raise ConfigurationError(
                f"max_usd={self.max_usd} is too little: {estimate.calls} calls are estimated to cost ${estimate.total_usd:.4f}"
                f"{already}. Nothing was asked. Raise max_usd, or give fewer queries, models or samples."
            )

    def _cost(self, asked: Asked) -> float | None:
        """Expected cost of a call, by the mean length of the model's answers so far."""
        tier = self.tiers[asked.tier]
        if tier.price is None:
            return None
        key = asked.item.key, asked.tier
        if key not in self._read:
            query = asked.item.query
            self._read[key] = query.prompt_tokens or count_messages(query.messages, query.system, model=tier.model)
        answers, tokens = self._written[tier.name]
        return tier.price.cost(Usage(self._read[key], math.ceil(tokens / answers) if answers else self.output_tokens))

    def _names(self, asked: Asked) -> dict[str, Any]:
        return {"dataset": asked.item.dataset, "query_id": asked.item.query_id, "model": self.tiers[asked.tier].name}

    def _cell(self, item: Item, tier: int) -> Cell:
        return *item.key, self.tiers[tier].name


def _resumed(items: Sequence[Item], rows: Sequence[Entry]) -> list[Item]:
    """The queries as they were recorded before: on the same side, and no others under the same id."""
    known: dict[tuple[str, str], Entry] = {}
    for row in rows:
        known.setdefault(cell_of(row)[:2], row)
    resumed = []
    for item in items:
        if item.key in known:
            row = known[item.key]
            if row.get("query") is not None and row["query"] != item.text:
                raise RecordingsError(
                    f"The file has query {item.query_id!r} of dataset {item.dataset!r} with another text, "
                    f"{row['query'][:60]!r}. Give each query its own query_id, or record into another file."
                )
            if item.chosen and row["split"] != item.split:
                raise RecordingsError(
                    f"The file has query {item.query_id!r} of dataset {item.dataset!r} in the split {row['split']!r}, and "
                    f"{item.split!r} is asked for. All rows of a query belong to one split: record into another file."
                )
            item = replace(item, split=row["split"])
        resumed.append(item)
    return resumed
