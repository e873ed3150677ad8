"""The filter object: to the URL and back, which rows it keeps, what its chips say, and a change of runs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.view.lasso import inside
from dashboard.view.view import DECISIONS, View

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ends = st.floats(allow_nan=False)
ranges = st.none() | st.tuples(ends, ends).map(lambda pair: (min(pair), max(pair)))
several = st.lists(names, max_size=4, unique=True).map(tuple)
corner = st.tuples(st.floats(-1, 2), st.floats(-1, 2))
lassos = st.tuples(st.sampled_from(["pca", "umap"]), st.lists(corner, min_size=3, max_size=12).map(tuple))
views = st.builds(
    View,
    run=names,
    classes=several,
    lsi=ranges,
    suspicion=ranges,
    corrupted=st.none() | st.booleans(),
    split=several,
    decisions=st.lists(st.sampled_from(DECISIONS), unique=True).map(tuple),
    search=names,
    lasso=st.none() | lassos,
)


@settings(deadline=None)
@given(views)
def test_a_view_survives_its_own_url(view: View) -> None:
    assert View.from_query(view.to_query()) == view


@settings(deadline=None)
@given(views)
def test_removing_every_chip_one_by_one_leaves_no_condition(view: View) -> None:
    seen = 0
    while chips := view.chips():
        assert len(chips[0].without.chips()) == len(chips) - 1
        view = chips[0].without
        seen += 1
    assert view == View(run=view.run)
    assert view.conditions == 0


@pytest.mark.parametrize("text", ["", "1", "a..b", "2..1", "nan..1", "1..nan", "..", "1.."])
def test_a_range_nobody_could_have_set_is_no_condition(text: str) -> None:
    assert View.from_query({"run": "r", "lsi": text}) == View(run="r")


def test_values_a_link_invents_are_no_condition() -> None:
    assert View.from_query({"run": ["r"], "decision": ["burn"], "corrupted": ["maybe"], "x": ["y"]}) == View(run="r")


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample_id": pd.array(["a1", "b2", "c3", "d4"], dtype="str"),
            "name": pd.array(["Cat.png", "dog (1).png", "cat2.png", "emu.png"], dtype="str"),
            "label": pd.Categorical(["cat", "dog", "cat", "emu"]),
            "lsi": [0.0, 0.5, 2.0, np.nan],
            "suspicion": [0.1, 0.9, 0.5, 0.2],
            "corrupted": [False, True, False, False],
            "decision": pd.Categorical(["undecided", "keep", "drop", "undecided"], categories=list(DECISIONS)),
        }
    )


@pytest.mark.parametrize(
    ("view", "kept"),
    [
        (View(), "1111"),
        (View(classes=("cat",)), "1010"),
        (View(classes=("cat", "emu")), "1011"),
        (View(classes=("yak",)), "0000"),
        (View(lsi=(0.0, 0.5)), "1100"),
        (View(lsi=(0.5, math.inf)), "0110"),
        (View(suspicion=(0.5, 1.0)), "0110"),
        (View(corrupted=True), "0100"),
        (View(corrupted=False), "1011"),
        (View(decisions=("undecided", "drop")), "1011"),
        (View(search="CAT"), "1010"),
        (View(search="(1)"), "0100"),
        (View(search="b2"), "0100"),
        (View(split=("train",)), "0000"),
        (View(classes=("cat",), lsi=(1.0, 3.0), decisions=("drop",)), "0010"),
    ],
)
def test_mask_keeps_rows_that_meet_every_condition(frame: pd.DataFrame, view: View, kept: str) -> None:
    assert view.mask(frame).tolist() == [flag == "1" for flag in kept]


def test_a_condition_on_a_column_the_run_lacks_keeps_nothing(frame: pd.DataFrame) -> None:
    assert not View(corrupted=False).mask(frame.drop(columns="corrupted")).any()


@settings(deadline=None)
@given(views)
def test_a_mask_is_the_intersection_of_its_conditions(view: View) -> None:
    frame = pd.DataFrame(
        {
            "sample_id": pd.array(["a", "b", "c"], dtype="str"),
            "name": pd.array(["x", "y", "\u00e9"], dtype="str"),
            "label": pd.Categorical(["k", "l", "k"]),
            "split": pd.Categorical(["s", "t", "s"]),
            "lsi": [0.1, 1.0, 10.0],
            "suspicion": [0.0, 0.5, 1.0],
            "corrupted": [True, False, True],
            "decision": pd.Categorical(["keep", "undecided", "drop"], categories=list(DECISIONS)),
            "map_x": [0.1, 0.5, np.nan],
            "map_y": [0.9, 0.5, np.nan],
        }
    )
    fields = ("classes", "lsi", "suspicion", "corrupted", "split", "decisions", "search", "lasso")
    alone = [View(**{field: getattr(view, field)}).mask(frame) for field in fields]  # type: ignore[arg-type]
    assert np.array_equal(view.mask(frame), np.logical_and.reduce(alone))


def test_chips_say_conditions_in_plain_words() -> None:
    view = View(
        run="r",
        classes=("cat",),
        lsi=(0.29, math.inf),
        suspicion=(0.0, 0.5),
        corrupted=True,
        decisions=("undecided",),
        search="x",
    )
    assert [chip.text for chip in view.chips()] == [
        "Class cat",
        "Decision undecided",
        "LSI ≥ 0.29",
        "Suspicion ≤ 0.5",
        "Corrupted only",
        "Contains “x”",
    ]
    assert View(lsi=(0.01, 3.0)).chips()[0].text == "LSI 0.01 to 3"


def test_a_change_of_runs_keeps_what_means_the_same_there(frame: pd.DataFrame) -> None:
    view = View(
        run="old",
        classes=("cat", "yak"),
        lsi=(0.1, 1.0),
        suspicion=(0.5, 1.0),
        corrupted=True,
        split=("train",),
        decisions=("keep",),
        search="cat",
    )
    there = view.on_run("new", frame, same_samples=True)
    assert there == View(
        run="new", classes=("cat",), suspicion=(0.5, 1.0), corrupted=True, decisions=("keep",), search="cat"
    )
    elsewhere = view.on_run("new", frame.drop(columns="corrupted"), same_samples=False)
    assert elsewhere == View(run="new", classes=("cat",), suspicion=(0.5, 1.0), decisions=("keep",))


@pytest.mark.parametrize(
    "text", ["", "pca", "pca:", "tsne:0,0;1,0;1,1", "pca:0,0;1,1", "pca:0,0;1,nan;1,1", "pca:0;1;2"]
)
def test_an_area_nobody_could_have_drawn_is_no_condition(text: str) -> None:
    assert View.from_query({"run": "r", "lasso": text}) == View(run="r")


def test_an_area_keeps_what_lies_in_it(frame: pd.DataFrame) -> None:
    points = np.random.default_rng(0).uniform(size=(len(frame), 2))
    points[0] = np.nan
    placed = frame.assign(map_x=points[:, 0], map_y=points[:, 1])
    lower_left = View(lasso=("pca", ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))))
    assert lower_left.mask(placed).tolist() == (points.sum(axis=1) < 1).tolist()
    assert not lower_left.mask(frame).any(), "a map that is not there holds nothing"
    assert lower_left.on_run("other", frame, same_samples=True).lasso is None


@settings(deadline=None, max_examples=50)
@given(st.integers(3, 9), st.integers(0, 2**31))
def test_a_convex_area_is_where_every_edge_has_the_point_on_its_left(sides: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, sides))
    corners = 0.5 + 0.4 * np.column_stack([np.cos(angles), np.sin(angles)])
    points = random.uniform(size=(200, 2))
    edges = np.roll(corners, -1, axis=0) - corners
    towards = points[:, None] - corners[None]
    left = edges[None, :, 0] * towards[:, :, 1] - edges[None, :, 1] * towards[:, :, 0]
    assert inside(points, [(float(x), float(y)) for x, y in corners]).tolist() == (left > 0).all(axis=1).tolist()
