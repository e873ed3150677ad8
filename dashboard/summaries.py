"""Tables derived from a run, computed once for the same rows and shared between sessions."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.charts.class_summary import class_summary
from dashboard.selection import Selection


def summary_of(selection: Selection) -> pd.DataFrame:
    """The classes of the selection (any LSI) by median; see :func:`class_summary`."""
    rows = selection.mask_any_lsi
    key = "all" if rows.all() else rows.tobytes()
    return _summary(selection.data.run.fingerprint, key, selection)


@st.cache_data(max_entries=16, show_spinner=False)
def _summary(fingerprint: str, key: str | bytes, _selection: Selection) -> pd.DataFrame:
    rows = _selection.mask_any_lsi
    return class_summary(
        _selection.lsi[rows],
        _selection.codes[rows],
        _selection.data.classes,
        doubtful=_selection.suspected[rows],
    )
