"""What is said of families of policies that were evaluated beside each other."""

from __future__ import annotations

from dataclasses import dataclass

from frugal_core.evaluation.bootstrap import Interval
from frugal_core.evaluation.promises import Promise
from frugal_core.learning.columns import Floats
from frugal_core.learning.setting import Setting

RANDOM = "random"
"""Name of random routing between the cheapest and the best model, which is always there."""


@dataclass(frozen=True)
class CurvePoint:
    """What a family does within one budget, on held-out queries.

    Attributes:
        budget: Cost per query that was not to be passed; `None` where quality was asked for.
        cost: Mean cost per query that it came to.
        quality: Mean quality.
        disagreement: Share of queries whose answer says something else than the reference's.
        worse: By how much their grade is worse, in the mean; what `fit` certifies by default.
        calls: Calls per query of each model.
    """

    budget: float | None
    cost: float
    quality: float
    disagreement: float
    worse: float
    calls: tuple[float, ...]


@dataclass(frozen=True)
class SingleScore:
    """One model alone, on the held-out queries.

    Attributes:
        model: Its name.
        quality: Mean quality.
        quality_interval: Of it.
        cost: Mean cost per query.
        disagreement: Share of queries whose answer says something else than the reference's.
        auroc: How well its signal tells right answers from wrong ones; `None` without signal.
        calibration_error: Of its signal taken as a probability; `None` without signal.
    """

    model: str
    quality: float
    quality_interval: Interval
    cost: float
    disagreement: float
    auroc: float | None
    calibration_error: float | None


@dataclass(frozen=True)
class FamilyReport:
    """One family of policies, on the held-out queries.

    Attributes:
        name: Its name.
        curve: By rising cost, from the cheapest single model on.
        chosen: The cheapest policy that was expected to be as good as the best single model, else the best there was; chosen
            on the learning rows.
        area: Mean quality over all budgets from the cheapest to the dearest single model; `None` where these cost the same.
        area_interval: Of it.
        gain: Area above that of random routing.
        gain_interval: Of it, both on the same resampled queries.
        apgr: Average gap recovered over the share of calls to the reference, see `average_gap_recovered`.
        cpt50: Share of calls to the reference that recovers half of the gap.
        cpt80: The same for four fifths.
        cost_at_best: Where the curve reaches the best single model's quality; `None` if nowhere.
        cost_at_best_interval: Of it; an end is `None` where that quality is not reached.
        cost_at_minus: The same for one point (0.01) less.
        calibration_error: Of the probabilities that it learned; `None` where it has none.
        seconds: Time to learn and replay it.
    """

    name: str
    curve: tuple[CurvePoint, ...]
    chosen: CurvePoint
    area: float | None
    area_interval: Interval
    gain: float | None
    gain_interval: Interval
    apgr: float | None
    cpt50: float | None
    cpt80: float | None
    cost_at_best: float | None
    cost_at_best_interval: Interval
    cost_at_minus: float | None
    calibration_error: float | None
    seconds: float


@dataclass(frozen=True)
class PoliciesReport:
    """All about one dataset.

    Attributes:
        setting: What was replayed.
        split: How queries were parted, in words.
        learned: How many queries were learned from, in the mean fold.
        tested: How many queries were held out, over all folds.
        reference: Index of the reference, the best model on all queries: the strong model whose calls APGR and CPT count, and
            with whose answers others are compared.
        weakest: Index of the cheapest model.
        compared: What disagreement is about, in words.
        singles: Every model alone, in the setting's order.
        families: As asked for; random routing first.
        skipped: Name and reason of each family that could not be learned.
        promises: What came of guarantees, where any were asked for.
        mpi: Shape (models, models): how often the row's model is right where the column's is wrong.
        resamples: How many the intervals are from.
        notes: What was missing or left out.
    """

    setting: Setting
    split: str
    learned: int
    tested: int
    reference: int
    weakest: int
    compared: str
    singles: tuple[SingleScore, ...]
    families: tuple[FamilyReport, ...]
    skipped: tuple[tuple[str, str], ...]
    promises: tuple[Promise, ...]
    mpi: Floats
    resamples: int
    notes: tuple[str, ...]

    @property
    def best_single(self) -> SingleScore:
        """The best model on the held-out queries, the cheaper one of equals."""
        return max(self.singles, key=lambda single: (single.quality, -single.cost))
