"""What would give wrong scores without a word is noticed: a caller's wrong loss, a chaotic training, a saddle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dense_reference import blobs
from sklearn.datasets import load_iris
from torch import nn

from lsi_engine import (
    InputError,
    LsiWarning,
    NotConverged,
    Objective,
    retrain_network,
    score,
    score_objective,
    score_pairs,
)
from lsi_engine.training.descent import SgdSettings, check_training

PROBLEM = blobs(3, 40, 4, 2)
COUNTS = np.random.default_rng(0).poisson(2.0, size=(40, 2)).astype(float)


class Rates(Objective):
    """Poisson counts with a log-linear rate, everything by hand and right."""

    name = "rates"
    structure = "independent"

    def encode(self, targets, samples):
        return torch.as_tensor(targets)

    def outputs(self, targets):
        return targets.shape[1]

    def values(self, logits, targets):
        return (logits.exp() - targets * logits).sum(dim=1)

    def residual(self, logits, targets):
        return logits.exp() - targets

    def curvature(self, logits, targets):
        return torch.diag_embed(logits.exp())

    def curvature_slope(self, logits, targets):
        return torch.diag_embed(logits.exp())


def _wrong(**changes) -> Objective:
    return type("Wrong", (Rates,), changes)()


def _asymmetric(self, logits, targets):
    square = Rates.curvature(self, logits, targets)
    square[:, 0, 1] += 0.3
    return square


def test_a_right_objective_is_scored_as_its_automatic_derivatives_are():
    class Derived(Rates):
        residual, curvature = Objective.residual, Objective.curvature
        curvature_slope = Objective.curvature_slope

    by_hand = score_objective(PROBLEM.features, COUNTS, objective=Rates())
    np.testing.assert_allclose(
        by_hand.lsi, score_objective(PROBLEM.features, COUNTS, objective=Derived()).lsi, rtol=1e-9
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"residual": lambda self, f, y: Rates.residual(self, f, y) / 2}, "residual disagrees"),
        ({"curvature": lambda self, f, y: 2 * Rates.curvature(self, f, y)}, "curvature disagrees"),
        ({"curvature": _asymmetric}, "curvature disagrees"),
        ({"curvature_slope": lambda self, f, y: -Rates.curvature_slope(self, f, y)}, "curvature_slope disagrees"),
        ({"value_and_residual": lambda self, f, y: (f.sum(), self.residual(f, y))}, "value_and_residual disagrees"),
        ({"residual": lambda self, f, y: Rates.residual(self, f, y)[:, :1]}, "residual gives the shape"),
        ({"constant_curvature": True}, "constant_curvature disagrees"),
        ({"structure": "identical"}, "structure disagrees"),
        ({"values": lambda self, f, y: f.sum(dim=1).exp() - (y * f).sum(dim=1)}, "residual disagrees"),
    ],
)
def test_a_derivative_that_is_not_that_of_the_values_is_named(changes, named):
    with pytest.raises(InputError, match=named):
        score_objective(PROBLEM.features, COUNTS, objective=_wrong(**changes))


def test_networks_are_not_trained_on_a_wrong_objective_either():
    torch.manual_seed(0)
    model = nn.Linear(4, 2).double()
    wrong = _wrong(curvature=lambda self, f, y: 2 * Rates.curvature(self, f, y))
    with pytest.raises(InputError, match="curvature disagrees"):
        retrain_network(
            model, torch.as_tensor(PROBLEM.features), COUNTS, SgdSettings(epochs=2), samples=[0], objective=wrong
        )


def _retrained(rate: float, momentum: float, epochs: int):
    x, y = load_iris(return_X_y=True)
    settings = {"learning_rate": rate, "momentum": momentum, "epochs": epochs}
    return score(x, y, method="retrain", samples=[0], feature_scaling="standardize", **settings)


@pytest.mark.parametrize(("rate", "momentum"), [(5.0, 0.9), (20.0, 0.0)])
def test_a_training_in_the_chaotic_regime_is_refused(rate, momentum):
    with pytest.raises(NotConverged, match="lower learning_rate"):
        _retrained(rate, momentum, 300)


@pytest.mark.parametrize("epochs", [60, 300])
@pytest.mark.parametrize(("rate", "momentum"), [(0.04, 0.9), (2.0, 0.9), (5.0, 0.0)])
def test_a_training_whose_swings_die_away_is_not(rate, momentum, epochs):
    assert np.isfinite(_retrained(rate, momentum, epochs).lsi).all()


def test_a_loss_that_jumps_without_a_rhythm_is_told_from_one_that_settles():
    random, settings = np.random.default_rng(0), SgdSettings()
    with pytest.raises(NotConverged, match=r"jumps about|oscillates"):
        check_training([2.0, *(1 + 0.2 * random.random(300))], settings)
    swings = 1 + np.exp(-np.arange(301) / 20) * (1 + np.cos(np.arange(301) / 2))
    check_training(swings.tolist(), settings)


def _pairs(seed: int):
    random = np.random.default_rng(seed)
    shared = random.normal(size=(30, 5))
    return shared @ random.normal(size=(5, 8)), shared @ random.normal(size=(5, 6))


def test_runs_of_pairs_that_stop_short_are_named():
    with pytest.warns(LsiWarning, match="saddle|on their way") as caught:
        table = score_pairs(*_pairs(0), dimension=4, weight_decay=0.1, epochs=60)
    norms = table.info["left_out_gradient_norm"]
    assert 0 < norms["median"] <= norms["largest"]
    assert 0 <= norms["pair"] < 30
    assert table.info["warnings"] == [str(each.message) for each in caught if each.category is LsiWarning]


def test_the_gradient_of_a_left_out_run_is_that_of_its_own_loss():
    """One pair left out, against autograd on the data without it."""
    images, texts = _pairs(1)
    settings = {"dimension": 2, "epochs": 3, "start": "initial", "precision": "float64", "feature_scaling": "none"}
    norm = score_pairs(images, texts, samples=[4], **settings).info["left_out_gradient_norm"]
    kept = np.arange(30) != 4
    alone = score_pairs(images[kept], texts[kept], samples=[0], **settings)
    heads = [torch.as_tensor(head, dtype=torch.float64).requires_grad_() for head in alone.heads]
    sides = [torch.as_tensor(np.c_[side[kept], np.ones(29)]) for side in (images, texts)]
    s = (sides[0] @ heads[0].T) @ (sides[1] @ heads[1].T).T / 2**0.5
    own = torch.arange(29)
    loss = (nn.functional.cross_entropy(s, own) + nn.functional.cross_entropy(s.T, own)) / 2
    loss = loss + 0.3 / 2 * sum(head.square().sum() for head in heads)
    gradient = torch.cat([each.flatten() for each in torch.autograd.grad(loss, heads)])
    assert norm["largest"] == pytest.approx(float(gradient.norm()), rel=1e-9)
