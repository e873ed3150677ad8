"""From a :class:`RunConfig` to a finished run on disk: samples → features → scores, each stage kept when it is done."""

from __future__ import annotations

import fcntl
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lsi_engine.errors import InputError, LsiWarning
from lsi_engine.files import replacing
from lsi_engine.progress import Progress, silent
from lsi_engine.runs import pair_runs, sources
from lsi_engine.runs.artefacts.duplicates import keep_clusters
from lsi_engine.runs.config import RunConfig, write_config
from lsi_engine.runs.reporting import StatusReporter
from lsi_engine.runs.results import dataset_fingerprint, store_scores, write_table
from lsi_engine.runs.shards import ShardFolder
from lsi_engine.runs.store import Run, RunStore
from lsi_engine.samples import SampleSet, corruption, open_source


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
    config.check()
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
        write_config(path, config)
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
    features, samples, extractor_key = sources.features(
        samples, config.extractor, store.cache, extraction, device=config.device
    )
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
    prepared = Prepared(samples, features, extractor_key, fingerprint_of_data, extraction.rows)
    score_and_store(run, prepared, report, seconds=seconds)


class Prepared(NamedTuple):
    """What is scored: ``samples`` with their ``features (N, D)``, and where these come from.

    ``extractor_key`` as in the feature cache, ``fingerprint`` of the dataset; ``extracted``: rows of features that no
    cache held.
    """

    samples: SampleSet
    features: NDArray
    extractor_key: str | None
    fingerprint: str
    extracted: int = 0


def score_and_store(
    run: Run,
    prepared: Prepared,
    report: Progress,
    *,
    seconds: Mapping[str, float],
    initial_weights: Sequence[ArrayLike] | None = None,
) -> None:
    """Score what is ``prepared`` as the run's config says, and write everything a run holds.

    ``seconds`` are the timings of the stages before; ``initial_weights`` as in :func:`lsi_engine.score`.
    """
    samples, features, extractor_key = prepared.samples, prepared.features, prepared.extractor_key
    from lsi_engine.scores.score import score

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
                **config.scoring.model_dump(),
                samples=config.rows(len(samples)),
                initial_weights=initial_weights,
                shards=ShardFolder(run.path / "shards") if config.method == "retrain" else None,
                progress=report,
            )
        )
        decay = float(table.info.get("weight_decay", config.weight_decay))
        whole_groups = _whole_groups(run, samples, features, decay, report)
    seconds.update(table.info["seconds"])
    store_scores(
        run,
        samples,
        table,
        extractor_key=extractor_key,
        dataset_fingerprint=prepared.fingerprint,
        warnings=[str(warning.message) for warning in caught],
        timings=seconds,
        extracted=prepared.extracted,
        whole_groups=whole_groups,
    )


def _whole_groups(
    run: Run, samples: SampleSet, features: NDArray, weight_decay: float, progress: Progress
) -> pd.DataFrame | None:
    """What leaving out each sample's whole group does to it, ``group_…`` columns, if the config asks for that.

    ``weight_decay`` is that of the samples' scores.
    """
    config = run.config
    if config.groups == "none":
        return None
    from lsi_engine.features.near_duplicates import near_duplicate_groups
    from lsi_engine.scores.lsi.groups import score_groups

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
        weight_decay=weight_decay,
        hessian=config.hessian,  # type: ignore[arg-type]  # the config's check has seen to it
        prior_precision=config.prior_precision,
        loo_prior=config.loo_prior,
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


def describe_config(config: RunConfig) -> dict[str, Any]:
    """The config without what is at its default, for people."""
    return config.model_dump(exclude_defaults=True)
