"""The gallery and the sample page in a browser: right tiles, right order, bulk decisions, nothing runs as markup."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from driving import Served, press, settled, shown, visit
from playwright.sync_api import Locator, Page, expect

from lsi_engine.curation import Decisions

pytestmark = pytest.mark.browser


def scores(served: Served, run: str = "digits-flipped") -> pd.DataFrame:
    return pd.read_parquet(served.cache / "runs" / run / "scores.parquet")


def ids(tiles: Locator) -> list[str]:
    """Sample ids in the order of the tiles, once there are tiles."""
    expect(tiles.first).to_be_attached()
    return [str(tile) for tile in tiles.evaluate_all("tiles => tiles.map(tile => tile.dataset.id)")]


def log(served: Served, run: str = "digits-flipped") -> Decisions:
    return Decisions(served.cache / "runs" / run / "decisions.sqlite")


def test_both_ends_of_every_class_side_by_side(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/gallery?run=digits-flipped")
    sections = page.locator(".gallery section")
    expect(sections).to_have_count(10)
    frame = scores(served)
    for position, (_, members) in enumerate(frame.groupby("label")):
        rising = members.sort_values("lsi", kind="stable")["sample_id"]
        low, high = sections.nth(position).locator(".group").all()
        expect(low.locator(".tile").first).to_be_attached()
        count = low.locator(".tile").count()
        assert count >= 3
        assert ids(low.locator(".tile")) == rising.head(count).tolist()
        assert ids(high.locator(".tile")) == rising.tail(count)[::-1].tolist()
    first = page.locator(".tile img").first
    expect(first).to_have_js_property("complete", True)
    assert first.evaluate("image => image.naturalWidth") >= 96
    assert "labelled" in (first.get_attribute("alt") or "")


def test_a_class_filter_narrows_the_gallery(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/gallery?run=digits-flipped&class=3&corrupted=yes")
    expect(page.locator(".gallery section")).to_have_count(1)
    frame = scores(served)
    allowed = set(frame.loc[(frame["label"] == "3") & frame["corrupted"], "sample_id"])
    shown = ids(page.locator(".tile"))
    assert shown
    assert set(shown) <= allowed
    assert len(set(shown)) == len(shown)


def test_the_grid_pages_through_any_score_and_jumps(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/gallery?run=digits-flipped&layout=Grid&sort=Suspicion")
    order = scores(served).sort_values("suspicion", ascending=False, kind="stable")["sample_id"].tolist()
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(60)
    assert ids(tiles) == order[:60]
    press(page.get_by_role("button", name="Last »"))
    shown(page.get_by_text("Images page 30 of 30"))
    expect(tiles).to_have_count(1797 - 29 * 60)
    assert ids(tiles) == order[29 * 60 :]
    press(page.get_by_role("button", name="‹ Back"))
    expect(tiles).to_have_count(60)
    assert ids(tiles) == order[28 * 60 : 29 * 60]
    press(page.get_by_role("button", name="« First"))
    shown(page.get_by_text("Images page 1 of 30"))

    visit(page, f"{served.address}/gallery?run=digits-flipped&layout=Grid")
    page.get_by_label("Go to LSI percentile", exact=True).fill("50")
    page.keyboard.press("Enter")
    shown(page.get_by_text("Images page 15 of 30"))
    expect(page.locator(".tile .percentile", has_text=re.compile(r"^p50\.0$"))).to_have_count(1)


def test_tiles_are_selected_and_decided_in_bulk_and_undone(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/gallery?run=digits-flipped&layout=Grid")
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(60)
    chosen = ids(tiles)[1:5]
    tiles.nth(1).locator(".open").click(modifiers=["Control"])
    tiles.nth(4).locator(".open").click(modifiers=["Shift"])
    shown(page.get_by_text("4 selected"))
    press(page.get_by_role("button", name="✕ Drop"))
    expect(page.locator(".decision", has_text="dropped")).to_have_count(4)
    shown(page.get_by_role("button", name="Undo the last 4"))
    latest = log(served).latest()
    assert sorted(latest["sample_id"]) == sorted(chosen)
    assert set(latest["action"]) == {"drop"}
    expect(page.locator(".tile.selected")).to_have_count(0)
    press(page.get_by_role("button", name="Undo the last 4"))
    expect(page.locator(".decision")).to_have_count(0)
    assert log(served).latest().empty

    tiles.nth(0).locator(".open").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    shown(page.get_by_text("1 selected"))
    press(page.get_by_role("button", name="Relabel"))
    press(page.get_by_role("button", name="Relabel to 0"))
    expect(page.locator(".decision", has_text="relabelled")).to_have_count(1)
    row = log(served).latest().iloc[0]
    assert (row["sample_id"], row["action"], row["new_label"]) == (chosen[0], "relabel", "0")
    press(page.get_by_role("button", name="Undo the last 1"))
    expect(page.locator(".decision")).to_have_count(0)


def test_a_tile_opens_the_sample_with_its_neighbours_and_history(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/gallery?run=digits-flipped&layout=Grid")
    first = page.locator(".tile").first
    sample_id = ids(page.locator(".tile"))[0]
    first.locator(".open").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/sample\?.*sample={sample_id}"))
    settled(page)
    picture = page.locator(f'img[alt^="image {sample_id}"]').first
    expect(picture).to_be_visible()
    shown(page.get_by_text("Nobody has decided yet."))
    frame = scores(served).set_index("sample_id")
    low = frame.groupby("label")["lsi"].median()
    near = page.locator(".group").first
    expect(near.locator(".tile")).to_have_count(6)
    for neighbour in ids(near.locator(".tile")):
        assert frame.loc[neighbour, "label"] == frame.loc[sample_id, "label"]
        assert frame.loc[neighbour, "lsi"] <= low[frame.loc[neighbour, "label"]]
    second = frame.sort_values("lsi", ascending=False).index[1]
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(f"sample={second}"))
    page.reload()
    expect(page.locator(f'img[alt^="image {second}"]').first).to_be_visible()


def test_an_unknown_sample_in_a_link_is_said(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/sample?run=digits&sample=%3Cb%3Enobody")
    shown(page.get_by_text("has no sample <b>nobody"))
