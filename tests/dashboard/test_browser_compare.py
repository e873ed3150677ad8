"""Comparing runs in a browser: shared samples, who moved, datasets on one axis, and a link that keeps the choice."""

from __future__ import annotations

import re

import pytest
from driving import Served, press, shown, visit
from playwright.sync_api import Page, expect

from lsi_engine.runs.comparison import compare
from lsi_engine.runs.store import RunStore

pytestmark = pytest.mark.browser


def test_a_corrupted_run_against_its_clean_twin(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/compare?run=digits-flipped")
    shown(page.get_by_text("1,797 shared images"))
    expect(page).to_have_url(re.compile("with=digits"))
    for title in ("Rank correlation", "Who moved", "Classes that moved", "Difficulty on one axis"):
        shown(page.get_by_role("heading", name=title))
    store = RunStore(served.cache)
    joined = compare({name: store.open(name).scores() for name in ("digits-flipped", "digits")})
    moved = joined.shifts("digits-flipped", "digits")
    expect(page.locator(".tile").first).to_have_attribute("data-id", moved["sample_id"].iloc[0])
    press(page.get_by_role("radio", name="suspicion"))
    doubted = joined.shifts("digits-flipped", "digits", "suspicion")
    expect(page.locator(".tile").first).to_have_attribute("data-id", doubted["sample_id"].iloc[0])
    expect(page).to_have_url(re.compile("compare_measure=suspicion"))
    page.locator(".tile .open").first.click()
    expect(page.get_by_text(doubted["sample_id"].iloc[0]).first).to_be_visible()
    expect(page).to_have_url(re.compile("/sample"))
