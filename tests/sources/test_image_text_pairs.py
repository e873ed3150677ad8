"""Pairs of images and captions: rows and COCO's own files, what is skipped, and captions swapped on purpose."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lsi_engine.errors import InputError
from lsi_engine.samples import corruption, image_text_pairs, open_media, open_source
from lsi_engine.samples.pairs.image_text_pairs import UNLABELLED


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(6):
        Image.new("RGB", (8, 8), (40 * number, 90, 10)).save(images / f"{number}.png")
    return images


@pytest.fixture
def captions(tmp_path, folder):
    lines = ["file_name,caption"]
    lines += [f'{number}.png,"a picture, number {number}{also}"' for number in range(6) for also in ("", " again")]
    path = tmp_path / "captions.csv"
    path.write_text("\n".join(lines))
    return path


def test_every_caption_is_a_pair_and_the_image_its_group(captions, folder):
    samples = image_text_pairs(captions, folder)
    assert (samples.modality, len(samples)) == ("pairs", 12)
    table = samples.table
    assert table["text"].iloc[3] == "a picture, number 1 again"
    assert table["group"].nunique() == 6
    assert table["content"].nunique() == table["sample_id"].nunique() == 12
    assert set(table["label"]) == {UNLABELLED}
    assert open_media(samples.source, table["media"].iloc[2]).size == (8, 8)
    again = open_source(samples.source)
    assert again.table.equals(table)
    first = image_text_pairs(captions, folder, captions="first")
    assert first.table["text"].tolist() == [f"a picture, number {number}" for number in range(6)]
    # Which other pairs there are changes no id.
    assert set(first.table["sample_id"]) <= set(table["sample_id"])


def test_what_cannot_be_used_is_listed(captions, folder, tmp_path):
    (folder / "broken.png").write_bytes(b"not an image")
    (tmp_path / "secret.png").write_bytes((folder / "0.png").read_bytes())
    with captions.open("a") as file:
        file.write("\n0.png,\nmissing.png,a\n../secret.png,b\nbroken.png,c\n,d\n")
    samples = image_text_pairs(captions, folder)
    assert len(samples) == 12
    reasons = dict(samples.skipped.itertuples(index=False, name=None))
    assert reasons["line 14"] == "caption: empty text"
    assert "no such file" in reasons["missing.png"]
    assert "leads out" in reasons["../secret.png"]
    assert "not an image" in reasons["broken.png"]
    assert reasons["line 18"] == "names no image file"


def _coco(tmp_path):
    images = [{"id": 10 + n, "file_name": f"{n}.png"} for n in range(6)]
    said = [{"id": n, "image_id": 10 + n, "caption": f"caption {n}"} for n in range(6)]
    shown = [
        {"image_id": 10 + n, "category_id": category, "area": area}
        for n, category, area in [(0, 1, 5), (0, 2, 9), (1, 1, 4), (2, 2, 3), (3, 3, 8), (4, 1, 1), (4, 3, 50)]
    ]
    categories = [{"id": 1, "name": "banana"}, {"id": 2, "name": "elephant"}, {"id": 3, "name": "bus"}]
    paths = tmp_path / "captions_val.json", tmp_path / "instances_val.json"
    paths[0].write_text(json.dumps({"images": images, "annotations": said}))
    paths[1].write_text(json.dumps({"images": images, "annotations": shown, "categories": categories}))
    return paths


def test_coco_captions_filtered_and_labelled_by_category(tmp_path, folder):
    said, shown = _coco(tmp_path)
    assert len(image_text_pairs(said, folder)) == 6
    samples = image_text_pairs(said, folder, instances=shown, categories=["banana", "elephant"])
    assert dict(zip(samples.table["media"], samples.table["label"], strict=True)) == {
        "0.png": "elephant",
        "1.png": "banana",
        "2.png": "elephant",
        "4.png": "banana",
    }
    with pytest.raises(InputError, match="no category 'apple'"):
        image_text_pairs(said, folder, instances=shown, categories=["apple"])
    with pytest.raises(InputError, match="categories need instances"):
        image_text_pairs(said, folder, categories=["banana"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,caption\n0.png,a\n1.png,b\n", r"2 usable image\(s\)"),
        ("file,words\n0.png,a\n", "no column is known to be the caption"),
        ("file,caption,text\n0.png,a,b\n", "could each be the caption column"),
        ("", "is empty"),
    ],
)
def test_files_that_make_no_pairs_say_why(tmp_path, folder, text, message):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        image_text_pairs(path, folder)


def test_swapped_captions_meet_other_images_and_are_recorded(captions, folder):
    samples = image_text_pairs(captions, folder)
    done = corruption.apply(samples, [{"kind": "swap_captions", "rate": 0.5, "seed": 3}])
    table, moved = done.table, done.table["corrupted"].to_numpy()
    assert moved.sum() == 6
    assert (table["text"] != samples.table["text"]).to_numpy().tolist() == moved.tolist()
    assert sorted(table["text"]) == sorted(samples.table["text"])
    assert table["true_text"].equals(samples.table["text"])
    assert table["true_content"].equals(samples.table["content"])
    assert (table["content"] != table["true_content"]).to_numpy().tolist() == moved.tolist()
    owner = dict(zip(samples.table["text"], samples.table["group"], strict=True))
    assert all(owner[text] != group for text, group in table.loc[moved, ["text", "group"]].to_numpy())
    assert corruption.apply(samples, [{"kind": "swap_captions", "rate": 0.5, "seed": 3}]).table.equals(table)
    with pytest.raises(InputError, match="cannot all come under another"):
        corruption.apply(samples, [{"kind": "swap_captions", "rate": 1 / 12, "seed": 0}])
    assert np.isin(table["label"], [UNLABELLED]).all()
