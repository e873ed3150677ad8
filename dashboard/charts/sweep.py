"""How the classes' LSI moves with one setting of a corruption, such as σ of the noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dashboard import words
from dashboard.charts.chart import Chart, base, log_scores, log_ticks


def class_shift(table: pd.DataFrame, setting: str, colours: Mapping[str, str], *, height: int = 320) -> Chart:
    """Median LSI of each class against the setting's values, on a log axis; the bars span the quartiles.

    ``table`` has ``value, label, low, median, high``; ``colours`` the colour of each label.
    """
    figure = base(height)
    values = list(dict.fromkeys(table["value"]))
    flat = table[["low", "median", "high"]].to_numpy(dtype=np.float64)
    low, median, high = log_scores(flat.ravel())[0].reshape(flat.shape).T
    for label in sorted(table["label"].unique()):
        rows = (table["label"] == label).to_numpy()
        figure.add_scatter(
            x=[words.escape(str(value)) for value in table.loc[rows, "value"]],
            y=median[rows],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": (high - median)[rows],
                "arrayminus": (median - low)[rows],
                "thickness": 1,
            },
            name=words.escape(label),
            mode="lines+markers",
            line={"color": colours.get(label), "width": 2},
            customdata=flat[rows],
            hovertemplate="%{customdata[1]:.3g} (%{customdata[0]:.2g} to %{customdata[2]:.2g})"
            "<extra>%{fullData.name}</extra>",
        )
    positions, texts = log_ticks(float(low.min()), float(high.max()))
    figure.update_yaxes(title="LSI: median and quartiles", tickvals=positions, ticktext=texts)
    figure.update_xaxes(title=words.escape(setting), type="category")
    figure.update_layout(showlegend=True)
    ends = table[table["value"].isin([values[0], values[-1]])].pivot(index="label", columns="value", values="median")
    moves = ", ".join(
        f"{label} {words.number(float(row[values[0]]))} to {words.number(float(row[values[-1]]))}"
        for label, row in ends.dropna().iterrows()
    )
    return Chart(figure, table, f"Median LSI by class from {setting} {values[0]} to {values[-1]}: {moves}.")
