"""Reports of an evaluation: tables for the terminal, and JSON with everything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from frugal_core.evaluation.evaluate import DatasetReport, PolicyReport
from frugal_core.learning.costs import RELATIVE, USD

_ROWS = 12


def show(console: Console, report: DatasetReport) -> None:
    """Print one dataset: where signal and costs are from, the single models, the cascades, and how many beat random routing."""
    setting = report.setting
    train = int(setting.train.sum())
    chance = "" if setting.chance is None else f" · chance {setting.chance:.3f}"
    console.print(
        f"[bold]{escape(setting.dataset)}[/]: {train} train, {len(setting.train) - train} test queries"
        f" · signal {setting.signal or 'none'} · costs: {escape(setting.cost_source)}{chance}",
        highlight=False,
    )
    for note in setting.notes:
        console.print(f"  note: {escape(note)}", style="yellow", highlight=False)
    console.print(_singles(report))
    if report.policies:
        console.print(_cascades(report))
        console.print(summary(report), highlight=False, markup=False)
    console.print()


def summary(report: DatasetReport) -> str:
    """How many pairs (or, without pairs, longer cascades) have a larger area than random routing, and which do not."""
    judged = [policy for policy in report.policies if policy.beats_random is not None]
    pairs = [policy for policy in judged if len(policy.models) == 2]
    losing = [policy for policy in pairs or judged if not policy.beats_random]
    number, kind = len(pairs or judged), "pairs" if pairs else "cascades"
    better = f"{number - len(losing)} of {number} {kind} beat random routing."
    if not losing:
        return better
    costs = {single.model: single.cost for single in report.singles}
    named = "; ".join(
        f"{' > '.join(policy.models)} (cheap/dear cost {costs[policy.models[0]] / costs[policy.models[-1]]:.2f})"
        for policy in losing[:_ROWS]
    )
    return f"{better} Not: {named}" + (f"; and {len(losing) - _ROWS} more" if len(losing) > _ROWS else "")


def to_json(reports: Sequence[DatasetReport], skipped: Sequence[tuple[str, str]]) -> str:
    """All reports as JSON text.

    Args:
        reports: The datasets.
        skipped: Name and reason of what could not be evaluated.
    """
    content = {
        "datasets": [as_dict(report) for report in reports],
        "skipped": [{"dataset": name, "reason": reason} for name, reason in skipped],
    }
    return json.dumps(content, indent=1) + "\n"


def write_json(path: Path, reports: Sequence[DatasetReport], skipped: Sequence[tuple[str, str]]) -> None:
    """Write `to_json` to a file."""
    path.write_text(to_json(reports, skipped), encoding="utf-8")


def as_dict(report: DatasetReport) -> Mapping[str, object]:
    """One dataset as plain JSON data."""
    setting, train = report.setting, int(report.setting.train.sum())
    return {
        "dataset": setting.dataset,
        "n_train": train,
        "n_test": len(setting.train) - train,
        "signal": setting.signal,
        "cost_source": setting.cost_source,
        "cost_unit": setting.unit,
        "chance": setting.chance,
        "notes": list(setting.notes),
        "best_single": report.best_single.model,
        "cheapest_single": report.cheapest_single.model,
        "singles": [vars(single) for single in report.singles],
        "policies": [_policy_dict(policy) for policy in report.policies],
    }


def _policy_dict(policy: PolicyReport) -> Mapping[str, object]:
    return {
        "name": policy.name,
        "models": list(policy.models),
        "auc": policy.auc,
        "auc_plain": policy.auc_plain,
        "auc_random": policy.auc_random,
        "beats_random": policy.beats_random,
        "curve": [[point.cost, point.accuracy] for point in policy.curve],
        "thresholds": [point.thresholds for point in policy.curve],
        "calls_per_tier": [point.calls for point in policy.curve],
        "chosen": vars(policy.chosen),
        "cost_at_best_single": policy.cost_at_best_single,
    }


def _singles(report: DatasetReport) -> Table:
    table = Table(title="Single models (test split)", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("model")
    for name in ("accuracy", unit_label(report.setting.unit), "AUROC of signal"):
        table.add_column(name, justify="right")
    table.add_column("")
    for single in report.singles:
        marks = [
            word for word, chosen in (("best", report.best_single), ("cheapest", report.cheapest_single)) if single is chosen
        ]
        style = "bold" if marks else None
        cells = (f"{single.accuracy:.4f}", amount(report.setting.unit, single.cost), number(single.auroc, ".3f"))
        table.add_row(escape(single.model), *cells, ", ".join(marks), style=style)
    return table


def _cascades(report: DatasetReport) -> Table:
    more = f", {_ROWS} of {len(report.policies)}: all are in the JSON" if len(report.policies) > _ROWS else ""
    table = Table(
        title=f"Cascades, the best on train first{more}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("models in order", overflow="fold")
    for name in ("area", "random", "gain", "at best†", "acc.*", "cost*", "calls*"):
        table.add_column(name, justify="right")
    for policy in report.policies[:_ROWS]:
        gain = None if policy.auc is None or policy.auc_random is None else policy.auc - policy.auc_random
        table.add_row(
            escape("\n".join(policy.models)),
            number(policy.auc, ".4f"),
            number(policy.auc_random, ".4f"),
            number(gain, "+.4f"),
            amount(report.setting.unit, policy.cost_at_best_single),
            f"{policy.chosen.accuracy:.4f}",
            amount(report.setting.unit, policy.chosen.cost),
            "\n".join(f"{calls:.2f}" for calls in policy.chosen.calls),
            style=None if policy.beats_random else "dim",
        )
    unit = unit_label(report.setting.unit)
    table.caption = (
        f"† {unit} at which it is as accurate as the best single model\n"
        f"* accuracy, {unit} and calls per query at the cheapest thresholds that match the last model on train, else at the "
        "most accurate ones"
    )
    table.caption_justify = "left"
    return table


def unit_label(unit: str) -> str:
    """A unit of cost, as amounts are shown in it.

    >>> unit_label("USD per query"), unit_label("calls per query")
    ('USD/1000', 'calls')
    """
    return {USD: "USD/1000", RELATIVE: "size in B"}.get(unit, unit.removesuffix(" per query"))


def amount(unit: str, cost: float | None) -> str:
    """A cost per query, as shown.

    >>> amount("USD per query", 0.00025), amount("calls per query", 1.5), amount("calls per query", None)
    ('0.25', '1.5', '-')
    """
    return number(cost, ".4g") if cost is None or unit != USD else f"{cost * 1000:.4g}"


def number(value: float | None, form: str) -> str:
    """A number, or a dash where there is none."""
    return "-" if value is None else format(value, form)
