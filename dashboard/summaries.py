"""Tables derived from a run, computed once for the same rows and shared between sessions."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.charts.chart import Chart
from dashboard.charts.class_summary import class_summary
from dashboard.data import RunData
from dashboard.view.selection import Selection
from lsi_engine.runs.evaluation import Evaluation, evaluate


def _rows_key(selection: Selection) -> str | bytes:
    """Tells which rows a figure is made of; short where it is all of them."""
    rows = selection.mask_any_lsi
    return "all" if rows.all() else rows.tobytes()


def summary_of(selection: Selection) -> pd.DataFrame:
    """The classes of the selection (any LSI) by median; see :func:`class_summary`."""
    return _summary(selection.data.run.fingerprint, _rows_key(selection), selection)


@st.cache_data(max_entries=16, show_spinner=False)
def _summary(fingerprint: str, rows_key: str | bytes, _selection: Selection) -> pd.DataFrame:
    rows = _selection.mask_any_lsi
    return class_summary(
        _selection.lsi[rows],
        _selection.codes[rows],
        _selection.data.classes,
        doubtful=_selection.suspected[rows],
    )


def ordered_lsi(selection: Selection) -> NDArray[np.float64]:
    """``(n,)`` LSI of the selection (any LSI), ascending; sorted once for all figures and controls."""
    return _ordered(selection.data.run.fingerprint, _rows_key(selection), selection)


@st.cache_resource(max_entries=8, show_spinner=False)
def _ordered(fingerprint: str, rows_key: str | bytes, _selection: Selection) -> NDArray[np.float64]:
    return np.sort(_selection.lsi[_selection.mask_any_lsi])


def chart_of(selection: Selection, name: str, make: Callable[[], Chart], *settings: Hashable) -> Chart:
    """``make()``, or what it made before for the same run, rows (any LSI), ``name`` and ``settings``."""
    return _chart(selection.data.run.fingerprint, _rows_key(selection), name, settings, make)


@st.cache_resource(max_entries=48, show_spinner=False)
def _chart(
    fingerprint: str, rows_key: str | bytes, name: str, settings: tuple[Hashable, ...], _make: Callable[[], Chart]
) -> Chart:
    return _make()


def resamples_of(data: RunData) -> int:
    """Bootstrap resamples behind the intervals: one costs time in proportion to N, and a large run's are narrow."""
    return 1000 if len(data.frame) <= 100_000 else 200


def evaluation_of(data: RunData) -> Evaluation:
    """Detection of the run's known corruption, with bootstrap intervals."""
    return _evaluation(data.run.fingerprint, resamples_of(data), data)


@st.cache_resource(max_entries=16, show_spinner="Resampling for the intervals …")
def _evaluation(fingerprint: str, resamples: int, _data: RunData) -> Evaluation:
    return evaluate(_data.frame, resamples=resamples)
