"""Image–caption pairs on the pages: both are shown, a wrong caption is one key, and nothing asks for classes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import Served, compute, shown, visit
from PIL import Image
from playwright.sync_api import Page, expect

from dashboard.run_request import RunRequest
from lsi_engine.curation import Decisions
from lsi_engine.runs.store import RunStore

pytestmark = pytest.mark.browser
HOSTILE = '<b onclick="x()">a & b</b>'


@pytest.fixture(scope="module")
def pairs(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run called ``squares`` in the served cache; its folder of images."""
    folder = tmp_path_factory.mktemp("squares")
    random = np.random.default_rng(0)
    lines = ["file,caption"]
    for number in range(12):
        Image.fromarray(random.integers(0, 255, size=(80, 80, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        lines.append(f'{number}.png,"square number {number}, quite {"red" if number % 2 else "blue"}"')
    lines[1] = '0.png,"<b onclick=""x()"">a & b</b>"'
    (folder / "captions.csv").write_text("\n".join(lines))
    compute(
        served.cache, "pairs", str(folder / "captions.csv"), "--images", str(folder), "--backbone", "pixels",
        "--image-size", "4", "--encoder", "tfidf", "--name", "squares", "--epochs", "40", "--dimension", "3",
    )  # fmt: skip
    return folder


def test_image_and_caption_are_shown_together_and_never_as_markup(served: Served, page: Page, pairs: Path) -> None:
    visit(page, f"{served.address}/gallery?run=squares")
    expect(page.locator(".tile img.face")).to_have_count(10)
    expect(page.locator(".tile .said").first).to_be_visible()
    sample = RunStore(served.cache).open("squares").samples()["sample_id"].iloc[0]
    visit(page, f"{served.address}/sample?run=squares&sample={sample}")
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    expect(page.locator("b[onclick]")).to_have_count(0)
    shown(page.get_by_text("Do image and caption belong together?"))
    shown(page.get_by_text("Among 12 pairs"))


def test_pages_of_classes_say_what_to_do_instead(served: Served, page: Page, pairs: Path) -> None:
    for name in ("classes", "overview"):
        visit(page, f"{served.address}/{name}?run=squares")
        shown(page.get_by_text("These pairs have no classes"))


def test_a_wrong_caption_is_one_key_and_drops_the_pair(served: Served, page: Page, pairs: Path) -> None:
    visit(page, f"{served.address}/review?run=squares&queue=Suspicion")
    shown(page.get_by_role("button", name=re.compile("Caption wrong")))
    expect(page.get_by_role("button", name=re.compile("Relabel"))).to_have_count(0)
    asked = page.locator(".review").get_attribute("data-sample")
    page.wait_for_timeout(400)  # a sample takes no key in its first quarter of a second
    page.keyboard.press("2")
    shown(page.get_by_text("1 of 12 decided"))
    shown(page.locator('.review[data-unsaved="0"]'))
    latest = Decisions(served.cache / "runs" / "squares" / "decisions.sqlite").latest()
    assert latest[["sample_id", "action", "note"]].to_numpy().tolist() == [[asked, "drop", "caption wrong"]]


def test_the_form_starts_the_same_run(pairs: Path, tmp_path: Path) -> None:
    settings = {"feature_scaling": "unit", "method": "retrain"}
    given: dict[str, Any] = {"path": str(pairs / "captions.csv"), "backbone": "pixels", "settings": settings}
    request = RunRequest("pairs", "again", images=str(pairs), **given)
    assert request.problems(RunStore(tmp_path)) == []
    source = request.config().source
    assert (source["kind"], source["root"]) == ("image_text_pairs", str(pairs))
    missing = RunRequest("pairs", "again", **given)
    assert missing.problems(RunStore(tmp_path)) == [
        "Folder of images: give the folder that the file names are relative to."
    ]
