"""Fewer samples than features: the span of the samples gives the numbers of the whole space."""

from __future__ import annotations

import numpy as np
import pytest

from lsi_engine import score
from lsi_engine.training import row_space as module


def wide(seed: int, samples: int = 40, dimension: int = 90, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    x = random.normal(size=(classes, dimension))[labels] + random.normal(size=(samples, dimension))
    return x, labels


@pytest.mark.parametrize("hessian", ["diag", "kron", "full"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"loo_prior": "fixed"}, {"prior_precision": 3.0}, {"feature_scaling": "standardize"}, {"weight_decay": 1.0}],
    ids=lambda settings: "-".join(map(str, settings.values())) or "usual",
)
def test_every_structure_and_prior_agrees_with_the_whole_space(
    monkeypatch: pytest.MonkeyPatch, hessian: str, settings: dict[str, object]
) -> None:
    x, y = wide(0)
    within = score(x, y, hessian=hessian, tolerance=1e-13, **settings)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "SHARE", 0.0)
    whole = score(x, y, hessian=hessian, tolerance=1e-13, **settings)  # type: ignore[arg-type]
    for name in ("lsi_mean_shift", "lsi_covariance", "leverage", "probabilities"):
        np.testing.assert_allclose(getattr(within, name), getattr(whole, name), rtol=2e-8, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(within.weight, whole.weight, atol=1e-9)
    np.testing.assert_allclose(within.bias, whole.bias, atol=1e-9)


@pytest.mark.parametrize("hessian", ["diag", "full"])
def test_samples_that_span_less_than_they_are_many(monkeypatch: pytest.MonkeyPatch, hessian: str) -> None:
    """Copies, a constant column and columns a million times larger than others: the span is found to rounding."""
    x, y = wide(1)
    x[:10], y[:10] = x[10:20], y[10:20]
    x[:, 3] = 2.0
    x[:, 5:9] *= 1e6
    within = score(x, y, hessian=hessian, feature_scaling="standardize", tolerance=1e-13)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "SHARE", 0.0)
    whole = score(x, y, hessian=hessian, feature_scaling="standardize", tolerance=1e-13)  # type: ignore[arg-type]
    np.testing.assert_allclose(within.lsi, whole.lsi, rtol=2e-8)


def test_rows_and_initial_weights_keep_their_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = wide(2)
    start = (np.random.default_rng(0).normal(size=(4, 90)), np.zeros(4))
    some = score(x, y, samples=[7, 3], initial_weights=start, tolerance=1e-13)
    every = score(x, y, tolerance=1e-13)
    np.testing.assert_allclose(some.lsi, every.lsi[[7, 3]], rtol=1e-7)
