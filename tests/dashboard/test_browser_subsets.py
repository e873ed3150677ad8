"""Comparing subsets in a browser: started with a button, watched, drawn, and one taken to the Export page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from driving import Served, press, shown, visit
from playwright.sync_api import Page, expect

from lsi_engine.runs.artefacts.subsets import stored_subsets
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def digits_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the place of the digits: two blobs of 90, a tenth of the labels flipped, trained on in a moment."""
    folder = tmp_path_factory.mktemp("blobs")
    labels = np.repeat(["a", "b"], 90)
    features = np.random.default_rng(0).normal(size=(180, 4)) + 2 * (labels == "b")[:, None]
    np.savez(folder / "f.npz", features=features, labels=labels)
    source = {"kind": "feature_file", "path": str(folder / "f.npz")}
    flips = [{"kind": "flip_labels", "rate": 0.1, "seed": 0}]
    compute(RunConfig(name="blobs", source=source, corruption=flips), RunStore(folder / "cache"))
    return folder / "cache"


def test_subsets_are_compared_beside_the_page_and_one_is_taken_to_the_export(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/subsets?run=blobs")
    shown(page.get_by_text("3 times 20% of 180 samples are held out."))
    press(page.get_by_role("button", name="Compare subsets"))
    shown(page.get_by_text("What this says"))
    found = stored_subsets(RunStore(served.cache).open("blobs"))
    assert found is not None
    best = found.summary().set_index("rule").loc[["low", "mid", "high"], "test_accuracy"].max()
    expect(page.get_by_text(f"trains best: {best:.1%} of held-out samples")).to_be_visible()
    expect(page.get_by_text("counts the true labels")).to_be_visible()
    expect(page.locator('[data-testid="stPlotlyChart"] .main-svg').first).to_be_visible()
    expect(page.get_by_role("button", name="Numbers")).to_have_count(2)
    press(page.get_by_role("radio", name="25 %"))
    expect(page.get_by_role("radio", name="25 %")).to_be_checked()
    press(page.get_by_role("button", name="Drop the highest LSI"))
    expect(page).to_have_url(re.compile("/export"))
    shown(page.get_by_text("--keep-fraction 0.25 --keep-end lowest"))
