"""How much of all the information the top few samples hold (a Lorenz curve), and the empirical
distribution."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard import theme, words
from dashboard.charts.chart import Chart, base, log_scores, log_ticks, thinned


def top_share(scores: NDArray[np.floating], fraction: float = 0.01) -> float:
    """Share of the sum of ``scores`` held by the highest ``fraction`` of the samples (at least one), in
    0..1."""
    total = float(np.sum(scores, dtype=np.float64))
    if total <= 0:
        return 0.0
    top = max(1, round(fraction * len(scores)))
    return float(np.partition(scores, len(scores) - top)[len(scores) - top :].sum(dtype=np.float64)) / total


def ecdf(scores: NDArray[np.floating], *, noun: str = "samples", height: int = 300) -> Chart:
    """Share of the samples with at most a given score, and share of all information that they hold
    together."""
    figure = base(height)
    if not len(scores):
        return Chart(figure, pd.DataFrame({"LSI": [], "share of samples": []}), f"No {noun} to show.")
    ordered = np.sort(np.asarray(scores, dtype=np.float64), kind="stable")
    shown = (len(ordered) - 1 - thinned(len(ordered), 1000))[::-1]
    logs, _ = log_scores(ordered)
    samples = (shown + 1) / len(ordered)
    total = float(ordered.sum())
    held = np.cumsum(ordered)[shown] / (total if total > 0 else 1.0)
    for name, values, colour, dash in (
        (f"share of the {noun}", samples, theme.ACCENT, "solid"),
        ("share of all information", held, theme.OKABE_ITO[5], "dash"),
    ):
        figure.add_scatter(
            x=logs[shown],
            y=values,
            name=name,
            mode="lines",
            line={"color": colour, "width": 2, "dash": dash},
            customdata=ordered[shown],
            hovertemplate="%{y:.1%} of it at LSI ≤ %{customdata:.3g}<extra>%{fullData.name}</extra>",
        )
    positions, texts = log_ticks(float(logs[0]), float(logs[-1]), most=7)
    figure.update_xaxes(tickvals=positions, ticktext=texts, title="LSI")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    figure.update_layout(showlegend=True)
    table = pd.DataFrame({"LSI": ordered[shown], "share of samples": samples, "share of information": held})
    alt = (
        f"Cumulative curves: half of the {noun} have LSI up to {words.number(float(np.median(ordered)))}, "
        f"and the top 1 % hold {top_share(ordered):.0%} of all information."
    )
    return Chart(figure, table, alt)
