"""The report of a view: a file that fetches and runs nothing, shows the right samples and gives nothing away."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dashboard.report import write_report
from dashboard.view.view import View
from lsi_engine.cli import app
from lsi_engine.curation import Decisions
from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import Run, RunStore

LABELS = ('<img src=x onerror="window.obeyed=1">', '"><script>window.obeyed=2<')


class Read(HTMLParser):
    """What a browser would find in the file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._styled = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("secret-place")
    random = np.random.default_rng(0)
    for label in LABELS:
        (root / label).mkdir()
        for i in range(30):
            Image.fromarray(random.integers(0, 255, (12, 12), dtype=np.uint8)).save(root / label / f"doe_jane_{i}.png")
    config = RunConfig(
        name="films",
        source={"kind": "image_folder", "root": str(root)},
        extractor={"kind": "pixels", "image_size": 8},
    )
    return compute(config, RunStore(tmp_path_factory.mktemp("cache")))[0]


@pytest.fixture
def cache(run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LSI_CACHE", str(run.path.parents[1]))
    return run.path.parents[1]


def test_nothing_in_it_runs_fetches_or_names_a_file(run: Run, cache: Path, tmp_path: Path) -> None:
    content = write_report("films", path=tmp_path / "mail.html").read_text(encoding="utf-8")
    found = Read(content)
    assert len(content) < 3_000_000
    assert not {"script", "iframe", "object", "embed", "link", "form", "base", "a"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    for name, value in found.attributes:
        assert name not in ("href", "action", "srcset", "style"), (name, value)
        assert name != "src" or value.startswith("data:image/webp;base64,")
    assert "url(" not in content
    assert "@import" not in content
    policy = dict(found.attributes)["content"]
    assert ("http-equiv", "Content-Security-Policy") in found.attributes
    assert "default-src 'none'" in content
    assert policy
    for label in LABELS:
        assert label in found.text
    assert "doe_jane" not in content
    assert run.config.source["root"] not in content


def test_it_shows_both_ends_of_each_class_and_the_pictures_themselves(run: Run, cache: Path, tmp_path: Path) -> None:
    content = write_report("films", path=tmp_path / "mail.html").read_text(encoding="utf-8")
    shown = re.findall(r'class="tile">.*?<small>([^<]+)</small></div>', content)
    frame = run.scores()
    wanted: set[str] = set()
    for label in LABELS:
        members = frame[frame["label"] == label]
        wanted |= set(members.nsmallest(6, "lsi")["sample_id"]) | set(members.nlargest(6, "lsi")["sample_id"])
    assert wanted <= set(shown)
    doubtful = frame[frame["suggested_label"].notna() & (frame["suspicion"] > 0.5)].nlargest(12, "suspicion")
    assert shown[-len(doubtful) :] == doubtful["sample_id"].tolist()
    assert content.count("data:image/webp;base64,") == len(shown)
    medians = frame.groupby("label", observed=True)["lsi"].median()
    assert f"{medians.max():.3g}" in Read(content).text


def test_it_is_of_the_view(run: Run, cache: Path, tmp_path: Path) -> None:
    frame = run.scores()
    highest = frame.nlargest(10, "lsi")
    low = float(highest["lsi"].min())
    log = Decisions(run.decisions_path)
    first = highest.iloc[0]
    log.record(first["sample_id"], "drop", reviewer="Ann", expected_revision=0, given_label=first["label"])
    content = write_report("films", f"lsi={low!r}..inf", tmp_path / "part.html").read_text(encoding="utf-8")
    text = Read(content).text
    assert "LSI ≥ " in text
    assert "of 60" in text
    assert "decided: drop" in text
    shown = set(re.findall(r"<small>([0-9a-f]{20})</small>", content))
    assert shown == set(highest["sample_id"])


@pytest.mark.parametrize("wrong", ["clas=cat", "lsi=high", "nonsense", "decision=maybe", "lasso=umap:1"])
def test_a_condition_that_means_nothing_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match="class=cat"):
        View.of_link("films", wrong)


def test_a_pasted_address_is_a_filter() -> None:
    pasted = View.of_link(
        "films", "http://127.0.0.1:8501/gallery?run=other&class=a%26b&class=c&layout=Grid&lsi=0.1..inf"
    )
    assert pasted == View(run="films", classes=("a&b", "c"), lsi=(0.1, float("inf")))


def test_the_command_says_where_it_wrote_and_what_is_wrong(run: Run, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.html"
    done = CliRunner().invoke(app, ["report", "films", "--filter", "suspicion=0.0..1.0", "-o", str(target)])
    assert done.exit_code == 0
    assert str(target) in done.output
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(InputError, match="nothing to report"):
        write_report("films", "q=nobody-has-this", tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_pictures_of_the_report_can_be_decoded(run: Run, cache: Path) -> None:
    from dashboard.components.media import thumbnail

    made = thumbnail(run, str(run.scores()["sample_id"].iloc[0]), "96")
    assert made is not None
    assert Image.open(io.BytesIO(made)).format == "WEBP"
    assert thumbnail(run, "nobody", "96") is None


def test_a_row_without_a_picture_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSI_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (12, 12), dtype=np.uint8)).save(tmp_path / "first.png")
    paths = np.array(["first.png", "", "", ""])
    features = random.normal(size=(4, 3)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", features=features, labels=np.array(["a", "a", "b", "b"]), image_paths=paths)
    compute(RunConfig(name="rows", source={"kind": "feature_file", "path": str(tmp_path / "rows.npz")}), RunStore())
    write_report("rows", "", tmp_path / "rows.html")
    content = (tmp_path / "rows.html").read_text(encoding="utf-8")
    assert content.count("data:image/webp") >= 1
    tiles = content.count('<div class="tile">')
    assert content.count("No picture") == tiles - content.count("data:image/webp") > 0
