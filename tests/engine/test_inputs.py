"""What ``score`` accepts, and what it says when it cannot."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from dense_reference import blobs

from lsi_engine import SCORE_COLUMNS, InputError, LsiWarning, score
from lsi_engine.inputs import encode_labels
from lsi_engine.scores import score as module

PROBLEM = blobs(9, 60, 5, 3)


@pytest.fixture(scope="module")
def expected():
    return score(PROBLEM.features, PROBLEM.labels)


def test_memory_mapped_float16_features(tmp_path):
    half = PROBLEM.features.astype(np.float16)
    np.save(tmp_path / "features.npy", half)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r", allow_pickle=False)
    from_map = score(mapped, PROBLEM.labels)
    np.testing.assert_allclose(from_map.lsi, score(half.astype(np.float32), PROBLEM.labels).lsi, rtol=1e-12)


@pytest.mark.parametrize(
    "features",
    [
        torch.from_numpy(PROBLEM.features),
        torch.from_numpy(PROBLEM.features).requires_grad_(),
        pd.DataFrame(PROBLEM.features, columns=list("abcde")),
        PROBLEM.features.tolist(),
        np.asfortranarray(PROBLEM.features),
        PROBLEM.features[::-1][::-1],
    ],
    ids=["tensor", "tensor with gradient", "frame", "lists", "column order", "negative strides"],
)
def test_features_of_any_kind_score_the_same(features, expected):
    np.testing.assert_allclose(score(features, PROBLEM.labels).lsi, expected.lsi, rtol=1e-12)


def test_integer_and_boolean_features_are_numbers():
    table = score((PROBLEM.features > 0), PROBLEM.labels)
    np.testing.assert_allclose(table.lsi, score((PROBLEM.features > 0).astype(np.uint8), PROBLEM.labels).lsi)
    np.testing.assert_allclose(
        table.lsi, score(torch.from_numpy(PROBLEM.features > 0).to(torch.int32), PROBLEM.labels).lsi
    )


NAMES = np.array(["aorta", "bone", "cyst"])


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (NAMES[PROBLEM.labels], ["aorta", "bone", "cyst"]),
        (NAMES[PROBLEM.labels].tolist(), ["aorta", "bone", "cyst"]),
        (pd.Series(NAMES[PROBLEM.labels], index=range(100, 160)), ["aorta", "bone", "cyst"]),
        (pd.Series(NAMES[PROBLEM.labels], dtype="category"), ["aorta", "bone", "cyst"]),
        (pd.Categorical(NAMES[PROBLEM.labels], categories=["cyst", "bone", "aorta", "never"]), NAMES.tolist()),
        (pd.Series(PROBLEM.labels * 10 - 10, dtype="Int64"), [-10, 0, 10]),
        (PROBLEM.labels * 7 + 3, [3, 10, 17]),
        (PROBLEM.labels.astype(np.float32), [0, 1, 2]),
        (torch.from_numpy(PROBLEM.labels), [0, 1, 2]),
        (PROBLEM.labels.astype(np.uint8), [0, 1, 2]),
        (NAMES[PROBLEM.labels].astype(object), ["aorta", "bone", "cyst"]),
    ],
    ids=[
        "strings", "list", "series", "category", "unused category", "nullable", "gaps", "floats", "tensor", "uint8",
        "objects",
    ],
)  # fmt: skip
def test_labels_of_any_kind_score_the_same(labels, classes, expected):
    table = score(PROBLEM.features, labels)
    assert table.classes == classes
    assert [type(c) for c in table.classes] == [type(c) for c in classes]
    np.testing.assert_array_equal(table.codes, PROBLEM.labels)
    np.testing.assert_allclose(table.lsi, expected.lsi, rtol=1e-12)
    frame = table.to_frame()
    assert list(frame.columns) == list(SCORE_COLUMNS)
    assert frame["loo_predicted_label"].isin(classes).all()
    disagrees = frame["loo_predicted_label"].to_numpy() != np.asarray(classes)[PROBLEM.labels]
    np.testing.assert_array_equal(frame["suggested_label"].notna(), disagrees)
    assert 0 < disagrees.sum() < 30


def test_boolean_labels():
    frame = score(PROBLEM.features, PROBLEM.labels == 1).to_frame()
    assert set(frame["loo_predicted_label"]) == {True, False}
    disagrees = frame["loo_predicted_label"].to_numpy() != (PROBLEM.labels == 1)
    np.testing.assert_array_equal(frame["suggested_label"].notna(), disagrees)


def _with(value: float, row: int) -> np.ndarray:
    features = PROBLEM.features.copy()
    features[row, 2] = value
    return features


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (_with(np.nan, 17), "features row 17 holds NaN or infinity"),
        (_with(-np.inf, 0), "features row 0 holds NaN or infinity"),
        (torch.from_numpy(_with(np.nan, 59)), "features row 59 holds NaN"),
        (PROBLEM.features[:, 0], r"shape \(samples, dimensions\), not \(60,\)"),
        (PROBLEM.features[None], r"not \(1, 60, 5\)"),
        (PROBLEM.features[:1], "at least 2 samples"),
        (PROBLEM.features[:, :0], "at least 2 samples and 1 dimension"),
        (np.full((60, 2), "a"), "features must be numbers"),
        (np.full((60, 2), 1j), "features must be numbers"),
    ],
)
def test_unusable_features_are_named(features, message):
    with pytest.raises(InputError, match=message):
        score(features, PROBLEM.labels)


def test_nan_far_into_a_long_table_is_named():
    features = np.zeros((5000, 2), dtype=np.float32)
    features[4321, 1] = np.nan
    with pytest.raises(InputError, match="row 4321"):
        score(features, np.arange(5000) % 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (PROBLEM.labels[:-1], "60 feature rows but 59 labels"),
        (np.where(np.arange(60) == 8, 1.5, PROBLEM.labels), "label of row 8 is 1.5"),
        (np.where(np.arange(60) == 8, np.nan, PROBLEM.labels), "label of row 8 is missing"),
        ([None if i == 3 else "x" for i in range(60)], "label of row 3 is missing"),
        (np.zeros(60), "all 60 labels are 0"),
        (["only"] * 60, "all 60 labels are 'only'"),
        (np.where(np.arange(60) == 8, np.inf, PROBLEM.labels), "label of row 8 is inf"),
        (np.stack([PROBLEM.labels, PROBLEM.labels], axis=1), "one label a sample"),
    ],
)
def test_unusable_labels_are_named(labels, message):
    with pytest.raises(InputError, match=message):
        score(PROBLEM.features, labels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "guess"}, "method 'guess' is not one of"),
        ({"hessian": "kernel"}, "hessian 'kernel' is not one of: diag, kron, full, auto"),
        ({"feature_scaling": "minmax"}, "feature_scaling 'minmax' is not one of: none, standardize"),
        ({"loo_prior": "none"}, "loo_prior 'none' is not one of: rescaled, fixed"),
        ({"weight_decay": 0.0}, "weight_decay is 0.0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"weight_decay": float("nan")}, "weight_decay is nan"),
        ({"prior_precision": 0.0}, "prior_precision is 0.0"),
        ({"prior_precision": float("inf")}, "prior_precision is inf"),
        ({"precision": "half"}, "precision 'half' is not one of"),
    ],
)
def test_unusable_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        score(PROBLEM.features, PROBLEM.labels, **settings)


def test_a_class_of_one_sample_is_scored_with_a_warning():
    labels = PROBLEM.labels.copy()
    labels[30] = 99
    with pytest.warns(LsiWarning, match=r"single sample \(99\)"):
        table = score(PROBLEM.features, labels)
    assert np.isfinite(table.lsi).all()
    assert len(table.info["warnings"]) == 1


def test_nothing_to_warn_of_warns_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(PROBLEM.features, PROBLEM.labels).info["warnings"] == []


def test_a_hessian_that_cannot_fit_is_refused_with_its_size(monkeypatch):
    class Memory:
        available = total = 1000

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory)
    with pytest.raises(InputError, match=r"12 × 12 entries .* GiB are needed"):
        score(PROBLEM.features, PROBLEM.labels)


def test_settings_and_convergence_are_recorded(expected):
    info = expected.info
    assert info["samples"] == 60
    assert info["dimension"] == 5
    assert info["classes"] == 3
    assert info["gradient_norm"] < 1e-8
    assert info["prior_precision"] == pytest.approx(0.6)
    assert set(info["seconds"]) == {"scaling", "fit", "scores"}
    assert module.describe(info).startswith("60 samples · 3 classes · closed form, diag · |g| ")


def test_encode_labels_returns_plain_python_types():
    codes, classes = encode_labels(np.array([3, 1, 3], dtype=np.int16), 3)
    assert codes.dtype == np.int64
    assert codes.tolist() == [1, 0, 1]
    assert classes == [1, 3]
    assert all(type(c) is int for c in classes)
