"""The router: chooses one model before anybody has answered."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from frugal_core.decision import Reason, Trace
from frugal_core.engine import Flow
from frugal_core.errors import ConfigurationError, ScorerError
from frugal_core.policies.base import Policy
from frugal_core.policies.failures import EscalateOn, escalation_rule, recoverable
from frugal_core.policies.obstacles import obstacles_of
from frugal_core.policies.places import places_of
from frugal_core.predictors.base import PredictFunction, estimates_of
from frugal_core.saving import saveable
from frugal_core.types import Call, Query, Tier


@saveable("router")
class Router(Policy):
    """Asks the model of the greatest `predicted quality - cost_weight * expected cost`, and no other: one call, streamed live.

    Routing as in Dekoninck, Baader & Vechev 2024 (arXiv 2410.10347), section 3; margin sampling's "Routing", HybridLLM and
    RouteLLM differ from it in the predictor alone.

    A model is passed over without a call when the prompt does not fit its context window, or it takes no tools or gives no
    structured output that is asked for. When the one that is asked fails in a recoverable way, the next best is asked. When
    the predictor fails, or its embedding is missing, the reference is asked, and the step says why.

    Args:
        predictor: Quality of each model's answer, in [0, 1]: a predictor, or a function `query -> one number per model`.
        costs: Expected USD per query of each model, by its name. For a plain function, its numbers are in this order.
        cost_weight: How much quality one USD is worth (the papers' lambda): with 0 the best model is asked whatever it costs;
            with 1,000 a model that costs a tenth of a cent more has to be better by 1.
        escalate_on: Exception classes or a predicate: failures of a model that another may mend. By default rate limits,
            timeouts, lost connections, 5xx, context overflow and content filters.

    Raises:
        ConfigurationError: One of them is out of range, or costs and predictor are not about the same models.

    >>> from frugal_core.types import Message
    >>> def by_length(query: Query) -> list[float]:
    ...     return [0.9 if len(query.text) < 80 else 0.4, 0.95]
    >>> router = Router(by_length, {"small": 0.0001, "large": 0.001}, cost_weight=100)
    >>> query = Query((Message("user", "What is 2 + 2?"),), (Tier("small"), Tier("large")))
    >>> next(router.decide(query)).tier
    0
    """

    def __init__(
        self,
        predictor: PredictFunction,
        costs: Mapping[str, float],
        cost_weight: float,
        *,
        escalate_on: EscalateOn = recoverable,
    ) -> None:
        if isinstance(predictor, type) or not callable(predictor) or inspect.iscoroutinefunction(predictor):
            raise ConfigurationError(
                f"predictor={predictor!r} must be a predictor, or a plain function from a query to one number per model."
            )
        if not isinstance(costs, Mapping) or not costs or not all(map(_is_amount, costs.values())):
            raise ConfigurationError(f"costs={costs!r} must give the expected USD per query, 0 or more, of each model by name.")
        if not _is_amount(cost_weight):
            raise ConfigurationError(
                f"cost_weight={cost_weight!r} is out of range: it is quality per USD, 0 or more and finite."
            )
        self.predictor = predictor
        self.costs = dict(costs)
        self.cost_weight = cost_weight
        self.escalate_on = escalate_on
        self.models: tuple[str, ...] = tuple(getattr(predictor, "models", costs))
        if set(self.models) != set(costs) or len(self.models) != len(costs):
            raise ConfigurationError(
                f"costs are given for {', '.join(costs)}, but the predictor knows {', '.join(self.models)}: give one cost per "
                "model that it knows."
            )
        self._weighted = [cost_weight * costs[name] for name in self.models]
        self._falls_back: Callable[[Exception], bool] = escalation_rule(escalate_on)

    def __repr__(self) -> str:
        return f"Router({self.predictor!r}, {self.costs!r}, {self.cost_weight!r})"

    @cached_property
    def identity(self) -> str:
        """As of every policy; made once, since a predictor may hold many numbers."""
        return super().identity

    def state(self) -> Mapping[str, Any]:
        """What it was built from."""
        state: dict[str, Any] = {"predictor": self.predictor, "costs": self.costs, "cost_weight": self.cost_weight}
        return state if self.escalate_on is recoverable else {**state, "escalate_on": self.escalate_on}

    def check(self, tiers: Sequence[Tier]) -> None:
        """Every model of the predictor must be there."""
        places_of(self.models, tiers)

    def decide(self, query: Query) -> Flow:
        """One call, to the best model that can be asked; further ones only where it fails."""
        trace = Trace(self, query)
        ranked, scores, problem = self._ranked(query)
        obstacles = obstacles_of(query)
        if all(obstacles[tier] is not None for tier in ranked):
            reference = query.reference % len(query.tiers)
            obstacles[reference] = None  # its provider's error says it best
            if reference not in ranked:
                ranked.append(reference)
        last = next(tier for tier in reversed(ranked) if obstacles[tier] is None)
        for tier in ranked:
            obstacle = obstacles[tier]
            if obstacle is not None:
                trace.skipped(tier, obstacle)
                continue
            try:
                answer = yield Call(tier, query, final=True)
            except Exception as error:
                trace.failed(tier, error)
                if tier == last or not self._falls_back(error):
                    raise
                continue
            break
        reason: Reason = "no_signal" if problem else "routed"
        trace.answered(answer, reason, accepted=True, score=scores.get(tier), error=problem)
        return trace.close(answer)

    def _ranked(self, query: Query) -> tuple[list[int], dict[int, float], str | None]:
        """The tiers, the best first; their predicted qualities; and why there are none."""
        places = places_of(self.models, query.tiers)
        try:
            qualities = estimates_of(self.predictor, query, len(places))
        except Exception as error:
            reference = query.reference % len(query.tiers)
            others = sorted(zip(self._weighted, places, strict=True), reverse=True)
            name = getattr(self.predictor, "__name__", None) or type(self.predictor).__name__
            problem = str(error) if isinstance(error, ScorerError) else f"The predictor {name} raised {_said(error)}"
            return [reference, *(place for _, place in others if place != reference)], {}, problem
        values = [quality - weighted for quality, weighted in zip(qualities, self._weighted, strict=True)]
        best = sorted(range(len(places)), key=lambda model: -values[model])
        return [places[model] for model in best], dict(zip(places, qualities, strict=True)), None


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
