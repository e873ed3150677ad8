"""An image folder: labels and groups by every rule, stable ids, and everything unusable listed with a reason."""

from __future__ import annotations

import os
import re
import string
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from written_images import encoded, pattern, write, write_classes

from lsi_engine.errors import Cancelled, InputError
from lsi_engine.samples import SampleSet, image_folder, open_media, open_source

TINY = encoded(pattern(4, 4))


def reasons(samples: SampleSet) -> dict[str, str]:
    assert not samples.skipped["item"].duplicated().any()
    return dict(zip(samples.skipped["item"], samples.skipped["reason"], strict=True))


def test_labels_are_the_folders_below_the_root(tmp_path: Path) -> None:
    write_classes(tmp_path)
    write(tmp_path / "dog" / "puppies" / "0.png", encoded(pattern(seed=50)))
    samples = image_folder(tmp_path)
    assert samples.table["label"].tolist() == ["cat"] * 3 + ["dog"] * 4
    assert samples.table["media"].tolist()[-1] == "dog/puppies/0.png"
    assert samples.modality == "image"
    assert not len(samples.skipped)
    assert all(str(dtype) == "str" for dtype in samples.table.dtypes)
    np.testing.assert_array_equal(np.asarray(open_media(samples.source, "dog/puppies/0.png")), pattern(seed=50))


def test_pattern_default_and_group_as_for_the_pneumonia_films(tmp_path: Path) -> None:
    for name in ("NORMAL/IM-0115-0001", "PNEUMONIA/person1_bacteria_1", "PNEUMONIA/person1_virus_9", "PNEUMONIA/x"):
        write(tmp_path / f"{name}.png", TINY)
    settings = {"label_pattern": "(bacteria|virus)", "group_pattern": r"(person\d+)"}
    samples = image_folder(tmp_path, label_default="normal", **settings)
    assert samples.table["label"].tolist() == ["normal", "bacteria", "virus", "normal"]
    assert samples.table["group"].tolist() == ["", "person1", "person1", ""]
    without_default = image_folder(tmp_path, **settings)
    assert without_default.table["label"].tolist() == ["bacteria", "virus"]
    assert "does not match" in reasons(without_default)["PNEUMONIA/x.png"]


def test_labels_from_a_csv_file(tmp_path: Path) -> None:
    for name in ("a/same.png", "b/same.png", "b/other.png", "b/unnamed.png"):
        write(tmp_path / name, TINY)
    lines = ["\ufeffPath,label,split,group", "a/same.png,one,train,g1", "./b/same.png,two,test,", "b\\other.png,two,,"]
    (tmp_path / "labels.csv").write_text("\n".join([*lines, "gone.png,two,,"]), encoding="utf-8")
    samples = image_folder(tmp_path, labels_csv=tmp_path / "labels.csv")
    rows = samples.table.set_index("name")
    assert rows.loc["a/same.png", ["label", "split", "group"]].tolist() == ["one", "train", "g1"]
    assert rows.loc["b/same.png", ["label", "split", "group"]].tolist() == ["two", "test", ""]
    assert rows.loc["b/other.png", "label"] == "two"
    assert reasons(samples).keys() == {"b/unnamed.png", "gone.png"}
    assert open_source(samples.source).table.equals(samples.table)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,label\na.png,x\n", "no column 'path'"),
        ("path,label\na.png,\n", "line 2: label is empty"),
        ("path,label\na.png,x\na.png,y\n", "line 3: a.png was named before"),
        ("path,label\n", "names no image"),
    ],
)
def test_a_csv_file_that_cannot_be_used(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        image_folder(tmp_path, labels_csv=tmp_path / "labels.csv")


def test_everything_unusable_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside.png"
    write_classes(root)
    write(outside, TINY)
    write(root / "cat" / "empty.png", b"")
    write(root / "cat" / "page.jpg", b"<html>not found</html>")
    write(root / "cat" / "png-named.jpg", encoded(pattern(seed=60)))
    write(root / "cat" / "bomb.png", encoded(Image.new("1", (20_000, 20_000))))
    write(root / "cat" / "gray16.png", encoded(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20))))
    write(root / "stray.png", TINY)
    write(root / "cat" / ".hidden.png", TINY)
    write(root / ".thumbnails" / "x.png", TINY)
    write(root / "только текст" / "notes.txt", "никаких картинок".encode())
    write(root / "dog" / "чихуахуа 犬 🐕.png", encoded(pattern(seed=61)))
    write(root / "dog" / "Upper.PNG", encoded(pattern(seed=62)))
    write(root / "dog" / "upper.PNG", encoded(pattern(seed=63)))
    (root / "no files").mkdir()
    os.symlink(root, root / "dog" / "loop")
    os.symlink(tmp_path, root / "up")
    os.symlink(outside, root / "dog" / "outside.png")
    os.symlink(root / "nowhere", root / "dog" / "broken.png")
    os.symlink(root / "cat" / "0.png", root / "dog" / "inside.png")
    os.mkfifo(root / "dog" / "pipe.png")
    with open(os.fsencode(root / "dog") + b"/latin\xff.png", "wb") as file:
        file.write(TINY)

    samples = image_folder(root)

    expected = {
        "cat/empty.png": "0 bytes",
        "cat/page.jpg": "not an image",
        "cat/bomb.png": "too large",
        "stray.png": "no class folder",
        "только текст/notes.txt": "not an image",
        "class только текст": "none of its files can be used",
        "no files": "empty class folder",
        "dog/loop": "link to a folder",
        "up": "link to a folder",
        "dog/outside.png": "leads out",
        "dog/broken.png": "broken link",
        "dog/pipe.png": "not a plain file",
        r"dog/latin\xff.png": "not valid UTF-8",
    }
    listed = reasons(samples)
    assert listed.keys() == expected.keys()
    assert all(part in listed[item] for item, part in expected.items())
    assert set(samples.table["name"]) == {
        *(f"{label}/{index}.png" for label in ("cat", "dog") for index in range(3)),
        "cat/png-named.jpg",
        "cat/gray16.png",
        "dog/чихуахуа 犬 🐕.png",
        "dog/Upper.PNG",
        "dog/upper.PNG",
        "dog/inside.png",
    }
    for media in samples.table["media"]:
        assert open_media(samples.source, media).mode in ("L", "RGB")


def test_equal_bytes_have_equal_content_and_their_own_ids(tmp_path: Path) -> None:
    write(tmp_path / "a" / "same.png", TINY)
    write(tmp_path / "b" / "same.png", TINY)
    write(tmp_path / "b" / "other.png", encoded(pattern(5, 5)))
    table = image_folder(tmp_path).table.set_index("name")
    assert table.loc["a/same.png", "content"] == table.loc["b/same.png", "content"]
    assert table.loc["a/same.png", "sample_id"] != table.loc["b/same.png", "sample_id"]
    assert table.loc["b/other.png", "content"] != table.loc["b/same.png", "content"]
    assert not any("same" in sample_id for sample_id in table["sample_id"])


names = st.text(string.ascii_letters + string.digits + "._- äß猫", min_size=1, max_size=8).filter(
    lambda name: not name.startswith(".")
)
paths = st.tuples(st.sampled_from(["x", "y", "y/deep"]), names).map("/".join)


@settings(max_examples=25, deadline=None)
@given(st.sets(paths, max_size=6), st.sets(paths, max_size=6))
def test_ids_are_unique_plain_and_do_not_depend_on_other_files(first: set[str], second: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        base = {"x/base.png", "y/base.png"} | (first - {"y/deep"})
        for path in base:
            write(root / path, TINY)
        before = image_folder(root).table.set_index("media")["sample_id"]
        for path in second - {"y/deep"}:
            write(root / path, TINY)
        after = image_folder(root).table.set_index("media")["sample_id"]
        assert set(before.index) == base
        assert after.is_unique
        assert all(re.fullmatch(r"[A-Za-z0-9_-]+", sample_id) for sample_id in after)
        assert after.loc[before.index].tolist() == before.tolist()


def test_ids_do_not_depend_on_the_place_or_the_labels(tmp_path: Path) -> None:
    write_classes(tmp_path / "here")
    write_classes(tmp_path / "there")
    here, there = (
        image_folder(tmp_path / "here").table,
        image_folder(tmp_path / "there", label_pattern="[01]", label_default="2").table,
    )
    assert here["sample_id"].tolist() == there["sample_id"].tolist()
    assert set(there["label"]) == {"0", "1", "2"}


def test_one_class_or_no_image_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no usable sample"):
        image_folder(tmp_path)
    write(tmp_path / "cat" / "0.png", TINY)
    write(tmp_path / "dog" / "0.png", b"")
    with pytest.raises(InputError, match=r"all 1 samples are of class 'cat'.*dog/0.png: empty file.*label_pattern"):
        image_folder(tmp_path)


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    write_classes(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        image_folder(tmp_path / "gone")
    with pytest.raises(InputError, match="no regular expression"):
        image_folder(tmp_path, label_pattern="(")
    with pytest.raises(InputError, match="one of the two"):
        image_folder(tmp_path, label_pattern="a", labels_csv=tmp_path / "x.csv")
    with pytest.raises(InputError, match="label_pattern too"):
        image_folder(tmp_path, label_default="a")
    with pytest.raises(InputError, match=r"x\.csv cannot be read"):
        image_folder(tmp_path, labels_csv=tmp_path / "x.csv")
    with pytest.raises(InputError, match="unexpected keyword argument 'colour'"):
        open_source({"kind": "image_folder", "root": str(tmp_path), "colour": "red"})
    with pytest.raises(InputError, match="there is no source 'folder'"):
        open_source({"kind": "folder"})


def test_scanning_reports_and_can_be_cancelled(tmp_path: Path) -> None:
    write_classes(tmp_path, per_class=120)
    seen: list[tuple[str, int, int]] = []
    image_folder(tmp_path, progress=lambda *call: seen.append(call))
    assert seen == [("scan", 0, 240), ("scan", 100, 240), ("scan", 200, 240), ("scan", 240, 240)]

    def stop(stage: str, done: int, total: int) -> None:
        if done >= 100:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        image_folder(tmp_path, progress=stop)


def test_keeping_some_samples_lists_the_others(tmp_path: Path) -> None:
    samples = image_folder(write_classes(tmp_path))
    failed = pd.DataFrame({"item": ["cat/0.png"], "reason": ["truncated"]}, dtype="str")
    kept = samples.keep(samples.table["name"].to_numpy() != "cat/0.png", failed)
    assert len(kept) == 5
    assert reasons(kept) == {"cat/0.png": "truncated"}
    assert kept.table.index.tolist() == list(range(5))
    with pytest.raises(InputError, match="all 3 samples are of class 'dog'"):
        samples.keep((samples.table["label"] == "dog").to_numpy(), failed)
