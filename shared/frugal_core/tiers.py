"""What is known of the models in a wrapper, and what calling them teaches: the same in every framework."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from frugal_core.decision import Decision, Step
from frugal_core.errors import FrugalWarning
from frugal_core.pricing import PriceBook, unknown_price_hint
from frugal_core.types import Answer, Tier, Usage

_TYPICAL = Usage(1000, 500)


@dataclass
class Experience:
    """What calling a model has taught; shared by the tiers derived from one, since agents bind their tools at every step.

    Attributes:
        refuses_logprobs: Its provider has refused to give log-probabilities.
        refuses_stream_usage: Its provider has refused to report usage at the end of a stream.
        told: Whether the user has been told that its answers have no score.
        unique: Tells models apart whose settings cannot be read.
    """

    refuses_logprobs: bool = False
    refuses_stream_usage: bool = False
    told: bool = False
    unique: str = field(default_factory=lambda: uuid4().hex)

    def warn_unscored(self, fault: str | None, hint: str) -> None:
        """Say once why this model's answers have no score: a fault of the scorer, else what `hint` says."""
        if self.told:
            return
        self.told = True
        message = f"{fault.rstrip('.')}. Such answers are escalated." if fault else hint
        warnings.warn(message, FrugalWarning, stacklevel=2)


def describe(
    name: str,
    model: str | None,
    provider: str | None,
    prices: PriceBook,
    *,
    context_window: int | None = None,
    supports_tools: bool = True,
) -> Tier:
    """What policies may know of a model.

    Args:
        name: The tier's name, which a user's own price may be under.
        model: The provider's name of the model.
        provider: Who serves it, where known.
        prices: Where to look price and context window up.
        context_window: Most input tokens, where its framework says so.
        supports_tools: Whether it takes tools.
    """
    price = (prices.price(name, provider) if name != model else None) or prices.price(model, provider)
    window = context_window or prices.context_window(model, provider)
    return Tier(name, model, price, window, supports_tools=supports_tools)


def warn_about_prices(tiers: Sequence[Tier], providers: Sequence[str | None]) -> None:
    """Say which tiers have no known price, and whether they stand in the wrong order."""
    for tier, provider in zip(tiers, providers, strict=True):
        if tier.price is None:
            warnings.warn(unknown_price_hint(tier.model or tier.name, provider), FrugalWarning, stacklevel=3)
    first, last = tiers[0], tiers[-1]
    if first.price and last.price and first.price.cost(_TYPICAL) > last.price.cost(_TYPICAL):
        hint = f"models begins with the dearer one: {first.name} costs more than {last.name}. Name the cheapest model first."
        warnings.warn(hint, FrugalWarning, stacklevel=3)


def unscored(decision: Decision, answers: Mapping[str, Answer], *, needs_logprobs: bool = True) -> list[Step]:
    """The steps whose answers had no score for a reason the user should hear of: a fault, or nothing to compare.

    Args:
        decision: What was decided.
        answers: What each tier answered, by its name.
        needs_logprobs: Whether the scorer goes by log-probabilities, so that it is their absence that counts.
    """
    missing = [step for step in decision.steps if step.reason == "no_signal"]
    return [step for step in missing if step.error or (needs_logprobs and not _has_rivals(answers[step.tier]))]


def unique_names(names: Sequence[str]) -> list[str]:
    """Number repeated names: two tiers may be the same model with other settings.

    >>> unique_names(["gpt-4o", "gpt-4o", "o3"])
    ['gpt-4o', 'gpt-4o#2', 'o3']
    """
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique


def _has_rivals(answer: Answer) -> bool:
    """Whether an answer came with log-probabilities of alternatives, which most scorers compare."""
    return any(len(token.top) > 1 for token in answer.logprobs)
