"""The optimum of two contrastive heads on all pairs, for the ``dot`` similarity, which has one under weight decay.

The loss does not change when both heads are turned alike, so an optimum is a whole orbit. It is entered at the turn in
which A's rows are orthogonal, longest first: that is the same for every seed, up to signs that no posterior sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize

from lsi_engine.errors import NotConverged
from lsi_engine.losses.contrastive import ContrastiveLoss
from lsi_engine.progress import Progress, silent
from lsi_engine.training.batches.pairs import Pairs, mean_gradients

#: ‖∇‖ of the mean loss that counts as the optimum; leaving out one of N pairs makes it about 1/N.
TOLERANCE = 1e-5
EVALUATIONS = 3000


def fit_pairs(
    pairs: Pairs,
    loss: ContrastiveLoss,
    weight_decay: float,
    start: Sequence[torch.Tensor],
    progress: Progress = silent,
) -> list[torch.Tensor]:
    """Heads at the optimum on all pairs, by L-BFGS from ``start``; float64, turned as the module says.

    Raises ``NotConverged`` when the gradient does not vanish.
    """
    none = torch.tensor([-1], device=pairs.groups.device)
    sizes = [head.numel() for head in start]
    done = 0

    def heads_at(point: np.ndarray) -> list[torch.Tensor]:
        parts = torch.from_numpy(point).to(pairs.images).split(sizes)
        return [part.view(head.shape) for part, head in zip(parts, start, strict=True)]

    def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal done
        done = min(done + 1, EVALUATIONS)
        progress("fit", done, EVALUATIONS)
        parts, value = mean_gradients(loss, pairs, [head[None] for head in heads_at(point)], none, weight_decay)
        return float(value[0]), torch.cat([part.flatten() for part in parts]).cpu().numpy()

    first = torch.cat([head.flatten() for head in start]).double().cpu().numpy()
    options = {"maxiter": EVALUATIONS, "maxfun": EVALUATIONS, "ftol": 0.0, "gtol": TOLERANCE / first.size**0.5}
    optimum = minimize(evaluate, first, jac=True, method="L-BFGS-B", options=options)
    norm = float(np.linalg.norm(optimum.jac))
    if norm > 10 * TOLERANCE:
        raise NotConverged(
            f"the heads did not reach their optimum (gradient norm {norm:.1e} after {optimum.nfev} evaluations): raise "
            "weight_decay or the temperature, or start from the initial weights (start='initial')"
        )
    progress("fit", EVALUATIONS, EVALUATIONS)
    heads = heads_at(optimum.x)
    turn = torch.linalg.svd(heads[0], full_matrices=False)[0]
    return [turn.T @ head for head in heads]
