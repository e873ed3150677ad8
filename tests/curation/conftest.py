from pathlib import Path

import pandas as pd
import pytest
from stored_runs import make_run, make_scores

from lsi_engine.runs.store import Run, RunStore


@pytest.fixture
def scores() -> pd.DataFrame:
    return make_scores([*["cat"] * 7, *["dog"] * 5, *["owl"] * 4])


@pytest.fixture
def run(tmp_path: Path, scores: pd.DataFrame) -> Run:
    return make_run(RunStore(tmp_path / "cache"), scores)
