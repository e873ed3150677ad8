"""From samples to features, and from a finished run back to the features it was scored on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.features.extractor import Extractor
from lsi_engine.progress import Progress, silent
from lsi_engine.runs import pair_runs
from lsi_engine.runs.store import Run
from lsi_engine.samples import SampleSet, open_source


def extractor(settings: dict[str, Any], samples: SampleSet, cache: Path, progress: Progress = silent) -> Extractor:
    """The feature extractor that ``settings`` (``RunConfig.extractor``) describes, for these ``samples``.

    Raises ``InputError`` for an unknown kind, or one that cannot read samples of this modality.
    """
    settings = dict(settings)
    kind = settings.pop("kind", None)
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

        return TorchvisionBackbone(**settings)
    if kind == "tfidf":
        from lsi_engine.features.tfidf import TfidfExtractor

        texts, contents = samples.table["text"].tolist(), samples.table["content"].tolist()
        return TfidfExtractor(texts, contents, cache, **settings, progress=progress)
    from lsi_engine.features.transformer_text import TransformerText

    return TransformerText(**settings)


def features(
    samples: SampleSet, settings: dict[str, Any] | None, cache: Path, progress: Progress = silent
) -> tuple[NDArray, SampleSet, str | None]:
    """Features ``(N, D)``, the samples they belong to (unreadable ones moved to ``skipped``), and the extractor's key.

    Without an extractor the source must bring its own features (a feature file, the digits' pixels).
    """
    if samples.modality == "pairs":
        if settings is None or set(settings) != {"kind", "image", "text"}:
            raise InputError(f"{samples.name} holds pairs: name an image backbone and a text encoder")
        image = extractor(settings["image"], pair_runs.image_side(samples), cache, progress)
        text = extractor(settings["text"], pair_runs.text_side(samples), cache, progress)
        return pair_runs.features(samples, image, text, cache, progress)
    if settings is None:
        if samples.features is None:
            raise InputError(f"{samples.name} has no features of its own: name a backbone, pixels or a text encoder")
        return samples.features, samples, None
    from lsi_engine.features.extract import extract

    chosen = extractor(settings, samples, cache, progress)
    matrix, failed, kept = extract(samples, chosen, cache, progress=progress)
    return matrix, samples.keep(kept, failed), chosen.key


def features_of(run: Run, cache: Path) -> NDArray[np.floating]:
    """The ``(n, D)`` unscaled features of the samples that a finished run scored, rows as in its scores.

    Raises ``InputError`` when they are gone: the feature file was moved, or the feature cache was emptied.
    """
    found = _all_features(run, cache)
    rows = run.config.rows(len(found))
    return found if rows is None else found[rows]


def _all_features(run: Run, cache: Path) -> NDArray[np.floating]:
    if (run.path / "features.npy").is_file():
        return np.load(run.path / "features.npy", mmap_mode="r", allow_pickle=False)
    if run.modality == "pairs":
        return pair_runs.stored_features(run, cache)
    key = run.provenance["extractor_key"]
    if key is None:
        source = run.config.source
        if source["kind"] == "feature_file":
            source = source | {"images": ""}  # the rows are wanted, and not their pictures
        samples = open_source(source)
        scored = run.samples()["sample_id"]
        rows = pd.Index(samples.table["sample_id"]).get_indexer(pd.Index(scored))
        # A run derived from another may lack samples that the file has; any other run has them all.
        complete = run.config.derived_from is not None or len(samples) == len(scored)
        if samples.features is None or (rows < 0).any() or not complete:
            raise InputError(f"the data of run {run.name!r} has changed since it was scored: its features are gone")
        return samples.features if len(samples) == len(scored) else samples.features[rows]
    from lsi_engine.features.cache import load as load_features

    return load_features(run.samples(), key, cache)


def feature_names(run: Run) -> tuple[str, ...] | None:
    """Names of the columns of :func:`features_of`, where the run scored the columns of a table.

    Raises ``InputError`` when the table is gone.
    """
    if run.modality != "features" or run.provenance["extractor_key"] is not None:
        return None
    return open_source(run.config.source).feature_names
