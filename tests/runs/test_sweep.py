"""A sweep: the runs that differ in one setting of their corruption, found, ordered, and drawn."""

from __future__ import annotations

import numpy as np
import pytest

from dashboard.charts.sweep import class_shift
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore
from lsi_engine.runs.sweep import sweep_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    folder = tmp_path_factory.mktemp("sweep")
    random = np.random.default_rng(0)
    labels = np.repeat(["a", "b"], 60)
    features = random.normal(size=(120, 4)) + 2 * (labels == "b")[:, None]
    np.savez(folder / "f.npz", features=features, labels=labels)
    store = RunStore(folder / "cache")
    config = RunConfig(name="x", source={"kind": "feature_file", "path": str(folder / "f.npz")})
    noise = {"kind": "feature_noise", "classes": ["b"], "seed": 0}
    runs = {
        "s2": [{**noise, "sigma": 2.0}],
        "s0": [{**noise, "sigma": 0.0}],
        "s0.5": [{**noise, "sigma": 0.5}],
        "other-seed": [{**noise, "sigma": 2.0, "seed": 1}],
        "two-differences": [{**noise, "sigma": 0.7, "seed": 1}],
        "flips": [{"kind": "flip_labels", "rate": 0.1, "seed": 0}],
        "clean": [],
    }
    for name, steps in runs.items():
        compute(config.model_copy(update={"name": name, "corruption": steps}), store)
    decayed = {"name": "decayed", "corruption": [{**noise, "sigma": 4.0}], "weight_decay": 0.1}
    compute(config.model_copy(update=decayed), store)
    return store


@pytest.mark.parametrize("name", ["s0", "s0.5"])
def test_runs_that_differ_in_one_setting_are_a_sweep(store: RunStore, name: str) -> None:
    found = sweep_of(store.open(name), store)
    assert found is not None
    assert (found.setting, list(found.runs.items())) == ("sigma", [(0.0, "s0"), (0.5, "s0.5"), (2.0, "s2")])
    scores = store.open("s2").scores()
    row = found.table[(found.table["value"] == 2.0) & (found.table["label"] == "b")].iloc[0]
    assert row["median"] == scores.loc[scores["label"] == "b", "lsi"].median()
    assert row["low"] <= row["median"] <= row["high"]
    assert row["samples"] == 60
    noisy = found.table[found.table["label"] == "b"]["median"].to_numpy()
    assert noisy[0] < noisy[2]


def test_the_setting_with_the_most_runs_is_taken_and_strangers_are_not(store: RunStore) -> None:
    assert sweep_of(store.open("s2"), store).setting == "sigma"
    assert sweep_of(store.open("two-differences"), store).runs == {0.7: "two-differences", 2.0: "other-seed"}
    for name in ("flips", "clean", "decayed"):
        assert sweep_of(store.open(name), store) is None


def test_the_chart_has_a_line_a_class_and_says_what_moved(store: RunStore) -> None:
    found = sweep_of(store.open("s0"), store)
    chart = class_shift(found.table, found.setting, {"a": "#112233", "b": "#445566"})
    assert [trace.name for trace in chart.figure.data] == ["a", "b"]
    assert list(chart.figure.data[1].x) == ["0.0", "0.5", "2.0"]
    np.testing.assert_allclose(10 ** np.array(chart.figure.data[1].y), found.table.query("label == 'b'")["median"])
    assert (np.array(chart.figure.data[0].error_y.array) >= 0).all()
    assert "from sigma 0.0 to 2.0" in chart.alt
