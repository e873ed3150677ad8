"""A run of image–text pairs: both encoders' features, the contrastive scores, and how they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import safetensors.numpy
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.features.extractor import Extractor
from lsi_engine.files import replacing
from lsi_engine.progress import Progress
from lsi_engine.runs.shards import ShardFolder
from lsi_engine.runs.store import Run
from lsi_engine.samples import SampleSet
from lsi_engine.samples.files import content_key

if TYPE_CHECKING:
    from lsi_engine.scores.lsi.pair_scores import PairScores

#: Between the two extractors' keys in a run's ``extractor_key``, and before the number of image features.
AND, SPLIT = "+", "@"


def image_side(samples: SampleSet) -> SampleSet:
    """The pairs' images as samples of their own: the feature cache then knows each image once."""
    table = samples.table.drop(columns="text").assign(content=samples.table["image_content"])
    return SampleSet(samples.name, "image", table, samples.source)


def text_side(samples: SampleSet) -> SampleSet:
    """The pairs' captions as samples of their own."""
    table = samples.table.drop(columns="media")
    contents = pd.Series([content_key(text.encode()) for text in table["text"]], index=table.index, dtype="str")
    return SampleSet(samples.name, "text", table.assign(content=contents), samples.source)


def features(
    samples: SampleSet, image: Extractor, text: Extractor, cache: Path, progress: Progress
) -> tuple[NDArray, SampleSet, str]:
    """``(N, D_image + D_text)`` float32, image first, the pairs whose image can be read, and what names the features.

    Each side is cached by its own content, so a swapped caption costs nothing. The key ends with D_image.
    """
    from lsi_engine.features.extract import extract

    images, failed, kept = extract(image_side(samples), image, cache, progress=progress)
    samples = samples.keep(kept, failed)
    texts, _, _ = extract(text_side(samples), text, cache, progress=progress)
    key = f"{image.key}{AND}{text.key}{SPLIT}{images.shape[1]}"
    return np.concatenate([images, texts], axis=1), samples, key


def stored_features(run: Run, cache: Path) -> NDArray[np.floating]:
    """The features that a finished run of pairs was scored on; raises ``InputError`` when the cache was emptied."""
    from lsi_engine.features.cache import load

    samples = SampleSet(run.name, "pairs", run.samples(), run.config.source)
    keys = str(run.provenance["extractor_key"]).rpartition(SPLIT)[0].split(AND)
    sides = (image_side(samples), text_side(samples))
    return np.concatenate([load(side.table, key, cache) for side, key in zip(sides, keys, strict=True)], axis=1)


def score_run(
    run: Run, samples: SampleSet, features: NDArray, extractor_key: str | None, report: Progress
) -> PairScores:
    """Score the run's pairs as its config says; finished trainings are kept in the run and found again."""
    from lsi_engine.scores.lsi.pairs import score_pairs

    config = run.config
    settings: dict[str, Any] = dict(config.pairs or {})
    split = int(str(extractor_key).rpartition(SPLIT)[2])
    try:
        return score_pairs(
            features[:, :split],
            features[:, split:],
            groups=samples.table["group"].to_numpy(dtype=str),
            weight_decay=float(config.weight_decay),
            hessian=config.hessian,  # type: ignore[arg-type]  # the config's check has seen to it
            prior_precision=config.prior_precision,
            feature_scaling=config.feature_scaling,  # type: ignore[arg-type]
            learning_rate=config.learning_rate,
            momentum=config.momentum,
            epochs=config.epochs,
            seeds=config.seeds,
            samples=config.rows(len(samples)),
            device=config.device,
            shards=ShardFolder(run.path / "shards"),
            progress=report,
            **settings,
        )
    except TypeError as error:
        raise InputError(f"pairs: {error}") from error


def scores_frame(samples: SampleSet, scores: PairScores, unscored: tuple[str, ...]) -> pd.DataFrame:
    """The sample table without the columns ``unscored``, then the scores; ``suggested_pair`` names a sample id.

    ``suggested_label`` is missing throughout: pairs are told apart from pairs, not by class.
    """
    kept = samples.table.drop(columns=[column for column in unscored if column in samples.table])
    frame = scores.to_frame().reset_index(drop=True)
    suggested, ids = frame["suggested_pair"], samples.table["sample_id"].to_numpy(dtype=object)
    named = [None if pd.isna(row) else ids[int(row)] for row in suggested]
    frame["suggested_pair"] = pd.Series(named, dtype="str")
    frame["suggested_label"] = pd.Series([None] * len(frame), dtype="str")
    return pd.concat([kept.iloc[scores.index].reset_index(drop=True), frame], axis=1)


def write_heads(path: Path, scores: PairScores) -> None:
    """``image_weight (d, D_image)``, ``image_bias (d,)``, ``text_weight``, ``text_bias``, float64."""
    tensors = {}
    for side, head in zip(("image", "text"), scores.heads, strict=True):
        tensors[f"{side}_weight"] = np.ascontiguousarray(head[:, :-1])
        tensors[f"{side}_bias"] = np.ascontiguousarray(head[:, -1])
    with replacing(path) as temporary:
        safetensors.numpy.save_file(tensors, temporary)
