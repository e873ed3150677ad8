"""The words behind a label: the contrast is the run's own probe, its parts add up, occlusion leaves parts out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.runs import sources
from lsi_engine.runs.artefacts.word_evidence import (
    MOST_PARTS,
    Contrast,
    contrast,
    extractor_of,
    parts_of,
    word_evidence,
)
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import Run, RunStore


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(cache: Path) -> Run:
    config = RunConfig(name="demo", source={"kind": "demo_texts"}, extractor={"kind": "tfidf", "components": 60})
    return compute(config, RunStore(cache))[0]


def test_the_contrast_is_the_trained_probe(run: Run, cache: Path) -> None:
    """At the optimum the mean cross-entropy's gradient, from probabilities made of contrasts, is −wd·θ."""
    features = np.asarray(sources.features_of(run, cache), dtype=np.float64)
    probe = safetensors.numpy.load_file(run.path / "probe.safetensors")
    logits = np.stack([contrast(run, name, run.classes[0])(features) for name in run.classes], axis=1)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = pd.get_dummies(run.scores()["label"]).reindex(columns=run.classes).to_numpy(dtype=float)
    scaled = (features - probe["feature_mean"]) / probe["feature_scale"]
    gradient = (probabilities - given).T @ scaled / len(features) + run.config.weight_decay * probe["weight"]
    assert np.abs(gradient).max() < 1e-5


def test_tfidf_parts_are_exact(run: Run, cache: Path) -> None:
    extractor, difference = extractor_of(run, cache), contrast(run, "billing", "delivery")
    texts = run.texts()
    assert texts is not None
    for text in [*texts.iloc[:5], "Unheard of: ÄÖÜ", "the THE the parcel"]:
        evidence = word_evidence(text, difference, extractor)
        assert evidence.method == "linear"
        assert evidence.difference == pytest.approx(float(difference(extractor.forward([text]))[0]), abs=1e-5)
        pushes = sum(part.push for part in evidence.parts)
        assert pushes + evidence.offset == pytest.approx(evidence.difference, abs=1e-9)
        assert all(text[part.start : part.end].strip() for part in evidence.parts)
    words = {
        text[part.start : part.end].lower(): part.push for part in word_evidence(text, difference, extractor).parts
    }
    assert words["parcel"] < 0


class Lengths:
    """A text's features: how often it says good and bad."""

    key, dimension = "lengths", 2

    def prepare(self, sample: str) -> str:
        return sample

    def forward(self, batch: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[text.count("good"), text.count("bad")] for text in batch], dtype=np.float32)


def test_occlusion_is_what_leaving_out_changes() -> None:
    difference = Contrast("pos", "neg", np.array([2.0, -3.0]), 0.5)
    evidence = word_evidence("good film, bad end good", difference, Lengths())
    assert evidence.method == "occlusion"
    pushes = {evidence.parts[at].start: evidence.parts[at].push for at in range(5)}
    assert pushes == {0: 2.0, 5: 0.0, 11: -3.0, 15: 0.0, 19: 2.0}
    assert evidence.difference == pytest.approx(2 * 2 - 3 + 0.5)


def test_long_texts_are_cut_into_sentences() -> None:
    text = " ".join(f"Sentence {number} is bad." for number in range(30)) + " One good sentence."
    evidence = word_evidence(text, Contrast("pos", "neg", np.array([1.0, -1.0]), 0.0), Lengths())
    shown = [text[part.start : part.end].strip() for part in evidence.parts]
    assert shown[-1] == "One good sentence."
    assert [part.push for part in evidence.parts] == [-1.0] * 30 + [1.0]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab .\n!é。", max_size=4000))
def test_parts_are_few_in_order_and_do_not_overlap(text: str) -> None:
    spans = parts_of(text)
    assert len(spans) <= MOST_PARTS
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


def test_runs_that_have_no_words_to_weigh(run: Run, cache: Path) -> None:
    with pytest.raises(InputError, match="no class 'weather'"):
        contrast(run, "billing", "weather")
    digits, _ = compute(RunConfig(name="digits", source={"kind": "digits"}), RunStore(cache))
    with pytest.raises(InputError, match="holds no texts"):
        extractor_of(digits, cache)
