"""The picture route: real files through the real ASGI route, by run and sample id only."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from dashboard.components.media import PIXEL_ART, SIZES, encode, image_url, media_routes
from dashboard.sharing.guard import Guard
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import Run, RunStore


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve large pictures in two classes and one file beside them that nobody may see."""
    root = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (root / "data" / label).mkdir(parents=True)
        for i in range(6):
            noise = rng.integers(0, 255, (3, 4, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((640, 480)).save(root / "data" / label / f"{i}.png")
    (root / "secret.png").write_bytes((root / "data" / "cat" / "0.png").read_bytes())
    return root


@pytest.fixture(scope="module")
def run(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = RunConfig(
        name="films",
        source={"kind": "image_folder", "root": str(films / "data")},
        extractor={"kind": "pixels", "image_size": 8},
    )
    return compute(config, RunStore(tmp_path_factory.mktemp("cache")))[0]


@pytest.fixture
def client(run: Run, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("LSI_CACHE", str(run.path.parents[1]))
    return TestClient(Starlette(routes=media_routes(), middleware=[Middleware(Guard)]))


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert image.format == "WEBP"
    return image


@pytest.mark.parametrize(("size", "expected"), [("96", (96, 72)), ("384", (384, 288)), ("full", (640, 480))])
def test_sizes_keep_the_shape_and_never_enlarge(
    client: TestClient, run: Run, size: str, expected: tuple[int, int]
) -> None:
    sample_id = run.samples()["sample_id"].iloc[3]
    response = client.get(image_url(run, sample_id, size))
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/webp"
    assert opened(response.content).size == expected


def test_the_picture_is_the_samples_own(client: TestClient, run: Run, films: Path) -> None:
    for row in run.samples().iloc[[0, 7]].itertuples():
        served = np.asarray(opened(client.get(image_url(run, row.sample_id, "full")).content).convert("RGB"), float)
        original = np.asarray(Image.open(films / "data" / row.media).convert("RGB"), float)
        assert np.abs(served - original).mean() < 6


@pytest.mark.parametrize(
    "path",
    [
        "/image/films/nobody/96",
        "/image/other/{id}/96",
        "/image/films/{id}/97",
        "/image/films/{id}/",
        "/image/films/..%2F..%2Fsecret.png/full",
        "/image/..%2Ffilms/{id}/96",
        "/image/films/cat%2F0.png/full",
        "/image/.%2e/{id}/96",
    ],
)
def test_anything_but_a_stored_sample_is_not_found(client: TestClient, run: Run, path: str) -> None:
    response = client.get(path.format(id=run.samples()["sample_id"].iloc[0]))
    assert response.status_code == 404


def test_the_browser_may_keep_a_versioned_picture_and_checks_others(client: TestClient, run: Run) -> None:
    url = image_url(run, run.samples()["sample_id"].iloc[0], "96")
    first = client.get(url)
    assert "immutable" in first.headers["cache-control"]
    assert "no-cache" in client.get(url.split("?")[0]).headers["cache-control"]
    again = client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_other_sites_may_not_embed_it(client: TestClient, run: Run) -> None:
    response = client.get(image_url(run, run.samples()["sample_id"].iloc[0], "96"))
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_foreign_host_name_is_refused(client: TestClient, run: Run) -> None:
    from streamlit import config

    before = config.get_option("server.allowedHosts")
    config.set_option("server.allowedHosts", ["127.0.0.1", "localhost"])
    try:
        url = image_url(run, run.samples()["sample_id"].iloc[0], "96")
        assert client.get(url, headers={"Host": "evil.example:8501"}).status_code == 403
        assert client.get(url, headers={"Host": "127.0.0.1:8501"}).status_code == 200
    finally:
        config.set_option("server.allowedHosts", before)


def test_pictures_are_kept_by_content_and_damaged_ones_say_so(client: TestClient, run: Run, films: Path) -> None:
    table = run.samples()
    row = table.iloc[11]
    path = films / "data" / row["media"]
    kept, whole = client.get(image_url(run, row["sample_id"], "192")), path.read_bytes()
    try:
        path.write_bytes(whole[:100])
        assert client.get(image_url(run, row["sample_id"], "192")).content == kept.content
        broken = client.get(image_url(run, row["sample_id"], "384"))
        assert broken.status_code == 404
        assert str(films) not in broken.text
        assert "image" in broken.text
    finally:
        path.write_bytes(whole)
    assert client.get(image_url(run, row["sample_id"], "384")).status_code == 200


@pytest.mark.parametrize("side", [8, 32, PIXEL_ART])
def test_tiny_images_become_crisp_pixels(side: int) -> None:
    pixels = np.random.default_rng(side).integers(0, 255, (side, side), dtype=np.uint8)
    for size, limit in SIZES.items():
        shown = np.asarray(opened(encode(Image.fromarray(pixels), size)).convert("L"))
        factor = len(shown) // side
        assert len(shown) <= max(limit, side)
        np.testing.assert_array_equal(shown, np.kron(pixels, np.ones((factor, factor), np.uint8)))
