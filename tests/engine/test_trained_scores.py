"""Training methods through ``score``: seeds, chosen samples, given weights, epochs, and what is refused."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import psutil
import pytest
import torch_reference
from dense_reference import blobs
from scipy.stats import spearmanr, t
from torch.utils._python_dispatch import TorchDispatchMode

from lsi_engine import SCORE_COLUMNS, InputError, LsiWarning, score, score_pairs

PROBLEM = blobs(12, 50, 6, 3)
FAST = {"method": "retrain", "epochs": 40, "prior_precision": 1.0}
NAMES = np.array(["aorta", "bone", "cyst"])


def test_rows_are_the_samples_asked_for_in_their_order():
    expected = torch_reference.leave_one_out(
        PROBLEM.features,
        PROBLEM.labels,
        [6, 3],
        5,
        [31, 4],
        {"learning_rate": 0.04, "momentum": 0.9, "epochs": 40, "weight_decay": 0.01},
        "diag",
        1.0,
    )
    table = score(PROBLEM.features, NAMES[PROBLEM.labels], samples=[31, 4], precision="float64", **FAST)
    np.testing.assert_allclose(table.lsi, expected["mean_shift"] + expected["covariance"], rtol=1e-8)
    frame = table.to_frame()
    assert frame.index.tolist() == [31, 4]
    assert frame.index.name == "sample"
    assert list(frame.columns) == list(SCORE_COLUMNS)
    assert frame["leverage"].isna().all()
    given = expected["probabilities"][[0, 1], PROBLEM.labels[[31, 4]]]
    np.testing.assert_allclose(frame["loo_probability"], given, rtol=1e-9)
    json.dumps(table.info)
    assert table.info["left_out"] == 2
    assert table.info["samples"] == 50


def test_closed_form_of_some_samples_are_rows_of_all():
    everything = score(PROBLEM.features, PROBLEM.labels).to_frame()
    some = score(PROBLEM.features, PROBLEM.labels, samples=np.array([9, 3, 40])).to_frame()
    pd.testing.assert_frame_equal(some, everything.loc[[9, 3, 40]])


def test_seeds_give_means_intervals_and_reliability():
    table = score(PROBLEM.features, PROBLEM.labels, seeds=3, **FAST)
    singles = [score(PROBLEM.features, PROBLEM.labels, seeds=[seed], **FAST) for seed in (5, 6, 7)]
    lsi = np.stack([single.lsi for single in singles])
    np.testing.assert_allclose(table.seed_scores.lsi, lsi, rtol=1e-6)
    np.testing.assert_allclose(table.lsi, lsi.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(table.probabilities, np.mean([s.probabilities for s in singles], axis=0), rtol=1e-6)
    frame = table.to_frame()
    assert list(frame.columns) == [*SCORE_COLUMNS, "lsi_low", "lsi_high"]
    half = t.ppf(0.975, 2) * lsi.std(axis=0, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(frame["lsi_high"], lsi.mean(axis=0) + half, rtol=1e-5)
    np.testing.assert_allclose(frame["lsi_low"], np.maximum(lsi.mean(axis=0) - half, 0), rtol=1e-4, atol=1e-9)
    assert table.info["seeds"] == [5, 6, 7]
    agreement = table.info["seed_spearman"]
    pairs = [spearmanr(lsi[a], lsi[b]).statistic for a, b in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(agreement["pairs"], pairs, atol=1e-6)
    assert agreement["mean"] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert agreement["lowest"] == pytest.approx(min(pairs), abs=1e-6)
    assert list(singles[0].to_frame().columns) == list(SCORE_COLUMNS)


def test_scores_that_depend_on_the_seed_carry_a_warning():
    with pytest.warns(LsiWarning, match="agrees from seed to seed only at Spearman"):
        table = score(PROBLEM.features, PROBLEM.labels, seeds=2, probe=4, samples=range(20), **(FAST | {"epochs": 15}))
    assert table.info["seed_spearman"]["mean"] < 0.9
    assert any("seed to seed" in note for note in table.info["warnings"])


def test_epochs_in_one_pass():
    table = score(PROBLEM.features, PROBLEM.labels, score_epochs=[5, 20], **FAST)
    assert table.info["score_epochs"] == [5, 20, 40]
    assert table.seed_scores.lsi_by_epoch.shape == (3, 50)
    np.testing.assert_allclose(table.seed_scores.lsi_by_epoch[-1], table.lsi, rtol=1e-12)
    early = score(PROBLEM.features, PROBLEM.labels, **(FAST | {"epochs": 5}))
    np.testing.assert_allclose(table.seed_scores.lsi_by_epoch[0], early.lsi, rtol=1e-6)
    assert table.info["epoch_spearman"][-1] == pytest.approx(1.0)
    assert table.info["epoch_spearman"][0] < table.info["epoch_spearman"][1]


def test_given_initial_weights():
    generator = np.random.default_rng(0)
    weights = (generator.normal(size=(3, 6)), generator.normal(size=3))
    first = score(PROBLEM.features, PROBLEM.labels, initial_weights=weights, **FAST)
    again = score(PROBLEM.features, PROBLEM.labels, initial_weights=weights, seeds=[99], **FAST)
    np.testing.assert_array_equal(first.lsi, again.lsi)
    assert first.info["initial_weights"] == "given"
    assert not np.allclose(first.lsi, score(PROBLEM.features, PROBLEM.labels, **FAST).lsi, rtol=0.01)
    deep = (*(generator.normal(size=s) for s in ((4, 6), (4,), (3, 4), (3,))),)
    table = score(PROBLEM.features, PROBLEM.labels, initial_weights=deep, probe=4, samples=[0], **FAST)
    assert [layer.shape for layer in table.layers] == [(4, 7), (3, 5)]
    assert table.weight.shape == (3, 4)


def test_standardised_features_reach_the_training():
    wide = PROBLEM.features * np.logspace(-1, 1, 6)
    asked = score(wide, PROBLEM.labels, feature_scaling="standardize", **FAST)
    by_hand = score((wide - wide.mean(axis=0)) / wide.std(axis=0), PROBLEM.labels, **FAST)
    np.testing.assert_allclose(asked.lsi, by_hand.lsi, rtol=1e-4)


def test_long_training_of_a_convex_probe_ends_at_the_closed_form():
    problem = blobs(0, 300, 4, 3)
    truth = score(problem.features, problem.labels, method="retrain", epochs=500, learning_rate=0.3, weight_decay=0.03)
    table = score(problem.features, problem.labels, weight_decay=0.03)
    assert truth.info["gradient_norm"] < 1e-12
    assert spearmanr(table.lsi, truth.lsi).statistic > 0.9999
    assert np.median(np.abs(table.lsi / truth.lsi - 1)) < 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": [0, 50]}, "samples names row 50, but the rows are 0 to 49"),
        ({"samples": [-1]}, "samples names row -1"),
        ({"samples": [3, 4, 3]}, "samples names row 3 twice"),
        ({"samples": []}, "a list of row numbers, or a mask of all rows, with at least one row"),
        ({"samples": [0.5]}, "a list of row numbers"),
        ({"seeds": 0}, r"seeds \[\]: at least one"),
        ({"seeds": [1, 1]}, r"seeds \[1, 1\]"),
        ({"score_epochs": [41]}, "score_epochs names epoch 41, but training has epochs 1 to 40"),
        ({"initial_weights": (np.zeros((3, 5)), np.zeros(3))}, r"this probe needs \[\(3, 6\), \(3,\)\]"),
        ({"initial_weights": (np.full((3, 6), np.nan), np.zeros(3))}, "initial_weights hold NaN"),
        ({"initial_weights": (np.zeros((3, 6)), np.zeros(3)), "seeds": 2}, "every seed starts alike"),
        ({"probe": 0}, "probe 0 is neither 'linear' nor the width"),
        ({"probe": "wide"}, "probe 'wide' is neither"),
        ({"probe": 2.5}, "probe 2.5 is neither"),
        ({"loo_prior": "fixed"}, "loo_prior can only be 'rescaled'"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"momentum": 1.5}, "momentum is 1.5"),
        ({"epochs": 0}, "epochs is 0"),
        ({"method": "closed_form", "seeds": 2}, "depends on no seed"),
        ({"method": "closed_form", "probe": 8}, "a probe with a hidden layer has no closed_form"),
    ],
)
def test_unusable_training_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        score(PROBLEM.features, PROBLEM.labels, **(FAST | settings))


@pytest.mark.parametrize("method", ["retrain", "trajectory"])
def test_what_cannot_fit_is_refused_with_its_size(monkeypatch, method):
    class Memory:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory)
    with pytest.raises(InputError, match=r"50 models of 21 weights on 50 × 7 features: about .* GiB are needed"):
        score(PROBLEM.features, PROBLEM.labels, **(FAST | {"method": method}))


def test_closed_form_names_the_method_for_a_training_that_stops_short():
    problem = blobs(6, 80, 5, 3)
    with pytest.warns(LsiWarning, match=r"stop at gradient norm .* method='trajectory'"):
        table = score(problem.features, problem.labels, weight_decay=1e-4, learning_rate=0.004, epochs=30)
    assert table.info["trained_gradient_norm"] > table.info["gradient_norm"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(problem.features, problem.labels, weight_decay=0.1, learning_rate=0.3, epochs=2000)


class _Counted(TorchDispatchMode):
    """Counts the operations within whose name begins with ``name``."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.calls = name, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += func.name().startswith(self.name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("factorisation", "settings"),
    [
        ("aten::linalg_cholesky", {"hessian": "full"}),
        ("aten::linalg_cholesky", {"hessian": "full", "probe": 3}),
        ("aten::_linalg_eigh", {"hessian": "kron"}),
    ],
)
def test_the_posterior_of_all_samples_is_factorised_once(factorisation, settings, monkeypatch):
    monkeypatch.setattr("lsi_engine.training.batches.linear.CPU_ELEMENTS", 1)  # blocks of one model
    settings = {"method": "retrain", "epochs": 2, "precision": "float64", **settings}

    def factorisations(samples: int) -> int:
        with _Counted(factorisation) as counted:
            score(PROBLEM.features, PROBLEM.labels, samples=range(samples), **settings)
        return counted.calls

    assert factorisations(9) == factorisations(3)


def test_the_posterior_of_all_pairs_is_factorised_once():
    features = np.random.default_rng(0).normal(size=(2, 12, 3))

    def factorisations(samples: int) -> int:
        with _Counted("aten::linalg_cholesky") as counted:
            score_pairs(*features, hessian="full", dimension=2, epochs=2, samples=range(samples))
        return counted.calls

    assert factorisations(9) == factorisations(3)
