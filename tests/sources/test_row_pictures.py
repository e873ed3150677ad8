"""Pictures beside a feature file: found by path or by place, never outside their folder, never scored."""

from __future__ import annotations

import csv
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.components.media import image_url, media_routes, pictured, thumbnail
from dashboard.run_request import RunRequest
from lsi_engine.curation.cleaning import CleaningRule
from lsi_engine.curation.export import subset_of
from lsi_engine.curation.tree import write_tree
from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore
from lsi_engine.samples import feature_file, open_media, open_source

ROWS = 12
FEATURES = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32)
LABELS = ["cat", "dog"] * (ROWS // 2)


def npz(folder: Path, **more: Any) -> Path:
    np.savez(folder / "features.npz", features=FEATURES, labels=LABELS, **more)
    return folder / "features.npz"


def shade(row: int) -> int:
    return 20 * row


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Picture i is grey ``shade(i)``; torchvision's order of the folders, beside a file that is no picture."""
    folder = tmp_path / "pictures"
    names = [f"{label}/{n}.png" for label in ("ant", "ant-2", "bee") for n in range(4)]
    for row, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (80, 60), shade(row)).save(folder / name)
    (folder / "labels.csv").write_text("no picture")
    return folder


def grey(samples: Any, row: int) -> int:
    return int(np.asarray(open_media(samples.source, samples.table["media"].iat[row]))[0, 0])


def test_row_i_has_the_ith_image(tmp_path: Path, pictures: Path) -> None:
    samples = feature_file(npz(tmp_path), images=pictures)
    assert samples.modality == "image"
    assert [grey(samples, row) for row in range(ROWS)] == [shade(row) for row in range(ROWS)]
    np.testing.assert_array_equal(samples.features, FEATURES)
    assert open_source(samples.source).table.equals(samples.table)
    os.remove(pictures / "ant" / "0.png")
    with pytest.raises(InputError, match="11 images for 12 rows"):
        feature_file(npz(tmp_path), images=pictures)


def test_paths_are_held_below_their_folder(tmp_path: Path, pictures: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "secret.png")
    os.symlink(tmp_path / "secret.png", pictures / "link.png")
    paths = [
        "bee/0.png",
        "../secret.png",
        "link.png",
        "gone.png",
        str(pictures / "ant/1.png"),
        "labels.csv",
        "ant\\2.png",
    ]
    file = npz(tmp_path, image_paths=paths + [""] * 5)
    samples = feature_file(file, images=pictures)
    media = samples.table["media"].tolist()
    assert media == ["bee/0.png", "", "", "", "ant/1.png", "", "ant/2.png", *[""] * 5]
    said = dict(samples.skipped.to_numpy().tolist())
    assert "leads out" in said["picture ../secret.png of row 1"]
    assert "leads out" in said["picture link.png of row 2"]
    assert "no such file" in said["picture gone.png of row 3"]
    assert "not an image" in said["picture labels.csv of row 5"]
    assert len(said) == 4
    # Without a folder the paths begin beside the file, and nothing there fits: still scored, and said.
    alone = feature_file(file)
    assert alone.modality == "image"  # ../secret.png leads out, but the absolute path lies below the file's folder
    assert alone.table["media"].tolist()[4] == "pictures/ant/1.png"
    with pytest.raises(InputError, match="has none of the pictures"):
        feature_file(file, images=(pictures / "bee"))
    with pytest.raises(InputError, match="not there"):
        feature_file(file, images=tmp_path / "nowhere")


def test_paths_in_other_files(tmp_path: Path, pictures: Path) -> None:
    paths = [f"{label}/{n}.png" for label in ("bee", "ant") for n in range(4)] + [None] * 4
    frame = pd.DataFrame({"x": FEATURES[:, 0], "label": LABELS, "image_path": paths})
    frame.to_parquet(pictures / "rows.parquet")
    np.save(pictures / "rows.npy", FEATURES)
    np.save(pictures / "rows.labels.npy", LABELS)
    np.save(pictures / "rows.image_paths.npy", [path or "" for path in paths])
    for name in ("rows.parquet", "rows.npy"):
        samples = feature_file(pictures / name)
        assert samples.table["media"].tolist() == [path or "" for path in paths]
        assert grey(samples, 0) == shade(8)
    elsewhere = npz(tmp_path / "pictures" / "bee", image_paths=["missing.png"] * ROWS)
    assert feature_file(elsewhere).modality == "features"
    assert "--images" in str(feature_file(elsewhere).skipped["reason"].iat[0])


def test_cifar_batches_in_order_and_rows_without_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (8, 3072), dtype=np.uint8)
    folder = tmp_path / "cifar"
    folder.mkdir()
    for batch in (1, 2):
        stored = {b"data": pixels[4 * batch - 4 : 4 * batch], b"labels": [0, 1, 0, 1]}
        (folder / f"data_batch_{batch}").write_bytes(pickle.dumps(stored, protocol=2))
    config = RunConfig(name="rows", source={"kind": "feature_file", "path": str(npz(tmp_path)), "images": str(folder)})
    run = compute(config, RunStore(tmp_path / "cache"))[0]
    table = run.samples()
    assert table["media"].tolist()[3:9] == ["data_batch_1/3", *(f"data_batch_2/{n}" for n in range(4)), ""]
    shown = np.asarray(open_media(config.source, "data_batch_2/0"))
    np.testing.assert_array_equal(shown, pixels[4].reshape(3, 32, 32).transpose(1, 2, 0))

    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))
    client = TestClient(Starlette(routes=media_routes()))
    first, last = "row-000000", "row-000011"
    assert client.get(image_url(run, first, "192")).headers["content-type"] == "image/webp"
    placeholder = client.get(image_url(run, last, "192"))
    assert placeholder.headers["content-type"] == "image/svg+xml"
    assert last in placeholder.text
    assert thumbnail(run, last, "192") is None
    assert pictured(run, table["sample_id"]).tolist() == [True] * 8 + [False] * 4

    tree = write_tree(subset_of(run, CleaningRule(), tmp_path / "cache"), run, "imagefolder", tmp_path / "tree")
    assert len(list(tree.rglob("*.png"))) == 8
    lacking = list(csv.DictReader((tree / "without_picture.csv").open()))
    assert [row["sample_id"] for row in lacking] == table["sample_id"].tolist()[8:]

    os.rename(folder / "data_batch_1", folder / "data_batch_3")
    with pytest.raises(InputError, match="no data_batch_1"):
        feature_file(tmp_path / "features.npz", images=folder)


def test_pictures_do_not_change_a_score(tmp_path: Path, pictures: Path) -> None:
    plain = {"kind": "feature_file", "path": str(npz(tmp_path))}
    runs = [
        compute(RunConfig(name=name, source=source), RunStore(tmp_path / "cache"))[0]
        for name, source in (("without", plain), ("with", plain | {"images": str(pictures)}))
    ]
    assert runs[0].scores().equals(runs[1].scores())
    assert runs[0].provenance["dataset_fingerprint"] == runs[1].provenance["dataset_fingerprint"]


def test_the_form_asks_for_the_same(tmp_path: Path, pictures: Path) -> None:
    request = RunRequest(kind="features", name="r", path=str(npz(tmp_path)), images=str(pictures))
    assert not request.problems(RunStore(tmp_path / "cache"))
    source = request.config().source
    assert (source["images"], source["path"]) == (str(pictures), str(tmp_path / "features.npz"))
    wrong = RunRequest(kind="features", name="r", path=str(npz(tmp_path)), images=str(tmp_path / "features.npz"))
    assert wrong.problems(RunStore(tmp_path / "cache"))[0].startswith("Pictures: ")
