"""What every figure comes with: a table of its numbers and a sentence that says what it shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard import theme, words

#: Scores below this share of the largest are drawn at that floor: they are zero for every purpose on a log
#: axis.
FLOOR = 1e-12


@dataclass(frozen=True)
class Chart:
    """``figure`` for the eye, ``table`` with the same numbers, ``alt`` the same in one sentence."""

    figure: go.Figure
    table: pd.DataFrame
    alt: str


def base(height: int) -> go.Figure:
    """An empty figure in the house style; text colours come from the reader's theme."""
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": theme.FONT, "size": 13},
        hoverlabel={"font": {"family": theme.FONT}},
        showlegend=False,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None, "traceorder": "normal"},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": theme.NEUTRAL, "activecolor": theme.ACCENT},
        barmode="stack",
        bargap=0,
    )
    figure.update_xaxes(showgrid=False, zeroline=False, automargin=True, title=None)
    figure.update_yaxes(showgrid=False, zeroline=False, automargin=True, title=None)
    return figure


def band(
    figure: go.Figure, x: pd.Series, low: pd.Series, high: pd.Series, colour: str, name: str | None = None
) -> None:
    """Shade what lies between ``low`` and ``high`` along ``x``, faintly in the line's ``colour``."""
    figure.add_scatter(
        x=[*x, *x[::-1]],
        y=[*high, *low[::-1]],
        name=name,
        mode="lines",
        line={"color": theme.faded(colour, 0.0), "width": 0},
        fill="toself",
        fillcolor=theme.faded(colour, 0.18),
        hoverinfo="skip",
        showlegend=False,
    )


def log_scores(scores: NDArray[np.floating]) -> tuple[NDArray[np.float64], int]:
    """``log10`` of non-negative scores, and how many were zero or too small and now lie at the floor.

    The floor is the smallest score above ``FLOOR`` times the largest; with no positive score all are 0 (that
    is 1).
    """
    scores = np.asarray(scores, dtype=np.float64)
    top = float(scores.max(initial=0.0))
    if top <= 0:
        return np.zeros(len(scores)), len(scores)
    large = scores >= top * FLOOR
    floor = float(scores[large].min())
    return np.log10(np.where(large, scores, floor)), int((~large).sum())


def log_ticks(low: float, high: float, most: int = 9) -> tuple[list[float], list[str]]:
    """Tick positions (in log10) and their labels: at whole powers of ten, at 1-2-5 where few of those fit, and at even
    steps where the whole axis lies between two of those."""
    if high - low < 2:
        marks = [
            exponent + np.log10(step)
            for exponent in range(int(np.floor(low)), int(np.ceil(high)) + 1)
            for step in (1, 2, 5)
        ]
        positions = [float(mark) for mark in marks if low - 1e-9 <= mark <= high + 1e-9]
        if len(positions) < 3 and high > low:
            return _even_ticks(10.0**low, 10.0**high)
    else:
        first, last = int(np.ceil(low)), int(np.floor(high))
        step = max(1, -(-(last - first + 1) // most))
        positions = [float(exponent) for exponent in range(last, first - 1, -step)][::-1]
    return positions, [words.number(10.0**position, 2) for position in positions]


def _even_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Three to nine even steps of 1, 2 or 5 times a power of ten between two positive values, as :func:`log_ticks`."""
    power = 10.0 ** np.floor(np.log10(high - low))
    step = next(s for s in power * np.array([0.1, 0.2, 0.5, 1.0, 2.0]) if (high - low) / s < 9)
    values = step * np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1)
    return [float(position) for position in np.log10(values)], [words.number(float(value), 4) for value in values]


def thinned(count: int, most: int = 2000) -> NDArray[np.intp]:
    """At most ``most`` positions of ``0..count-1``, ends included: half evenly spaced, half crowding the
    start."""
    if count <= most:
        return np.arange(count)
    even = np.linspace(0, count - 1, most // 2)
    crowded = np.geomspace(1, count, most // 2) - 1
    return np.unique(np.concatenate([even, crowded]).round().astype(np.intp))
