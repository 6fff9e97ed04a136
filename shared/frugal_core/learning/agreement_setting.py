"""Recordings judged by agreement with one model, the reference, instead of by quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from frugal_core.errors import RecordingsError
from frugal_core.learning.columns import Floats
from frugal_core.learning.labels import grader
from frugal_core.learning.setting import Setting

BY_LABELS = "is worse than"
BY_TEXT = "differs from"


def agreement_setting(setting: Setting, reference: int, compare: Any = None) -> Setting:
    """The same recordings; quality is how far an answer agrees with the reference's.

    Args:
        setting: The recordings.
        reference: Index of the reference.
        compare: How answers are compared: `"exact"`, `"normalised"`, `"numeric"` or a function `(query, answer, reference) ->
            score`. By default the labels are: an answer agrees unless its label is worse than that of the reference's. Where
            answers were labelled by agreement with the reference, that is the label itself.

    Raises:
        RecordingsError: The answers were not recorded, but are to be compared.
    """
    if compare is None:
        return replace(setting, correct=1 - np.maximum(setting.correct[:, [reference]] - setting.correct, 0.0))
    grade = grader(compare)
    return replace(setting, correct=_compared(setting, reference, grade))


def _compared(setting: Setting, reference: int, grade: Callable[[str, str, str], float]) -> Floats:
    missing = [name for name, column in zip(setting.models, setting.answers.T, strict=True) if any(a is None for a in column)]
    if missing:
        raise RecordingsError(
            f"{setting.dataset}: answers of {missing[0]} were not recorded, so they cannot be compared with those of "
            f"{setting.models[reference]}. Leave compare out to go by the labels."
        )
    agreed = np.ones(setting.correct.shape)
    for row, answers in enumerate(setting.answers):
        for model, answer in enumerate(answers):
            if model != reference:
                agreed[row, model] = grade(setting.queries[row] or "", answer, answers[reference])
    return agreed
