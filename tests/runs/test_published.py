"""Published scores: what ships is whole and says where it comes from, and it joins only the dataset that was scored."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lsi_engine.curation import Decisions
from lsi_engine.curation.rescore import rescore
from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.published import available, facts_of, load, publish
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import Run, RunStore
from lsi_engine.scores.table import SCORE_COLUMNS

SHIPPED = Path(__file__).resolve().parents[2] / "data_cache" / "scores"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.parquet")), ids=lambda path: path.stem)
def test_shipped_scores_are_whole_small_and_free_of_images(path: Path) -> None:
    facts, table = facts_of(path), pd.read_parquet(path)
    assert len(table) == facts["samples"]
    assert sum(part.stat().st_size for part in SHIPPED.glob(f"{path.stem}.*")) < 3_000_000
    assert {"sample_id", "label", "lsi_mean_shift", "lsi_covariance", "leverage"} <= set(table)
    assert set(table) - {"content", *(f"p{k}" for k in range(len(facts["classes"])))} <= {
        "sample_id",
        "label",
        "lsi_mean_shift",
        "lsi_covariance",
        "leverage",
    }
    assert set(table["label"]) == set(facts["classes"])
    assert (table["lsi_mean_shift"] + table["lsi_covariance"] >= 0).all()
    assert facts["licence"]
    assert facts["settings"]["hessian"] == "full"
    assert "root" not in facts["source"]
    stated = json.dumps(facts)
    assert not [word for word in ("/home", "/tmp", "/root", "/work", "http") if word in stated]


def test_the_three_datasets_are_shipped() -> None:
    assert {path.stem for path in SHIPPED.glob("*.parquet")} == {"cifar10", "digits", "pneumonia"}
    ids = pd.read_parquet(SHIPPED / "cifar10.parquet", columns=["sample_id"])["sample_id"]
    assert (len(ids), ids.iloc[0], ids.iloc[20_003]) == (50_000, "cifar10-1-00000", "cifar10-3-00003")


def test_loaded_digits_are_the_computed_ones_and_can_be_reviewed_on(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    loaded = load("digits", None, store)
    computed, _ = compute(RunConfig(name="fresh", source={"kind": "digits"}, hessian="full"), store)
    ours, theirs = loaded.scores(), computed.scores()
    assert list(ours.columns) == list(theirs.columns)
    for column in SCORE_COLUMNS:
        if ours[column].dtype.kind == "f":
            np.testing.assert_allclose(ours[column], theirs[column], rtol=5e-3, atol=2e-3, err_msg=column)
    assert (ours["loo_predicted_label"] == theirs["loo_predicted_label"]).mean() > 0.999
    assert ours["suspicion"].corr(theirs["suspicion"], method="spearman") > 0.9999
    np.testing.assert_allclose(loaded.probabilities().sum(axis=1), 1, atol=1e-5)
    assert loaded.provenance["dataset_fingerprint"] == computed.provenance["dataset_fingerprint"]
    assert (loaded.status.state, features_of(loaded, tmp_path).shape) == ("done", (1797, 64))
    doubtful = ours.nlargest(1, "suspicion").iloc[0]
    Decisions(loaded.decisions_path).record(
        doubtful["sample_id"],
        "relabel",
        new_label=doubtful["suggested_label"],
        reviewer="tester",
        expected_revision=0,
        given_label=doubtful["label"],
    )
    assert len(rescore(loaded, store).scores()) == 1797
    with pytest.raises(InputError, match="run 'digits' exists"):
        load("digits", None, store)


def batches(folder: Path, labels: dict[int, list[int]], seed: int = 0) -> Path:
    folder.mkdir()
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"cat", b"dog", b"ship"]}, protocol=2))
    for number, given in labels.items():
        random = np.random.default_rng(seed + number)
        pixels = random.integers(0, 200, (len(given), 3072)) + 25 * np.array(given)[:, None]
        content = {b"data": pixels.astype(np.uint8), b"labels": given}
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps(content, protocol=2))
    return folder


def scored(store: RunStore, source: dict[str, str], name: str, by_content: bool = False) -> Run:
    extractor = {"kind": "pixels", "image_size": 4}
    run, _ = compute(RunConfig(name=name, source=source, extractor=extractor, hessian="full"), store)
    facts = {
        "title": "a set",
        "source": {"kind": source["kind"]},
        "how": "pixels",
        "licence": "none",
    }
    publish(run, store.cache / "scores", name, facts, by_content=by_content)
    return run


FIRST, SECOND = [0, 1, 2, 0, 1, 2, 0, 1], [2, 2, 1, 1, 0, 0, 1, 2]


def test_scores_join_another_copy_and_a_part_of_it(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "cache")
    root = batches(tmp_path / "all", {1: FIRST, 2: SECOND})
    run = scored(store, {"kind": "cifar10", "root": str(root)}, "ours")
    part = batches(tmp_path / "part", {2: SECOND})
    loaded = load("ours", part, store, run_name="part")
    expected = run.scores().iloc[8:].reset_index(drop=True)
    np.testing.assert_allclose(loaded.scores()["lsi"], expected["lsi"], rtol=1e-6)
    assert loaded.scores()["name"].tolist() == expected["name"].tolist()
    assert "8 of 16 published scores have no sample here" in loaded.provenance["warnings"][0]
    more = batches(tmp_path / "more", {1: FIRST, 2: SECOND, 3: [0, 1]})
    longer = load("ours", more, store, run_name="more")
    assert longer.skipped()["item"].tolist() == ["data_batch_3/0", "data_batch_3/1"]
    assert longer.scores()["position"].tolist() == list(range(16))


def test_another_dataset_is_refused(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "cache")
    scored(store, {"kind": "cifar10", "root": str(batches(tmp_path / "all", {1: FIRST}))}, "ours")
    other = batches(tmp_path / "other", {1: [1, 1, *FIRST[2:]]})
    with pytest.raises(InputError, match=r"data_batch_1/0 is 'dog' here and 'cat' there; 1 of 8 labels differ"):
        load("ours", other, store, run_name="other")
    with pytest.raises(InputError, match=r"none of its 8 samples is among the 8 published"):
        load("ours", batches(tmp_path / "two", {2: FIRST}), store, run_name="two")
    assert not store.open("two").complete
    with pytest.raises(InputError, match="give the folder in which a set lies"):
        load("ours", None, store, run_name="none")
    with pytest.raises(InputError, match=r"no published scores 'nope'; there are .*digits.*ours"):
        load("nope", None, store)


def test_files_are_known_by_their_bytes_wherever_they_lie(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "cache")
    random = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        for row in range(6):
            Image.fromarray(random.integers(0, 255, (8, 8), np.uint8)).save(tmp_path / "set" / label / f"{row}.png")
    (tmp_path / "set" / "a" / "twin.png").write_bytes((tmp_path / "set" / "a" / "1.png").read_bytes())
    run = scored(store, {"kind": "image_folder", "root": str(tmp_path / "set")}, "ours", by_content=True)
    whole = load("ours", tmp_path / "set", store, run_name="whole")
    assert whole.provenance["warnings"] == []
    moved = tmp_path / "moved"
    (tmp_path / "set").rename(moved)
    (moved / "a" / "0.png").rename(moved / "a" / "z.png")
    Image.new("L", (8, 8)).save(moved / "b" / "3.png")
    Image.new("L", (8, 8), 9).save(moved / "b" / "new.png")
    loaded = load("ours", moved, store, run_name="moved")
    lsi = dict(zip(loaded.scores()["name"], loaded.scores()["lsi"], strict=True))
    before = dict(zip(run.scores()["name"], run.scores()["lsi"], strict=True))
    assert lsi["a/z.png"] == pytest.approx(before["a/0.png"], rel=1e-6)
    assert lsi["b/3.png"] == pytest.approx(before["b/3.png"], rel=1e-6)
    assert "1 files are not the bytes that were scored" in loaded.provenance["warnings"][0]
    assert loaded.skipped()["item"].tolist() == ["b/new.png"]


def test_changed_scores_are_noticed(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "cache")
    scored(store, {"kind": "cifar10", "root": str(batches(tmp_path / "all", {1: FIRST}))}, "ours")
    path = available(store)["ours"]
    table = pd.read_parquet(path)
    table.assign(leverage=0).to_parquet(path)
    with pytest.raises(InputError, match="one of the two was changed"):
        load("ours", tmp_path / "all", store)
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"ours\.json cannot be read"):
        load("ours", tmp_path / "all", store)
