"""CIFAR-100, Imagenette and the pneumonia films as published, and the archives that they come in."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from written_images import encoded, pattern, write

from lsi_engine.errors import Cancelled, InputError
from lsi_engine.samples import cifar10, cifar100, open_media, open_source, pneumonia, wordnet_folder
from lsi_engine.samples.images.archives import ARCHIVES, Archive, fetch, unpack

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (6, 3072), np.uint8)


def pickled(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


def test_cifar100_has_its_fine_labels_in_the_original_order(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-python"
    names = {b"fine_label_names": [b"apple", b"bear", b"can"], b"coarse_label_names": [b"x", b"y"]}
    pickled(folder / "meta", names)
    for split, labels in {"train": [2, 0, 1, 1, 0, 2], "test": [1, 1, 0, 2, 2, 0]}.items():
        pickled(folder / split, {b"data": PIXELS, b"fine_labels": labels, b"coarse_labels": [0] * 6})
    samples = cifar100(tmp_path)  # as torchvision is given its root
    assert samples.table["label"].tolist() == ["can", "apple", "bear", "bear", "apple", "can"]
    assert samples.table["sample_id"].iloc[3] == "cifar100-train-00003"
    test = open_source({"kind": "cifar100", "root": str(folder), "split": "test"})
    assert test.table["media"].iloc[2] == "test/2"
    assert set(test.table["sample_id"]).isdisjoint(samples.table["sample_id"])
    np.testing.assert_array_equal(open_media(test.source, "test/2"), PIXELS[2].reshape(3, 32, 32).transpose(1, 2, 0))
    with pytest.raises(InputError, match="'val' is not a split of cifar100; it has train, test"):
        cifar100(tmp_path, "val")


def test_cifar10_test_images_are_a_set_of_their_own(tmp_path: Path) -> None:
    pickled(tmp_path / "batches.meta", {b"label_names": [b"cat", b"ship"]})
    for name in ("data_batch_1", "test_batch"):
        pickled(tmp_path / name, {b"data": PIXELS, b"labels": [0, 1, 0, 1, 0, 1]})
    test = cifar10(tmp_path, "test")
    assert test.table["sample_id"].tolist() == [f"cifar10-test-{row:05d}" for row in range(6)]
    assert open_source(test.source).table.equals(test.table)
    assert cifar10(tmp_path).table["media"].iloc[0] == "data_batch_1/0"


@pytest.fixture
def imagenette(tmp_path: Path) -> Path:
    root = tmp_path / "imagenette2-160"
    for split in ("train", "val"):
        for number, label in enumerate(("n03888257", "n01440764", "n99999999")):
            for row in range(2):
                name = f"{label}_{row}.JPEG"
                write(root / split / label / name, encoded(pattern(seed=number * 9 + row), "JPEG"))
    write(root / "noisy_imagenette.csv", b"path,noisy_labels_0\n")
    return root


def test_wordnet_folders_are_shown_as_class_names_in_torchvision_s_order(imagenette: Path) -> None:
    samples = wordnet_folder(imagenette.parent)
    expected = [f"train/{i}/{i}_{row}.JPEG" for i in ("n01440764", "n03888257", "n99999999") for row in range(2)]
    assert samples.table["media"].tolist() == expected
    assert samples.table["label"].tolist() == ["tench"] * 2 + ["parachute"] * 2 + ["n99999999"] * 2
    assert set(samples.table["split"]) == {"train"}
    validation = wordnet_folder(imagenette, "val")
    assert set(validation.table["sample_id"]).isdisjoint(samples.table["sample_id"])
    assert open_source(validation.source).table.equals(validation.table)
    assert open_media(validation.source, validation.table["media"].iloc[0]).size == (20, 24)
    with pytest.raises(InputError, match=r"no folder 'test' of WordNet folders.*imagenette2-160\.tgz"):
        wordnet_folder(imagenette, "test")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    names = {
        "NORMAL": ["IM-0115-0001.jpeg", "IM-0115-0002.jpeg", "NORMAL2-IM-0115-0001.jpeg", "scan.jpeg"],
        "PNEUMONIA": ["person1_bacteria_1.jpeg", "person1_virus_6.jpeg", "person10_virus_6.jpeg", "person2.jpeg"],
        "__MACOSX": ["person3_virus_1.jpeg"],
    }
    for split, offset in {"train": 0, "test": 100}.items():
        for folder, files in names.items():
            for number, name in enumerate(files):
                write(tmp_path / "chest_xray" / split / folder / name, encoded(pattern(seed=offset + number), "JPEG"))
    return tmp_path / "chest_xray"


def test_pneumonia_has_three_classes_and_patients(films: Path) -> None:
    table = pneumonia(films.parent).table
    rows = {Path(row.name).name: (row.label, row.group, row.split) for row in table.itertuples(index=False)}
    assert rows == {
        "IM-0115-0001.jpeg": ("normal", "IM-0115", "train"),
        "IM-0115-0002.jpeg": ("normal", "IM-0115", "train"),
        "NORMAL2-IM-0115-0001.jpeg": ("normal", "NORMAL2-IM-0115", "train"),
        "scan.jpeg": ("normal", "", "train"),
        "person1_bacteria_1.jpeg": ("bacterial", "person1", "train"),
        "person1_virus_6.jpeg": ("viral", "person1", "train"),
        "person10_virus_6.jpeg": ("viral", "person10", "train"),
    }
    reasons = dict(zip(*(pneumonia(films).skipped[column] for column in ("item", "reason")), strict=True))
    assert reasons["train/PNEUMONIA/person2.jpeg"] == "its name says neither bacteria nor virus"
    assert reasons["train/__MACOSX/person3_virus_1.jpeg"] == "lies in neither NORMAL nor PNEUMONIA"


def test_pneumonia_splits_are_never_mixed_and_equal_base_names_stay_apart(films: Path) -> None:
    train, test = pneumonia(films), pneumonia(films, "test")
    assert set(train.table["split"]) == {"train"}
    assert set(test.table["sample_id"]).isdisjoint(train.table["sample_id"])
    name = "PNEUMONIA/person1_virus_6.jpeg"
    pictures = [open_media(s.source, f"{split}/{name}").tobytes() for s, split in ((train, "train"), (test, "test"))]
    assert pictures[0] != pictures[1]
    assert open_source(test.source).table.equals(test.table)
    for split in ("val", "..", "train/NORMAL"):
        with pytest.raises(InputError, match="split"):
            pneumonia(films, split)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def served(imagenette: Path, tmp_path: Path) -> Iterator[Archive]:
    """An archive on a real server of this machine."""
    public = tmp_path / "public"
    public.mkdir()
    with tarfile.open(public / "set.tgz", "w:gz") as archive:
        archive.add(imagenette, "imagenette2-160")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(public)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    md5 = hashlib.md5((public / "set.tgz").read_bytes()).hexdigest()
    yield Archive("A set", f"http://127.0.0.1:{server.server_port}/set.tgz", md5, "imagenette2-160")
    server.shutdown()
    server.server_close()


def test_an_archive_is_fetched_once_checked_and_unpacked(served: Archive, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    folder = fetch(served, tmp_path / "new", progress=lambda *step: seen.append(step))
    assert len(wordnet_folder(folder)) == 6
    assert seen
    assert seen[-1][1] == seen[-1][2] == (tmp_path / "new" / "set.tgz").stat().st_size
    seen.clear()
    assert fetch(served, tmp_path / "new", progress=lambda *step: seen.append(step)) == folder
    assert not seen


def test_an_archive_that_is_another_is_not_kept(served: Archive, tmp_path: Path) -> None:
    other = Archive(served.what, served.url, "0" * 32, served.folder)
    with pytest.raises(InputError, match=r"MD5 [0-9a-f]{32}, published 0+\. Nothing was kept"):
        fetch(other, tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())

    def stop(stage: str, done: int, total: int) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        fetch(served, tmp_path / "new", progress=stop)
    assert not list((tmp_path / "new").iterdir())


def test_offline_says_what_was_wanted_and_where_it_was_looked_for(tmp_path: Path) -> None:
    gone = Archive("A set (3 MB)", "http://127.0.0.1:9/set.tgz", "0" * 32, "inner")
    with pytest.raises(InputError) as raised:
        fetch(gone, tmp_path)
    for part in ("A set (3 MB) cannot be had", gone.url, str(tmp_path / "inner"), str(tmp_path / "set.tgz"), "Copy"):
        assert part in str(raised.value)


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 3, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size if kind == tarfile.REGTYPE else 0, target
    return info


@pytest.mark.parametrize(
    "hostile",
    [
        member("../escaped"),
        member("inner/../../escaped"),
        member("/absolute"),
        member("other/file"),
        member("inner/link", tarfile.SYMTYPE, target="/etc/passwd"),
        member("inner/hard", tarfile.LNKTYPE, target="../../escaped"),
        member("inner/device", tarfile.CHRTYPE),
        member("inner/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda info: info.name,
)
def test_an_archive_that_reaches_outside_leaves_nothing(tmp_path: Path, hostile: tarfile.TarInfo) -> None:
    packed = tmp_path / "work" / "set.tgz"
    packed.parent.mkdir()
    with tarfile.open(packed, "w:gz") as archive:
        archive.addfile(member("inner/good"), io.BytesIO(b"abc"))
        archive.addfile(hostile, io.BytesIO(b"abc") if hostile.type == tarfile.REGTYPE else None)
    with pytest.raises(InputError, match="does not belong in it"):
        unpack(packed, packed.parent, expected="inner")
    assert list(tmp_path.rglob("*")) == [packed.parent, packed]


def test_a_cut_archive_leaves_nothing(served: Archive, tmp_path: Path) -> None:
    whole = (tmp_path / "public" / "set.tgz").read_bytes()
    packed = write(tmp_path / "cut" / "set.tgz", whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(packed, packed.parent, expected="imagenette2-160")
    assert list(packed.parent.iterdir()) == [packed]


def test_every_published_archive_has_an_address_a_sum_and_a_folder() -> None:
    for archive in ARCHIVES.values():
        assert archive.url.startswith("https://")
        assert len(archive.md5) == 32
        assert archive.folder in str(archive.missing(Path("/somewhere")))
