"""A batch job under SMART, call by call: what to ask next, what has come, and what is served. Makes no call itself.

`SmartWork` names the next call, is told what came of it, and hands a row for each to where the job is kept: one for every call,
for every comparison of two answers, and for the state of `Smart` after every look. From these rows it goes on where it was.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from frugal_core.agreement import agree
from frugal_core.decision import failed_cost
from frugal_core.errors import FrugalError
from frugal_core.learning.grading import Cell, Entry, cell_of
from frugal_core.learning.items import Item
from frugal_core.learning.labels import Grade
from frugal_core.learning.recording import Asked
from frugal_core.learning.rows import measured
from frugal_core.learning.smart import Batch, Outcome, Plan, Smart
from frugal_core.types import Answer, ToolCall

Key: TypeAlias = tuple[str, str]

_GIVE_UP = 10
_AGREES = 0.5


@dataclass(frozen=True)
class Output:
    """What an item of a batch job got.

    Attributes:
        query_id: The item's name: its own, or a hash of its text.
        model: Which model answered; `None` where none could.
        text: The answer.
        tool_calls: Names and arguments of the tools it wants to run.
        finish_reason: Why the model stopped.
        fallback: Whether the reference answered because the model that was to had failed.
        error: Why there is no answer.
    """

    query_id: str
    model: str | None = None
    text: str | None = None
    tool_calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    finish_reason: str | None = None
    fallback: bool = False
    error: str | None = None


def answered(answer: Answer) -> Entry:
    """What is kept of an answer."""
    calls = [[call.name, dict(call.args)] for call in answer.tool_calls]
    return {**measured(answer), **({"tool_calls": calls} if calls else {}), "error": None}


def failed(error: Exception) -> Entry:
    """What is kept of a call that failed."""
    return {"answer": None, "cost_usd": failed_cost(error), "error": f"{type(error).__name__}: {error}"}


@dataclass
class SmartWork:
    """State of a batch job; see the module. For one thread at a time.

    Args:
        items: The items, in the user's order; one may stand there several times.
        models: Names of the models by index; the last is the reference.
        smart: Decides what is profiled, and how the rest is answered.
        compare: Scores how good an answer is beside the reference's; 0.5 is good enough.
        expected_usd: Expected cost of a call to each model, before any has answered.
        rows: What is on disk already.
        write: Keeps a row.
        max_usd: No call is begun that may bring the cost of the whole job above this.

    Attributes:
        plan: How the items that were not profiled are answered, once that is decided.
        calls: Calls made.
        spent_usd: Known cost of the whole job.
        stopped: Why it ended early.
    """

    items: Sequence[Item]
    models: Sequence[str]
    smart: Smart
    compare: Grade
    expected_usd: Mapping[str, float]
    rows: Sequence[Entry] = ()
    write: Callable[[Entry], None] = lambda row: None
    max_usd: float | None = None
    plan: Plan | None = None
    calls: int = 0
    spent_usd: float = 0.0
    stopped: str | None = None
    _answers: dict[Cell, Entry] = field(default_factory=dict)
    _errors: dict[Cell, str] = field(default_factory=dict)
    _agrees: dict[Cell, bool] = field(default_factory=dict)
    _paid: dict[Cell, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reference = self.models[-1]
        self._index = {name: index for index, name in enumerate(self.models)}
        self._by_key = {item.key: item for item in self.items}
        self._known = dict.fromkeys(self.models, (0, 0.0))  # answers of known cost, and that cost
        self._queue: deque[Cell] = deque()
        self._tried: set[Cell] = set()  # in this run: what failed is asked again in the next one only
        self._running: dict[Cell, float] = {}
        self._fresh: set[Key] = set()
        self._in_a_row = dict.fromkeys(self.models, 0)
        self._batch: Batch | None = None
        for row in self.rows:
            self._take(row)

    def next(self) -> Asked | None:
        """A call to make now; `None` for none before `receive` is told of one that is being made, or for none at all.

        Compares answers first where it can, with the user's function if there is one.
        """
        self._compare_fresh()
        while self.plan is None and not self.stopped and not self._queue and not self._running:
            self._go_on()
        if self.stopped or not self._queue:
            return None
        cell = self._queue[0]
        cost = self._expected(cell[2])
        if self.max_usd is not None and self.spent_usd + math.fsum(self._running.values()) + cost > self.max_usd:
            if not self._running:
                self.stopped = (
                    f"Stopped at ${self.spent_usd:.4f}: the next call might have passed max_usd={self.max_usd}. Run again with "
                    "a larger max_usd; nothing is paid twice."
                )
            return None
        self._running[cell] = cost
        self._queue.popleft()
        return Asked(self._by_key[cell[:2]], self._index[cell[2]], final=True)

    def receive(self, asked: Asked, came: Entry | Exception) -> None:
        """What came of a call.

        Raises:
            FrugalError: It could not be made at all, for a reason that is none of the model's.
        """
        cell = (*asked.item.key, self.models[asked.tier])
        self._running.pop(cell, None)
        if isinstance(came, Exception):
            raise not_run(came) from came
        row = {"kind": "call", **dict(zip(("dataset", "query_id", "model"), cell, strict=True)), **came}
        self.write(row)
        self._take(row)
        self.calls += 1
        self._fresh.add(asked.item.key)
        if came["error"] is None:
            self._in_a_row[cell[2]] = 0
            return
        self._in_a_row[cell[2]] += 1
        if self._in_a_row[cell[2]] >= _GIVE_UP:
            self.stopped = (
                f"Stopped at ${self.spent_usd:.4f}: {cell[2]} failed {_GIVE_UP} times in a row, the last time with "
                f"{came['error']}. Mend that and run again: it goes on from here."
            )
        elif self.plan is not None:
            self._want((*asked.item.key, self.reference), first=True)

    def outputs(self) -> list[Output]:
        """What each item gets, in order. One that the reference has answered gets its answer, whoever else has."""
        served = dict.fromkeys(range(len(self.items)), self.reference)
        served.update({number: model for model, part in self.plan.parts for number in part} if self.plan else {})
        return [self._output(item.key, served[number]) for number, item in enumerate(self.items)]

    @property
    def done(self) -> int:
        """How many items are dealt with, near enough."""
        return self.smart.profiled if self.plan is None else len(self.items) - len(self._queue) - len(self._running)

    def paid_usd(self) -> float:
        """As `spent_usd`, to the last digit the same in whatever order the answers came."""
        return math.fsum(self._paid[cell] for cell in sorted(self._paid))

    def saved_usd(self) -> float:
        """Running saving against the reference's mean cost so far; negative while profiling is being paid for."""
        return self.done * self._expected(self.reference) - self.spent_usd

    def reference_usd(self) -> tuple[float | None, bool]:
        """What the reference alone costs for all items, and whether that is an estimate by the mean of the profiled ones."""
        if all((*key, self.reference) in self._answers for key in self._by_key):
            profiled, estimated = set(self._by_key), False
        else:
            profiled, estimated = {self.items[number].key for number in self.smart.order[: self.smart.profiled]}, True
        costs = [self._answers.get((*key, self.reference), {}).get("cost_usd") for key in sorted(profiled)]
        known = [usd for usd in costs if usd is not None]
        return (len(self._by_key) * math.fsum(known) / len(known) if known else None), estimated or len(known) < len(costs)

    def _go_on(self) -> None:
        """Close the batch whose calls are made, and open what comes then."""
        if self._batch is not None:
            self.smart.receive(self._outcomes(self._batch))
            self.write({"kind": "look", "state": self.smart.state()})
        step = self.smart.next()
        if isinstance(step, Batch):
            self._batch = step
            for number in step.items:
                key = self.items[number].key
                for model in step.models:
                    self._want((*key, model))
                self._fresh.add(key)
            self._compare_fresh()
            return
        self._batch, self.plan = None, step
        for number in self.smart.order[: step.profiled]:
            self._want((*self.items[number].key, self.reference))
        for model, part in step.parts:
            for number in part:
                key = self.items[number].key
                if (*key, self.reference) not in self._answers:
                    self._want((*key, model))

    def _outcomes(self, batch: Batch) -> list[Outcome]:
        """What came of a batch. An item that was there before costs nothing again."""
        seen = {self.items[number].key for number in self.smart.order[: self.smart.profiled]}
        outcomes = []
        for number in batch.items:
            key = self.items[number].key
            for model in batch.models:
                usd = 0.0 if key in seen else self._paid.get((*key, model), 0.0)
                outcomes.append(Outcome(number, model, usd, self._agrees.get((*key, model), False)))
            seen.add(key)
        return outcomes

    def _want(self, cell: Cell, *, first: bool = False) -> None:
        if cell in self._answers or cell in self._tried:
            return
        self._tried.add(cell)
        (self._queue.appendleft if first else self._queue.append)(cell)

    def _take(self, row: Entry) -> None:
        """Learn from a row of the file."""
        if row.get("kind") == "look":
            self.smart = Smart.from_state(row["state"])
            return
        cell = cell_of(row)
        if row.get("kind") == "comparison":
            self._agrees[cell] = bool(row["agrees"])
            return
        usd = row.get("cost_usd")
        self.spent_usd += usd or 0.0
        self._paid[cell] = self._paid.get(cell, 0.0) + (usd or 0.0)
        if row.get("error") is not None:
            self._errors[cell] = row["error"]
            return
        self._answers[cell] = row
        if usd is not None:
            count, total = self._known[cell[2]]
            self._known[cell[2]] = count + 1, total + usd

    def _compare_fresh(self) -> None:
        for key in sorted(self._fresh):
            self._compare(key)
            self._fresh.discard(key)

    def _compare(self, key: Key) -> None:
        """Compare what the batch's models said to an item with what the reference did, where that is new."""
        reference = self._answers.get((*key, self.reference))
        if self._batch is None or reference is None:
            return
        text = self._by_key[key].text
        for model in self._batch.models[1:]:
            cell = (*key, model)
            if cell not in self._answers or cell in self._agrees:
                continue
            same = agree(
                _answer(self._answers[cell]),
                _answer(reference),
                lambda one, other: self.compare(text, one, other) >= _AGREES,
            )
            self._agrees[cell] = same
            self.write({"kind": "comparison", **dict(zip(("dataset", "query_id", "model"), cell, strict=True)), "agrees": same})

    def _expected(self, model: str) -> float:
        count, total = self._known[model]
        return total / count if count else self.expected_usd[model]

    def _output(self, key: Key, model: str) -> Output:
        query_id = key[1]
        for name in (self.reference, model):
            if (row := self._answers.get((*key, name))) is not None:
                fallback = name != model and (*key, model) not in self._answers and (*key, model) in self._errors
                calls = tuple((call, args) for call, args in row.get("tool_calls", ()))
                return Output(query_id, name, row["answer"], calls, row["finish_reason"], fallback)
        errors = [self._errors[cell] for name in (self.reference, model) if (cell := (*key, name)) in self._errors]
        return Output(query_id, error=errors[0] if errors else "was not asked")


def not_run(error: Exception) -> FrugalError:
    """What to tell a user whose executor could not run a call."""
    return FrugalError(
        f"The executor could not run a call: {type(error).__name__}: {error}. Mend that and run again: nothing is paid twice. "
        'A model that cannot be sent to another process, as one with an open connection, is named there: "provider:model".'
    )


def _answer(row: Entry) -> Answer:
    return Answer(row["answer"], tuple(ToolCall(name, args) for name, args in row.get("tool_calls", ())))
