"""How fast each measure finds what was corrupted on purpose, reviewing from the highest score down."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from dashboard import theme, words
from dashboard.charts.chart import Chart, band, base
from lsi_engine.scores.registry import column, columns

#: Colour and dash of the measures that every run has, the same in every figure.
_STYLES = {"lsi": (theme.ACCENT, "solid"), "suspicion": (theme.OKABE_ITO[5], "dash")}


def style(measure: str) -> tuple[str, str, str]:
    """Name on screen, colour and dash of a measure."""
    others = [name for name in columns() if name not in _STYLES]
    place = others.index(measure) if measure in others else len(others)
    colour, dash = _STYLES.get(measure, (theme.OKABE_ITO[place % len(theme.OKABE_ITO)], "dot"))
    return column(measure).title, colour, dash


def detection_curve(
    curves: Mapping[str, pd.DataFrame], corrupted: int, samples: int, *, noun: str = "samples", height: int = 340
) -> Chart:
    """Share of the ``corrupted`` samples found against the number reviewed, by measure.

    ``curves`` maps a measure to :meth:`lsi_engine.runs.evaluation.Evaluation.curve`: its ``share`` is the line, ``low``
    to ``high`` the band around it. The dotted lines are the best possible order and a random one.
    """
    figure = base(height)
    for name, x, y in (
        ("best possible", [0, corrupted, samples], [0, 1, 1]),
        ("random order", [0, samples], [0, 1]),
    ):
        figure.add_scatter(
            x=x,
            y=y,
            name=name,
            mode="lines",
            line={"color": theme.NEUTRAL, "width": 1, "dash": "dot"},
            hoverinfo="skip",
        )
    tables = []
    for measure, curve in curves.items():
        name, colour, dash = style(measure)
        band(figure, curve["reviewed"], curve["low"], curve["high"], colour, name)
        figure.add_scatter(
            x=curve["reviewed"],
            y=curve["share"],
            customdata=curve[["low", "high"]],
            name=name,
            mode="lines",
            line={"color": colour, "width": 2.5, "dash": dash},
            hovertemplate="%{y:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%}) found after %{x:,} "
            + noun
            + "<extra>"
            + name
            + "</extra>",
        )
        tables.append(curve.assign(measure=name)[["measure", "reviewed", "found", "share", "low", "high"]])
    figure.update_xaxes(title=f"{noun} reviewed", range=[0, min(samples, 5 * corrupted)], tickformat=",d")
    figure.update_yaxes(title="corrupted found", tickformat=".0%", range=[0, 1.03])
    figure.update_layout(showlegend=True)
    table = pd.concat(tables, ignore_index=True)
    after = {column(measure).title: curve[curve["reviewed"] <= corrupted].iloc[-1] for measure, curve in curves.items()}
    found = ", ".join(
        f"{name} {row['share']:.0%} (95 % {row['low']:.0%} to {row['high']:.0%})" for name, row in after.items()
    )
    alt = (
        f"Detection curve: after reviewing {words.count(corrupted)} {noun}, as many as are corrupted, found by {found}."
    )
    return Chart(figure, table, alt)


def precision_at(table: pd.DataFrame, *, height: int = 340) -> Chart:
    """Precision@k with its interval, by measure; ``table`` as :meth:`lsi_engine.runs.evaluation.Evaluation.table`."""
    rows = table[table["metric"].str.startswith("precision@")]
    figure = base(height)
    for measure, group in rows.groupby("measure", sort=False):
        name, colour, dash = style(str(measure))
        figure.add_scatter(
            x=[words.count(int(metric.partition("@")[2])) for metric in group["metric"]],
            y=group["value"],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": dash},
            marker={"size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": group["high"] - group["value"],
                "arrayminus": group["value"] - group["low"],
                "thickness": 1.5,
            },
            hovertemplate="%{y:.1%} of the top %{x}<extra>" + name + "</extra>",
        )
    figure.update_xaxes(title="k, highest-scored first", type="category")
    figure.update_yaxes(title="corrupted among them", tickformat=".0%", range=[0, 1.05])
    figure.update_layout(showlegend=True)
    said = ", ".join(
        f"{column(str(row['measure'])).title} {row['metric']} {row['value']:.0%}"
        for row in rows.to_dict("records")[::2]
    )
    return Chart(figure, rows, f"Precision at k with 95 % intervals: {said or 'too few samples'}.")
