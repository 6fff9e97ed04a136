"""SMART for batch jobs: which models may stand in for the reference on a list of items, and when to stop finding out.

`Smart` decides and calls nothing. It names the next (item, model) calls, is told whether each answer agreed with the
reference's and what it cost, and in the end says which model takes which of the other items. Its state is plain JSON at every
point, so a job can be killed and taken up again.

**What is promised.** With probability at least `confidence`, over the random order in which the items are taken, at most
`max_disagreement` of *all the items of the job* get an output that differs from what the reference gives for that item. This
counts real outputs of this very job. It does not assume that the items are independent or come from anywhere, only that the
order is random, which it is here: by hash of the item's number and a seed chosen without looking at the answers. What a model
would answer to an item must not depend on when it is asked.

**Why it holds.** Items profiled with the reference are served its answer. For each of J models an e-process without
replacement (`eprocess.fewest_among`, at level 0.9 alpha / J) bounds, at all looks at once, how many of the items it would
answer differently. With probability 1 − 0.9 alpha all these bounds hold whenever profiling stops, and for whatever reason. A
model is certified when its bound leaves no more differing outputs than are allowed. A mix gives a number of the remaining
items, still in random order, to one model and the rest to another (or to the reference). How many differing outputs fall into
each part is then hypergeometric; the mix must keep within what is allowed at that distribution's quantile, for which 0.1 alpha
is set aside. A model that is wrong on most items is in no mix: it would only use the allowance up.

**What was wrong with the paper's rule.** It compares weighted Clopper–Pearson lower bounds with
a_rem = (1−δ−n/N)·N/(N−n). Each of those bounds fails with probability alpha at every look, so after many looks some have
failed; the mix sums several of them; and it promises something of an expectation only. Bounds that hold at all looks and for
all models at once mend the first two, the quantile mends the third. Its normal approximation has σ = 0 after n agreements in n,
which prunes the perfect model; here the further agreements are predicted from a Beta posterior.

Source: Jo and Trummer, "SMART: Automatically Scaling Down Language Models with Accuracy Guarantees" (arXiv 2403.13835), §4–§6.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from frugal_core.errors import ConfigurationError
from frugal_core.learning.bounds import log_hypergeometric_pmf
from frugal_core.learning.columns import Floats
from frugal_core.learning.eprocess import fewest_among, log_evidence, log_evidence_among

_MIXING = 0.1
"""Share of alpha that is set aside for the luck of the draw in a mix."""
_GROWTH = 10
_HORIZON = 1.5


@dataclass(frozen=True)
class Batch:
    """Calls to make: each item with the reference and each of the models.

    Attributes:
        items: Numbers of items, from 0.
        models: The models; the reference is the first.
    """

    items: tuple[int, ...]
    models: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What came of one call of a batch.

    Attributes:
        item: Number of the item.
        model: The model.
        usd: What it cost; 0 or more.
        agrees: Whether the answer is as good as the reference's. A model that gave none does not agree. Ignored for the
            reference.
    """

    item: int
    model: str
    usd: float
    agrees: bool = True


@dataclass(frozen=True)
class Plan:
    """How the items that were not profiled are to be answered.

    Attributes:
        parts: Which model takes which items, in the order they should be taken.
        profiled: How many items were profiled; they have the reference's answer.
        certified: Models that may answer all the rest, by rising cost.
        at_most: No more outputs than this differ from the reference's, with the confidence asked for.
        allowed: How many were allowed to.
        expected_usd: Expected cost of the parts.
        reason: Why profiling stopped.
    """

    parts: tuple[tuple[str, tuple[int, ...]], ...]
    profiled: int
    certified: tuple[str, ...]
    at_most: int
    allowed: int
    expected_usd: float
    reason: str


@dataclass
class _Count:
    """What is known of a model.

    Attributes:
        seen: Items profiled with it.
        agreed: On how many it agreed with the reference.
        usd: What that cost.
        status: "unknown" (being profiled), "certified", "invalid" (proved too
            bad, and of no use in a mix) or "dear" (a cheaper one is certified, or the reference is cheaper).
    """

    seen: int = 0
    agreed: int = 0
    usd: float = 0.0
    status: str = "unknown"

    @property
    def each(self) -> float:
        """Mean cost of an item."""
        return self.usd / self.seen


class Smart:
    """Decides which calls a batch job makes; see the module for what is promised and why.

    Use `next` and `receive` in turn until `next` gives a `Plan`, or drive `decide`.

    Args:
        models: Names of the models that may stand in for the reference.
        reference: Name of the reference.
        items: How many items the job has.
        max_disagreement: Largest share of items whose output may differ from the reference's, in (0, 1).
        confidence: In (0, 1).
        batch: Items profiled between two looks; a tenth of those already profiled once that is more.
        seed: Determines the order of the items. Choose it without looking at the answers.

    Raises:
        ConfigurationError: An argument is out of range.

    >>> job = Smart(["small"], "large", items=2000, max_disagreement=0.1)
    >>> while isinstance(step := job.next(), Batch):
    ...     job.receive([Outcome(i, m, usd={"small": 0.001, "large": 0.03}[m]) for i in step.items for m in step.models])
    >>> step.certified, step.profiled, step.at_most <= step.allowed
    (('small',), 60, True)
    """

    def __init__(
        self,
        models: Sequence[str],
        reference: str,
        items: int,
        max_disagreement: float,
        confidence: float = 0.95,
        *,
        batch: int = 20,
        seed: int = 0,
    ) -> None:
        for name, value in (("max_disagreement", max_disagreement), ("confidence", confidence)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
                raise ConfigurationError(f"{name}={value!r} is out of range: it lies between 0 and 1.")
        for name, value in (("items", items), ("batch", batch)):
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"{name}={value!r} must be a whole number, at least 1.")
        if isinstance(models, str) or not models or len({*models, reference}) != len(models) + 1:
            raise ConfigurationError(f"models={models!r} must name each model once, and not the reference {reference!r}.")
        self.reference, self.size, self.batch, self.seed = reference, items, batch, seed
        self.max_disagreement, self.confidence = float(max_disagreement), float(confidence)
        self.counts = {reference: _Count(), **{name: _Count() for name in models}}
        self.reason: str | None = None

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Numbers of the items in the order they are taken; the same on every machine, for ever."""
        keys = [hashlib.sha256(f"{self.seed}:{item}".encode()).digest() for item in range(self.size)]
        return tuple(sorted(range(self.size), key=keys.__getitem__))

    @property
    def allowed(self) -> int:
        """How many outputs may differ."""
        return math.floor(self.max_disagreement * self.size + 1e-9)

    @property
    def profiled(self) -> int:
        """How many items have been profiled."""
        return self.counts[self.reference].seen

    def next(self) -> Batch | Plan:
        """What to do now; the same again until `receive` is given what came of it."""
        if self.reason is not None:
            return self._plan(self.reason)
        models = (self.reference, *self._unknown())
        size = min(max(self.batch, self.profiled // _GROWTH), self.size - self.profiled)
        return Batch(self.order[self.profiled : self.profiled + size], models)

    def receive(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what came of all the calls of the batch that `next` named, in any order.

        Raises:
            ConfigurationError: A call of the batch is missing, or one was not asked for, or a cost is no number from 0.
        """
        batch = self.next()
        if isinstance(batch, Plan):
            raise ConfigurationError("Profiling is over: there is a plan, no batch to give outcomes of.")
        asked = {(item, model) for item in batch.items for model in batch.models}
        given = {(outcome.item, outcome.model) for outcome in outcomes}
        if given != asked or len(outcomes) != len(asked):
            odd = str(min(asked ^ given)) if asked != given else "a call given twice"
            raise ConfigurationError(f"{len(outcomes)} outcomes do not match the batch's {len(asked)} calls: see {odd}.")
        for outcome in outcomes:
            if not 0 <= outcome.usd < math.inf:
                raise ConfigurationError(f"usd={outcome.usd!r} of item {outcome.item} must be a number, 0 or more.")
        for outcome in outcomes:
            count = self.counts[outcome.model]
            count.seen += 1
            count.usd += outcome.usd
            count.agreed += 1 if outcome.model == self.reference else bool(outcome.agrees)
        self._judge()
        self.reason = self._stops()

    def decide(self) -> Generator[Batch, Sequence[Outcome], Plan]:
        """The same as a generator: yields batches, receives their outcomes, returns the plan."""
        while isinstance(step := self.next(), Batch):
            self.receive((yield step))
        return step

    def state(self) -> dict[str, Any]:
        """All there is to know about the job, as plain JSON; read back by `from_state`."""
        return {
            "models": [name for name in self.counts if name != self.reference],
            "reference": self.reference,
            "items": self.size,
            "max_disagreement": self.max_disagreement,
            "confidence": self.confidence,
            "batch": self.batch,
            "seed": self.seed,
            "counts": {name: asdict(count) for name, count in self.counts.items()},
            "reason": self.reason,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Smart:
        """A job as `state` wrote it.

        Raises:
            ConfigurationError: Something is missing, or does not fit.
        """
        settings = dict(state)
        try:
            counts, reason = settings.pop("counts"), settings.pop("reason")
            job = cls(**settings)
            job.counts = {name: _Count(**counts[name]) for name in job.counts}
        except (KeyError, TypeError) as error:
            raise ConfigurationError(f"This is not the state of a job, or one of another version: {error}.") from error
        job.reason = reason
        return job

    @property
    def _level(self) -> float:
        """Chance of failing that each model's bound may have."""
        return (1 - _MIXING) * (1 - self.confidence) / (len(self.counts) - 1)

    def _unknown(self) -> list[str]:
        return [name for name, count in self.counts.items() if name != self.reference and count.status == "unknown"]

    def _certified(self) -> list[str]:
        names = [name for name, count in self.counts.items() if count.status == "certified"]
        return sorted(names, key=lambda name: self.counts[name].each)

    def _judge(self) -> None:
        """Certify, or give up, the models that were in the last batch."""
        needed = -math.log(self._level)
        for name in self._unknown():
            count = self.counts[name]
            limit = (
                self.size - (count.seen - count.agreed) - self.allowed - 1
            )  # with so few agreements, too many of the rest would differ
            if log_evidence_among(count.agreed, count.seen, limit, self.size) >= needed:
                count.status = "certified"
        cheapest = min(self.counts[name].each for name in (self.reference, *self._certified()))
        most = self._most_wrong()
        rest = self.size - self.profiled
        target = min(max(self.allowed / rest, 1e-9), 1 - 1e-9) if rest else 1e-9
        for name in self._unknown():
            count = self.counts[name]
            if count.each >= cheapest:
                count.status = "dear"
            elif float(log_evidence(count.seen - count.agreed, count.seen, target)) >= needed and not self._mixes(name, most):
                count.status = "invalid"

    def _stops(self) -> str | None:
        """Why profiling ends now, or `None`: it ends when its expected further cost exceeds the expected saving."""
        rest = self.size - self.profiled
        unknown = sorted(self._unknown(), key=lambda name: self.counts[name].each)
        if not rest:
            return "all items were profiled"
        if not unknown:
            return "every model is judged"
        most = self._most_wrong()
        now = float(self._prices(most, np.array([self.profiled]))[0])
        sizes, critical = self._horizons
        later = sizes > self.profiled
        sizes, critical = sizes[later], critical[later]
        each_profiled = sum(self.counts[name].each for name in (self.reference, *unknown))
        each_rest, none_yet = np.zeros(len(sizes)), np.ones(len(sizes))
        for name in unknown:
            chance = _chance(self.counts[name], sizes, critical)
            each_rest += none_yet * chance * self.counts[name].each
            none_yet = none_yet * (1 - chance)
        cost = (sizes - self.profiled) * each_profiled + (self.size - sizes) * (
            each_rest + none_yet * self._prices(most, sizes)
        )
        return None if len(cost) and cost.min() < rest * now else "more profiling would cost more than it is expected to save"

    @cached_property
    def _horizons(self) -> tuple[Floats, Floats]:
        """Numbers of profiled items to think ahead to, and how many must agree there for a model to be certified."""
        sizes = [self.batch]
        while (following := math.ceil(sizes[-1] * _HORIZON)) < self.size - self.allowed:
            sizes.append(following)
        n = np.array([size for size in sizes if size < self.size - self.allowed], dtype=np.float64)
        target = np.clip(1 - self.allowed / (self.size - n), 1e-9, 1 - 1e-9)
        low, high = np.floor(n * target), n + 1  # not certified; n + 1 agreements are never reached
        while np.any(high - low > 1):
            middle = np.where(high - low > 1, np.floor((low + high) / 2), low)
            enough = (log_evidence(np.minimum(middle, n), n, target) >= -math.log(self._level)) & (middle > low)
            high, low = np.where(enough, middle, high), np.where(enough, low, np.maximum(low, middle))
        return n, high

    def _most_wrong(self) -> dict[str, int]:
        """On how many of the remaining items each model can differ at most; without those that differ on most items."""
        rest, most = self.size - self.profiled, {self.reference: 0}
        for name, count in self.counts.items():
            if name != self.reference and 2 * count.agreed >= count.seen:
                fewest = fewest_among(count.agreed, count.seen, self.size, self._level)
                most[name] = min(rest, self.size - fewest - (count.seen - count.agreed))
        for name in self._certified():
            most[name] = min(most.get(name, rest), self.allowed)
        return most

    def _prices(self, most: Mapping[str, int], sizes: npt.NDArray[Any]) -> Floats:
        """About what an item costs in the best mix once so many items are profiled, if no further model is certified then.

        Bounds are taken to close in on the mean of the Beta posterior with the root of the number of items. The luck of the
        draw is left aside.
        """
        rest = self.size - self.profiled
        safe = min(self.counts[name].each for name in (self.reference, *self._certified()))
        best = np.full(len(sizes), safe)
        for cheap, dear in self._pairs(most):
            count, other = self.counts[cheap], self.counts[dear]
            mean = (count.seen - count.agreed + 1) / (count.seen + 2)
            near = np.sqrt(count.seen / sizes) if count.status == "unknown" else 1.0
            wrong, least = mean + max(most[cheap] / rest - mean, 0.0) * near, most[dear] / rest
            share = np.clip((self.allowed / (self.size - sizes) - least) / np.maximum(wrong - least, 1e-12), 0, 1)
            best = np.minimum(best, share * count.each + (1 - share) * other.each)
        return best

    def _mixes(self, name: str, most: Mapping[str, int]) -> bool:
        """Whether a model that cannot answer all the rest might, better known, make a mix that beats those of the others."""
        if name not in most:
            return False
        count, rest = self.counts[name], self.size - self.profiled
        known = round(rest * (count.seen - count.agreed) / count.seen)
        here = np.array([self.profiled])
        others = self._prices({other: most[other] for other in most if other != name}, here)
        return bool(self._prices({**most, name: known}, here)[0] < others[0])

    def _pairs(self, most: Mapping[str, int]) -> list[tuple[str, str]]:
        """Models to mix: one that may answer all the rest, and a cheaper one that may not."""
        safe = [name for name in most if most[name] <= self.allowed]
        return [
            (cheap, dear)
            for dear in safe
            for cheap in most
            if cheap not in safe and self.counts[cheap].each < self.counts[dear].each
        ]

    def _plan(self, reason: str) -> Plan:
        rest, most, certified = self.size - self.profiled, self._most_wrong(), self._certified()
        price = {name: count.each for name, count in self.counts.items() if count.seen}
        first = min((self.reference, *certified), key=price.__getitem__) if rest else self.reference
        cost, parts, at_most = rest * price[first], [(first, rest)], most[first] if rest else 0
        for cheap, dear in self._pairs(most) if rest else ():
            taken, wrong = self._most_taken(most[cheap], most[dear], rest)
            mixed = taken * price[cheap] + (rest - taken) * price[dear]
            if taken and mixed < cost:
                cost, parts, at_most = mixed, [(cheap, taken), (dear, rest - taken)], wrong
        assigned, start = [], self.profiled
        for name, size in parts:
            if size:
                assigned.append((name, self.order[start : start + size]))
            start += size
        return Plan(tuple(assigned), self.profiled, tuple(certified), at_most, self.allowed, cost, reason)

    def _most_taken(self, cheap: int, dear: int, rest: int) -> tuple[int, int]:
        """How many of the remaining items the cheap model may take, and how many outputs can then differ."""
        alpha = _MIXING * (1 - self.confidence) / (2 if dear else 1)
        low, high, wrong = 0, rest + 1, dear
        while high - low > 1:
            middle = (low + high) // 2
            most = _quantile(middle, cheap, rest, alpha) + _quantile(rest - middle, dear, rest, alpha)
            low, high, wrong = (middle, high, most) if most <= self.allowed else (low, middle, wrong)
        return low, wrong


def _quantile(draws: int, marked: int, items: int, alpha: float) -> int:
    """The fewest marked ones that so many draws without replacement exceed with probability at most `alpha`."""
    share, least, most = marked / items, max(0, draws - (items - marked)), min(draws, marked)
    spread = math.ceil(12 * math.sqrt(max(1.0, draws * share * (1 - share)))) + 60
    middle = round(draws * share)
    first = max(least, middle - spread)
    chances = np.exp(log_hypergeometric_pmf(first, min(most, middle + spread), draws, marked, items))
    beyond = np.cumsum(chances[::-1])[::-1]  # of so many or more
    return first + max(0, int(np.count_nonzero(beyond > alpha)) - 1)


def _chance(count: _Count, sizes: Floats, critical: Floats) -> Floats:
    """Chance that so many items agree once more are profiled: normal, with the moments of the Beta posterior's prediction.

    The variance is positive also after n agreements in n.
    """
    a, b, more = count.agreed + 1.0, count.seen - count.agreed + 1.0, sizes - count.seen
    mean = count.agreed + more * a / (a + b)
    spread = np.sqrt(more * a * b * (a + b + more) / ((a + b) ** 2 * (a + b + 1)))
    reached = np.array([0.5 * math.erfc(float(z) / math.sqrt(2)) for z in (critical - 0.5 - mean) / spread])
    result: Floats = np.where(critical > sizes, 0.0, reached)
    return result
