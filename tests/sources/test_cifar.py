"""CIFAR-10's original files: read in order, and nothing in them is ever run."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from lsi_engine.errors import InputError
from lsi_engine.samples import UnreadableMedia, cifar10, open_media, open_source

CLASSES = ["airplane", "cat", "ship"]


def write_batch(path: Path, pixels: np.ndarray, labels: list[int], protocol: int = 2) -> None:
    batch = {
        b"batch_label": b"training batch",
        b"labels": labels,
        b"data": pixels,
        b"filenames": [b"a.png"] * len(labels),
    }
    path.write_bytes(pickle.dumps(batch, protocol=protocol))


def python_2_batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """The opcodes that Python 2 wrote into the original files (protocol 2, text as byte strings)."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    state = b"(K\x01K" + bytes([len(pixels)]) + b"M" + struct.pack("<H", 3072) + b"\x86"
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|")
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    raw = pixels.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    array += state + dtype + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"labels") + numbers + text(b"data") + array + b"u."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    meta = {b"label_names": [name.encode() for name in CLASSES], b"num_vis": 3072}
    (tmp_path / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    for number in (1, 2, 10):
        write_batch(tmp_path / f"data_batch_{number}", random.integers(0, 256, (4, 3072), np.uint8), [2, 0, 1, 2])
    return tmp_path


def test_samples_are_in_the_original_order(folder: Path) -> None:
    samples = cifar10(folder)
    assert samples.table["media"].tolist() == [f"data_batch_{batch}/{row}" for batch in (1, 2, 10) for row in range(4)]
    assert samples.table["label"].tolist() == ["ship", "airplane", "cat", "ship"] * 3
    assert samples.table["sample_id"].iloc[5] == "cifar10-2-00001"
    (folder / "data_batch_1").unlink()
    fewer = open_source(samples.source).table
    assert fewer["sample_id"].tolist() == samples.table["sample_id"].tolist()[4:]


@pytest.mark.parametrize("protocol", [2, 4, "python 2"])
def test_images_open_by_their_place_in_the_batch(folder: Path, protocol: int | str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 3, 32, 32), np.uint8)
    rows = pixels.reshape(5, 3072)
    if isinstance(protocol, int):
        write_batch(folder / "data_batch_1", rows, [0, 1, 2, 0, 1], protocol)
    else:
        (folder / "data_batch_1").write_bytes(python_2_batch(rows, [0, 1, 2, 0, 1]))
    samples = cifar10(folder)
    assert samples.table["label"].tolist()[:5] == ["airplane", "cat", "ship", "airplane", "cat"]
    np.testing.assert_array_equal(open_media(samples.source, "data_batch_1/3"), pixels[3].transpose(1, 2, 0))
    for media, message in [
        ("data_batch_1/5", "5 records"),
        ("data_batch_9/0", "cannot be read"),
        ("../x/0", "no CIFAR"),
    ]:
        with pytest.raises(UnreadableMedia, match=message):
            open_media(samples.source, media)


class Harmful:
    """Unpickled without care, this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("where", ["data_batch_1", "batches.meta"])
def test_a_file_that_asks_for_more_than_data_is_refused_unrun(folder: Path, where: str) -> None:
    target = folder / "touched"
    payload = pickle.dumps({b"data": Harmful(target), b"labels": [0], b"label_names": [b"a", b"b"]}, protocol=2)
    pickle.loads(payload)
    assert target.exists()  # the trap works
    target.unlink()
    (folder / where).write_bytes(payload)
    with pytest.raises(InputError, match=rf"{where}: it asks for .*not trusted"):
        cifar10(folder)
    assert not target.exists()


@pytest.mark.parametrize(
    "name", [b"cos\nsystem\n", b"cnumpy\nload\n", b"cnumpy.core.multiarray\nfromfile\n", b"cbuiltins\neval\n"]
)
def test_no_other_name_is_looked_up(folder: Path, name: bytes) -> None:
    (folder / "data_batch_1").write_bytes(b"\x80\x02" + name + b".")
    with pytest.raises(InputError, match="not trusted"):
        cifar10(folder)


def test_damaged_or_unfitting_files_are_named(folder: Path) -> None:
    good = (folder / "data_batch_2").read_bytes()
    (folder / "data_batch_2").write_bytes(good[: len(good) // 2])
    with pytest.raises(InputError, match="data_batch_2 is damaged"):
        cifar10(folder)
    write_batch(folder / "data_batch_2", np.zeros((4, 3072), np.uint8), [0, 1])
    with pytest.raises(InputError, match="4 images but 2 labels"):
        cifar10(folder)
    write_batch(folder / "data_batch_2", np.zeros((2, 3072), np.uint8), [0, 3])
    with pytest.raises(InputError, match=r"record 1 has the label 3; batches\.meta names 3"):
        cifar10(folder)
    for wrong in (np.zeros((2, 3000), np.uint8), np.zeros((2, 3072), np.float32), np.zeros(3072, np.uint8)):
        write_batch(folder / "data_batch_2", wrong, [0, 1])
        with pytest.raises(InputError, match="data_batch_2: 'data'"):
            cifar10(folder)
    (folder / "batches.meta").unlink()
    with pytest.raises(InputError, match=r"no .*batches\.meta"):
        cifar10(folder)
    with pytest.raises(
        InputError, match=r"it would be the folder cifar-10-batches-py there\. --download fetches it from https"
    ):
        cifar10(folder / "nowhere")
