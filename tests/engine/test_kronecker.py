"""The Kronecker-factored posterior against dense matrices, and the choice of structure."""

from __future__ import annotations

from functools import partial

import numpy as np
import psutil
import pytest
import torch
from dense_reference import blobs, fast_curvature, kl, optimum, sample_curvature, softmax
from exact_refits import Refits
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from lsi_engine import InputError, score
from lsi_engine.curvature.kronecker import KroneckerCurvature
from lsi_engine.losses.softmax import contrasts
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.scores import structure
from lsi_engine.scores.lsi import closed_form
from lsi_engine.scores.lsi.closed_form import leave_one_out
from lsi_engine.scores.lsi.many_classes import leave_one_out_class_blocks
from lsi_engine.scores.problem import Problem
from lsi_engine.training.newton import fit_linear_probe

SHAPES = [(60, 4, 2), (90, 6, 3), (80, 5, 7), (30, 12, 3)]


def _basis(classes: int) -> torch.Tensor:
    return contrasts(classes, dtype=torch.float64, device=torch.device("cpu"))


def _dense_basis(problem, theta):
    """Columns U ⊗ V in the contrasts, by NumPy, and the lift from contrasts to classes."""
    q = _basis(problem.classes).numpy()
    x, p = problem.design, softmax(problem.design @ theta.T)
    factor = q.T @ sum(np.diag(row) - np.outer(row, row) for row in p) @ q
    return q, np.kron(np.linalg.eigh(factor)[1], np.linalg.eigh(x.T @ x)[1])


def _dense_parts(problem, theta, shift_hessian, eigenbasis, q, wd, delta):
    """Textbook divergences, one sample at a time; the shift is a Newton step with ``shift_hessian`` (no prior)."""
    columns = problem.design.shape[1]
    lift = np.kron(q, np.eye(columns))
    everything = lift.T @ fast_curvature(theta, problem.design) @ lift
    eigenvalues = np.diag(eigenbasis.T @ everything @ eigenbasis)
    precision = eigenbasis @ np.diag(eigenvalues + delta) @ eigenbasis.T
    samples = len(problem.labels)
    parts = []
    for i, row in enumerate(problem.design):
        own = lift.T @ sample_curvature(theta, row) @ lift
        residual = softmax(row[None] @ theta.T)[0] - np.eye(problem.classes)[problem.labels[i]]
        gradient = lift.T @ (np.outer(residual, row).ravel() + wd * theta.ravel())
        reduced = shift_hessian - own + (samples - 1) * wd * np.eye(len(own))
        step = np.linalg.solve(reduced, gradient)
        without = eigenbasis @ np.diag(eigenvalues - np.diag(eigenbasis.T @ own @ eigenbasis) + delta) @ eigenbasis.T
        parts.append(kl(np.zeros_like(step), precision, step, without))
    return np.array(parts).T


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("prior_precision", ["weight_decay", 1.0])
def test_what_the_sample_alone_takes_equals_dense_matrices(monkeypatch, shape, prior_precision):
    """With the other samples' curvature kept at θ, as on large data."""
    _keep_the_others(monkeypatch)
    problem, wd = blobs(sum(shape), *shape), 0.02
    theta = optimum(problem.design, problem.labels, problem.classes, shape[0] * wd)
    delta = shape[0] * wd if prior_precision == "weight_decay" else prior_precision
    q, eigenbasis = _dense_basis(problem, theta)
    lift = np.kron(q, np.eye(problem.design.shape[1]))
    hessian = lift.T @ fast_curvature(theta, problem.design) @ lift
    mean_shift, covariance = _dense_parts(problem, theta, hessian, eigenbasis, q, wd, delta)
    table = score(
        problem.features,
        problem.labels,
        weight_decay=wd,
        hessian="kron",
        prior_precision=prior_precision,
        tolerance=1e-12,
    )
    np.testing.assert_allclose(table.lsi_mean_shift, mean_shift, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(table.lsi_covariance, covariance, rtol=1e-7, atol=3e-12)
    assert table.info["hessian"] == "kron"
    assert table.info["shift"] == "full"


@pytest.mark.parametrize(("loo_prior", "prior_precision"), [("rescaled", None), ("fixed", None), ("rescaled", 5.0)])
@pytest.mark.parametrize("name", ["iris", "wine", "breast cancer"])
def test_both_parts_against_refits_of_every_optimum(name, loo_prior, prior_precision):
    """The reference is plain NumPy and makes no approximation; tolerances are twice what was measured."""
    x, y = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer}[name](return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    rows = np.linspace(0, len(x) - 1, 25).round().astype(int)
    refits = Refits(x, y, 0.01, loo_prior=loo_prior, prior_precision=prior_precision)
    exact = [refits.leave_out(int(row), ("kron",)).parts["kron"] for row in rows]
    delta = prior_precision or "weight_decay"
    table = score(x, y, hessian="kron", loo_prior=loo_prior, prior_precision=delta, samples=rows)
    for part in ("mean_shift", "covariance"):
        truth = np.array([getattr(each, part) for each in exact])
        off = np.abs(getattr(table, f"lsi_{part}") / truth - 1)
        assert np.median(off) < 0.015, part
        assert off.max() < 0.15, part
        assert spearmanr(getattr(table, f"lsi_{part}"), truth).statistic > 0.995, part


def _keep_the_others(monkeypatch):
    monkeypatch.setattr(closed_form, "FOLLOW", 0.0)
    monkeypatch.setattr(closed_form, "FOLLOW_WORK", 0.0)


def test_a_fixed_prior_leaves_the_penalty_alone(monkeypatch):
    _keep_the_others(monkeypatch)
    problem = blobs(3, 70, 5, 3)
    stated = Problem.from_data(
        problem.features, problem.labels, weight_decay=0.05, prior_precision=2.0, feature_scaling="none"
    )
    fitted = fit_linear_probe(stated.objective)
    for one in (partial(leave_one_out_class_blocks, structure="kron"), partial(leave_one_out, hessian="kron")):
        rescaled = one(stated.objective, fitted, prior_precision=2.0)
        fixed = one(stated.objective, fitted, prior_precision=2.0, loo_prior="fixed")
        assert float((rescaled.mean_shift - fixed.mean_shift).abs().max()) > 1e-8
        torch.testing.assert_close(rescaled.covariance, fixed.covariance)


def test_eigenvalues_are_the_curvatures_own_diagonal():
    """Whatever the basis, the corrected eigenvalues sum to the trace of the curvature."""
    problem = blobs(8, 50, 4, 3)
    theta = optimum(problem.design, problem.labels, 3, 1.0)
    p = torch.from_numpy(softmax(problem.design @ theta.T))
    found = KroneckerCurvature(Design(problem.features, FeatureScaling.identity(4)), p, _basis(3))
    np.testing.assert_allclose(float(found.data.sum()), np.trace(fast_curvature(theta, problem.design)), rtol=1e-10)
    weights = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turned = found.coordinates(weights)
    torch.testing.assert_close(turned.square().sum(), weights.square().sum())


def test_retraining_under_the_kronecker_posterior_agrees_with_the_closed_form():
    problem = blobs(21, 80, 4, 3)
    shared = {"weight_decay": 0.05, "hessian": "kron", "prior_precision": 2.0}
    closed = score(problem.features, problem.labels, **shared)
    trained = score(
        problem.features,
        problem.labels,
        method="retrain",
        learning_rate=0.3,
        epochs=1500,
        precision="float64",
        **shared,
    )
    assert spearmanr(closed.lsi, trained.lsi).statistic > 0.998
    assert np.median(np.abs(closed.lsi / trained.lsi - 1)) < 0.05


def test_kron_and_auto_are_refused_where_they_have_no_meaning():
    problem = blobs(1, 30, 3, 2)
    with pytest.raises(InputError, match="linear probes"):
        score(problem.features, problem.labels, hessian="kron", method="retrain", probe=4, epochs=5)
    for method in ("retrain", "trajectory"):
        with pytest.raises(InputError, match="needs one by name"):
            score(problem.features, problem.labels, hessian="auto", method=method, epochs=5)


def test_auto_is_full_where_that_fits_and_says_so():
    problem = blobs(2, 60, 4, 3)
    auto = score(problem.features, problem.labels, hessian="auto")
    np.testing.assert_array_equal(auto.lsi, score(problem.features, problem.labels, hessian="full").lsi)
    assert auto.info["hessian"] == "full"
    assert "10 × 10 entries" in auto.info["hessian_reason"]


def test_auto_turns_to_class_blocks_where_full_does_not_fit_and_full_is_refused_with_figures(monkeypatch):
    problem = blobs(2, 200, 6, 4)
    exact = score(problem.features, problem.labels, hessian="full")
    monkeypatch.setattr(structure, "_total_memory", lambda device: 1000.0)
    auto = score(problem.features, problem.labels, hessian="auto")
    assert (auto.info["hessian"], auto.info["shift"]) == ("blocks", "blocks")
    assert "21 × 21 entries" in auto.info["hessian_reason"]
    assert spearmanr(auto.lsi, exact.lsi).statistic > 0.99
    assert spearmanr(auto.suspicion, exact.suspicion).statistic > 0.999
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 1000.0, "available": 1000.0})())
    with pytest.raises(InputError, match=r"21 × 21 entries .* GiB are needed .*hessian='auto'"):
        score(problem.features, problem.labels, hessian="full")
