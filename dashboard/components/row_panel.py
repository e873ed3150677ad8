"""A row of a table on the sample page: its values, and how usual each is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import words
from dashboard.components import show
from dashboard.components.neighbours import compared_rows
from dashboard.components.ranking import percentile
from dashboard.data import RunData, open_run
from lsi_engine.errors import InputError
from lsi_engine.runs.sources import feature_names, features_of
from lsi_engine.runs.store import RunStore


@dataclass(frozen=True)
class Table:
    """``values (M, D)`` of the run's samples, or of evenly spaced ones of too many, as they are in the source, under
    ``names (D,)``, with their means and deviations ``(D,)``."""

    names: tuple[str, ...]
    values: NDArray[np.floating]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


@st.cache_resource(max_entries=2, show_spinner="Reading the table …")
def _table(folder: str, fingerprint: str) -> Table | str:
    """The run's table, or the reason why its rows cannot be shown."""
    data = open_run(Path(folder).name)
    try:
        names = feature_names(data.run)
        if names is None:
            return "This run scores features without names: there is nothing to look at but the scores."
        values = np.asarray(features_of(data.run, RunStore().cache, compared_rows(data)))
    except (InputError, OSError) as error:
        return str(error)
    return Table(names, values, values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64))


def row_values(table: Table, row: NDArray[np.floating]) -> pd.DataFrame:
    """One line for each value of ``row (D,)``, the most unusual first: ``column, value, z, percentile`` (0 the lowest,
    100 the highest).

    ``z`` is the distance from the column's mean in its standard deviations, 0 in a column that is the same everywhere.
    """
    values = row.astype(np.float64)
    spread = np.where(table.deviation > 0, table.deviation, 1)
    z = (values - table.mean) / spread
    shares = [percentile(table.values[:, at], row[at]) for at in range(len(table.names))]
    frame = pd.DataFrame({"column": list(table.names), "value": values, "z": z, "percentile": shares})
    return frame.iloc[np.argsort(-np.abs(z), kind="stable")].reset_index(drop=True)


def row_panel(data: RunData, row: int) -> None:
    """Draw the row's values, or say why there are none."""
    table = _table(str(data.run.path), data.run.fingerprint)
    if isinstance(table, str):
        st.info(words.markdown(table))
        return
    sentence = "The most unusual values first: z is the distance from the mean in standard deviations."
    if len(table.values) < len(data.frame):
        sentence += f" Compared with {words.count(len(table.values))} evenly spaced rows."
    own = np.asarray(features_of(data.run, RunStore().cache, np.array([row])))[0]
    with show.card("sample_row", "The row", sentence):
        shown = row_values(table, own).rename(
            columns={"column": "Column", "value": "Value", "percentile": "Percentile in the run"}
        )
        st.dataframe(
            shown,
            hide_index=True,
            height=min(620, 38 + 35 * len(shown)),
            column_config={
                "Value": st.column_config.NumberColumn(format="%.5g"),
                "z": st.column_config.NumberColumn(format="%+.2f"),
                "Percentile in the run": st.column_config.ProgressColumn(format="p%.1f", min_value=0, max_value=100),
            },
        )
