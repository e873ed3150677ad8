"""The paper's procedure as a plain loop over ``torch.optim.SGD``: one model at a time, float64, autograd.

Posteriors are dense sums over samples of autograd Jacobians. Nothing here calls the engine.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import nn


def make_model(sizes: list[int], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, settings: dict) -> list[float]:
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=settings["learning_rate"],
        momentum=settings["momentum"],
        weight_decay=settings["weight_decay"],
        nesterov=settings["momentum"] > 0,
    )
    losses = []
    for _ in range(settings["epochs"]):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def precision(model: nn.Module, x: torch.Tensor, delta: float, structure: str) -> torch.Tensor:
    """Σ_n J_nᵀF_nJ_n + δI over all parameters, J from autograd, or only its diagonal as a dense matrix."""
    parameters = list(model.parameters())
    size = sum(p.numel() for p in parameters)
    total = torch.zeros(size, size, dtype=torch.float64)
    for row in x:
        logits = model(row[None])[0]
        p = torch.softmax(logits.detach(), dim=0)
        jacobian = torch.stack(
            [
                torch.cat([g.flatten() for g in torch.autograd.grad(logit, parameters, retain_graph=True)])
                for logit in logits
            ]
        )
        total += jacobian.T @ (torch.diag(p) - p[:, None] * p) @ jacobian
    total += delta * torch.eye(size, dtype=torch.float64)
    return torch.diag(total.diagonal()) if structure == "diag" else total


def leave_one_out(
    features: np.ndarray,
    labels: np.ndarray,
    sizes: list[int],
    seed: int,
    samples: list[int],
    settings: dict,
    structure: str,
    delta: float,
) -> dict[str, np.ndarray]:
    """Per left-out sample: both parts of LSI and its own class probabilities; and the full run's flat weights."""
    x, y = torch.from_numpy(features).double(), torch.from_numpy(labels)
    full = make_model(sizes, seed)
    train(full, x, y, settings)
    base = precision(full, x, delta, structure)
    shifts, covariances, probabilities = [], [], []
    for i in samples:
        keep = torch.arange(len(x)) != i
        model = make_model(sizes, seed)
        train(model, x[keep], y[keep], settings)
        other = precision(model, x[keep], delta, structure)
        difference = flat(model) - flat(full)
        shifts.append(float(difference @ other @ difference) / 2)
        trace = float(torch.linalg.solve(base, other).trace())
        covariances.append((trace - len(base) + float(torch.logdet(base) - torch.logdet(other))) / 2)
        probabilities.append(torch.softmax(model(x[i : i + 1])[0].detach(), dim=0).numpy())
    return {
        "mean_shift": np.array(shifts),
        "covariance": np.array(covariances),
        "probabilities": np.stack(probabilities),
        "theta": flat(full).numpy(),
    }
