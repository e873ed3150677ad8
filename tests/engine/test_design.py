"""The design matrix: every kind of features, in memory or streamed, with a bias and without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from lsi_engine import score, score_model
from lsi_engine.inputs import check_features
from lsi_engine.numerics import design as module
from lsi_engine.numerics.design import Design, FeatureScaling

PLAIN = np.random.default_rng(0).normal(3.0, 2.0, size=(100, 4))
#: Beyond 2²⁴, where single precision has no odd numbers.
LARGE = 2**24 + np.random.default_rng(1).integers(0, 40, size=(100, 4))


def _mapped(values: NDArray, folder: Path) -> NDArray:
    np.save(folder / "features.npy", values)
    return np.load(folder / "features.npy", mmap_mode="r")


KINDS: dict[str, Callable[[Path], NDArray | torch.Tensor]] = {
    "float16": lambda folder: PLAIN.astype(np.float16),
    "float32": lambda folder: PLAIN.astype(np.float32),
    "float64": lambda folder: PLAIN,
    "mapped": lambda folder: _mapped(PLAIN.astype(np.float32), folder),
    "bfloat16 tensor": lambda folder: torch.as_tensor(PLAIN).to(torch.bfloat16),
    "float64 tensor": lambda folder: torch.as_tensor(PLAIN),
    "int16": lambda folder: PLAIN.astype(np.int16),
    "int32": lambda folder: LARGE.astype(np.int32),
    "int64": lambda folder: LARGE,
    "int64 tensor": lambda folder: torch.as_tensor(LARGE),
}


def _exact(features: NDArray | torch.Tensor) -> NDArray[np.float64]:
    return features.double().numpy() if isinstance(features, torch.Tensor) else np.asarray(features, dtype=np.float64)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("resident", [True, False], ids=["resident", "streamed"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_design_holds_the_scaled_features(
    kind: str, resident: bool, bias: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESIDENT_BYTES", 1 << 20 if resident else 0)
    features = KINDS[kind](tmp_path)
    scaling = FeatureScaling.standardize(features)
    exact = _exact(features)
    expected = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    expected = np.column_stack([expected, np.ones(len(expected))]) if bias else expected
    design = Design(features, scaling, bias=bias)
    assert design.columns == expected.shape[1]
    assert (design._resident is not None) == resident
    index = np.array([7, 3, 99])
    for dtype, rounding in ((torch.float32, 1e-6), (torch.float64, 1e-12 if design.double else 1e-6)):
        for part, rows in (
            (design.block(slice(5, 20), dtype), slice(5, 20)),
            (design.block(torch.as_tensor(index), dtype), index),
            (design.rows_at(index, dtype), index),
            (design.subset(index).block(slice(0, 3), dtype), index),
        ):
            assert part.dtype == dtype
            np.testing.assert_allclose(part, expected[rows], rtol=0, atol=4 * rounding)
    assert design.rms_row_norm() == pytest.approx(np.sqrt(np.square(expected).sum(axis=1).mean()), rel=1e-6)


@pytest.mark.parametrize("size", [2, 7, 200])
@pytest.mark.parametrize("index", [None, np.arange(9), np.array([8, 0, 5]), np.array([4])])
def test_a_selection_falls_into_blocks_that_cover_it_in_order(index: NDArray | None, size: int) -> None:
    features = PLAIN[:9]
    design = Design(features, FeatureScaling.identity(4), bias=False)
    selection = features if index is None else features[index]
    found = np.full_like(selection, np.nan)
    for part, rows in design.selected(index, size):
        block = design.block(rows, torch.float64)
        assert len(block) <= size
        found[part] = block
    np.testing.assert_array_equal(found, selection)


@pytest.mark.parametrize("form", [np.asarray, torch.as_tensor, pd.DataFrame, lambda values: values.tolist()])
def test_large_whole_numbers_are_scored_as_the_numbers_they_are(form: Callable[[NDArray], object]) -> None:
    labels = (LARGE.sum(axis=1) > np.median(LARGE.sum(axis=1))).astype(int)
    expected = score((LARGE - 2**24).astype(np.float64), labels, feature_scaling="standardize")
    found = score(form(LARGE), labels, feature_scaling="standardize")
    np.testing.assert_allclose(found.lsi, expected.lsi, rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("bool", "float32"), ("uint8", "float32"), ("int16", "float32"), ("int32", "float64"), ("int64", "float64")],
)
def test_whole_numbers_become_floats_that_hold_them(dtype: str, kept: str) -> None:
    values = np.array([[0, 1], [1, 0]], dtype=dtype)
    assert check_features(values).dtype == kept
    assert check_features(torch.as_tensor(values)).dtype == getattr(torch, kept)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_a_head_is_scored_alike_whether_its_features_stay_in_memory(bias: bool, monkeypatch) -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(4, 3, bias=bias).double()
    batches = [(torch.as_tensor(PLAIN), torch.arange(100) % 3)]
    resident = score_model(head, batches, weight_decay=0.1)
    monkeypatch.setattr(module, "RESIDENT_BYTES", 0)
    streamed = score_model(head, batches, weight_decay=0.1)
    np.testing.assert_allclose(streamed.lsi, resident.lsi, rtol=1e-10)
    assert streamed.weight.shape == (3, 4)
    assert (streamed.bias is None) != bias
