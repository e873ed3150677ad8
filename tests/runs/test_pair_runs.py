"""A run of pairs from the command line to scores on disk and back to its features."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
from PIL import Image
from typer.testing import CliRunner

from lsi_engine.cli import app
from lsi_engine.curation import CleaningRule, Decisions, clean
from lsi_engine.errors import InputError
from lsi_engine.runs.comparison import difficulty
from lsi_engine.runs.estimate import estimate
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import RunStore

WORDS = ["red", "green", "blue", "bright", "dark", "warm", "cold", "plain"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    random = np.random.default_rng(0)
    lines = ["file,caption"]
    for number in range(24):
        colour = random.integers(0, 255, size=3)
        Image.fromarray(np.full((6, 6, 3), colour, dtype=np.uint8)).save(folder / f"{number}.png")
        words = [WORDS[int(colour.argmax())], WORDS[3 if colour.sum() > 380 else 4], WORDS[5 + number % 3]]
        lines += [f"{number}.png,a {' '.join(words)} square", f"{number}.png,{words[0]} thing number {number}"]
    (folder / "captions.csv").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSI_CACHE", str(folder / "cache"))
        arguments = [
            "compute", "pairs", str(folder / "captions.csv"), "--images", str(folder), "--backbone", "pixels",
            "--image-size", "4", "--encoder", "tfidf", "--name", "squares", "--swap-captions", "0.2",
            "--epochs", "60", "--dimension", "4",
        ]  # fmt: skip
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        yield RunStore(folder / "cache")


def test_scores_are_stored_without_classes(stored):
    run = stored.open("squares")
    frame, facts = run.scores(), run.provenance
    assert (run.modality, len(frame), facts["corrupted"]) == ("pairs", 48, 10)
    assert (frame["lsi"] > 0).all()
    assert frame["suspicion"].between(0, 1).all()
    assert frame["suggested_label"].isna().all()
    assert frame["suggested_pair"].dropna().isin(frame["sample_id"]).all()
    # A caption of the same image is no rival.
    group = frame.set_index("sample_id")["group"]
    known = frame.dropna(subset="suggested_pair")
    assert len(known)
    assert (group[known["suggested_pair"]].to_numpy() != known["group"].to_numpy()).all()
    assert "text" not in frame
    assert len(run.texts()) == 48
    heads = safetensors.torch.load_file(run.path / "probe.safetensors")
    assert heads["image_weight"].shape == (4, 48)
    assert not (run.path / "probabilities.npy").exists()
    assert facts["engine"]["chance_loss"] == pytest.approx(np.log(48))


def test_features_come_back_image_first(stored):
    run = stored.open("squares")
    features = features_of(run, stored.cache)
    pixel = np.asarray(Image.open(run.path.parents[2] / run.samples()["media"].iloc[5]))[0, 0] / 255
    np.testing.assert_allclose(features[5, :3], pixel, atol=1e-6)
    assert len(features) == 48


def test_a_second_run_on_the_same_images_reads_none_of_them(stored, monkeypatch):
    config = stored.open("squares").config.model_copy(update={"name": "clean", "corruption": []})
    monkeypatch.setattr(
        "lsi_engine.features.pixels.PixelExtractor.prepare", lambda self, image: pytest.fail("read an image again")
    )
    run, computed = compute(config, stored)
    assert computed
    assert run.provenance["dataset_fingerprint"] == stored.open("squares").provenance["dataset_fingerprint"]
    assert "corrupted" not in run.scores()


def test_doubtful_pairs_can_be_dropped(stored):
    run = stored.open("squares")
    subset = clean(run.scores(), Decisions(run.decisions_path).latest(), CleaningRule(drop_suspicion=0.5))
    dropped = subset.frame().query("action == 'drop'")
    assert len(dropped)
    assert dropped["reason"].str.startswith("suspicion: rather the caption of").all()


def test_standardised_pairs_are_refused(stored):
    config = stored.open("squares").config.model_copy(update={"name": "no", "feature_scaling": "standardize"})
    with pytest.raises(InputError, match="pairs are not standardised"):
        compute(config, stored)


def test_pairs_stand_on_the_axis_of_difficulty_and_are_estimated(stored):
    run = stored.open("squares")
    (row,) = difficulty([run]).to_dict("records")
    assert row["accuracy"] == pytest.approx((run.scores()["margin"] > 0).mean())
    assert row["settings"].startswith("pixels + tfidf, unit")
    found = estimate(run.config, stored)
    assert (found.sizes.samples, found.features.seconds) == (48, 0.0)
    assert list(found.costs) == ["retrain"]
    assert found.seconds > 0
    few = estimate(run.config.model_copy(update={"left_out": 12}), stored)
    assert few.left_out == 12
    assert few.seconds < found.seconds
