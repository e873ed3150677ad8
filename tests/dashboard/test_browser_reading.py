"""A blinded reading in a browser: no sample id or label on the page, answers kept, agreement with the given labels."""

from __future__ import annotations

import pandas as pd
import pytest
from driving import Served, press, shown, visit
from playwright.sync_api import Page, expect

from lsi_engine.agreement.kappa import GIVEN, every_pair, raters
from lsi_engine.curation.readings import Readings

pytestmark = pytest.mark.browser
RUN = "digits-flipped"


def test_a_study_is_made_read_blind_and_compared(served: Served, page: Page) -> None:
    page.add_init_script("localStorage.setItem('lsi-reviewer', 'ann')")
    scores = pd.read_parquet(served.cache / "runs" / RUN / "scores.parquet").set_index("sample_id")
    visit(page, f"{served.address}/reading?run={RUN}")
    press(page.get_by_role("button", name="New study"))
    page.get_by_label("Name", exact=True).fill("first")
    page.get_by_label("At most so many images").fill("6")
    press(page.get_by_role("button", name="Make the study"))
    desk = page.locator(".reading")
    expect(desk.locator(".progress")).to_have_text("0 of 6 read")

    readings = Readings(served.cache / "runs" / RUN / "readings.sqlite")
    study = readings.study("first")
    assert len(study.sample_ids) == 6
    cases = readings.cases(study, "ann", 1)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    for place, case in enumerate(cases):
        expect(desk).to_have_attribute("data-case", case.id)
        picture = desk.locator("img.face")
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("image => image.naturalWidth") > 0
        assert not any(sample in desk.inner_html() for sample in study.sample_ids)
        page.wait_for_timeout(300)
        if place == 2:
            page.keyboard.press("0")
            continue
        name = str(scores.loc[case.sample_id, "true_label"])
        page.keyboard.press(str(int(name) + 1) if int(name) < 9 else "0")
    expect(desk.locator(".empty")).to_contain_text("Every case is read")
    assert not any("/image/" in url for url in requests), "pictures come by case id alone"
    page.wait_for_timeout(300)
    page.keyboard.press("z")
    expect(desk).to_have_attribute("data-case", cases[5].id)
    page.wait_for_timeout(300)
    page.keyboard.press("1")
    expect(desk).to_have_attribute("data-unsaved", "0")
    answers = readings.answers(study).set_index("sample_id")
    assert len(answers) == 6
    assert answers.loc[cases[5].sample_id, "label"] == "0"

    press(page.get_by_role("radio", name="Agreement"))
    expect(page.get_by_text("To adjudicate")).to_have_count(0)
    press(page.get_by_text("Show the results"))
    wide = raters(readings.answers(study), scores["label"])
    found = every_pair(wide).iloc[0]
    assert (found["first"], found["second"]) == ("ann", GIVEN)
    shown(page.get_by_role("heading", name="To adjudicate"))
    assert page.request.get(f"{served.address}/case/{RUN}/nobody").status == 404
