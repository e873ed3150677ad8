"""Scores that others computed: small files without a single image, joined to the copy of the dataset on this machine.

``<folder>/NAME.parquet`` (zstd): one row a sample, in the dataset's original order.

=====================  ========================================================================================
``sample_id``          as the source names it
``content``            hash of the sample's bytes (optional): matched before ``sample_id``
``label``              class name, to check the match by
``lsi_mean_shift``,    float32 nats; LSI is the sum of the first two
``lsi_covariance``,
``leverage``
``p0`` …               float16 leave-one-out probability of each class, in the order of ``classes``
=====================  ========================================================================================

``NAME.json`` says how they were computed and under what licence, and holds the digest of the Parquet file;
``NAME.probe.safetensors`` is the probe, so that a review can be followed by another round.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from lsi_engine.errors import InputError
from lsi_engine.files import replacing, write_json
from lsi_engine.progress import Progress, silent
from lsi_engine.runs.config import RunConfig, write_config
from lsi_engine.runs.pipeline import exclusive
from lsi_engine.runs.reporting import StatusReporter
from lsi_engine.runs.results import dataset_fingerprint, store_scores, write_table
from lsi_engine.runs.store import Run, RunStore
from lsi_engine.samples import SampleSet, open_source
from lsi_engine.samples.sample_set import skipped_table
from lsi_engine.scores.table import FeatureScaling, ScoreTable

_PARTS = ("lsi_mean_shift", "lsi_covariance", "leverage")
_CHECKOUT = Path(__file__).resolve().parents[2] / "data_cache" / "scores"


def publish(run: Run, folder: Path, name: str, facts: dict[str, Any], *, by_content: bool = False) -> Path:
    """Write the scores of ``run`` to ``folder`` under ``name``; ``facts`` (JSON-able) are told to whoever loads them.

    Among the facts are ``title``, ``licence`` and ``source``, the source's kind and fixed arguments. Settings, versions
    and fingerprints are added from the run, its paths are not.
    """
    scores, samples = run.scores(), run.samples()
    columns: dict[str, Any] = {"sample_id": scores["sample_id"].to_numpy(dtype=object)}
    if by_content:
        columns["content"] = samples["content"].to_numpy(dtype=object)
    columns["label"] = pa.array(scores["label"].astype("object")).dictionary_encode()
    columns |= {name: scores[name].to_numpy(dtype=np.float32) for name in _PARTS}
    columns |= {f"p{k}": column.astype(np.float16) for k, column in enumerate(run.probabilities().T)}
    floats = [column for column in columns if column in _PARTS or column.startswith("p")]
    path = folder / f"{name}.parquet"
    with replacing(path) as temporary:
        pq.write_table(
            pa.table(columns),
            temporary,
            compression="zstd",
            compression_level=19,
            use_dictionary=["label"],
            use_byte_stream_split=floats,
        )
        digest = hashlib.blake2b(temporary.read_bytes(), digest_size=16).hexdigest()
    probe = safetensors.numpy.load_file(run.path / "probe.safetensors")
    with replacing(folder / f"{name}.probe.safetensors") as temporary:
        safetensors.numpy.save_file({key: value.astype(np.float32) for key, value in probe.items()}, temporary)
    told = run.provenance
    settings = run.config.model_dump(
        include={"feature_scaling", "weight_decay", "hessian", "method", "prior_precision"}
    )
    same = (
        "created",
        "classes",
        "samples",
        "gradient_norm",
        "engine",
        "extractor_key",
        "dataset_fingerprint",
        "versions",
    )
    write_json(
        folder / f"{name}.json",
        {"name": name, **facts, "settings": settings, **{key: told[key] for key in same}, "digest": digest},
    )
    return path


def available(store: RunStore) -> dict[str, Path]:
    """Parquet file of every set of published scores, by name; those in the cache come before those shipped."""
    folders = [_CHECKOUT, store.cache / "scores"]
    return {path.stem: path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.parquet"))}


def facts_of(path: Path) -> dict[str, Any]:
    """What ``NAME.json`` beside ``path`` says; raises ``InputError`` when it is missing or the scores were changed."""
    described = path.with_suffix(".json")
    try:
        facts = json.loads(described.read_text(encoding="utf-8"))
        if hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() != facts["digest"]:
            raise InputError(f"{path} is not the file that {described.name} describes: one of the two was changed")
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{described} cannot be read, and without it nobody knows what the scores are: {error}"
        ) from error
    return facts


def load(
    name: str, root: str | Path | None, store: RunStore, *, run_name: str | None = None, progress: Progress = silent
) -> Run:
    """A complete run of the published scores ``name``, joined to the dataset in the folder ``root``.

    Every label must be the published one. Samples without a published score are listed in ``skipped``; published scores
    without a sample here are left out and counted in the run's warnings.

    Raises ``InputError`` when there are no such scores, the dataset is another one, or the run's name is taken.
    """
    found = available(store)
    if name not in found:
        raise InputError(f"there are no published scores {name!r}; there are {', '.join(found) or 'none here'}")
    facts = facts_of(found[name])
    published = pd.read_parquet(found[name])
    source = dict(facts["source"]) | ({} if root is None else {"root": str(Path(root).expanduser().resolve())})
    if root is None and source["kind"] != "digits":
        raise InputError(f"give the folder in which {facts['title']} lies; scores come without their images")
    run = Run(store.path(run_name or name))
    if run.complete:
        raise InputError(f"run {run.name!r} exists; `lsi show {run.name}` shows it, another --name loads it again")
    config = RunConfig(
        name=run.name, source=source, extractor={"kind": "published", "scores": name}, **facts["settings"]
    )
    run.path.mkdir(parents=True, exist_ok=True)
    with exclusive(run.path):
        write_config(run.path, config)
        with StatusReporter(run.path, progress) as report:
            samples, rows, notes = _matched(open_source(source, progress=report), published, facts["title"])
            write_table(run.path / "samples.parquet", samples.table)
            write_table(run.path / "skipped.parquet", samples.skipped)
            store_scores(
                run,
                samples,
                _score_table(published.iloc[rows], facts, found[name]),
                extractor_key=facts["extractor_key"] or (None if samples.features is not None else f"published-{name}"),
                dataset_fingerprint=dataset_fingerprint(samples, np.empty((len(samples), 0))),
                warnings=notes,
                timings={},
                published=facts,
            )
    return Run(run.path)


def _matched(samples: SampleSet, published: pd.DataFrame, title: str) -> tuple[SampleSet, NDArray[np.int64], list[str]]:
    """The samples that have a published score, its row for each, and what should be known about the match."""
    table, notes = samples.table, []
    by_id = pd.Index(published["sample_id"]).get_indexer(pd.Index(table["sample_id"]))
    rows = np.full(len(table), -1)
    if "content" in published:
        # Of files that a dataset holds twice, each keeps its own score where it lies in its own place.
        first = published["content"].drop_duplicates()
        place = pd.Index(first).get_indexer(pd.Index(table["content"]))
        rows = np.where(place >= 0, first.index.to_numpy()[place], -1)
        same = (by_id >= 0) & (published["content"].to_numpy()[by_id] == table["content"].to_numpy())
        rows[same] = by_id[same]
    by_name = np.where(rows < 0, by_id, -1)
    if "content" in published and (by_name >= 0).any():
        notes.append(
            f"{(by_name >= 0).sum():,} files are not the bytes that were scored (another size or encoding, for "
            "example): they were matched by their place in the dataset"
        )
    rows = np.maximum(rows, by_name)
    if (rows < 0).all():
        raise InputError(
            f"{samples.name}: none of its {len(table):,} samples is among the {len(published):,} published scores of "
            f"{title}; is it another dataset, split or version?"
        )
    kept = rows >= 0
    given, expected = table["label"].to_numpy(dtype=object), published["label"].to_numpy(dtype=object)[rows]
    wrong = np.flatnonzero(kept & (given != expected))
    if len(wrong):
        first = wrong[0]
        raise InputError(
            f"{samples.name} is not the dataset that was scored, or is in another order: {table['name'].iat[first]} is "
            f"{given[first]!r} here and {expected[first]!r} there; {len(wrong):,} of {int(kept.sum()):,} labels differ"
        )
    if missing := len(published) - len(np.unique(rows[kept])):
        notes.append(
            f"{missing:,} of {len(published):,} published scores have no sample here; the rest keep their values"
        )
    unscored = skipped_table((item, "has no published score") for item in table["name"].to_numpy(dtype=object)[~kept])
    return samples.keep(kept, unscored), rows[kept], notes


def _score_table(published: pd.DataFrame, facts: dict[str, Any], path: Path) -> ScoreTable:
    classes = list(facts["classes"])
    probabilities = np.array(published[[f"p{k}" for k in range(len(classes))]], dtype=np.float64)
    codes = pd.Index(classes).get_indexer(pd.Index(published["label"].astype("object")))
    # Half precision keeps small numbers well and numbers near 1 badly: the given class takes what the others leave.
    np.put_along_axis(probabilities, codes[:, None], 0.0, axis=1)
    rest = np.maximum(1.0 - probabilities.sum(axis=1), 0.0)
    np.put_along_axis(probabilities, codes[:, None], rest[:, None], axis=1)
    try:
        probe = safetensors.numpy.load_file(path.with_name(f"{path.stem}.probe.safetensors"))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path.stem}.probe.safetensors beside {path} cannot be read: {error}") from error
    return ScoreTable(
        lsi_mean_shift=published["lsi_mean_shift"].to_numpy(dtype=np.float64),
        lsi_covariance=published["lsi_covariance"].to_numpy(dtype=np.float64),
        probabilities=probabilities,
        codes=codes.astype(np.int64),
        classes=classes,
        leverage=published["leverage"].to_numpy(dtype=np.float64),
        weight=probe["weight"].astype(np.float64),
        bias=probe["bias"].astype(np.float64),
        scaling=FeatureScaling(probe["feature_mean"].astype(np.float64), probe["feature_scale"].astype(np.float64)),
        index=np.arange(len(published)),
        info=facts["engine"],
    )
