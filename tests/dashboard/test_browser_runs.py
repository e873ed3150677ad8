"""The Runs page in a browser: start real runs, watch, cancel, and read why one failed."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from driving import Served, press, settled, shown, visit
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
#: A run imports torch before it says anything; on a busy machine that takes a while.
PATIENT = 120_000


def status(served: Served, name: str) -> dict[str, object]:
    return json.loads((served.cache / "runs" / name / "status.json").read_text(encoding="utf-8"))


def choose_feature_file(page: Page, file: Path) -> None:
    press(page.get_by_role("radio", name="Feature file"))
    # The fields of the source chosen before are gone once the page is drawn again.
    expect(page.get_by_role("textbox", name="Folder of images")).to_have_count(0)
    settled(page)
    page.get_by_role("textbox", name="Feature file").fill(str(file))


def start(page: Page, name: str) -> None:
    page.get_by_role("textbox", name="Name of the run").fill(name)
    page.keyboard.press("Tab")
    press(page.get_by_role("button", name="Start", exact=True))


def features(path: Path, samples: int, dimension: int) -> Path:
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, samples)
    np.savez(path, features=random.normal(size=(samples, dimension)) + labels[:, None] * 0.05, labels=labels)
    return path


def test_a_run_started_from_the_page_survives_the_tab_and_can_be_opened(
    served: Served, page: Page, tmp_path: Path
) -> None:
    file = features(tmp_path / "mine.npz", 400, 8)
    visit(page, f"{served.address}/runs")
    choose_feature_file(page, file)
    start(page, "from-the-page")
    shown(page.get_by_text("Going on now"))
    page.goto("about:blank")  # the tab is gone; the run is not
    visit(page, f"{served.address}/runs")
    # The card may not be drawn yet on a busy machine: the run itself says when it has ended.
    deadline = time.monotonic() + PATIENT / 1000
    while status(served, "from-the-page")["state"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.2)
    assert status(served, "from-the-page")["state"] == "done"
    expect(page.get_by_text("Going on now")).to_have_count(0, timeout=PATIENT)
    assert len(pd.read_parquet(served.cache / "runs" / "from-the-page" / "scores.parquet")) == 400
    visit(page, f"{served.address}/?run=from-the-page")
    expect(page.locator(".lsi-count")).to_have_text(["400 samples"])


def test_a_running_run_is_cancelled_from_the_page(served: Served, page: Page, tmp_path: Path) -> None:
    file = features(tmp_path / "long.npz", 12_000, 200)
    visit(page, f"{served.address}/runs")
    choose_feature_file(page, file)
    press(page.get_by_role("button", name="What will it take?"))
    cost = page.locator(".st-key-run_cost")
    shown(cost.get_by_text("12,000 samples, 200 features, 10 classes"), timeout=PATIENT)
    shown(page.get_by_text(re.compile("Closed form: about .*retraining: about .* on this machine")))
    press(page.get_by_text("More settings", exact=True))
    hessian = page.get_by_role("combobox", name="Hessian")
    # By keyboard: the list of a page that is still settling may be drawn again under the pointer.
    hessian.fill("full")
    hessian.press("Enter")
    expect(hessian).to_have_value("full")
    start(page, "long")
    shown(page.get_by_text("Going on now"))
    start(page, "next")
    waits = page.locator(".st-key-job_next")
    shown(waits.get_by_text("Waiting for its turn"))
    press(waits.get_by_role("button", name="Cancel", exact=True))
    expect(waits).to_have_count(0)
    assert status(served, "next")["state"] == "cancelled"
    press(page.locator(".st-key-job_long").get_by_role("button", name="Cancel", exact=True))
    expect(page.get_by_text("Going on now")).to_have_count(0, timeout=PATIENT)
    assert status(served, "long")["state"] == "cancelled"
    # Of the two that ended, the page tells about the later.
    shown(page.get_by_text("long cancelled:"))
    expect(page.get_by_text("next cancelled:")).to_have_count(0)
    shown(page.get_by_role("button", name="Resume"))


def test_what_is_wrong_is_said_and_nothing_starts(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/runs")
    page.get_by_role("textbox", name="Folder of images").fill("/nowhere/films")
    start(page, "digits")
    shown(page.get_by_text("/nowhere/films is not there"))
    shown(page.get_by_text("there is a finished run called 'digits'"))
    assert not (served.cache / "runs" / "digits" / "job.json").exists()


def test_why_a_run_failed_stands_on_the_page(served: Served, page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "<b>broken.npz"
    broken.write_bytes(b"not an archive")
    visit(page, f"{served.address}/runs")
    choose_feature_file(page, broken)
    start(page, "broken")
    shown(page.get_by_text("broken failed:"), timeout=PATIENT)
    shown(page.get_by_test_id("stAlert").get_by_text("<b>broken.npz"))


def test_damage_is_chosen_and_filled_in_on_the_page(served: Served, page: Page, tmp_path: Path) -> None:
    file = features(tmp_path / "noisy.npz", 200, 4)
    visit(page, f"{served.address}/runs")
    choose_feature_file(page, file)
    damage = page.get_by_role("combobox", name="Damage on purpose")
    damage.fill("feature noise")
    damage.press("Enter")
    damage.press("Escape")
    sigma = page.get_by_role("spinbutton", name="Sigma")
    settled(page)
    shown(sigma)
    sigma.fill("2")
    classes = page.get_by_role("combobox", name="Classes")
    classes.fill("3")
    classes.press("Enter")
    classes.press("Escape")
    start(page, "noisy")
    shown(page.get_by_text("Going on now"))
    expect(page.get_by_text("Going on now")).to_have_count(0, timeout=PATIENT)
    scores = pd.read_parquet(served.cache / "runs" / "noisy" / "scores.parquet")
    assert set(scores.loc[scores["corrupted"], "label"]) == {"3"}
    assert set(scores.loc[scores["corrupted"], "corruption"]) == {"feature_noise 2"}
