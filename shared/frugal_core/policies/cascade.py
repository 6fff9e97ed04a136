"""The LLM cascade: ask the cheapest tier, go on while its answer does not convince."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from frugal_core.decision import Reason, Trace
from frugal_core.engine import Flow
from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.policies.base import Policy
from frugal_core.policies.budgeted import BudgetedThreshold
from frugal_core.policies.failures import EscalateOn, escalation_rule, recoverable
from frugal_core.policies.flaws import flaw_of
from frugal_core.policies.obstacles import obstacles_of
from frugal_core.policies.places import places_of
from frugal_core.policies.thresholds import Threshold, Verdict, as_threshold
from frugal_core.saving import saveable
from frugal_core.scorers.base import ScoreFunction, evaluate, needs_logprobs
from frugal_core.scorers.margin import Margin
from frugal_core.types import Answer, Call, Query, Tier

OnMissing = Literal["escalate", "accept", "raise"]


@saveable("cascade")
class Cascade(Policy):
    """Asks tiers in order until one's answer is confident enough; the last one's answer is always served.

    A tier is skipped without a call when the prompt does not fit its context window or it takes no tools. An answer that is
    cut off, empty or unparsable is left behind whatever its score, unless a hard budget is spent; so is a tier that fails in a
    recoverable way. Failures of the last tier rise.

    Args:
        scorer: Confidence in an answer, in [0, 1]: a scorer, or a function `(query, answer) -> float | None`.
        threshold: A number, one number per escalation, or a `Threshold`.
        on_missing: What a missing score means: `"escalate"` (default), `"accept"` or `"raise"`.
        escalate_on: Exception classes or a predicate: failures of a tier that the next one may mend. By default rate limits,
            timeouts, lost connections, 5xx, context overflow and content filters.
        models: Names of the tiers to ask, in this order; by default all, in theirs.

    Raises:
        ConfigurationError: One of them is out of range.
    """

    def __init__(
        self,
        scorer: ScoreFunction | None = None,
        threshold: float | Sequence[float] | Threshold | None = None,
        *,
        on_missing: OnMissing = "escalate",
        escalate_on: EscalateOn = recoverable,
        models: Sequence[str] | None = None,
    ) -> None:
        if on_missing not in ("escalate", "accept", "raise"):
            raise ConfigurationError(f'on_missing={on_missing!r} must be "escalate", "accept" or "raise".')
        if scorer is not None and not callable(scorer):
            raise ConfigurationError(f"scorer={scorer!r} must be a scorer or a function (query, answer) -> float | None.")
        if isinstance(scorer, type):
            raise ConfigurationError(f"scorer={scorer.__name__} is a class: give an object of it, {scorer.__name__}(…).")
        if inspect.iscoroutinefunction(scorer):
            raise ConfigurationError(f"scorer={scorer.__name__} is async: a scorer is a plain function, or yields its calls.")
        self.scorer: ScoreFunction = Margin() if scorer is None else scorer
        self.threshold = BudgetedThreshold(0.3) if threshold is None else as_threshold(threshold)
        if models is not None and (isinstance(models, str) or not models or len(set(models)) < len(models)):
            raise ConfigurationError(f"models={models!r} must name at least one model, and each once.")
        self.on_missing = on_missing
        self.models = None if models is None else tuple(models)
        self.escalate_on = escalate_on
        self._escalates: Callable[[Exception], bool] = escalation_rule(escalate_on)

    def __repr__(self) -> str:
        models = "" if self.models is None else f", models={list(self.models)!r}"
        return f"Cascade({self.scorer!r}, {self.threshold!r}, on_missing={self.on_missing!r}{models})"

    @property
    def needs_logprobs(self) -> bool:
        """Whether the scorer may look at token log-probabilities."""
        return needs_logprobs(self.scorer)

    def state(self) -> Mapping[str, Any]:
        """What it was built from."""
        state: dict[str, Any] = {"scorer": self.scorer, "threshold": self.threshold, "on_missing": self.on_missing}
        if self.models is not None:
            state["models"] = self.models
        return state if self.escalate_on is recoverable else {**state, "escalate_on": self.escalate_on}

    def check(self, tiers: Sequence[Tier]) -> None:
        """Refuse tiers that do not fit the threshold, or lack a model."""
        self.threshold.check(tiers if self.models is None else [tiers[tier] for tier in places_of(self.models, tiers)])

    def decide(self, query: Query) -> Flow:
        """One call per tier, until an answer is accepted."""
        trace = Trace(self, query)
        order: Sequence[int] = range(len(query.tiers))
        judged = query  # as the threshold sees it: with the tiers that take part, in their order
        if self.models is not None:
            order = places_of(self.models, query.tiers)
            judged = replace(query, tiers=tuple(query.tiers[tier] for tier in order))
        obstacles = _obstacles(judged)
        first = obstacles.index(None)
        last = len(obstacles) - 1 - obstacles[::-1].index(None)
        reserved = 0.0
        earlier: tuple[Answer, ...] = ()
        for place, obstacle in enumerate(obstacles):
            tier = order[place]
            if obstacle is not None:
                trace.skipped(tier, obstacle)
                continue
            try:
                answer = yield Call(tier, query, final=place == last)
            except Exception as error:
                if place == first:
                    self.threshold.begin(judged, first)
                self.threshold.settle(reserved, None)
                trace.failed(tier, error)
                if place == last or not self._escalates(error):
                    raise
                verdict = self.threshold.forced(judged, None, _next(obstacles, place))
                reserved = verdict.reserved if verdict else 0.0
                continue
            except BaseException:  # the query was given up: cancelled, interrupted, closed
                self.threshold.settle(reserved, None)
                raise
            placed = answer if judged is query else replace(answer, tier=place)
            if place == first:
                self.threshold.begin(judged, first)
            self.threshold.settle(reserved, placed)
            if place == last:
                trace.answered(answer, "last_tier", accepted=True)
                continue  # dearer ones are ruled out, and the trace says why
            following = _next(obstacles, place)
            accepted, reserved = yield from self._consider(query, answer, earlier, (judged, placed, following), trace)
            if accepted:
                break
            if flaw_of(answer) is None:
                earlier = (*earlier, answer)
        return trace.close(answer)

    def _consider(
        self, query: Query, answer: Answer, earlier: tuple[Answer, ...], case: tuple[Query, Answer, int], trace: Trace
    ) -> Generator[Call, Answer, tuple[bool, float]]:
        """Whether to serve `answer`; else the USD set aside for the next tier. `case` is what the threshold is asked about."""
        judged, placed, following = case
        flaw = flaw_of(answer)
        if flaw is not None:
            verdict = self.threshold.forced(judged, placed, following)
            kept = verdict is not None and verdict.accept
            problem = answer.parsing_error or (f"The answer is {flaw}." if kept else None)
            trace.answered(answer, "budget_spent" if kept else flaw, accepted=kept, error=problem)
            return kept, verdict.reserved if verdict else 0.0
        before = trace.spent_usd
        score, problem = yield from evaluate(self.scorer, query, replace(answer, earlier=earlier) if earlier else answer, trace)
        self.threshold.charge(placed.tier, trace.spent_usd - before)
        if score is not None:
            verdict = self.threshold.judge(judged, placed, score, following)
            trace.answered(answer, verdict.reason, accepted=verdict.accept, score=score, threshold=verdict.threshold)
            return verdict.accept, verdict.reserved
        if self.on_missing == "raise":
            name = query.tiers[answer.tier].name
            raise ScorerError(problem or f"The scorer {self.scorer!r} had no signal for the answer of tier {name!r}.")
        verdict = None if self.on_missing == "accept" else self.threshold.forced(judged, placed, following)
        accept = self.on_missing == "accept" or (verdict is not None and verdict.accept)
        reason: Reason = verdict.reason if isinstance(verdict, Verdict) and verdict.accept else "no_signal"
        trace.answered(answer, reason, accepted=accept, error=problem)
        return accept, verdict.reserved if verdict else 0.0


def _obstacles(query: Query) -> list[Reason | None]:
    """Why each tier cannot be asked. If none could, the last one is asked all the same: its provider's error says it best."""
    obstacles = obstacles_of(query)
    if None not in obstacles:
        obstacles[-1] = None
    return obstacles


def _next(obstacles: Sequence[Reason | None], tier: int) -> int:
    return obstacles.index(None, tier + 1)
