"""Line charts and bars as one SVG, on logarithmic scales; its style sheet follows the reader's light or dark mode.

Knows nothing of what is measured. Every value must be above zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 460, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 16, 40, 84
_BAR = 13

_STYLE = """
svg { font: 12px system-ui, sans-serif; --ground: #ffffff; --ink: #1f2328; --soft: #656d76; --rule: #d8dee4;
  --c0: #0969da; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; }
@media (prefers-color-scheme: dark) { svg { --ground: #0d1117; --ink: #e6edf3; --soft: #9198a1; --rule: #30363d;
  --c0: #58a6ff; --c1: #f0883e; --c2: #56d364; --c3: #bc8cff; } }
.ground { fill: var(--ground); } text { fill: var(--ink); } .soft { fill: var(--soft); font-size: 11px; }
.title { font-weight: 600; font-size: 13px; } .rule { stroke: var(--rule); } path { fill: none; stroke-width: 2; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
path { stroke: var(--c); } circle, .bar { fill: var(--c); } .other { stroke-dasharray: 5 4; } .faint { opacity: 0.4; }
"""


@dataclass(frozen=True, slots=True)
class Line:
    """Values by x. Lines of one `color` (0 to 3) belong together; a dashed one is the one to compare with."""

    label: str
    color: int
    values: Mapping[int, float]
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A line chart."""

    title: str
    unit: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars: for each label a value of each series."""

    title: str
    unit: str
    series: Sequence[str]
    values: Mapping[str, Sequence[float | None]]


def svg(panels: Sequence[Chart | Bars], *, title: str) -> str:
    """Return a document with the panels two side by side."""
    rows = math.ceil(len(panels) / 2)
    width, height = 2 * _WIDTH, rows * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="ground" width="{width}" height="{height}"/>',
    ]
    for place, panel in enumerate(panels):
        drawn = _chart(panel) if isinstance(panel, Chart) else _bars(panel)
        parts += [f'<g transform="translate({place % 2 * _WIDTH} {place // 2 * _HEIGHT})">', *drawn, "</g>"]
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Scale:
    """A logarithmic scale from whole powers of ten to pixels."""

    low: int
    high: int
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _scale(values: Sequence[float], start: float, end: float) -> _Scale:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return _Scale(low, max(high, low + 1), start, end)


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _chart(chart: Chart) -> list[str]:
    bottom = _HEIGHT - _BOTTOM
    costs = [value for line in chart.lines for value in line.values.values()]
    xs = sorted({x for line in chart.lines for x in line.values})
    out = [_text(16, 20, chart.title, kind="title"), _text(16, 34, chart.unit, kind="soft")]
    if not costs:
        return [*out, _text(_LEFT, bottom, "not measured", kind="soft")]
    y = _scale(costs, bottom, _TOP + 8)
    log_low, log_high = math.log10(xs[0]), math.log10(xs[-1])

    def across(value: int) -> float:
        share = (math.log10(value) - log_low) / ((log_high - log_low) or 1)
        return round(_LEFT + 10 + share * (_WIDTH - _LEFT - _RIGHT - 20), 1)

    for tick in y.ticks():
        out.append(f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y.at(tick)}" y2="{y.at(tick)}"/>')
        out.append(_text(_LEFT - 8, y.at(tick) + 4, f"{tick:,.10g}", kind="soft", anchor="end"))
    out += [_text(across(x), bottom + 18, f"{x:,}", kind="soft", anchor="middle") for x in xs]
    for place, line in enumerate(chart.lines):
        dots = [(across(x), y.at(value)) for x, value in sorted(line.values.items())]
        style = f"c{line.color}{' other' if line.is_dashed else ''}"
        path = " L".join(f"{left} {top}" for left, top in dots)
        if dots:
            out.append(f'<path class="{style}" d="M{path}"/>')
        out += [f'<circle class="c{line.color}" cx="{left}" cy="{top}" r="3"/>' for left, top in dots]
        left, top = 16 + place % 2 * 216, bottom + 38 + place // 2 * 16
        out.append(f'<path class="{style}" d="M{left} {top - 4} h22"/>')
        out.append(_text(left + 28, top, line.label, kind="soft"))
    return out


def _bars(bars: Bars) -> list[str]:
    out = [_text(16, 20, bars.title, kind="title"), _text(16, 34, bars.unit, kind="soft")]
    known = [value for values in bars.values.values() for value in values if value is not None]
    if not known:
        return [*out, _text(_LEFT, _TOP + 20, "not measured", kind="soft")]
    start = 150
    x = _scale(known, start, _WIDTH - _RIGHT - 54)
    top = _TOP + 6
    for label, values in bars.values.items():
        out.append(_text(start - 8, top + 15, label, kind="soft", anchor="end"))
        for place, value in enumerate(values):
            if value is None:
                continue
            length, faint = max(2.0, x.at(value) - start), " faint" if place else ""
            at = top + place * _BAR
            out.append(
                f'<rect class="bar c0{faint}" x="{start}" y="{at}" width="{length:.1f}" height="{_BAR - 2}" rx="2"/>'
            )
            out.append(_text(start + length + 5, at + 10, f"{value:,.0f}", kind="soft"))
        top += 2 * _BAR + 5
    for place, series in enumerate(bars.series):
        left, faint = 16 + place * 216, " faint" if place else ""
        out.append(f'<rect class="bar c0{faint}" x="{left}" y="{_HEIGHT - 18}" width="22" height="10" rx="2"/>')
        out.append(_text(left + 28, _HEIGHT - 9, series, kind="soft"))
    return out
