"""Figures drawn without a browser: well-formed, to scale, names as text, for every chart that a report or page has."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.charts.chart import Chart, base
from dashboard.charts.class_summary import class_summary
from dashboard.charts.detection import detection_curve, precision_at
from dashboard.charts.ecdf import ecdf
from dashboard.charts.groups import Group, compare_groups
from dashboard.charts.histogram import histogram
from dashboard.charts.rank import rank_plot
from dashboard.charts.violins import by_class
from dashboard.report.drawing import drawn
from dashboard.theme import class_colours
from lsi_engine.runs.evaluation import evaluate

HOSTILE = '"><img src=x onerror="alert(1)">&amp;'
#: Everything a drawing is made of; nothing that runs, fetches or embeds.
ELEMENTS = {"svg", "g", "path", "rect", "circle", "text", "tspan"}
ATTRIBUTES = re.compile(r"(?!on|href|style)[a-z-]+|viewBox")


def parsed(chart: Chart) -> ElementTree.Element:
    root = ElementTree.fromstring(drawn(chart))
    for element in root.iter():
        assert element.tag in ELEMENTS
        assert all(ATTRIBUTES.fullmatch(name) for name in element.attrib), element.attrib
        assert "nan" not in " ".join(value for name, value in element.attrib.items() if name != "aria-label")
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(element.itertext()) for element in root.iter("text")]


def scores(classes: int, count: int = 1500) -> tuple[np.ndarray, np.ndarray, list[str]]:
    random = np.random.default_rng(0)
    codes = random.integers(0, classes, count)
    return np.exp(random.normal(-6 + codes % 5, 2)), codes, [f"{HOSTILE}{n}" for n in range(classes)]


@pytest.mark.parametrize("classes", [1, 3, 20, 60])
def test_classes_are_drawn_with_their_names_as_text(classes: int) -> None:
    lsi, codes, names = scores(classes)
    root = parsed(by_class(lsi, codes, names, class_colours(names), class_summary(lsi, codes, names)))
    written = " ".join(texts(root))
    assert written.count('"><img src=x') == classes
    assert "&lt;" not in written


def test_the_other_charts_of_the_pages_are_drawn() -> None:
    lsi, codes, names = scores(3)
    frame = pd.DataFrame({"lsi": lsi, "suspicion": lsi / lsi.max(), "corrupted": codes == 0})
    found = evaluate(frame, resamples=5)
    curves = {measure: found.curve(measure) for measure in ("lsi", "suspicion")}
    charts = {
        "rank": rank_plot(lsi, cut=float(np.median(lsi))),
        "ecdf": ecdf(lsi),
        "detection": detection_curve(curves, found.corrupted, len(frame)),
        "precision": precision_at(found.table()),
        "groups": compare_groups([Group(HOSTILE, lsi, "#123456")], measure="LSI", log=True),
        "shaded": histogram(lsi, codes, names, class_colours(names), selected=(0.01, float("inf"))),
        "empty": ecdf(np.array([])),
    }
    roots = {name: parsed(chart) for name, chart in charts.items()}
    assert "rank (1 = highest LSI)" in texts(roots["rank"])
    assert "share of all information" in texts(roots["ecdf"])
    assert "100%" in texts(roots["detection"])
    assert any(text.startswith('"><img') for text in texts(roots["groups"]))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=12))
def test_bars_are_as_tall_as_their_counts(counts: list[int]) -> None:
    figure = base(320)
    figure.add_bar(x=list(range(len(counts))), y=counts, width=1, marker={"color": "#000000"})
    bars = [element.attrib["d"] for element in parsed(Chart(figure, pd.DataFrame(), "bars")).iter("path")]
    steps = re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)H", next(d for d in bars if d.count("z") == len(counts)))
    heights = np.array([float(bottom) - float(top) for bottom, top in steps])
    assert heights / heights.max() == pytest.approx(np.array(counts) / max(counts), abs=0.005)


def test_what_no_chart_has_is_refused() -> None:
    figure = base(300)
    figure.add_pie(values=[1, 2])
    with pytest.raises(ValueError, match="pie"):
        drawn(Chart(figure, pd.DataFrame(), ""))
