"""Class probabilities as bars: the few that matter, the rest in one line."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import words
from dashboard.data import RunData

#: Bars drawn; further classes are summed up.
BARS = 6


def explanation(data: RunData) -> str:
    """What the bars show, and how far to believe them."""
    said = f"Class probabilities of a probe trained without this {data.nouns[0]}."
    return f"{said} {data.caveat}" if data.caveat else said


def probability_bars(data: RunData, probabilities: NDArray[np.floating]) -> None:
    """Draw ``probabilities (C,)``, the most probable classes first."""
    order = np.argsort(-probabilities, kind="stable")
    lines = [_bar(data.classes[i], data.colours[data.classes[i]], float(probabilities[i])) for i in order[:BARS]]
    if len(order) > BARS:
        rest = float(probabilities[order[BARS:]].sum())
        lines.append(_bar(f"{len(order) - BARS} others", "#8a8f98", rest))
    st.html(
        '<div style="display:grid;grid-template-columns:fit-content(45%) 1fr 4.2em;gap:.35rem .8rem;'
        f'align-items:center;font-size:.9rem">{"".join(lines)}</div>'
    )


def _bar(name: str, colour: str, probability: float) -> str:
    return (
        f'<span style="overflow-wrap:anywhere">{words.escape(name)}</span>'
        '<span style="background:var(--lsi-line);border-radius:4px;height:9px;overflow:hidden">'
        f'<span style="display:block;height:100%;width:{100 * probability:.1f}%;background:{colour}"></span></span>'
        '<span style="text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums">'
        f"{percent(probability)}</span>"
    )


def percent(probability: float) -> str:
    """``0.997`` → ``99.7 %``; never 0 or 100 for what is only nearly so."""
    if 0 < probability < 0.001:
        return "<0.1 %"
    if 0.999 < probability < 1:
        return ">99.9 %"
    return f"{100 * probability:.1f} %"
