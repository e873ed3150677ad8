"""The order in which samples are shown: one cached sort a score, filtered when asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.data import RunData
from dashboard.view.selection import Selection
from lsi_engine.scores.column import Column
from lsi_engine.scores.registry import ranking


def rankings(frame: pd.DataFrame) -> dict[str, Column]:
    """What the samples of this run can be sorted by, under the names that people see."""
    return {column.title: column for column in ranking(frame)}


@st.cache_resource(max_entries=24, show_spinner=False)
def _order(folder: str, fingerprint: str, column: str, descending: bool, _values: pd.Series) -> NDArray[np.intp]:
    values = _values.to_numpy(dtype=float)
    return np.argsort(-values if descending else values, kind="stable")


def order(data: RunData, column: str, *, descending: bool) -> NDArray[np.intp]:
    """``(N,)`` row numbers by ``column``; ties in the dataset's order, missing values last."""
    return _order(str(Path(data.run.path)), data.run.fingerprint, column, descending, data.frame[column])


def ranked(selection: Selection, column: str, *, descending: bool) -> NDArray[np.intp]:
    """Row numbers of the samples that the view keeps, by ``column``."""
    rows = order(selection.data, column, descending=descending)
    return rows[selection.mask[rows]]


def percentile(values: NDArray[np.floating], value: float) -> float:
    """Where ``value`` lies among ``values (n,)``: 0 the lowest of them or below, 100 the highest or above, ties share
    the mean."""
    below, ties = int((values < value).sum()), int((values == value).sum())
    return min(100.0 * (below + max(ties - 1, 0) / 2) / max(len(values) - 1, 1), 100.0)
