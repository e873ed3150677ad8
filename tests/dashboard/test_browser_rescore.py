"""A round of review from the page: apply the decisions, score again, read what changed."""

from __future__ import annotations

import json
import os
import re
import signal
import time

import pandas as pd
import pytest
from driving import Served, press, shown, visit
from playwright.sync_api import Page, expect

from dashboard import jobs
from lsi_engine.curation import Decision, Decisions
from lsi_engine.curation.rescore import next_name
from lsi_engine.runs.store import RunStore

pytestmark = pytest.mark.browser
RUN = "digits-flipped"


def test_one_click_makes_the_next_round_and_shows_what_changed(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/review?run={RUN}")
    expect(page.get_by_role("button", name="Score again")).to_be_disabled()
    scores = pd.read_parquet(served.cache / "runs" / RUN / "scores.parquet")
    wrong = scores[scores["corrupted"]]
    log = Decisions(served.cache / "runs" / RUN / "decisions.sqlite")
    right = [Decision(one.sample_id, "relabel", "ann", 0, one.label, one.true_label) for one in wrong.itertuples()]
    assert not log.record_all(right)

    visit(page, f"{served.address}/review?run={RUN}")
    press(page.get_by_role("button", name="Score again"))
    shown(page.get_by_text(f"Applies {len(wrong)} relabelled and 0 dropped images"))
    press(page.get_by_role("button", name="Score again now"))
    changed = page.get_by_text(f"Since {RUN}: {len(wrong)} relabelled and 0 dropped")
    expect(changed).to_be_visible(timeout=90_000)
    expect(page).to_have_url(re.compile(f"run={RUN}-r2"))
    made = RunStore(served.cache).open(f"{RUN}-r2")
    assert (made.config.derived_from, made.config.decisions) == (RUN, log.digest())
    assert not made.scores()["corrupted"].any()
    changed.click()
    before, now = (pd.read_parquet(served.cache / "runs" / name / "scores.parquet") for name in (RUN, f"{RUN}-r2"))
    suspects = [int(((one["suspicion"] > 0.5) & one["suggested_label"].notna()).sum()) for one in (before, now)]
    assert suspects[1] < suspects[0]
    expect(changed).to_contain_text(f"{suspects[0]} → {suspects[1]}")
    shown(page.get_by_role("radio", name="Still doubtful"))
    expect(page.locator(".tile .face").first).to_be_visible()


def test_the_first_page_answers_to_its_own_name(served: Served, page: Page) -> None:
    visit(page, f"{served.address}/overview?run=digits")
    shown(page.get_by_text("The long tail"))
    expect(page.get_by_text("Page not found")).to_have_count(0)
    expect(page).to_have_url(re.compile("run=digits"))


def test_a_round_whose_process_was_killed_is_resumed_from_the_page(served: Served, page: Page) -> None:
    store = RunStore(served.cache)
    name = next_name(store.open("digits"), store)
    log = Decisions(store.open("digits").decisions_path)
    first = store.open("digits").scores().iloc[0]
    log.record(first["sample_id"], "drop", reviewer="ann", expected_revision=0, given_label=first["label"])
    jobs.start_rescore("digits", name, store)
    copied = store.path(name) / "decisions.sqlite"  # from here on it is at work, with a few tenths of a second to go
    deadline = time.monotonic() + 60
    while not copied.exists():
        assert time.monotonic() < deadline, "the round did not begin"
        time.sleep(0.005)
    pid = int(json.loads((store.path(name) / "job.json").read_text())["pid"])
    os.kill(pid, signal.SIGKILL)
    assert not (store.path(name) / "scores.parquet").exists()
    assert len(log.latest()) == 1
    visit(page, f"{served.address}/review?run=digits")
    expect(page.get_by_text(f"Scoring again as {name} stopped")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Since digits: 0 relabelled and 1 dropped")).to_be_visible(timeout=90_000)
    assert store.open(name).config.decisions == log.digest()
