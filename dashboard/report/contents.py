"""What a report says of a view: the same numbers, figures and samples as the pages, without a browser or a session."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard import words
from dashboard.charts.chart import Chart
from dashboard.charts.class_summary import class_summary, ranking_sentence
from dashboard.charts.detection import detection_curve
from dashboard.charts.ecdf import ecdf
from dashboard.charts.histogram import histogram
from dashboard.charts.rank import rank_plot
from dashboard.charts.reliability import reliability_curve
from dashboard.charts.violins import MOST_RIDGES, by_class
from dashboard.components.headlines import headlines
from dashboard.components.media import thumbnail
from dashboard.data import RunData, frame_with_decisions, open_run
from dashboard.report import document as page
from dashboard.view.selection import Selection
from dashboard.view.view import View
from lsi_engine.errors import InputError
from lsi_engine.runs.evaluation import evaluate

#: Classes whose two ends are shown one by one; of more classes, the ends of the whole view.
MOST_CLASSES = 12
#: Tiles at each end of a class, and of the whole view; doubtful labels listed.
ENDS, WHOLE_ENDS, DOUBTFUL = 6, 18, 12
#: All pictures together (bytes), so that the file fits into a mail; over it they are drawn smaller.
PICTURES = 1_600_000
#: Bootstrap resamples behind the bands of a mailed detection curve, which nobody waits long for.
RESAMPLES = 200


def report(view: View) -> str:
    """The report of ``view`` as one HTML file's text.

    Raises ``InputError`` when there is no such run, when it has no scores yet, or when the view keeps no sample.
    """
    data = open_run(view.run)
    selection = Selection(data, view, frame_with_decisions(data, view))
    if not selection.mask.any():
        raise InputError(
            f"no {data.nouns[0]} of run {view.run!r} meets these conditions, so there is nothing to report"
        )
    body = [_head(selection), _figures(selection)]
    if len(data.classes) > 1:
        body.append(_class_table(selection))
    body += [_galleries(selection), _decisions(selection), _provenance(data)]
    return page.document(f"{data.run.name} · LSI report", "".join(body))


def _head(selection: Selection) -> str:
    data, chips = selection.data, selection.view.chips()
    kept = " · ".join(chip.text for chip in chips) if chips else f"Every {data.nouns[0]}, no conditions"
    numbers = "".join(page.headline(line.name, line.value, line.note) for line in headlines(selection))
    warnings = [*([data.caveat] if data.caveat else []), *(data.provenance.get("warnings") or [])]
    warned = "".join(f'<p class="warning">{words.escape(str(text))}</p>' for text in warnings)
    return (
        f"<h1>{words.escape(data.run.name)}</h1><p>{words.escape(kept)}</p>{warned}"
        f'<div class="headlines">{numbers}</div>'
    )


def _figures(selection: Selection) -> str:
    data, mask, many = selection.data, selection.mask, selection.data.nouns[1]
    lsi, codes = selection.lsi[mask], selection.codes[mask]
    tail = histogram(lsi, codes, data.classes, data.colours, noun=many)
    sections = [
        page.section(
            "The long tail",
            page.figure(tail),
            f"LSI (nats) says how far the probe's weights would move had this {data.nouns[0]} been left out. Low: the "
            "others say the same. High: rare, atypical, badly recorded or wrongly labelled; high is not bad.",
        )
    ]
    summary = class_summary(lsi, codes, data.classes)
    if len(summary) > 1:
        # More than the ridgelines hold would be a metre of paper; the table below has every class.
        shown = summary if len(summary) <= MOST_RIDGES else pd.concat([summary.head(20), summary.tail(20)])
        chart = by_class(lsi, codes, data.classes, data.colours, shown.reset_index(drop=True), noun=many)
        sections.append(page.section("By class", page.figure(chart), ranking_sentence(summary)))
    ranks = page.section("By rank", page.figure(rank_plot(lsi, noun=many), 480), "Where the tail ends.")
    adding = page.figure(ecdf(lsi, noun=many), 480)
    sections.append(
        page.beside(ranks, page.section("Adding up", adding, "The wider the gap, the fewer carry the rest."))
    )
    if data.skill is not None:
        curve = page.figure(reliability_curve(data.skill, noun=many), 480)
        about = f"Of the whole run, each {data.nouns[0]} named by a probe trained without it: {data.skill.summary}."
        sections.append(page.section("What the probe knows", curve, about))
    found = _detection(data, many)
    if found is not None:
        about = (
            "Of the whole run: how fast reviewing from the top of each ranking finds what was corrupted on purpose. "
        )
        about += f" Bands: 95 % percentile bootstrap, {RESAMPLES} resamples."
        sections.append(page.section("Known corruption", page.figure(found), about))
    return "".join(sections)


def _detection(data: RunData, many: str) -> Chart | None:
    if "corrupted" not in data.frame or not 0 < int(data.frame["corrupted"].sum()) < len(data.frame):
        return None
    measured = evaluate(data.frame, resamples=RESAMPLES)
    curves = {measure: measured.curve(measure) for measure in measured.measures}
    return detection_curve(curves, measured.corrupted, len(data.frame), noun=many)


def _class_table(selection: Selection) -> str:
    mask = selection.mask
    rows = class_summary(
        selection.lsi[mask], selection.codes[mask], selection.data.classes, doubtful=selection.suspected[mask]
    ).iloc[::-1]
    shown = pd.DataFrame(
        {
            "Class": rows["label"],
            "Samples": rows["n"],
            "Median LSI": rows["median"],
            "95 % interval": _spans(rows, "low", "high"),
            "Middle half": _spans(rows, "p25", "p75"),
            "Suspected": rows["suspected"],
        }
    )
    return page.section("Classes", page.table(shown), "Highest median first. Intervals: bootstrap of the median.")


def _spans(rows: pd.DataFrame, low: str, high: str) -> list[str]:
    return [f"{words.number(a)} to {words.number(b)}" for a, b in zip(rows[low], rows[high], strict=True)]


def _galleries(selection: Selection) -> str:
    """The two ends of every class, and the labels to check first; each sample's picture is in the file once."""
    data, rows = selection.data, np.flatnonzero(selection.mask)
    rising = rows[np.argsort(selection.lsi[rows], kind="stable")]
    codes = selection.codes[rising]
    present = [code for code in range(len(data.classes)) if (codes == code).any()]
    groups = [(data.classes[code], rising[codes == code], ENDS) for code in present]
    if not 1 < len(present) <= MOST_CLASSES:
        groups = [("", rising, WHOLE_ENDS)]
    ends = [(name, members, *_two_ends(members, count)) for name, members, count in groups]
    doubt = rows[selection.suspected[rows] & (selection.frame["decision"].iloc[rows] == "undecided").to_numpy()]
    doubt = doubt[np.argsort(-selection.frame["suspicion"].to_numpy()[doubt], kind="stable")][:DOUBTFUL]
    wanted = np.concatenate([doubt, *(end for _, _, low, high in ends for end in (low, high))])
    pictures = _pictures(data, selection.frame["sample_id"].iloc[np.unique(wanted)].tolist())
    body = []
    for name, members, low, high in ends:
        many = f"{words.count(len(members))} {data.nouns[len(members) != 1]}"
        head = f"<h3>{words.escape(name)} · {many}</h3>" if name else ""
        halves = "".join(
            f"<div><h4>{title}</h4>{page.tiles([_tile(selection, int(row), pictures) for row in end])}</div>"
            for title, end in (("Typical: lowest LSI", low), ("Unusual: highest LSI", high))
        )
        body.append(f'{head}<div class="ends">{halves}</div>')
    kind = "long" if pictures else "long texts"
    said = "" if data.pairs or len(data.classes) < 2 else "Each line: given label → what the others suggest."
    sections = [page.section("Both ends", "".join(body), said, kind)]
    if len(doubt):
        tiles = page.tiles([_tile(selection, int(row), pictures) for row in doubt])
        said = "Highest suspicion among the undecided." + (f" {data.caveat}" if data.caveat else "")
        sections.append(page.section("To check first", tiles, said, kind))
    return "".join(sections)


def _two_ends(rising: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Up to ``count`` at each end, none at both."""
    return rising[: min(count, -(-len(rising) // 2))], rising[::-1][: min(count, len(rising) // 2)]


def _pictures(data: RunData, samples: Sequence[str]) -> dict[str, bytes]:
    if data.run.modality not in ("image", "pairs"):
        return {}
    found: dict[str, bytes] = {}
    for size in ("192", "96"):
        found = {one: made for one in samples if (made := thumbnail(data.run, one, size)) is not None}
        if sum(map(len, found.values())) <= PICTURES:
            break
    return found


def _tile(selection: Selection, row: int, pictures: dict[str, bytes]) -> str:
    """One sample: never its file's name, which may carry a patient's."""
    data, sample = selection.data, selection.frame.iloc[row]
    sample_id, given, suggested = str(sample["sample_id"]), str(sample["label"]), sample["suggested_label"]
    face, said = "", []
    if sample_id in pictures:
        face = page.picture(pictures[sample_id], f"{data.nouns[0]} {sample_id}")
    elif "text" in selection.frame and not data.pairs:
        face = page.words_of(str(sample["text"]))
    elif data.run.modality in ("image", "pairs"):
        face = page.no_picture()
    if data.pairs:
        said.append(words.shortened(str(sample["text"]), 160))
    if len(data.classes) > 1:
        said.append(given if pd.isna(suggested) else f"{given} → {suggested}?")
    if sample["decision"] != "undecided":
        said.append(f"decided: {sample['decision']}")
    scores = f"LSI {words.number(float(sample['lsi']))} · p{sample['percentile']:.1f}"
    return page.tile(face, [*(words.shortened(line, 160) for line in said), scores, sample_id])


def _decisions(selection: Selection) -> str:
    counts = selection.frame["decision"][selection.mask].value_counts()
    rows = pd.DataFrame(
        {"Decision": counts.index.astype("str"), selection.data.nouns[1].capitalize(): counts.to_numpy()}
    )
    return page.section("Decisions", page.table(rows), "What stands now, of what the view keeps.")


def _provenance(data: RunData) -> str:
    """Where the numbers come from; no path of the machine they were computed on."""
    config, known = data.run.config, data.provenance
    engine: dict[str, Any] = known.get("engine") or {}
    timings = sum((known.get("timings") or {}).values())
    corruption = ", ".join(str(one.get("kind", "?")) for one in config.corruption) or "none"
    skipped = known.get("skipped", 0)
    pairs = [
        ("Dataset", f"{known.get('dataset', '')} ({config.source.get('kind', '')})"),
        ("Dataset fingerprint", known.get("dataset_fingerprint", "")),
        ("Scores fingerprint", data.run.fingerprint),
        ("Scored", f"{known.get('created', '')}, in {words.seconds(timings)}"),
        ("Features", known.get("extractor_key") or "given"),
        ("Method", f"{config.method.replace('_', ' ')}, {engine.get('hessian', config.hessian)} Hessian"),
        ("Weight decay", words.number(data.run.weight_decay)),
        ("Feature scaling", config.feature_scaling),
        ("Corruption on purpose", corruption),
        ("Left out as unusable", skipped),
        ("Gradient norm", words.number(float(known["gradient_norm"]), 2) if known.get("gradient_norm") else "–"),
        ("Derived from", config.derived_from or "–"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in (known.get("versions") or {}).items())),
        ("Report written", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}"),
    ]
    return page.section("Where this comes from", page.facts(pairs))
