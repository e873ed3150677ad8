"""Extraction: every content computed once, kept whatever happens, failures listed, rows in the samples' order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from written_images import encoded, pattern, write, write_classes

from lsi_engine.errors import Cancelled, InputError, LsiWarning
from lsi_engine.features import extract as extraction
from lsi_engine.features.cache import FeatureCache, load
from lsi_engine.features.extract import extract
from lsi_engine.features.pixels import PixelExtractor
from lsi_engine.samples import SampleSet, feature_file, image_folder, open_media


class CountingPixels(PixelExtractor):
    """Pixels that remember how many images went through the forward pass, and in batches of what size."""

    def __init__(self, image_size: int = 4) -> None:
        super().__init__(image_size)
        self.batches: list[int] = []

    def forward(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(batch))
        return super().forward(batch)


def one_by_one(samples: SampleSet, extractor: PixelExtractor) -> NDArray[np.float32]:
    images = (open_media(samples.source, media) for media in samples.table["media"])
    return np.concatenate([extractor.forward(extractor.prepare(image)[None]) for image in images])


def noise(seed: int) -> bytes:
    return encoded(np.random.default_rng(seed).integers(0, 255, (9, 7, 3), dtype=np.uint8))


def test_rows_are_those_of_the_samples_one_by_one(tmp_path: Path) -> None:
    samples = image_folder(write_classes(tmp_path / "data", per_class=11))
    extractor = CountingPixels()
    features, failed, kept = extract(samples, extractor, tmp_path, batch_size=4)
    assert (features.shape, features.dtype) == ((22, 48), np.float32)
    np.testing.assert_array_equal(features, one_by_one(samples, PixelExtractor(4)))
    assert extractor.batches == [4, 4, 4, 4, 4, 2]
    assert kept.all()
    assert not len(failed)


def test_pixels_are_the_image_itself_at_its_own_size() -> None:
    image = Image.fromarray(pattern(8, 8))
    color, grey = PixelExtractor(8), PixelExtractor(8, color=False)
    assert (color.dimension, grey.dimension) == (192, 64)
    np.testing.assert_array_equal(color.forward(color.prepare(image)[None])[0] * 255, pattern(8, 8).ravel())
    luma = pattern(8, 8) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey.forward(grey.prepare(image)[None])[0] * 255, luma.ravel(), atol=0.6)
    assert len({color.key, grey.key, PixelExtractor(9).key}) == 3
    with pytest.raises(InputError, match="not 65"):
        PixelExtractor(65)


def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    first = image_folder(write_classes(tmp_path / "first"))
    expected, *_ = extract(first, CountingPixels(), tmp_path)
    # The same images elsewhere, under other names and labels, two of them twice, and one new one.
    for number, row in enumerate(first.table.itertuples()):
        payload = (tmp_path / "first" / row.media).read_bytes()
        write(tmp_path / "second" / f"class {number % 2}" / f"renamed {number}", payload)
        if number < 2:
            write(tmp_path / "second" / "class 9" / f"{number}.png", payload)
    new = [write(tmp_path / "second" / "class 9" / name, noise(5)) for name in ("new.png", "new copy.png")]
    second = image_folder(tmp_path / "second")
    extractor = CountingPixels()
    features, failed, _ = extract(second, extractor, tmp_path)
    assert extractor.batches == [1]
    np.testing.assert_array_equal(features, one_by_one(second, PixelExtractor(4)))
    again = CountingPixels()
    np.testing.assert_array_equal(extract(second, again, tmp_path)[0], features)
    assert again.batches == []
    np.testing.assert_array_equal(load(second.table, extractor.key, tmp_path), features)
    np.testing.assert_array_equal(load(first.table, extractor.key, tmp_path), expected)
    # Another extractor shares nothing, and a decoded file may be gone once its row is stored.
    for path in new:
        path.unlink()
    assert extract(second, CountingPixels(), tmp_path)[1].equals(failed)
    with pytest.raises(InputError, match="10 of 10 samples have no features"):
        load(second.table, CountingPixels(5).key, tmp_path)


def test_what_cannot_be_decoded_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "data")
    random = encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    write(root / "cat" / "truncated.png", random[: len(random) // 2])
    write(root / "dog" / "truncated copy.png", random[: len(random) // 2])
    write(root / "dog" / "changing.png", noise(1))
    write(root / "dog" / "vanishing.png", noise(2))
    write(root / "cat" / "vanishing too.png", noise(4))
    write(root / "dog" / "copy of vanishing too.png", noise(4))
    samples = image_folder(root)
    assert not len(samples.skipped)
    write(root / "dog" / "changing.png", noise(3))
    (root / "dog" / "vanishing.png").unlink()
    (root / "cat" / "vanishing too.png").unlink()

    features, failed, kept = extract(samples, CountingPixels(), tmp_path, batch_size=2)

    listed = dict(zip(failed["item"], failed["reason"], strict=True))
    assert listed.keys() == {"cat/truncated.png", "dog/truncated copy.png", "dog/changing.png", "dog/vanishing.png"}
    assert "truncated" in listed["cat/truncated.png"]
    assert listed["cat/truncated.png"] == listed["dog/truncated copy.png"]
    assert "changed while" in listed["dog/changing.png"]
    assert "no such file" in listed["dog/vanishing.png"]
    remaining = samples.keep(kept, failed)
    assert len(remaining) == len(features) == 8
    assert len(remaining.skipped) == 4
    write(root / "cat" / "vanishing too.png", noise(4))  # its row came from the copy
    np.testing.assert_array_equal(features, one_by_one(remaining, PixelExtractor(4)))
    # The changed file's new bytes were not stored under the old content.
    assert (
        not FeatureCache(tmp_path, PixelExtractor(4).key)
        .fill(samples.table.loc[~kept, "content"].tolist(), np.empty((4, 48), np.float32))
        .any()
    )


def test_progress_counts_samples_and_cancelling_keeps_what_was_computed(tmp_path: Path) -> None:
    samples = image_folder(write_classes(tmp_path / "data", per_class=8))

    def stop(stage: str, done: int, total: int) -> None:
        assert (stage, total) == ("features", 16)
        if done >= 6:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        extract(samples, CountingPixels(), tmp_path, batch_size=3, progress=stop)
    extractor, seen = CountingPixels(), []
    extract(samples, extractor, tmp_path, batch_size=5, progress=lambda *call: seen.append(call))
    assert seen == [("features", done, 16) for done in (6, 11, 16)]
    assert sum(extractor.batches) == 10


SLOW_EXTRACTION = """
import sys, time
from pathlib import Path
from lsi_engine.features import extract as extraction
from lsi_engine.features.pixels import PixelExtractor
from lsi_engine.samples import image_folder

extraction.SHARD_ROWS = 4
extraction.extract(
    image_folder(sys.argv[1]), PixelExtractor(4), Path(sys.argv[2]), batch_size=2,
    progress=lambda *call: time.sleep(0.05),
)
"""


def test_a_killed_extraction_resumes_where_it_was(tmp_path: Path) -> None:
    root, cache = write_classes(tmp_path / "data", per_class=100), tmp_path / "cache"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_EXTRACTION, str(root), str(cache)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    folder = cache / "features" / PixelExtractor(4).key
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.keys"))) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stored = sum(len(np.load(path)) for path in folder.glob("*.npy") if path.with_suffix(".keys").exists())
    assert 12 <= stored < 200

    samples = image_folder(root)
    extractor = CountingPixels()
    features, _, kept = extract(samples, extractor, cache)
    assert kept.all()
    assert sum(extractor.batches) == 200 - stored
    np.testing.assert_array_equal(features, one_by_one(samples, PixelExtractor(4)))


def test_a_damaged_shard_is_computed_again(tmp_path: Path) -> None:
    samples = image_folder(write_classes(tmp_path / "data"))
    features, *_ = extract(samples, CountingPixels(), tmp_path)
    folder = tmp_path / "features" / PixelExtractor(4).key
    (shard,) = folder.glob("*.npy")
    shard.write_bytes(shard.read_bytes()[:200])
    extractor = CountingPixels()
    with pytest.warns(LsiWarning, match="damaged and ignored"):
        again, *_ = extract(samples, extractor, tmp_path)
    assert extractor.batches == [6]
    np.testing.assert_array_equal(again, features)
    assert not list(folder.glob("*.tmp"))


def test_many_shards_and_rows_found_twice(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "key")
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    content = [f"{number:032x}" for number in range(50)]
    for start in range(0, 50, 8):  # overlapping, as two processes at once would write them
        cache.add(content[start : start + 12], rows[start : start + 12])
    cache.add([], rows[:0])
    order = np.random.default_rng(1).integers(0, 50, 200)
    filled = np.empty((200, 3), np.float32)
    assert cache.fill([content[number] for number in order], filled).all()
    np.testing.assert_array_equal(filled, rows[order])
    assert cache.dimension == 3
    with pytest.raises(InputError, match="rows of 3 features, not 4"):
        cache.fill(content, np.empty((50, 4), np.float32))


def test_memory_is_bounded_by_the_batches_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = image_folder(write_classes(tmp_path / "data", per_class=40))
    monkeypatch.setattr(extraction, "BATCHES_AHEAD", 2)

    class Watching(CountingPixels):
        prepared = passed = most = 0

        def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
            Watching.prepared += 1
            Watching.most = max(Watching.most, Watching.prepared - Watching.passed)
            return super().prepare(image)

        def forward(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
            time.sleep(0.02)  # gives the decoding threads all the time they want to run ahead
            Watching.passed += len(batch)
            return super().forward(batch)

    extract(samples, Watching(), tmp_path, batch_size=5)
    assert 5 < Watching.most <= 5 + 2 * 5


def test_samples_or_weights_that_cannot_work(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", features=np.zeros((2, 2)), labels=[0, 1])
    with pytest.raises(InputError, match="has no images"):
        extract(feature_file(tmp_path / "f.npz"), CountingPixels(), tmp_path)

    class Broken(PixelExtractor):
        def forward(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
            return super().forward(batch) * np.float32(np.nan)

    with pytest.raises(InputError, match=r"not finite for cat/0\.png"):
        extract(image_folder(write_classes(tmp_path / "data")), Broken(4), tmp_path)
