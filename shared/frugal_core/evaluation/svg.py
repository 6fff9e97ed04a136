"""Plots as SVG text, with nothing but this file: lines and points over two axes, and values with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c564b", "#7f7f7f")
"""Colours that most people can tell apart (Okabe & Ito 2008), and some more."""

_WIDTH, _HEIGHT = 760.0, 420.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 16.0, 16.0, 48.0
_WIDE = 20.0
_BAR = 26.0


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: Shown where the pointer rests.
        points: (x, y), by rising x.
        colour: Of the stroke.
        dashed: Whether it is.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Mark:
    """A named point."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Bar:
    """A value with its interval; an end that is `None` is not drawn."""

    name: str
    value: float
    low: float | None
    high: float | None
    colour: str


def line_plot(lines: Sequence[Line], marks: Sequence[Mark], x_label: str, y_label: str) -> str:
    """Curves and named points over two axes; the horizontal one is logarithmic where values lie far apart.

    Args:
        lines: The curves.
        marks: The points; at least one point or curve is needed.
        x_label: Of the horizontal axis.
        y_label: Of the vertical axis.

    Returns:
        One `<svg>` element.
    """
    xs = [x for line in lines for x, _ in line.points] + [mark.x for mark in marks]
    ys = [y for line in lines for _, y in line.points] + [mark.y for mark in marks]
    across = _Axis.over(xs, _LEFT, _WIDTH - _RIGHT, logarithmic=min(xs) > 0 and max(xs) > _WIDE * min(xs))
    up = _Axis.over(ys, _HEIGHT - _BOTTOM, _TOP, logarithmic=False)
    parts = [_grid(across, up), _labels(x_label, y_label)]
    for line in lines:
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line.points)
        dash = ' stroke-dasharray="6 5"' if line.dashed else ""
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}>'
            f"<title>{escape(line.name)}</title></polyline>"
        )
        for x, y in line.points if not line.dashed else ():
            shown = f"{escape(line.name)}: {y:.4f} at {x:.4g}"
            parts.append(
                f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.6" fill="{line.colour}"><title>{shown}</title></circle>'
            )
    parts += [_mark(mark, across(mark.x), up(mark.y)) for mark in marks]
    return _svg(_HEIGHT, parts, f"{y_label} over {x_label}")


def bar_plot(bars: Sequence[Bar], label: str) -> str:
    """Values below each other, each with its interval.

    Args:
        bars: At least one.
        label: Of the axis.

    Returns:
        One `<svg>` element.
    """
    left, height = 190.0, _TOP + _BAR * len(bars) + _BOTTOM
    values = [value for bar in bars for value in (bar.value, bar.low, bar.high) if value is not None]
    across = _Axis.over(values, left, _WIDTH - _RIGHT, logarithmic=False)
    parts = []
    for value, text in across.ticks():
        x = f"{across(value):.1f}"
        parts.append(f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{height - _BOTTOM:.1f}"/>')
        parts.append(f'<text x="{x}" y="{height - _BOTTOM + 18:.1f}" text-anchor="middle">{text}</text>')
    for place, bar in enumerate(bars):
        y = _TOP + _BAR * (place + 0.5)
        low, high = (across(bar.value if end is None else end) for end in (bar.low, bar.high))
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(_short(bar.name))}</text>')
        parts.append(
            f'<line x1="{low:.1f}" y1="{y:.1f}" x2="{high:.1f}" y2="{y:.1f}" stroke="{bar.colour}" stroke-width="3" '
            'stroke-linecap="round" opacity="0.45"/>'
        )
        parts.append(
            f'<circle cx="{across(bar.value):.1f}" cy="{y:.1f}" r="5" fill="{bar.colour}">'
            f"<title>{escape(bar.name)}: {bar.value:.4f}</title></circle>"
        )
    parts.append(f'<text x="{(left + _WIDTH) / 2:.1f}" y="{height - 8:.1f}" text-anchor="middle">{escape(label)}</text>')
    return _svg(height, parts, label)


@dataclass(frozen=True)
class _Axis:
    """From values to places on the page."""

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool

    @classmethod
    def over(cls, values: Sequence[float], start: float, stop: float, *, logarithmic: bool) -> _Axis:
        """An axis on which these values have some room."""
        low, high = (math.log10(end) if logarithmic else end for end in (min(values), max(values)))
        room = (high - low) * 0.05 or abs(high) * 0.1 or 0.5
        return cls(low - room, high + room, start, stop, logarithmic)

    def __call__(self, value: float) -> float:
        x = math.log10(value) if self.logarithmic else value
        return self.start + (x - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values, and how they are written."""
        if self.logarithmic:
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            steps = (1, 2, 5) if self.high - self.low < 3 else (1,)
            values = [step * 10.0**power for power in powers for step in steps]
            return [(value, f"{value:g}") for value in values if self.low <= math.log10(value) <= self.high]
        width = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(width))
        step = next(round_ * power for round_ in (1, 2, 5, 10) if round_ * power >= width)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [(place * step, f"{place * step:.6g}") for place in range(first, last + 1)]


def _grid(across: _Axis, up: _Axis) -> str:
    lines = []
    for value, text in across.ticks():
        x = f"{across(value):.1f}"
        lines.append(f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{_HEIGHT - _BOTTOM}"/>')
        lines.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{text}</text>')
    for value, text in up.ticks():
        y = up(value)
        lines.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    return "".join(lines)


def _labels(x_label: str, y_label: str) -> str:
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    return (
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(y_label)}</text>'
    )


def _mark(mark: Mark, x: float, y: float) -> str:
    """A point, its name on the side where there is room."""
    left = x > 0.75 * _WIDTH
    return (
        f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(mark.name)}: {mark.y:.4f} at {mark.x:.4g}</title>'
        f'</circle><text class="name" x="{x + (-7 if left else 7):.1f}" y="{y + 14:.1f}" '
        f'text-anchor="{"end" if left else "start"}">{escape(_short(mark.name))}</text>'
    )


def _short(name: str) -> str:
    return name if len(name) <= 28 else name[:27] + "…"


def _svg(height: float, parts: Sequence[str], title: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{escape(title)}">' + "".join(parts) + "</svg>"
