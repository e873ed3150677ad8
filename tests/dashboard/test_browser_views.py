"""Saved views from the sidebar in a browser."""

from __future__ import annotations

import re

import pytest
from driving import Served, press, shown, visit
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_a_view_is_saved_opened_and_forgotten_from_the_sidebar(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/gallery?run=digits&class=3&suspicion=0.5..1.0")
    field = page.get_by_placeholder("Save this view as")
    field.fill("Doubtful threes")
    field.press("Enter")
    entry = page.get_by_role("button", name="Doubtful threes")
    expect(entry).to_be_visible()
    press(page.get_by_role("button", name="Clear all"))
    shown(page.get_by_text("1,797 images", exact=True))
    entry.click()
    shown(page.get_by_role("button", name="Class 3"))
    expect(page).to_have_url(re.compile("class=3"))
    press(page.locator("[class*=st-key-view_forget]").get_by_role("button"))
    expect(entry).to_have_count(0)
