"""The cascade router: routes and cascades in one, over whatever has been answered so far."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from frugal_core.decision import Reason, Trace
from frugal_core.engine import Flow
from frugal_core.errors import ConfigurationError
from frugal_core.policies.base import Policy
from frugal_core.policies.estimates import Estimates, place_of
from frugal_core.policies.failures import EscalateOn, escalation_rule, recoverable
from frugal_core.policies.flaws import flaw_of
from frugal_core.policies.gains import TIE, Gains, basis
from frugal_core.policies.obstacles import obstacles_of
from frugal_core.policies.places import places_of
from frugal_core.saving import saveable
from frugal_core.scorers.base import ScoreFunction, evaluate, needs_logprobs
from frugal_core.types import Answer, Call, Query, Tier


@saveable("cascade_router")
class CascadeRouter(Policy):
    """Asks the model whose answer is worth most beyond its price, again and again, and serves the best answer of all.

    Cascade routing (Dekoninck, Baader & Vechev 2024, arXiv 2410.10347, section 4): any model may follow any other, none has to
    be asked, and what is known so far says how likely each one is right. After every answer there are three choices: serve the
    one most likely right; ask a model, look at its answer, and go on; or ask a model for its answer, whatever that is (such a
    call streams live). The second and third are taken for what they gain in quality on average beyond serving at once, less
    `cost_weight` times the expected cost. Where the paper takes the expected maximum over normally distributed estimates, and
    commits to a set of models, these gains were learned from recordings by backward induction (`learning.cascade_routing`), so
    they know that one may stop in between.

    Answers that agree make each other likelier, so two cheap models that agree may spare the dear one. A model is passed over
    when the prompt does not fit its context window, or it takes no tools or gives no structured output that is asked for. One
    that fails in a recoverable way, gives an unusable answer, or gives no score where it always had one, leaves the game.

    Args:
        estimates: Chances that models are right.
        gains: What further calls gain.
        costs: Expected USD of an answer of each model, by its name.
        scoring_costs: Expected USD of scoring it, where that takes a call.
        cost_weight: How much quality one USD is worth (the paper's lambda).
        scorer: Confidence in an answer, as `estimates` was learned with.
        abstain_below: When no model that can still be asked or served is likelier right than this, what there is, is served
            (reason `"hopeless"`): never pay for an answer that will be wrong anyway. 0 never abstains.
        escalate_on: Exception classes or a predicate: failures of a model that another may mend. By default rate limits,
            timeouts, lost connections, 5xx, context overflow and content filters.

    Raises:
        ConfigurationError: One of them is out of range, or they are not about the same models.
    """

    def __init__(
        self,
        estimates: Estimates,
        gains: Gains,
        costs: Mapping[str, float],
        scoring_costs: Mapping[str, float],
        cost_weight: float,
        scorer: ScoreFunction,
        *,
        abstain_below: float = 0.0,
        escalate_on: EscalateOn = recoverable,
    ) -> None:
        if not callable(scorer) or isinstance(scorer, type):
            raise ConfigurationError(f"scorer={scorer!r} must be a scorer or a function (query, answer) -> float | None.")
        for name, amounts in (("costs", costs), ("scoring_costs", scoring_costs)):
            if set(amounts) != set(estimates.models) or not all(map(_is_amount, amounts.values())):
                raise ConfigurationError(
                    f"{name}={amounts!r} must give the expected USD, 0 or more, of each of {', '.join(estimates.models)}."
                )
        if not _is_amount(cost_weight):
            raise ConfigurationError(f"cost_weight={cost_weight!r} is out of range: it is quality per USD, 0 or more.")
        if not _is_amount(abstain_below) or abstain_below > 1:
            raise ConfigurationError(f"abstain_below={abstain_below!r} is out of range: chances are numbers from 0 to 1.")
        gains.check(len(estimates.models), estimates.depth)
        self.estimates = estimates
        self.gains = gains
        self.costs = dict(costs)
        self.scoring_costs = dict(scoring_costs)
        self.cost_weight = cost_weight
        self.scorer = scorer
        self.abstain_below = abstain_below
        self.escalate_on = escalate_on
        self.models = estimates.models
        self._blind = [cost_weight * costs[name] for name in self.models]
        self._looking = [cost_weight * (costs[name] + scoring_costs[name]) for name in self.models]
        self._goes_on = escalation_rule(escalate_on)

    def __repr__(self) -> str:
        return f"CascadeRouter({', '.join(self.models)}, cost_weight={self.cost_weight!r})"

    @cached_property
    def identity(self) -> str:
        """As of every policy; made once, since it holds many numbers."""
        return super().identity

    @property
    def needs_logprobs(self) -> bool:
        """Whether scorer or estimates may look at token log-probabilities."""
        return needs_logprobs(self.scorer) or self.estimates.needs_logprobs

    def state(self) -> Mapping[str, Any]:
        """What it was built from."""
        state: dict[str, Any] = {
            "estimates": self.estimates,
            "gains": self.gains,
            "costs": self.costs,
            "scoring_costs": self.scoring_costs,
            "cost_weight": self.cost_weight,
            "scorer": self.scorer,
            "abstain_below": self.abstain_below,
        }
        return state if self.escalate_on is recoverable else {**state, "escalate_on": self.escalate_on}

    def check(self, tiers: Sequence[Tier]) -> None:
        """Every model must be there."""
        places_of(self.models, tiers)

    def decide(self, query: Query) -> Flow:
        """Calls, until none is worth its price."""
        trace = Trace(self, query)
        places = places_of(self.models, query.tiers)
        seen = _Seen(self._open(query, places, trace), self.estimates.ante(query))
        while True:
            model, final = self._next(seen)
            if model is None:
                break
            seen.open.remove(model)
            try:
                answer = yield Call(places[model], query, final=final)
            except Exception as error:
                trace.failed(places[model], error)
                if not self._goes_on(error) or not (seen.open or seen.known or seen.spare):
                    raise
                continue
            if final:
                trace.answered(answer, "routed", accepted=True, score=seen.chance(model))
                return trace.close(answer)
            yield from self._look(query, model, answer, seen, trace)
        served, reason = seen.serve(self._hopeless(seen))
        trace.recalled(served.tier, reason, seen.best if seen.known else None)
        return trace.close(served)

    def _open(self, query: Query, places: Sequence[int], trace: Trace) -> list[int]:
        """The models that can be asked. If none could, the dearest is asked all the same: its provider's error says it best."""
        obstacles = obstacles_of(query)
        if all(obstacles[place] is not None for place in places):
            dearest = max(range(len(places)), key=lambda model: self.costs[self.models[model]])
            obstacles[places[dearest]] = None
        for place in places:
            obstacle = obstacles[place]
            if obstacle is not None:
                trace.skipped(place, obstacle)
        return [model for model, place in enumerate(places) if obstacles[place] is None]

    def _next(self, seen: _Seen) -> tuple[int | None, bool]:
        """The model to ask and whether its answer is served unseen; `None` when none is worth it."""
        chances = self.estimates.chances(seen.known, seen.own, seen.ante, seen.pairs)
        seen.update(chances)
        if not seen.known and len(seen.open) == 1:
            return seen.open[0], True  # nothing can be decided on its answer
        if not seen.known:
            best = -math.inf
        elif len(seen.known) == min(self.estimates.depth, len(self.models)) or self._hopeless(seen):
            return None, False
        else:
            best = 0.0
        chosen: tuple[int | None, bool] = (None, False)
        place = place_of(seen.known, len(self.models), self.estimates.depth)
        for model in seen.open:
            about = basis(bool(seen.known), chances[model], seen.best)
            for final, weights, price in (
                (True, self.gains.unseen[place][model], self._blind[model]),
                (False, self.gains.looking[place][model], self._looking[model]),
            ):
                gain = sum(weight * value for weight, value in zip(weights, about, strict=True)) - price
                if gain > best + TIE:
                    best, chosen = gain, (model, final)
        return chosen

    def _hopeless(self, seen: _Seen) -> bool:
        if not seen.known or not self.abstain_below:
            return False
        return max([seen.best, *(seen.chances[model] for model in seen.open)]) < self.abstain_below

    def _look(self, query: Query, model: int, answer: Answer, seen: _Seen, trace: Trace) -> Generator[Call, Answer, None]:
        """Take in an answer, or leave it behind when it is of no use."""
        flaw = flaw_of(answer)
        if flaw is not None:
            trace.answered(answer, flaw, accepted=False, error=answer.parsing_error)
            seen.spare.append(answer)
            return
        score, problem = yield from evaluate(self.scorer, query, answer, trace)
        if score is None and self.estimates.required[model]:
            trace.answered(answer, "no_signal", accepted=False, error=problem)
            seen.spare.append(answer)
            return
        trace.answered(answer, "unsure", accepted=False, score=score, error=problem)
        seen.own[model] = self.estimates.own(model, query, answer, score)
        for other, said in seen.answers.items():
            pair = (model, other) if model < other else (other, model)
            seen.pairs[pair] = self.estimates.agree(said, answer)
        seen.answers[model] = answer
        seen.known = tuple(sorted(seen.answers))


@dataclass
class _Seen:
    """What is known of one query.

    Attributes:
        open: Models that can still be asked.
        ante: Log-odds by the query alone.
        known: Models whose answers are taken into account, rising.
        own: Log-odds by each model's own answer.
        pairs: Whether answers agree.
        answers: By model.
        spare: Answers left behind.
        chances: P(right) of each model.
        best: The greatest of the known ones'.
        leader: The model it belongs to.
    """

    open: list[int]
    ante: Sequence[float]
    known: tuple[int, ...] = ()
    own: list[float] = field(default_factory=list)
    pairs: dict[tuple[int, int], float] = field(default_factory=dict)
    answers: dict[int, Answer] = field(default_factory=dict)
    spare: list[Answer] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)
    best: float = 0.0
    leader: int = -1

    def update(self, chances: list[float]) -> None:
        """Take in new chances."""
        self.chances = chances
        self.own = self.own or [math.nan] * len(chances)
        self.best = -math.inf
        for model in self.known:
            if chances[model] > self.best + TIE:
                self.best, self.leader = chances[model], model

    def chance(self, model: int) -> float:
        """P(right) of a model."""
        return self.chances[model]

    def serve(self, hopeless: bool) -> tuple[Answer, Reason]:
        """The answer most likely right; where all were left behind, the last of them."""
        if self.known:
            return self.answers[self.leader], "hopeless" if hopeless else "confident"
        answer = self.spare[-1]
        return answer, flaw_of(answer) or "no_signal"


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
