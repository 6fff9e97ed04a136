"""What was decided for a query, and why: the trace that every response carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from frugal_core.types import Answer, Query, Usage

if TYPE_CHECKING:
    from frugal_core.policies.base import Policy

Reason = Literal[
    "confident",  # score >= threshold
    "unsure",  # score < threshold
    "warm_up",  # the dynamic threshold is still collecting its first scores
    "last_tier",  # nothing dearer left to ask
    "routed",  # chosen before the call
    "no_signal",  # the scorer had nothing to go by, or failed (see `error`)
    "hopeless",  # score below the floor under which a dearer model is not thought to help
    "budget_spent",  # the hard stop of a budget: not escalated although unsure
    "truncated",  # the answer was cut off
    "filtered",  # the provider's content filter stopped it
    "empty",  # neither text nor tool calls
    "invalid",  # structured output could not be parsed
    "failed",  # the provider raised (see `error`)
    "too_long",  # skipped without a call: the prompt does not fit the context window
    "no_tools",  # skipped without a call: the model takes no tools
    "no_schema",  # skipped without a call: the model gives no structured output
    "sample",  # a call that only helped to score another answer
    "cached",  # answered from the cache
    "audit_alarm",  # an audit has raised its alarm: only the reference is asked
]


@dataclass(frozen=True, slots=True)
class Step:
    """One tier's part in a decision.

    Attributes:
        tier: Name of the tier.
        model: The provider's model name.
        accepted: Whether this step's answer was served.
        reason: Why it was accepted, left behind or never called.
        called: Whether a call was made.
        score: The scorer's confidence in [0, 1]; `None` when there was none.
        threshold: What the score had to reach; `None` when nothing was compared.
        usage: Tokens of the call.
        cost_usd: Cost of the call; 0 when none was made, `None` when unknown.
        latency_s: Seconds the call took.
        error: The exception that ended the call, or why its score is missing.
    """

    tier: str
    model: str | None
    accepted: bool
    reason: Reason
    called: bool = True
    score: float | None = None
    threshold: float | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        usage = self.usage
        return {
            "tier": self.tier,
            "model": self.model,
            "accepted": self.accepted,
            "reason": self.reason,
            "called": self.called,
            "score": self.score,
            "threshold": self.threshold,
            "input_tokens": usage.input_tokens if usage else None,
            "output_tokens": usage.output_tokens if usage else None,
            "estimated": usage.estimated if usage else False,
            "cost_usd": self.cost_usd,
            "latency_s": self.latency_s,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """How a query was answered.

    Attributes:
        steps: Every tier that was called or ruled out, in order.
        policy: Name of the policy.
        version: Version of the policy, changes whenever it may decide otherwise.
        cost_usd: Cost of all calls together, those made to decide included; `None` when any of them is unknown.
        baseline_cost_usd: What the reference tier alone costs for this query; `None` when unknown.
        baseline_estimated: Whether the baseline was computed from another tier's token counts.
        cache: `"off"`, `"miss"` or `"hit"`.
        similarity: Of the cached question to this one, on a hit.
        cache_age_s: Seconds since the cached answer was stored, on a hit.
        cache_key: Of the entry that answered, or under which the answer is kept; for invalidating it.
        cache_notes: What stood in the cache's way, for people to read: vetoes of guards, failures.
        answer: The answer that was served. Not part of the trace.
    """

    steps: tuple[Step, ...]
    policy: str
    version: str
    cost_usd: float | None
    baseline_cost_usd: float | None
    baseline_estimated: bool = False
    cache: Literal["off", "miss", "hit"] = "off"
    similarity: float | None = None
    cache_age_s: float | None = None
    cache_key: str | None = None
    cache_notes: tuple[str, ...] = ()
    answer: Answer = field(default=Answer(""), repr=False, compare=False)

    @property
    def tier(self) -> str | None:
        """Name of the tier whose answer was served; `None` when the cache answered."""
        return next((step.tier for step in self.steps if step.accepted), None)

    @property
    def saved_usd(self) -> float | None:
        """Baseline minus cost; negative when deciding cost more than it saved, `None` when either is unknown."""
        if self.cost_usd is None or self.baseline_cost_usd is None:
            return None
        return self.baseline_cost_usd - self.cost_usd

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data, as it stands in a response's metadata."""
        return {
            "tier": self.tier,
            "policy": self.policy,
            "version": self.version,
            "cost_usd": self.cost_usd,
            "baseline_cost_usd": self.baseline_cost_usd,
            "baseline_estimated": self.baseline_estimated,
            "saved_usd": self.saved_usd,
            "cache": self.cache,
            "similarity": self.similarity,
            "cache_age_s": self.cache_age_s,
            "cache_key": self.cache_key,
            "cache_notes": list(self.cache_notes),
            "steps": [step.to_dict() for step in self.steps],
        }


class Trace:
    """Collects the steps of one query while its policy runs, and closes them into a `Decision`."""

    __slots__ = ("_policy", "_query", "_since", "_steps", "spent_usd")

    def __init__(self, policy: Policy, query: Query) -> None:
        self._policy = policy
        self._query = query
        self._steps: list[Step] = []
        self.spent_usd = 0.0  # as far as it is known
        self._since = perf_counter()

    def skipped(self, tier: int, reason: Reason) -> None:
        """Note a tier that was ruled out without a call."""
        about = self._query.tiers[tier]
        self._steps.append(Step(about.name, about.model, False, reason, called=False, cost_usd=0.0))

    def failed(self, tier: int, error: Exception, n: int = 1) -> None:
        """Note a call that raised, of one sample or of `n`. Of several, those before the failure may have cost something."""
        about = self._query.tiers[tier]
        cost = failed_cost(error) if n == 1 else None
        waited = perf_counter() - self._since
        text = f"{type(error).__name__}: {error}"
        self._steps.append(Step(about.name, about.model, False, "failed", cost_usd=cost, latency_s=waited, error=text))
        self._since = perf_counter()

    def answered(
        self,
        answer: Answer,
        reason: Reason,
        *,
        accepted: bool,
        score: float | None = None,
        threshold: float | None = None,
        error: str | None = None,
    ) -> None:
        """Note a call that returned, and what was thought of its answer."""
        about = self._query.tiers[answer.tier]
        self.spent_usd += answer.cost_usd or 0.0
        self._steps.append(
            Step(
                about.name,
                about.model,
                accepted,
                reason,
                score=score,
                threshold=threshold,
                usage=answer.usage,
                cost_usd=answer.cost_usd,
                latency_s=answer.latency_s,
                error=error,
            )
        )
        self._since = perf_counter()

    def recalled(self, tier: int, reason: Reason, score: float | None = None) -> None:
        """Note that the answer of a tier, left behind before, is served after all."""
        name = self._query.tiers[tier].name
        for place, step in enumerate(self._steps):
            if step.tier == name and step.called and step.reason not in ("sample", "failed"):
                self._steps[place] = replace(step, accepted=True, reason=reason, score=score, threshold=None)

    def close(self, answer: Answer) -> Decision:
        """The decision to serve `answer`."""
        baseline, estimated = _baseline(self._query, self._steps, answer)
        return Decision(
            tuple(self._steps),
            self._policy.name,
            self._policy.version,
            _total(self._steps),
            baseline,
            estimated,
            answer=answer,
        )


def failed_cost(error: BaseException) -> float | None:
    """USD that a call cost which raised: nothing if the provider refused it, unknown (`None`) if the connection died."""
    status = http_status(error)
    return None if status is None or status < 400 else 0.0


def http_status(error: BaseException) -> int | None:
    """The HTTP status a provider's exception carries, wherever its SDK keeps it."""
    response = getattr(error, "response", None)
    values = [
        getattr(holder, name, None) for holder in (error, response) for name in ("status_code", "code", "http_status", "status")
    ]
    if isinstance(response, Mapping):  # botocore's
        values.append((response.get("ResponseMetadata") or {}).get("HTTPStatusCode"))
    return next((int(value) for value in values if _is_status(value)), None)


def _is_status(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600


def _total(steps: Sequence[Step]) -> float | None:
    total = 0.0
    for step in steps:
        if step.cost_usd is None:
            return None
        total += step.cost_usd
    return total


def _baseline(query: Query, steps: Sequence[Step], answer: Answer) -> tuple[float | None, bool]:
    reference = query.tiers[query.reference]
    for step in steps:
        if step.tier == reference.name and step.called and step.reason not in ("sample", "failed"):
            return step.cost_usd, step.usage is not None and step.usage.estimated
    if reference.price is None or answer.usage is None:
        return None, False
    return reference.price.cost(answer.usage), True
