"""Who is deciding: the name given at sign-in, else one kept in this browser, so that it survives a reload and is never
in a shared link."""

from __future__ import annotations

import getpass
from urllib.parse import unquote

import streamlit as st

from dashboard import words
from dashboard.sharing.guard import NAME_HEADER

_HTML = '<label>Reviewer <input type="text" maxlength="60" autocomplete="off" spellcheck="false"></label>'
_CSS = """
label { font-family: var(--st-font); font-size: 14px; color: var(--lsi-quiet, inherit); white-space: nowrap; }
input { font: inherit; color: var(--st-text-color); background: var(--st-secondary-background-color);
  border: 1px solid var(--st-border-color); border-radius: 8px; padding: 5px 9px; width: 9.5em; margin-left: 5px; }
input:focus-visible { outline: 2px solid var(--st-link-color); outline-offset: 0; }
"""
_JS = """
export default function ({ data, parentElement, setStateValue }) {
  const input = parentElement.querySelector("input");
  const kept = localStorage.getItem("lsi-reviewer") || data.name;
  if (parentElement.activeElement !== input) input.value = kept;
  if (kept !== data.name) setStateValue("name", kept);
  input.onkeydown = (event) => { event.stopPropagation(); if (event.key === "Enter") input.blur(); };
  input.onchange = () => {
    const name = input.value.trim() || data.name;
    input.value = name;
    localStorage.setItem("lsi-reviewer", name);
    setStateValue("name", name);
  };
}
"""


def signed_in() -> str | None:
    """The name of the person who signed in; None on a server without a sign-in, where names are typed freely."""
    return unquote(st.context.headers.get(NAME_HEADER) or "") or None


def reviewer_name() -> str:
    """Draw the name's field and return the name; the account's name until somebody types another.

    Whoever signed in decides under that name, and there is nothing to type.
    """
    name = signed_in()
    if name is not None:
        st.html(f'<span class="lsi-count">Reviewer <b>{words.escape(name)}</b></span>', width="content")
        st.session_state["reviewer"] = name
        return name
    kept = st.session_state.get("reviewer") or _account()
    result = st.components.v2.component("lsi_reviewer", html=_HTML, css=_CSS, js=_JS)(
        key="reviewer_field",
        data={"name": kept},
        default={"name": kept},
        on_name_change=lambda: None,
        width="content",
    )
    name = str(result.name or kept).strip() or kept
    st.session_state["reviewer"] = name
    return name


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "reviewer"
