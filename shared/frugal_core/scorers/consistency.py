"""Self-consistency: does the model say the same again?"""

from __future__ import annotations

from dataclasses import dataclass

from frugal_core.agreement import Same, agree, check_same
from frugal_core.saving import saveable
from frugal_core.scorers.base import Scorer, Scoring
from frugal_core.scorers.sampling import check_draws, draw
from frugal_core.types import Answer, Call, Query


@saveable("self_consistency")
@dataclass(frozen=True)
class SelfConsistency(Scorer):
    """Share of further samples of the same model that agree with its answer (Yue et al. 2023, arXiv 2310.03094).

    The answer itself is no vote, it would always agree: the score is a multiple of 1/k, down to 0. All samples are charged to
    the query, so k further answers must cost less than the calls of the dearer tiers that they save. A sample that fails is
    no agreement; when the first one fails there is no signal, and nothing more is asked.

    A model that always says the same (temperature 0, a fixed seed, a cache in front of it) is always consistent: do not trust
    the score of such a one.

    Attributes:
        k: Number of samples.
        temperature: What they are drawn at; `None` for the model's own, which reasoning models insist on. Without randomness
            all samples are the same.
        same: When two texts agree: `"normalised"` (numbers as numbers, apart from case and punctuation), `"exact"`,
            `"numeric"` (by the last number), or a function of two texts. Tool calls are compared by names and arguments,
            structured answers by their values.

    Raises:
        ConfigurationError: One of them is out of range.

    >>> SelfConsistency(k=3)
    SelfConsistency(k=3, temperature=0.7, same='normalised')
    """

    k: int = 5
    temperature: float | None = 0.7
    same: Same = "normalised"

    def __post_init__(self) -> None:
        check_draws(self.k, self.temperature)
        check_same(self.same)

    def __call__(self, query: Query, answer: Answer) -> Scoring:
        """Share in [0, 1]."""
        samples = yield from draw(Call(answer.tier, query, "score", temperature=self.temperature), self.k)
        return sum(agree(answer, sample, self.same) for sample in samples) / self.k
