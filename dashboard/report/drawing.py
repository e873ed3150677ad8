"""The charts' figures as inline SVG: a few kilobytes each, sharp in print, in the reader's own text colour.

Plotly itself would need a browser to draw, or 4.5 MB of script in every file. What is drawn here is what the charts of
this program are made of: stacked bars, lines, filled outlines, markers, error bars, guides and notes on linear or
category axes.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard import theme, words
from dashboard.charts.chart import Chart

WIDTH = 980
_TEXT = 12
#: Average width of a character of ``_TEXT`` pixels.
_CHARACTER = 6.5
_LINE = 15
_DASHES = {"dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}
_TAGS = re.compile(r"</?b>|<br>")


def drawn(chart: Chart, width: int = WIDTH) -> str:
    """``chart.figure`` as an ``<svg>`` element with ``chart.alt`` as its name.

    Raises ``ValueError`` for a kind of trace that no chart had when this was written.
    """
    figure = chart.figure
    layout = figure.layout
    height = int(layout.height or 320)
    traces = list(figure.data)
    if other := {trace.type for trace in traces} - {"bar", "scatter", "scattergl"}:
        raise ValueError(f"{', '.join(sorted(other))}: no such trace is drawn without a browser")
    x = _axis(layout.xaxis, [value for trace in traces for value in _spread(trace, "x")])
    y = _axis(layout.yaxis, [value for trace in traces for value in _spread(trace, "y")] + _heights(traces))
    legend = _legend(traces) if layout.showlegend else ""
    frame = _frame(x, y, width, height, top=26 if legend else 10, x_above=layout.xaxis.side == "top")
    inside = "".join([*_shapes(layout.shapes, frame, below=True), *_traces(traces, frame)])
    inside += "".join(_shapes(layout.shapes, frame, below=False))
    notes = "".join(_note(note, frame) for note in layout.annotations)
    plot = (
        f'<svg x="{frame.left}" y="{frame.top}" width="{frame.width}" height="{frame.height}" '
        f'viewBox="{frame.left} {frame.top} {frame.width} {frame.height}">{inside}</svg>'
    )
    return (
        f'<svg class="figure" viewBox="0 0 {width} {height}" role="img" aria-label="{words.escape(chart.alt)}" '
        f'font-size="{_TEXT}" fill="currentColor">{legend}{_ticks(frame)}{plot}{notes}</svg>'
    )


@dataclass(frozen=True)
class _Axis:
    """Data from ``low`` to ``high``, marked at ``ticks``; ``places`` are the positions of categories."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    title: str
    places: dict[Any, int] | None = None

    def number(self, value: Any) -> float:
        if self.places is not None:
            return float(self.places[value])
        return math.nan if value is None else float(value)


@dataclass(frozen=True)
class _Frame:
    x: _Axis
    y: _Axis
    left: float
    top: float
    width: float
    height: float
    x_above: bool

    def across(self, value: Any) -> float:
        share = (self.x.number(value) - self.x.low) / (self.x.high - self.x.low)
        return round(self.left + share * self.width, 1)

    def down(self, value: Any) -> float:
        share = (self.y.number(value) - self.y.low) / (self.y.high - self.y.low)
        return round(self.top + (1 - share) * self.height, 1)


def _axis(axis: Any, values: list[Any]) -> _Axis:
    title = axis.title.text or ""
    if any(isinstance(value, str) for value in values):
        names = list(dict.fromkeys(values))
        places = {name: place for place, name in enumerate(names)}
        return _Axis(-0.5, len(names) - 0.5, [(at, name) for name, at in places.items()], title, places)
    numbers = np.array([value for value in values if value is not None], dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
    if axis.range is not None:
        low, high = (float(end) for end in axis.range)
    else:
        margin = 0.04 * (high - low) or 0.5
        low, high = low - margin if axis.rangemode != "tozero" else min(low, 0.0), high + margin
    if axis.showticklabels is False:
        return _Axis(low, high, [], title)
    if axis.tickvals is not None:
        return _Axis(low, high, list(zip(map(float, axis.tickvals), axis.ticktext, strict=True)), title)
    return _Axis(low, high, _even_ticks(low, high, axis.tickformat or ""), title)


def _even_ticks(low: float, high: float, form: str) -> list[tuple[float, str]]:
    """Ticks at steps of 1, 2 or 5 times a power of ten, about five of them."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.99)
    at = [step * n for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    write = (lambda value: f"{value:.0%}") if form.endswith("%") else (lambda value: words.number(value))
    return [(value, write(value)) for value in at]


def _spread(trace: Any, letter: str) -> list[Any]:
    """The positions that a trace takes on one axis, the ends of its bars and of its error bars included."""
    values = [] if trace[letter] is None else list(trace[letter])
    if trace.type == "bar":  # how tall they stand is `_heights`' business
        half = trace.width / 2
        return [] if letter == "y" else [end for value in values for end in (value - half, value + half)]
    if letter == "y" and trace.error_y.array is not None:
        up, down = np.asarray(trace.error_y.array, float), np.asarray(trace.error_y.arrayminus, float)
        centre = np.asarray(values, float)
        values += [*(centre + up), *(centre - down)]
    return [*values, 0.0] if letter == "y" and trace.fill == "tozeroy" else values


def _heights(traces: Sequence[Any]) -> list[float]:
    bars = [np.asarray(trace.y, float) for trace in traces if trace.type == "bar"]
    return [0.0, float(np.sum(bars, axis=0).max())] if bars else []


def _frame(x: _Axis, y: _Axis, width: int, height: int, top: float, x_above: bool) -> _Frame:
    widest = max((len(_plain(text)) for _, text in y.ticks), default=0)
    left = 14 + 7 * widest + (18 if y.title else 0)
    lines = max((text.count("<br>") + 1 for _, text in x.ticks), default=0)
    room = 8 + _LINE * lines + (18 if x.title else 0)
    if x_above:
        return _Frame(x, y, left, top + room, width - left - 14, height - top - room - 10, True)
    return _Frame(x, y, left, top, width - left - 14, height - top - room, False)


def _plain(text: str) -> str:
    return html.unescape(_TAGS.sub("", text))


def _written(text: str, x: float, y: float, anchor: str, more: str = "") -> str:
    """``text`` in Plotly's own markup (``<b>``, ``<br>`` and entities) as SVG text; anything else in it is shown."""
    lines = []
    for place, line in enumerate(str(text).split("<br>")):
        weight = ' font-weight="600"' if "<b>" in line else ""
        lines.append(f'<tspan x="{x}" dy="{_LINE if place else 0}"{weight}>{words.escape(_plain(line))}</tspan>')
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{more}>{"".join(lines)}</text>'


def _ticks(frame: _Frame) -> str:
    pieces, quiet = [], ' fill-opacity=".75"'
    rule = '<path d="M{} {}H{}" stroke="currentColor" stroke-opacity=".12"/>'
    edge = frame.left + frame.width
    for value, text in frame.y.ticks:
        if frame.y.low <= value <= frame.y.high:
            at = frame.down(value) if frame.y.places is None else frame.down(text)
            pieces.append(rule.format(frame.left, at, edge))
            pieces.append(_written(text, frame.left - 6, at + 4, "end", quiet))
    below = frame.top - _LINE + 7 if frame.x_above else frame.top + frame.height + _LINE + 2
    for value, text in frame.x.ticks:
        if frame.x.low <= value <= frame.x.high:
            at = frame.across(value) if frame.x.places is None else frame.across(text)
            pieces.append(_written(text, at, below, "middle", quiet))
    middle = frame.left + frame.width / 2
    if frame.x.title:
        lines = max((text.count("<br>") + 1 for _, text in frame.x.ticks), default=0)
        place = frame.top + frame.height + 14 + _LINE * lines + 4
        pieces.append(_written(frame.x.title, middle, place, "middle"))
    if frame.y.title:
        across, down = 12, frame.top + frame.height / 2
        pieces.append(_written(frame.y.title, across, down, "middle", f' transform="rotate(-90 {across} {down})"'))
    return "".join(pieces)


def _legend(traces: Sequence[Any]) -> str:
    pieces, x = [], 10.0
    for trace in traces:
        if not trace.name or trace.showlegend is False:
            continue
        colour = trace.marker.color if trace.type == "bar" else trace.line.color
        if trace.type == "bar":
            pieces.append(f'<rect x="{x}" y="4" width="11" height="11" fill="{_colour(colour)}"/>')
        else:
            pieces.append(f'<path d="M{x} 10h20" {_stroke(trace.line)}/>')
            x += 9
        text = words.shortened(_plain(str(trace.name)), 40)
        pieces.append(f'<text x="{x + 16}" y="14">{words.escape(text)}</text>')
        x = round(x + 34 + _CHARACTER * len(text), 1)
    return "".join(pieces)


def _traces(traces: Sequence[Any], frame: _Frame) -> list[str]:
    pieces: list[str] = []
    base: NDArray[np.float64] | None = None
    for trace in traces:
        if trace.type == "bar":
            base = np.zeros(len(trace.y)) if base is None else base
            top = base + np.asarray(trace.y, float)
            pieces.append(_bars(trace, base, top, frame))
            base = top
        else:
            pieces += _scatter(trace, frame)
    return pieces


def _bars(trace: Any, base: NDArray[np.float64], top: NDArray[np.float64], frame: _Frame) -> str:
    steps = []
    for centre, low, high in zip(trace.x, base, top, strict=True):
        if high > low:
            left, right = frame.across(centre - trace.width / 2), frame.across(centre + trace.width / 2)
            steps.append(f"M{left} {frame.down(low)}V{frame.down(high)}H{right}V{frame.down(low)}z")
    return f'<path d="{"".join(steps)}" fill="{_colour(trace.marker.color)}" shape-rendering="crispEdges"/>'


def _scatter(trace: Any, frame: _Frame) -> list[str]:
    points = [(frame.across(x), frame.down(y)) for x, y in zip(trace.x, trace.y, strict=True)]
    pieces = []
    if trace.error_y.array is not None:
        for (x, _), y, up, down in zip(points, trace.y, trace.error_y.array, trace.error_y.arrayminus, strict=True):
            ends = f"M{x} {frame.down(y - down)}V{frame.down(y + up)}"
            pieces.append(f'<path d="{ends}" fill="none" {_stroke(trace.line)}/>')
    if "lines" in (trace.mode or ""):
        path, pen = [], "M"
        for x, y in points:
            if math.isnan(x) or math.isnan(y):
                pen = "M"
            else:
                path.append(f"{pen}{x} {y}")
                pen = "L"
        line = "".join(path)
        if trace.fill == "tozeroy":
            zero = frame.down(0)
            area = f"{line}V{zero}H{points[0][0]}z"
            pieces.append(f'<path d="{area}" fill="{_colour(trace.fillcolor)}"/>')
        fill = _colour(trace.fillcolor) if trace.fill == "toself" else "none"
        pieces.append(f'<path d="{line}" fill="{fill}" {_stroke(trace.line)}/>')
    if "markers" in (trace.mode or ""):
        pieces += _markers(trace.marker, points)
    return pieces


def _markers(marker: Any, points: Sequence[tuple[float, float]]) -> list[str]:
    one = not isinstance(marker.color, (list, tuple, np.ndarray))
    colours = [marker.color] * len(points) if one else marker.color
    radius, opacity = (marker.size or 6) / 2, 1.0 if marker.opacity is None else marker.opacity
    bar = str(marker.symbol or "").startswith("line-ns")
    return [
        f'<path d="M{x} {y - radius}v{2 * radius}" stroke="{_colour(colour)}" stroke-width="2"/>'
        if bar
        else f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{_colour(colour)}" fill-opacity="{opacity}"/>'
        for (x, y), colour in zip(points, colours, strict=True)
    ]


def _shapes(shapes: Sequence[Any], frame: _Frame, *, below: bool) -> list[str]:
    pieces = []
    for shape in shapes:
        if (shape.layer == "below") != below:
            continue
        whole = "domain" in (shape.yref or "")
        x0, x1 = frame.across(shape.x0), frame.across(shape.x1)
        y0, y1 = (frame.top + frame.height, frame.top) if whole else (frame.down(shape.y0), frame.down(shape.y1))
        if shape.type == "line":
            pieces.append(f'<path d="M{x0} {y0}L{x1} {y1}" {_stroke(shape.line)}/>')
        else:
            area = f'x="{min(x0, x1)}" y="{min(y0, y1)}" width="{abs(x1 - x0):.1f}" height="{abs(y1 - y0):.1f}"'
            pieces.append(f'<rect {area} fill="{_colour(shape.fillcolor)}" fill-opacity="{shape.opacity or 1}"/>')
    return pieces


def _note(note: Any, frame: _Frame) -> str:
    x, y = frame.across(note.x), frame.down(note.y)
    arrow = ""
    if note.showarrow is not False:
        ends = (x + (note.ax or 0), y + (note.ay or 0))
        arrow = f'<path d="M{x} {y}L{ends[0]} {ends[1]}" stroke="{theme.NEUTRAL}"/>'
        x, y = ends
    anchor = {"left": "start", "right": "end"}.get(note.xanchor or "", "middle")
    return arrow + _written(str(note.text), x + (note.xshift or 0), y + 4, anchor, ' fill-opacity=".8"')


def _stroke(line: Any) -> str:
    dashes = f' stroke-dasharray="{_DASHES[line.dash]}"' if line.dash in _DASHES else ""
    width = 2 if line.width is None else line.width
    return f'stroke="{_colour(line.color)}" stroke-width="{width}"{dashes} stroke-linejoin="round"'


def _colour(colour: str | None) -> str:
    return words.escape(str(colour or theme.NEUTRAL))
