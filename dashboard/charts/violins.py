"""Scores by class: violins up to 12 classes, ridgelines up to 40, quantile dots beyond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from dashboard import theme, words
from dashboard.charts.chart import Chart, base, log_scores, log_ticks

MOST_VIOLINS = 12
MOST_RIDGES = 40
#: Classes with fewer samples are drawn as points: a density would pretend to know more.
FEWEST_FOR_DENSITY = 50
_GRID = 128


def by_class(
    scores: NDArray[np.floating],
    codes: NDArray[np.integer],
    classes: Sequence[str],
    colours: dict[str, str],
    summary: pd.DataFrame,
    *,
    noun: str = "samples",
    height: int = 380,
    compact: bool = False,
) -> Chart:
    """``scores (N,)`` of the classes in ``summary`` (see :func:`dashboard.charts.class_summary.class_summary`), in
    its order; ``codes (N,)`` are positions in ``classes``. ``compact`` leaves the medians out of the axis labels.
    """
    shown = len(summary)
    if shown == 0:
        return Chart(base(height), summary, f"No {noun} to show.")
    logs, _ = log_scores(scores)
    position = {name: at for at, name in enumerate(classes)}
    members = [logs[codes == position[name]] for name in summary["label"]] if shown <= MOST_RIDGES else []
    if shown <= MOST_VIOLINS:
        figure = _violins(members, summary, colours, height, compact)
        kind = "Violins"
    elif shown <= MOST_RIDGES:
        figure = _ridges(members, summary, colours)
        kind = "Ridgelines"
    else:
        figure = _dots(summary, colours)
        kind = "Quantile dots"
    lowest, highest = summary.iloc[0], summary.iloc[-1]
    alt = (
        f"{kind} of LSI for {shown} classes sorted by median: lowest {lowest['label']} "
        f"({words.number(lowest['median'])}), highest {highest['label']} ({words.number(highest['median'])})."
    )
    return Chart(figure, summary, alt)


def density(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gaussian kernel density of ``values (n,)`` on a grid from their minimum to their maximum, largest
    value 1.

    Binned, Silverman's rule; mass that would leave the span is reflected back, so the ends are where the
    data end.
    """
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9:
        return np.array([low, high]), np.ones(2)
    counts, edges = np.histogram(values, bins=_GRID, range=(low, high))
    spread = min(float(values.std()), float(np.subtract(*np.percentile(values, [75, 25]))) / 1.349 or np.inf)
    bandwidth = 0.9 * spread * len(values) ** -0.2
    sigma = max(bandwidth / (edges[1] - edges[0]), 1.0)
    smooth = gaussian_filter1d(counts.astype(float), sigma, mode="reflect")
    centres = np.concatenate([[low], (edges[:-1] + edges[1:]) / 2, [high]])
    smooth = np.concatenate([smooth[:1], smooth, smooth[-1:]])
    return centres, smooth / smooth.max()


def _violins(
    members: list[NDArray[np.float64]], summary: pd.DataFrame, colours: dict[str, str], height: int, compact: bool
) -> go.Figure:
    figure = base(height)
    for at, (values, row) in enumerate(zip(members, _each(summary), strict=True)):
        colour = colours[row.label]
        if len(values) >= FEWEST_FOR_DENSITY:
            grid, width = density(values)
            x = np.concatenate([at - 0.42 * width, (at + 0.42 * width)[::-1]])
            figure.add_scatter(
                x=x,
                y=np.concatenate([grid, grid[::-1]]),
                fill="toself",
                mode="lines",
                line={"color": colour, "width": 1.5},
                fillcolor=theme.faded(colour, 0.35),
                hoverinfo="skip",
            )
        else:
            figure.add_scatter(
                x=at + 0.5 * (_spread(len(values)) - 0.5),
                y=values,
                mode="markers",
                marker={"color": colour, "size": 6, "opacity": 0.8},
                hoverinfo="skip",
            )
        _box(figure, at, row)
    low, high = min(float(v.min()) for v in members), max(float(v.max()) for v in members)
    positions, texts = log_ticks(low, high, most=8)
    few = len(summary) <= 6
    labels = [_label(row, size=few or not compact, median=few and not compact) for row in _each(summary)]
    figure.update_xaxes(
        tickvals=list(range(len(summary))),
        ticktext=labels,
        range=[-0.55, len(summary) - 0.45],
        tickangle=0 if few else None,
    )
    figure.update_yaxes(tickvals=positions, ticktext=texts)
    return figure


def _label(row: Any, *, size: bool, median: bool) -> str:
    label = f"<b>{words.escape(words.shortened(row.label, 16))}</b>"
    label += f"<br>n {words.count(row.n)}" if size else ""
    return label + (f"<br>median {words.number(row.median, 2)}" if median else "")


def _box(figure: go.Figure, at: float, row: Any) -> None:
    low, middle, high = (_log(getattr(row, name)) for name in ("p25", "median", "p75"))
    figure.add_scatter(
        x=[at - 0.06, at + 0.06, at + 0.06, at - 0.06, at - 0.06],
        y=[low, low, high, high, low],
        fill="toself",
        mode="lines",
        line={"color": "#222", "width": 1},
        fillcolor="rgba(255, 255, 255, 0.6)",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[at - 0.06, at, at + 0.06],
        y=[middle] * 3,
        mode="lines",
        line={"color": "#111", "width": 3},
        hovertemplate=_hover(row),
    )


def _ridges(members: list[NDArray[np.float64]], summary: pd.DataFrame, colours: dict[str, str]) -> go.Figure:
    figure = base(90 + 26 * len(summary))
    for at, (values, row) in enumerate(zip(members, _each(summary), strict=True)):
        colour = colours[row.label]
        if len(values) >= FEWEST_FOR_DENSITY:
            grid, height = density(values)
            figure.add_scatter(
                x=np.concatenate([grid, grid[::-1]]),
                y=np.concatenate([at + 1.35 * height, np.full(len(grid), float(at))]),
                fill="toself",
                mode="lines",
                line={"color": colour, "width": 1.2},
                fillcolor=theme.faded(colour, 0.35),
                hoverinfo="skip",
            )
        else:
            figure.add_scatter(
                x=values,
                y=np.full(len(values), at + 0.2),
                mode="markers",
                marker={"color": colour, "size": 5},
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=[_log(row.median)],
            y=[at + 0.12],
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 12, "color": theme.NEUTRAL, "line": {"width": 2}},
            hovertemplate=_hover(row),
        )
    _rows(figure, summary, min(float(v.min()) for v in members), max(float(v.max()) for v in members))
    return figure


def _dots(summary: pd.DataFrame, colours: dict[str, str]) -> go.Figure:
    figure = base(90 + 18 * len(summary))
    at = np.arange(len(summary))
    for ends, width in ((("p5", "p95"), 1), (("p25", "p75"), 4)):
        low, high = (np.array([_log(value) for value in summary[end]]) for end in ends)
        x = np.column_stack([low, high, np.full(len(summary), np.nan)]).ravel()
        figure.add_scatter(
            x=x, y=np.repeat(at, 3), mode="lines", line={"color": theme.NEUTRAL, "width": width}, hoverinfo="skip"
        )
    figure.add_scatter(
        x=[_log(value) for value in summary["median"]],
        y=at,
        mode="markers",
        marker={"color": [colours[name] for name in summary["label"]], "size": 9},
        customdata=[_hover(row) for row in _each(summary)],
        hovertemplate="%{customdata}",
    )
    _rows(figure, summary, min(_log(v) for v in summary["p5"]), max(_log(v) for v in summary["p95"]))
    return figure


def _rows(figure: go.Figure, summary: pd.DataFrame, low: float, high: float) -> None:
    positions, texts = log_ticks(low, high)
    figure.update_xaxes(tickvals=positions, ticktext=texts, side="top", showgrid=True)
    labels = [f"{words.escape(words.shortened(row.label, 32))}  n {words.count(row.n)}" for row in _each(summary)]
    figure.update_yaxes(tickvals=list(range(len(summary))), ticktext=labels, range=[-0.8, len(summary) + 0.8])


def _hover(row: Any) -> str:
    numbers = {name: words.number(getattr(row, name)) for name in ("p25", "median", "p75", "low", "high")}
    return (
        f"{words.escape(str(row.label))}: median {numbers['median']} "
        f"({numbers['low']} to {numbers['high']})<br>"
        f"middle half {numbers['p25']} to {numbers['p75']}<extra></extra>"
    )


def _each(summary: pd.DataFrame) -> list[Any]:
    return list(summary.itertuples())


def _log(value: float) -> float:
    return float(np.log10(max(value, 1e-300)))


def _spread(n: int) -> NDArray[np.float64]:
    """Fixed, even offsets in 0..1 that keep points apart (golden-ratio sequence)."""
    return np.arange(n, dtype=np.float64) * 0.618034 % 1.0
