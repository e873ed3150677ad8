"""Lorem ipsum: which texts it takes, what it leaves in the table, and that a run finds and shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lsi_engine.errors import InputError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore
from lsi_engine.samples import SampleSet, digits, texts
from lsi_engine.samples.corruption import apply
from lsi_engine.samples.corruption.lorem_ipsum import LONGEST, SHORTEST, lorem_ipsum, pseudo_latin
from lsi_engine.samples.files import content_key


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    common, moods = ["the", "film", "was", "and", "plot"], {"pos": ["good", "great", "fine"], "neg": ["bad", "dull"]}
    rows = [
        (" ".join(random.choice([*common, *moods[label] * 2], size=12 + number % 9)), label)
        for number, label in enumerate(["pos", "neg"] * 60)
    ]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(tmp_path / "reviews.csv", index=False)
    return tmp_path / "reviews.csv"


@pytest.fixture
def samples(reviews: Path) -> SampleSet:
    return texts(reviews)


def test_texts_are_replaced_and_written_down(samples: SampleSet) -> None:
    damaged = lorem_ipsum(samples, rate=0.25, seed=3)
    before, after = samples.table, damaged.table
    changed = (before["text"] != after["text"]).to_numpy()
    assert changed.sum() == 30
    assert (after["corrupted"].to_numpy() == changed).all()
    assert after.loc[changed, "corruption"].eq("lorem_ipsum").all()
    assert after["true_label"].equals(before["label"])
    assert after["true_content"].equals(before["content"])
    assert after["content"].tolist() == [content_key(text.encode()) for text in after["text"]]
    # Random labels: some fall on the old class, and those are corrupted too.
    same = (after["label"] == before["label"])[changed]
    assert 5 < same.sum() < 25
    words = [len(text.split()) for text in after.loc[changed, "text"]]
    assert words == [len(text.split()) for text in before.loc[changed, "text"]]


def test_texts_are_added_behind_the_others(samples: SampleSet) -> None:
    more = lorem_ipsum(samples, rate=0.1, seed=3, mode="add").table
    assert len(more) == 132
    assert more["text"].iloc[:120].tolist() == samples.table["text"].tolist()
    assert more["corrupted"].tolist() == [False] * 120 + [True] * 12
    assert more["position"].tolist() == [*range(120), *[-1] * 12]
    assert more["true_label"].iloc[120:].eq("").all()
    assert more["sample_id"].is_unique


@pytest.mark.parametrize("mode", ["replace", "add"])
def test_the_same_seed_damages_the_same(samples: SampleSet, mode: str) -> None:
    step = {"kind": "lorem_ipsum", "rate": 0.2, "seed": 7, "mode": mode}
    first = apply(samples, [step]).table
    pd.testing.assert_frame_equal(apply(samples, [step]).table, first)
    assert not apply(samples, [step | {"seed": 8}]).table["text"].equals(first["text"])


def test_flips_of_the_same_seed_fall_on_other_samples(samples: SampleSet) -> None:
    steps = [{"kind": kind, "rate": 0.2, "seed": 0} for kind in ("lorem_ipsum", "flip_labels")]
    done = apply(samples, steps).table["corruption"]
    both = done.str.contains("lorem_ipsum").sum() - (done == "lorem_ipsum").sum()
    assert both < 16  # 24 of each; by chance 5 meet
    assert (done == "flip_labels").sum() > 8


def test_pseudo_latin_has_bounds_and_no_two_alike() -> None:
    assert len(pseudo_latin(0, 0).split()) == SHORTEST
    assert len(pseudo_latin(10**6, 0).split()) == LONGEST
    assert len({pseudo_latin(30, seed) for seed in range(200)}) == 200
    assert pseudo_latin(30, 1).isascii()


def test_what_cannot_be_damaged(samples: SampleSet) -> None:
    with pytest.raises(InputError, match="for text datasets"):
        apply(digits(), [{"kind": "lorem_ipsum"}])
    with pytest.raises(InputError, match="mode 'mix'"):
        lorem_ipsum(samples, mode="mix")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="rate must lie between"):
        lorem_ipsum(samples, rate=1.5)


def test_a_run_is_paired_with_its_twin_and_keeps_the_texts_it_scored(tmp_path: Path, reviews: Path) -> None:
    store = RunStore(tmp_path / "cache")
    source, extractor = {"kind": "texts", "path": str(reviews)}, {"kind": "tfidf", "components": 8}
    clean, _ = compute(RunConfig(name="clean", source=source, extractor=extractor), store)
    runs = {}
    for mode in ("replace", "add"):
        steps = [{"kind": "lorem_ipsum", "rate": 0.1, "mode": mode}, {"kind": "flip_labels", "rate": 0.1}]
        config = RunConfig(name=mode, source=source, extractor=extractor, corruption=steps)
        runs[mode], _ = compute(config, store)
    for run in runs.values():
        assert run.provenance["dataset_fingerprint"] == clean.provenance["dataset_fingerprint"]
        assert run.provenance["extractor_key"] != clean.provenance["extractor_key"]
        scores, kept = run.scores(), run.texts()
        assert "text" not in scores
        assert kept is not None
        done = kept.loc[scores["sample_id"][scores["corruption"].str.contains("lorem_ipsum")]]
        assert len(done) == 12
        assert not done.str.contains("film").any()
        assert kept.loc[scores["sample_id"][~scores["corrupted"]]].str.contains("film|plot|the|was|and").all()
    assert len(runs["add"].scores()) == 132
