"""Reports of an evaluation of families: tables for the terminal, and JSON with everything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from frugal_core.evaluation.bootstrap import Interval
from frugal_core.evaluation.policy_figures import RANDOM, FamilyReport, PoliciesReport
from frugal_core.evaluation.report import amount, number, unit_label

EXPLAINED = {
    "area": "mean quality over all budgets from the cheapest to the dearest single model",
    "gain": "area above that of random routing between the cheapest and the best model",
    "at best": "cost at which it is as good as the best single model, as a share of that model's cost",
    "at −1 pt": "the same for one point (0.01) less",
    "APGR": "share of the gap between the cheapest and the best model that is recovered, on average over the share of calls "
    "to the best one; that counts no calls to others",
    "CPT50": "share of queries for which the best model is called, where half of that gap is recovered; CPT80: four fifths",
    "*": "of the cheapest policy that on the learning rows was expected to be as good as the best single model, else of the "
    "best one; differs: answers that say something else than the best model's; worse: by how much their grades are worse",
}
"""What the columns mean."""

_SIGNAL = ("AUROC", "ECE")
_LESS = 0.995
_SAME = 1e-12


def show_policies(console: Console, report: PoliciesReport) -> None:
    """Print one dataset: what it was, what was missing, the single models, the families beside each other."""
    setting = report.setting
    console.print(f"[bold]{escape(setting.dataset)}[/]: {escape(about(report))}", highlight=False)
    for note in report.notes:
        console.print(f"  note: {escape(note)}", style="yellow", highlight=False)
    for name, reason in report.skipped:
        console.print(f"  not evaluated: {escape(name)}: {escape(reason)}", style="yellow", highlight=False)
    console.print(_singles(report))
    console.print(_areas(report))
    console.print(_chosen(report))
    if report.promises:
        console.print(_promises(report))
    console.print(escape(headline(report)), highlight=False)
    console.print()


def about(report: PoliciesReport) -> str:
    """Where queries, signal and costs are from."""
    setting = report.setting
    return (
        f"{report.split}, {report.learned} queries to learn from, {report.tested} held out"
        f" · signal {setting.signal or 'none'} · costs: {setting.cost_source}"
    )


def headline(report: PoliciesReport) -> str:
    """The best single model, and the cheapest policy as good that its family chose before it saw these queries."""
    best, unit = report.best_single, report.setting.unit
    said = f"Best single model: {best.model}, {best.quality:.4f} at {amount(unit, best.cost)} ({unit_label(unit)})."
    cheaper = [each for each in report.families if each.name != RANDOM and each.chosen.cost <= _LESS * best.cost]
    as_good = [each for each in cheaper if each.chosen.quality >= best.quality - _SAME]
    if as_good:
        found = min(as_good, key=lambda each: each.chosen.cost)
        said = f"{said} As good for {share(found.chosen.cost, best.cost)} of its cost:"
    elif cheaper:
        found = max(cheaper, key=lambda each: (each.chosen.quality, -each.chosen.cost))
        said = f"{said} Nothing else is as good for less. Nearest, for {share(found.chosen.cost, best.cost)} of its cost:"
    else:
        return f"{said} Nothing else is as good for less."
    point = f"{found.chosen.quality:.4f} at {amount(unit, found.chosen.cost)}"
    return f"{said} {found.name}, {point}, chosen on the learning queries."


def share(cost: float | None, whole: float) -> str:
    """A cost as a share of another; a dash where there is none.

    >>> share(0.25, 1.0), share(None, 1.0), share(1.0, 0.0)
    ('25%', '-', '-')
    """
    return "-" if cost is None or not whole else f"{cost / whole:.0%}"


def share_span(interval: Interval, whole: float) -> str:
    """An interval of costs, as shares of another cost; "never" where they are not reached.

    >>> share_span(Interval(0.25, None), 1.0), share_span(Interval(None, None), 1.0)
    ('25% to never', 'never')
    """
    if not whole:
        return "-"
    low, high = (f"{end / whole:.0%}" if end is not None else "never" for end in (interval.low, interval.high))
    return low if low == high else f"{low} to {high}"


def span(interval: Interval, form: str) -> str:
    """An interval, as shown.

    >>> span(Interval(0.25, None), ".2f")
    '0.25 to -'
    """
    return f"{number(interval.low, form)} to {number(interval.high, form)}"


def policies_dict(report: PoliciesReport) -> Mapping[str, Any]:
    """One dataset as plain JSON data."""
    setting, best = report.setting, report.best_single
    return {
        "dataset": setting.dataset,
        "split": report.split,
        "n_learn": report.learned,
        "n_test": report.tested,
        "models": list(setting.models),
        "signal": setting.signal,
        "cost_source": setting.cost_source,
        "cost_unit": setting.unit,
        "notes": list(report.notes),
        "reference": setting.models[report.reference],
        "cheapest_single": setting.models[report.weakest],
        "best_single": best.model,
        "disagreement_of": report.compared,
        "resamples": report.resamples,
        "singles": [asdict(single) for single in report.singles],
        "families": [_family_dict(family, best.cost) for family in report.families],
        "skipped": [{"family": name, "reason": reason} for name, reason in report.skipped],
        "guarantees": [{**asdict(promise), "kept": promise.kept} for promise in report.promises],
        "mpi": report.mpi.tolist(),
    }


def policies_json(reports: Sequence[PoliciesReport], skipped: Sequence[tuple[str, str]]) -> str:
    """All reports as JSON text.

    Args:
        reports: The datasets.
        skipped: Name and reason of what could not be evaluated.
    """
    content = {
        "datasets": [policies_dict(report) for report in reports],
        "skipped": [{"dataset": name, "reason": reason} for name, reason in skipped],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _family_dict(family: FamilyReport, best_cost: float) -> Mapping[str, Any]:
    at_best = family.cost_at_best
    return {**asdict(family), "share_of_best_single": at_best / best_cost if at_best is not None and best_cost else None}


def _singles(report: PoliciesReport) -> Table:
    table = _table("Single models, held out", "model", ("quality", "95%", unit_label(report.setting.unit), "differs", *_SIGNAL))
    for single in report.singles:
        table.add_row(
            escape(single.model),
            f"{single.quality:.4f}",
            _short_span(single.quality_interval),
            amount(report.setting.unit, single.cost),
            f"{single.disagreement:.1%}",
            number(single.auroc, ".3f"),
            number(single.calibration_error, ".3f"),
            style="bold" if single is report.best_single else None,
        )
    reference = report.setting.models[report.reference]
    table.caption = f"differs: from {escape(reference)}, by {report.compared}; ECE: calibration error of the signal"
    return table


def _areas(report: PoliciesReport) -> Table:
    table = _table("Policies, held out", "policy", ("area", "95%", "gain", "at best", "95%", "at −1 pt"))
    cost = report.best_single.cost
    top = max((family.area for family in report.families if family.area is not None), default=None)
    for family in report.families:
        table.add_row(
            escape(family.name),
            number(family.area, ".4f"),
            _short_span(family.area_interval),
            number(family.gain, "+.4f"),
            share(family.cost_at_best, cost),
            share_span(family.cost_at_best_interval, cost).replace(" to ", "–"),
            share(family.cost_at_minus, cost),
            style="bold" if top is not None and family.area == top else None,
        )
    table.caption = "gain: over random routing; at best: cost to be as good as the best single model, as a share of its cost"
    return table


def _chosen(report: PoliciesReport) -> Table:
    heads = ("quality", unit_label(report.setting.unit), "differs", "worse", "APGR", "CPT50", "CPT80", "ECE")
    table = _table("The policy that each would choose to match the best single model", "policy", heads)
    for family in report.families:
        table.add_row(
            escape(family.name),
            f"{family.chosen.quality:.4f}",
            amount(report.setting.unit, family.chosen.cost),
            f"{family.chosen.disagreement:.1%}",
            f"{family.chosen.worse:.1%}",
            number(family.apgr, ".3f"),
            number(family.cpt50, ".0%"),
            number(family.cpt80, ".0%"),
            number(family.calibration_error, ".3f"),
        )
    table.caption = f"APGR and CPT count calls to {escape(report.setting.models[report.reference])} only, over the whole curve"
    return table


def _promises(report: PoliciesReport) -> Table:
    heads = ("confidence", "realised", "kept", "coverage", "quality", unit_label(report.setting.unit), "certified")
    table = _table("Guarantees, held out", "at most", heads)
    for promise in report.promises:
        if promise.reason is not None:
            table.add_row(escape(f"{promise.max_disagreement:.1%}: {promise.reason}"), *("-" for _ in heads))
            continue
        table.add_row(
            f"{promise.max_disagreement:.1%}",
            f"{promise.confidence:.0%}",
            number(promise.disagreement, ".2%"),
            "yes" if promise.kept else "no",
            number(promise.coverage, ".1%"),
            number(promise.quality, ".4f"),
            amount(report.setting.unit, promise.cost),
            f"{promise.certified} of {promise.folds}",
        )
    table.caption = (
        f"realised: by how much grades were worse than those of {escape(report.setting.models[report.reference])}; coverage: "
        "share answered without it"
    )
    return table


def _table(title: str, first: str, heads: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _short_span(interval: Interval) -> str:
    return "-" if interval.low is None else f"{interval.low:.3f}–{number(interval.high, '.3f')}"
