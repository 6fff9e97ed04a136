"""Evaluates families of policies beside each other: learned on some queries, measured on the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from frugal_core.errors import ConfigurationError, FrugalError
from frugal_core.evaluation.bootstrap import RESAMPLES
from frugal_core.evaluation.held_out import Fold, folds_for, held_out, learn
from frugal_core.evaluation.policy_figures import RANDOM, PoliciesReport
from frugal_core.evaluation.policy_scoring import Scoring
from frugal_core.evaluation.promises import keep_promise
from frugal_core.learning.calibration import calibration_error
from frugal_core.learning.choice import Chosen
from frugal_core.learning.complementarity import complementarity
from frugal_core.learning.path import Estimating, Family, Path
from frugal_core.learning.setting import Setting

POINTS = 60
"""Most budgets of a curve, by default."""


def evaluate_policies(
    setting: Setting,
    families: Sequence[Family],
    *,
    folds: int | None = None,
    points: int = POINTS,
    resamples: int = RESAMPLES,
    max_disagreements: Sequence[float] = (),
    confidence: float = 0.95,
    progress: Callable[[str], None] = lambda name: None,
) -> PoliciesReport:
    """Learn and replay families of policies on one dataset, random routing beside them.

    Args:
        setting: The dataset.
        families: What to compare.
        folds: Number of folds over all queries; by default the file's own split, or 5 where it has only one side.
        points: Most budgets of a curve, at least 2.
        resamples: For the bootstrap, over queries; learning is not repeated.
        max_disagreements: Guarantees to ask for, each in (0, 1): what `fit` then serves of these families is measured as well.
        confidence: Of these.
        progress: Told the name of the family that comes next.

    Returns:
        The report. A family that cannot be learned from these recordings is among the skipped, with its reason.

    Raises:
        ConfigurationError: `folds`, `points` or `resamples` is out of range.
        RecordingsError: There are fewer than two queries.
    """
    if points < 2 or resamples < 1:
        raise ConfigurationError(f"points={points} and resamples={resamples} must be at least 2 and at least 1.")
    parts, split = folds_for(setting, folds)
    scoring = Scoring(setting, parts, resamples)
    reports = [scoring.report(RANDOM, scoring.random)]
    skipped: list[tuple[str, str]] = []
    for family in families:
        progress(family.name)
        began = time.perf_counter()
        try:
            paths = learn(family, setting, parts)
        except FrugalError as error:
            skipped.append((family.name, str(error)))
            continue
        held = held_out(paths, setting, parts, scoring.loss, points)
        miscalibration = _calibration_error(paths, setting, parts)
        reports.append(scoring.report(family.name, held, miscalibration, time.perf_counter() - began))
    promises = []
    alone = _single_families(families) if max_disagreements else []
    for bound in max_disagreements:
        progress(f"at most {bound:g}")
        promises.append(keep_promise(setting, alone, parts, scoring.strong, bound, confidence))
    return PoliciesReport(
        setting,
        split,
        round(float(np.mean([fold.learn.sum() for fold in parts]))),
        int(scoring.tested.sum()),
        scoring.strong,
        scoring.weak,
        scoring.loss.compared,
        tuple(scoring.singles()),
        tuple(reports),
        tuple(skipped),
        tuple(promises),
        complementarity(setting.correct[scoring.tested]),
        resamples,
        (*_notes(setting, folds, parts, split), *setting.notes),
    )


def _single_families(families: Sequence[Family]) -> list[Family]:
    """Those that are no choice among others; where there are none, those that the choices are among."""
    alone = [family for family in families if not isinstance(family, Chosen)]
    return alone or [member for family in families if isinstance(family, Chosen) for member in family.families]


def _notes(setting: Setting, folds: int | None, parts: Sequence[Fold], split: str) -> list[str]:
    """What of the split was not as asked for."""
    if folds is None and len(parts) > 1:
        side = "train" if setting.train.all() else "test"
        return [f"every query is in the {side} split: {split} over all of them instead"]
    if folds is not None and len(parts) < folds:
        return [f"{folds} folds were asked for: there are only {len(parts)} different queries"]
    return []


def _calibration_error(paths: Sequence[Path], setting: Setting, folds: Sequence[Fold]) -> float | None:
    """Of the probabilities that paths expect answers to be right with, on held-out rows; `None` where they expect none."""
    expected, right = [], []
    for path, fold in zip(paths, folds, strict=True):
        if isinstance(path, Estimating):
            rows = setting.rows(fold.test)
            expected.append(path.probabilities(rows).ravel())
            right.append(rows.correct.ravel())
    if not expected:
        return None
    error = calibration_error(np.concatenate(expected), np.concatenate(right))
    return error if error == error else None
