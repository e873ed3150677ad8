"""A cleaned subset as a file that says where it came from.

=========  ====================================================================================================
csv        UTF-8, one row a sample. The last column, ``provenance``, holds the provenance as JSON in its first
           row and nothing below: ``pandas.read_csv(path)`` and a spreadsheet open it as it is.
json       ``{"provenance": {...}, "samples": [{...}, ...]}``
parquet    the same table; provenance as JSON in the schema's metadata under ``lsi_provenance``
cleanlab   CSV as cleanlab's ``Datalab.get_issues("label")``: ``is_label_issue, label_score, given_label,
           predicted_label`` for every sample of the run, in its order, after ``index`` and ``sample_id`` (a label is
           an issue where a person relabelled or dropped it, or nobody said keep and it is doubtful); then what
           stands of the review: ``decision, new_label, reviewer, note``, empty where nobody decided. Of image–caption
           pairs ``predicted_label`` is the id of the pair that would fit better, if any
coco       JSON: ``images`` (``file_name`` is the sample's name), ``categories``, and one annotation an image
indices    JSON for ``torch.utils.data.Subset``: ``{"provenance", "indices", "sample_ids", "final_labels"}``
manifest   JSON, ``{"provenance"}`` alone: a few kilobytes that make the same subset again and prove that it is the same
=========  ====================================================================================================

The same run, rule and decisions give the same bytes: nothing in a file depends on when or where it is written.

A spreadsheet runs a cell that starts with ``=``, ``+``, ``-`` or ``@`` as a formula, and labels and file names
come from anywhere. In CSV such a text (numbers excepted) gets an apostrophe in front, as do tabs and carriage
returns; :func:`read_export` takes it off again. The other formats hold the texts untouched.
"""

from __future__ import annotations

import csv
import io
import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lsi_engine.curation.cleaning import FRAME_COLUMNS, CleanedSubset, CleaningRule, clean
from lsi_engine.curation.decisions import Decisions
from lsi_engine.curation.rounds import suspected
from lsi_engine.errors import InputError
from lsi_engine.files import replacing
from lsi_engine.progress import Progress, silent
from lsi_engine.runs.artefacts.duplicates import duplicate_clusters
from lsi_engine.runs.skill import caveat_of
from lsi_engine.runs.store import Run

Format = Literal["csv", "json", "parquet", "indices", "cleanlab", "coco", "manifest"]
FORMATS: tuple[Format, ...] = get_args(Format)
#: What a file of each format is called by default, after the run's name.
SUFFIX: dict[Format, str] = {
    "csv": ".cleaned.csv",
    "json": ".cleaned.json",
    "parquet": ".cleaned.parquet",
    "indices": ".indices.json",
    "cleanlab": ".label-issues.csv",
    "coco": ".coco.json",
    "manifest": ".manifest.json",
}

_METADATA_KEY = b"lsi_provenance"
_TEXT_COLUMNS = FRAME_COLUMNS[1:]
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


def provenance(subset: CleanedSubset, run: Run) -> dict[str, Any]:
    """Where a subset came from: run, scores, data, rule, decisions and what they amount to.

    ``caveat`` is there only where the run's probe does not beat guessing.
    """
    counts, caveat = subset.counts(), caveat_of(run)
    return {
        "program": "lsi-inspector",
        "version": _version(),
        "run": run.name,
        "scores_fingerprint": run.fingerprint,
        "dataset_fingerprint": run.provenance.get("dataset_fingerprint"),
        "rule": subset.rule.model_dump(mode="json"),
        "decisions": subset.decisions,
        "decisions_stale": list(subset.stale),
        "decisions_unknown": list(subset.unknown),
        "counts": {str(name): {key: int(n) for key, n in row.items()} for name, row in counts.iterrows()},
        "total": {str(key): int(n) for key, n in counts.drop(columns="final").sum().items()},
        "kept": subset.digest,
        **({"caveat": caveat} if caveat else {}),
    }


def export_bytes(subset: CleanedSubset, run: Run, format: Format) -> bytes:
    """The file's content. Raises ``InputError`` for an unknown format and for a subset without a sample."""
    frame = subset.listed()
    if frame.empty:
        raise InputError(f"run {run.name!r}: this rule keeps no sample; loosen it")
    origin = provenance(subset, run)
    match format:
        case "csv":
            table = frame.assign(**{column: frame[column].map(_guard) for column in _TEXT_COLUMNS})
            table["provenance"] = [_json(origin), *[""] * (len(table) - 1)]
            # Every text is quoted: a lone carriage return would otherwise end the row for the reader.
            text = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
            return text.encode("utf-8")
        case "json":
            return _json({"provenance": origin, "samples": frame.to_dict("records")}, indent=1).encode("utf-8")
        case "parquet":
            arrow = pa.Table.from_pandas(frame, preserve_index=False)
            arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), _METADATA_KEY: _json(origin)})
            buffer = io.BytesIO()
            pq.write_table(arrow, buffer, compression="zstd")
            return buffer.getvalue()
        case "indices":
            kept = frame[frame["action"] != "drop"]
            content = {
                "provenance": origin,
                "indices": kept["index"].tolist(),
                "sample_ids": kept["sample_id"].tolist(),
                "final_labels": kept["final_label"].tolist(),
            }
            if "split" in kept:
                content["splits"] = kept["split"].tolist()
            return _json(content).encode("utf-8")
        case "cleanlab":
            issues = _label_issues(subset, run)
            return issues.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).encode("utf-8")
        case "coco":
            return _json(_coco(frame[frame["action"] != "drop"], origin)).encode("utf-8")
        case "manifest":
            return _json({"provenance": origin}, indent=1).encode("utf-8")
        case _:
            raise InputError(f"there is no export format {format!r}; choose one of {', '.join(FORMATS)}")


def write_export(subset: CleanedSubset, run: Run, format: Format, path: Path) -> Path:
    """Write :func:`export_bytes` to ``path`` atomically and return it."""
    content = export_bytes(subset, run, format)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def needs_clusters(rule: CleaningRule) -> bool:
    """Whether a rule asks which samples are near-duplicates: to leave them out, or to keep them in one part."""
    return rule.deduplicate or rule.validation > 0 or rule.test > 0


def subset_of(run: Run, rule: CleaningRule, cache: Path, progress: Progress = silent) -> CleanedSubset:
    """The subset that ``rule`` makes of a stored run under the decisions that stand now."""
    clusters = duplicate_clusters(run, cache, progress) if needs_clusters(rule) else None
    return clean(run.scores(), Decisions(run.decisions_path).latest(), rule, clusters)


def _label_issues(subset: CleanedSubset, run: Run) -> pd.DataFrame:
    scores, frame = run.scores(), subset.frame()
    latest = Decisions(run.decisions_path).latest().set_index("sample_id")
    known = latest.reindex(frame["sample_id"]).reset_index(drop=True)
    said = known[["action", "new_label", "reviewer", "note"]].fillna("").map(str).map(_guard)
    predicted = scores["suggested_pair" if "suggested_pair" in scores else "loo_predicted_label"]
    return pd.DataFrame(
        {
            "index": frame["index"],
            "sample_id": frame["sample_id"].map(_guard),
            "is_label_issue": _is_issue(subset.rule, scores, known),
            "label_score": scores["loo_probability"],
            "given_label": frame["given_label"].map(_guard),
            "predicted_label": predicted.fillna("").astype("str").map(_guard),
            "decision": said["action"],
            "new_label": said["new_label"],
            "reviewer": said["reviewer"],
            "note": said["note"],
        }
    )


def _is_issue(rule: CleaningRule, scores: pd.DataFrame, known: pd.DataFrame) -> NDArray[np.bool_]:
    """``(N,)`` bool: what people said of the given label, and where nobody did, whether it is doubtful.

    A sample that the rule leaves out for size, balance or a near-duplicate has no issue with its label.
    """
    issue = suspected(scores)
    if rule.drop_suspicion is not None and "suggested_label" in scores:
        issue = issue | ((scores["suspicion"] >= rule.drop_suspicion) & scores["suggested_label"].notna()).to_numpy()
    if rule.apply_decisions:
        valid = (known["given_label"] == scores["label"].astype("str")).to_numpy()
        issue = (issue | (valid & known["action"].isin(["relabel", "drop"]).to_numpy())) & ~(
            valid & (known["action"] == "keep").to_numpy()
        )
    return issue


def _coco(kept: pd.DataFrame, origin: dict[str, Any]) -> dict[str, Any]:
    classes = {name: number for number, name in enumerate(sorted(set(kept["final_label"])), start=1)}
    rows = list(kept.to_dict("records"))
    return {
        "info": {"provenance": origin},
        "images": [
            {"id": i, "file_name": row["name"], "sample_id": row["sample_id"]}
            | ({"split": row["split"]} if "split" in row else {})
            for i, row in enumerate(rows, start=1)
        ],
        "categories": [{"id": number, "name": name} for name, number in classes.items()],
        "annotations": [
            {"id": i, "image_id": i, "category_id": classes[row["final_label"]]} for i, row in enumerate(rows, start=1)
        ],
    }


def read_export(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table and the provenance of an exported file, whatever its format.

    The table has the columns of :meth:`CleanedSubset.frame`; of an index list only ``index``, ``sample_id``
    and ``final_label`` (and ``split``), of a manifest alone no row. Raises ``InputError`` when the file is no export.
    """
    return parse_export(Path(path).read_bytes(), str(path))


def parse_export(raw: bytes, name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """:func:`read_export` of the content of a file called ``name``."""
    try:
        if raw.startswith(b"PAR1"):
            arrow = pq.read_table(io.BytesIO(raw))
            return arrow.to_pandas(), json.loads(arrow.schema.metadata[_METADATA_KEY])
        if raw.startswith(b"{"):
            content = json.loads(raw)
            return _frame_from_json(content), content["provenance"]
        frame = pd.read_csv(io.BytesIO(raw), dtype=str, keep_default_na=False)
        origin = json.loads(next(filter(None, frame.pop("provenance"))))
        columns = [*FRAME_COLUMNS, *(["split"] if "split" in frame else [])]
        frame = frame[columns].astype({"index": "int64"})
        return frame.assign(**{column: frame[column].map(_unguard) for column in _TEXT_COLUMNS}), origin
    except (KeyError, TypeError, ValueError, StopIteration, pa.ArrowException) as error:
        raise InputError(f"{name} is not an export of this program ({error!r})") from error


def _frame_from_json(content: dict[str, Any]) -> pd.DataFrame:
    if "samples" in content:
        frame = pd.DataFrame(content["samples"])
        frame = frame[[*FRAME_COLUMNS, *(["split"] if "split" in frame else [])]]
        return frame.astype(dict.fromkeys(frame.columns[1:], "str") | {"index": "int64"})
    if set(content) == {"provenance"}:
        return pd.DataFrame(
            {"index": pd.Series(dtype="int64"), **{c: pd.Series(dtype="str") for c in FRAME_COLUMNS[1:]}}
        )
    columns = {"sample_id": content["sample_ids"], "final_label": content["final_labels"]}
    columns |= {"split": content["splits"]} if "splits" in content else {}
    listed = {name: pd.Series(values, dtype="str") for name, values in columns.items()}
    return pd.DataFrame({"index": pd.Series(content["indices"], dtype="int64"), **listed})


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, sort_keys=False, allow_nan=False)


def _guard(text: str) -> str:
    return "'" + text if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _unguard(text: str) -> str:
    return text[1:] if _GUARDED.match(text) else text


def _version() -> str:
    try:
        return version("lsi-inspector")
    except PackageNotFoundError:
        return "source checkout"
