"""One text in full, with the words that speak for its label and against it marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.components import show
from dashboard.components.assets import text_of
from dashboard.data import RunData, open_run
from lsi_engine.errors import InputError
from lsi_engine.features.extractor import Extractor
from lsi_engine.runs.artefacts.word_evidence import Part, WordEvidence, contrast, extractor_of, word_evidence
from lsi_engine.runs.store import RunStore

#: Parts that are marked: the strongest, so that a page of text stays readable.
MOST_MARKED = 120
#: Words in the list at each side.
LISTED = 8
METHODS = {
    "linear": "Exact parts of the probe's logits: its features are linear in the weights of the words (TF-IDF).",
    "occlusion": "What the difference of the logits loses when a part is left out and the rest is encoded again.",
}


def text_panel(data: RunData, row: int, sample: pd.Series) -> None:
    """Draw the text of ``row`` and the evidence for its label against its strongest rival.

    TF-IDF shows it at once; another encoder has to read the text some dozens of times, so it waits to be asked.
    """
    text, label, rival = str(sample["text"]), str(sample["label"]), strongest_rival(data, row, sample)
    key = f"evidence_{sample['sample_id']}"
    extractor = data.run.config.extractor or {}
    waiting = extractor.get("kind") != "tfidf" and not st.session_state.get(key)
    evidence: WordEvidence | None = None
    problem = ""
    if rival is not None and not waiting:
        try:
            evidence = _evidence(str(data.run.path), data.run.fingerprint, str(sample["sample_id"]), text, label, rival)
        except InputError as error:
            problem = str(error)
    with show.card("sample_text", "", ""):
        shown = words.escape(text) if evidence is None else marked(text, evidence.parts)
        style = f"<style>{text_of('components/text_panel/text_panel.css')}</style>"
        st.html(f'{style}<div class="lsi-text" dir="auto" tabindex="0">{shown}</div>')
        if problem:
            st.caption(words.markdown(f"The words cannot be weighed: {problem}"))
        elif rival is not None and waiting:
            st.button(
                f"Show what speaks for {words.markdown(label)} and what for {words.markdown(rival)}",
                key=f"button_{key}",
                on_click=lambda: st.session_state.update({key: True}),
            )
        elif evidence is not None:
            st.html(legend(text, evidence))


def strongest_rival(data: RunData, row: int, sample: pd.Series) -> str | None:
    """The suggested label, else the most probable class beside the given one."""
    suggested = sample["suggested_label"]
    if not pd.isna(suggested):
        return str(suggested)
    probabilities = np.asarray(data.run.probabilities()[row])
    ranked = [data.classes[int(at)] for at in np.argsort(-probabilities, kind="stable")]
    return next((name for name in ranked if name != str(sample["label"])), None)


def marked(text: str, parts: list[Part]) -> str:
    """``text`` as HTML with the strongest ``parts`` marked: for the label solid blue, against it dashed orange."""
    strongest = max((abs(part.push) for part in parts), default=0.0)
    if strongest == 0:
        return words.escape(text)
    chosen = sorted(parts, key=lambda part: -abs(part.push))[:MOST_MARKED]
    chosen = sorted((part for part in chosen if abs(part.push) > 0.02 * strongest), key=lambda part: part.start)
    pieces, at = [], 0
    for part in chosen:
        side = "for" if part.push > 0 else "against"
        strength = round(15 + 55 * abs(part.push) / strongest)
        pieces.append(
            f'{words.escape(text[at : part.start])}<mark class="{side}" style="--strength:{strength}%" '
            f'title="{part.push:+.3f}">{words.escape(text[part.start : part.end])}</mark>'
        )
        at = part.end
    return "".join(pieces) + words.escape(text[at:])


def legend(text: str, evidence: WordEvidence) -> str:
    """The strongest words on each side with their sums, and how they were found, as HTML."""
    sums: dict[str, float] = {}
    for part in evidence.parts:
        word = words.shortened(" ".join(text[part.start : part.end].split()).lower(), 60)
        sums[word] = sums.get(word, 0.0) + part.push
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    sides = (
        ("for", f"For {evidence.label}", [item for item in ordered if item[1] > 0][:LISTED]),
        ("against", f"For {evidence.rival}", [item for item in ordered[::-1] if item[1] < 0][:LISTED]),
    )
    lists = "".join(
        f'<div><b class="{side}">{words.escape(title)}</b><ol>'
        + "".join(f"<li><span dir=auto>{words.escape(word)}</span> {abs(push):.3f}</li>" for word, push in listed)
        + "</ol></div>"
        for side, title, listed in sides
    )
    preferred = evidence.label if evidence.difference >= 0 else evidence.rival
    total = f"The probe, trained with this text, prefers {preferred} by {abs(evidence.difference):.3f} in logits"
    before = f" ({evidence.label} has {evidence.offset:+.3f} before any word)"
    start = words.escape(before) if evidence.method == "linear" else ""
    return (
        f'<div class="lsi-evidence">{lists}</div>'
        f'<p class="lsi-quiet">{words.escape(total)}{start}. {words.escape(METHODS[evidence.method])}</p>'
    )


@st.cache_resource(max_entries=2, show_spinner="Opening the encoder …")
def _extractor(folder: str, fingerprint: str) -> Extractor:
    return extractor_of(open_run(Path(folder).name).run, RunStore().cache)


@st.cache_data(max_entries=500, show_spinner="Weighing the words …")
def _evidence(folder: str, fingerprint: str, sample_id: str, text: str, label: str, rival: str) -> WordEvidence:
    run = open_run(Path(folder).name).run
    return word_evidence(text, contrast(run, label, rival), _extractor(folder, fingerprint))
