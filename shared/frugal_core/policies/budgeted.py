"""Margin sampling's dynamic threshold: the user states a budget, the threshold finds itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import isfinite, sqrt
from threading import Lock
from typing import Any

from sortedcontainers import SortedList

from frugal_core.errors import ConfigurationError
from frugal_core.policies.thresholds import Threshold, Verdict, plain_number
from frugal_core.saving import saveable
from frugal_core.types import Answer, Query, Tier, Usage

_GOLDEN = 0.6180339887498949


@saveable("budgeted_threshold")
class BudgetedThreshold(Threshold):
    """Keeps to a budget by escalating the least confident share of the traffic.

    Every score is ranked among all earlier ones of its tier, in O(log n); it is escalated when its rank falls within the share
    the budget affords. Ties share their ranks evenly, so that the share is exact even if the scorer knows only two values. The
    share follows what was really spent: when a drifting stream has cost more (less) than the budget so far, it shrinks (grows),
    so that the realised share converges to the asked one on *any* stream of scores. (Ramírez, Birch & Titov 2024, section 3,
    take the plain running quantile, which a trend in the scores carries away from the budget.)

    Args:
        call_large: Share of the queries that may reach the dearest tier, in [0, 1]. With more than two tiers every escalation
            takes the same share of what reaches it, so that this share comes out at the end.
        usd: Instead: mean USD per query over all tiers, cheap calls included.
        queries: Length of the job, if it is known. It makes the budget a hard one: when what remains covers only cheap calls,
            nothing is escalated any more, however unsure.
        warm_up: Number of first scores of each tier that are reported as `"warm_up"`, with no threshold: they are ranked among
            scores spread evenly over [0, 1] as well, which weigh less with every query.

    Raises:
        ConfigurationError: Not exactly one of `call_large` and `usd`, or one out of range.
    """

    def __init__(
        self, call_large: float | None = None, *, usd: float | None = None, queries: int | None = None, warm_up: int = 10
    ) -> None:
        call_large, usd = plain_number(call_large), plain_number(usd)
        if (call_large is None) == (usd is None):
            raise ConfigurationError(
                f"call_large={call_large!r}, usd={usd!r}: a budget is either call_large (share of the queries) or usd (mean "
                "per query). Give exactly one of them."
            )
        if call_large is not None and not (_is_number(call_large) and 0 <= call_large <= 1):
            raise ConfigurationError(f"call_large={call_large!r} is out of range: it is a share of the queries, from 0 to 1.")
        if usd is not None and not (_is_number(usd) and usd > 0):
            raise ConfigurationError(f"budget_usd={usd!r} is out of range: it is the mean USD per query, above 0.")
        if queries is not None and not (isinstance(queries, int) and _is_number(queries) and queries > 0):
            raise ConfigurationError(f"queries={queries!r} is out of range: it is the number of queries of the job, above 0.")
        if not (isinstance(warm_up, int) and _is_number(warm_up) and warm_up >= 0):
            raise ConfigurationError(f"warm_up={warm_up!r} is out of range: it is a number of queries, 0 or more.")
        self.call_large = call_large
        self.usd = usd
        self.queries = queries
        self.warm_up = warm_up
        self._lock = Lock()
        self._reserved = 0.0  # set aside for calls under way: USD, or shares of a call of the dearest tier
        self.reset()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = Lock()
        self._reserved = 0.0  # the calls under way are the original's

    def reset(self) -> None:
        """Forget everything seen so far."""
        with self._lock:
            self._scores: dict[int, SortedList[float]] = defaultdict(SortedList)
            self._seen = 0  # queries whose first call is over
            self._large = 0  # calls of the dearest tier
            self._spent = 0.0  # USD
            self._cost: dict[int, tuple[int, float]] = {}  # tier: (calls, mean USD)

    def __repr__(self) -> str:
        given = ", ".join(
            f"{name}={value!r}" for name, value in self.state().items() if value is not None and name != "warm_up"
        )
        return f"BudgetedThreshold({given})"

    def export(self) -> dict[str, Any]:
        """All that was learned from the traffic, as plain JSON data."""
        with self._lock:
            return {
                "scores": {str(tier): list(scores) for tier, scores in self._scores.items()},
                "seen": self._seen,
                "large": self._large,
                "spent": self._spent,
                "cost": {str(tier): list(mean) for tier, mean in self._cost.items()},
            }

    def restore(self, exported: Mapping[str, Any]) -> None:
        """Go on from what `export` returned, in another process perhaps.

        Raises:
            ConfigurationError: It is not what `export` returned.
        """
        try:
            scores = {int(tier): SortedList(map(float, values)) for tier, values in exported["scores"].items()}
            cost = {int(tier): (int(calls), float(mean)) for tier, (calls, mean) in exported["cost"].items()}
            seen, large, spent = int(exported["seen"]), int(exported["large"]), float(exported["spent"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"This is not the exported state of a BudgetedThreshold: {error!r}.") from error
        with self._lock:
            self._scores = defaultdict(SortedList, scores)
            self._cost, self._seen, self._large, self._spent = cost, seen, large, spent

    def state(self) -> Mapping[str, Any]:
        """What it was built from; what it learned is `export`ed on its own."""
        return {"call_large": self.call_large, "usd": self.usd, "queries": self.queries, "warm_up": self.warm_up}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BudgetedThreshold:
        """Inverse of `state`."""
        return cls(**state)

    def check(self, tiers: Sequence[Tier]) -> None:
        """A budget in USD needs the price of every tier, and must pay at least for the cheapest call there is."""
        if self.usd is None:
            return
        unknown = [tier.name for tier in tiers if tier.price is None]
        if unknown:
            raise ConfigurationError(
                f"budget_usd needs the price of every model; unknown: {', '.join(unknown)}. Pass "
                "prices={name: (input, output)} in USD per million tokens."
            )
        cheapest = min(tier.price.cost(Usage(1, 1)) for tier in tiers if tier.price is not None)
        if self.usd < cheapest:
            raise ConfigurationError(
                f"budget_usd={self.usd:g} is below the cheapest possible call (${cheapest:g} for one token in and out): "
                "raise the budget or add a cheaper model."
            )

    def begin(self, query: Query, tier: int) -> None:
        """Widens what may have been spent so far; a query is not known before, so that a batch is not spent on its first."""
        with self._lock:
            self._seen += 1
            self._large += tier == len(query.tiers) - 1

    def judge(self, query: Query, answer: Answer, score: float, following: int) -> Verdict:
        """Accept when enough earlier scores of this tier were lower."""
        with self._lock:
            base, share = self._shares(query, answer)
            scores = self._scores[answer.tier]
            below = scores.bisect_left(score)
            ties = scores.bisect_right(score) - below
            scores.add(score)
            prior = max(0, self.warm_up + 1 - len(scores))  # scores not yet seen are thought to be spread evenly over [0, 1]
            rank = (below + len(scores) * _GOLDEN % 1 * (ties + 1) + prior * score) / (len(scores) + prior)
            warming = len(scores) <= self.warm_up
            threshold = None if warming else float(scores[min(len(scores) - 1, int(share * len(scores)))])
            if rank >= share or not self._affordable(query, answer, following):
                reason = "warm_up" if warming else "confident" if rank >= base else "budget_spent"
                return Verdict(True, threshold, reason)  # type: ignore[arg-type]
            return Verdict(False, threshold, "warm_up" if warming else "unsure", self._reserve(query, answer, following))

    def forced(self, query: Query, answer: Answer | None, following: int) -> Verdict | None:
        """Counts against the budget like any escalation; refused only by a hard budget."""
        with self._lock:
            if answer is not None and not self._affordable(query, answer, following):
                return Verdict(True, None, "budget_spent")
            return Verdict(False, None, "unsure", self._reserve(query, answer, following))

    def settle(self, reserved: float, answer: Answer | None) -> None:
        """Replace the estimate by the real cost."""
        if not reserved and self.usd is None:
            return
        with self._lock:
            self._reserved -= reserved
            if self.usd is not None and answer is not None:
                self._pay(answer)

    def charge(self, tier: int, usd: float) -> None:
        """Makes answers of this tier so much dearer: a budget in USD pays for the calls that only help to decide as well."""
        if self.usd is None or usd <= 0:
            return
        with self._lock:
            calls, mean = self._cost.get(tier, (1, 0.0))
            self._cost[tier] = (calls, mean + usd / calls)
            self._spent += usd

    def _pay(self, answer: Answer) -> None:
        if answer.cost_usd is None:
            raise ConfigurationError(
                f"budget_usd needs the cost of every answer, but tier {answer.tier} reported none: pass prices={{name: (input, "
                "output)} in USD per million tokens."
            )
        calls, mean = self._cost.get(answer.tier, (0, 0.0))
        self._cost[answer.tier] = (calls + 1, mean + (answer.cost_usd - mean) / (calls + 1))
        self._spent += answer.cost_usd

    def _shares(self, query: Query, answer: Answer) -> tuple[float, float]:
        """The share of this tier's queries to escalate: by the budget alone, and corrected for what was spent so far."""
        escalations = len(query.tiers) - 1
        patience = 10 + 2 * sqrt(self._seen)
        if self.call_large is not None:
            debt = (self.call_large * self._seen - self._large - self._reserved) / patience
            return self.call_large ** (1 / escalations), _clip(self.call_large + debt) ** (1 / escalations)
        assert self.usd is not None
        costs = [self._mean_cost(query, answer, tier) for tier in range(len(query.tiers))]
        debt = (self.usd * self._seen - self._spent - self._reserved) / patience
        return _affordable_share(costs, self.usd), _affordable_share(costs, self.usd + debt)

    def _mean_cost(self, query: Query, answer: Answer, tier: int) -> float:
        if tier in self._cost:
            return self._cost[tier][1]
        price = query.tiers[tier].price
        if price is None or answer.usage is None:
            raise ConfigurationError(
                f"budget_usd needs the price of every model and the tokens of every answer: tier {query.tiers[tier].name!r} "
                f"has price {price!r}, the answer of tier {answer.tier} usage {answer.usage!r}. Pass prices={{name: (input, "
                "output)} in USD per million tokens."
            )
        return float(price.cost(answer.usage))

    def _affordable(self, query: Query, answer: Answer, following: int) -> bool:
        if self.queries is None:
            return True
        if self.call_large is not None:
            return following != len(query.tiers) - 1 or self._large + 1 <= self.call_large * self.queries + 1e-9
        assert self.usd is not None
        remaining = self.usd * self.queries - self._spent - self._reserved - self._mean_cost(query, answer, following)
        return remaining >= max(0, self.queries - self._seen) * self._mean_cost(query, answer, 0)

    def _reserve(self, query: Query, answer: Answer | None, following: int) -> float:
        """Set aside what asking tier `following` may come to, with the escalations that are to be expected after it."""
        last = len(query.tiers) - 1
        self._large += following == last
        reserved = 0.0
        if self.call_large is not None:
            reserved = float(following != last and self.call_large ** ((last - following) / last))
        elif answer is not None:
            share, _ = self._shares(query, answer)
            costs = [self._mean_cost(query, answer, tier) for tier in range(following, last + 1)]
            reserved = sum(cost * share**depth for depth, cost in enumerate(costs))
        self._reserved += reserved
        return reserved


def _affordable_share(costs: Sequence[float], usd: float) -> float:
    """The share s for which costs[0] + s costs[1] + s² costs[2] + … is `usd`, within [0, 1]."""
    low, high = 0.0, 1.0
    if sum(costs) <= usd:
        return 1.0
    for _ in range(40):
        share = (low + high) / 2
        if sum(cost * share**depth for depth, cost in enumerate(costs)) <= usd:
            low = share
        else:
            high = share
    return low


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
