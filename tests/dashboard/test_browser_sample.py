"""The sample's page in a browser: the viewer zooms, inverts, windows and keeps pictures in step."""

from __future__ import annotations

import re

import numpy as np
import pytest
from deep_films import films
from driving import Served, visit
from playwright.sync_api import Page, expect

from dashboard.components.neighbours import DUPLICATE
from dashboard.desks.reading.desk import readings_of
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import RunStore
from lsi_engine.samples.media import open_deep

pytestmark = pytest.mark.browser
TRANSFORMS = "panes => [...panes.querySelectorAll('img')].map(image => image.style.transform)"


def test_the_viewer_zooms_inverts_and_keeps_pictures_in_step(served: Served, page: Page) -> None:
    run = RunStore(served.cache).open("digits-flipped")
    doubted = run.scores().sort_values("suspicion", ascending=False).iloc[0]
    visit(page, f"{served.address}/sample?run=digits-flipped&sample={doubted['sample_id']}")
    viewer = page.locator(".viewer")
    expect(viewer.locator(".pane img")).to_have_count(1)
    expect(viewer).to_have_attribute("data-zoom", "1.00")
    viewer.get_by_role("button", name=f"Beside typical {doubted['label']}").click()
    viewer.get_by_role("button", name=f"Beside typical {doubted['suggested_label']}").click()
    expect(viewer.locator(".pane img")).to_have_count(3)
    expect(viewer.locator(".pane a")).to_have_count(2)
    page.wait_for_function("[...document.querySelectorAll('.pane img')].every(image => image.naturalWidth > 0)")
    viewer.get_by_role("button", name="Zoom in").click()
    viewer.get_by_role("button", name="Zoom in").click()
    expect(viewer).to_have_attribute("data-zoom", "1.96")
    panes = viewer.locator(".panes")
    before = panes.evaluate(TRANSFORMS)
    assert len(set(before)) == 1, "three pictures of one size lie alike"
    box = viewer.locator(".pane").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 130, box["y"] + 80, steps=3)
    page.mouse.up()
    moved = panes.evaluate(TRANSFORMS)
    assert len(set(moved)) == 1
    assert moved != before
    panes.focus()
    page.keyboard.press("i")
    picture = viewer.locator(".pane img").first
    assert "invert(1)" in picture.evaluate("image => image.style.filter")
    viewer.get_by_label("Contrast").fill("200")
    expect(picture).to_have_attribute("style", re.compile(r"contrast\(200%\)"))
    viewer.get_by_role("button", name="1:1").click()
    expect(viewer.locator(".said")).to_have_text("100 %")


def test_near_duplicates_are_shown(served: Served, page: Page) -> None:
    run = RunStore(served.cache).open("digits")
    features = np.asarray(features_of(run, served.cache), dtype=np.float64)
    scale = features.std(axis=0)
    points = (features - features.mean(axis=0)) / np.where(scale > 0, scale, 1)
    squares = (points**2).sum(axis=1)
    distance = squares[:, None] + squares[None] - 2 * points @ points.T
    np.fill_diagonal(distance, np.inf)
    close = distance <= DUPLICATE**2 * 2 * points.shape[1]
    row = int(close.sum(axis=1).argmax())
    assert close[row].any()
    ids = run.scores()["sample_id"]
    visit(page, f"{served.address}/sample?run=digits&sample={ids[row]}")
    card = page.locator(".st-key-card_sample_alike")
    expect(card.locator(".tile").first).to_have_attribute("data-id", ids[int(distance[row].argmin())])
    expect(card.locator(".tile")).to_have_count(min(int(close[row].sum()), 12))


def test_a_window_is_dragged_and_goes_along_to_the_next_sample(
    served: Served, page: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = films(tmp_path_factory.mktemp("films") / "data", RunStore(served.cache))
    table = run.samples().set_index("media")["sample_id"]
    visit(page, f"{served.address}/sample?run=films&sample={table['light/3.png']}")
    viewer, stage = page.locator(".viewer"), page.locator(".viewer canvas")
    deep = open_deep(run.config.source, "light/3.png")
    assert deep is not None

    def window() -> list[float]:
        return [float(number) for number in (viewer.get_attribute("data-window") or "").split(",")]

    expect(viewer).to_have_attribute("data-window", f"{sum(deep.auto) / 2:.2f},{deep.auto[1] - deep.auto[0]:.2f}")
    expect(viewer.locator(".preset")).to_have_value("auto")
    expect(viewer.get_by_label("Brightness")).to_be_hidden()
    viewer.get_by_role("button", name="Beside typical light").click()
    expect(stage).to_have_count(2)
    before = window()
    box = viewer.locator(".pane").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 100)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 90, box["y"] + 60, steps=4)
    page.mouse.up(button="right")
    expect(viewer.locator(".preset")).to_have_value("own")
    after = window()
    assert after[0] > before[0]
    assert after[1] > before[1]
    assert viewer.get_attribute("data-zoom") == "1.00", "the right button moves the window, not the picture"
    darker = "canvas => canvas.getContext('2d').getImageData(0, 0, 120, 90).data[0]"
    grey = deep.values[0, 0] * deep.slope + deep.intercept
    expected = np.clip(((grey - after[0] + 0.5) / (after[1] - 1) + 0.5) * 255, 0, 255)
    assert abs(stage.first.evaluate(darker) - expected) <= 2
    page.get_by_label("Sample id").fill(table["light/5.png"])
    page.get_by_label("Sample id").press("Enter")
    expect(viewer.locator(".pane p").first).to_contain_text(table["light/5.png"])
    expect(viewer).to_have_attribute("data-window", f"{after[0]:.2f},{after[1]:.2f}")
    viewer.locator(".panes").focus()
    page.keyboard.press("a")
    expect(viewer.locator(".preset")).to_have_value("auto")
    page.get_by_label("Sample id").fill(table["dark/0.png"])
    page.get_by_label("Sample id").press("Enter")
    expect(viewer.locator(".pane img").first).to_be_visible()


def test_the_desks_show_all_bits_under_the_readers_window(
    served: Served, page: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = RunStore(served.cache)
    run = store.open("films") if "films" in store.names() else films(tmp_path_factory.mktemp("films") / "data", store)
    table = run.samples().set_index("media")["sample_id"]
    dark, light = table["dark/1.png"], table["light/3.png"]
    visit(page, f"{served.address}/review?run=films&queue=LSI&q={light}")
    film = page.locator(".review .face.deep")
    expect(film).to_have_attribute("data-window", re.compile("^(auto|own) "))
    page.keyboard.press("w")
    expect(film).to_have_attribute("data-window", re.compile("^(full range|auto) "))
    chosen = str(film.get_attribute("data-window"))
    box = film.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 60, steps=3)
    page.mouse.up()
    expect(film).to_have_attribute("data-window", re.compile("^own "))
    own = str(film.get_attribute("data-window"))
    assert own.split()[1] != chosen.split()[-1]

    readings_of(run).create("blind films", [dark, light], seed=0, created_by="ann")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit(page, f"{served.address}/reading?run=films")
    blind = page.locator(".reading .face.deep")
    expect(blind).to_have_attribute("data-window", own)
    page.keyboard.press("i")
    assert any(re.search(r"/case/films/[0-9a-f]+/deep", url) for url in asked)
    assert not any(sample in url for url in asked for sample in (dark, light))
