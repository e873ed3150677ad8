"""Tables: which columns are measured, which row is left out and why, and the two datasets that need no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from lsi_engine.errors import InputError
from lsi_engine.samples import breast_cancer, demo_texts, open_source, table

FRAME = pd.DataFrame(
    {
        "id": [7, 3, 9, 4, 5],
        "height": [1.5, 2.0, np.nan, 1e300, 0.25],
        "city": ["Ulm", "Bonn", "Köln", "Ulm", "Bonn"],
        "count": [1, 2, 3, 4, 5],
        "species": ["a", "b", "a", "b", "a"],
    }
)


def saved(frame: pd.DataFrame, folder: Path, kind: str = "csv") -> Path:
    path = folder / f"table.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    return path


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "jsonl", "parquet"])
def test_every_file_gives_the_same_samples(tmp_path: Path, kind: str) -> None:
    samples = table(saved(FRAME.replace(1e300, np.inf) if kind != "jsonl" else FRAME, tmp_path, kind))
    assert samples.features is not None
    np.testing.assert_array_equal(samples.features, np.float32([[1.5, 1], [2.0, 2], [0.25, 5]]))
    assert samples.table["label"].tolist() == ["a", "b", "a"]
    assert samples.table["sample_id"].tolist() == ["7", "3", "5"]
    reasons = dict(samples.skipped.to_numpy().tolist())
    assert "e.g. 'Ulm'" in reasons["column 'city'"]
    assert "no measurement" in reasons["column 'id'"]
    third, fourth = ("row 2", "row 3") if kind == "parquet" else ("line 3", "line 4")
    third, fourth = ("line 4", "line 5") if kind.startswith(("csv", "tsv")) else (third, fourth)
    assert reasons[third] == "column 'height' is missing"
    assert reasons[fourth].startswith("column 'height' is ")
    assert open_source(samples.source).table.equals(samples.table)


def test_cells_that_are_no_numbers_cost_their_row_not_their_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",x,y,kind\n0,1,2,a\n1,?,2,b\n2,1_000,2,a\n3,3,inf,b\n4,4,5,\n5,1,2,3,4\n6,6,7,b\n7,1e2,-.5,a\n")
    samples = table(path, label_column="kind")
    assert samples.features is not None
    np.testing.assert_array_equal(samples.features, np.float32([[1, 2], [6, 7], [100, -0.5]]))
    assert samples.table["position"].tolist() == [0, 6, 7]
    reasons = dict(samples.skipped.to_numpy().tolist())
    assert reasons == {
        "column ''": "numbers the rows; that is no measurement",
        "line 7": "has 5 cells where the first line has 4",
        "line 3": "column 'x' is missing",
        "line 4": "column 'x' is '1_000'",
        "line 5": "column 'y' is 'inf'",
        "line 6": "has no label",
    }


@pytest.mark.parametrize(
    ("columns", "arguments", "message"),
    [
        ({"x": [1, 2], "place": ["u", "v"], "kind": ["a", "b"]}, {}, r"--label-column.*'x', 'place', 'kind'"),
        ({"x": [1, 2], "y": [1, 2], "label": [0, 1]}, {}, "'y' and 'label' could each be the label"),
        ({"x": [1, 2], "label": ["a", "b"]}, {"label_column": "gone"}, "no label column 'gone'"),
        ({"x": ["one", "two"], "label": ["a", "b"]}, {}, "no column of numbers.*'x'.*e.g. 'one'"),
        ({"x": [1, 2], "label": ["a", "a"]}, {}, "all 2 samples are of class 'a'"),
        ({"x": [1.0, 2.0], "label": [0.5, 1.5]}, {}, "the label 0.5 is not a class"),
    ],
)
def test_what_cannot_be_scored_is_named(
    tmp_path: Path, columns: dict[str, Any], arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        table(saved(pd.DataFrame(columns), tmp_path, "parquet"), **arguments)


def test_labels_that_are_numbers_are_classes_by_name_alone(tmp_path: Path) -> None:
    samples = table(saved(pd.DataFrame({"x": [1, 2, 3], "quality": [5, 6, 5]}), tmp_path), label_column="quality")
    assert samples.table["label"].tolist() == ["5", "6", "5"]
    assert samples.features is not None
    assert samples.features.shape == (3, 1)


def test_breast_cancer_is_scikit_learns_own() -> None:
    samples, bundle = breast_cancer(), load_breast_cancer()
    assert samples.features is not None
    np.testing.assert_allclose(samples.features, bundle.data, rtol=1e-6)
    assert samples.table["label"].tolist() == list(bundle.target_names[bundle.target])
    assert samples.table["label"].value_counts().to_dict() == {"benign": 357, "malignant": 212}


def test_the_demo_says_what_is_planted_and_is_always_the_same() -> None:
    samples = demo_texts()
    frame = samples.table
    assert len(frame) == frame["text"].nunique() == 400
    assert frame["label"].nunique() == 4
    assert frame["corrupted"].sum() == 24
    assert (frame["corrupted"] == (frame["planted"] == "mislabelled")).all()
    assert frame["planted"].str.startswith("ambiguous").sum() == 24
    pd.testing.assert_frame_equal(open_source(samples.source).table, frame)
    assert "synthetic" in samples.name


def test_a_column_of_ids_is_refused_as_labels(tmp_path: Path) -> None:
    file = tmp_path / "measures.csv"
    file.write_text("a,b,patient\n" + "".join(f"{n},{n * n % 7},p{n // 2 * 2 + n % 2}\n" for n in range(200)))
    with pytest.raises(InputError, match=r"200 different labels on 200 samples, such as 'p0' and 'p1'"):
        table(file, label_column="patient")
    file.write_text("a,b,kind\n" + "".join(f"{n},{n * n % 7},k{n % 100}\n" for n in range(200)))
    assert table(file, label_column="kind").table["label"].nunique() == 100


def test_differences_that_single_precision_rounds_are_kept(tmp_path):
    path = tmp_path / "times.csv"
    path.write_text("time,kind\n" + "".join(f"{1700000000.25 + row},{'ab'[row % 2]}\n" for row in range(4)))
    np.testing.assert_array_equal(table(path).features[:, 0] - 1700000000.25, [0, 1, 2, 3])
