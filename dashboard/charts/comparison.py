"""Runs side by side: rank correlations, samples that moved, classes that moved, datasets on one axis."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard import theme, words
from dashboard.charts.chart import Chart, base, log_ticks
from lsi_engine.scores.registry import column, columns

#: Points drawn of a shift; the table behind the figure names those that moved most.
MOST_POINTS = 20_000
#: Parts of another measure, and what says the same the other way round: in the matrix's numbers only.
REPEATED = ("lsi_mean_shift", "lsi_covariance", "margin")
#: Rows up to which the cells have room for their values.
MOST_NUMBERED = 9
_MARKED = theme.OKABE_ITO[5]


def correlation_matrix(table: pd.DataFrame) -> Chart:
    """The rankings people use against each other; all of ``table`` (``Comparison.correlations``) is in the numbers."""
    measures = [name for name in columns() if name not in REPEATED]
    shown = [key for measure in measures for key in table.index if key[1] == measure]
    if len(shown) < 2:
        sentence = "Fewer than two rankings tell samples apart, so there is no correlation between rankings."
        return Chart(base(120), pd.DataFrame({"Ranking": []}), sentence)
    labels = [f"{column(measure).word} · {words.escape(str(run))}" for run, measure in shown]
    values = table.loc[shown, shown].to_numpy()
    figure = base(360)
    figure.add_heatmap(
        x=labels,
        y=labels,
        z=values,
        zmin=-1,
        zmax=1,
        colorscale="RdBu_r",
        texttemplate="%{z:.2f}" if len(labels) <= MOST_NUMBERED else None,
        textfont={"size": 11},
        colorbar={"thickness": 10, "title": None},
        hovertemplate="%{y}<br>%{x}<br>Spearman %{z:.3f}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(tickangle=-40)
    every = [f"{column(measure).word} · {run}" for run, measure in table.index]
    numbers = pd.DataFrame(table.to_numpy(), columns=every)
    numbers.insert(0, "Ranking", every)
    off = values[~np.eye(len(values), dtype=bool)]
    alt = f"Spearman rank correlations of {len(labels)} rankings, from {off.min():.2f} to {off.max():.2f}."
    return Chart(figure, numbers, alt)


def shift_scatter(
    shifts: pd.DataFrame, first: str, second: str, *, marked: NDArray[np.bool_] | None, noun: str, seed: int = 0
) -> Chart:
    """Percentile in ``second`` against percentile in ``first``; ``marked (N,)`` points are drawn as corrupted."""
    figure = base(420)
    drawn = np.arange(len(shifts))
    if len(drawn) > MOST_POINTS:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, MOST_POINTS, replace=False))
    groups = [("", drawn, theme.ACCENT, 0.35)]
    if marked is not None:
        groups = [
            ("not corrupted", drawn[~marked[drawn]], theme.OKABE_ITO[0], 0.3),
            ("corrupted on purpose", drawn[marked[drawn]], _MARKED, 0.8),
        ]
    for name, rows, colour, opacity in groups:
        part = shifts.iloc[rows]
        figure.add_scattergl(
            x=part["percentile_first"],
            y=part["percentile_second"],
            mode="markers",
            name=name,
            marker={"size": 5, "color": colour, "opacity": opacity},
            customdata=part[["sample_id", "label_first", "label_second"]].map(lambda text: words.escape(str(text))),
            hovertemplate="%{customdata[0]}<br>%{customdata[1]} → %{customdata[2]}<br>"
            "p%{x:.1f} → p%{y:.1f}<extra></extra>",
        )
    line = {"color": theme.NEUTRAL, "width": 1, "dash": "dot"}
    figure.add_shape(type="line", x0=0, y0=0, x1=100, y1=100, line=line)
    figure.update_xaxes(title=f"percentile in {words.escape(first)}", range=[-1, 101])
    figure.update_yaxes(title=f"percentile in {words.escape(second)}", range=[-1, 101])
    figure.update_layout(showlegend=marked is not None)
    far = int((shifts["shift"].abs() > 25).sum())
    alt = (
        f"Percentile of {words.count(len(shifts))} {noun} in {first} and in {second}: {words.count(far)} moved by more "
        f"than 25 percentiles."
    )
    return Chart(figure, shifts.head(200), alt)


def class_shift(table: pd.DataFrame, first: str, second: str, colours: dict[str, str], *, measure: str) -> Chart:
    """Median by class in both runs as a line from one to the other, log axis; ``table`` as ``class_shift``."""
    table = table[(table["first"] > 0) & (table["second"] > 0)].sort_values("second").reset_index(drop=True)
    figure = base(max(240, 26 * len(table) + 90))
    if table.empty:
        return Chart(figure, table, "No class has a positive median in both runs.")
    x = np.log10(table[["first", "second"]].to_numpy())
    for row, label in enumerate(table["label"]):
        colour = colours.get(label, theme.NEUTRAL)
        figure.add_scatter(
            x=x[row], y=[row, row], mode="lines", line={"color": colour, "width": 3}, hoverinfo="skip", showlegend=False
        )
    said = [
        f"{words.escape(label)}: ×{words.number(ratio)} ({words.number(low)} to {words.number(high)})"
        for label, ratio, low, high in zip(table["label"], table["ratio"], table["low"], table["high"], strict=True)
    ]
    for side, (name, symbol) in enumerate(((first, "circle-open"), (second, "circle"))):
        figure.add_scatter(
            x=x[:, side],
            y=np.arange(len(table)),
            mode="markers",
            name=words.escape(name),
            marker={"size": 10, "symbol": symbol, "color": [colours.get(n, theme.NEUTRAL) for n in table["label"]]},
            customdata=said,
            hovertemplate="%{customdata}<extra></extra>",
        )
    positions, texts = log_ticks(float(x.min()), float(x.max()))
    figure.update_xaxes(title=f"median {column(measure).word}", tickvals=positions, ticktext=texts)
    names = [words.escape(words.shortened(label, 24)) for label in table["label"]]
    figure.update_yaxes(tickvals=list(range(len(table))), ticktext=names)
    figure.update_layout(showlegend=True)
    most = table.iloc[int(np.argmax(np.abs(np.log(table["ratio"]))))]
    alt = (
        f"Median {column(measure).word} by class in {first} and {second}; {most['label']} changed most, "
        f"by a factor of {words.number(float(most['ratio']))}."
    )
    return Chart(figure, table, alt)


def difficulty_axis(table: pd.DataFrame) -> Chart:
    """Quantiles of LSI by run on one log axis; ``table`` as :func:`lsi_engine.runs.comparison.difficulty`."""
    table = table.sort_values("p50").reset_index(drop=True)
    figure = base(max(220, 38 * len(table) + 90))
    columns = ["p5", "p25", "p50", "p75", "p95"]
    floor = float(table[columns].to_numpy()[table[columns].to_numpy() > 0].min(initial=1.0))
    x = np.log10(np.maximum(table[columns].to_numpy(), floor))
    for row in range(len(table)):
        for ends, width in (((0, 4), 2), ((1, 3), 8)):
            figure.add_scatter(
                x=x[row, list(ends)],
                y=[row, row],
                mode="lines",
                line={"color": theme.ACCENT, "width": width},
                hoverinfo="skip",
            )
    figure.add_scatter(
        x=x[:, 2],
        y=np.arange(len(table)),
        mode="markers",
        marker={"size": 12, "color": theme.OKABE_ITO[1], "line": {"width": 1, "color": "#ffffff"}},
        customdata=[
            f"{words.escape(row['run'])}: median {words.number(row['p50'])}, {words.count(row['samples'])} samples"
            for row in table.to_dict("records")
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
    positions, texts = log_ticks(float(x.min()), float(x.max()))
    figure.update_xaxes(title="LSI", tickvals=positions, ticktext=texts)
    names = [words.escape(words.shortened(str(run), 28)) for run in table["run"]]
    figure.update_yaxes(tickvals=list(range(len(table))), ticktext=names)
    last = table.iloc[-1]
    alt = f"LSI of {len(table)} runs on one axis; {last['run']} has the highest median, {words.number(last['p50'])}."
    return Chart(figure, table, alt)
