"""An export taken up again: what it was made of, read strictly, and whether the same subset results now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from lsi_engine.curation.cleaning import CleanedSubset, CleaningRule
from lsi_engine.curation.decisions import Decisions
from lsi_engine.curation.export import parse_export, read_export, subset_of
from lsi_engine.curation.subset import kept_digest
from lsi_engine.errors import InputError
from lsi_engine.progress import Progress, silent
from lsi_engine.runs.store import Run

#: A manifest takes a few kilobytes and the index list of 100 000 samples 5 MB; more is not read (bytes).
LARGEST = 16 * 2**20


class Manifest(BaseModel):
    """The provenance of an export (:func:`lsi_engine.curation.export.provenance`), nothing else let in.

    ``kept`` is the digest of the samples that stayed; of a file that lists its samples it is taken from the list.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    program: Literal["lsi-inspector"]
    version: str
    run: str
    scores_fingerprint: str
    dataset_fingerprint: str | None
    rule: CleaningRule
    decisions: str
    decisions_stale: list[str]
    decisions_unknown: list[str]
    counts: dict[str, dict[str, int]]
    total: dict[str, int]
    kept: str | None = None
    caveat: str | None = None


@dataclass(frozen=True)
class Difference:
    """One thing that is no longer what it was when the manifest was written."""

    what: str
    then: str
    now: str


def read_manifest(raw: bytes, name: str) -> Manifest:
    """The manifest in a JSON file: one of its own, an index list, a folder's ``manifest.json``, or a JSON export.

    Raises ``InputError`` naming the file and what is wrong: too large, no strict JSON (a key twice, NaN), a field
    missing, unknown or of another type, or a list of samples that its own digest contradicts.
    """
    if len(raw) > LARGEST:
        raise InputError(f"{name} has {len(raw) / 2**20:.0f} MB; a manifest to open has at most {LARGEST // 2**20} MB")
    try:
        content = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON as an export writes it: {_short(str(error))}") from error
    if not isinstance(content, dict) or not isinstance(content.get("provenance"), dict):
        raise InputError(f"{name} holds no 'provenance': open a manifest, or a JSON file that this program exported")
    try:
        manifest = Manifest.model_validate(content["provenance"])
    except ValidationError as error:
        wrong = "; ".join(f"{_short('.'.join(map(str, one['loc'])))}: {one['msg']}" for one in error.errors()[:3])
        raise InputError(f"{name} is not a manifest of this program: {wrong}") from error
    if set(content) == {"provenance"}:
        return manifest
    listed, _ = parse_export(raw, name)
    digest = kept_digest(listed)
    if manifest.kept not in (None, digest):
        raise InputError(f"{name} lists other samples than it was written with: it was edited")
    return manifest.model_copy(update={"kept": digest})


def differences(manifest: Manifest, subset: CleanedSubset, run: Run) -> list[Difference]:
    """What tells ``subset`` of ``run`` from the one that the manifest was written for; nothing: it is the same."""
    found = []
    if manifest.scores_fingerprint != run.fingerprint:
        then, now = _of(manifest.run, manifest.scores_fingerprint), _of(run.name, run.fingerprint)
        found.append(Difference("run", then, now))
    data = run.provenance.get("dataset_fingerprint")
    if manifest.dataset_fingerprint != data:
        found.append(Difference("samples and labels", str(manifest.dataset_fingerprint), str(data)))
    if manifest.decisions != subset.decisions:
        found.append(Difference("decisions", manifest.decisions, subset.decisions))
    for field in CleaningRule.model_fields:
        then, now = getattr(manifest.rule, field), getattr(subset.rule, field)
        if then != now:
            found.append(Difference(f"rule: {field.replace('_', ' ')}", _said(then), _said(now)))
    if manifest.kept is not None and manifest.kept != subset.digest:
        final = int(subset.counts()["final"].sum())
        before = sum(row.get("final", 0) for row in manifest.counts.values())
        found.append(Difference("samples kept", _of(f"{before:,}", manifest.kept), _of(f"{final:,}", subset.digest)))
    return found


def repeated(path: Path, run: Run, cache: Path, progress: Progress = silent) -> CleanedSubset:
    """The subset that the exported file at ``path`` was made of, made again from its rule.

    Raises ``InputError`` when the scores or the decisions are no longer those of the file, saying which, or when the
    file is no export that says which samples stayed.
    """
    listed, origin = read_export(path)
    for key, now, what in (
        ("scores_fingerprint", run.fingerprint, f"run {run.name!r} holds other scores"),
        ("decisions", Decisions(run.decisions_path).digest(), f"the decisions on run {run.name!r} have changed"),
    ):
        if origin.get(key) != now:
            raise InputError(f"{path} cannot be made again: {what} than those it was made of ({key})")
    subset = subset_of(run, CleaningRule.model_validate(origin["rule"]), cache, progress)
    before = origin.get("kept") if listed.empty else kept_digest(listed)
    if before != subset.digest:
        raise InputError(f"{path} lists other samples than its own rule gives: it was edited, or rules have changed")
    return subset


def _of(what: object, digest: str) -> str:
    return f"{what} ({digest[:12]})"


def _said(value: object) -> str:
    return {"None": "not asked for", "True": "yes", "False": "no"}.get(str(value), str(value))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key occurs twice")
    return content


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"
