"""Requests for texts and tables: what the form asks for is what is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.run_request import RunRequest
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path)


def test_what_is_wrong_with_a_path_is_said(tmp_path: Path, store: RunStore) -> None:
    (tmp_path / "notes.docx").write_text("no table")
    for kind, path, problem in (
        ("texts", "", "File or folder of texts: give a path"),
        ("texts", str(tmp_path / "gone.csv"), "is not there"),
        ("texts", str(tmp_path / "notes.docx"), "is none of .csv"),
        ("table", str(tmp_path), "is a folder, not a file"),
    ):
        found = RunRequest(kind=kind, name="r", path=path).problems(store)  # type: ignore[arg-type]
        assert len(found) == 1
        assert problem in found[0]
    assert not RunRequest(kind="texts", name="r", path=str(tmp_path)).problems(store)
    assert not RunRequest(kind="breast-cancer", name="r").problems(store)


@pytest.mark.parametrize("kind", ["texts", "table", "demo-texts", "breast-cancer"])
def test_requests_are_computed(tmp_path: Path, kind: str) -> None:
    rows = "".join(f"{mood} film {n},{n},{n % 2},{mood}\n" for n in range(12) for mood in ("good", "bad"))
    (tmp_path / "-rows.csv").write_text("body,x,y,mood\n" + rows)
    request = RunRequest(
        kind=kind,  # type: ignore[arg-type]
        name="run",
        path=str(tmp_path / "-rows.csv"),
        text_column="body",
        label_column="mood",
        corruptions=({"kind": "flip_labels", "rate": 0.2},),
    )
    run, _ = compute(request.config(), RunStore(tmp_path / "cache"))
    assert run.complete
    assert run.scores()["corrupted"].any()
    assert (run.texts() is not None) == (kind in ("texts", "demo-texts"))
