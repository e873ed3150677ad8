"""A small convolutional network retrained without samples, against plain loops of ``torch.optim`` and autograd."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch_reference import flat, precision, train

from lsi_engine import Cancelled, Gaussian, InputError, NotConverged, network_ggn, retrain_network
from lsi_engine.numerics.divergence import gaussian_kl
from lsi_engine.training.descent import SgdSettings

SETTINGS = {"learning_rate": 0.1, "momentum": 0.9, "epochs": 25, "weight_decay": 0.02}
SAMPLES = [3, 11, 0, 17, 8]


def _network(outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(3, 4, 2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(4, outputs),
    ).double()


@pytest.fixture(scope="module")
def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(18) % 3
    images = torch.randn(18, 1, 6, 6, dtype=torch.float64, generator=generator)
    images[:, 0, :2, :2] += labels.double()[:, None, None] - 1
    return images, labels


@pytest.mark.parametrize("structure", ["diag", "full"])
def test_ggn_is_the_sum_of_dense_jacobians(data, structure):
    images, labels = data
    network = _network()
    found = network_ggn(network, images, labels, structure=structure)
    expected = precision(network, images, 0.0, "full")
    if structure == "diag":
        expected = expected.diagonal()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_ggn_of_some_weights_is_a_block_of_the_whole(data):
    images, labels = data
    network = _network()
    head = network_ggn(network, images, labels, weights=["5.weight", "5.bias"])
    torch.testing.assert_close(head, network_ggn(network, images, labels)[-15:, -15:], rtol=1e-10, atol=1e-12)


def test_ggn_of_a_regression_is_jacobian_squared(data):
    images, _ = data
    network = _network(outputs=1)
    targets = torch.zeros(18)
    rows = []
    for image in images:
        network.zero_grad()
        network(image[None]).sum().backward()
        rows.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    jacobian = torch.stack(rows)
    found = network_ggn(network, images, targets, objective=Gaussian(0.5))
    torch.testing.assert_close(found, jacobian.T @ jacobian / 0.5, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("hessian", ["diag", "full"])
def test_equals_retraining_one_by_one(data, hessian):
    images, labels = data
    network = _network()
    untouched = copy.deepcopy(network.state_dict())
    found = retrain_network(
        network,
        images,
        labels,
        SgdSettings(**SETTINGS),
        samples=SAMPLES,
        hessian=hessian,
        posteriors={"last_layer": ["5.weight", "5.bias"]},
        models=4,
    )
    assert all(torch.equal(value, untouched[name]) for name, value in network.state_dict().items())
    delta = 18 * SETTINGS["weight_decay"]
    full = copy.deepcopy(network)
    train(full, images, labels, SETTINGS)
    torch.testing.assert_close(torch.cat([w.flatten() for w in found.weights.values()]), flat(full))
    base = precision(full, images, delta, hessian)
    for k, i in enumerate(SAMPLES):
        keep = torch.arange(18) != i
        other = copy.deepcopy(network)
        train(other, images[keep], labels[keep], SETTINGS)
        without = precision(other, images[keep], delta, hessian)
        for name, part in (("network", slice(None)), ("last_layer", slice(-15, None))):
            parts = gaussian_kl(flat(full)[part], base[part, part], flat(other)[part], without[part, part])
            np.testing.assert_allclose(found.mean_shift[name][k], float(parts.mean_shift), rtol=1e-8)
            np.testing.assert_allclose(found.covariance[name][k], float(parts.covariance), rtol=1e-8)
        loss = nn.functional.cross_entropy(other(images[i : i + 1]), labels[i : i + 1])
        np.testing.assert_allclose(found.loo_loss[k], float(loss.detach()), rtol=1e-9)
    frame = found.to_frame()
    assert list(frame.index) == SAMPLES
    np.testing.assert_array_equal(frame["lsi"], frame["lsi_mean_shift"] + frame["lsi_covariance"])
    np.testing.assert_array_equal(frame["lsi_last_layer"], found.lsi("last_layer"))


def test_the_gradient_norm_is_that_of_the_trained_network(data):
    images, labels = data
    network = _network()
    found = retrain_network(network, images, labels, SgdSettings(**SETTINGS), samples=[0])
    network.load_state_dict(found.weights)
    penalty = sum(p.square().sum() for p in network.parameters())
    loss = nn.functional.cross_entropy(network(images), labels) + SETTINGS["weight_decay"] / 2 * penalty
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in network.parameters()]).norm()
    assert found.loss == pytest.approx(float(loss.detach()), rel=1e-10)
    assert found.gradient_norm == pytest.approx(float(norm), rel=1e-8)


def test_frozen_weights_stay_and_are_not_counted(data):
    images, labels = data
    network = _network()
    network[0].requires_grad_(False)
    found = retrain_network(network, images, labels, SgdSettings(**SETTINGS), samples=[1, 2])
    assert set(found.weights) == {"2.weight", "2.bias", "5.weight", "5.bias"}
    train(network, images, labels, SETTINGS)
    torch.testing.assert_close(found.weights["5.weight"], network[5].weight.detach())


def test_blocks_of_models_do_not_matter(data):
    images, labels = data
    scores = [
        retrain_network(_network(), images, labels, SgdSettings(**SETTINGS), samples=SAMPLES, models=models).lsi()
        for models in (1, 3, 32)
    ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-9)
    np.testing.assert_allclose(scores[2], scores[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (lambda m: nn.Sequential(m, nn.BatchNorm1d(3)).double(), {}, "'1' is a BatchNorm1d"),
        (lambda m: nn.Sequential(m, nn.Dropout(0.1)), {}, "'1' is a Dropout"),
        (lambda m: m, {"samples": [18]}, "row 18, but the rows are 0 to 17"),
        (lambda m: m, {"samples": []}, "at least one row"),
        (lambda m: m, {"posteriors": {"head": ["fc.weight"]}}, "no trainable weight 'fc.weight'"),
        (lambda m: m, {"prior_precision": 0.0}, "prior_precision"),
        (lambda m: m.requires_grad_(False), {}, "no trainable weights"),
        (lambda m: m[:4], {}, r"logits of shape \(1, O\)"),
    ],
)
def test_what_cannot_be_retrained_is_refused(data, change, settings, message):
    images, labels = data
    with pytest.raises(InputError, match=message):
        retrain_network(change(_network()), images, labels, SgdSettings(**SETTINGS), **({"samples": [0]} | settings))


def test_divergence_is_told(data):
    images, labels = data
    with pytest.raises(NotConverged, match="learning_rate"):
        retrain_network(_network(), 50 * images, labels, SgdSettings(**(SETTINGS | {"learning_rate": 20})), samples=[0])


def test_progress_can_stop_it(data):
    def stop(stage: str, done: int, total: int) -> None:
        assert (stage, total) == ("retrain", 2 * SETTINGS["epochs"])
        if done == 30:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        retrain_network(_network(), *data, SgdSettings(**SETTINGS), samples=[0], models=1, progress=stop)
