"""The map in a browser: points drawn, an area drawn around some of them filters every page, a chip takes it away."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from driving import Served, press, shown, visit
from PIL import Image
from playwright.sync_api import Page, expect

from dashboard.view.view import View
from lsi_engine.runs.artefacts.projection import stored
from lsi_engine.runs.store import RunStore

pytestmark = pytest.mark.browser


def test_a_lasso_filters_and_its_chip_clears_it(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/map?run=digits")
    drawing = page.locator(".map")
    expect(drawing).to_have_attribute("data-ready", "1797")
    box = page.locator(".map .over").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for dx, dy in ((0, -90), (80, -180), (170, -90), (170, 0), (0, 0)):
        page.mouse.move(x + dx, y + dy, steps=4)
    page.mouse.up()
    chip = page.get_by_role("button", name="Area on the PCA map")
    expect(chip).to_be_visible()
    expect(page).to_have_url(re.compile("lasso="))
    query = dict(re.findall(r"[?&](\w+)=([^&]+)", page.url))
    run = RunStore(served.cache).open("digits")
    points = stored(run, "pca")
    assert points is not None
    lasso = page.evaluate("new URLSearchParams(location.search).get('lasso')")
    view = View.from_query({"run": "digits", "lasso": lasso})
    kept = int(view.mask(pd.DataFrame({"map_x": points[:, 0], "map_y": points[:, 1]})).sum())
    assert 0 < kept < 1797
    assert len(query["lasso"]) < 1500, "corners travel, not samples"
    expect(page.locator(".lsi-count", has_text="of 1,797")).to_have_text(f"{kept:,} of 1,797 images")
    press(page.get_by_role("link", name="Gallery"))
    expect(page.locator(".lsi-count", has_text="of 1,797").first).to_have_text(f"{kept:,} of 1,797 images")
    chip.click()
    expect(chip).to_have_count(0)
    shown(page.get_by_text("1,797 images", exact=True))


def test_the_picture_and_the_numbers_behind_it(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/map?run=digits&class=3")
    expect(page.locator(".map")).to_have_attribute("data-ready", "1797")
    with page.expect_download() as saving:
        press(page.get_by_role("button", name="Save the map as PNG"))
    assert saving.value.suggested_filename == "digits-map-pca-lsi.png"
    with Image.open(saving.value.path()) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 50, "points in many colours"
    press(page.get_by_role("button", name="Numbers"))
    shown(page.get_by_text("183 points: their place on the map"))
    shown(page.get_by_test_id("stDataFrame"))


def test_points_are_served_by_run_and_nothing_else(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/map?run=digits")
    expect(page.locator(".map")).to_have_attribute("data-ready", "1797")
    answer = page.request.get(f"{served.address}/points/digits/pca/place")
    np.testing.assert_array_equal(
        np.frombuffer(answer.body(), "<f4").reshape(-1, 2), stored(RunStore(served.cache).open("digits"), "pca")
    )
    for wrong in ("digits/umap/place", "digits/pca/nothing", "nope/pca/ids", "..%2F..%2Fetc/pca/ids"):
        assert page.request.get(f"{served.address}/points/{wrong}").status in (400, 404)
