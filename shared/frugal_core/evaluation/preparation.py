"""Any file of the format made ready to evaluate: what is missing is done without, and said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from frugal_core.errors import RecordingsError
from frugal_core.learning.recordings import Recordings
from frugal_core.learning.setting import Setting, prepare

CALLS = "calls per query"
"""Unit of cost where no cost is known: every call counts 1."""

_COMMON = 0.9
_COSTS = ("cost_answer_usd", "cost_usd", "params_b")


def ready(
    recordings: Recordings,
    *,
    models: Sequence[str] | None = None,
    signal: str | None = None,
    sizes: Mapping[str, float] | None = None,
) -> Setting:
    """As `prepare`, of any recordings that have a graded answer: one model will do, and costs may be missing.

    Where no cost is known, not even by `sizes`, every call counts 1. Models that answered too few of the queries are left out,
    unless `models` names them. The setting's notes say so. Queries are put in the order of their ids, so that folds are the
    same whatever the order of the rows.

    Args:
        recordings: The answers of one dataset.
        models: Only these, in this order; by default all that have a cost, the cheapest first.
        signal: Name of the confidence signal; by default the first that was recorded.
        sizes: Number in proportion to a call's cost by model, where no other cost is known.

    Raises:
        RecordingsError: Nothing is graded, a model or signal is unknown, or the models named answered different queries.
    """
    check_graded(recordings)
    recordings = recordings.subset(np.array(sorted(range(len(recordings.query_ids)), key=recordings.query_ids.__getitem__)))
    notes: list[str] = []
    if models is None:
        recordings, notes = _answered_together(recordings)
    try:
        setting = prepare(recordings, models=models, signal=signal, sizes=sizes, fewest=1)
    except RecordingsError as error:
        setting = _counted(recordings, models, signal, error)
    return replace(setting, notes=(*notes, *setting.notes))


def check_graded(recordings: Recordings) -> None:
    """Refuse recordings without any graded answer.

    Raises:
        RecordingsError: There is none, and how to get some.
    """
    if not recordings.present.any():
        raise RecordingsError(
            f"{recordings.dataset}: none of its {recordings.present.size} answers is graded. Grade the file with frugal grade "
            "FILE (--reference-model NAME where it has no right answers), or give each row a grade from 0 to 1 in the column "
            "correct."
        )


def _counted(recordings: Recordings, models: Sequence[str] | None, signal: str | None, error: RecordingsError) -> Setting:
    """Every call counts 1. If that mends nothing, the error was about something else."""
    names = models or recordings.models
    try:
        setting = prepare(recordings, models=models, signal=signal, sizes=dict.fromkeys(names, 1.0), fewest=1)
    except RecordingsError:
        raise error from None
    known = ", ".join(name for name, value in recordings.values.items() if name in _COSTS and not np.isnan(value).all())
    note = (
        f"costs are not known ({known or 'none recorded'}; no list price with token counts for at least two models): every "
        "call counts 1. Give --sizes MODEL=B for costs in proportion"
    )
    return replace(setting, cost_source="calls", unit=CALLS, notes=(note, *setting.notes))


def _answered_together(recordings: Recordings) -> tuple[Recordings, list[str]]:
    """Models that answered nearly the same queries: those whose absence leaves the most queries answered by all go first."""
    present = recordings.present
    kept = [model for model in range(len(recordings.models)) if present[:, model].any()]
    dropped = [model for model in range(len(recordings.models)) if model not in kept]
    while len(kept) > 1:
        asked = present[:, kept]
        if asked.all(axis=1).sum() >= _COMMON * asked.any(axis=1).sum():
            break
        left = {model: present[:, [other for other in kept if other != model]].all(axis=1).sum() for model in kept}
        worst = max(kept, key=lambda model: (left[model], -present[:, model].sum()))
        kept.remove(worst)
        dropped.append(worst)
    if not dropped:
        return recordings, []
    names = ", ".join(recordings.models[model] for model in dropped)
    part = recordings.subset(np.flatnonzero(present[:, kept].any(axis=1)), np.array(kept))
    return part, [f"left out, for they answered too few of the queries that the others did: {names} (--models names them)"]
