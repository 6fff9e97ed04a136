"""One question's way through the cache: what was found, and what becomes of the answer if nothing was."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from frugal_core.cache.deciders.base import Candidate, Verdict
from frugal_core.cache.entry import Entry
from frugal_core.cache.options import CacheOptions
from frugal_core.cache.question import Question
from frugal_core.decision import Decision

if TYPE_CHECKING:
    from frugal_core.cache.retrieval import Validator
    from frugal_core.cache.semantic_cache import SemanticCache
    from frugal_core.learning.columns import Floats


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that answers.

    Attributes:
        entry: The entry.
        kind: Whether it was asked by the same text.
        similarity: Of the two questions; 1 for the same text.
        age_s: Seconds since it was stored.
        verdict: Why a near neighbour may answer; `None` for the same text.
    """

    entry: Entry
    kind: Literal["exact", "semantic"]
    similarity: float
    age_s: float
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A model's answer, as the cache takes it.

    Attributes:
        text: By which answers are compared.
        payload: The framework's response as JSON, from which it is made again.
        objection: Why it should not be kept, `None` where nothing speaks against it; see `objection_to`.
        semantic: Whether it may answer other texts than its own question; an answer with tool calls may not.
        cost_usd: What it cost.
        baseline_cost_usd: What the reference would have cost.
    """

    text: str
    payload: str
    objection: str | None = None
    semantic: bool = True
    cost_usd: float | None = None
    baseline_cost_usd: float | None = None


@dataclass(eq=False, slots=True)
class Lookup:
    """What came of looking a question up. Where it is no hit, ask the model, and then `settle` or `abandon`.

    Attributes:
        cache: Who was asked.
        question: What was looked up.
        options: How.
        hit: What answers, if something does.
        pending: Somebody else is about to answer this very question: settle what else you hold, then look it up again with
            `follow=True`. Only in batches; otherwise one has waited already.
        notes: What stood in the way, for people to read: vetoes of guards, failures.
        vector: The question's embedding, if it was needed.
        candidate: The neighbour that was not allowed to answer.
        verdict: Why it was not.
        neighbour: Its answer, which may be compared with the model's.
        valid: Who is shown what is about to answer, and says whether it still holds.
        since: Removals before it; see `Removals`.
        over: Whether it was settled or abandoned.
    """

    cache: SemanticCache
    question: Question
    options: CacheOptions
    hit: Hit | None = None
    pending: bool = False
    notes: list[str] = field(default_factory=list)
    vector: Floats | None = None
    candidate: Candidate | None = None
    verdict: Verdict | None = None
    neighbour: str = ""
    leads: bool = False
    locked: bool = False
    valid: Validator | None = None
    since: int = 0
    over: bool = False

    def settle(self, answered: Answered) -> None:
        """Hand in the model's answer: it is kept if it may be, and those who wait for it go on."""
        self.cache.settle(self, answered)

    async def asettle(self, answered: Answered) -> None:
        """As `settle`, awaited."""
        await self.cache.asettle(self, answered)

    def abandon(self) -> None:
        """No answer came, or nobody wants it any more: those who wait go on by themselves. Idempotent."""
        self.cache.abandon(self)

    def decision(self, policy: str, version: str) -> Decision:
        """The decision of a hit: nothing was called, and nothing was paid.

        Args:
            policy: Name of the policy that would have decided.
            version: Its version.
        """
        hit = self.hit
        if hit is None:
            raise ValueError("There is no hit to decide on.")
        return Decision(
            (),
            policy,
            version,
            cost_usd=0.0,
            baseline_cost_usd=hit.entry.baseline_cost_usd,
            cache="hit",
            similarity=hit.similarity,
            cache_age_s=hit.age_s,
            cache_key=hit.entry.key,
            cache_notes=tuple(self.notes),
        )

    def told(self, decision: Decision) -> Decision:
        """The decision of a miss, which says so and why."""
        if self.options.no_cache:
            return decision
        return replace(decision, cache="miss", cache_key=self.question.key, cache_notes=tuple(self.notes))
