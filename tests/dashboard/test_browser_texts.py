"""Texts in the real pages: hostile ones are shown and not obeyed, words are marked, and a run starts from the form."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from driving import Served, compute, press, settled, shown, visit
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

HOSTILE = '<script>window.obeyed=1</script><img src=x onerror="window.obeyed=2"> good **film** &amp; $x$'
HEBREW = "סרט good מאוד, הסיפור היה נהדר"
LABEL = '<i onmouseover="window.obeyed=3">pos</i>'


@pytest.fixture(scope="session")
def digits_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the place of the digits that the server shows elsewhere: a run of texts, two of them odd."""
    folder = tmp_path_factory.mktemp("texts")
    rows = [
        (f"a {word} film number {n}", label) for word, label in (("good", LABEL), ("bad", "neg")) for n in range(20)
    ]
    odd = [(HOSTILE, "neg"), (HEBREW, "neg"), ("long " * 9000, LABEL)]
    pd.DataFrame([*rows, *odd], columns=["text", "label"]).to_csv(folder / "reviews.csv", index=False)
    compute(folder / "cache", "texts", str(folder / "reviews.csv"), "--name", "reviews")
    return folder / "cache"


def sample_of(served: Served, text: str) -> str:
    stored = pd.read_parquet(served.cache / "runs" / "reviews" / "samples.parquet")
    return str(stored.loc[stored["text"] == text, "sample_id"].iloc[0])


def test_the_gallery_shows_texts_as_they_are(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/gallery?run=reviews&layout=Grid")
    tile = page.locator(".tile", has_text="window.obeyed=1").first
    expect(tile.locator(".face.text")).to_contain_text(HOSTILE)
    page.locator(".label", has_text="onmouseover").first.hover()
    long = page.locator(".tile", has_text="long long").first.bounding_box()
    assert long is not None
    assert long["height"] < 400
    assert page.evaluate("window.obeyed") is None


def test_the_words_behind_a_label_are_marked(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/sample?run=reviews&sample={sample_of(served, HOSTILE)}")
    text = page.locator(".lsi-text")
    expect(text).to_have_text(HOSTILE)
    expect(text.locator("mark").first).to_be_visible()
    expect(page.locator(".lsi-evidence")).to_contain_text(f"For {LABEL}")
    shown(page.get_by_text("Exact parts of the probe's logits"))
    assert page.evaluate("window.obeyed") is None
    visit(page, f"{served.address}/sample?run=reviews&sample={sample_of(served, 'a good film number 3')}")
    shown(page.locator(".lsi-text mark.for", has_text="good"))


def test_right_to_left_text_begins_at_the_right(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/sample?run=reviews&sample={sample_of(served, HEBREW)}")
    text = page.locator(".lsi-text")
    expect(text).to_have_text(HEBREW)
    assert text.evaluate("element => getComputedStyle(element).direction") == "rtl"


def test_a_run_of_the_demo_starts_from_the_form(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/runs?run=reviews")
    press(page.get_by_text("Texts", exact=True))
    press(page.get_by_text("Synthetic demo messages"))
    settled(page)
    page.get_by_label("Name of the run").fill("messages")
    press(page.get_by_role("button", name="Start", exact=True))
    shown(page.get_by_text("Going on now"))
    expect(page.get_by_text("Going on now")).to_have_count(0, timeout=120_000)
    planted = pd.read_parquet(served.cache / "runs" / "messages" / "scores.parquet")["planted"]
    assert (planted == "mislabelled").sum() == 24
