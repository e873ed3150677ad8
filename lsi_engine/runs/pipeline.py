"""From a :class:`RunConfig` to a finished run on disk: samples → features → scores, each stage kept when it is done."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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

from lsi_engine.errors import InputError, LsiWarning
from lsi_engine.progress import Progress, silent
from lsi_engine.runs import pair_runs, sources
from lsi_engine.runs.checks import check_config
from lsi_engine.runs.duplicates import keep_clusters
from lsi_engine.runs.reporting import StatusReporter
from lsi_engine.runs.shards import ShardFolder
from lsi_engine.runs.store import Run, RunConfig, RunStore, replacing, write_json
from lsi_engine.samples import SampleSet, corruption, open_source

if TYPE_CHECKING:
    from lsi_engine.information.pairs import PairScores
    from lsi_engine.information.table import ScoreTable

#: Columns of the sample table that the scores do not repeat.
MEDIA_COLUMNS = ("media", "text", "true_text", "content", "image_content", "true_content")


def compute(config: RunConfig, store: RunStore, progress: Progress = silent) -> tuple[Run, bool]:
    """Compute the run that ``config`` describes, or pick up where a killed one stopped.

    Returns the run and whether anything had to be computed: a complete run of the same config is returned as it is.

    Raises
    ------
    InputError
        When a run of this name exists with another config (a finished run is never overwritten), when another process
        is computing it, or when the data cannot be scored.
    Cancelled
        When asked to stop; finished stages are kept.
    """
    check_config(config)
    if config.derived_from is not None:
        raise InputError(f"run {config.name!r} is made from run {config.derived_from!r}: use `lsi rescore`")
    path = store.path(config.name)
    path.mkdir(parents=True, exist_ok=True)
    with exclusive(path):
        run = Run(path)
        if (path / "config.json").is_file():
            if run.complete:
                _same_or_refuse(run, config)
                return run, False
            if run.config != config:
                # Nothing was finished under the old settings, so there is nothing to lose.
                (path / "samples.parquet").unlink(missing_ok=True)
        write_json(path / "config.json", config)
        with StatusReporter(path, progress) as report:
            _compute_stages(Run(path), store, report)
    return Run(path), True


class _Extraction:
    """Hands progress on and counts the rows whose features are really computed, those of the cache left out."""

    def __init__(self, report: Progress) -> None:
        self.report, self.rows = report, 0
        self._last: int | None = None  # the first call counts what the cache holds

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage == "features":
            self.rows += max(0, done - (done if self._last is None else self._last))
            self._last = done
        self.report(stage, done, total)


def _same_or_refuse(run: Run, config: RunConfig) -> None:
    old, new = run.config.model_dump(), config.model_dump()
    differing = [key for key in new if old[key] != new[key]]
    if differing:
        changes = "; ".join(f"{key}: {old[key]!r} there, {new[key]!r} now" for key in differing)
        raise InputError(
            f"run {run.name!r} exists with other settings ({changes}). Finished runs are not overwritten: "
            "choose another --name"
        )


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the run's lock; the system releases it however the process ends."""
    with (path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"run {path.name!r} is being computed by another process; `lsi show {path.name}` says where it stands"
            ) from None
        yield


def _compute_stages(run: Run, store: RunStore, report: StatusReporter) -> None:
    config, seconds = run.config, dict[str, float]()
    started = time.perf_counter()
    samples = open_source(config.source, progress=report)
    if config.extractor is not None:
        samples = replace(samples, features=None)  # those of the extractor are scored, not the source's own
    samples = corruption.apply(samples, config.corruption, "media")
    seconds["samples"] = round(time.perf_counter() - started, 3)

    started = time.perf_counter()
    extraction = _Extraction(report)
    features, samples, extractor_key = sources.features(samples, config.extractor, store.cache, extraction)
    seconds["features"] = round(time.perf_counter() - started, 3)
    # After the unusable samples went, so that a rate is a share of what is really scored.
    samples = corruption.apply(samples, config.corruption, "labels")
    fingerprint_of_data = dataset_fingerprint(samples, features)
    damaged = corruption.stages(config.corruption)
    if "features" in damaged:
        samples = corruption.apply(replace(samples, features=features), config.corruption, "features")
        assert samples.features is not None
        features = samples.features
    if "features" in damaged or ("media" in damaged and extractor_key is None):
        # Neither the source nor the feature cache has these: whoever needs them again finds them in the run.
        with replacing(run.path / "features.npy") as temporary, temporary.open("wb") as file:
            np.save(file, features, allow_pickle=False)
    else:
        (run.path / "features.npy").unlink(missing_ok=True)
    score_and_store(
        run, samples, features, extractor_key, fingerprint_of_data, report, seconds=seconds, extracted=extraction.rows
    )


def score_and_store(
    run: Run,
    samples: SampleSet,
    features: NDArray,
    extractor_key: str | None,
    fingerprint_of_data: str,
    report: Progress,
    *,
    seconds: Mapping[str, float],
    extracted: int = 0,
    initial_weights: Sequence[ArrayLike] | None = None,
) -> None:
    """Score ``samples`` on their ``features (N, D)`` as the run's config says, and write everything a run holds.

    ``seconds`` are the timings of the stages before, ``extracted`` the rows of features that no cache held;
    ``initial_weights`` as in :func:`lsi_engine.score`.
    """
    from lsi_engine.information.score import score

    config, seconds = run.config, dict(seconds)
    # Of the samples under settings that were never finished, if there are any.
    (run.path / "duplicates.npy").unlink(missing_ok=True)
    write_table(run.path / "samples.parquet", samples.table)
    write_table(run.path / "skipped.parquet", samples.skipped)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LsiWarning)
        table = (
            pair_runs.score_run(run, samples, features, extractor_key, report)
            if samples.modality == "pairs"
            else score(
                features,
                samples.table["label"].to_numpy(dtype=str),
                weight_decay=config.weight_decay,
                hessian=config.hessian,
                method=config.method,
                prior_precision=config.prior_precision,
                feature_scaling=config.feature_scaling,  # type: ignore[arg-type]
                device=config.device,
                samples=config.rows(len(samples)),
                learning_rate=config.learning_rate,
                momentum=config.momentum,
                epochs=config.epochs,
                seeds=config.seeds,
                initial_weights=initial_weights,
                probe=config.probe,
                score_epochs=config.score_epochs,
                shards=ShardFolder(run.path / "shards") if config.method == "retrain" else None,
                progress=report,
            )
        )
        whole_groups = _whole_groups(run, samples, features, report)
    seconds.update(table.info["seconds"])
    store_scores(
        run,
        samples,
        table,
        extractor_key=extractor_key,
        dataset_fingerprint=fingerprint_of_data,
        warnings=[str(warning.message) for warning in caught],
        timings=seconds,
        extracted=extracted,
        whole_groups=whole_groups,
    )


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
    from lsi_engine.information.pairs import PairScores

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
        frame = _scores_frame(samples, table, whole_groups)
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


def _whole_groups(run: Run, samples: SampleSet, features: NDArray, progress: Progress) -> pd.DataFrame | None:
    """What leaving out each sample's whole group does to it, ``group_…`` columns, if the config asks for that."""
    config = run.config
    if config.groups == "none":
        return None
    from lsi_engine.information.duplicates import near_duplicate_groups
    from lsi_engine.information.groups import score_groups

    if config.groups == "near_duplicates":
        groups = near_duplicate_groups(features, progress=progress)
        if config.left_out is None:
            keep_clusters(run, groups)
    elif "group" in samples.table:
        # A sample without a group is its own.
        given = samples.table["group"].fillna("")
        groups = given.where(given != "", "sample " + samples.table["sample_id"]).to_numpy(dtype=str)
    else:
        raise InputError(f"{samples.name} says nothing about groups; leave out near-duplicates instead")
    found = score_groups(
        features,
        samples.table["label"].to_numpy(dtype=str),
        groups,
        weight_decay=config.weight_decay,
        hessian=config.hessian,  # type: ignore[arg-type]  # check_config has seen to it
        prior_precision=config.prior_precision,
        feature_scaling=config.feature_scaling,  # type: ignore[arg-type]
        device=config.device,
        progress=progress,
    )
    columns = found.sample_frame().drop(columns="group")
    columns["group_samples"] = np.bincount(found.groups)[found.groups]
    if config.groups == "near_duplicates":
        alone = columns["group_samples"] == 1
        columns["duplicate_group"] = pd.Series(groups).astype("str").mask(alone)
    return columns


def _scores_frame(samples: SampleSet, table: ScoreTable, whole_groups: pd.DataFrame | None) -> pd.DataFrame:
    kept = samples.table.drop(columns=[column for column in MEDIA_COLUMNS if column in samples.table])
    if whole_groups is not None:
        kept = pd.concat([kept, whole_groups], axis=1)
    return pd.concat([kept.iloc[table.index].reset_index(drop=True), table.to_frame().reset_index(drop=True)], axis=1)


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


def describe_config(config: RunConfig) -> dict[str, Any]:
    """The config without what is at its default, for people."""
    return config.model_dump(exclude_defaults=True)
