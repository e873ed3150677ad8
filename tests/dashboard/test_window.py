"""Window and level: what is served of 16-bit films, and the browser's arithmetic against the engine's."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from deep_films import films
from PIL import Image
from playwright.sync_api import Page
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.components.assets import text_of
from dashboard.components.media import deep_url, image_url, media_routes
from lsi_engine.runs.store import RunStore
from lsi_engine.samples.images.deep import Window, deep_image
from lsi_engine.samples.images.dicom_image import _windowed
from lsi_engine.samples.media import open_deep

pytestmark = pytest.mark.browser


def test_all_bits_are_served_by_sample_id_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore(tmp_path / "cache")
    run = films(tmp_path / "films", store)
    monkeypatch.setenv("LSI_CACHE", str(store.cache))
    client = TestClient(Starlette(routes=media_routes()))
    table = run.samples().set_index("media")["sample_id"]
    url = deep_url(run, table["light/3.png"])
    assert url is not None
    answer = client.get(url)
    deep = open_deep(run.config.source, "light/3.png")
    assert deep is not None
    told = json.loads(answer.headers["x-lsi-deep"])
    served = np.frombuffer(answer.content, "<u2").reshape(told["height"], told["width"])
    np.testing.assert_array_equal(
        served * told["slope"] + told["intercept"], Image.open(tmp_path / "films/light/3.png")
    )
    assert told["auto"] == list(deep.auto)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert client.get(url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert deep_url(run, table["dark/0.png"]) is None
    assert deep_url(run, "nobody") is None
    for path in (f"/deep/films/{table['dark/0.png']}", "/deep/films/nobody", "/deep/films/light%2F3.png", "/deep/x/y"):
        assert client.get(path).status_code == 404
    assert client.get(image_url(run, table["light/3.png"], "96")).status_code == 200


def test_the_browser_windows_as_the_engine_does(page: Page) -> None:
    page.add_script_tag(
        content=text_of("components/viewer/window.js")
        + "; globalThis.lookup = lookup; globalThis.presetsOf = presetsOf;"
    )
    deep = deep_image(np.arange(4096, dtype=np.uint16).reshape(64, 64), slope=0.5, intercept=-1024)
    facts = asdict(replace(deep, values=deep.values[:0])) | {"values": None}
    grey = (deep.values * deep.slope + deep.intercept).ravel().astype(np.float32)
    for window in (
        Window(-600, 1500), Window(40, 1), Window(40.5, 80, "LINEAR_EXACT"), Window(0, 300, "SIGMOID"),
    ):  # fmt: skip
        for inverted in (False, True):
            facts["inverted"] = inverted
            table = page.evaluate("([f, w]) => [...lookup(f, w, false).subarray(0, 4096)]", [facts, asdict(window)])
            levels = np.clip(np.rint(_windowed(grey, window)), 0, 255)
            shown = np.array(table) & 255
            assert np.abs(shown - (255 - levels if inverted else levels)).max() <= 1
            assert {colour >> 24 for colour in table} == {255}
    facts |= {"hounsfield": True, "windows": [asdict(Window(1, 2)), asdict(Window(3, 4))]}
    names = page.evaluate("f => [...presetsOf(f).keys()]", facts)
    assert names == ["file 1", "file 2", "auto", "full range", "lung", "mediastinum", "soft tissue", "bone", "brain"]
    assert page.evaluate("f => [...presetsOf(f).keys()]", facts | {"hounsfield": False}) == names[:4]
