"""Pages of a run whose probe guesses: the sentence that says so stands first wherever labels are doubted."""

from __future__ import annotations

import numpy as np
import pytest
from driving import Served, compute, shown, visit
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
SENTENCE = "The probe does not beat guessing"
#: Where the warning stands, and an address at which the filters keep nothing.
PAGES = ("?run={}", "review?run={}", "sample?run={}", "export?run={}", "gallery?run={}&layout=Grid&sort=Suspicion")
EMPTY = "?run=guessing&lsi=1000000..2000000"


@pytest.fixture(scope="module")
def guessing(served: Served) -> Served:
    random = np.random.default_rng(0)
    path = served.cache / "noise.npz"
    np.savez(path, features=random.normal(size=(200, 40)), labels=random.choice(["yes", "no"], 200))
    compute(served.cache, "features", str(path), "--name", "guessing")
    return served


def test_a_probe_that_guesses_is_said_to_on_every_page_that_doubts(guessing: Served, page: Page) -> None:
    for address in PAGES:
        visit(page, f"{guessing.address}/{address.format('guessing')}")
        warning = shown(page.get_by_test_id("stAlert").filter(has_text=SENTENCE))
        place = warning.bounding_box()
        assert place is not None
        assert place["y"] + place["height"] < 900  # above the fold
    visit(page, f"{guessing.address}/{EMPTY}")
    shown(page.get_by_test_id("stAlert").filter(has_text=SENTENCE))  # no filter takes it away
    visit(page, f"{guessing.address}/review?run=guessing")
    shown(page.get_by_text("Class probabilities of a probe trained without this sample. " + SENTENCE))


def test_one_that_knows_its_classes_is_not(guessing: Served, page: Page) -> None:
    visit(page, f"{guessing.address}/?run=digits")
    shown(page.get_by_role("heading", name="What the probe knows"))
    expect(page.locator(".st-key-card_skill")).to_contain_text("for the commonest class")
    expect(page.locator(".st-key-figure_reliability .scatterlayer")).not_to_have_count(0)
    expect(page.get_by_text(SENTENCE)).to_have_count(0)
    for address in PAGES[1:]:
        visit(page, f"{guessing.address}/{address.format('digits')}")
        expect(page.get_by_text(SENTENCE)).to_have_count(0)
