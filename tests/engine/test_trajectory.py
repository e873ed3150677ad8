"""Linearised training dynamics against true retraining, where the closed form at the optimum fails."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dense_reference import blobs
from scipy.stats import spearmanr

from lsi_engine import Cancelled, InputError, LsiWarning, NotConverged, score
from lsi_engine.scores.cost import Task, against_retraining
from lsi_engine.scores.lsi import trajectory as module
from lsi_engine.training.descent import SgdSettings

UNCONVERGED = {"learning_rate": 0.004, "weight_decay": 1e-4, "epochs": 300, "prior_precision": 1.0}


@pytest.mark.parametrize("hessian", ["diag", "full"])
@pytest.mark.parametrize(("shape", "median"), [((300, 6, 3), 0.01), ((200, 4, 2), 0.01), ((250, 3, 5), 0.01)])
def test_agrees_with_retraining(shape, median, hessian):
    problem = blobs(0, *shape)
    truth = score(problem.features, problem.labels, method="retrain", hessian=hessian, **UNCONVERGED)
    table = score(problem.features, problem.labels, method="trajectory", hessian=hessian, **UNCONVERGED)
    assert truth.info["gradient_norm"] == pytest.approx(table.info["gradient_norm"], rel=1e-6)
    assert truth.info["gradient_norm"] > 1e-3
    assert spearmanr(table.lsi, truth.lsi).statistic >= 0.999
    assert np.median(np.abs(table.lsi / truth.lsi - 1)) <= median
    assert np.abs(table.probabilities - truth.probabilities).max() <= 0.005
    np.testing.assert_allclose(table.weight, truth.weight, rtol=1e-6, atol=1e-9)


def test_beats_the_closed_form_on_a_probe_that_has_not_converged():
    problem = blobs(1, 200, 10, 4)
    truth, path, optimum = (
        score(problem.features, problem.labels, method=method, **_settings(method)).lsi
        for method in ("retrain", "trajectory", "closed_form")
    )
    assert np.median(np.abs(path / truth - 1)) < 0.05
    assert np.median(np.abs(optimum / truth - 1)) > 0.5


def _settings(method: str) -> dict:
    keep = ("weight_decay", "prior_precision") if method == "closed_form" else tuple(UNCONVERGED)
    return {name: UNCONVERGED[name] for name in keep}


def test_a_smaller_tolerance_comes_closer(monkeypatch):
    problem = blobs(0, 300, 6, 3)
    features = problem.features * 5
    truth = score(features, problem.labels, method="retrain", **UNCONVERGED).lsi
    errors = []
    for tolerance in (1.0, 0.01):
        monkeypatch.setitem(module.trajectory.__kwdefaults__, "tolerance", tolerance)
        lsi = score(features, problem.labels, method="trajectory", **UNCONVERGED).lsi
        errors.append(np.median(np.abs(lsi / truth - 1)))
    assert errors[1] < errors[0] / 2


def test_with_no_tolerance_every_window_is_one_epoch_and_exact(monkeypatch):
    problem = blobs(0, 60, 5, 3)
    options = UNCONVERGED | {"epochs": 80, "precision": "float64"}
    truth = score(problem.features, problem.labels, method="retrain", **options)
    monkeypatch.setitem(module.trajectory.__kwdefaults__, "tolerance", 0.0)
    table = score(problem.features, problem.labels, method="trajectory", **options)
    np.testing.assert_allclose(table.lsi, truth.lsi, rtol=1e-6)


def test_says_when_true_retraining_would_be_cheaper():
    problem = blobs(3, 60, 40, 3)  # as many weights as samples: an eigenbasis costs more than the training
    options = UNCONVERGED | {"method": "trajectory", "epochs": 52}
    with pytest.warns(LsiWarning, match="method='retrain' is exact and cheaper here"):
        table = score(problem.features, problem.labels, samples=[4], **options)
    assert table.info["cost_against_retrain"] > 1
    assert against_retraining(Task(50_000, 512, 10, left_out=50_000, epochs=1000)) < 0.1


def test_powers_are_repeated_nesterov_steps():
    settings = SgdSettings(0.05, 0.9, 10, 0.01)
    values = torch.tensor([0.0, 0.3, 4.0, 30.0], dtype=torch.float64)
    position, velocity = torch.tensor([1.0, -2.0, 0.5, 0.1]).double(), torch.tensor([0.2, 0.0, -1.0, 0.3]).double()
    drive = torch.tensor([0.7, 0.1, -0.4, 0.0]).double()
    power, total = module._powers(values, settings, 7)
    start = torch.stack([position, velocity], dim=1)
    jumped = (power @ start[:, :, None])[:, :, 0] + total * drive[:, None]
    for _ in range(7):
        settings.descend_(position, velocity, values * position + drive)
    torch.testing.assert_close(jumped[:, 0], position)
    torch.testing.assert_close(jumped[:, 1], velocity)


def test_windows_and_bases_grow_with_the_logarithm_of_the_epochs():
    assert module.planned(50, 50) == (0, 0)
    assert module.planned(50, 51) == (1, 1)
    windows, bases = zip(*(module.planned(50, epochs) for epochs in (100, 1000, 10_000)), strict=True)
    assert list(windows) == sorted(windows)
    assert windows[2] - windows[1] < 40
    assert bases[2] <= 9


def test_trainings_shorter_than_the_exact_epochs_are_exact():
    problem = blobs(3, 60, 5, 3)
    options = UNCONVERGED | {"epochs": 6, "precision": "float64"}
    truth = score(problem.features, problem.labels, method="retrain", **options)
    table = score(problem.features, problem.labels, method="trajectory", **options)
    np.testing.assert_allclose(table.probabilities, truth.probabilities, rtol=1e-9)
    assert np.median(np.abs(table.lsi / truth.lsi - 1)) < 0.02


def test_seeds_samples_divergence_and_cancellation():
    problem = blobs(3, 60, 5, 3)
    options = UNCONVERGED | {"method": "trajectory", "epochs": 80}
    everything = score(problem.features, problem.labels, seeds=3, **options)
    some = score(problem.features, problem.labels, seeds=3, samples=[7, 2], **options)
    np.testing.assert_allclose(some.lsi, everything.lsi[[7, 2]], rtol=1e-4)
    assert some.to_frame().index.tolist() == [7, 2]
    assert len(everything.info["seed_spearman"]["pairs"]) == 3
    with pytest.raises(NotConverged):
        score(problem.features * 300, problem.labels, **(options | {"learning_rate": 50.0, "weight_decay": 1.0}))
    with pytest.raises(InputError, match="a probe with a hidden layer has no trajectory"):
        score(problem.features, problem.labels, probe=8, **options)

    def cancel(stage: str, done: int, total: int) -> None:
        if stage == "left-out runs":
            raise Cancelled

    with pytest.raises(Cancelled):
        score(problem.features, problem.labels, progress=cancel, **options)
