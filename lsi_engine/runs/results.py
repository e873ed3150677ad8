"""What a finished run holds: scores, probe, probabilities and where they come from, each file written whole or not."""

from __future__ import annotations

import hashlib
import platform
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import psutil
import safetensors.numpy
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import InputError
from lsi_engine.files import replacing, write_json
from lsi_engine.runs import pair_runs
from lsi_engine.runs.config import RunConfig, write_config
from lsi_engine.runs.reporting import StatusReporter
from lsi_engine.runs.store import Run, RunStore
from lsi_engine.samples import SampleSet
from lsi_engine.samples.sample_set import description
from lsi_engine.samples.tables.columns import plain_id
from lsi_engine.samples.tables.feature_rows import FeatureRows
from lsi_engine.scores.skill import probe_skill
from lsi_engine.settings import ScoreSettings

if TYPE_CHECKING:
    from torch import Tensor

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
    skill = None
    if isinstance(table, PairScores):
        classes = sorted(samples.table["label"].unique())
        pair_runs.write_heads(run.path / "probe.safetensors", table)
        frame = pair_runs.scores_frame(samples, table, MEDIA_COLUMNS)
    else:
        classes = table.classes
        skill = probe_skill(table.probabilities, table.codes).to_dict()
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
                "skill": skill,
                "gradient_norm": table.info["gradient_norm"],
                "engine": table.info,
                "peak_memory_bytes": _peak_memory(),
                "versions": versions(),
                "machine": {"system": platform.platform(), "cores": psutil.cpu_count()},
                **facts,
            },
        )


def save(table: ScoreTable, name: str, *, features: ArrayLike | Tensor, cache: Path | None = None) -> Path:
    """Keep a score table as a run called ``name``, complete, as the dashboard and ``lsi`` open it.

    Parameters
    ----------
    table
        From :func:`lsi_engine.score`, all rows scored. Samples are named by its pandas index, where it has one.
    features
        ``(N, D)``: those that were scored, unscaled. They are kept in the run, whose source they are.
    cache
        The folder that holds runs; by default the one that the dashboard reads (``LSI_CACHE``).

    Returns
    -------
    The run's folder.

    Raises
    ------
    InputError
        For a name that is taken or is none, features that are not the table's, or a table of some rows only.
    """
    from lsi_engine.inputs import check_features

    matrix = check_features(features)
    if not isinstance(matrix, np.ndarray):
        matrix = (matrix if matrix.element_size() > 2 else matrix.float()).cpu().numpy()
    if not np.array_equal(table.index, np.arange(len(matrix))):
        raise InputError(
            f"the table has the scores of {len(table)} rows, the features have {len(matrix)}: save a table of all rows"
        )
    if matrix.shape[1] != len(table.scaling.mean):
        raise InputError(f"features have {matrix.shape[1]} columns, those that were scored {len(table.scaling.mean)}")
    table = _named_classes(table)
    path = RunStore(cache).path(name)
    labels = [table.classes[code] for code in table.codes]
    names = [f"row {row}" for row in range(len(matrix))] if table.names is None else [str(each) for each in table.names]
    ids = [plain_id("" if table.names is None else each, row) for row, each in enumerate(names)]
    source = description("feature_file", path=path / "features.npy", images="")
    rows = FeatureRows(matrix, {"sample_id": ids, "name": names, "label": labels}, names, {})
    samples = rows.samples(name, source)
    config = RunConfig(name=name, source=source, **_asked(table))
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise InputError(f"run {name!r} exists, and runs are not overwritten: choose another name") from None
    for file, values in {"features": matrix, "features.labels": labels, "features.sample_ids": ids}.items():
        with replacing(path / f"{file}.npy") as temporary, temporary.open("wb") as opened:
            np.save(opened, np.asarray(values), allow_pickle=False)
    write_config(path, config)
    with StatusReporter(path):
        write_table(path / "samples.parquet", samples.table)
        write_table(path / "skipped.parquet", samples.skipped)
        store_scores(
            Run(path),
            samples,
            table,
            extractor_key=None,
            dataset_fingerprint=dataset_fingerprint(samples, matrix),
            warnings=table.info.get("warnings", []),
            timings=table.info.get("seconds", {}),
            extracted=0,
        )
    return path


def _named_classes(table: ScoreTable) -> ScoreTable:
    """The table with its classes as text, sorted as text: runs know classes by name."""
    names = np.array([str(each) for each in table.classes])
    order = np.argsort(names)
    return replace(
        table,
        classes=names[order].tolist(),
        codes=np.argsort(order)[table.codes],
        probabilities=table.probabilities[:, order],
        weight=table.weight[order],
        bias=table.bias[order],
        layers=[*table.layers[:-1], *(layer[order] for layer in table.layers[-1:])],
    )


def _asked(table: ScoreTable) -> dict[str, Any]:
    """The settings of a run that would give the table, from what it says of itself."""
    asked = {name: table.info[name] for name in ScoreSettings.model_fields if name in table.info}
    asked.pop("device", None)  # of the machine, and not of the scores
    if table.seed_scores is not None:
        asked |= {"seeds": list(table.seed_scores.seeds), "score_epochs": list(table.seed_scores.epochs)}
    return asked


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
