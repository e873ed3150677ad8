"""What a finished run holds: scores, probe, probabilities and where they come from, each file written whole or not."""

from __future__ import annotations

import hashlib
import platform
import shutil
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psutil
import safetensors.numpy
from numpy.typing import NDArray

from lsi_engine.files import replacing, write_json
from lsi_engine.runs import pair_runs
from lsi_engine.runs.store import Run
from lsi_engine.samples import SampleSet

if TYPE_CHECKING:
    from lsi_engine.scores.lsi.pair_scores import PairScores
    from lsi_engine.scores.table import ScoreTable

#: Columns of the sample table that the scores do not repeat.
MEDIA_COLUMNS = ("media", "text", "true_text", "content", "image_content", "true_content")


def store_scores(
    run: Run,
    samples: SampleSet,
    table: ScoreTable | PairScores,
    *,
    whole_groups: pd.DataFrame | None = None,
    **facts: Any,
) -> None:
    """Write what a run holds beside its samples; ``facts`` go into its provenance as they are.

    ``whole_groups`` are further columns, one row a sample. Among the facts are ``extractor_key``,
    ``dataset_fingerprint``, ``warnings`` and ``timings`` (seconds by stage).
    """
    from lsi_engine.scores.lsi.pair_scores import PairScores

    started = time.perf_counter()
    if isinstance(table, PairScores):
        classes = sorted(samples.table["label"].unique())
        pair_runs.write_heads(run.path / "probe.safetensors", table)
        frame = pair_runs.scores_frame(samples, table, MEDIA_COLUMNS)
    else:
        classes = table.classes
        with replacing(run.path / "probabilities.npy") as temporary, temporary.open("wb") as file:
            np.save(file, table.probabilities.astype(np.float32), allow_pickle=False)
        _write_probe(run.path / "probe.safetensors", table)
        _write_seed_scores(run.path / "seed_scores.npz", table)
        frame = _scores_frame(run, samples, table, whole_groups)
    # The scores go last: a run is complete when they are there.
    with replacing(run.path / "scores.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
        fingerprint = hashlib.blake2b(temporary.read_bytes(), digest_size=16).hexdigest()
        facts["timings"] = {**facts["timings"], "writing": round(time.perf_counter() - started, 3)}
        write_json(
            run.path / "provenance.json",
            {
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "dataset": samples.name,
                "scores_fingerprint": fingerprint,
                "modality": samples.modality,
                "classes": classes,
                "samples": len(samples),
                "skipped": len(samples.skipped),
                "corrupted": int(samples.table["corrupted"].sum()) if "corrupted" in samples.table else 0,
                "gradient_norm": table.info["gradient_norm"],
                "engine": table.info,
                "peak_memory_bytes": _peak_memory(),
                "versions": versions(),
                "machine": {"system": platform.platform(), "cores": psutil.cpu_count()},
                **facts,
            },
        )


def _scores_frame(run: Run, samples: SampleSet, table: ScoreTable, whole_groups: pd.DataFrame | None) -> pd.DataFrame:
    kept = samples.table.drop(columns=[column for column in MEDIA_COLUMNS if column in samples.table])
    if whole_groups is not None:
        kept = pd.concat([kept, whole_groups], axis=1)
    scores = table.to_frame(run.config.scores).reset_index(drop=True)
    return pd.concat([kept.iloc[table.index].reset_index(drop=True), scores], axis=1)


def _write_seed_scores(path: Path, table: ScoreTable) -> None:
    scores = table.seed_scores
    if scores is None:
        return
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            seeds=np.array(scores.seeds),
            epochs=np.array(scores.epochs),
            mean_shift=scores.mean_shift,
            covariance=scores.covariance,
        )
    # What the shards held is in the run now.
    shutil.rmtree(path.with_name("shards"), ignore_errors=True)


def write_table(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def _write_probe(path: Path, table: ScoreTable) -> None:
    tensors = {
        "weight": np.ascontiguousarray(table.weight),
        "bias": np.ascontiguousarray(table.bias),
        "feature_mean": np.ascontiguousarray(table.scaling.mean),
        "feature_scale": np.ascontiguousarray(table.scaling.scale),
    }
    with replacing(path) as temporary:
        safetensors.numpy.save_file(tensors, temporary)


def dataset_fingerprint(samples: SampleSet, features: NDArray) -> str:
    """Identifies the dataset, in order: ids, contents (or features) and labels, all as they were before corruption.

    A run and its corrupted twin have the same fingerprint, which is how the dashboard pairs them. Planted samples
    do not count.
    """
    digest = hashlib.blake2b(digest_size=16)
    table = samples.table
    own = table["position"].to_numpy() >= 0 if "position" in table else np.ones(len(table), dtype=bool)
    table, features = table[own], features if own.all() else features[own]
    columns = [table["sample_id"], table.get("true_label", table["label"])]
    if "content" in table:
        columns.append(table.get("true_content", table["content"]))
    else:
        for start in range(0, len(features), 4096):
            digest.update(np.ascontiguousarray(features[start : start + 4096]).tobytes())
    for column in columns:
        digest.update(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what decides the scores."""
    found = {"python": platform.python_version()}
    for package in (
        "lsi-inspector",
        "torch",
        "torchvision",
        "transformers",
        "numpy",
        "pandas",
        "scikit-learn",
        "pillow",
    ):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _peak_memory() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if platform.system() == "Darwin" else peak * 1024)
