"""The run picker and the card of the open run."""

from __future__ import annotations

import streamlit as st

from dashboard import words
from dashboard.data import RunData, complete_runs, open_run, switch_run
from dashboard.state import View, current_view, set_view


def draw() -> View:
    """Draw the picker and the card, and return the session's view with a run that exists (``""`` if none
    does)."""
    names = complete_runs()
    view = current_view()
    if view.run not in names:
        if view.run:
            st.warning(f"There is no finished run called {words.markdown(view.run)}. Showing another one.")
        view = View(run=names[0] if names else "")
    set_view(view)
    if names:
        with st.sidebar:
            st.session_state["run_picker"] = view.run
            st.selectbox("Run", names, key="run_picker", on_change=_switch)
            st.html(card(open_run(view.run)))
    return view


def _switch() -> None:
    switch_run(st.session_state["run_picker"])


def card(data: RunData) -> str:
    """What the open run is, as HTML: size, method, time and how well its fit converged."""
    config, facts = data.run.config, data.provenance
    lines = [
        f"{words.count(len(data.frame))} {data.nouns[1]}"
        + (f" · {len(data.classes)} classes" if len(data.classes) > 1 else ""),
        f"{config.method.replace('_', ' ')}, {config.hessian} Hessian",
    ]
    measured = []
    timings = facts.get("timings") or {}
    if timings:
        measured.append(words.seconds(sum(timings.values())))
    if facts.get("gradient_norm") is not None:
        measured.append(f"|g| {words.number(float(facts['gradient_norm']), 2)}")
    if measured:
        lines.append(" · ".join(measured))
    body = "".join(f"<div>{words.escape(line)}</div>" for line in lines)
    return f'<div class="lsi-run-card"><b>{words.escape(data.run.name)}</b>{body}</div>'


def no_runs_yet(runs_page: st.Page) -> None:
    """What a fresh installation shows instead of a page."""
    st.title("No run yet")
    st.write(
        "A run holds the scores of one dataset. Start one on the **Runs** page, or in a terminal with "
        "`lsi compute digits`, which scores the 1 797 handwritten digits that come with scikit-learn."
    )
    st.page_link(runs_page, label="Open the Runs page", icon=":material/play_circle:")
