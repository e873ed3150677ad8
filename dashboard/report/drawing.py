"""The charts' figures as inline SVG: a few kilobytes each, sharp in print, in the reader's own text colour.

Plotly itself would need a browser to draw, or 4.5 MB of script in every file. What is drawn here is what the charts of
this program are made of: stacked bars, lines, filled outlines, markers, error bars, guides and notes on linear or
category axes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from dashboard import theme, words
from dashboard.charts.chart import Chart
from dashboard.report.axes import Axis, Frame, axis_of, heights, spread
from dashboard.report.marks import coloured, shapes_drawn, stroke, traces_drawn

WIDTH = 980
_TEXT = 12
#: Average width of a character of ``_TEXT`` pixels.
_CHARACTER = 6.5
_LINE = 15
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
    x = axis_of(layout.xaxis, [value for trace in traces for value in spread(trace, "x")])
    y = axis_of(layout.yaxis, [value for trace in traces for value in spread(trace, "y")] + heights(traces))
    legend = _legend(traces) if layout.showlegend else ""
    frame = _frame(x, y, width, height, top=26 if legend else 10, x_above=layout.xaxis.side == "top")
    inside = "".join([*shapes_drawn(layout.shapes, frame, below=True), *traces_drawn(traces, frame)])
    inside += "".join(shapes_drawn(layout.shapes, frame, below=False))
    notes = "".join(_note(note, frame) for note in layout.annotations)
    plot = (
        f'<svg x="{frame.left}" y="{frame.top}" width="{frame.width}" height="{frame.height}" '
        f'viewBox="{frame.left} {frame.top} {frame.width} {frame.height}">{inside}</svg>'
    )
    return (
        f'<svg class="figure" viewBox="0 0 {width} {height}" role="img" aria-label="{words.escape(chart.alt)}" '
        f'font-size="{_TEXT}" fill="currentColor">{legend}{_ticks(frame)}{plot}{notes}</svg>'
    )


def _frame(x: Axis, y: Axis, width: int, height: int, top: float, x_above: bool) -> Frame:
    widest = max((len(_plain(text)) for _, text in y.ticks), default=0)
    left = 14 + 7 * widest + (18 if y.title else 0)
    lines = max((text.count("<br>") + 1 for _, text in x.ticks), default=0)
    room = 8 + _LINE * lines + (18 if x.title else 0)
    if x_above:
        return Frame(x, y, left, top + room, width - left - 14, height - top - room - 10, True)
    return Frame(x, y, left, top, width - left - 14, height - top - room, False)


def _plain(text: str) -> str:
    return html.unescape(_TAGS.sub("", text))


def _written(text: str, x: float, y: float, anchor: str, more: str = "") -> str:
    """``text`` in Plotly's own markup (``<b>``, ``<br>`` and entities) as SVG text; anything else in it is shown."""
    lines = []
    for place, line in enumerate(str(text).split("<br>")):
        weight = ' font-weight="600"' if "<b>" in line else ""
        lines.append(f'<tspan x="{x}" dy="{_LINE if place else 0}"{weight}>{words.escape(_plain(line))}</tspan>')
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{more}>{"".join(lines)}</text>'


def _ticks(frame: Frame) -> str:
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
            pieces.append(f'<rect x="{x}" y="4" width="11" height="11" fill="{coloured(colour)}"/>')
        else:
            pieces.append(f'<path d="M{x} 10h20" {stroke(trace.line)}/>')
            x += 9
        text = words.shortened(_plain(str(trace.name)), 40)
        pieces.append(f'<text x="{x + 16}" y="14">{words.escape(text)}</text>')
        x = round(x + 34 + _CHARACTER * len(text), 1)
    return "".join(pieces)


def _note(note: Any, frame: Frame) -> str:
    x, y = frame.across(note.x), frame.down(note.y)
    arrow = ""
    if note.showarrow is not False:
        ends = (x + (note.ax or 0), y + (note.ay or 0))
        arrow = f'<path d="M{x} {y}L{ends[0]} {ends[1]}" stroke="{theme.NEUTRAL}"/>'
        x, y = ends
    anchor = {"left": "start", "right": "end"}.get(note.xanchor or "", "middle")
    return arrow + _written(str(note.text), x + (note.xshift or 0), y + 4, anchor, ' fill-opacity=".8"')
