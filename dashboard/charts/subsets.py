"""Which part of the data trains best: thirds by LSI, and what is lost as rules keep less and less."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from dashboard import theme, words
from dashboard.charts.chart import Chart, band, base

#: What goes first, colour and dash of each rule; rivals of LSI are broken lines.
RULES = {
    "highest_lsi": ("highest LSI", theme.OKABE_ITO[0], "solid"),
    "lowest_lsi": ("lowest LSI", theme.OKABE_ITO[1], "solid"),
    "highest_suspicion": ("highest suspicion", theme.OKABE_ITO[4], "dash"),
    "lowest_leverage": ("lowest leverage", theme.OKABE_ITO[2], "dash"),
    "highest_margin": ("highest margin", theme.OKABE_ITO[5], "dot"),
    "random": ("random ones", theme.NEUTRAL, "solid"),
}
#: Whose repeats are drawn as a band: more than three bands hide one another. The numbers have all of them.
BANDS = ("random", "highest_lsi", "lowest_lsi")
TRAINED = {"low": "lowest LSI", "mid": "middle", "high": "highest LSI", "all": "all samples"}
_ACCURACIES = (
    ("train_accuracy", "on what it was trained on", theme.OKABE_ITO[1], "diamond-open", -0.1),
    ("test_accuracy", "on held-out ones", theme.OKABE_ITO[0], "circle", 0.1),
)


def third_accuracies(summary: pd.DataFrame, *, noun: str = "samples", height: int = 400) -> Chart:
    """Training and test accuracy of each third and of all, with their range over the repeats.

    ``summary`` as ``Subsets.summary``; the dotted line is the commonest class's test
    accuracy.
    """
    rows = summary[summary["family"].isin(["third", "all"])].set_index("rule").loc[list(TRAINED)]
    guess = summary[summary["family"] == "majority"].iloc[0]
    figure = base(height)
    places = range(len(TRAINED))
    for column, said, colour, symbol, offset in _ACCURACIES:
        figure.add_scatter(
            x=[place + offset for place in places],
            y=rows[column],
            customdata=rows[[f"{column}_low", f"{column}_high", "rows"]],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": rows[f"{column}_high"] - rows[column],
                "arrayminus": rows[column] - rows[f"{column}_low"],
                "thickness": 1.5,
            },
            mode="markers",
            name=f"accuracy {said}",
            marker={"size": 11, "symbol": symbol, "color": colour, "line": {"width": 2}},
            hovertemplate="%{y:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%}), trained on %{customdata[2]:,} "
            f"{noun}<extra>accuracy {said}</extra>",
        )
    _guess(figure, float(guess["test_accuracy"]))
    figure.update_xaxes(
        tickvals=list(places),
        ticktext=list(TRAINED.values()),
        title=f"third of {noun}",
        range=[-0.5, len(TRAINED) - 0.5],
    )
    figure.update_yaxes(title="accuracy", tickformat=".0%", rangemode="tozero", range=[0, 1.04])
    figure.update_layout(showlegend=True)
    said = "; ".join(
        f"{name} {train:.1%} on its own {noun}, {test:.1%} held out"
        for name, train, test in zip(TRAINED.values(), rows["train_accuracy"], rows["test_accuracy"], strict=True)
    )
    alt = f"Accuracy by third of LSI: {said}. Always the commonest class: {guess['test_accuracy']:.1%}."
    return Chart(figure, numbers(pd.concat([rows.reset_index(), guess.to_frame().T])), alt)


def pruning_curves(summary: pd.DataFrame, *, noun: str = "samples", height: int = 400) -> Chart:
    """Test accuracy against the share of each class that is kept, by rule; bands span the repeats."""
    figure = base(height)
    whole = summary[summary["family"] == "all"]
    kept = summary[summary["family"] == "kept"]
    for rule in reversed(RULES):  # random lies below, LSI's own lines on top
        name, colour, dash = RULES[rule]
        rows = pd.concat([whole, kept[kept["rule"] == rule]]).sort_values("share", ascending=False)
        if rule in BANDS:
            band(figure, rows["share"], rows["test_accuracy_low"], rows["test_accuracy_high"], colour)
        figure.add_scatter(
            x=rows["share"],
            y=rows["test_accuracy"],
            customdata=rows[["test_accuracy_low", "test_accuracy_high", "rows"]],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2.5 if rule in BANDS else 1.5, "dash": dash},
            marker={"size": 6},
            hovertemplate="%{y:.1%} (%{customdata[0]:.1%} to %{customdata[1]:.1%}) with %{customdata[2]:,} "
            f"{noun}<extra>{name} dropped</extra>",
        )
    _guess(figure, float(summary.loc[summary["family"] == "majority", "test_accuracy"].iloc[0]))
    shares = sorted({1.0, *kept["share"]}, reverse=True)
    figure.update_xaxes(title="kept of each class", tickvals=shares, tickformat=".0%", range=[1.02, shares[-1] - 0.03])
    # What keeps the worst end falls to nothing at last; drawn whole it would hide what the others differ by.
    near = pd.concat([whole, kept[(kept["share"] >= 0.5) | kept["rule"].isin(["random", "highest_lsi"])]])
    low, high = near["test_accuracy_low"].min(), near["test_accuracy_high"].max()
    pad = 0.08 * (high - low) + 0.002
    figure.update_yaxes(title=f"accuracy on held-out {noun}", tickformat=".0%", range=[low - pad, high + pad])
    figure.update_layout(showlegend=True, legend_traceorder="reversed", legend_title_text="Dropped first: ")
    half = kept[kept["share"] == 0.5].set_index("rule")["test_accuracy"]
    said = ", ".join(f"{RULES[rule][0]} dropped {half[rule]:.1%}" for rule in RULES if rule in half)
    alt = f"Held-out accuracy by share kept; all {whole['test_accuracy'].iloc[0]:.1%}, of half of each class: {said}."
    return Chart(figure, numbers(pd.concat([whole, kept])), alt)


def numbers(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary as people read it: accuracies in per cent, differences in points."""
    table = pd.DataFrame(
        {"Trained on": [_named(row) for row in summary.to_dict("records")], "Samples": summary["rows"].astype(int)}
    )
    for column, title in (("train_accuracy", "Train, %"), ("test_accuracy", "Test, %")):
        table[title] = 100 * summary[column].astype(float).to_numpy()
    for end in ("low", "high"):
        table[f"Test, {end}est"] = 100 * summary[f"test_accuracy_{end}"].astype(float).to_numpy()
    for column, title in (("against_all", "Against all"), ("against_random", "Against random")):
        table[title] = 100 * summary[column].astype(float).to_numpy()
    for end in ("low", "high"):
        table[f"Against random, {end}"] = 100 * summary[f"against_random_{end}"].astype(float).to_numpy()
    return table.round(2)


def reading(summary: pd.DataFrame, noun: str) -> list[str]:
    """What the figures say, in plain sentences."""
    thirds = summary[summary["family"] == "third"].set_index("rule")["test_accuracy"]
    whole = float(summary.loc[summary["family"] == "all", "test_accuracy"].iloc[0])
    best = str(thirds.idxmax())
    named = {"low": "with the lowest LSI", "mid": "in the middle", "high": "with the highest LSI"}[best]
    kept = summary[summary["family"] == "kept"]
    half = kept[kept["share"] == 0.5].set_index("rule")["against_all"]
    sentences = [
        f"Of the thirds, the one {named} trains best: {thirds[best]:.1%} of held-out {noun}, against {whole:.1%} with "
        f"all of them.",
        f"Keeping the half with the lowest LSI {_change(half['highest_lsi'])} against all, the half with the highest "
        f"{_change(half['lowest_lsi'])}; a random half {_change(half['random'])}.",
    ]
    compared = int(kept["against_random"].notna().sum())
    sure = kept[kept["against_random_low"] > 0].sort_values("against_random", ascending=False)
    if sure.empty:
        sentences.append("No rule beats a random choice by more than the repeats leave open (95 %).")
    else:
        row = sure.iloc[0]
        sentences.append(
            f"Largest sure gain over a random choice: {RULES[row['rule']][0]} dropped, {row['share']:.0%} kept, by "
            f"{100 * row['against_random']:.1f} points (95 %: {100 * row['against_random_low']:.1f} to "
            f"{100 * row['against_random_high']:.1f}; one of {compared} comparisons)."
        )
    return sentences


def _change(difference: float) -> str:
    points = f"{abs(100 * difference):.1f} points"
    return f"costs {points}" if difference < 0 else f"gains {points}"


def _named(row: dict[Hashable, Any]) -> str:
    if row["family"] == "majority":
        return "nothing: always the commonest class"
    if row["family"] == "kept":
        return f"{RULES[row['rule']][0]} dropped, {row['share']:.0%} kept"
    return TRAINED[row["rule"]] if row["family"] == "all" else f"third: {TRAINED[row['rule']]}"


def _guess(figure: Any, accuracy: float) -> None:
    figure.add_hline(
        y=accuracy,
        line={"color": theme.NEUTRAL, "width": 1, "dash": "dot"},
        annotation_position="top left",
        annotation={
            "text": words.escape("always the commonest class"),
            "font": {"size": 11, "color": theme.NEUTRAL},
        },
    )
