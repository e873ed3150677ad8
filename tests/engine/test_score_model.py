"""A network that someone trained: its last layer scored as it is, and everything else left as it was."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lsi_engine import Gaussian, InputError, LsiWarning, last_layer, score, score_model

WEIGHT_DECAY = 0.01


class Network(nn.Module):
    """Two layers below the head, with everything that eval mode changes."""

    def __init__(self, outputs: int = 10, bias: bool = True) -> None:
        super().__init__()
        self.head = nn.Linear(16, outputs, bias=bias)  # registered first, called last
        self.body = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 16))

    def forward(self, image: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return self.head(torch.tanh(self.body(scale * image)))


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.as_tensor(images[:400] / 16, dtype=torch.float32), torch.as_tensor(labels[:400])


def _trained(digits, steps: int = 60) -> Network:
    """The whole network by Adam on mini-batches."""
    torch.manual_seed(0)
    network, (images, labels) = Network(), digits
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(steps):
        rows = slice(100 * (step % 4), 100 * (step % 4) + 100)
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
        optimiser.step()
    return network


def _settle(network: Network, images: torch.Tensor, targets: torch.Tensor, loss) -> None:
    """The head to its optimum by L-BFGS on mean loss + weight decay, in double precision."""
    network.double().eval()
    with torch.no_grad():
        features = torch.tanh(network.body(images.double()))
    optimiser = torch.optim.LBFGS(
        network.head.parameters(), max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        penalty = sum(parameter.square().sum() for parameter in network.head.parameters())
        value = loss(network.head(features), targets) + WEIGHT_DECAY / 2 * penalty
        value.backward()
        return value

    for _ in range(5):
        optimiser.step(closure)
    network.zero_grad()


@pytest.fixture(scope="module")
def trained(digits) -> Network:
    return _trained(digits)


@pytest.fixture(scope="module")
def settled(digits, trained) -> Network:
    network = copy.deepcopy(trained)
    _settle(network, *digits, nn.functional.cross_entropy)
    return network.train()


@pytest.mark.parametrize("hessian", ["diag", "full"])
def test_a_head_at_its_optimum_scores_as_a_fitted_probe(digits, settled, hessian):
    """The given head is what ``score`` would find on the same features, so the scores are the same: no refit, same
    numbers, no warning."""
    images, labels = digits
    loader = DataLoader(TensorDataset(images.double(), labels), batch_size=64)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LsiWarning)
        table = score_model(settled, loader, weight_decay=WEIGHT_DECAY, hessian=hessian)
    features = last_layer(settled, loader).features
    expected = score(features, labels, weight_decay=WEIGHT_DECAY, hessian=hessian)
    assert table.info["head"] == "head"
    assert table.info["gradient_norm"] < 1e-7
    np.testing.assert_allclose(table.lsi, expected.lsi, rtol=1e-4)
    np.testing.assert_allclose(table.loo_prediction, expected.probabilities, atol=1e-6)
    assert set(expected.to_frame().columns) < set(table.to_frame().columns)


def test_a_head_short_of_its_optimum_is_used_as_it_is_with_a_warning(digits, trained):
    images, labels = digits
    loader = DataLoader(TensorDataset(images, labels), batch_size=50)
    with pytest.warns(LsiWarning, match=r"'head' is not at its optimum .* gradient norm \d\.\d\de-\d\d") as caught:
        table = score_model(trained, loader, weight_decay=WEIGHT_DECAY)
    assert "train the last layer on" in str(caught[0].message)
    assert table.info["warnings"] == [str(caught[0].message)]
    np.testing.assert_array_equal(table.weight, trained.head.weight.detach().double().numpy())
    np.testing.assert_array_equal(table.bias, trained.head.bias.detach().double().numpy())
    layer = last_layer(trained, loader)
    logits = layer.features.double() @ layer.weight.T + layer.bias
    residual = torch.softmax(logits, dim=1) - nn.functional.one_hot(labels, 10)
    design = torch.cat([layer.features.double(), torch.ones(400, 1, dtype=torch.float64)], dim=1)
    weights = torch.cat([layer.weight, layer.bias[:, None]], dim=1)
    gradient = residual.T @ design / 400 + WEIGHT_DECAY * weights
    assert table.info["gradient_norm"] == pytest.approx(float(gradient.norm()), rel=1e-5)
    fitted = score(layer.features, labels, weight_decay=WEIGHT_DECAY)
    assert spearmanr(table.lsi, fitted.lsi).statistic > 0.8


def test_the_model_is_left_exactly_as_it_was(digits, trained):
    network = copy.deepcopy(trained)
    network.train()
    network.body[3].eval()
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    randomness = torch.get_rng_state()
    loader = [(digits[0][:200], digits[1][:200])]
    with pytest.warns(LsiWarning):
        score_model(network, loader, weight_decay=WEIGHT_DECAY)
    assert torch.equal(torch.get_rng_state(), randomness)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(bool((parameter.grad == 1).all()) for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_it_is_left_so_when_the_pass_fails(digits, trained):
    network = copy.deepcopy(trained).train()
    with pytest.raises(InputError, match="one row of features a sample"):
        score_model(network, [(digits[0][:20], digits[1][:19])], weight_decay=WEIGHT_DECAY)
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


class _Records(Dataset):
    """Batches as dictionaries, as many pipelines have them."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict:
        return {"image": self.images[row], "meta": {"label": int(self.labels[row])}, "id": f"sample {row}"}


@pytest.mark.filterwarnings("ignore::lsi_engine.LsiWarning")
def test_batches_of_any_shape(digits, trained):
    images, labels = digits[0][:120], digits[1][:120]
    expected = score_model(trained, [(images, labels)], weight_decay=WEIGHT_DECAY).lsi
    records = DataLoader(_Records(images, labels), batch_size=32)
    triples = DataLoader(TensorDataset(images, torch.zeros(120), labels), batch_size=32)
    keywords = DataLoader(TensorDataset(images / 2, labels), batch_size=32)
    for loader, unpack in [
        (records, lambda batch: (batch["image"], batch["meta"]["label"])),
        (triples, lambda batch: (batch[0], batch[2])),
        (keywords, lambda batch: ({"image": batch[0], "scale": 2.0}, batch[1])),
        (keywords, lambda batch: ((batch[0], 2.0), batch[1].numpy())),
    ]:
        table = score_model(trained, loader, weight_decay=WEIGHT_DECAY, unpack=unpack)
        np.testing.assert_allclose(table.lsi, expected, rtol=1e-3)
    for loader in (records, triples):
        with pytest.raises(InputError, match="unpack="):
            score_model(trained, loader, weight_decay=WEIGHT_DECAY)


def test_a_head_without_bias_and_another_loss(digits):
    """Regression on two targets: the settled head's leave-one-out is exact, so refits must agree to the last digits."""
    images = digits[0][:80]
    torch.manual_seed(1)
    network = Network(outputs=2, bias=False)
    targets = torch.stack([images[:, :32].sum(dim=1), images[:, 32:].sum(dim=1)], dim=1).double() / 10
    _settle(network, images, targets, lambda out, y: (out - y).square().sum(dim=1).mean() / (2 * 0.05))
    loader = [(images.double(), targets)]
    table = score_model(network, loader, weight_decay=WEIGHT_DECAY, objective=Gaussian(0.05), hessian="full")
    assert table.bias is None
    x = last_layer(network, loader).features
    for i in (0, 17, 79):
        keep = torch.arange(80) != i
        gram = x[keep].T @ x[keep] / 0.05 + 79 * WEIGHT_DECAY * torch.eye(16, dtype=torch.float64)
        weights = torch.linalg.solve(gram, x[keep].T @ targets[keep] / 0.05)
        np.testing.assert_allclose(table.loo_prediction[i], x[i] @ weights, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::lsi_engine.LsiWarning")
def test_a_named_layer_and_classes_that_do_not_occur(digits, trained):
    images, labels = digits
    few = labels < 3
    table = score_model(trained, [(images[few], labels[few])], weight_decay=WEIGHT_DECAY, head="head")
    assert table.loo_prediction.shape == (int(few.sum()), 10)
    assert set(table.to_frame()["loo_predicted_label"]) <= set(range(10))
    with pytest.raises(InputError, match=r"no linear layer 'fc'; it has: head, body\.0"):
        score_model(trained, [(images, labels)], weight_decay=WEIGHT_DECAY, head="fc")


@pytest.mark.parametrize(
    ("loader", "settings", "message"),
    [
        (lambda x, y: DataLoader(TensorDataset(x, y), shuffle=True), {}, "shuffle=False"),
        (lambda x, y: [], {}, "no batches"),
        (lambda x, y: [(x, y.float())], {}, "is the objective 'sigmoid' or 'gaussian'"),
        (lambda x, y: [(x, y.float())], {"objective": "gaussian"}, "'head' has 10 outputs, the targets 1"),
        (lambda x, y: [(x, y + 5)], {}, "none of the classes 0, 1"),
        (lambda x, y: [(x, y)], {"weight_decay": 0.0}, "weight_decay"),
    ],
)
def test_what_cannot_be_scored_is_refused(digits, trained, loader, settings, message):
    with pytest.raises(InputError, match=message):
        score_model(trained, loader(*digits), **({"weight_decay": WEIGHT_DECAY} | settings))


def test_models_without_a_linear_last_layer_are_refused(digits):
    images, labels = digits
    convolution = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(InputError, match=r"calls no nn\.Linear"):
        score_model(convolution, [(images, labels)], weight_decay=WEIGHT_DECAY)
    shared = nn.Linear(64, 64)
    with pytest.raises(InputError, match="called 2 times"):
        score_model(nn.Sequential(shared, shared), [(images, labels)], weight_decay=WEIGHT_DECAY)


class _Drawing(Sampler):
    """Rows in an order of its own, another one every time."""

    def __init__(self, rows: int) -> None:
        self.rows, self.random = rows, np.random.default_rng(0)

    def __len__(self) -> int:
        return self.rows

    def __iter__(self):
        return iter(self.random.permutation(self.rows).tolist())


class _Reversed(_Drawing):
    def __iter__(self):
        return iter(range(self.rows - 1, -1, -1))


class _Reshuffled:
    """A loader that is none of torch's."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels, self.random = images, labels, np.random.default_rng(0)

    def __iter__(self):
        rows = torch.from_numpy(self.random.permutation(len(self.labels)))
        yield from zip(self.images[rows].split(50), self.labels[rows].split(50), strict=True)


@pytest.mark.parametrize(
    "loader",
    [
        lambda data: DataLoader(data, shuffle=True),
        lambda data: DataLoader(data, sampler=SubsetRandomSampler(range(400)), batch_size=50),
        lambda data: DataLoader(data, sampler=WeightedRandomSampler([1.0] * 400, 400), batch_size=50),
        lambda data: DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), 50, drop_last=False)),
        lambda data: DataLoader(data, batch_sampler=BatchSampler(_Drawing(400), 50, drop_last=False)),
        lambda data: DataLoader(data, sampler=_Drawing(400), batch_size=50),
        lambda data: _Reshuffled(*data.tensors),
    ],
    ids=["shuffle", "subset", "weighted", "batches", "own in batches", "own", "own loader"],
)
def test_any_loader_that_shuffles_is_refused(digits, trained, loader):
    with pytest.raises(InputError, match="shuffle=False"):
        score_model(trained, loader(TensorDataset(*digits)), weight_decay=WEIGHT_DECAY)


def test_a_loader_that_augments_is_refused(digits, trained):
    class Noisy(Dataset):
        def __len__(self) -> int:
            return 100

        def __getitem__(self, row: int):
            return digits[0][row] + 0.1 * torch.randn(64), digits[1][row]

    with pytest.raises(InputError, match="random transforms"):
        score_model(trained, Noisy(), weight_decay=WEIGHT_DECAY)


@pytest.mark.filterwarnings("ignore::lsi_engine.LsiWarning")
def test_a_data_set_a_fixed_order_and_a_single_pass_are_scored_in_their_order(digits, trained):
    data = TensorDataset(*digits)
    expected = score_model(trained, DataLoader(data, batch_size=64), weight_decay=WEIGHT_DECAY).lsi
    backwards = DataLoader(data, sampler=_Reversed(400), batch_size=64)
    for loader, order in [(data, 1), (iter(DataLoader(data, batch_size=64)), 1), (backwards, -1)]:
        table = score_model(trained, loader, weight_decay=WEIGHT_DECAY)
        np.testing.assert_allclose(table.lsi[::order], expected, rtol=1e-3)
    with pytest.raises(InputError, match="the loader is a int"):
        score_model(trained, 3, weight_decay=WEIGHT_DECAY)
