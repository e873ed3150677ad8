"""Contrastive leave-one-out against plain autograd on the data with the pair deleted, one model at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.func import jacrev
from torch.nn.functional import cross_entropy, normalize

from lsi_engine import InputError, score_pairs
from lsi_engine.curvature.pairs import contrastive_ggn
from lsi_engine.losses.contrastive import ContrastiveLoss, absent_entries, initial_heads
from lsi_engine.scores.lsi import retrain
from lsi_engine.training.batches import pairs as pair_batch
from lsi_engine.training.batches.pairs import PairBatch, Pairs, mean_gradients
from lsi_engine.training.descent import SgdSettings
from lsi_engine.training.pair_fit import fit_pairs

D, E, DIM, COUNT = 4, 3, 2, 9
GROUPS = torch.tensor([0, 0, 1, 2, 3, 3, 3, 4, 5])


def _pairs(seed: int = 0, count: int = COUNT, groups: torch.Tensor = GROUPS) -> Pairs:
    random = np.random.default_rng(seed)
    shared = random.normal(size=(count, 3))
    ones = np.ones((count, 1))
    sides = [shared @ random.normal(size=(3, size)) + 0.3 * random.normal(size=(count, size)) for size in (D, E)]
    return Pairs(*(torch.from_numpy(np.hstack([side, ones])) for side in sides), groups)


def _without(pairs: Pairs, row: int) -> Pairs:
    kept = torch.arange(len(pairs)) != row
    return Pairs(pairs.images[kept], pairs.texts[kept], pairs.groups[kept])


def _logits(heads, pairs: Pairs, loss: ContrastiveLoss) -> torch.Tensor:
    z, w = pairs.images @ heads[0].T, pairs.texts @ heads[1].T
    if loss.similarity == "cosine":
        return normalize(z, dim=1) @ normalize(w, dim=1).T / loss.temperature
    return z @ w.T / (loss.temperature * DIM**0.5)


def _losses(logits: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """ℓ by torch's own cross-entropy, entries of the same group taken out one pair at a time."""
    found = []
    for i in range(len(groups)):
        others = [j for j in range(len(groups)) if j == i or groups[j] != groups[i]]
        at = torch.tensor(others.index(i))
        found.append((cross_entropy(logits[i, others], at) + cross_entropy(logits[others, i], at)) / 2)
    return torch.stack(found)


def _split(theta: torch.Tensor) -> list[torch.Tensor]:
    return [theta[: DIM * (D + 1)].view(DIM, D + 1), theta[DIM * (D + 1) :].view(DIM, E + 1)]


def _ggn(theta: torch.Tensor, pairs: Pairs, loss: ContrastiveLoss) -> torch.Tensor:
    """JᵀHJ with the Jacobian of all similarities and the Hessian of the summed loss in them, by autograd."""
    jacobian = jacrev(lambda t: _logits(_split(t), pairs, loss).flatten())(theta)
    logits = _logits(_split(theta), pairs, loss)
    hessian = torch.autograd.functional.hessian(
        lambda s: _losses(s.view_as(logits), pairs.groups).sum(), logits.flatten()
    )
    return jacobian.T @ hessian @ jacobian


def _objective(theta: torch.Tensor, pairs: Pairs, loss: ContrastiveLoss, decay: float) -> torch.Tensor:
    return _losses(_logits(_split(theta), pairs, loss), pairs.groups).mean() + decay / 2 * theta.square().sum()


def _trained(theta: torch.Tensor, pairs: Pairs, loss: ContrastiveLoss, settings: SgdSettings) -> torch.Tensor:
    weights = torch.nn.Parameter(theta.clone())
    optimiser = torch.optim.SGD([weights], lr=settings.learning_rate, momentum=settings.momentum, nesterov=True)
    for _ in range(settings.epochs):
        optimiser.zero_grad()
        _objective(weights, pairs, loss, settings.weight_decay).backward()
        optimiser.step()
    return weights.detach()


def _kl(theta, precision, other, other_precision) -> float:
    shift = other - theta
    trace = torch.trace(torch.linalg.solve(precision, other_precision)) - len(theta)
    return float((trace + shift @ other_precision @ shift + precision.logdet() - other_precision.logdet()) / 2)


LOSSES = [ContrastiveLoss(0.5, "cosine"), ContrastiveLoss(0.8, "dot")]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.similarity)
@pytest.mark.parametrize("structure", ["diag", "full"])
def test_curvature_equals_autograd(loss, structure):
    pairs = _pairs()
    theta = torch.cat([head.double().flatten() for head in initial_heads(D, E, DIM, 1)])
    for row in (-1, 4):
        expected = _ggn(theta, pairs if row < 0 else _without(pairs, row), loss)
        absent = absent_entries(pairs.groups, torch.tensor([row]))[0]
        found = contrastive_ggn(loss, pairs.images, pairs.texts, tuple(_split(theta)), absent, structure)
        torch.testing.assert_close(
            found, expected if structure == "full" else expected.diagonal(), rtol=1e-9, atol=1e-11
        )


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.similarity)
@pytest.mark.parametrize("hessian", ["diag", "full"])
def test_batched_retraining_equals_deleting_each_pair(loss, hessian):
    pairs, settings = _pairs(), SgdSettings(0.05, 0.9, 40, 0.02)
    heads = [head.double() for head in initial_heads(D, E, DIM, 3)]
    batch = PairBatch(
        pairs, loss, heads, torch.arange(COUNT), settings, hessian=hessian, prior_precision=0.7, dtype=torch.float64
    )
    for _ in range(settings.epochs):
        batch.step()
    scores = batch.score()
    start = torch.cat([head.flatten() for head in heads])
    theta = _trained(start, pairs, loss, settings)
    prior = 0.7 * torch.eye(len(theta), dtype=torch.float64)
    precision = _ggn(theta, pairs, loss) + prior
    for i in range(COUNT):
        other = _trained(start, _without(pairs, i), loss, settings)
        other_precision = _ggn(other, _without(pairs, i), loss) + prior
        both = (precision, other_precision)
        if hessian == "diag":
            both = tuple(torch.diag(matrix.diagonal()) for matrix in both)
        expected = _kl(theta, both[0], other, both[1])
        assert float(scores.mean_shift[i] + scores.covariance[i]) == pytest.approx(expected, rel=1e-6)
        logits = _logits(_split(other), pairs, loss)
        others = [j for j in range(COUNT) if j == i or GROUPS[j] != GROUPS[i]]
        at = others.index(i)
        image, text = torch.softmax(logits[i, others], 0)[at], torch.softmax(logits[others, i], 0)[at]
        assert float(scores.probabilities[i, i]) == pytest.approx(float(image + text) / 2, rel=1e-9)
        assert float(scores.probabilities[i].sum()) == pytest.approx(1)


def test_gradient_is_that_of_the_stated_loss():
    pairs, loss = _pairs(), LOSSES[0]
    theta = torch.randn(DIM * (D + E + 2), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found, value = mean_gradients(loss, pairs, [head[None] for head in _split(theta)], torch.tensor([2]), 0.1)
    expected = torch.autograd.functional.jacobian(lambda t: _objective(t, _without(pairs, 2), loss, 0.1), theta)
    torch.testing.assert_close(torch.cat([part.flatten() for part in found]), expected, rtol=1e-10, atol=1e-12)
    assert float(value) == pytest.approx(float(_objective(theta, _without(pairs, 2), loss, 0.1)))


def test_the_optimum_depends_on_no_seed_and_refits_are_optima():
    pairs, loss, decay = _pairs(), LOSSES[1], 0.15
    scored = [
        score_pairs(
            pairs.images[:, :-1], pairs.texts[:, :-1], groups=GROUPS, dimension=DIM, temperature=loss.temperature,
            weight_decay=decay, feature_scaling="none", learning_rate=0.05, epochs=2500, seeds=[seed],
            precision="float64",
        )
        for seed in (5, 6)
    ]  # fmt: skip
    np.testing.assert_allclose(scored[0].lsi, scored[1].lsi, rtol=1e-3)
    theta = torch.cat([torch.from_numpy(head).flatten() for head in scored[0].heads])
    prior = COUNT * decay * torch.eye(len(theta), dtype=torch.float64)
    precision = torch.diag((_ggn(theta, pairs, loss) + prior).diagonal())
    for i in (0, 3, 8):
        rest = _without(pairs, i)

        def evaluate(point, rest=rest):
            at = torch.from_numpy(point).requires_grad_()
            value = _objective(at, rest, loss, decay)
            value.backward()
            return float(value.detach()), at.grad.numpy()

        exact = minimize(evaluate, theta.numpy(), jac=True, method="BFGS", options={"gtol": 1e-9})
        other = torch.from_numpy(exact.x)
        expected = _kl(theta, precision, other, torch.diag((_ggn(other, rest, loss) + prior).diagonal()))
        assert scored[0].lsi[i] == pytest.approx(expected, rel=0.02)  # BFGS drifts a little along the orbit


def test_swapped_captions_stand_out():
    random = np.random.default_rng(2)
    shared = random.normal(size=(60, 4))
    images, texts = (shared @ random.normal(size=(4, size)) + 0.2 * random.normal(size=(60, size)) for size in (12, 10))
    swapped = np.array([7, 20, 33, 48])
    texts[swapped] = texts[np.roll(swapped, 1)]
    table = score_pairs(images, texts, dimension=6, weight_decay=0.05, learning_rate=0.05, epochs=300).to_frame()
    honest = table.drop(index=swapped)
    assert table.loc[swapped, "suspicion"].min() > honest["suspicion"].median()
    assert table.loc[swapped, "suspicion"].mean() > honest["suspicion"].quantile(0.9)
    assert table.loc[swapped, "lsi"].mean() > honest["lsi"].quantile(0.8)
    assert table.loc[swapped, "suggested_pair"].notna().all()
    np.testing.assert_allclose(table["suspicion"], 1 - table["loo_probability"], atol=1e-12)


def test_blocks_and_shards_change_nothing_and_are_resumed(monkeypatch):
    pairs = _pairs()
    images, texts = pairs.images[:, :-1], pairs.texts[:, :-1]
    settings = {"dimension": 2, "learning_rate": 0.05, "epochs": 50, "precision": "float64", "groups": GROUPS}
    whole = score_pairs(images, texts, **settings)
    monkeypatch.setattr(retrain, "CPU_MODELS", 4)
    monkeypatch.setattr(pair_batch, "CPU_ELEMENTS", 200)
    shards: dict = {}
    pieces = score_pairs(images, texts, **settings, shards=shards)
    np.testing.assert_allclose(pieces.lsi, whole.lsi, rtol=1e-8)
    assert len(shards) == 3
    stages: list[str] = []
    again = score_pairs(
        images, texts, **settings, shards=shards, progress=lambda stage, done, total: stages.append(stage)
    )
    assert "retrain" not in stages
    np.testing.assert_array_equal(again.lsi, pieces.lsi)
    score_pairs(images, texts, **(settings | {"temperature": 0.7}), shards=shards)
    assert len(shards) == 6


def test_fitted_heads_are_turned_to_orthogonal_rows():
    pairs = _pairs(1)
    heads = fit_pairs(pairs, LOSSES[1], 0.1, initial_heads(D, E, DIM, 0))
    gram = heads[0] @ heads[0].T
    assert abs(float(gram[0, 1])) < 1e-8 * float(gram.trace())
    assert gram[0, 0] >= gram[1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": np.ones((8, 3))}, "9 images but 8 texts"),
        ({"images": np.full((9, 4), np.nan)}, "images: features row 0 holds NaN"),
        ({"groups": [0] * 9}, "one or two groups"),
        ({"groups": [0, 1]}, "9 pairs but 2 groups"),
        ({"similarity": "cosine"}, "has no optimum"),
        ({"temperature": 0}, "temperature is 0"),
        ({"dimension": 0}, "dimension is 0"),
        ({"prior_precision": -1.0}, "prior_precision is -1.0"),
        ({"samples": [9]}, "row 9"),
        ({"feature_scaling": "standardize"}, "feature_scaling 'standardize'"),
    ],
)
def test_what_cannot_be_scored_is_named(change, message):
    pairs = _pairs()
    given = {"images": pairs.images[:, :-1], "texts": pairs.texts[:, :-1], "epochs": 3} | change
    with pytest.raises(InputError, match=message):
        score_pairs(given.pop("images"), given.pop("texts"), **given)
