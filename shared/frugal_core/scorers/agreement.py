"""Agreement with what cheaper tiers have said already."""

from __future__ import annotations

from dataclasses import dataclass

from frugal_core.agreement import Same, agree, check_same
from frugal_core.saving import saveable
from frugal_core.scorers.base import Scorer
from frugal_core.types import Answer, Query


@saveable("agreement")
@dataclass(frozen=True)
class Agreement(Scorer):
    """Share of the earlier tiers' answers that an answer agrees with: two models seldom make the same mistake.

    It costs no calls. It does not apply to the first answer, which has nothing to agree with, so it is of use from three tiers
    on and joined to another scorer: with `Margin() & Agreement()` the margin alone decides on the first answer.

    Attributes:
        same: When two texts agree; see `SelfConsistency`.

    Raises:
        ConfigurationError: `same` is neither a name nor a function.

    >>> query, earlier = Query((), ()), (Answer("Rome"), Answer("paris."))
    >>> Agreement()(query, Answer("Paris", earlier=earlier)), Agreement()(query, Answer("Paris"))
    (0.5, None)
    """

    same: Same = "normalised"

    def __post_init__(self) -> None:
        check_same(self.same)

    def applies(self, query: Query, answer: Answer) -> bool:
        """To any answer but the first."""
        return bool(answer.earlier)

    def __call__(self, query: Query, answer: Answer) -> float | None:
        """Share in [0, 1], `None` for a first answer."""
        if not answer.earlier:
            return None
        return sum(agree(answer, other, self.same) for other in answer.earlier) / len(answer.earlier)
