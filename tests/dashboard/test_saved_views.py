"""Views by name: stored, found again, replaced, forgotten; whatever they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.view.saved import MOST_CHARACTERS, forget, save, saved
from dashboard.view.view import View
from lsi_engine.errors import InputError

DOUBTFUL = View(run="films", suspicion=(0.5, 1.0), lasso=("pca", ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))))


@pytest.mark.parametrize("name", ["doubtful", "../../etc", "<b>x</b>", "Ä ö/ü"])
def test_a_view_is_found_again_under_its_name(tmp_path: Path, name: str) -> None:
    save(tmp_path, name, DOUBTFUL)
    save(tmp_path, "b", View(run="films"))
    assert saved(tmp_path)[name] == DOUBTFUL
    assert {path.parent for path in tmp_path.rglob("*.json")} == {tmp_path / "views"}
    save(tmp_path, name, View(run="other"))
    assert saved(tmp_path)[name] == View(run="other")
    forget(tmp_path, name)
    assert list(saved(tmp_path)) == ["b"]


def test_no_name_is_refused_and_a_broken_file_passed_over(tmp_path: Path) -> None:
    for name in ("", "  ", "x" * (MOST_CHARACTERS + 1)):
        with pytest.raises(InputError, match="characters"):
            save(tmp_path, name, DOUBTFUL)
    save(tmp_path, "good", DOUBTFUL)
    for number, content in enumerate(("", "[]", "{}", '{"name": "a", "query": 3}')):
        (tmp_path / "views" / f"{number}.json").write_text(content)
    assert list(saved(tmp_path)) == ["good"]
