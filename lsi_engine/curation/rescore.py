"""Score again after a round of review: the decisions applied, the features from the cache, the old probe to start from.

The result is a run of its own, derived from the first: corrected labels, dropped samples gone (listed among the
skipped, with who dropped them), the review log carried over. Neither run changes the other.
"""

from __future__ import annotations

import itertools
import re
import time
from typing import cast

import numpy as np
import pandas as pd
import safetensors.numpy
from numpy.typing import NDArray

from lsi_engine.curation.cleaning import CleaningRule, clean, rows_of
from lsi_engine.curation.decisions import Decisions, digest
from lsi_engine.errors import InputError
from lsi_engine.files import replacing
from lsi_engine.progress import Progress, silent
from lsi_engine.runs.config import write_config
from lsi_engine.runs.pipeline import Prepared, exclusive, score_and_store
from lsi_engine.runs.reporting import StatusReporter
from lsi_engine.runs.results import dataset_fingerprint
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import Run, RunStore
from lsi_engine.samples.corruption.record import restored
from lsi_engine.samples.sample_set import Modality, SampleSet, skipped_table

_ROUND = re.compile(r"(.*)-r(\d+)")


def next_name(run: Run, store: RunStore) -> str:
    """``NAME-r2`` for a first run, ``NAME-r3`` for that one, and so on: the first that no finished run has."""
    matched = _ROUND.fullmatch(run.name)
    stem, last = (matched[1], int(matched[2])) if matched else (run.name, 1)
    names = (stem[: 78 - len(str(n))] + f"-r{n}" for n in itertools.count(last + 1))
    return next(name for name in names if not Run(store.path(name)).complete)


def rescore(run: Run, store: RunStore, *, name: str | None = None, progress: Progress = silent) -> Run:
    """Apply what reviewers relabelled and dropped in ``run`` and score the rest again, as a run called ``name``.

    Raises
    ------
    InputError
        When no standing decision changes a label or drops a sample, when fewer than two classes would be left, when
        the run's features are gone, or when ``name`` is taken.
    Cancelled
        When asked to stop; what is left behind is an unfinished run that the next call takes over.
    """
    started = time.perf_counter()
    if run.modality == "pairs":
        raise InputError(
            f"run {run.name!r} scores pairs, which have no labels: export without the dropped ones instead"
        )
    if run.config.left_out is not None:
        raise InputError(f"run {run.name!r} scored some of its rows only: score all rows, then rescore that")
    corrected(run, Decisions(run.decisions_path).latest())
    target = store.path(name or next_name(run, store))
    if Run(target).complete:
        raise InputError(f"run {target.name!r} exists and finished runs are not overwritten: choose another --name")
    target.mkdir(parents=True, exist_ok=True)
    with exclusive(target):
        # From here on the copy is what counts: decisions made meanwhile wait for the next round.
        Decisions(run.decisions_path).carry_to(target / "decisions.sqlite", run.name)
        decided = Decisions(target / "decisions.sqlite").latest()
        changes = {"name": target.name, "derived_from": run.name, "decisions": digest(decided)}
        write_config(target, run.config.model_copy(update=changes))
        with StatusReporter(target, progress) as report:
            samples, kept = corrected(run, decided)
            report("samples", len(samples), len(kept))
            features = features_of(run, store.cache)[kept]
            if (run.path / "features.npy").is_file():
                with replacing(target / "features.npy") as temporary, temporary.open("wb") as file:
                    np.save(file, features, allow_pickle=False)
            score_and_store(
                Run(target),
                Prepared(samples, features, run.provenance["extractor_key"], dataset_fingerprint(samples, features)),
                report,
                seconds={"features": round(time.perf_counter() - started, 3)},
                # Only an optimum does not depend on where its search began.
                initial_weights=_old_probe(run, sorted(set(samples.table["label"])))
                if run.config.method == "closed_form"
                else None,
            )
    return Run(target)


def corrected(run: Run, decided: pd.DataFrame) -> tuple[SampleSet, NDArray[np.bool_]]:
    """The run's samples under the labels that people gave them, and which of its N samples those are ``(N,)``.

    ``decided`` is :meth:`Decisions.latest`. Raises ``InputError`` when nothing changes or too little is left.
    """
    scores, table = run.scores(), run.samples()
    after = clean(scores, decided, CleaningRule()).frame()
    kept = (after["action"] != "drop").to_numpy()
    labels = after["final_label"].where(kept, scores["label"].astype("str"))
    planted = after["index"].to_numpy() < 0
    if (kept | planted).all() and (labels == scores["label"]).all():
        raise InputError(
            f"no decision on run {run.name!r} changes what was scored: relabel or drop at least one sample first"
        )
    table["label"] = labels.astype("str").to_numpy()
    if "true_label" in table:
        table = restored(table)
    who = dict(zip(decided["sample_id"], decided["reviewer"], strict=True))
    gone = zip(table.loc[~kept, "name"].tolist(), table.loc[~kept, "sample_id"].tolist(), strict=True)
    why = {sample: f"dropped by {reviewer} in run {run.name}" for sample, reviewer in who.items()}
    dropped = skipped_table((name, why.get(sample, "planted on purpose")) for name, sample in gone)
    modality = cast(Modality, run.modality)
    samples = SampleSet(run.provenance["dataset"], modality, table, run.config.source, run.skipped())
    return samples.keep(kept, dropped), kept


def pending(scores: pd.DataFrame, decided: pd.DataFrame) -> tuple[int, int]:
    """How many samples :func:`rescore` would relabel and drop; ``scores`` and ``decided`` as for :func:`clean`."""
    rows = rows_of(scores["sample_id"], decided["sample_id"])
    standing = decided[rows >= 0]
    label = scores["label"].iloc[rows[rows >= 0]].astype("str").to_numpy()
    valid = (standing["given_label"] == label).to_numpy()
    relabelled = valid & (standing["action"] == "relabel").to_numpy()
    return int(relabelled.sum()), int((valid & (standing["action"] == "drop").to_numpy()).sum())


def _old_probe(run: Run, classes: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Weights ``(C, D)`` and bias ``(C,)`` of the run's probe for ``classes``, new ones at zero; where fits may start.

    ``None`` for trained probes, whose scores depend on where they start.
    """
    if run.config.method != "closed_form":
        return None
    stored = safetensors.numpy.load_file(run.path / "probe.safetensors")
    weight, bias = stored["weight"], stored["bias"]
    if len(weight) != len(run.classes):
        return None
    place = pd.Index(run.classes).get_indexer(pd.Index(classes))
    known = (place >= 0)[:, None]
    return np.where(known, weight[place], 0.0), np.where(known[:, 0], bias[place], 0.0)
