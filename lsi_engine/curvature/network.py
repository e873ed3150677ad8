"""The generalised Gauss–Newton matrix of a network over all its weights, Σ_n J_nᵀF_nJ_n.

J_n is the ``(O, K)`` Jacobian of a sample's logits in the weights, by automatic differentiation, and F_n the ``(O, O)``
curvature of the loss in the logits. It differs from the Hessian by the network's own second derivative.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import psutil
import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from lsi_engine.errors import InputError, one_of
from lsi_engine.losses.objective import Objective
from lsi_engine.losses.registry import resolve
from lsi_engine.losses.softmax import Softmax

Weights = dict[str, torch.Tensor]
Structure = Literal["diag", "full"]

#: Elements of a block of Jacobians, (rows, O, K).
JACOBIAN_ELEMENTS = 1 << 22


class NetworkProblem:
    """A network called functionally, its data and its loss.

    Arguments and errors as in :func:`network_ggn`.

    Attributes
    ----------
    weights
        The trainable ones by name, as they are in the module; the others stay in it.
    outputs
        O.
    """

    def __init__(self, model: nn.Module, inputs: torch.Tensor, targets: Any, objective: str | Objective) -> None:
        for name, module in model.named_modules():
            if isinstance(module, _BatchNorm) or (isinstance(module, _DropoutNd) and module.p > 0):
                raise InputError(
                    f"module {name!r} is a {type(module).__name__}: a sample's output would depend on the others or on "
                    "chance, and leaving one out would mean something else; use GroupNorm or LayerNorm, and no dropout"
                )
        self.model, self.inputs = model, inputs
        self.weights: Weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        if not self.weights:
            raise InputError("the model has no trainable weights")
        logits = self.logits(self.weights, inputs[:1])
        if logits.ndim != 2:
            raise InputError(f"the model gives {tuple(logits.shape)} for one sample; logits of shape (1, O) are needed")
        self.objective = Softmax(range(logits.shape[1])) if objective == "softmax" else resolve(objective, targets)
        encoded = self.objective.encode(targets, len(inputs)).to(inputs.device)
        self.targets = encoded.to(inputs.dtype) if encoded.is_floating_point() else encoded
        self.outputs = self.objective.outputs(encoded)
        if logits.shape[1] != self.outputs:
            raise InputError(f"the model gives {logits.shape[1]} logits, the targets need {self.outputs}")

    def logits(self, weights: Weights, inputs: torch.Tensor) -> torch.Tensor:
        return functional_call(self.model, weights, (inputs,))

    def loss(self, weights: Weights, shares: torch.Tensor) -> torch.Tensor:
        """Σ_n shares_n ℓ_n, no penalty."""
        return shares @ self.objective.values(self.logits(weights, self.inputs), self.targets)

    def jacobians(self, weights: Weights, names: Sequence[str], kept: torch.Tensor) -> Iterator[tuple]:
        """``J (n, O, K)`` in the named weights and F ``(n, O, O)``, float64, for blocks of the ``kept`` rows."""
        chosen = {name: weights[name] for name in names}
        fixed = {name: value for name, value in weights.items() if name not in chosen}
        columns = sum(value.numel() for value in chosen.values())

        def one(part: Weights, row: torch.Tensor) -> torch.Tensor:
            return self.logits({**fixed, **part}, row[None])[0]

        for rows in kept.split(max(1, JACOBIAN_ELEMENTS // (self.outputs * columns))):
            jacobian = vmap(jacrev(one), in_dims=(None, 0))(chosen, self.inputs[rows])
            logits = self.logits(weights, self.inputs[rows]).double()
            targets = self.targets[rows]
            curvature = self.objective.curvature(logits, targets.double() if targets.is_floating_point() else targets)
            yield torch.cat([jacobian[name].flatten(2) for name in names], dim=2).double(), curvature

    def ggn(self, weights: Weights, names: Sequence[str], kept: torch.Tensor, structure: Structure) -> torch.Tensor:
        """Σ JᵀFJ over the kept rows, without a prior: ``(K,)`` or ``(K, K)`` float64."""
        total = torch.zeros((), dtype=torch.float64, device=self.inputs.device)
        for jacobian, curvature in self.jacobians(weights, names, kept):
            half = curvature @ jacobian
            if structure == "diag":
                total = total + (jacobian * half).sum(dim=(0, 1))
            else:
                total = total + jacobian.flatten(0, 1).T @ half.flatten(0, 1)
        return total


def network_ggn(
    model: nn.Module,
    inputs: torch.Tensor,
    targets: Any,
    *,
    objective: str | Objective = "softmax",
    structure: Structure = "full",
    weights: Sequence[str] | None = None,
) -> torch.Tensor:
    """Σ_n J_nᵀF_nJ_n of a network at its present weights, without any prior.

    Parameters
    ----------
    inputs, targets
        ``(N, …)`` and what the objective takes; for ``"softmax"`` class indices 0..O−1.
    structure
        ``"full"``: ``(K, K)``, 3.2 GB at K = 20 000; ``"diag"``: ``(K,)``. float64.
    weights
        Names of the weights to look at, all trainable ones by default; K counts them in this order, each flattened.

    Raises
    ------
    InputError
        For batch normalisation and dropout, which have no per-sample Jacobian, or a matrix that does not fit.
    """
    one_of("structure", structure, ("diag", "full"))
    problem = NetworkProblem(model, inputs, targets, objective)
    names = list(problem.weights if weights is None else weights)
    if structure == "full":
        check_matrix(sum(problem.weights[name].numel() for name in names), 3, inputs.device)
    return problem.ggn(problem.weights, names, torch.arange(len(inputs), device=inputs.device), structure)


def check_matrix(columns: int, matrices: int, device: torch.device) -> None:
    """Raise ``InputError`` unless so many float64 matrices of ``columns`` × ``columns`` fit into free memory."""
    needed = 8.0 * columns**2 * matrices
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    if needed > 0.9 * free:
        raise InputError(
            f"{columns:,} weights make a matrix of {8e-9 * columns**2:.1f} GB; {needed / 1e9:.1f} GB are needed and "
            f"{free / 1e9:.1f} GB are free: use the diagonal, or a posterior over fewer weights"
        )
