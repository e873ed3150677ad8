"""Feature files: what is accepted, and which row or length is named when something is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.run_request import RunRequest
from lsi_engine.cli.compute.commands import plan
from lsi_engine.errors import InputError
from lsi_engine.runs.store import RunStore
from lsi_engine.samples import feature_file, open_source

FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3)


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "features.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("u1", "f4"), ("i2", "f4"), ("i8", "f8"), (">f4", "f4")],
)
def test_numbers_of_every_width(tmp_path: Path, dtype: str, stored: str) -> None:
    samples = feature_file(npz(tmp_path, features=FEATURES.astype(dtype), labels=[0, 1, 0, 1]))
    assert samples.features.dtype == np.dtype(stored)
    np.testing.assert_array_equal(samples.features, FEATURES)
    assert samples.modality == "features"
    assert samples.table["sample_id"].tolist() == [f"row-{row:06d}" for row in range(4)]
    assert open_source(samples.source).table.equals(samples.table)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array([7, 2, 7, 900]), ["7", "2", "7", "900"]),
        (np.array([1.0, 2.0, 1.0, 3.0]), ["1", "2", "1", "3"]),
        (np.array(["a b", "ä", "<b>", "a b"]), ["a b", "ä", "<b>", "a b"]),
        (np.array([b"x", b"y", b"x", b"y"]), ["x", "y", "x", "y"]),
        (np.array([True, False, True, False]), ["True", "False", "True", "False"]),
    ],
)
def test_labels_of_every_type(tmp_path: Path, labels: np.ndarray, names: list[str]) -> None:
    assert feature_file(npz(tmp_path, features=FEATURES, labels=labels)).table["label"].tolist() == names


def test_ids_groups_and_true_labels(tmp_path: Path) -> None:
    path = npz(
        tmp_path,
        features=FEATURES,
        labels=["a", "b", "a", "b"],
        sample_ids=["plain-1", "scan 2/left.png", "plain-3", "ü"],
        groups=[1, 1, 2, 2],
        true_labels=["a", "a", "a", "b"],
    )
    table = feature_file(path).table
    assert table["name"].tolist() == ["plain-1", "scan 2/left.png", "plain-3", "ü"]
    assert table["sample_id"].iloc[[0, 2]].tolist() == ["plain-1", "plain-3"]
    assert table["sample_id"].str.fullmatch("[A-Za-z0-9_-]+").all()
    assert table["group"].tolist() == ["1", "1", "2", "2"]
    assert table["corrupted"].tolist() == [False, True, False, False]


def test_rows_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    features = np.zeros((9000, 3), np.float32)
    features[2, 1], features[8500, 2] = np.nan, -np.inf
    labels = np.array(["a", "b"] * 4500)
    labels[5] = " "
    samples = feature_file(npz(tmp_path, features=features, labels=labels))
    assert len(samples) == 8997
    assert samples.skipped.to_numpy().tolist() == [
        ["row 2", "feature 1 is nan"],
        ["row 5", "has no label"],
        ["row 8500", "feature 2 is -inf"],
    ]
    assert samples.table["sample_id"].iloc[[1, 2]].tolist() == ["row-000001", "row-000003"]
    assert len(samples.features) == len(samples.table)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": [0, 1, 2]}, "4 rows of features but 3 of label"),
        ({"sample_ids": ["a"] * 5}, "4 rows of features but 5 of sample_id"),
        ({"sample_ids": ["a", "b", "b", "c"]}, "sample id 'b' occurs more than once"),
        ({"labels": [0.0, 1.5, 2.0, 0.0]}, "row 1, label: the label 1.5"),
        ({"labels": [0.0, 1.0, np.inf, 0.0]}, "row 2, label: the label inf"),
        ({"labels": [[0, 1, 0, 1]]}, "label must have one value a sample"),
        ({"labels": ["same"] * 4}, "all 4 samples are of class 'same'"),
        ({"labels": np.array(["a", None, 1, "b"], dtype=object)}, "dtype=str"),
        ({"features": np.zeros(4)}, r"not of shape \(4,\)"),
        ({"features": np.zeros((4, 0))}, r"not of shape \(4, 0\)"),
        ({"features": np.zeros((0, 3)), "labels": []}, "holds no samples"),
        ({"features": np.full((4, 3), "x")}, "must be real numbers"),
        ({"features": np.full((4, 3), np.nan)}, "no usable sample.*row 0: feature 0 is nan"),
    ],
)
def test_what_cannot_be_scored_is_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = npz(tmp_path, **({"features": FEATURES, "labels": [0, 1, 0, 1]} | arrays))
    with pytest.raises(InputError, match=message) as raised:
        feature_file(path)
    assert "features.npz" in str(raised.value)


def test_files_that_are_no_feature_files(tmp_path: Path) -> None:
    whole = npz(tmp_path, features=FEATURES, labels=[0, 1, 0, 1]).read_bytes()
    for name, payload in {"half.npz": whole[:300], "text.npz": b"no", "empty.npz": b"", "x.parquet": b"PAR1"}.items():
        (tmp_path / name).write_bytes(payload)
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            feature_file(tmp_path / name)
    with pytest.raises(InputError, match="there is no feature file"):
        feature_file(tmp_path / "gone.npz")
    with pytest.raises(InputError, match=r"holds no 'features', only x"):
        feature_file(npz(tmp_path, x=FEATURES))
    (tmp_path / "table.csv").write_text("a,b\n")
    with pytest.raises(InputError, match=r"neither \.npz, \.npy nor \.parquet"):
        feature_file(tmp_path / "table.csv")


def test_parquet_with_a_column_of_lists(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    frame = pd.DataFrame(
        {"sample_id": list("abcd"), "label": [3, None, 1, 3], "group": ["g"] * 4, "embedding": list(FEATURES)},
        index=pd.Index([9, 8, 7, 6]),
    )
    frame.to_parquet(path)
    samples = feature_file(path)
    assert samples.table["sample_id"].tolist() == ["a", "c", "d"]
    assert samples.table["label"].tolist() == ["3", "1", "3"]
    assert samples.skipped.to_numpy().tolist() == [["row 1", "has no label"]]
    np.testing.assert_array_equal(samples.features, FEATURES[[0, 2, 3]])

    frame["embedding"] = [[1.0, 2.0], [1.0, 2.0], [1.0], [1.0, 2.0]]
    frame.to_parquet(path)
    with pytest.raises(InputError, match="row 2 of 'embedding' has 1 values, row 0 has 2"):
        feature_file(path)


def test_parquet_with_columns_of_numbers(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    frame = pd.DataFrame({"label": list("abab"), "x": [1.0, 2.0, None, 4.0], "y": [1, 2, 3, 4]}, index=list("pqrs"))
    frame.to_parquet(path)
    samples = feature_file(path)
    np.testing.assert_array_equal(samples.features, [[1, 1], [2, 2], [4, 4]])
    assert samples.skipped.to_numpy().tolist() == [["row 2", "feature 0 is nan"]]
    frame.assign(comment="text").to_parquet(path)
    with pytest.raises(InputError, match="column 'comment' is "):
        feature_file(path)
    frame[["label"]].to_parquet(path)
    with pytest.raises(InputError, match="no feature columns"):
        feature_file(path)
    frame[["x"]].to_parquet(path)
    with pytest.raises(InputError, match="no column 'label'"):
        feature_file(path)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=70), min_size=2, max_size=8, unique_by=str.strip))
def test_given_ids_stay_apart_and_do_not_depend_on_each_other(tmp_path_factory: Any, ids: list[str]) -> None:
    ids = [given for given in ids if given.strip() and "\x00" not in given]
    if len(ids) < 2:
        return
    folder = tmp_path_factory.mktemp("ids")
    columns = {"features": np.zeros((len(ids), 2)), "labels": np.arange(len(ids))}
    table = feature_file(npz(folder, sample_ids=np.array(ids), **columns)).table
    assert table["sample_id"].is_unique
    assert table["sample_id"].str.fullmatch("[A-Za-z0-9_-]{1,64}").all()
    backwards = {name: values[::-1] for name, values in columns.items()}
    again = feature_file(npz(folder, sample_ids=np.array(ids[::-1]), **backwards)).table
    assert again["sample_id"].tolist()[::-1] == table["sample_id"].tolist()


def test_a_bare_array_is_memory_mapped_and_has_its_labels_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", FEATURES.astype(np.float16))
    with pytest.raises(InputError, match=r"there is no x\.labels\.npy beside it"):
        feature_file(tmp_path / "x.npy")
    np.save(tmp_path / "x.labels.npy", np.array([3, 1, 3, 1]))
    np.save(tmp_path / "x.groups.npy", np.array(["a", "a", "b", "b"]))
    samples = feature_file(tmp_path / "x.npy")
    assert isinstance(samples.features, np.memmap)
    assert samples.features.dtype == np.float16
    assert samples.table["label"].tolist() == ["3", "1", "3", "1"]
    assert samples.table["group"].tolist() == ["a", "a", "b", "b"]
    np.save(tmp_path / "x.labels.npy", np.ones((4, 2)))
    with pytest.raises(InputError, match="one value a sample"):
        feature_file(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match=r"cannot be read as \.npy|one value"):
        feature_file(tmp_path / "x.npy")


def test_numbered_classes_are_called_by_their_names(tmp_path: Path) -> None:
    path = npz(tmp_path, features=FEATURES, labels=[0, 2, 1.0, 2], true_labels=[0, 1, 1, 2])
    samples = feature_file(path, class_names=["cat", "dog, small", "bird"])
    assert samples.table["label"].tolist() == ["cat", "bird", "dog, small", "bird"]
    assert samples.table["true_label"].tolist() == ["cat", "dog, small", "dog, small", "bird"]
    assert open_source(samples.source).table.equals(samples.table)
    with pytest.raises(InputError, match=r"features\.npz, label: row 1 is '2', and the 2 class names are of 0 to 1"):
        feature_file(path, class_names=["cat", "dog"])


def test_the_command_line_takes_names_or_a_file_of_them(tmp_path: Path) -> None:
    path = npz(tmp_path, features=FEATURES, labels=[0, 1, 0, 1])
    (tmp_path / "names.txt").write_text("Käfer\nant, red\n\n", encoding="utf-8")

    def named(given: str) -> list[str]:
        return plan(["features", "--class-names", given, "--", str(path)])[0].source["class_names"]

    assert named("cat, dog") == ["cat", "dog"]
    assert named(str(tmp_path / "names.txt")) == ["Käfer", "ant, red"]
    for wrong in ("cat,cat", "cat,,dog"):
        with pytest.raises(InputError, match="class names: number 1 is"):
            named(wrong)
    request = RunRequest(kind="features", name="named", path=str(path), class_names="cat,cat")
    assert any("Class names: number 1 is 'cat'" in problem for problem in request.problems(RunStore(tmp_path)))


@pytest.mark.parametrize("kind", ["npz", "npy", "parquet"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float64, np.longdouble])
def test_differences_that_single_precision_rounds_are_kept(tmp_path: Path, kind: str, dtype: type) -> None:
    """Large numbers with small differences: times, counts, coordinates."""
    features = (2**30 + np.arange(12).reshape(4, 3)).astype(dtype)
    labels, path = np.array(["a", "b"] * 2), tmp_path / f"f.{kind}"
    if kind == "npz":
        np.savez(path, features=features, labels=labels)
    elif kind == "npy":
        np.save(path, features)
        np.save(tmp_path / "f.labels.npy", labels)
    elif dtype is np.longdouble:
        return  # Parquet has none
    else:
        pd.DataFrame(features, columns=list("xyz")).assign(label=labels).to_parquet(path)
    read = feature_file(path).features
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read - read[0], np.arange(12).reshape(4, 3) - np.arange(3))
