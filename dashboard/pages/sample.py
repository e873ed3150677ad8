"""Sample: one sample large, everything known about it, and what people decided about it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.components import show
from dashboard.components.assets import text_of
from dashboard.components.caveat import caveat
from dashboard.components.gallery.gallery import Group, Section, gallery
from dashboard.components.neighbours import compared, missing_features, near_duplicates, nearest_typical
from dashboard.components.pair_panel import pair_facts, pair_picture
from dashboard.components.probabilities import explanation, probability_bars
from dashboard.components.ranking import percentile, ranked, rankings
from dashboard.components.row_panel import row_panel
from dashboard.components.text_panel.text_panel import text_panel
from dashboard.components.viewer.viewer import viewer
from dashboard.data import RunData
from dashboard.navigation import open_sample, review_sample
from dashboard.view.selection import Selection, current_selection
from lsi_engine.curation import Decisions

#: Columns of the sample table that say where a sample comes from, and their names on screen.
ORIGIN = {
    "name": "Name",
    "split": "Split",
    "group": "Group",
    "annotator": "Annotator",
    "true_label": "True label",
    "duplicate_of": "Copy of",
    "planted": "Planted on purpose",
}

#: Samples of the same group that are shown.
MATES = 24


def render() -> None:
    selection = current_selection()
    data = selection.data
    caveat(data)
    wanted = st.query_params.get("sample", "") or st.session_state.get("sample", "")
    row = data.row(wanted) if wanted else None
    if wanted and row is None:
        st.warning(f"Run {words.markdown(data.run.name)} has no sample {words.markdown(wanted)}. Showing another one.")
    rows = ranked(selection, "lsi", descending=True)
    if row is None:
        row = int(rows[0]) if len(rows) else int(np.argmax(selection.lsi))
    sample_id = str(selection.frame["sample_id"].iloc[row])
    st.session_state["sample"] = sample_id
    if st.query_params.get("sample") != sample_id:
        st.query_params["sample"] = sample_id
    _steps(selection, rows, row)
    left, right = st.columns([5, 4], gap="small")
    with left:
        _picture(selection, row)
    with right:
        _facts(selection, row)
    _neighbours(selection, row)
    _alike(selection, row)
    left, right = st.columns(2, gap="small")
    with left:
        _history(data, sample_id)
    with right:
        _origin(selection, row)


def _steps(selection: Selection, rows: np.ndarray, row: int) -> None:
    """Back and forth in the order of LSI among the samples that the view keeps."""
    ids = selection.frame["sample_id"]
    place = np.flatnonzero(rows == row)
    at = int(place[0]) if len(place) else None

    def go(to: int) -> None:
        st.query_params["sample"] = str(ids.iloc[int(rows[to])])

    def find() -> None:
        typed = st.session_state["sample_find"].strip()
        if typed:
            st.query_params["sample"] = typed
        st.session_state["sample_find"] = ""

    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="sample_steps"):
        back, forth = (None, None) if at is None else (at - 1, at + 1)
        st.button(
            "Higher LSI",
            icon=":material/chevron_left:",
            key="sample_higher",
            disabled=back is None or back < 0,
            on_click=go,
            args=(back,),
            shortcut="Left",
        )
        st.button(
            "Lower LSI",
            icon=":material/chevron_right:",
            key="sample_lower",
            disabled=forth is None or forth >= len(rows),
            on_click=go,
            args=(forth,),
            shortcut="Right",
        )
        where = "outside the filters" if at is None else f"{words.count(at + 1)} of {words.count(len(rows))} by LSI"
        st.html(f'<span class="lsi-count">{where}</span>', width="stretch")
        st.text_input(
            "Sample id",
            key="sample_find",
            on_change=find,
            placeholder="Open a sample id",
            label_visibility="collapsed",
            width=240,
        )


def _picture(selection: Selection, row: int) -> None:
    data, sample = selection.data, selection.frame.iloc[row]
    with st.container(key="sample_stage"):
        if data.pairs:
            pair_picture(data, sample)
        elif data.run.modality == "image":
            viewer(data, row, _compared(selection, row))
        elif "text" in selection.frame:
            text_panel(data, row, sample)
        else:
            row_panel(data, row)


def _facts(selection: Selection, row: int) -> None:
    data, sample = selection.data, selection.frame.iloc[row]
    suggested = sample["suggested_label"]
    given = f"Given: {sample['label']}"
    title = given if pd.isna(suggested) else f"{given} · Suggested: {suggested}"
    sentence = explanation(data)
    if data.pairs:
        title, sentence = "Do image and caption belong together?", ""
    with show.card("sample_facts", title, sentence):
        if data.pairs:
            pair_facts(data, selection.frame, row)
        else:
            probability_bars(data, np.asarray(data.run.probabilities()[row]))
        if st.button("Review this one", icon=":material/rate_review:", key="sample_review"):
            review_sample(str(sample["sample_id"]))
        _scores(selection.frame, row)


def _scores(frame: pd.DataFrame, row: int) -> None:
    """Every score with its percentile in the run and in the given class: 0 the lowest, 100 the highest."""
    same = (frame["label"] == frame["label"].iloc[row]).to_numpy()
    lines = []
    for ranking in rankings(frame).values():
        values = frame[ranking.name].to_numpy()
        value = values[row]
        lines.append(
            f"<tr><th scope=row>{ranking.title}<small>high: {ranking.first}</small></th>"
            f"<td>{words.number(float(value), 4)}</td>"
            f"<td>p{percentile(values, value):.1f}</td>"
            f"<td>p{percentile(values[same], value):.1f}</td></tr>"
        )
    st.html(
        f"<style>{text_of('components/tiles/scores.css')}</style>"
        "<table class=lsi-scores><thead><tr><th>Score</th><th>Value</th>"
        f"<th>In the run</th><th>In its class</th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def _compared(selection: Selection, row: int) -> list[str]:
    """The given label, and the suggested one or else the most probable, where it is another."""
    data, sample = selection.data, selection.frame.iloc[row]
    labels = [str(sample["label"])]
    probable = labels[0] if data.pairs else data.classes[int(np.argmax(data.run.probabilities()[row]))]
    for other in (sample["suggested_label"], probable):
        if not pd.isna(other) and str(other) not in labels:
            labels.append(str(other))
    return labels[:2]


def _alike(selection: Selection, row: int) -> None:
    """Near-duplicates, and the samples of the same group (patient), where there are any."""
    data, frame = selection.data, selection.frame
    group = str(frame["group"].iloc[row]) if "group" in frame else ""
    mates = np.flatnonzero((frame["group"] == group).to_numpy()) if group else np.zeros(0, dtype=int)
    lists = (
        (near_duplicates(data, row), "Near duplicates: closer than a re-encoded or slightly cropped copy would be"),
        (mates[mates != row][:MATES], f"Same group: {group}"),
    )
    sections = [Section([Group(np.asarray(rows, dtype=int), caption, 12)]) for rows, caption in lists if len(rows)]
    if not sections:
        return
    sentence = f"Other {data.nouns[1]} that vouch for this one, or leak from one split into another."
    with show.card("sample_alike", "Near duplicates and group", sentence):
        event = gallery(data, frame, sections, key="sample_alike_tiles", tile_pixels=84, framed=False)
        if event.opened:
            open_sample(event.opened)


def _neighbours(selection: Selection, row: int) -> None:
    data = selection.data
    reason = missing_features(data)
    sentence = "Typical means: in the lower half of its class by LSI. Near means: alike to the probe, by its features."
    among = compared(data)
    if 0 < among < len(data.frame):
        sentence += f" Looked for among {words.count(among)} evenly spaced {data.nouns[1]}."
    with show.card("sample_near", "Nearest typical samples", sentence):
        if reason:
            st.caption(words.markdown(f"Not available: {reason}"))
            return
        near = 3 if data.run.modality == "text" else 6
        groups = [
            Group(np.array(nearest_typical(data, row, label, near), dtype=int), f"Nearest typical {label}", near)
            for label in _compared(selection, row)
        ]
        event = gallery(data, selection.frame, [Section(groups)], key="sample_neighbours", framed=False)
        if event.opened:
            open_sample(event.opened)


def _history(data: RunData, sample_id: str) -> None:
    with show.card("sample_history", "Decisions", "Oldest first; nothing is ever removed from this list."):
        events = Decisions(data.run.decisions_path).history(sample_id)
        if not events:
            st.caption("Nobody has decided yet.")
            return
        table = [
            {
                "When (UTC)": event["at"][:19].replace("T", " "),
                "Who": event["reviewer"],
                "What": event["action"] + (f" → {event['new_label']}" if event["new_label"] else ""),
                "In run": event["carried_from"] or data.run.name,
                "Note": event["note"],
                "": "withdrawn" if event["withdrawn"] else "",
            }
            for event in events
        ]
        st.dataframe(pd.DataFrame(table), hide_index=True, height="content")


def _origin(selection: Selection, row: int) -> None:
    data, sample = selection.data, selection.frame.iloc[row]
    facts = [("Id", str(sample["sample_id"])), ("Row in the dataset", words.count(row))]
    facts += [
        (name, str(sample[column]))
        for column, name in ORIGIN.items()
        if column in sample and sample[column] != "" and not pd.isna(sample[column])
    ]
    if "corrupted" in sample:
        done = str(sample.get("corruption") or "yes").replace("_", " ")
        facts.append(("Damaged on purpose", done if sample["corrupted"] else "no"))
    if "group" in sample and sample["group"] != "":
        facts.append(("Samples in its group", words.count(int((selection.frame["group"] == sample["group"]).sum()))))
    facts += [("Run", data.run.name), ("Scores", data.run.fingerprint)]
    with show.card("sample_origin", "Where it comes from"):
        cells = "".join(
            f"<dt style='margin:0'>{words.escape(name)}</dt><dd style='margin:0'>{words.escape(value)}</dd>"
            for name, value in facts
        )
        st.html(
            '<dl style="display:grid;grid-template-columns:auto 1fr;gap:.2rem 1.2rem;margin:0;font-size:.88rem;'
            f'overflow-wrap:anywhere">{cells}</dl>'
        )
