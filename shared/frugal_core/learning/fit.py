"""`fit`: from recordings to the policy that is best for an objective, or that keeps a guarantee."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import numpy as np

from frugal_core.errors import ConfigurationError, RecordingsError
from frugal_core.learning.agreement_setting import BY_LABELS, BY_TEXT, agreement_setting
from frugal_core.learning.cascade_path import CascadeSearch
from frugal_core.learning.cascade_routing import CascadeRouting
from frugal_core.learning.choice import Choice
from frugal_core.learning.cross_validation import cross_validate
from frugal_core.learning.guarantee import certify, rows_needed, safest_first
from frugal_core.learning.learned_cascade import LearnedCascade
from frugal_core.learning.objective import Objective
from frugal_core.learning.path import Family, Path
from frugal_core.learning.recorded_answers import RecordedSignal
from frugal_core.learning.recordings import Recordings
from frugal_core.learning.routing import Routing
from frugal_core.learning.rows import described
from frugal_core.learning.setting import Setting, prepare
from frugal_core.learning.singles import Singles
from frugal_core.policies.base import Policy
from frugal_core.policies.fitted import Fitted
from frugal_core.policies.single import Single
from frugal_core.saving import decode
from frugal_core.scorers.base import ScoreFunction
from frugal_core.scorers.logprobs import MeanLogprob
from frugal_core.scorers.margin import Margin

if TYPE_CHECKING:
    from frugal_core.learning.record_run import Recorded
    from frugal_core.scorers.learned import Embed

CALIBRATED = 0.4
"""Share of the queries that are kept for calibration, and touched by nothing else, where a guarantee is asked for."""

STEPS = 50
"""Most policies that are tested for a guarantee."""

FEWEST = 20
"""Queries from which a policy may be learned."""

_SCORERS: Mapping[str, Callable[[], ScoreFunction]] = {"margin": Margin, "logprobs": MeanLogprob}
"""What measures a recorded signal live."""


def fit(
    recordings: Recordings | Recorded | str | FilePath,
    *,
    budget_usd: float | None = None,
    quality: float | None = None,
    max_disagreement: float | None = None,
    confidence: float = 0.95,
    reference: str | None = None,
    compare: Any = None,
    scorer: ScoreFunction | None = None,
    signal: str | None = None,
    models: Sequence[str] | None = None,
    sizes: Mapping[str, float] | None = None,
    embed: Embed | None = None,
    families: Sequence[Family] | None = None,
    dataset: str | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Fitted:
    """Learn the policy that is best for an objective: a budget, a quality, a guarantee, or (by default) the best quality.

    Single models, cascades in all orders (FrugalGPT), routing before the call and cascade routing are compared by
    cross-validation: each chooses for the objective on some queries and answers the others. The best is learned once more from
    all queries.

    With `max_disagreement`, two fifths of the queries are kept for calibration. What is learned from the others is an order of
    policies from the safest to the cheapest; they are tested in this order on the calibration queries (Learn then Test,
    `frugal_core.learning.guarantee`), and the last one before the first failure is served. Where nothing passes it is the
    reference alone, and the result says so.

    Args:
        recordings: What `record` returned, the path of a file of recordings, or recordings read from one. All their queries
            are used, whatever their split.
        budget_usd: Mean cost per query that may be reached (in the unit of the recorded costs).
        quality: Mean quality to reach at the least cost, in [0, 1]. It is an estimate that is chosen by: as often as not, what
            is served will lie somewhat below.
        max_disagreement: Largest share of queries whose answer may differ from the reference's, in (0, 1); proved with
            `confidence`.
        confidence: Chance that the guarantee is right, in (0, 1).
        reference: Name of the model whose answers are the standard; by default that of the highest mean quality (under a
            guarantee: on the queries to learn from).
        compare: Under a guarantee, what counts as differing: see `agreement_setting`. By default a worse label.
        scorer: What measures the recorded signal live. `record` notes it in the file; else it is known for `margin` and
            `logprobs`, and to be given for others. It must be the one that was recorded.
        signal: Name of the signal; by default the first of `recordings.SIGNALS` that was recorded.
        models: Only these, by name.
        sizes: Sizes of models by name, in proportion to the cost of their calls, where no costs were recorded.
        embed: Turns a text into a vector; lets policies look at what a query means. Code is not saved with a policy.
        families: What to compare; by default all.
        dataset: Which, where the file holds several.
        folds: Parts of the cross-validation.
        seed: Determines which queries are kept for calibration.

    Raises:
        ConfigurationError: Two objectives, a value out of range, too few queries for the guarantee (the message says how many
            are needed), a signal whose scorer is not known.
        RecordingsError: The recordings cannot be used.
    """
    objective = _objective(budget_usd, quality, max_disagreement)
    if type(folds) is not int or folds < 2:
        raise ConfigurationError(f"folds={folds!r} is out of range: it is a number of parts, 2 or more.")
    found = _one(recordings, dataset, signal)
    setting = prepare(found, models=models, signal=signal, sizes=sizes)
    rows = len(setting.correct)
    if rows < FEWEST:
        raise RecordingsError(f"{setting.dataset}: {rows} queries are too few to learn from: record at least {FEWEST}.")
    measures = _scorer(setting.signal, scorer, found.scorers)
    tried = list(families or default_families(measures, embed))
    wrong = [family for family in tried if not hasattr(family, "fit")]
    if wrong:
        raise ConfigurationError(f"families has {wrong[0]!r}: give objects such as CascadeSearch() or Routing().")
    if measures is not None:
        setting = replace(setting, notes=(f"Signal: {setting.signal}, measured live by {measures!r}.", *setting.notes))
    named = None if reference is None else _index(setting, reference)
    if max_disagreement is None:
        return _fitted(setting, tried, objective, folds, best_model(setting) if named is None else named)
    return guaranteed(setting, tried, named, compare, max_disagreement, confidence, folds, seed)


def default_families(scorer: ScoreFunction | None, embed: Embed | None = None) -> list[Family]:
    """All families, the simplest first.

    Args:
        scorer: What measures the signal; `None` where none was recorded.
        embed: Turns a text into a vector.
    """
    signal = RecordedSignal() if scorer is None else scorer
    return [
        Singles(),
        CascadeSearch(scorer=signal),
        LearnedCascade(signal, embed),
        Routing(embed=embed),
        CascadeRouting(fusion=False, scorer=signal),
        CascadeRouting(scorer=signal, name="cascade router with fusion"),
    ]


def _fitted(setting: Setting, families: Sequence[Family], objective: Objective, folds: int, best: int) -> Fitted:
    choice = Choice.of(cross_validate(families, setting, folds), objective)
    path = families[choice.place].fit(setting)
    policy = path.policy(objective.place(path.cost, path.quality))
    return Fitted(
        policy,
        choice.trial.family,
        str(objective),
        choice.reason(setting.unit),
        choice.candidates,
        notes=(_share(choice.trial.mean_cost, setting, best), _singles_note(setting), *setting.notes),
        kept=choice.kept,
    )


def guaranteed(
    setting: Setting,
    families: Sequence[Family],
    reference: int | None,
    compare: Any,
    max_disagreement: float,
    confidence: float,
    folds: int,
    seed: int,
) -> Fitted:
    """What `fit` does under a guarantee, on recordings made ready.

    Where no reference is named, it is the model that is best on the queries to learn from: the others must have no say in what
    is to be proved on them.

    Raises:
        ConfigurationError: There are too few queries for it; the message says how many it takes.
        RecordingsError: No family can be learned.
    """
    rows = len(setting.correct)
    kept = round(CALIBRATED * rows)
    needed = rows_needed(max_disagreement, confidence)
    if kept < needed:
        raise ConfigurationError(
            f"{rows} queries leave {kept} for calibration, which cannot prove a disagreement of at most {max_disagreement:g} "
            f"with confidence {confidence:g}: that takes {needed}. Record at least {math.ceil(needed / CALIBRATED)} queries, "
            "better twice as many to allow for answers that differ, or ask for less."
        )
    calibrating = np.zeros(rows, dtype=bool)
    calibrating[np.random.default_rng(seed).permutation(rows)[:kept]] = True
    if reference is None:
        reference = best_model(setting.rows(~calibrating))
    judged = agreement_setting(setting, reference, compare)
    learning = judged.rows(~calibrating)
    objective = Objective("quality", 1 - max_disagreement)
    choice = Choice.of(cross_validate(families, learning, folds), objective)
    path = families[choice.place].fit(learning)
    places = walk(path)
    held = judged.rows(calibrating)
    replayed = path.replay(held)
    losses = np.clip(1 - replayed.quality[places], 0.0, 1.0)
    guarantee = certify(losses, [f"policy {place} of {path.family}" for place in places], max_disagreement, confidence)
    name = setting.models[reference]
    policy: Policy = Single(name) if guarantee.index is None else path.policy(places[guarantee.index])
    paid = float(held.cost[:, reference].mean() if guarantee.index is None else replayed.cost[places[guarantee.index]].mean())
    verb = BY_LABELS if compare is None else BY_TEXT
    notes = (
        f"The reference is {name}; an answer counts against the bound where it {verb} the reference's.",
        f"{rows - kept} queries to learn from, {kept} to calibrate on.",
        _share(paid, held, reference),
        _singles_note(setting),
        *setting.notes,
    )
    asked = f"the least cost while at most {max_disagreement:g} of the answers count against it, with confidence {confidence:g}"
    return Fitted(
        policy,
        path.family if guarantee.certified else "reference",
        asked,
        choice.reason(setting.unit, asked, "agreement"),
        choice.candidates,
        guarantee,
        notes,
    )


def walk(path: Path) -> list[int]:
    """Places of a path from the safest to the cheapest, by what is expected of them; at most `STEPS`."""
    places = safest_first(1 - path.quality[:, None], path.cost)
    if len(places) <= STEPS:
        return places
    return [places[i] for i in np.unique(np.linspace(0, len(places) - 1, STEPS).round().astype(int))]


def _objective(budget_usd: float | None, quality: float | None, max_disagreement: float | None) -> Objective:
    given = {"budget_usd": budget_usd, "quality": quality, "max_disagreement": max_disagreement}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigurationError(f"{' and '.join(named)} contradict each other: each is an objective of its own. Give one.")
    if budget_usd is not None:
        return Objective("budget", budget_usd)
    return Objective("best") if quality is None else Objective("quality", quality)


def _one(recordings: Recordings | Recorded | str | FilePath, dataset: str | None, signal: str | None) -> Recordings:
    """The recordings of one dataset, in an order that does not depend on who answered first."""
    if isinstance(recordings, Recordings):
        return _ordered(recordings)
    if isinstance(recordings, (list, tuple)):
        if len(recordings) != 1:
            raise ConfigurationError(
                f"{len(recordings)} recordings were given; a policy is learned from one. Give one of them."
            )
        return _one(recordings[0], dataset, signal)
    path = recordings if isinstance(recordings, (str, FilePath)) else recordings.path
    read = Recordings.read([path], () if signal is None else (signal,))
    chosen = [each for each in read if dataset in (None, each.dataset)]
    if len(chosen) == 1:
        return _ordered(chosen[0])
    names = ", ".join(each.dataset for each in read)
    if not chosen:
        raise RecordingsError(f"{path}: has no dataset {dataset!r}; it has {names}.")
    raise RecordingsError(f"{path}: has {len(read)} datasets ({names}); a policy is learned from one. Name it with dataset=.")


def _ordered(recordings: Recordings) -> Recordings:
    queries = sorted(range(len(recordings.query_ids)), key=recordings.query_ids.__getitem__)
    models = sorted(range(len(recordings.models)), key=recordings.models.__getitem__)
    return recordings.subset(np.array(queries, dtype=int), np.array(models, dtype=int))


def _scorer(signal: str | None, given: ScoreFunction | None, recorded: Mapping[str, Any]) -> ScoreFunction | None:
    """What measures the signal in live answers: the very scorer that was recorded."""
    if signal is None or isinstance(given, RecordedSignal):
        return given
    known = recorded.get(signal)
    if known is not None:
        if given is not None and described(given) != known:
            raise ConfigurationError(
                f"scorer={given!r} is not what measured the recorded signal {signal!r}, {decode(known)!r}: thresholds on one "
                "mean nothing for the other. Leave scorer out, or record its values as well."
            )
        measured: ScoreFunction = decode(known)
        return measured
    if given is not None:
        return given
    if signal not in _SCORERS or signal in recorded:
        known = ", ".join(_SCORERS)
        raise ConfigurationError(
            f"The recordings' signal is {signal!r}, and what measures it in live answers is not known (it is for {known}): "
            "give the scorer that was recorded, scorer=..., or name another signal."
        )
    return _SCORERS[signal]()


def best_model(setting: Setting) -> int:
    """Index of the model of the highest mean quality, the cheapest of equals."""
    return int(np.lexsort((setting.cost.mean(axis=0), -setting.correct.mean(axis=0)))[0])


def _index(setting: Setting, name: str) -> int:
    if name not in setting.models:
        raise ConfigurationError(f"reference={name!r} is not among the recorded models: {', '.join(setting.models)}.")
    return setting.models.index(name)


def _share(cost: float, setting: Setting, reference: int) -> str:
    """What is served costs, beside the reference."""
    alone = float(setting.cost[:, reference].mean())
    share = f", {cost / alone:.0%} of what {setting.models[reference]} alone costs" if alone else ""
    return f"What is served costs {cost:.4g} per query{share}."


def _singles_note(setting: Setting) -> str:
    """The best single model, which every policy stands beside, and the cheapest."""
    cost, quality = setting.cost.mean(axis=0), setting.correct.mean(axis=0)
    top, low = best_model(setting), int(np.argmin(cost))
    said = f"Best single model: {setting.models[top]}, quality {quality[top]:.4f} at {cost[top]:.4g}"
    return f"{said}; cheapest: {setting.models[low]}, {quality[low]:.4f} at {cost[low]:.4g}."
