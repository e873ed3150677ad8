"""The reviewing desk: what it is sent for each sample, and what becomes of the acts it sends back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.components.assets import script, text_of
from dashboard.components.gallery.gallery import label_of, tile
from dashboard.components.media import deep_url, image_url, is_pixel_art
from dashboard.components.neighbours import nearest_typical
from dashboard.data import RunData
from lsi_engine.curation import Conflict, Decisions
from lsi_engine.errors import InputError

#: Samples sent ahead of the reader, pictures included; the neighbours of the first few only.
AHEAD = 8
NEIGHBOURS_AHEAD = 4
#: Classes listed with their probability.
CANDIDATES = 7


@dataclass
class Outcome:
    """What recording an outbox came to; ``undone`` is the sample that the newest undo reopened."""

    acknowledged: list[str] = field(default_factory=list)
    conflicts: list[dict[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    undone: str | None = None
    nothing_to_undo: bool = False


def desk() -> Callable[..., Any]:
    """The component; its state ``outbox`` holds acts not yet acknowledged, ``focus`` names a sample to show."""
    return st.components.v2.component(
        "lsi_review",
        html=text_of("desks/review/review.html"),
        css=text_of("components/tiles/tiles.css", "desks/review/review.css"),
        js=script("review"),
    )


def record(log: Decisions, outbox: Sequence[Mapping[str, Any]], *, signed_in: str | None = None) -> Outcome:
    """Write the acts of an outbox, in their order, into the log. Safe to repeat: every act has its token.

    ``signed_in`` decides whose acts they are, whatever the browser says. A conflict or a refusal is acknowledged too
    (sending it again would not help) and reported.
    """
    outcome = Outcome()
    for act in outbox:
        reviewer = signed_in or str(act["reviewer"])
        try:
            if act["action"] == "undo":
                reopened = log.undo(reviewer, token=str(act["token"]))
                outcome.undone = reopened or outcome.undone
                outcome.nothing_to_undo = reopened is None
            else:
                log.record(
                    str(act["sample_id"]),
                    act["action"],
                    new_label=act.get("new_label"),
                    note=str(act.get("note") or ""),
                    reviewer=reviewer,
                    expected_revision=int(act["expected_revision"]),
                    given_label=str(act["given_label"]),
                    token=str(act["token"]),
                )
                outcome.decided.append(str(act["sample_id"]))
        except Conflict as conflict:
            outcome.conflicts.append({"sample_id": conflict.sample_id, "message": str(conflict)})
        except InputError as error:
            outcome.refused.append(str(error))
        outcome.acknowledged.append(str(act["token"]))
    return outcome


def desk_item(
    data: RunData, frame: pd.DataFrame, row: int, log: Decisions, revisions: Mapping[str, int], neighbours: bool
) -> dict[str, Any]:
    """One sample as the desk draws it."""
    sample = frame.iloc[row]
    made = tile(data, frame, row)
    sample_id, given = made["id"], made["given"]["name"]
    candidates, likely = ([], given) if data.pairs else _candidates(data, row, given)
    numbers = [
        f"LSI {words.number(float(sample['lsi']))} ({made['percentile']})",
        f"suspicion {min(float(sample['suspicion']), 0.999):.3f}",
    ]
    if "group" in frame and sample["group"] != "":
        same = int((frame["group"] == sample["group"]).sum())
        numbers += [f"{same} {data.nouns[1]} in its group"] if same > 1 else []
    if data.run.modality in ("image", "pairs"):
        made["src"] = image_url(data.run, sample_id, "full")
        made["tiny"] = is_pixel_art(data.run)
        made["deep"] = deep_url(data.run, sample_id)
    elif "text" in frame:
        made["text"] = str(sample["text"])
    made |= {
        "origin": f"row {row:,}",
        "revision": revisions.get(sample_id, 0),
        "candidates": candidates,
        "numbers": " · ".join(numbers),
        "standing": _standing(log, sample_id) if sample_id in revisions else None,
        "neighbours": _neighbours(data, frame, row, given, likely) if neighbours and not data.pairs else [],
    }
    if data.pairs:
        made["said"] = str(sample["text"])
        rival = data.row(str(sample["suggested_pair"]))
        if rival is not None:
            caption = "Image and caption fit this pair better, without this one"
            made["neighbours"] = [{"caption": caption, "tiles": [tile(data, frame, rival)]}]
    return made


def _candidates(data: RunData, row: int, given: str) -> tuple[list[dict[str, Any]], str]:
    """The most probable classes, the given one among them, and the most probable of all."""
    probabilities = np.asarray(data.run.probabilities()[row])
    ranked = [int(i) for i in np.argsort(-probabilities, kind="stable")]
    listed = ranked[:CANDIDATES]
    if data.classes.index(given) not in listed:
        listed[-1] = data.classes.index(given)
    drawn = [label_of(data, data.classes[i]) | {"probability": float(probabilities[i])} for i in listed]
    return drawn, data.classes[ranked[0]]


def _standing(log: Decisions, sample_id: str) -> str | None:
    events = log.history(sample_id)
    if not events:
        return None
    newest = events[-1]
    when = f"{newest['at'][:16].replace('T', ' ')} UTC"
    if newest["action"] == "undo":
        before = next(event for event in events if event["id"] == newest["undoes"])
        return f"Withdrawn by {newest['reviewer']}, {when}: {_said(before)}"
    return f"Decided by {newest['reviewer']}, {when}: {_said(newest)}"


def _said(event: Mapping[str, Any]) -> str:
    what = event["action"] + (f" to {event['new_label']}" if event["new_label"] else "")
    return what + (f" “{event['note']}”" if event["note"] else "")


def _neighbours(data: RunData, frame: pd.DataFrame, row: int, given: str, probable: str) -> list[dict[str, Any]]:
    groups = []
    for label in dict.fromkeys((given, probable)):
        rows = nearest_typical(data, row, label, 4)
        if rows:
            groups.append({"caption": f"Nearest typical {label}", "tiles": [tile(data, frame, n) for n in rows]})
    return groups
