"""The overview in a browser: drag a range, follow it to other pages, a reload and a link, and take it away again."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlparse

import pandas as pd
import pytest
from driving import Served, press, settled, shown, visit
from playwright.sync_api import BrowserContext, Page, expect

pytestmark = pytest.mark.browser
TAIL = ".st-key-figure_tail .nsewdrag"


def count(page: Page) -> str:
    return page.locator(".lsi-count").inner_text()


def drag(page: Page, selector: str, start: float, end: float) -> None:
    """Drag horizontally over a figure, from one fraction of its width to another."""
    area = page.locator(selector).first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    height = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], height)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(box["x"] + (start + (end - start) * step / 10) * box["width"], height)
    page.mouse.up()


def lsi_range(page: Page) -> tuple[float, float]:
    low, high = parse_qs(urlparse(page.url).query)["lsi"][0].split("..")
    return float(low), float(high)


def test_dragging_over_the_tail_filters_every_page_and_survives_reload_and_link(
    served: Served, page: Page, context: BrowserContext
) -> None:
    visit(page, f"{served.address}/?run=digits")
    expect(page.locator(".lsi-count")).to_have_text(["1,797 images"])
    page.wait_for_selector(TAIL)
    drag(page, TAIL, 0.75, 0.999)
    page.wait_for_url(re.compile("lsi="))
    low, high = lsi_range(page)
    scores = pd.read_parquet(served.cache / "runs" / "digits" / "scores.parquet")["lsi"]
    expected = f"{int(((scores >= low) & (scores <= high)).sum()):,} of 1,797 images"
    expect(page.locator(".lsi-count")).to_have_text([expected])
    assert 0 < int(((scores >= low) & (scores <= high)).sum()) < 1797

    press(page.get_by_role("link", name="Classes"))
    shown(page.get_by_role("heading", name="Information by class"))
    expect(page.locator(".lsi-count")).to_have_text([expected])
    page.reload()
    expect(page.locator(".lsi-count")).to_have_text([expected])

    colleague = context.new_page()
    visit(colleague, page.url)
    expect(colleague.locator(".lsi-count")).to_have_text([expected])

    press(page.locator(".st-key-filter_strip").get_by_role("button", name="LSI"))
    expect(page.locator(".lsi-count")).to_have_text(["1,797 images"])
    expect(page).not_to_have_url(re.compile("lsi="))
    page.go_back()
    expect(page.locator(".lsi-count")).to_have_text([expected])


def test_dragging_over_ranks_keeps_the_highest(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/?run=digits")
    page.wait_for_selector(".st-key-figure_rank .nsewdrag")
    drag(page, ".st-key-figure_rank .nsewdrag", 0.01, 0.6)
    page.wait_for_url(re.compile("lsi="))
    low, high = lsi_range(page)
    scores = pd.read_parquet(served.cache / "runs" / "digits" / "scores.parquet")["lsi"]
    assert high == float("inf")
    kept = int((scores >= low).sum())
    assert 1 < kept < 1797
    expect(page.locator(".lsi-count")).to_have_text([f"{kept:,} of 1,797 images"])


def test_controls_of_the_strip_filter_and_clear(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/?run=digits-flipped")
    page.locator(".st-key-filter_controls button").first.click()
    press(page.get_by_role("radio", name="Corrupted", exact=True))
    expect(page.locator(".lsi-count")).to_have_text(["180 of 1,797 images"])
    expect(page).to_have_url(re.compile("corrupted=yes"))
    page.get_by_label("Id, name or text contains").fill("no such name")
    page.keyboard.press("Enter")
    expect(page.locator(".lsi-count")).to_have_text(["0 of 1,797 images"])
    page.keyboard.press("Escape")
    press(page.get_by_role("button", name="Clear all"))
    expect(page.locator(".lsi-count")).to_have_text(["1,797 images"])


def test_changing_the_run_keeps_what_still_makes_sense(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/?run=digits-flipped&class=3&corrupted=yes&lsi=0.01..inf")
    expect(page.locator(".lsi-count")).to_contain_text("of 1,797")
    press(page.get_by_role("combobox", name="Run"))
    press(page.get_by_role("option", name="digits", exact=True))
    page.wait_for_url(re.compile(r"run=digits(&|$)"))
    settled(page)
    expect(page).to_have_url(re.compile(r"\?(run=digits&class=3|class=3&run=digits)$"))


@pytest.mark.parametrize("path", ["", "classes", "corruption", "runs"])
def test_pages_render_without_a_word_of_error(served: Served, page: Page, path: str) -> None:
    page.emulate_media(color_scheme="dark" if path == "classes" else "light")
    visit(page, f"{served.address}/{path}?run=digits-flipped")
    expect(page.locator('[data-testid="stException"], [data-testid="stAlertContentError"]')).to_have_count(0)
    if path != "runs":
        page.wait_for_selector(".js-plotly-plot .main-svg")


def test_every_figure_has_a_table_and_an_accessible_name(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/?run=digits")
    page.wait_for_selector(TAIL)
    figures = page.get_by_test_id("stPlotlyChart")
    tables = page.get_by_role("button", name="Numbers")
    expect(tables).to_have_count(figures.count())
    expect(page.get_by_label(re.compile("^Histogram of LSI on a log axis: 1,797 images"))).to_have_count(1)
    tables.first.click()
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()


def test_figures_are_saved_as_pixels_and_as_drawings_from_the_keyboard(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/?run=digits&class=3")
    page.wait_for_selector(TAIL)
    for form, beginning in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        button = page.get_by_role("button", name=f"Save tail as {form}")
        button.focus()
        with page.expect_download() as saving:
            page.keyboard.press("Enter")
        assert saving.value.suggested_filename == f"digits-tail-filtered.{form.lower()}"
        content = saving.value.path().read_bytes()
        assert content.startswith(beginning)
        assert len(content) > 5000
    expect(page.get_by_role("button", name=re.compile("^Save .* as SVG$"))).to_have_count(
        page.get_by_test_id("stPlotlyChart").count()
    )


def test_an_unknown_run_in_a_link_is_said_and_another_is_shown(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/?run=%3Cb%3Egone")
    shown(page.get_by_text("There is no finished run called <b>gone"))
    expect(page.locator(".lsi-count")).to_have_text(["1,797 images"])


def test_conditions_that_nothing_meets_are_said_and_cleared_with_one_click(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/map?run=digits-flipped&q=nothing-is-called-so&suspicion=0.5..1.0")
    expect(page.get_by_text("No image meets these conditions.")).to_be_visible()
    page.get_by_role("button", name="Show all again").click()
    expect(page.get_by_text("No image meets these conditions.")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("q=|suspicion="))
