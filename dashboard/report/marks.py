"""Bars, lines, markers, error bars and guides of a figure as pieces of SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard import theme, words
from dashboard.report.axes import Frame

_DASHES = {"dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}


def traces_drawn(traces: Sequence[Any], frame: Frame) -> list[str]:
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


def _bars(trace: Any, base: NDArray[np.float64], top: NDArray[np.float64], frame: Frame) -> str:
    steps = []
    for centre, low, high in zip(trace.x, base, top, strict=True):
        if high > low:
            left, right = frame.across(centre - trace.width / 2), frame.across(centre + trace.width / 2)
            steps.append(f"M{left} {frame.down(low)}V{frame.down(high)}H{right}V{frame.down(low)}z")
    return f'<path d="{"".join(steps)}" fill="{coloured(trace.marker.color)}" shape-rendering="crispEdges"/>'


def _scatter(trace: Any, frame: Frame) -> list[str]:
    points = [(frame.across(x), frame.down(y)) for x, y in zip(trace.x, trace.y, strict=True)]
    pieces = []
    if trace.error_y.array is not None:
        for (x, _), y, up, down in zip(points, trace.y, trace.error_y.array, trace.error_y.arrayminus, strict=True):
            ends = f"M{x} {frame.down(y - down)}V{frame.down(y + up)}"
            pieces.append(f'<path d="{ends}" fill="none" {stroke(trace.line)}/>')
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
            pieces.append(f'<path d="{area}" fill="{coloured(trace.fillcolor)}"/>')
        fill = coloured(trace.fillcolor) if trace.fill == "toself" else "none"
        pieces.append(f'<path d="{line}" fill="{fill}" {stroke(trace.line)}/>')
    if "markers" in (trace.mode or ""):
        pieces += _markers(trace.marker, points)
    return pieces


def _markers(marker: Any, points: Sequence[tuple[float, float]]) -> list[str]:
    one = not isinstance(marker.color, (list, tuple, np.ndarray))
    colours = [marker.color] * len(points) if one else marker.color
    radius, opacity = (marker.size or 6) / 2, 1.0 if marker.opacity is None else marker.opacity
    bar = str(marker.symbol or "").startswith("line-ns")
    return [
        f'<path d="M{x} {y - radius}v{2 * radius}" stroke="{coloured(colour)}" stroke-width="2"/>'
        if bar
        else f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{coloured(colour)}" fill-opacity="{opacity}"/>'
        for (x, y), colour in zip(points, colours, strict=True)
    ]


def shapes_drawn(shapes: Sequence[Any], frame: Frame, *, below: bool) -> list[str]:
    pieces = []
    for shape in shapes:
        if (shape.layer == "below") != below:
            continue
        whole = "domain" in (shape.yref or "")
        x0, x1 = frame.across(shape.x0), frame.across(shape.x1)
        y0, y1 = (frame.top + frame.height, frame.top) if whole else (frame.down(shape.y0), frame.down(shape.y1))
        if shape.type == "line":
            pieces.append(f'<path d="M{x0} {y0}L{x1} {y1}" {stroke(shape.line)}/>')
        else:
            area = f'x="{min(x0, x1)}" y="{min(y0, y1)}" width="{abs(x1 - x0):.1f}" height="{abs(y1 - y0):.1f}"'
            pieces.append(f'<rect {area} fill="{coloured(shape.fillcolor)}" fill-opacity="{shape.opacity or 1}"/>')
    return pieces


def stroke(line: Any) -> str:
    dashes = f' stroke-dasharray="{_DASHES[line.dash]}"' if line.dash in _DASHES else ""
    width = 2 if line.width is None else line.width
    return f'stroke="{coloured(line.color)}" stroke-width="{width}"{dashes} stroke-linejoin="round"'


def coloured(colour: str | None) -> str:
    return words.escape(str(colour or theme.NEUTRAL))
