"""Small inputs of every kind, made by seed; nothing is fetched and nothing of a real dataset is copied."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image


def blobs(
    samples: int = 80, dimension: int = 12, classes: int = 3, seed: int = 3, spread: float = 1.0, copies: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Overlapping clouds; with ``copies`` rows 0 and 1 are the same and row 3 is a near copy of row 2."""
    random = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    x = spread * random.normal(size=(classes, dimension))[labels] + random.normal(size=(samples, dimension))
    if copies:
        x[1], labels[1] = x[0], labels[0]
        x[3] = x[2] + 1e-3
    return x, labels


def feature_npz(path: Path, samples: int = 80, **given: Any) -> Path:
    """Features with ids, groups of four, splits and true labels of which a few are not the given ones."""
    x, labels = blobs(samples, **given)
    random = np.random.default_rng(11)
    names = np.array(["ant", "bee", "cow", "dog"])[labels]
    true = names.copy()
    wrong = random.choice(samples, size=max(3, samples // 12), replace=False)
    names[wrong] = np.roll(np.unique(true), 1)[np.searchsorted(np.unique(true), names[wrong])]
    np.savez(
        path,
        features=x,
        labels=names,
        true_labels=true,
        groups=[f"p{row // 4}" for row in range(samples)],
        splits=["val" if row % 5 == 0 else "train" for row in range(samples)],
        sample_ids=[f"s-{row:03d}" for row in range(samples)],
    )
    return path


def picture(seed: int, kind: int, edge: int = 24) -> NDArray[np.uint8]:
    """``(edge, edge, 3)``: stripes, a disc or a slope, with noise; ``kind`` is the class."""
    random = np.random.default_rng([seed, kind])
    rows, columns = np.mgrid[0:edge, 0:edge]
    shape = [
        (rows // 3 % 2) * 160,
        ((rows - edge / 2) ** 2 + (columns - edge / 2) ** 2 < edge**2 / 9) * 180,
        (rows + columns) * 200 // (2 * edge),
    ][kind % 3]
    tint = np.array([[1.0, 0.6, 0.4], [0.5, 1.0, 0.7], [0.6, 0.5, 1.0]])[kind % 3]
    noisy = shape[..., None] * tint + random.normal(0, 35, (edge, edge, 3)) + 30 + random.uniform(0, 40)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def image_folder(root: Path, per_class: int = 20, classes: tuple[str, ...] = ("disc", "slope", "stripe")) -> Path:
    """PNG, JPEG, grey, 16-bit, palette and transparent pictures by class; one file that is none."""
    for kind, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            image = Image.fromarray(picture(number, kind))
            stem = root / name / f"case{number // 3:02d}_{name[:2]}_{number:03d}"
            if number % 7 == 1:
                image.save(stem.with_suffix(".jpg"), quality=85)
            elif number % 7 == 2:
                image.convert("L").save(stem.with_suffix(".png"))
            elif number % 7 == 3:
                grey = np.asarray(image.convert("L")).astype(np.uint16) * 200 + 500
                Image.fromarray(grey).save(stem.with_suffix(".png"))
            elif number % 7 == 4:
                image.quantize(16).save(stem.with_suffix(".png"))
            elif number % 7 == 5:
                image.putalpha(Image.fromarray(picture(number + 500, kind)[..., 0]))
                image.save(stem.with_suffix(".png"))
            else:
                image.save(stem.with_suffix(".png"))
    (root / classes[0] / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    return root


def cifar10_folder(root: Path, per_batch: int = 30) -> Path:
    """The original layout: pickled batches of records, and their names."""
    root.mkdir(parents=True, exist_ok=True)
    names = ["airplane", "cat", "ship"]
    meta = {b"label_names": [name.encode() for name in names], b"num_vis": 3072}
    (root / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    for batch in (1, 2):
        (root / f"data_batch_{batch}").write_bytes(_records(per_batch, batch, b"labels"))
    (root / "test_batch").write_bytes(_records(per_batch, 9, b"labels"))
    return root


def cifar100_folder(root: Path, records: int = 36) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"apple", b"beetle", b"cloud"]}, protocol=2))
    (root / "train").write_bytes(_records(records, 4, b"fine_labels"))
    return root


def cifar_labels(records: int) -> list[int]:
    return [(row * 7 + row // 3) % 3 for row in range(records)]


def _records(records: int, seed: int, key: bytes) -> bytes:
    labels = cifar_labels(records)
    rows = [picture(seed * 1000 + row, kind, 32).transpose(2, 0, 1).ravel() for row, kind in enumerate(labels)]
    return pickle.dumps({key: labels, b"data": np.stack(rows), b"filenames": [b"a.png"] * records}, protocol=2)


def published_folders(root: Path) -> tuple[Path, Path]:
    """Imagenette's and the pneumonia films' layouts."""
    nette, films = root / "nette", root / "chest_xray"
    for kind, wordnet in enumerate(("n01440764", "n03888257", "n09999999")):
        (nette / "train" / wordnet).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(picture(number + 40, kind)).save(nette / "train" / wordnet / f"{number}.png")
    for kind, (folder, stem) in enumerate(
        (("NORMAL", "IM-{:04d}-0001"), ("PNEUMONIA", "person{}_bacteria_1"), ("PNEUMONIA", "person{}_virus_2"))
    ):
        (films / "train" / folder).mkdir(parents=True, exist_ok=True)
        for number in range(12):
            film = Image.fromarray(picture(number + 80, kind)).convert("L")
            film.save(films / "train" / folder / (stem.format(number // 2) + f"_{number}.jpeg"), quality=90)
    return nette, films


def dicom_folder(root: Path, files: int = 30) -> Path:
    """Films of two views: windows, inverted ones, rescaled ones, several frames; two files without an image."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless

    root.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        kind, uid = number % 2, f"1.2.826.0.1.3680043.8.498.{number + 1}"
        grey = picture(number, kind, 32)[..., 0].astype(np.uint16) * 12 + number
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", uid
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = "1.2.826.0.1.3680043.8.498.1"
        made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, uid
        made.PatientName, made.PatientID, made.Modality = f"Doe^J{number // 3}", f"MRN-{number // 3}", "CR"
        made.ViewPosition = ("AP", "PA")[kind]
        if number not in (7, 8):
            made.Rows, made.Columns, made.SamplesPerPixel = 32, 32, 1
            made.PhotometricInterpretation = "MONOCHROME1" if number % 5 == 1 else "MONOCHROME2"
            made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
            if number % 4 == 0:
                made.WindowCenter, made.WindowWidth = 1500, 2400
            if number % 6 == 0:
                made.RescaleSlope, made.RescaleIntercept = 2, -1000
            frames = [grey, grey[::-1]] if number % 9 == 4 else [grey]
            if len(frames) > 1:
                made.NumberOfFrames = len(frames)
            made.PixelData = np.stack(frames).tobytes()
            made["PixelData"].VR = "OW"
            if number % 10 == 2:
                made.compress(RLELossless, generate_instance_uid=False)
        made.save_as(root / f"film{number:03d}.dcm", enforce_file_format=True)
    return root


WORDS = {
    "garden": ["seed", "soil", "rose", "spade", "prune", "water", "bloom", "leaf"],
    "kitchen": ["stove", "bread", "knife", "salt", "simmer", "oven", "spoon", "crust"],
    "harbour": ["boat", "anchor", "tide", "rope", "gull", "crane", "pier", "sail"],
}
COMMON = ["the", "a", "of", "and", "with", "some", "very", "old", "new", "small", "day", "again"]


def sentences(samples: int, seed: int) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(seed)
    topics = sorted(WORDS)
    texts, labels = [], []
    for row in range(samples):
        topic = topics[row % 3]
        other = topics[int(random.integers(3))]
        pool = WORDS[topic] * 2 + WORDS[other] + COMMON
        texts.append(" ".join(random.choice(pool, size=int(random.integers(8, 20)))))
        labels.append(topic)
    return texts, labels


def text_csv(path: Path, samples: int = 90) -> Path:
    texts, labels = sentences(samples, 5)
    texts[4], labels[9] = "", ""
    frame = pd.DataFrame({"id": range(100, 100 + samples), "review": texts, "topic": labels})
    frame.assign(split=["test" if row % 4 == 0 else "train" for row in range(samples)]).to_csv(path, index=False)
    return path


def text_folder(root: Path, samples: int = 60) -> Path:
    for row, (text, label) in enumerate(zip(*sentences(samples, 6), strict=True)):
        (root / label).mkdir(parents=True, exist_ok=True)
        (root / label / f"{row:03d}.txt").write_text(text + "\n", encoding="utf-8")
    return root


def table_csv(path: Path) -> Path:
    """The wines that come with scikit-learn, with cells and columns that cannot be used."""
    from sklearn.datasets import load_wine

    wine = load_wine()
    frame = pd.DataFrame(wine.data, columns=wine.feature_names).astype("object")
    frame.insert(0, "id", range(1000, 1000 + len(frame)))
    frame["cellar"] = ["left" if row % 2 else "right" for row in range(len(frame))]
    frame["cultivar"] = wine.target_names[wine.target].astype(object)
    frame.loc[5, "alcohol"], frame.loc[60, "hue"], frame.loc[100, "cultivar"] = "?", "inf", ""
    frame.to_csv(path, index=False)
    return path


def caption_pairs(folder: Path, images: int = 16) -> Path:
    """Two captions an image; the first names its colour."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    words = ["red", "green", "blue", "bright", "dark", "warm", "cold", "plain"]
    lines = ["file,caption"]
    for number in range(images):
        colour = random.integers(0, 255, size=3)
        Image.fromarray(np.full((6, 6, 3), colour, dtype=np.uint8)).save(folder / f"{number}.png")
        said = [words[int(colour.argmax())], words[3 if colour.sum() > 380 else 4], words[5 + number % 3]]
        lines += [f"{number}.png,a {' '.join(said)} square", f"{number}.png,{said[0]} thing number {number}"]
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def squeezenet_weights(path: Path) -> Path:
    """A backbone's weights by seed, in torchvision's names: no download, and the same on every machine."""
    from safetensors.numpy import save_file

    shapes: dict[str, tuple[int, ...]] = {"features.0.weight": (64, 3, 3, 3)}
    channels = 64
    for layer, squeezed, expanded in zip(
        (3, 4, 6, 7, 9, 10, 11, 12),
        (16, 16, 32, 32, 48, 48, 64, 64),
        (64, 64, 128, 128, 192, 192, 256, 256),
        strict=True,
    ):
        shapes[f"features.{layer}.squeeze.weight"] = (squeezed, channels, 1, 1)
        shapes[f"features.{layer}.expand1x1.weight"] = (expanded, squeezed, 1, 1)
        shapes[f"features.{layer}.expand3x3.weight"] = (expanded, squeezed, 3, 3)
        channels = 2 * expanded
    random = np.random.default_rng(0)
    tensors = {}
    for name, shape in shapes.items():
        scale = (2 / np.prod(shape[1:])) ** 0.5
        tensors[name] = (random.standard_normal(shape) * scale).astype(np.float32)
        tensors[name.replace("weight", "bias")] = (random.standard_normal(shape[0]) * 0.05).astype(np.float32)
    save_file(tensors, path)
    return path


def human_labels(path: Path, labels: list[int]) -> Path:
    random = np.random.default_rng(2)
    clean = np.array(labels, dtype=np.int64)
    worse = clean.copy()
    wrong = random.choice(len(clean), size=len(clean) // 6, replace=False)
    worse[wrong] = (worse[wrong] + 1 + random.integers(0, 2, len(wrong))) % 3
    np.savez(path, clean_label=clean, worse_label=worse, aggre_label=clean)
    return path
