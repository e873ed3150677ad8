"""Figures against the data that they were given: counts, quantiles, ranges that a reader drags, sentences."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import gaussian_kde
from sklearn.metrics import auc

from dashboard import words
from dashboard.charts.chart import log_scores, log_ticks, thinned
from dashboard.charts.class_summary import class_summary, median_interval, ranking_sentence, reading
from dashboard.charts.detection import detection_curve, precision_at
from dashboard.charts.ecdf import ecdf, top_share
from dashboard.charts.groups import Group, compare_groups
from dashboard.charts.histogram import histogram, selected_range
from dashboard.charts.rank import rank_plot, selected_scores
from dashboard.charts.violins import by_class, density
from dashboard.theme import class_colours
from lsi_engine.runs.evaluation import evaluate

scores_strategy = arrays(
    np.float64,
    st.integers(1, 60),
    elements=st.sampled_from([0.0, 1e-300, 1e-20]) | st.floats(1e-9, 1e4, allow_nan=False),
)


def names(count: int) -> list[str]:
    return [f"class {position}" for position in range(count)]


def drawn(count: int = 5000, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    codes = random.integers(0, classes, count)
    return np.exp(random.normal(-6 + codes, 2)), codes


LIMITED = settings(max_examples=25, deadline=None)


@LIMITED
@given(scores_strategy)
def test_every_sample_is_in_one_bar_zeros_included(scores: np.ndarray) -> None:
    codes = np.arange(len(scores)) % 3
    chart = histogram(scores, codes, names(3), class_colours(names(3)))
    assert int(chart.table["count"].sum()) == len(scores)
    for position, name in enumerate(names(3)):
        assert int(chart.table[name].sum()) == int((codes == position).sum())
    assert sum(int(np.sum(bar.y)) for bar in chart.figure.data) == len(scores)


@settings(deadline=None)
@given(scores_strategy, st.floats(-0.2, 1.2), st.floats(-0.2, 1.2))
def test_a_dragged_range_keeps_the_scores_under_it(scores: np.ndarray, start: float, end: float) -> None:
    logs, _ = log_scores(scores)
    span = max(float(np.ptp(logs)), 1.0)
    box = {"x": [float(logs.min()) + start * span, float(logs.min()) + end * span]}
    low, high = selected_range(box, scores)
    assert low <= high
    left, right = sorted(box["x"])
    assume(scores.any() and right >= logs.min() and left <= logs.max())
    clearly = span * 1e-3  # the range is rounded to four digits
    inside = (logs > left + clearly) & (logs < right - clearly)
    outside = (logs < left - clearly) | (logs > right + clearly)
    kept = (scores >= low) & (scores <= high)
    assert kept[inside].all()
    assert not kept[outside].any()


def test_a_range_dragged_past_the_ends_is_open_and_keeps_zeros() -> None:
    scores = np.array([0.0, 1e-3, 1.0])
    assert selected_range({"x": [-99.0, 99.0]}, scores) == (0.0, math.inf)
    assert selected_range({"x": [-1.0, 99.0]}, scores) == (0.1, math.inf)


def test_percentiles_are_marked_where_they_lie() -> None:
    scores, codes = drawn()
    chart = histogram(scores, codes, names(3), class_colours(names(3)))
    texts = [annotation.text for annotation in chart.figure.layout.annotations]
    assert texts == [f"p{p} {words.number(np.percentile(scores, p))}" for p in (50, 95, 99)]


def test_many_classes_are_drawn_as_one() -> None:
    scores, codes = drawn(classes=20)
    chart = histogram(scores, codes, names(20), class_colours(names(20)))
    assert [bar.name for bar in chart.figure.data] == ["all classes"]


def test_markup_in_a_class_name_is_shown_not_obeyed() -> None:
    bad = "<a href='http://x'>x</a>"
    chart = histogram(np.ones(60), np.zeros(60, int), [bad], {bad: "#000000"})
    assert "<a" not in chart.figure.data[0].name
    summary = class_summary(np.ones(60), np.zeros(60, int), [bad])
    figure = by_class(np.ones(60), np.zeros(60, int), [bad], {bad: "#000000"}, summary).figure
    assert "<a" not in figure.to_json().replace("\\u003c", "<").replace("<b>", "").replace("<br>", "")


@LIMITED
@given(scores_strategy)
def test_a_rank_plot_is_falling_and_small(scores: np.ndarray) -> None:
    chart = rank_plot(scores, cut=float(np.median(scores)))
    assert (np.diff(chart.figure.data[0].y) <= 0).all()
    assert chart.table["rank"].iloc[-1] == len(scores)


def test_a_million_ranks_are_drawn_with_two_thousand_points() -> None:
    shown = thinned(1_000_000)
    assert len(shown) <= 2000
    assert (shown[0], shown[-1]) == (0, 999_999)
    assert (np.diff(shown) > 0).all()


def test_ranks_dragged_from_the_left_keep_exactly_those() -> None:
    scores = np.random.default_rng(1).permutation(np.arange(1.0, 101.0))
    low, high = selected_scores({"x": [-0.5, math.log10(10.4)]}, scores)
    assert (low, high) == (91.0, math.inf)
    low, high = selected_scores({"x": [math.log10(4.5), math.log10(10.4)]}, scores)
    assert (low, high) == (91.0, 96.0)


def test_share_held_by_the_top() -> None:
    scores = np.r_[np.full(99, 1.0), 101.0]
    assert top_share(scores) == pytest.approx(101 / 200)
    assert top_share(np.ones(1000)) == pytest.approx(0.01)
    assert top_share(np.zeros(5)) == 0.0
    assert "top 1 % hold" in ecdf(scores).alt


def test_cumulative_curves_end_at_everything() -> None:
    scores, _ = drawn()
    table = ecdf(scores).table
    assert table["share of samples"].iloc[-1] == 1.0
    assert table["share of information"].iloc[-1] == pytest.approx(1.0)
    assert (table["share of information"] <= table["share of samples"] + 1e-12).all()


def test_the_exact_interval_of_the_median_is_what_resampling_tends_to() -> None:
    random = np.random.default_rng(3)
    for count in (5, 31, 200):
        ordered = np.sort(random.lognormal(size=count))
        resampled = np.median(random.choice(ordered, (40_000, count)), axis=1)
        low, high = median_interval(ordered)
        expected = np.quantile(resampled, [0.025, 0.975])
        # For an odd count a resample's median is one of the values, so the quantiles agree exactly; for an even one
        # it may lie between two of them.
        place = np.searchsorted(ordered, [low, high])
        wanted = np.searchsorted(ordered, expected)
        assert np.abs(place - wanted).max() <= (0 if count % 2 else 1)


def test_an_interval_of_one_sample_is_that_sample() -> None:
    assert median_interval(np.array([2.0])) == (2.0, 2.0)


def test_class_summary_agrees_with_pandas() -> None:
    scores, codes = drawn(classes=5)
    doubtful = scores > 1
    summary = class_summary(scores, codes, names(7), doubtful=doubtful).set_index("label")
    grouped = pd.Series(scores).groupby(np.array(names(7))[codes])
    assert list(summary.index) == list(grouped.median().sort_values().index)
    assert summary["n"].to_dict() == grouped.size().to_dict()
    for column, quantile in (("p5", 0.05), ("p25", 0.25), ("median", 0.5), ("p75", 0.75), ("p95", 0.95)):
        assert np.allclose(summary[column], grouped.quantile(quantile)[summary.index])
    assert int(summary["suspected"].sum()) == int(doubtful.sum())
    assert (summary["low"] <= summary["median"]).all()
    assert (summary["median"] <= summary["high"]).all()


def test_the_ranking_in_words() -> None:
    scores = np.r_[np.linspace(0.9, 1.1, 400), np.linspace(4.5, 5.5, 400)]
    codes = np.repeat([0, 1], 400)
    summary = class_summary(scores, codes, ["bacterial", "viral"])
    assert ranking_sentence(summary) == (
        "viral carries about 5× the information of bacterial (medians), the next class."
    )
    assert "cannot be told apart" in ranking_sentence(class_summary(scores, np.arange(800) % 2, ["a", "b"]))
    assert ranking_sentence(summary.head(1)) == ""


def test_the_ranking_is_read_out_in_plain_words() -> None:
    random = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2], 200)
    scores = np.array([0.01, 0.05, 0.25])[codes] * random.lognormal(0, 0.2, 600)
    doubtful = (codes == 2) & (np.arange(600) % 4 == 0)
    said = reading(class_summary(scores, codes, ["normal", "bacterial", "viral"], doubtful=doubtful), "films")
    assert "films labelled viral typically carries about 2" in said
    assert "viral harder to learn from the other films" in said
    assert said.endswith("Most doubted is the label viral: 25% of its samples.")
    alike = class_summary(scores, np.arange(600) % 2, ["a", "b"])
    assert "no class can be told from another" in reading(alike, "films")
    assert reading(alike.head(1), "films") == ""


def test_the_binned_density_is_a_kernel_density() -> None:
    values = np.random.default_rng(4).normal(size=4000)
    grid, height = density(values)
    assert (grid[0], grid[-1]) == (values.min(), values.max())
    reference = gaussian_kde(values, bw_method="silverman")(grid)
    middle = slice(20, -20)
    assert np.abs(height - reference / reference.max())[middle].max() < 0.06


@pytest.mark.parametrize(("classes", "kind"), [(3, "Violins"), (20, "Ridgelines"), (60, "Quantile dots")])
def test_the_figure_by_class_suits_how_many_there_are(classes: int, kind: str) -> None:
    scores, codes = drawn(6000, classes)
    summary = class_summary(scores, codes, names(classes))
    chart = by_class(scores, codes, names(classes), class_colours(names(classes)), summary)
    assert chart.alt.startswith(f"{kind} of LSI for {classes} classes")
    assert len(chart.figure.to_json()) < 500_000
    assert len(chart.table) == classes


def test_a_class_with_few_samples_is_drawn_as_its_points() -> None:
    scores, codes = drawn(200, 2)
    few = np.r_[np.flatnonzero(codes == 0), np.flatnonzero(codes == 1)[:7]]
    summary = class_summary(scores[few], codes[few], names(2))
    figure = by_class(scores[few], codes[few], names(2), class_colours(names(2)), summary).figure
    points = [trace for trace in figure.data if trace.mode == "markers"]
    assert [len(trace.y) for trace in points] == [7]


def test_groups_are_scaled_to_themselves() -> None:
    scores, _ = drawn(900)
    groups = [Group("a", scores[:100], "#0072b2"), Group("b", scores[100:], "#d55e00")]
    table = compare_groups(groups, measure="LSI", log=True).table
    assert table["a"].sum() == pytest.approx(1.0)
    assert table["b"].sum() == pytest.approx(1.0)


def test_the_detection_curve_shows_what_the_evaluation_says() -> None:
    random = np.random.default_rng(5)
    corrupted = random.random(2000) < 0.1
    frame = pd.DataFrame(
        {"corrupted": corrupted, "lsi": random.random(2000) + corrupted, "suspicion": random.random(2000)}
    )
    result = evaluate(frame, resamples=20)
    curves = {measure: result.curve(measure) for measure in ("lsi", "suspicion")}
    chart = detection_curve(curves, int(corrupted.sum()), 2000)
    table = chart.table[chart.table["measure"] == "LSI"]
    positives = corrupted.sum() / 2000
    # Area under found against reviewed = AUROC after the corrupted ones themselves are taken out of the axis.
    area = (auc(table["reviewed"] / 2000, table["share"]) - positives / 2) / (1 - positives)
    listed = result.table().set_index(["measure", "metric"]).loc[("lsi", "AUROC"), "value"]
    assert area == pytest.approx(listed, abs=2e-3)
    assert len(precision_at(result.table()).table) == 2 * result.table()["metric"].str.startswith("precision").sum() / 2


@pytest.mark.parametrize("chart", [histogram(np.array([]), np.array([], int), [], {}), rank_plot(np.array([]))])
def test_nothing_to_show_is_said(chart: object) -> None:
    assert chart.alt == "No samples to show."  # type: ignore[attr-defined]


@settings(deadline=None)
@given(st.floats(-12, 3), st.floats(0.05, 14))
def test_ticks_lie_on_the_axis_and_are_few(low: float, span: float) -> None:
    positions, texts = log_ticks(low, low + span)
    assert len(positions) == len(texts) <= 9
    assert all(low - 1e-6 <= position <= low + span + 1e-6 for position in positions)
    assert len(set(texts)) == len(texts) >= (3 if span < 2 else 2)


def test_colours_are_distinct_stable_and_okabe_ito_first() -> None:
    for count in (3, 8, 9, 40):
        colours = class_colours(names(count))
        assert len(set(colours.values())) == count
        assert colours == class_colours(names(count))
    assert class_colours(["a", "b"]) == {"a": "#0072b2", "b": "#e69f00"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0113, "0.0113"), (5e-5, "5e-5"), (1234.5, "1,234"), (0.5, "0.5"), (math.inf, "∞"), (12.345, "12.3")],
)
def test_numbers_as_people_write_them(value: float, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(3.31, "3.3 s"), (59.7, "1 min 0 s"), (125, "2 min 5 s"), (4800, "1 h 20 min")]
)
def test_durations_as_people_say_them(value: float, text: str) -> None:
    assert words.seconds(value) == text


def test_names_never_act_as_markup() -> None:
    assert words.markdown("**a** [b](http://x) :red[c] $d$\n# e") == (
        r"\*\*a\*\* \[b\]\(http\://x\) \:red\[c\] \$d\$ \# e"
    )
    assert words.escape("<img src=x onerror='1'>") == "&lt;img src=x onerror=&#x27;1&#x27;&gt;"
