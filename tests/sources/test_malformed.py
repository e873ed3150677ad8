"""Five hundred malformed images, DICOM files, batches, label files and archives: a result or a reason, never more."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from written_dicom import dataset, film, payload
from written_images import encoded, pattern, write, write_classes

from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore
from lsi_engine.samples import SampleSet, UnreadableMedia, cifar10, dicom_folder, image_folder
from lsi_engine.samples.corruption.human_labels import _read as read_label_file
from lsi_engine.samples.images.archives import unpack
from lsi_engine.samples.images.decoding import decode_image
from lsi_engine.samples.images.dicom_image import decode_dicom

#: What decoding anything here may add to the process's peak memory (bytes).
MEMORY = 700 * 2**20
FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM", "JPEG2000")
SYNTAXES = (
    RLELossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000,
    JPEG2000Lossless,
)


def cut(whole: bytes, pieces: int) -> Iterator[tuple[str, bytes]]:
    for part in range(1, pieces):
        yield f"cut-{part}", whole[: len(whole) * part // pieces]


def scratched(whole: bytes, times: int, width: int = 6) -> Iterator[tuple[str, bytes]]:
    """Copies with a few bytes overwritten, half of them near the start, where headers are."""
    for seed in range(times):
        random = np.random.default_rng(seed)
        reach = min(len(whole), 200) if seed % 2 else len(whole)
        damaged = bytearray(whole)
        for place in random.integers(0, reach, width):
            damaged[place] = random.integers(0, 256)
        yield f"scratched-{seed}", bytes(damaged)


def png_of(width: int, height: int, bits: int = 8, kind: int = 0) -> bytes:
    """A PNG that announces ``width × height`` and holds almost nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def images() -> Iterator[tuple[str, bytes]]:
    for file_format in FORMATS:
        whole = encoded(pattern(40, 30), file_format)
        for name, damaged in (*cut(whole, 9), *scratched(whole, 12)):
            yield f"{file_format}-{name}", damaged
        yield f"{file_format}-zeros", whole[: len(whole) // 2] + bytes(len(whole) // 2)
        yield f"{file_format}-doubled-header", whole[:20] + whole
    for width, height in ((0, 9), (9, 0), (2**31 - 1, 2**31 - 1), (65_000, 65_000), (1, 2**31 - 1), (150_000_001, 1)):
        yield f"png-{width}x{height}", png_of(width, height)
    for bits, kind in ((16, 2), (1, 3), (3, 0), (8, 9)):
        yield f"png-{bits}-bits-kind-{kind}", png_of(64, 64, bits, kind)
    jpeg = encoded(pattern(), "JPEG")
    size = jpeg.index(b"\xff\xc0") + 5
    yield "jpeg-65535", jpeg[:size] + b"\xff" * 4 + jpeg[size + 4 :]
    gif = encoded(pattern(), "GIF")
    yield "gif-65535", gif[:6] + b"\xff" * 4 + gif[10:]
    bmp = encoded(pattern(), "BMP")
    yield "bmp-2^31", bmp[:18] + b"\xff\xff\xff\x7f" * 2 + bmp[26:]
    yield "ppm-999999999", b"P6 999999999 999999999 255\n" + bytes(99)
    yield "ppm-text", b"P3 3 3 255\n" + b"9" * 5000
    yield "bomb", encoded(Image.new("1", (20_000, 20_000)))
    nothing = (b"", b"\0", b"\0" * 5000, b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"PK\3\4" + bytes(99), b"\x7fELF" * 9)
    for number, odd in enumerate(
        (*nothing, b"GIF89a", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*")
    ):
        yield f"odd-{number}", odd


def dicoms() -> Iterator[tuple[str, bytes]]:
    whole = payload(dataset(film(), WindowCenter=2048, WindowWidth=4096))
    yield from cut(whole, 25)
    yield from scratched(whole, 60)
    for width in (1, 40):
        for name, damaged in scratched(whole, 20, width):
            yield f"{name}-by-{width}", damaged
    for keyword in (
        "Rows",
        "Columns",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PixelData",
    ):
        yield f"without-{keyword}", payload(dataset(film(), **{keyword: None}))
    for keyword, value in (
        ("Rows", 0),
        ("Rows", 65535),
        ("Columns", 41),
        ("BitsAllocated", 7),
        ("BitsAllocated", 64),
        ("BitsStored", 0),
        ("BitsStored", 40),
        ("PixelRepresentation", 9),
        ("SamplesPerPixel", 3),
        ("SamplesPerPixel", 0),
        ("PhotometricInterpretation", "PALETTE COLOR"),
        ("PhotometricInterpretation", "NONSENSE"),
        ("NumberOfFrames", -3),
        ("NumberOfFrames", 10**9),
        ("WindowWidth", 0),
        ("WindowWidth", -5),
        ("RescaleSlope", 0),
        ("RescaleSlope", 1e300),
        ("PixelPaddingValue", 4095),
        ("PixelData", b"\0\0"),
    ):
        yield (
            f"{keyword}-{value!r:.20}",
            payload(dataset(film(), **{"WindowCenter": 2048, "WindowWidth": 9, keyword: value})),
        )
    for syntax in SYNTAXES:
        for number, frame in enumerate(
            (b"\0" * 64, b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\x51" + b"\xff" * 60, os.urandom(300))
        ):
            made = dataset(film(), BitsAllocated=16)
            made.PixelData = encapsulate([frame])
            made["PixelData"].is_undefined_length = True
            made.file_meta.TransferSyntaxUID = syntax
            yield f"{syntax.name}-{number}", payload(made)
    compressed = dataset(film(64, 64))
    compressed.compress(JPEG2000Lossless)
    whole = payload(compressed)
    for name, damaged in (*cut(whole, 8), *scratched(whole[-600:], 12)):
        yield f"jpeg-2000-{name}", damaged if name.startswith("cut") else whole[:-600] + damaged
    deflated = dataset(film())
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = payload(deflated)
    for name, damaged in cut(whole, 6):
        yield f"deflated-{name}", damaged
    start = 144 + struct.unpack("<I", whole[140:144])[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    yield "deflated-bomb", whole[:start] + b"".join(packer.compress(zeros) for _ in range(600)) + packer.flush()


def batches() -> Iterator[tuple[str, bytes]]:
    content = {b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 1, 0]}
    for protocol in (2, 4):
        whole = pickle.dumps(content, protocol=protocol)
        for name, damaged in (*cut(whole, 8), *scratched(whole, 14)):
            yield f"{protocol}-{name}", damaged
    odd = (
        b"",
        b"cos\nsystem\n(S'true'\ntR.",
        pickle.dumps([1]),
        pickle.dumps({b"data": 3, b"labels": 4}),
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        b"\x80\x02" + b"(" * 5000,
        b"\x80\x02]q\x00h\x00a.",
    )
    yield from ((f"odd-{number}", payload) for number, payload in enumerate(odd))


def label_files() -> Iterator[tuple[str, bytes]]:
    written = io.BytesIO()
    np.savez(written, clean_label=np.arange(9), aggre_label=np.arange(9))
    for name, damaged in (*cut(written.getvalue(), 8), *scratched(written.getvalue(), 12)):
        yield f"npz-{name}", damaged
    for number, text in enumerate(
        (b"", b"\xff\xfe\0", b"a,b\n1\n1,2,3\n", b"clean_label\nx\n", b'"' * 9, b"a\0b\n1\n")
    ):
        yield f"csv-{number}", text


def archives() -> Iterator[tuple[str, bytes]]:
    def packed(*names: str, mode: str = "w:gz") -> bytes:
        written = io.BytesIO()
        with tarfile.open(fileobj=written, mode=mode) as archive:  # type: ignore[call-overload]
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = 5
                archive.addfile(info, io.BytesIO(b"12345"))
        return written.getvalue()

    for mode in ("w", "w:gz", "w:xz"):
        whole = packed("inner/a", "inner/b/c", mode=mode)
        for name, damaged in (*cut(whole, 6), *scratched(whole, 8)):
            yield f"{mode}-{name}", damaged
    for name in ("../a", "inner/../../a", "/a", "inner/../b", "..", "inner/" + "x" * 300, "inner/\n", "inner/\x01", ""):
        yield f"member-{name!r:.25}", packed("inner/good", name)
    yield from (("empty", b""), ("text", b"not a tar"), ("nothing-in-it", packed()))


CASES = [(kind, name, content) for kind in (images, dicoms, batches, label_files, archives) for name, content in kind()]


@pytest.fixture(scope="module", autouse=True)
def _bounded_memory() -> Iterator[None]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


def test_there_are_hundreds() -> None:
    assert len(CASES) >= 500


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "name", "content"), CASES, ids=[f"{number}-{kind.__name__}" for number, (kind, _, _) in enumerate(CASES)]
)
def test_a_result_or_a_reason_and_nothing_else(
    kind: Callable[[], object], name: str, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if kind is images:
        assert _reason(lambda: _image_in(decode_image(content))) != "no reason given"
    elif kind is dicoms:
        assert "Doe" not in _reason(lambda: _image_in(decode_dicom(content)))
    else:
        opener = {batches: _open_batch, label_files: _open_labels, archives: _open_archive}[kind]
        folder = tmp_path_factory.mktemp("malformed")
        assert "Traceback" not in _reason(lambda: opener(folder, name, content))


def _reason(work: Callable[[], object]) -> str:
    """Why ``work`` cannot be done, "" when it can; any other exception is a failure of the test."""
    try:
        work()
    except InputError as reason:
        return str(reason) or "no reason given"
    return ""


def _image_in(opened: Image.Image) -> None:
    assert opened.mode in ("L", "RGB")


def _open_batch(folder: Path, name: str, content: bytes) -> None:
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"a", b"b"]}, protocol=2))
    (folder / "data_batch_1").write_bytes(content)
    assert isinstance(cifar10(folder), SampleSet)


def _open_labels(folder: Path, name: str, content: bytes) -> None:
    path = folder / f"labels.{name[:3]}"
    path.write_bytes(content)
    assert isinstance(read_label_file(path), dict)


def _open_archive(folder: Path, name: str, content: bytes) -> None:
    inside = folder / "inside"
    inside.mkdir()
    (inside / "set.tgz").write_bytes(content)
    try:
        unpack(inside / "set.tgz", inside, expected="inner")
    finally:
        assert list(folder.iterdir()) == [inside], "something was written outside"
        assert {path.name for path in inside.iterdir()} <= {"set.tgz", "inner"}


def test_a_folder_of_malformed_images_is_scored_around_them_and_each_is_listed(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "data", per_class=6)
    malformed = [content for name, content in images() if "cut-2" in name or name.startswith(("odd", "png-", "bomb"))]
    unusable = []
    for number, content in enumerate(malformed):
        try:
            decode_image(content)
        except UnreadableMedia:
            path = write(root / ("cat", "dog")[number % 2] / f"broken {number}", content)
            unusable.append(path.relative_to(root).as_posix())
    config = RunConfig(
        name="around", source={"kind": "image_folder", "root": str(root)}, extractor={"kind": "pixels", "image_size": 4}
    )
    run, _ = compute(config, RunStore(tmp_path / "cache"))
    assert len(run.scores()) == 12
    skipped = run.skipped()
    assert sorted(skipped["item"]) == sorted(unusable)
    assert len(unusable) > 20
    assert skipped["reason"].str.len().min() > 5
    assert run.provenance["skipped"] == len(unusable)


NAMES = [
    "plain",
    "ünïcödé",
    "日本語",
    "\u202eevil\u202c",
    "شعاع",
    "new\nline",
    "tab\there",
    "quote\"s'",
    "<b>bold</b>",
    "[red]markup[/]",
    "%2e%2e",
    "double..dots",
    " spaces ",
    "emoji 🩻",
    "a" * 200,
    "nul\x01\x7f",
    "back\\slash",
    "semi;colon&",
    "$(touch x)",
    "=cmd()",
]


@pytest.mark.parametrize("dicom", [False, True], ids=["images", "dicom"])
def test_names_of_every_kind_are_kept_apart_and_make_plain_ids(tmp_path: Path, dicom: bool) -> None:
    for number, name in enumerate(NAMES):
        content = payload(dataset(film(seed=number))) if dicom else encoded(pattern(seed=number))
        write(tmp_path / "data" / ("left", "right")[number % 2] / name / f"{name}.png", content)
    samples = (dicom_folder if dicom else image_folder)(tmp_path / "data")
    assert len(samples) == len(NAMES)
    assert samples.skipped.empty
    assert samples.table["sample_id"].str.fullmatch(r"[0-9a-f]{20}").all()
    assert samples.table["content"].is_unique


def test_loops_of_links_and_folders_that_cannot_be_read(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "data")
    write(tmp_path / "outside" / "secret.png", encoded(pattern(seed=77)))
    os.symlink("self", root / "cat" / "self")
    os.symlink("b", root / "cat" / "a")
    os.symlink("a", root / "cat" / "b")
    os.symlink(root, root / "dog" / "loop")
    os.symlink(tmp_path / "outside", root / "dog" / "out")
    os.symlink(tmp_path / "outside" / "secret.png", root / "dog" / "secret.png")
    os.mkfifo(root / "dog" / "pipe")
    locked = root / "locked"
    locked.mkdir()
    locked.chmod(0)
    try:
        samples = image_folder(root)
    finally:
        locked.chmod(0o700)
    assert len(samples) == 6
    reasons = dict(zip(samples.skipped["item"], samples.skipped["reason"], strict=True))
    assert set(reasons) >= {"cat/self", "cat/a", "cat/b", "dog/loop", "dog/out", "dog/secret.png", "dog/pipe", "locked"}
    assert reasons["dog/secret.png"].startswith("leads out")
