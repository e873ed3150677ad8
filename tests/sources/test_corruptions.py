"""Every corruption: the exact number, the chosen classes, the record in the table, and the image that is shown."""

from __future__ import annotations

import inspect
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from written_images import pattern, write, write_classes

from lsi_engine.errors import InputError
from lsi_engine.features.extract import extract
from lsi_engine.features.pixels import PixelExtractor
from lsi_engine.samples import SampleSet, UnreadableMedia, image_folder, open_media
from lsi_engine.samples.corruption import CORRUPTIONS, apply
from lsi_engine.samples.corruption.record import restored
from lsi_engine.samples.corruption.specification import parse, swept
from lsi_engine.samples.images.damage import KINDS, damaged

DAMAGE = ["gaussian_noise", "blur", "exposure", "crop", "occlusion", "jpeg"]


def rows(labels: list[str], features: bool = True) -> SampleSet:
    ids = [f"s{row}" for row in range(len(labels))]
    table = pd.DataFrame({"sample_id": ids, "label": labels, "name": ids}, dtype="str")
    matrix = np.random.default_rng(0).normal(size=(len(labels), 3)) * [1, 10, 0] if features else None
    return SampleSet("test", "features", table, {"kind": "test"}, features=matrix)


@pytest.fixture
def images(tmp_path: Path) -> SampleSet:
    return image_folder(write_classes(tmp_path / "data", per_class=20, classes=("cat", "dog", "ship")))


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_settings_listed_are_the_arguments(kind: str) -> None:
    corruption = CORRUPTIONS[kind]
    arguments = list(inspect.signature(corruption.apply).parameters.values())[1:]
    listed = {setting.name: setting for setting in corruption.settings}
    assert {argument.name for argument in arguments} == set(listed)
    for argument in arguments:
        if argument.default is inspect.Parameter.empty:
            assert listed[argument.name].default is not None or listed[argument.name].form == "path"
        elif listed[argument.name].default is not None and kind in DAMAGE:
            assert argument.default == listed[argument.name].default


def test_kinds_of_one_seed_fall_on_samples_that_have_nothing_to_do_with_each_other() -> None:
    clean = rows(["a", "b"] * 2000)
    rates = {"flip_labels": {}, "flip_pairs": {}, "feature_noise": {"sigma": 1.0}, "exact_duplicates": {}}
    hit = {}
    for kind, settings_of_kind in rates.items():
        after = apply(clean, [{"kind": kind, "rate": 0.25, "seed": 0, **settings_of_kind}]).table
        copied = after.get("duplicate_of", pd.Series(dtype="str")).dropna()
        marked = after["sample_id"].isin(copied) if len(copied) else after["corrupted"]
        hit[kind] = marked.to_numpy()[:4000]
        assert hit[kind].sum() == 1000
    for one, other in itertools.combinations(hit, 2):
        # 250 meet by chance, with a standard deviation of 12.
        assert abs(int((hit[one] & hit[other]).sum()) - 250) < 60, (one, other)


@pytest.mark.parametrize("kind", ["flip_labels", "flip_pairs"])
def test_only_chosen_classes_are_flipped(kind: str) -> None:
    clean = rows(["a"] * 50 + ["b"] * 30 + ["c"] * 20)
    table = apply(clean, [{"kind": kind, "rate": 0.3, "classes": ["a", "c"], "seed": 1}]).table
    assert table["corrupted"].sum() == round(0.3 * 70)
    assert set(table.loc[table["corrupted"], "true_label"]) == {"a", "c"}
    assert set(table.loc[table["corrupted"], "corruption"]) == {kind}
    assert (table.loc[~table["corrupted"], "corruption"] == "").all()


def test_pairs_follow_the_next_class_or_the_given_one() -> None:
    clean = rows(["a", "b", "c"] * 20)
    following = apply(clean, [{"kind": "flip_pairs", "rate": 1.0}]).table
    assert following["label"].tolist() == ["b", "c", "a"] * 20
    mapped = apply(clean, [{"kind": "flip_pairs", "rate": 1.0, "to": ["a>c", "c > a"]}]).table
    assert mapped["label"].tolist() == ["c", "b", "a"] * 20
    assert mapped["corrupted"].tolist() == [True, False, True] * 20


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_confusion_matrix_is_met_exactly(data: st.DataObject) -> None:
    counts = {name: data.draw(st.integers(4, 40)) for name in "abc"}
    shares = {name: {other: data.draw(st.floats(0, 0.45)) for other in "abc" if other != name} for name in "abc"}
    clean = rows([name for name, count in counts.items() for _ in range(count)])
    table = apply(clean, [{"kind": "flip_by_confusion", "matrix": shares, "seed": 3}]).table
    for name, row in shares.items():
        for other, value in row.items():
            moved = ((table["true_label"] == name) & (table["label"] == other)).sum()
            assert moved == round(value * counts[name])


def test_a_confusion_matrix_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("true,a,b\na,0.5,0.5\nb,0.1,0.9\n")
    table = apply(rows(["a", "b"] * 50), [{"kind": "flip_by_confusion", "matrix": str(tmp_path / "m.csv")}]).table
    assert pd.crosstab(table["true_label"], table["label"]).to_numpy().tolist() == [[25, 25], [5, 45]]
    (tmp_path / "m.csv").write_text("true,a,b\na,0.1,1.5\n")
    with pytest.raises(InputError, match=r"'a' becomes 'b'|between 0 and 1"):
        apply(rows(["a", "b"]), [{"kind": "flip_by_confusion", "matrix": str(tmp_path / "m.csv")}])


def human_file(path: Path, clean: list[int], noisy: list[int]) -> Path:
    arrays = {"clean_label": np.array(clean), "aggre_label": np.array(noisy), "random_label1": np.array(clean)}
    if path.suffix == ".pt":
        torch.save(arrays, path)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        pd.DataFrame(arrays).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".csv"])
def test_human_labels_replace_the_dataset_s_own(tmp_path: Path, suffix: str) -> None:
    # The file knows the whole dataset; the first eight images are here, the third of which could not be used.
    clean, noisy = [0, 1, 2, 0, 1, 2, 0, 1, 2, 2], [0, 1, 1, 2, 1, 2, 1, 1, 0, 0]
    file = human_file(tmp_path / f"human{suffix}", clean, noisy)
    samples = rows(["car", "cat", "dog", "car", "cat", "dog", "car", "cat"])
    samples = samples.keep(np.arange(8) != 2, pd.DataFrame({"item": ["s2"], "reason": ["gone"]}))
    table = apply(samples, [{"kind": "human_labels", "file": str(file)}]).table
    assert table["label"].tolist() == ["car", "cat", "dog", "cat", "dog", "cat", "cat"]
    assert table["corrupted"].tolist() == [False, False, True, False, False, True, False]
    assert table.loc[2, "corruption"] == "human_labels aggre"
    assert (
        not apply(samples, [{"kind": "human_labels", "file": str(file), "which": "random1"}]).table["corrupted"].any()
    )


def test_human_labels_of_another_order_or_dataset_are_refused(tmp_path: Path) -> None:
    samples = rows(["car", "cat", "dog"] * 4)
    other = human_file(tmp_path / "other.npz", [0, 1, 2, 0, 2, 1] * 2, [0] * 12)
    with pytest.raises(InputError, match=r"not in this dataset's order: image 4 is 'cat' here, and 2 there"):
        apply(samples, [{"kind": "human_labels", "file": str(other)}])
    short = human_file(tmp_path / "short.npz", [0, 1, 2], [0, 1, 2])
    with pytest.raises(InputError, match="labels for 3 images, test has 12"):
        apply(samples, [{"kind": "human_labels", "file": str(short)}])
    strange = human_file(tmp_path / "strange.npz", [0, 1, 2] * 4, [7] * 12)
    with pytest.raises(InputError, match="uses class 7"):
        apply(samples, [{"kind": "human_labels", "file": str(strange)}])
    with pytest.raises(InputError, match="'worse_label', only"):
        apply(samples, [{"kind": "human_labels", "file": str(strange), "which": "worse"}])


class Harmful:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def test_a_label_file_that_holds_code_is_refused_unrun(tmp_path: Path) -> None:
    torch.save({"clean_label": Harmful(tmp_path / "touched")}, tmp_path / "code.pt")
    with pytest.raises(InputError, match="refused"):
        apply(rows(["a", "b"]), [{"kind": "human_labels", "file": str(tmp_path / "code.pt")}])
    assert not (tmp_path / "touched").exists()
    (tmp_path / "cut.pt").write_bytes(human_file(tmp_path / "x.pt", [0, 1], [0, 1]).read_bytes()[:200])
    with pytest.raises(InputError, match="damaged"):
        apply(rows(["a", "b"]), [{"kind": "human_labels", "file": str(tmp_path / "cut.pt")}])


def test_feature_noise_has_the_stated_size_on_the_chosen_class() -> None:
    clean = rows(["a"] * 4000 + ["b"] * 4000)
    noisy = apply(clean, [{"kind": "feature_noise", "sigma": 2.0, "classes": "b"}])
    difference = noisy.features - clean.features
    assert (difference[:4000] == 0).all()
    np.testing.assert_allclose(difference[4000:].std(axis=0), 2 * clean.features.std(axis=0), rtol=0.04)
    assert (difference[:, 2] == 0).all()  # a feature without spread
    assert noisy.table["corrupted"].tolist() == [False] * 4000 + [True] * 4000
    assert noisy.table["corruption"].iloc[-1] == "feature_noise 2"
    unchanged = apply(clean, [{"kind": "feature_noise", "sigma": 0}])
    assert not unchanged.table["corrupted"].any()
    np.testing.assert_array_equal(unchanged.features, clean.features)


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_images_are_shown_and_scored_as_damaged(images: SampleSet, tmp_path: Path, kind: str) -> None:
    step = {"kind": kind, "rate": 0.5, "severity": 4, "classes": ["cat"], "seed": 2}
    after = apply(images, [step])
    table, hit = after.table, after.table["corrupted"].to_numpy()
    assert hit.sum() == 10
    assert set(table.loc[hit, "label"]) == {"cat"}
    assert set(table.loc[hit, "corruption"]) == {f"{kind} 4"}
    assert (table["content"] != images.table["content"]).tolist() == hit.tolist()
    assert table["true_content"].tolist() == images.table["content"].tolist()
    pictures = [open_media(after.source, media) for media in table["media"]]
    originals = [open_media(images.source, media) for media in images.table["media"]]
    for picture, original, was_hit in zip(pictures, originals, hit, strict=True):
        assert (picture.size, picture.tobytes()) == (original.size, original.tobytes()) or was_hit
        assert picture.tobytes() != original.tobytes() or not was_hit
    pixels = PixelExtractor(6)
    features, _, kept = extract(after, pixels, tmp_path)
    assert kept.all()
    np.testing.assert_array_equal(
        features, np.concatenate([pixels.forward(pixels.prepare(picture)[None]) for picture in pictures])
    )
    # The whole images keep their own rows in the cache, before and after.
    whole, *_ = extract(images, pixels, tmp_path)
    np.testing.assert_array_equal(whole[~hit], features[~hit])
    assert (whole[hit] != features[hit]).any(axis=1).all()
    assert apply(images, [step]).table.equals(table)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 48)])
def test_damage_is_the_same_every_time_and_stronger_at_higher_levels(
    kind: str, mode: str, size: tuple[int, int]
) -> None:
    image = Image.fromarray(pattern(size[1], size[0])).convert(mode)
    for level in range(1, 6):
        first, second = (damaged(image, f"{kind}-{level}-7") for _ in range(2))
        assert (first.mode, first.tobytes()) == (mode, second.tobytes())
    if size == (64, 48) and kind not in ("crop", "near_duplicate"):
        distance = [
            np.abs(np.asarray(damaged(image, f"{kind}-{level}-7")).astype(int) - np.asarray(image)).mean()
            for level in (1, 3, 5)
        ]
        assert 0 < distance[0] < distance[1] < distance[2]


def test_damage_composes_in_order_and_with_flips(images: SampleSet) -> None:
    steps = [
        {"kind": "flip_labels", "rate": 0.2},
        {"kind": "blur", "rate": 1.0},
        {"kind": "jpeg", "rate": 1.0, "severity": 5},
    ]
    after = apply(images, steps).table
    assert after["corrupted"].all()
    assert sorted(set(after["corruption"])) == ["blur 3 + jpeg 5", "blur 3 + jpeg 5 + flip_labels"]
    media = after["media"].iloc[0]
    outer, inner = (part.split("/")[0] for part in media[1:].split("//"))
    assert outer.startswith("jpeg-5-")
    once = open_media(images.source, f"/{inner}/{images.table['media'].iloc[0]}")
    assert open_media(images.source, media).tobytes() == damaged(once, outer).tobytes()


@pytest.mark.parametrize(
    "media", ["/blur-9-0/a", "/rm-1-0/a", "/blur-1-0", "/etc/passwd", "/outside=%2Fetc/../etc/passwd"]
)
def test_references_that_are_no_damage_open_nothing(images: SampleSet, media: str) -> None:
    with pytest.raises(UnreadableMedia):
        open_media(images.source, media)


def test_a_label_put_right_later_leaves_other_damage_on_record(images: SampleSet) -> None:
    steps = [{"kind": "flip_labels", "rate": 1.0}, {"kind": "blur", "rate": 0.5}]
    table = apply(images, steps).table
    mended = restored(table.assign(label=table["true_label"]))
    assert set(mended["corruption"]) == {"", "blur 3"}
    assert mended["corrupted"].tolist() == (mended["corruption"] == "blur 3").tolist()
    assert mended["corrupted"].sum() == 30


def test_planted_copies_name_their_original(images: SampleSet, tmp_path: Path) -> None:
    steps = [{"kind": "exact_duplicates", "rate": 0.1}, {"kind": "near_duplicates", "rate": 0.1, "seed": 1}]
    table = apply(images, steps).table
    planted = table[table["position"] < 0]
    assert (len(table), len(planted)) == (60 + 6 + 7, 13)
    assert table["sample_id"].is_unique
    assert table["position"].iloc[:60].tolist() == list(range(60))
    originals = table.set_index("sample_id").loc[planted["duplicate_of"]]
    assert (originals["label"].to_numpy() == planted["label"].to_numpy()).all()
    same = originals["content"].to_numpy() == planted["content"].to_numpy()
    assert same.tolist() == [text.endswith("exact_duplicates") for text in planted["corruption"]]
    assert table["corrupted"].tolist() == [False] * 60 + [True] * 13
    near = open_media(images.source, planted["media"].iloc[-1])
    original = open_media(images.source, originals["media"].iloc[-1]).resize(near.size)
    assert np.abs(np.asarray(near).astype(int) - np.asarray(original)).mean() < 20


def test_planted_feature_rows_lie_beside_their_originals() -> None:
    clean = rows(["a", "b"] * 50)
    after = apply(clean, [{"kind": "exact_duplicates", "rate": 0.1}, {"kind": "near_duplicates", "rate": 0.1}])
    place = {name: row for row, name in enumerate(after.table["sample_id"])}
    distance = [
        np.abs(after.features[row] - after.features[place[original]]).max()
        for row, original in enumerate(after.table["duplicate_of"])
        if original
    ]
    assert (len(after), after.features.shape, distance[:10]) == (121, (121, 3), [0.0] * 10)
    assert 0 < min(distance[10:]) <= max(distance[10:]) < 1


def test_images_from_another_folder_are_planted_under_random_labels(images: SampleSet, tmp_path: Path) -> None:
    other = write_classes(tmp_path / "other", per_class=9, classes=("moon", "sun"))
    write(other / "notes.txt", b"no image")
    after = apply(images, [{"kind": "outliers", "folder": str(other), "rate": 0.2}])
    planted = after.table.iloc[60:]
    assert len(planted) == 12
    assert set(planted["label"]) <= {"cat", "dog", "ship"}
    assert set(planted["true_label"]) == {""}
    assert set(planted["corruption"]) == {"outliers"}
    assert planted["corrupted"].all()
    for row in planted.itertuples():
        assert open_media(after.source, row.media).tobytes() == Image.open(other / row.name).tobytes()
    assert set(after.skipped["item"]) <= {"notes.txt"}
    with pytest.raises(InputError, match="18 usable images, 36 are wanted"):
        apply(images, [{"kind": "outliers", "folder": str(other), "rate": 0.6}])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"kind": "flip_labels", "rate": 0.1, "classes": ["x"]}, "no class 'x' in test; there are 'a', 'b'"),
        ({"kind": "flip_pairs", "rate": 0.1, "to": "a"}, "write it as cat>dog"),
        ({"kind": "flip_pairs", "rate": 0.1, "to": {"a": "a"}}, "mapped to itself"),
        ({"kind": "flip_by_confusion", "matrix": {"a": {"z": 0.1}}}, "no class 'z'"),
        ({"kind": "flip_by_confusion", "matrix": "nowhere.csv"}, "nowhere.csv"),
        ({"kind": "feature_noise", "sigma": -1}, "not -1"),
        ({"kind": "blur"}, "is for image datasets; test holds features"),
        ({"kind": "near_duplicates", "severity": 9}, "from 1 to 5, not 9"),
        ({"kind": "human_labels", "file": "gone.pt"}, "no label file gone.pt"),
    ],
)
def test_settings_that_cannot_be_meant(step: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply(rows(["a", "b"] * 5), [step])


def test_damage_that_would_not_reach_the_features_is_refused(images: SampleSet) -> None:
    scored = replace(images, features=np.zeros((60, 2)))
    with pytest.raises(InputError, match="name a backbone"):
        apply(scored, [{"kind": "blur"}])


def test_typed_corruptions_are_steps(tmp_path: Path) -> None:
    assert parse("flip_labels:rate=0.1,classes=a|b c,seed=3") == {
        "kind": "flip_labels",
        "rate": 0.1,
        "classes": ["a", "b c"],
        "seed": 3,
    }
    assert parse("exact_duplicates") == {"kind": "exact_duplicates"}
    odd = tmp_path / "a,b|c=d"
    stated = {"kind": "outliers", "folder": str(odd), "rate": 0.5}
    assert parse(json.dumps(stated)) == stated
    assert parse("flip_pairs:to=a>b|b>a")["to"] == ["a>b", "b>a"]
    steps = [parse("blur:rate=0.5"), parse("feature_noise:classes=a")]
    variants = swept(steps, "sigma=0,0.5")
    assert [ending for ending, _ in variants] == ["-sigma0", "-sigma0.5"]
    assert variants[1][1] == [steps[0], {"kind": "feature_noise", "classes": ["a"], "sigma": 0.5}]
    for text, message in {
        "flip": "lsi corruptions",
        "blur:size=3": "no setting 'size'; it has rate, severity",
        "blur:rate": "'rate' has no value",
        "blur:severity=2.5": "no whole number",
        "{": "no JSON object",
    }.items():
        with pytest.raises(InputError, match=message):
            parse(text)
    with pytest.raises(InputError, match="no --corrupt has a setting 'rate'"):
        swept([], "rate=1")
