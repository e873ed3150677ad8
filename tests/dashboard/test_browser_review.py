"""Reviewing in a browser: a key decides, nothing is lost, nobody is overwritten."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from driving import Served, environment, settled, shown, visit, wait_until_up
from playwright.sync_api import Browser, Locator, Page, expect

from lsi_engine.curation import Decisions

pytestmark = pytest.mark.browser
RUN = "digits-flipped"
#: A little more than the desk's guard against a second press that was meant for the sample before.
BETWEEN_PRESSES_MS = 300


@pytest.fixture
def log(served: Served) -> Decisions:
    return Decisions(served.cache / "runs" / RUN / "decisions.sqlite")


@pytest.fixture
def queue(served: Served, log: Decisions) -> list[str]:
    """Suspects that nobody has decided, most doubtful first: worked out from the files alone."""
    scores = pd.read_parquet(served.cache / "runs" / RUN / "scores.parquet")
    suspects = scores[(scores["suspicion"] > 0.5) & scores["suggested_label"].notna()]
    order = suspects.sort_values("suspicion", ascending=False, kind="stable")["sample_id"]
    return order[~order.isin(log.latest()["sample_id"])].tolist()


def desk(page: Page, served: Served, name: str = "ann") -> Locator:
    page.add_init_script(f"localStorage.getItem('lsi-reviewer') || localStorage.setItem('lsi-reviewer', '{name}')")
    visit(page, f"{served.address}/review?run={RUN}")
    found = page.locator(".review")
    shown(found.locator(".desk"))
    return found


def press(page: Page, key: str) -> None:
    page.wait_for_timeout(BETWEEN_PRESSES_MS)
    page.keyboard.press(key)


def saved(review: Locator) -> None:
    expect(review).to_have_attribute("data-unsaved", "0")


def test_three_by_key_undo_and_reload(served: Served, page: Page, log: Decisions, queue: list[str]) -> None:
    review = desk(page, served)
    expect(review).to_have_attribute("data-sample", queue[0])
    before = len(log.latest())
    for position, key in enumerate("123"):
        press(page, key)
        expect(review).to_have_attribute("data-sample", queue[position + 1])
    saved(review)
    latest = log.latest().set_index("sample_id")
    assert [latest.loc[queue[i], "action"] for i in range(3)] == ["keep", "relabel", "drop"]
    scores = pd.read_parquet(served.cache / "runs" / RUN / "scores.parquet").set_index("sample_id")
    assert latest.loc[queue[1], "new_label"] == scores.loc[queue[1], "suggested_label"]
    assert set(latest.loc[queue[:3], "reviewer"]) == {"ann"}
    assert len(latest) == before + 3

    press(page, "z")
    expect(review).to_have_attribute("data-sample", queue[2])
    saved(review)
    expect(review.locator(".standing")).to_contain_text("Withdrawn by ann")
    assert queue[2] not in set(log.latest()["sample_id"])

    page.reload()
    expect(review).to_have_attribute("data-sample", queue[2])
    expect(review.locator(".progress")).to_contain_text(f"{before + 2:,} of")
    press(page, "4")
    expect(review).to_have_attribute("data-sample", queue[3])
    saved(review)
    assert log.latest().set_index("sample_id").loc[queue[2], "action"] == "unsure"


def test_other_candidates_clicks_and_notes(served: Served, page: Page, log: Decisions, queue: list[str]) -> None:
    review = desk(page, served)
    expect(review).to_have_attribute("data-sample", queue[0])
    press(page, "n")
    page.keyboard.type("a 1 or a 7? 3z")
    page.keyboard.press("Enter")
    press(page, "5")
    expect(review).to_have_attribute("data-sample", queue[1])
    page.wait_for_timeout(BETWEEN_PRESSES_MS)
    review.get_by_role("button", name="Drop").click()
    expect(review).to_have_attribute("data-sample", queue[2])
    page.wait_for_timeout(BETWEEN_PRESSES_MS)
    given = pd.read_parquet(served.cache / "runs" / RUN / "scores.parquet").set_index("sample_id")["label"]
    wanted = next(name for name in "0123456789"[::-1] if name != given[queue[2]])
    review.get_by_label("Relabel to any class").select_option(wanted)
    expect(review).to_have_attribute("data-sample", queue[3])
    saved(review)
    latest = log.latest().set_index("sample_id")
    assert latest.loc[queue[0], ["action", "note"]].tolist() == ["relabel", "a 1 or a 7? 3z"]
    assert latest.loc[queue[1], ["action", "note"]].tolist() == ["drop", ""]
    assert latest.loc[queue[2], "new_label"] == wanted


def test_a_double_press_or_double_click_decides_one_sample(
    served: Served, page: Page, log: Decisions, queue: list[str]
) -> None:
    review = desk(page, served)
    before = len(log.latest())
    page.wait_for_timeout(BETWEEN_PRESSES_MS)
    page.evaluate(
        """() => [0, 1, 2].forEach(() => document.body.dispatchEvent(
            new KeyboardEvent("keydown", { key: "1", bubbles: true, composed: true })))"""
    )
    expect(review).to_have_attribute("data-sample", queue[1])
    saved(review)
    page.wait_for_timeout(BETWEEN_PRESSES_MS)
    review.get_by_role("button", name="Unsure").dblclick()
    expect(review).to_have_attribute("data-sample", queue[2])
    saved(review)
    assert len(log.latest()) == before + 2


def test_presses_faster_than_the_server_are_all_kept(
    served: Served, page: Page, log: Decisions, queue: list[str]
) -> None:
    review = desk(page, served)
    before = len(log.latest())
    for _ in range(6):
        press(page, "1")
    expect(review).to_have_attribute("data-sample", queue[6])
    saved(review)
    latest = log.latest()
    assert len(latest) == before + 6
    assert set(queue[:6]) <= set(latest["sample_id"])


def test_what_was_not_yet_sent_is_sent_after_a_crash(
    served: Served, page: Page, log: Decisions, queue: list[str]
) -> None:
    """A tab that died between the key and the server's answer left its act in the session's storage."""
    review = desk(page, served)
    saved(review)
    run = json.loads((served.cache / "runs" / RUN / "provenance.json").read_text())["scores_fingerprint"]
    given = pd.read_parquet(served.cache / "runs" / RUN / "scores.parquet").set_index("sample_id")["label"]
    act = {
        "run": f"{RUN}@{run}",
        "token": "left-behind",
        "action": "keep",
        "sample_id": queue[0],
        "new_label": None,
        "note": "",
        "reviewer": "ann",
        "expected_revision": log.revisions().get(queue[0], 0),
        "given_label": given[queue[0]],
    }
    page.evaluate("([box, acts]) => sessionStorage.setItem(box, acts)", [f"lsi-outbox-{RUN}@{run}", json.dumps([act])])
    page.reload()
    expect(review).to_have_attribute("data-sample", queue[1])
    saved(review)
    assert log.history(queue[0])[-1]["token"] == "left-behind"
    assert page.evaluate("box => sessionStorage.getItem(box)", f"lsi-outbox-{RUN}@{run}") == "[]"


def test_two_reviewers_on_one_sample_see_the_conflict(
    served: Served, page: Page, browser: Browser, log: Decisions, queue: list[str]
) -> None:
    ann = desk(page, served)
    other = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    try:
        bob = desk(other, served, "bob")
        expect(ann).to_have_attribute("data-sample", queue[0])
        # A page that is drawn once more after Ann's decision would hand Bob the next sample, and there is no conflict.
        other.wait_for_timeout(1000)
        settled(other)
        expect(bob).to_have_attribute("data-sample", queue[0])
        press(page, "3")
        expect(ann).to_have_attribute("data-sample", queue[1])
        saved(ann)
        expect(bob).to_have_attribute("data-sample", queue[0])
        press(other, "1")
        expect(bob.locator(".conflict")).to_contain_text("ann chose drop")
        assert log.latest().set_index("sample_id").loc[queue[0], "action"] == "drop"
        bob.get_by_role("button", name="Show it").click()
        expect(bob).to_have_attribute("data-sample", queue[0])
        expect(bob.locator(".standing")).to_contain_text("Decided by ann")
        press(other, "1")
        expect(bob).to_have_attribute("data-sample", queue[1])
        saved(bob)
        standing = log.latest().set_index("sample_id").loc[queue[0]]
        assert (standing["action"], standing["reviewer"], standing["revision"]) == ("keep", "bob", 2)
    finally:
        other.context.close()


def start(served: Served, port: int, folder: Path) -> subprocess.Popen[bytes]:
    """A second dashboard on the module's runs, for a test that kills it."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lsi_engine", "dashboard", "--port", str(port), "--headless"],
            env=environment(served.cache),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    wait_until_up(f"http://127.0.0.1:{port}", process, log)
    return process


def test_decisions_made_while_the_server_is_dead_arrive_when_it_is_back(
    served: Served, page: Page, log: Decisions, queue: list[str], tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(served, port, tmp_path)
    try:
        review = desk(page, Served(f"http://127.0.0.1:{port}", served.cache))
        expect(review).to_have_attribute("data-sample", queue[0])
        process.kill()
        process.wait()
        for key in "13":
            press(page, key)
        expect(review).to_have_attribute("data-sample", queue[2])
        expect(review.locator(".saved")).to_have_text("saving …")
        assert not {queue[0], queue[1]} & set(log.latest()["sample_id"])
        # Streamlit's own dialog would cover the desk; ours says it and still takes clicks.
        expect(review.locator(".saved")).to_contain_text("The server does not answer: 2 kept in this tab")
        expect(page.get_by_test_id("stDialog")).to_have_count(0)
        review.get_by_role("button", name="Keys").click()
        process = start(served, port, tmp_path)
        expect(review).to_have_attribute("data-unsaved", "0", timeout=60_000)
        latest = log.latest().set_index("sample_id")["action"]
        assert (latest[queue[0]], latest[queue[1]]) == ("keep", "drop")
        assert len(log.history(queue[0])) == 1
    finally:
        process.kill()
        process.wait()


def test_the_reviewers_name_is_kept(served: Served, page: Page, log: Decisions, queue: list[str]) -> None:
    review = desk(page, served)
    field = page.get_by_label("Reviewer")
    field.fill("Dr. <Who>")
    field.press("Enter")
    page.reload()
    expect(field).to_have_value("Dr. <Who>")
    expect(review).to_have_attribute("data-sample", queue[0])
    press(page, "1")
    expect(review).to_have_attribute("data-sample", queue[1])
    saved(review)
    assert log.history(queue[0])[-1]["reviewer"] == "Dr. <Who>"


def test_the_queue_follows_the_filters_and_ends_politely(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/review?run={RUN}&q=digit-0001&queue=LSI")
    review = page.locator(".review")
    expect(review).to_have_attribute("data-sample", "digit-0001")
    press(page, "1")
    expect(review.locator(".empty")).to_contain_text("Nothing left in this queue")
    saved(review)
    press(page, "z")
    expect(review).to_have_attribute("data-sample", "digit-0001")


def test_the_grid_decides_all_but_the_ticked_and_is_undone(
    served: Served, page: Page, log: Decisions, queue: list[str]
) -> None:
    review = desk(page, served)
    page.keyboard.press("?")
    expect(review.locator(".keys")).to_contain_text("Unsure")
    page.keyboard.press("?")
    expect(review.locator(".keys")).to_be_hidden()
    before = len(log.latest())
    page.get_by_text("Grid", exact=True).click()
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(min(24, len(queue)))
    listed = [tile.get_attribute("data-id") for tile in tiles.all()]
    assert listed == queue[:24]
    tiles.nth(1).locator("input").check()
    page.get_by_role("button", name="⇄ Relabel the 23 not ticked as suggested").click()
    expect(tiles.first).to_have_attribute("data-id", str(listed[1]))
    latest = log.latest().set_index("sample_id")
    assert len(latest) == before + 23
    scores = pd.read_parquet(served.cache / "runs" / RUN / "scores.parquet").set_index("sample_id")
    relabelled = [sample for sample in listed if sample != listed[1]]
    assert latest.loc[relabelled, "new_label"].tolist() == scores.loc[relabelled, "suggested_label"].tolist()
    expect(page.get_by_text("This app has encountered an error")).to_have_count(0)
    expect(page.get_by_label("Reviewer")).to_have_count(1)
    page.get_by_role("button", name="Undo the last 23").click()
    expect(tiles.first).to_have_attribute("data-id", str(listed[0]))
    assert len(log.latest()) == before
