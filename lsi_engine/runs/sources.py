"""From samples to features, and from a finished run back to the features it was scored on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.features.extractor import Extractor
from lsi_engine.files import replacing
from lsi_engine.progress import Progress, silent
from lsi_engine.runs import pair_runs
from lsi_engine.runs.store import Run
from lsi_engine.samples import SampleSet, open_source

#: Features of an archive or a table that take more are kept unpacked beside the extracted ones.
KEPT_BYTES = 2**20


def extractor(
    settings: dict[str, Any], samples: SampleSet, cache: Path, progress: Progress = silent, *, device: str | None = None
) -> Extractor:
    """The feature extractor that ``settings`` (``RunConfig.extractor``) describes, for these ``samples``.

    Networks run on ``device`` (``RunConfig.device``), the CPU when ``None``.

    Raises ``InputError`` for an unknown kind, or one that cannot read samples of this modality.
    """
    settings = dict(settings)
    kind = settings.pop("kind", None)
    network = {"device": device or "cpu", **settings}
    known = {"pixels": "image", "torchvision": "image", "tfidf": "text", "transformer": "text"}
    if kind not in known:
        raise InputError(f"there is no extractor {kind!r}; known: {', '.join(known)}")
    if samples.modality not in (known[kind], "features"):
        raise InputError(f"{kind} reads {known[kind]}s, and {samples.name} holds {samples.modality}s")
    if kind == "pixels":
        from lsi_engine.features.pixels import PixelExtractor

        return PixelExtractor(**settings)
    if kind == "torchvision":
        from lsi_engine.features.torchvision_backbone import TorchvisionBackbone

        return TorchvisionBackbone(**network)
    if kind == "tfidf":
        from lsi_engine.features.tfidf import TfidfExtractor

        texts, contents = samples.table["text"].tolist(), samples.table["content"].tolist()
        return TfidfExtractor(texts, contents, cache, **settings, progress=progress)
    from lsi_engine.features.transformer_text import TransformerText

    return TransformerText(**network)


def features(
    samples: SampleSet,
    settings: dict[str, Any] | None,
    cache: Path,
    progress: Progress = silent,
    *,
    device: str | None = None,
) -> tuple[NDArray, SampleSet, str | None]:
    """Features ``(N, D)``, the samples they belong to (unreadable ones moved to ``skipped``), and the extractor's key.

    Without an extractor the source must bring its own features (a feature file, the digits' pixels).
    """
    if samples.modality == "pairs":
        if settings is None or set(settings) != {"kind", "image", "text"}:
            raise InputError(f"{samples.name} holds pairs: name an image backbone and a text encoder")
        image = extractor(settings["image"], pair_runs.image_side(samples), cache, progress, device=device)
        text = extractor(settings["text"], pair_runs.text_side(samples), cache, progress, device=device)
        return pair_runs.features(samples, image, text, cache, progress)
    if settings is None:
        if samples.features is None:
            raise InputError(f"{samples.name} has no features of its own: name a backbone, pixels or a text encoder")
        return samples.features, samples, None
    from lsi_engine.features.extract import extract

    chosen = extractor(settings, samples, cache, progress, device=device)
    matrix, failed, kept = extract(samples, chosen, cache, progress=progress)
    return matrix, samples.keep(kept, failed), chosen.key


def features_of(run: Run, cache: Path, only: NDArray[np.integer] | None = None) -> NDArray[np.floating]:
    """The ``(n, D)`` unscaled features of the samples that a finished run scored, rows as in its scores.

    With ``only (k,)`` those of these rows alone, ``(k, D)``. Memory-mapped, read-only, where they lie in one file.
    Raises ``InputError`` when they are gone: the feature file was moved, or the feature cache was emptied.
    """
    rows = run.config.rows(int(run.provenance["samples"]))
    if rows is not None and only is not None:
        rows = rows[only]
    return _all_features(run, cache, only if rows is None else rows)


def feature_dimension(run: Run, cache: Path) -> int:
    """D of :func:`features_of`, from what is stored beside the rows; raises ``InputError`` as that does."""
    return features_of(run, cache, np.zeros(1, dtype=np.intp)).shape[1]


def _all_features(run: Run, cache: Path, rows: NDArray[np.integer] | None) -> NDArray[np.floating]:
    """The ``rows`` (all where ``None``) of the samples that the run's probe was trained with."""
    if (run.path / "features.npy").is_file():
        whole = np.load(run.path / "features.npy", mmap_mode="r", allow_pickle=False)
        return whole if rows is None else whole[rows]
    if run.modality == "pairs":
        whole = pair_runs.stored_features(run, cache)
        return whole if rows is None else whole[rows]
    key = run.provenance["extractor_key"]
    if key is None:
        whole = _features_of_the_source(run, cache)
        return whole if rows is None else whole[rows]
    from lsi_engine.features.cache import load as load_features

    table = run.samples()
    return load_features(table if rows is None else table.iloc[rows], key, cache)


def _features_of_the_source(run: Run, cache: Path) -> NDArray[np.floating]:
    """Features ``(N, D)`` that came with the samples.

    Those of an archive or a table have to be unpacked whole, however few are wanted: from ``KEPT_BYTES`` on they are
    kept as ``.npy``, once for all runs on the same data, and mapped from there.
    """
    source = run.config.source
    kept = cache / "features" / "files" / f"{run.provenance['dataset_fingerprint']}.npy"
    of_a_file = source["kind"] in ("feature_file", "table")
    if of_a_file and kept.is_file():
        return np.load(kept, mmap_mode="r", allow_pickle=False)
    if source["kind"] == "feature_file":
        source = source | {"images": ""}  # the rows are wanted, and not their pictures
    samples = open_source(source)
    scored = run.samples()["sample_id"]
    rows = pd.Index(samples.table["sample_id"]).get_indexer(pd.Index(scored))
    # A run derived from another may lack samples that the file has; any other run has them all.
    complete = run.config.derived_from is not None or len(samples) == len(scored)
    if samples.features is None or (rows < 0).any() or not complete:
        raise InputError(f"the data of run {run.name!r} has changed since it was scored: its features are gone")
    found = samples.features if len(samples) == len(scored) else samples.features[rows]
    if not of_a_file or isinstance(found, np.memmap) or found.nbytes < KEPT_BYTES:
        return found
    try:
        with replacing(kept) as temporary, temporary.open("wb") as file:
            np.save(file, found, allow_pickle=False)
    except OSError:  # a full disk or a cache of somebody else's: slower, and no reason to stop
        return found
    return np.load(kept, mmap_mode="r", allow_pickle=False)


def feature_names(run: Run) -> tuple[str, ...] | None:
    """Names of the columns of :func:`features_of`, where the run scored the columns of a table.

    Raises ``InputError`` when the table is gone.
    """
    if run.modality != "features" or run.provenance["extractor_key"] is not None:
        return None
    return open_source(run.config.source).feature_names
