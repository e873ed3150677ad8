"""Two or three groups of samples on one axis, each scaled to itself, so that unequal sizes compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard import theme, words
from dashboard.charts.chart import Chart, base, log_scores, log_ticks


@dataclass(frozen=True)
class Group:
    """``scores (n,)`` of one group, its name and how it is drawn."""

    name: str
    scores: NDArray[np.floating]
    colour: str
    dash: str = "solid"


def compare_groups(groups: Sequence[Group], *, measure: str, log: bool, bins: int = 60, height: int = 300) -> Chart:
    """Share of each group's samples by bin of the score; ``log`` bins in log10, zeros in the first bin."""
    groups = [group for group in groups if len(group.scores)]
    figure = base(height)
    if not groups:
        return Chart(figure, pd.DataFrame(), "No samples to show.")
    everything = np.concatenate([group.scores for group in groups])
    axis = log_scores(everything)[0] if log else everything
    low, high = float(axis.min()), float(axis.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    splits = np.cumsum([len(group.scores) for group in groups])[:-1]
    scale = 10.0**edges if log else edges
    table = pd.DataFrame({f"{measure} from": scale[:-1], f"{measure} to": scale[1:]})
    for group, values in zip(groups, np.split(axis, splits), strict=True):
        share = np.histogram(values, bins=edges)[0] / len(values)
        table[group.name] = share
        figure.add_scatter(
            x=np.repeat(edges, 2)[1:-1],
            y=np.repeat(share, 2),
            name=f"{words.escape(group.name)} ({words.count(len(values))})",
            mode="lines",
            line={"color": group.colour, "width": 2, "dash": group.dash},
            fill="tozeroy" if group.dash == "solid" else None,
            fillcolor=theme.faded(group.colour, 0.2),
            hovertemplate="%{y:.1%}<extra>%{fullData.name}</extra>",
        )
    if log:
        positions, texts = log_ticks(edges[0], edges[-1])
        figure.update_xaxes(tickvals=positions, ticktext=texts)
    figure.update_xaxes(title=measure)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_layout(showlegend=True)
    medians = ", ".join(f"{group.name} {words.number(float(np.median(group.scores)))}" for group in groups)
    return Chart(figure, table, f"Distribution of {measure} by group; medians: {medians}.")
