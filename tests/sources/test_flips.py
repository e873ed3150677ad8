"""Label flips: the exact number, never to the same class, always the same ones, and the truth is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsi_engine.errors import InputError
from lsi_engine.samples import SampleSet, digits
from lsi_engine.samples.corruption import apply, flip_labels


def labelled(labels: list[str]) -> SampleSet:
    ids = [f"s{row}" for row in range(len(labels))]
    table = pd.DataFrame({"sample_id": ids, "label": labels, "name": ids}, dtype="str")
    return SampleSet("test", "features", table, {"kind": "test"})


label_lists = st.lists(st.sampled_from(["b", "a", "ü", "10", "9"]), min_size=2, max_size=60).filter(
    lambda labels: len(set(labels)) > 1
)


@settings(deadline=None)
@given(label_lists, st.floats(0, 1), st.integers(0, 2**32))
def test_exactly_the_stated_share_is_flipped_to_another_class(labels: list[str], rate: float, seed: int) -> None:
    flipped = flip_labels(labelled(labels), rate, seed).table
    assert flipped["corrupted"].sum() == round(rate * len(labels))
    assert flipped["true_label"].tolist() == labels
    assert ((flipped["label"] != flipped["true_label"]) == flipped["corrupted"]).all()
    assert set(flipped["label"]) <= set(labels)
    assert (flipped["corrupted"].dtype, str(flipped["label"].dtype)) == (bool, "str")
    assert flip_labels(labelled(labels), rate, seed).table.equals(flipped)


def test_every_other_class_is_equally_likely() -> None:
    flipped = flip_labels(labelled(["a", "b", "c", "d"] * 5000), 1.0, seed=3).table
    counts = pd.crosstab(flipped["true_label"], flipped["label"]).to_numpy()
    assert (np.diag(counts) == 0).all()
    others = counts[~np.eye(4, dtype=bool)]
    assert (np.abs(others - 5000 / 3) < 5 * np.sqrt(5000 * 2 / 9)).all()  # five standard deviations


def test_the_source_is_untouched_and_seeds_differ() -> None:
    clean = digits()
    before = clean.table.copy()
    first, second = (flip_labels(clean, 0.1, seed).table for seed in (0, 1))
    assert clean.table.equals(before)
    assert first["corrupted"].sum() == second["corrupted"].sum() == 180
    assert not first["corrupted"].equals(second["corrupted"])


FLIPPING = """
import pandas as pd
from lsi_engine.samples.corruption import flip_labels
from lsi_engine.samples.sample_set import SampleSet
ids = [f"s{row}" for row in range(500)]
labels = [f"class {row * row % 7}" for row in range(500)]
table = pd.DataFrame({"sample_id": ids, "label": labels, "name": ids}, dtype="str")
print(",".join(flip_labels(SampleSet("test", "features", table, {}), 0.3, 5).table["label"]))
"""


def test_flips_do_not_depend_on_hash_randomisation() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FLIPPING],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    printed = [process.communicate()[0].strip() for process in processes]
    assert printed[0] == printed[1]
    assert len(printed[0].split(",")) == 500


def test_a_second_corruption_keeps_the_first_truth() -> None:
    steps = [{"kind": "flip_labels", "rate": 0.5, "seed": seed} for seed in (0, 1)]
    clean = labelled(["a", "b"] * 50)
    twice = apply(clean, steps).table
    assert twice["true_label"].equals(clean.table["label"].rename("true_label"))
    assert (twice["corrupted"] == (twice["label"] != twice["true_label"])).all()
    assert 0 < twice["corrupted"].sum() < 100
    assert apply(clean, []) is clean


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"kind": "flip", "rate": 0.1}, "no corruption 'flip'; known: .*flip_labels"),
        ({"rate": 0.1}, "no corruption None"),
        ({"kind": "flip_labels"}, "missing a required argument: 'rate'"),
        ({"kind": "flip_labels", "rate": 0.1, "share": 2}, "unexpected keyword argument 'share'"),
        ({"kind": "flip_labels", "rate": 1.5}, "between 0 and 1, not 1.5"),
        ({"kind": "flip_labels", "rate": float("nan")}, "not nan"),
        ({"kind": "flip_labels", "rate": "lots"}, "not 'lots'"),
        ({"kind": "flip_labels", "rate": 0.1, "seed": -1}, "not -1"),
        ({"kind": "flip_labels", "rate": 0.1, "seed": True}, "not True"),
    ],
)
def test_settings_that_cannot_be_used(step: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply(labelled(["a", "b"]), [step])


def test_one_class_cannot_be_flipped() -> None:
    with pytest.raises(InputError, match="at least two classes"):
        flip_labels(labelled(["a", "a"]), 0.5)
