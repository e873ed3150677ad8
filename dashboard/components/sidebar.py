"""The run picker and the card of the open run."""

from __future__ import annotations

import streamlit as st

from dashboard import words
from dashboard.data import RunData, complete_runs, open_run, switch_run
from dashboard.desks.review.reviewer import signed_in
from dashboard.sharing.guard import SIGN_OUT
from dashboard.view import saved as saved_views
from dashboard.view.view import View, current_view, set_view
from lsi_engine.errors import InputError
from lsi_engine.runs.store import RunStore


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
            _saved_views(view, names)
    name = signed_in()
    if name is not None:
        st.sidebar.html(
            f'<p class="lsi-count">{words.escape(name)} · <a href="{SIGN_OUT}" target="_self">Sign out</a></p>'
        )
    return view


def _saved_views(view: View, runs: list[str]) -> None:
    """The views that somebody saved, one click each, and a field to save this one."""
    cache = RunStore().cache
    for name, kept in saved_views.saved(cache).items():
        if kept.run not in runs:
            continue
        with st.container(horizontal=True, vertical_alignment="center", gap="xxsmall", key=f"view_{name}"):
            st.button(
                words.markdown(name),
                icon=":material/bookmark:",
                key=f"view_open_{name}",
                type="tertiary",
                width="stretch",
                help=words.markdown(
                    f"Run {kept.run}: " + (", ".join(chip.text for chip in kept.chips()) or "every sample")
                ),
                on_click=set_view,
                args=(kept,),
            )
            st.button(
                "✕",
                key=f"view_forget_{name}",
                type="tertiary",
                help="Forget this view",
                on_click=saved_views.forget,
                args=(cache, name),
            )

    def keep() -> None:
        try:
            saved_views.save(cache, st.session_state["view_name"], view)
        except InputError as error:
            st.toast(words.markdown(str(error)))
        st.session_state["view_name"] = ""

    if view.conditions:
        st.text_input(
            "Save this view",
            key="view_name",
            placeholder="Save this view as …",
            label_visibility="collapsed",
            max_chars=saved_views.MOST_CHARACTERS,
            on_change=keep,
        )


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
