"""What the sample page says of a table's row: its own values under their names, the most unusual first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.components.row_panel import Table, _table, row_values
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore


def test_a_stored_tables_row_is_the_files_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"age": random.normal(50, 9, 40), "same": 3.0, "dose": random.normal(size=40)})
    frame["label"] = np.where(frame["dose"] + random.normal(size=40) > 0, "ill", "well")
    frame.loc[7, "age"] = 150.0
    frame.loc[3, "dose"] = None  # left out, so that later rows move up
    frame.to_csv(tmp_path / "rows.csv", index=False)
    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))
    run, _ = compute(RunConfig(name="rows", source={"kind": "table", "path": str(tmp_path / "rows.csv")}), RunStore())
    table = _table(str(run.path), run.fingerprint)
    assert isinstance(table, Table)
    found = row_values(table, table.values[6])  # row 7 of the file
    assert found["column"].iloc[0] == "age"
    kept = frame.drop(index=3)
    z = (150 - kept["age"].mean()) / kept["age"].std(ddof=0)
    assert found.loc[0, ["value", "z", "percentile"]].tolist() == pytest.approx([150, z, 100], rel=1e-5)
    assert found.set_index("column").loc["same", ["value", "z", "percentile"]].tolist() == [3, 0, 50]
    assert found.set_index("column").loc["dose", "value"] == pytest.approx(frame.loc[7, "dose"], rel=1e-6)
    outside = row_values(table, np.array([1000.0, 3.0, -1000.0])).set_index("column")["percentile"]
    assert outside.to_dict() == {"age": 100, "same": 50, "dose": 0}  # of a row that is not among those compared with


def test_without_names_or_without_the_file_there_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", features=random.normal(size=(20, 3)), labels=np.repeat(["a", "b"], 10))
    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))
    source = {"kind": "feature_file", "path": str(tmp_path / "rows.npz")}
    run, _ = compute(RunConfig(name="bare", source=source), RunStore())
    assert "without names" in str(_table(str(run.path), run.fingerprint))
    run, _ = compute(RunConfig(name="bare2", source=source), RunStore())
    (tmp_path / "rows.npz").unlink()
    assert "rows.npz" in str(_table(str(run.path), run.fingerprint))
