"""Scores by rank, the highest first: where the tail ends and the plateau begins."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard import theme, words
from dashboard.charts.chart import Chart, base, log_scores, log_ticks, thinned


def rank_plot(
    scores: NDArray[np.floating], *, cut: float | None = None, noun: str = "samples", height: int = 300
) -> Chart:
    """``scores (N,)`` against rank on two log axes, at most 2 000 points drawn; ``cut`` draws where a score
    lies. Scores that are in ascending order already are drawn in a fraction of the time.

    The x axis is log10 of the rank: :func:`selected_scores` turns a box that a reader drew into scores.
    """
    figure = base(height)
    if not len(scores):
        return Chart(figure, pd.DataFrame({"rank": [], "LSI": []}), f"No {noun} to show.")
    ordered = np.sort(np.asarray(scores, dtype=np.float64), kind="stable")[::-1]
    shown = thinned(len(ordered))
    # Of what is drawn alone: its ends are those of all scores, and a million logarithms take a while.
    x, y = np.log10(shown + 1), log_scores(ordered[shown])[0]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": theme.ACCENT, "width": 2},
        marker={"size": 3, "color": theme.ACCENT},
        customdata=np.column_stack([shown + 1, ordered[shown]]),
        hovertemplate="rank %{customdata[0]:,}<br>LSI %{customdata[1]:.3g}<extra></extra>",
    )
    above = int(np.count_nonzero(ordered >= cut)) if cut is not None else 0
    if cut is not None and above > 0:
        across = {"xref": "x", "yref": "y domain", "y0": 0, "y1": 1}
        figure.add_shape(
            type="rect", x0=0, x1=np.log10(above), fillcolor=theme.ACCENT, opacity=0.14, line={"width": 0}, **across
        )
        figure.add_annotation(
            x=np.log10(above),
            y=float(np.interp(np.log10(above), x, y)),
            text=f"{words.count(above)} {noun} ≥ {words.number(cut)}",
            showarrow=True,
            arrowhead=0,
            ax=-20,
            ay=36,
            xanchor="right",
        )
    for axis, values in ((figure.update_xaxes, x), (figure.update_yaxes, y)):
        positions, texts = log_ticks(float(values.min()), float(values.max()), most=7)
        axis(tickvals=positions, ticktext=texts, fixedrange=True)
    figure.update_xaxes(title="rank (1 = highest LSI)")
    figure.update_yaxes(title="LSI")
    figure.update_layout(dragmode="select", selectdirection="h")
    table = pd.DataFrame({"rank": shown + 1, "LSI": ordered[shown]})
    alt = (
        f"LSI by rank: the first of {words.count(len(ordered))} {noun} has "
        f"{words.number(float(ordered[0]))}, the middle one {words.number(float(ordered[len(ordered) // 2]))}."
    )
    return Chart(figure, table, alt)


def selected_scores(box: dict[str, list[float]], scores: NDArray[np.floating]) -> tuple[float, float]:
    """The range of scores between the two ranks that a box spans; from rank 1 on it is open upwards."""
    low, high = sorted(float(x) for x in box["x"][:2])
    ordered = np.sort(np.asarray(scores, dtype=np.float64), kind="stable")[::-1]
    first = int(np.clip(np.ceil(10**low), 1, len(ordered)))
    last = int(np.clip(np.floor(10**high), first, len(ordered)))
    return float(ordered[last - 1]), float("inf") if first == 1 else float(ordered[first - 1])
