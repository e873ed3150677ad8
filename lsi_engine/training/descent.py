"""Training a probe as the paper does: full-batch gradient descent, Nesterov momentum, weight decay, fixed epochs.

torch's convention, starting from a zero velocity b: with g = ∇(mean loss) + wd·θ,

    b ← momentum·b + g,    θ ← θ − learning_rate · (g + momentum·b).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsi_engine.errors import NotConverged
from lsi_engine.settings import check_descent

if TYPE_CHECKING:
    import torch

#: Epochs at the end of a run in which an oscillation is looked for.
OSCILLATION_WINDOW = 40
#: Steps of an oscillating loss, relative to the loss, that are worth a complaint.
OSCILLATION_SIZE = 1e-3
#: Of a loss that jumps without a rhythm: size of its steps as above, and the share of rises in them.
CHAOS_SIZE, CHAOS_SHARE = 1e-2, 0.25
#: Epochs after which no swing of momentum is left that large; before, a jump is what does not die away.
SETTLED = 200


@dataclass(frozen=True)
class SgdSettings:
    """Defaults are the paper's.

    Attributes
    ----------
    learning_rate, momentum
        Of Nesterov gradient descent on the mean loss.
    epochs
        Full-batch steps.
    weight_decay
        wd of the mean form; biases are decayed too.
    """

    learning_rate: float = 0.04
    momentum: float = 0.9
    epochs: int = 1000
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        check_descent(self.learning_rate, self.momentum, self.epochs, self.weight_decay)

    def descend_(self, weights: torch.Tensor, velocity: torch.Tensor, gradient: torch.Tensor) -> None:
        """One step in place; ``gradient`` is that of the mean loss with weight decay already in it."""
        velocity.mul_(self.momentum).add_(gradient)
        weights.add_(gradient, alpha=-self.learning_rate)
        weights.add_(velocity, alpha=-self.learning_rate * self.momentum)


def initial_layers(sizes: Sequence[int], seed: int) -> list[torch.Tensor]:
    """Weights of ``torch.nn.Linear`` layers in torch's default initialisation under ``seed``, in order.

    ``sizes`` is (D, C) or (D, hidden, C). One float32 tensor ``(outputs, inputs + 1)`` a layer, bias last. torch's
    own random state is left as it was.
    """
    import torch  # whoever only checks settings does not wait for it

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(inputs, outputs) for inputs, outputs in itertools.pairwise(sizes)]
    return [torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach() for layer in layers]


def check_training(losses: Sequence[float], settings: SgdSettings) -> None:
    """Refuse a run whose loss rose, keeps jumping between two values or jumps about: its weights mean nothing.

    Parameters
    ----------
    losses
        Mean loss, penalty included, before each step and after the last one.

    Raises
    ------
    NotConverged
        Saying what happened at which epoch, and what to change.
    """
    remedy = (
        f"lower learning_rate (now {settings.learning_rate:g}) or scale the features (feature_scaling='standardize')"
    )
    for epoch, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise NotConverged(f"training diverged: the loss is {loss} at epoch {epoch}; {remedy}")
    # A run that starts at its optimum stays there up to single precision.
    if losses[-1] > losses[0] * (1 + 1e-6):
        raise NotConverged(f"training diverged: the loss rose from {losses[0]:.4g} to {losses[-1]:.4g}; {remedy}")
    tail = losses[-OSCILLATION_WINDOW:]
    if len(tail) < OSCILLATION_WINDOW:
        return
    steps = [after - before for before, after in itertools.pairwise(tail)]
    turns = sum(1 for before, after in itertools.pairwise(steps) if before * after < 0)
    size = sum(abs(step) for step in steps) / len(steps)
    if turns > 0.8 * (len(steps) - 1) and size > OSCILLATION_SIZE * losses[-1]:
        raise NotConverged(
            f"training oscillates: over its last {OSCILLATION_WINDOW} epochs the loss goes up and down by "
            f"{size:.2g} around {losses[-1]:.4g} every other step; {remedy}"
        )
    half = len(steps) // 2
    early, late = (sum(abs(step) for step in part) for part in (steps[:half], steps[-half:]))
    rise = sum(step for step in steps if step > 0) / len(steps)
    lasting = len(losses) > SETTLED or late > CHAOS_SHARE * early or losses[-1] > (1 + CHAOS_SIZE) * min(losses)
    if lasting and rise > CHAOS_SHARE * size and size > CHAOS_SIZE * losses[-1]:
        raise NotConverged(
            f"training jumps about: over its last {OSCILLATION_WINDOW} epochs the loss goes between {min(tail):.4g} "
            f"and {max(tail):.4g} by {size:.2g} an epoch, up as much as down; {remedy}"
        )
