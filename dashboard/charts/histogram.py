"""The long tail: how the scores are spread, on a log axis, stacked by class; binned here, not in the
browser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard import theme, words
from dashboard.charts.chart import Chart, base, log_scores, log_ticks

#: More classes than this cannot be told apart in a stack: their bars are drawn as one.
MOST_STACKED = 12
PERCENTILES = (50, 95, 99)
#: Bins of a large run; fewer samples get fewer.
MOST_BINS = 72


def histogram(
    scores: NDArray[np.floating],
    codes: NDArray[np.integer],
    classes: Sequence[str],
    colours: dict[str, str],
    *,
    selected: tuple[float, float] | None = None,
    noun: str = "samples",
    height: int = 330,
) -> Chart:
    """Counts of ``scores (N,)`` in bins of equal width in log10, by class.

    Parameters
    ----------
    codes
        ``(N,)`` position of each sample's class in ``classes``.
    selected
        Range of scores to shade (an end may be infinite).

    Scores of exactly zero, and those too small to matter, are counted in the first bin, which says so. The x
    axis is in log10 of the score: turn a box that a reader drew into scores with :func:`selected_range`.
    """
    figure = base(height)
    if not len(scores):
        return Chart(figure, pd.DataFrame({"from": [], "to": [], "count": []}), f"No {noun} to show.")
    logs, floored = log_scores(scores)
    bins = int(np.clip(2 * len(scores) ** 0.5, 12, MOST_BINS))
    edges = np.linspace(*_limits(logs), bins + 1)
    stacked = len(classes) <= MOST_STACKED
    names = list(classes) if stacked else ["all classes"]
    rows = np.asarray(codes, dtype=np.intp) if stacked else np.zeros(len(codes), dtype=np.intp)
    counts = _counted(rows, len(names), logs, edges)

    centres, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    spans = [f"{words.number(10**low)} to {words.number(10**high)}" for low, high in pairwise(edges)]
    if floored:
        spans[0] = f"{words.number(10 ** edges[1])} or less, {words.count(floored)} of them zero"
    for name, row in zip(names, counts, strict=True):
        if row.any():
            figure.add_bar(
                x=centres,
                y=row,
                width=width,
                name=words.escape(name),
                customdata=spans,
                marker={"color": colours.get(name, theme.NEUTRAL), "line": {"width": 0}},
                hovertemplate="%{fullData.name}: %{y:,} " + noun + "<br>LSI %{customdata}<extra></extra>",
                unselected={"marker": {"opacity": 0.35}},
            )
    tallest = int(counts.sum(axis=0).max())
    _mark_percentiles(figure, scores, tallest, edges)
    positions, texts = log_ticks(edges[0], edges[-1])
    figure.update_layout(dragmode="select", selectdirection="h", showlegend=stacked and len(names) > 1)
    figure.update_xaxes(
        tickvals=positions,
        ticktext=texts,
        range=[edges[0] - width, edges[-1] + 4 * width],
        fixedrange=True,
        ticks="outside",
    )
    figure.update_yaxes(showticklabels=False, range=[0, tallest * 1.22], fixedrange=True)

    table = pd.DataFrame({"LSI from": 10 ** edges[:-1], "LSI to": 10 ** edges[1:], "count": counts.sum(axis=0)})
    if floored:
        table.loc[0, "LSI from"] = 0.0
    if stacked:
        table = table.assign(**dict(zip(names, counts, strict=True)))
    return shaded(Chart(figure, table, _sentence(scores, noun)), selected)


def shaded(chart: Chart, selected: tuple[float, float] | None) -> Chart:
    """``chart`` (a histogram) with a range of scores shaded, an end of which may be infinite; itself without one."""
    if selected is None or not chart.figure.data:
        return chart
    figure = go.Figure(chart.figure)
    bars, span = chart.figure.data[0], chart.figure.layout.xaxis.range
    first, last = span[0] + bars.width, span[1] - 4 * bars.width
    low, high = (
        min(max(math.log10(end) if end > 0 else first, first), last) if math.isfinite(end) else last for end in selected
    )
    # `add_vrect` and `add_vline` would look at every axis first, 40 ms each.
    across = {"xref": "x", "yref": "y domain", "y0": 0, "y1": 1}
    figure.add_shape(
        type="rect", x0=low, x1=high, fillcolor=theme.ACCENT, opacity=0.14, layer="below", line={"width": 0}, **across
    )
    for end in (low, high):
        figure.add_shape(type="line", x0=end, x1=end, line={"color": theme.ACCENT, "width": 2}, **across)
    return Chart(figure, chart.table, chart.alt)


def selected_range(box: dict[str, list[float]], scores: NDArray[np.floating]) -> tuple[float, float]:
    """The range of scores that a box drawn over the histogram means; past either end of the data it is
    open."""
    if not np.any(scores):
        return 0.0, math.inf
    logs, _ = log_scores(scores)
    low, high = sorted(float(x) for x in box["x"][:2])
    # What is drawn at the lowest position may be zero, which has no logarithm: the range begins at zero there.
    return (
        0.0 if low <= logs.min() else _short(10.0**low),
        math.inf if high >= logs.max() else _short(10.0**high),
    )


def _short(value: float) -> float:
    """Four significant digits: finer than a hand drags, and short in a link."""
    return float(f"{value:.3e}")


def _counted(
    rows: NDArray[np.intp], count: int, logs: NDArray[np.float64], edges: NDArray[np.float64]
) -> NDArray[np.intp]:
    """``(count, bins)``: how many of ``logs (N,)`` of each row lie between the evenly spaced ``edges``.

    Bins of equal width need no search: a million samples take a fifth of the time of ``np.histogram2d``.
    """
    bins = len(edges) - 1
    place = ((logs - edges[0]) * (bins / (edges[-1] - edges[0]))).astype(np.intp)
    np.minimum(place, bins - 1, out=place)  # the largest lies on the last edge
    place += rows * bins
    return np.bincount(place, minlength=count * bins).reshape(count, bins)


def _limits(logs: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(logs.min()), float(logs.max())
    return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)


def _mark_percentiles(
    figure: go.Figure, scores: NDArray[np.floating], tallest: int, edges: NDArray[np.float64]
) -> None:
    values = np.percentile(scores, PERCENTILES)
    for position, (percent, value) in enumerate(zip(PERCENTILES, values, strict=True)):
        if value <= 0:
            continue
        x, top = math.log10(value), tallest * (1.19 - 0.07 * position)
        line = {"color": theme.NEUTRAL, "width": 1, "dash": "dot"}
        figure.add_shape(type="line", x0=x, x1=x, y0=0, y1=top, line=line)
        text = f"p{percent} {words.number(value)}"
        at_the_end = x > edges[0] + 0.93 * (edges[-1] - edges[0])
        anchor, shift = ("right", -3) if at_the_end else ("left", 3)
        figure.add_annotation(x=x, y=top, text=text, showarrow=False, xanchor=anchor, xshift=shift)


def _sentence(scores: NDArray[np.floating], noun: str) -> str:
    middle, high = np.percentile(scores, [50, 99])
    return (
        f"Histogram of LSI on a log axis: {words.count(len(scores))} {noun}, median {words.number(middle)}, "
        f"99th percentile {words.number(high)}, largest {words.number(float(np.max(scores)))}."
    )
