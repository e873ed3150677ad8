"""Rules beyond decisions: duplicates, balance, parts that keep groups whole; folders and other formats; repeating."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lsi_engine.curation import CleaningRule, Decisions, clean, export_bytes, write_export
from lsi_engine.curation.decisions import LATEST_COLUMNS
from lsi_engine.curation.export import read_export, subset_of
from lsi_engine.curation.manifest import repeated
from lsi_engine.curation.splits import PARTS, split
from lsi_engine.curation.tree import write_tree
from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import Run, RunStore

NONE = pd.DataFrame({column: [] for column in LATEST_COLUMNS})
PARTED = CleaningRule(validation=0.2, test=0.2, seed=1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Sixteen small pictures in two classes, one of them twice, scored by their pixels."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(16):
        name, base = ("dark", 40) if number % 2 else ("light", 200)
        (root / "films" / name).mkdir(parents=True, exist_ok=True)
        grey = (base + np.kron(random.integers(-40, 40, (7, 7)), np.ones((10, 10)))).astype(np.uint8)
        Image.fromarray(grey).save(root / "films" / name / f"{number}.png")
    twin = root / "films" / "light" / "0.png"
    (root / "films" / "light" / "copy.png").write_bytes(twin.read_bytes())
    store = RunStore(root / "cache")
    source = {"kind": "image_folder", "root": str(root / "films")}
    compute(RunConfig(name="films", source=source, extractor={"kind": "pixels"}), store)
    return store


@pytest.fixture
def films(pictures: RunStore) -> Run:
    return pictures.open("films")


def test_one_of_each_cluster_stays_and_a_persons_choice_goes_first(scores: pd.DataFrame) -> None:
    clusters = np.array([0, 0, 0, 1, 1, *range(2, 13)])
    frame = clean(scores, NONE, CleaningRule(deduplicate=True), clusters).frame()
    assert frame.loc[frame["action"] == "drop", "index"].tolist() == [1, 2, 4]
    assert set(frame.loc[[1, 2, 4], "reason"]) == {"near-duplicate of a kept sample"}
    kept = pd.DataFrame([("s001", "keep", None, "", "ann", 1, "cat", "2026")], columns=list(LATEST_COLUMNS))
    frame = clean(scores, kept, CleaningRule(deduplicate=True), clusters).frame()
    assert frame.loc[frame["action"] == "drop", "index"].tolist() == [0, 2, 4]
    gone = pd.DataFrame([("s000", "drop", None, "", "ann", 1, "cat", "2026")], columns=list(LATEST_COLUMNS))
    frame = clean(scores, gone, CleaningRule(deduplicate=True), clusters).frame()
    assert frame.loc[frame["action"] == "drop", "index"].tolist() == [0, 2, 4]
    with pytest.raises(InputError, match="needs their clusters"):
        clean(scores, NONE, CleaningRule(deduplicate=True))


def test_balance_thins_to_the_smallest_class_by_lsi(scores: pd.DataFrame) -> None:
    scores["lsi"] = np.arange(16.0)
    counts = clean(scores, NONE, CleaningRule(balance=True)).counts()
    assert counts["kept"].to_dict() == {"cat": 4, "dog": 4, "owl": 4}
    low = clean(scores, NONE, CleaningRule(balance=True, keep_end="lowest")).listed()
    assert low["index"].tolist() == [0, 1, 2, 3, 7, 8, 9, 10, 12, 13, 14, 15]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.sampled_from([(0.2, 0.2), (0.0, 0.3), (0.1, 0.0)]))
def test_no_group_is_torn_and_every_class_is_shared_out(seed: int, shares: tuple[float, float]) -> None:
    random = np.random.default_rng(seed)
    labels = random.choice(["cat", "dog", "owl"], 600).astype(object)
    groups = random.integers(0, 400, 600)
    parts = np.array(PARTS, dtype=object)[split(labels, groups, shares, seed)]
    assert set(parts) <= set(PARTS)
    assert (pd.DataFrame({"part": parts, "group": groups}).groupby("group")["part"].nunique() == 1).all()
    np.testing.assert_array_equal(parts, np.array(PARTS)[split(labels, groups, shares, seed)])
    table = pd.crosstab(labels, parts, normalize="index")
    for name, share in zip(PARTS[1:], shares, strict=True):
        found = table[name] if name in table else 0 * table["train"]
        assert (found - share).abs().max() < 0.06


def test_patients_and_near_duplicates_stay_in_one_part(scores: pd.DataFrame) -> None:
    scores["group"] = ["p1", "p1", *[""] * 5, *["p2"] * 3, *[""] * 6]
    clusters = np.arange(16)
    clusters[15] = clusters[0]
    frame = clean(scores, NONE, PARTED, clusters).frame()
    assert frame.loc[[0, 1, 15], "split"].nunique() == 1
    assert frame.loc[[7, 8, 9], "split"].nunique() == 1
    with pytest.raises(InputError, match="add up to below 1"):
        clean(scores, NONE, CleaningRule(validation=0.5, test=0.5))


def test_a_real_run_loses_the_copy(films: Run, pictures: RunStore) -> None:
    subset = subset_of(films, CleaningRule(deduplicate=True), pictures.cache)
    dropped = subset.frame().query("action == 'drop'")["name"].tolist()
    assert dropped == ["light/copy.png"]


@pytest.mark.parametrize("layout", ["imagefolder", "huggingface"])
@pytest.mark.parametrize("copy", [True, False])
def test_folders_hold_the_very_files(films: Run, pictures: RunStore, tmp_path: Path, layout: str, copy: bool) -> None:
    subset = subset_of(films, PARTED, pictures.cache)
    root = write_tree(subset, films, layout, tmp_path / "tree", copy=copy)  # type: ignore[arg-type]
    frame = subset.frame().set_index("sample_id")
    media = films.samples().set_index("sample_id")["media"]
    written = {path.stem: path for path in root.rglob("*.png")}
    assert sorted(written) == sorted(frame.index)
    for sample, path in written.items():
        assert path.is_symlink() != copy
        assert path.read_bytes() == (Path(films.config.source["root"]) / media[sample]).read_bytes()
        part = frame.loc[sample, "split"]
        assert path.relative_to(root).parts[0] == part
        if layout == "imagefolder":
            assert path.parent.name == frame.loc[sample, "final_label"]
    if layout == "huggingface":
        rows = list(csv.DictReader((root / "train" / "metadata.csv").open()))
        assert {row["sample_id"]: row["label"] for row in rows} == frame.query("split == 'train'")[
            "final_label"
        ].to_dict()
    assert repeated(root / "manifest.json", films, pictures.cache).frame().equals(subset.frame())
    with pytest.raises(InputError, match="is not empty"):
        write_tree(subset, films, layout, root)  # type: ignore[arg-type]


def test_coco_and_cleanlab_say_what_the_subset_says(films: Run, pictures: RunStore) -> None:
    subset = subset_of(films, CleaningRule(deduplicate=True), pictures.cache)
    coco = json.loads(export_bytes(subset, films, "coco"))
    names = {one["id"]: one["name"] for one in coco["categories"]}
    files = {one["id"]: one["file_name"] for one in coco["images"]}
    labels = {files[one["image_id"]]: names[one["category_id"]] for one in coco["annotations"]}
    assert labels == {name: name.split("/")[0] for name in subset.listed()["name"]}
    issues = pd.read_csv(io.BytesIO(export_bytes(subset, films, "cleanlab")))
    scores = films.scores()
    assert list(issues.columns[2:6]) == ["is_label_issue", "label_score", "given_label", "predicted_label"]
    assert issues["is_label_issue"].dtype == bool
    np.testing.assert_allclose(issues["label_score"], scores["loo_probability"], rtol=1e-12)
    assert issues["sample_id"].tolist() == scores["sample_id"].tolist()


@pytest.mark.parametrize("format", ["csv", "json", "parquet", "indices"])
def test_an_export_makes_its_subset_again_or_says_what_changed(
    films: Run, pictures: RunStore, tmp_path: Path, format: str
) -> None:
    rule = PARTED.model_copy(update={"deduplicate": True, "list_dropped": format == "csv"})
    subset = subset_of(films, rule, pictures.cache)
    path = write_export(subset, films, format, tmp_path / "out")  # type: ignore[arg-type]
    again = repeated(path, films, pictures.cache)
    assert export_bytes(again, films, format) == path.read_bytes()  # type: ignore[arg-type]
    if format != "indices":
        assert "split" in read_export(path)[0]
    if format == "json":
        content = json.loads(path.read_text())
        content["samples"] = content["samples"][1:]
        edited = tmp_path / "edited.json"
        edited.write_text(json.dumps(content))
        with pytest.raises(InputError, match="it was edited"):
            repeated(edited, films, pictures.cache)
        log = Decisions(films.decisions_path)
        first = films.scores().iloc[0]
        log.record(first["sample_id"], "drop", reviewer="ann", expected_revision=0, given_label=first["label"])
        try:
            with pytest.raises(InputError, match="decisions on run 'films' have changed"):
                repeated(path, films, pictures.cache)
        finally:
            log.undo("ann")
        assert export_bytes(repeated(path, films, pictures.cache), films, "json") == path.read_bytes()


def test_the_scores_of_another_run_are_refused(films: Run, pictures: RunStore, tmp_path: Path) -> None:
    path = write_export(subset_of(films, CleaningRule(), pictures.cache), films, "indices", tmp_path / "a.json")
    other, _ = compute(RunConfig(name="digits", source={"kind": "digits"}), pictures)
    with pytest.raises(InputError, match="holds other scores"):
        repeated(path, other, pictures.cache)
    tree = write_tree(subset_of(other, CleaningRule(), pictures.cache), other, "imagefolder", tmp_path / "digits")
    with Image.open(next(tree.rglob("*.png"))) as image:
        assert image.size == (8, 8)


def test_hostile_class_names_stay_inside_the_folder(tmp_path: Path) -> None:
    from lsi_engine.curation.tree import _class_folders

    folders = _class_folders(sorted(["../up", "a/b", "a_b", "..", "cat", "CAT"]))
    assert len({folder.lower() for folder in folders.values()}) == 6
    assert all("/" not in folder and folder.strip(". ") for folder in folders.values())
