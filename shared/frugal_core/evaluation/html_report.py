"""An evaluation as one HTML page that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from frugal_core.evaluation.bootstrap import Interval
from frugal_core.evaluation.policy_figures import RANDOM, FamilyReport, PoliciesReport
from frugal_core.evaluation.policy_report import EXPLAINED, about, headline, share, share_span, span
from frugal_core.evaluation.report import amount, number, unit_label
from frugal_core.evaluation.svg import COLOURS, Bar, Line, Mark, bar_plot, line_plot
from frugal_core.learning.costs import USD

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5b6575; --line: #dfe4ea; --page: #f6f7f9; --card: #ffffff;
  --warm: #fff6e0; --edge: #e2b23c; --heat: 0, 114, 178; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaf0; --soft: #9aa4b5; --line: #313947; --page: #12161d;
  --card: #1a202a; --warm: #2b2618; --edge: #a37f25; --heat: 86, 180, 233; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 21px; margin: 0 0 4px; }
h3 { font-size: 15px; margin: 26px 0 8px; color: var(--soft); font-weight: 600; }
.soft { color: var(--soft); } .headline { font-size: 17px; margin: 12px 0; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 22px 24px; margin: 22px 0; }
nav a { color: inherit; margin-right: 14px; } .wide { overflow-x: auto; }
ul.notes { margin: 12px 0; padding: 10px 14px 10px 32px; background: var(--warm); border-left: 4px solid var(--edge);
  border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
tr.best td { font-weight: 650; } td small { color: var(--soft); display: block; }
td.heat { text-align: center; min-width: 54px; } .swatch { display: inline-block; width: 11px; height: 11px; border-radius: 3px;
  margin-right: 7px; }
th.turned { max-width: 110px; overflow: hidden; text-overflow: ellipsis; }
svg { width: 100%; height: auto; max-width: 900px; display: block; font: 12px system-ui, sans-serif; }
svg text { fill: var(--soft); } svg text.name { fill: var(--ink); font-size: 11px; } svg .grid { stroke: var(--line); }
svg .mark { fill: var(--ink); } .legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 6px 0 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 14px; font-size: 13px; color: var(--soft); }
dt { font-weight: 650; } dd { margin: 0; }
"""


def html_report(reports: Sequence[PoliciesReport], skipped: Sequence[tuple[str, str]]) -> str:
    """All reports as one page.

    Args:
        reports: The datasets.
        skipped: Name and reason of what could not be evaluated.

    Returns:
        The page; every name in it is escaped.
    """
    links = "".join(f'<a href="#set{place}">{escape(report.setting.dataset)}</a>' for place, report in enumerate(reports))
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Frugal evaluation</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body><main>",
        "<h1>Frugal evaluation</h1>",
        '<p class="soft">Policies learned from recorded answers and replayed on queries that taught them nothing.</p>',
        f"<nav>{links}</nav>" if len(reports) > 1 else "",
        *(_section(report, place) for place, report in enumerate(reports)),
        _left_out(skipped),
        "</main></body></html>\n",
    ]
    return "".join(parts)


def _section(report: PoliciesReport, place: int) -> str:
    notes = [*report.notes, *(f"{name} was not evaluated: {reason}" for name, reason in report.skipped)]
    colours = _colours(report)
    return "".join(
        [
            f'<section id="set{place}"><h2>{escape(report.setting.dataset)}</h2><p class="soft">{escape(about(report))}</p>',
            f'<p class="headline">{escape(headline(report))}</p>',
            _notes(notes),
            f"<h3>Quality over cost</h3>{_curves(report, colours)}",
            f"<h3>Area, with 95% intervals over queries ({report.resamples} resamples)</h3>{_areas(report, colours)}",
            f"<h3>Policies</h3>{_families(report, colours)}{_legend()}",
            f"<h3>Guarantees</h3>{_promises(report)}" if report.promises else "",
            f"<h3>Single models</h3>{_singles(report)}",
            f"<h3>Calls per query of the chosen policy*</h3>{_calls(report, colours)}",
            "<h3>How often the row's model is right where the column's is wrong (MPI)</h3>",
            _mpi(report),
            "</section>",
        ]
    )


def _colours(report: PoliciesReport) -> dict[str, str]:
    """A colour for each family; random routing is grey."""
    names = [family.name for family in report.families if family.name != RANDOM]
    return {RANDOM: "#8a8f98", **{name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}}


def _curves(report: PoliciesReport, colours: dict[str, str]) -> str:
    scale = 1000.0 if report.setting.unit == USD else 1.0
    lines = [
        Line(
            family.name,
            [(point.cost * scale, point.quality) for point in family.curve],
            colours[family.name],
            dashed=family.name == RANDOM,
        )
        for family in report.families
    ]
    marks = [Mark(single.model, single.cost * scale, single.quality) for single in report.singles]
    legend = "".join(f"<span>{_swatch(colours[family.name])}{escape(family.name)}</span>" for family in report.families)
    plot = line_plot(lines, marks, f"cost, {unit_label(report.setting.unit)}", "quality (held out)")
    return f'{plot}<div class="legend">{legend}</div>'


def _areas(report: PoliciesReport, colours: dict[str, str]) -> str:
    bars = [
        Bar(family.name, family.area, family.area_interval.low, family.area_interval.high, colours[family.name])
        for family in report.families
        if family.area is not None
    ]
    if not bars:
        return '<p class="soft">All single models cost the same: there is no range of budgets to take an area over.</p>'
    return bar_plot(bars, "area")


def _families(report: PoliciesReport, colours: dict[str, str]) -> str:
    unit, best = report.setting.unit, report.best_single
    heads = ["policy", "area", "gain over random", "cost at best single", "at −1 pt", "APGR", "CPT50", "CPT80", "quality*"]
    heads += [f"cost*, {unit_label(unit)}", "differs*", "worse*", "calibration error", "learned in"]
    top = max((family.area for family in report.families if family.area is not None), default=None)
    rows = []
    for family in report.families:
        cells = [
            f"{_swatch(colours[family.name])}{escape(family.name)}",
            _with_interval(family.area, family.area_interval, ".4f"),
            _with_interval(family.gain, family.gain_interval, "+.4f"),
            _cost_at_best(family, best.cost, unit),
            share(family.cost_at_minus, best.cost),
            number(family.apgr, ".3f"),
            number(family.cpt50, ".0%"),
            number(family.cpt80, ".0%"),
            f"{family.chosen.quality:.4f}",
            amount(unit, family.chosen.cost),
            f"{family.chosen.disagreement:.1%}",
            f"{family.chosen.worse:.1%}",
            number(family.calibration_error, ".3f"),
            f"{family.seconds:.1f} s",
        ]
        rows.append((cells, top is not None and family.area == top))
    return _table(heads, rows)


def _cost_at_best(family: FamilyReport, best_cost: float, unit: str) -> str:
    inside = share_span(family.cost_at_best_interval, best_cost)
    whole = f" ({amount(unit, family.cost_at_best)})" if family.cost_at_best is not None else ""
    return f"{share(family.cost_at_best, best_cost)}{whole}<small>{inside}</small>"


def _singles(report: PoliciesReport) -> str:
    unit = report.setting.unit
    heads = ["model", "quality", f"cost, {unit_label(unit)}", "differs from the best", "AUROC of signal", "calibration error"]
    rows = []
    for single in report.singles:
        cells = [
            escape(single.model),
            _with_interval(single.quality, single.quality_interval, ".4f"),
            amount(unit, single.cost),
            f"{single.disagreement:.1%}",
            number(single.auroc, ".3f"),
            number(single.calibration_error, ".3f"),
        ]
        rows.append((cells, single is report.best_single))
    compared = f'<p class="soft">Differing is about {escape(report.compared)}; the reference is '
    return f"{_table(heads, rows)}{compared}{escape(report.setting.models[report.reference])}.</p>"


def _promises(report: PoliciesReport) -> str:
    unit = report.setting.unit
    heads = ["at most", "confidence", "realised", "kept", "coverage", "quality", f"cost, {unit_label(unit)}", "certified"]
    rows = []
    for promise in report.promises:
        cells = [
            f"{promise.max_disagreement:.1%}",
            f"{promise.confidence:.0%}",
            number(promise.disagreement, ".2%"),
            "-" if promise.kept is None else "yes" if promise.kept else "no",
            number(promise.coverage, ".1%"),
            number(promise.quality, ".4f"),
            amount(unit, promise.cost),
            f"{promise.certified} of {promise.folds} folds" if promise.reason is None else escape(promise.reason),
        ]
        rows.append((cells, False))
    explained = (
        f"Realised: by how much grades were worse than those of {report.setting.models[report.reference]}. Coverage: share of "
        "queries answered without asking it."
    )
    return f'{_table(heads, rows)}<p class="soft">{escape(explained)}</p>'


def _calls(report: PoliciesReport, colours: dict[str, str]) -> str:
    rows = [
        ([f"{_swatch(colours[family.name])}{escape(family.name)}", *map(_heat(1.0, ".2f"), family.chosen.calls)], False)
        for family in report.families
    ]
    return _table(["policy", *map(escape, report.setting.models)], rows)


def _mpi(report: PoliciesReport) -> str:
    names = [escape(name) for name in report.setting.models]
    heat = _heat(max(float(report.mpi.max()), 1e-9), ".3f")
    rows = [([name, *(heat(float(value)) for value in line)], False) for name, line in zip(names, report.mpi, strict=True)]
    return _table(["", *names], rows)


def _heat(most: float, form: str) -> Callable[[float], str]:
    """Makes a cell that is the darker the higher its value."""

    def cell(value: float) -> str:
        depth = min(1.0, max(0.0, value / most)) * 0.6
        return f'<td class="heat" style="background: rgba(var(--heat), {depth:.2f})">{value:{form}}</td>'

    return cell


def _table(heads: Sequence[str], rows: Sequence[tuple[Sequence[str], bool]]) -> str:
    """A table of cells that are HTML already; those that bring no `<td>` get one."""
    head = "".join(f'<th class="turned" title="{name}">{name}</th>' for name in heads)
    body = []
    for cells, best in rows:
        line = "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in cells)
        body.append(f'<tr class="best">{line}</tr>' if best else f"<tr>{line}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _with_interval(value: float | None, interval: Interval, form: str) -> str:
    return "-" if value is None else f"{value:{form}}<small>{span(interval, form)}</small>"


def _swatch(colour: str) -> str:
    return f'<span class="swatch" style="background: {colour}"></span>'


def _notes(notes: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>' if notes else ""


def _legend() -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in EXPLAINED.items())}</dl>"


def _left_out(skipped: Sequence[tuple[str, str]]) -> str:
    if not skipped:
        return ""
    lines = "".join(f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in skipped)
    return f"<section><h2>Not evaluated</h2><ul>{lines}</ul></section>"
