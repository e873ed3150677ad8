"""True leave-one-out retraining, exactly as in the paper: every model really trained, many at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lsi_engine.errors import NotConverged
from lsi_engine.numerics.design import Design
from lsi_engine.progress import Progress, silent
from lsi_engine.settings import Structure
from lsi_engine.training.batches.hidden import HiddenBatch
from lsi_engine.training.batches.left_out import LeftOutScores
from lsi_engine.training.batches.linear import LinearBatch
from lsi_engine.training.descent import SgdSettings, check_training, initial_layers

#: Finished work, by a key that names data, settings, seed and samples: arrays by name. A dictionary, or anything that
#: keeps its values on disk; what is found here is not computed again.
Shards = MutableMapping[str, dict[str, NDArray]]

#: Leave-one-out models trained side by side, on a CPU and on a GPU.
CPU_MODELS, GPU_MODELS = 256, 4096

Kind = TypeVar("Kind", LinearBatch, HiddenBatch)


def models_at_once(device: torch.device) -> int:
    """Leave-one-out models that are trained side by side on ``device``."""
    return GPU_MODELS if device.type == "cuda" else CPU_MODELS


@dataclass(frozen=True)
class Retrained:
    """Every seed's scores; k seeds, E epochs at which they were taken, n left-out samples.

    Attributes
    ----------
    mean_shift, covariance
        ``(k, E, n)`` float64 nats: the parts of LSI.
    probabilities
        ``(k, E, n, C)`` float64: class probabilities of each left-out sample without it.
    layers
        For each seed the full run's weights, ``(outputs, inputs + 1)`` float64 a layer, bias last.
    gradient_norm, loss
        ``(k,)``: ‖∇‖ of the mean loss with weight decay at the full run's last weights, and that loss.
    gradient_norms
        ``(k, E, n)``: that of each left-out run, where its batch says so (pairs).
    """

    mean_shift: NDArray[np.float64]
    covariance: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    layers: list[list[NDArray[np.float64]]]
    gradient_norm: list[float]
    loss: list[float]
    gradient_norms: NDArray[np.float64] | None = None


class Batch(Protocol):
    """The full run of one seed and some runs that leave a sample out, advanced together."""

    loss: float
    gradient: torch.Tensor

    @property
    def layers(self) -> list[torch.Tensor]: ...

    def step(self) -> None: ...

    def score(self, progress: Progress = ...) -> LeftOutScores: ...


class Task(Protocol):
    """What is trained again and again: makes batches, and names itself by content."""

    @property
    def settings(self) -> SgdSettings: ...

    @property
    def device(self) -> torch.device: ...

    def batch(self, seed: int, left_out: NDArray[np.int64]) -> Batch: ...

    def fingerprint(self, score_epochs: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class ProbeTask:
    """The training of a probe on features and labels.

    Attributes
    ----------
    design, targets, classes
        X̃, held in memory whole, in float64 and ``dtype``; ``(N,)`` int64 class indices; C.
    hidden
        Width of a hidden ReLU layer; ``None`` for the linear probe.
    hessian, prior_precision
        Structure of the posterior and δ.
    dtype
        Of the products over many models.
    initial
        Layers ``(outputs, inputs + 1)``, bias last, from which every run starts; by default torch's initialisation of
        ``nn.Linear`` under a seed (the paper's code uses 5, 6, 7 …).
    """

    design: Design
    targets: torch.Tensor
    classes: int
    settings: SgdSettings
    hidden: int | None = None
    hessian: Structure = "diag"
    prior_precision: float = 1.0
    dtype: torch.dtype = torch.float32
    initial: list[torch.Tensor] | None = None

    @cached_property
    def x(self) -> torch.Tensor:
        """X̃ ``(N, D')`` float64."""
        return self.design.block(slice(0, self.design.rows), torch.float64)

    @property
    def device(self) -> torch.device:
        return self.design.device

    def start(self, seed: int) -> list[torch.Tensor]:
        """The layers that every run of a seed starts from."""
        sizes = [self.design.dimension, *([] if self.hidden is None else [self.hidden]), self.classes]
        return self.initial or initial_layers(sizes, seed)

    def batch(self, seed: int, left_out: NDArray[np.int64]) -> LinearBatch | HiddenBatch:
        """The full run of ``seed`` and the runs without each of ``left_out``, before their first epoch."""
        return self.linear_batch(seed, left_out) if self.hidden is None else self._batch(HiddenBatch, seed, left_out)

    def linear_batch(self, seed: int, left_out: NDArray[np.int64]) -> LinearBatch:
        return self._batch(LinearBatch, seed, left_out)

    def _batch(self, kind: type[Kind], seed: int, left_out: NDArray[np.int64]) -> Kind:
        return kind(
            self.x,
            self.targets,
            self.start(seed),
            torch.as_tensor(left_out, device=self.device),
            self.settings,
            hessian=self.hessian,
            prior_precision=self.prior_precision,
            dtype=self.dtype,
        )

    def fingerprint(self, score_epochs: Sequence[int]) -> str:
        """Names data and settings by content, so that a shard of other work is never taken for one of this."""
        digest = hashlib.sha256()
        for values in (self.x, self.targets, *(self.initial or [])):
            digest.update(values.detach().cpu().contiguous().numpy().tobytes())
        facts = [asdict(self.settings), self.classes, self.hidden, self.hessian, self.prior_precision]
        digest.update(json.dumps([*facts, str(self.dtype), list(score_epochs)]).encode())
        return digest.hexdigest()[:16]


def retrain(
    task: Task,
    *,
    samples: NDArray[np.int64],
    seeds: Sequence[int],
    score_epochs: Sequence[int] = (),
    shards: Shards | None = None,
    progress: Progress = silent,
) -> Retrained:
    """Train once on everything and once without each of ``samples``, from the same initial weights, many at a time.

    Parameters
    ----------
    samples
        ``(n,)`` rows to leave out, one model each.
    seeds
        One full set of trainings a seed.
    score_epochs
        Epochs after which LSI is taken, the last one always: how the ordering settles, in one pass.
    shards
        Finished shards are put here and looked up here first.

    Raises
    ------
    NotConverged
        When training diverges or oscillates, or every hidden unit is off.
    """
    settings = task.settings
    at = sorted({*score_epochs, settings.epochs})
    name = task.fingerprint(at)
    store: Shards = {} if shards is None else shards
    size = models_at_once(task.device)
    parts = [samples[begin : begin + size] for begin in range(0, len(samples), size)]
    total = len(seeds) * settings.epochs * (len(parts) + 1)
    done = 0
    scores: list[dict[str, NDArray]] = []
    layers, norms, losses = [], [], []
    for seed in seeds:
        # The full run alone first: it is one model, and finds out about divergence before hours of work.
        full = task.batch(seed, samples[:0])
        trace = [full.loss]
        for _ in range(settings.epochs):
            full.step()
            trace.append(full.loss)
            done += 1
            progress("full run", done, total)
        check_training(trace, settings)
        if isinstance(full, HiddenBatch) and full.silent_units() == 1:
            raise NotConverged(
                "every hidden unit is off for every sample, so the features no longer reach the classes: lower "
                "learning_rate or scale the features (feature_scaling='standardize')"
            )
        layers.append([layer.to(torch.float64).cpu().numpy() for layer in full.layers])
        norms.append(float(full.gradient.norm()))
        losses.append(full.loss)
        finished = []
        for part in parts:
            key = f"{name}-seed{seed}-{hashlib.sha256(part.tobytes()).hexdigest()[:16]}"
            if key not in store:
                store[key] = _train(task.batch(seed, part), at, progress, done, total)
            done += settings.epochs
            finished.append(store[key])
        scores.append({field: np.concatenate([s[field] for s in finished], axis=1) for field in finished[0]})
    stacked = {field: np.stack([score[field] for score in scores]) for field in scores[0]}
    return Retrained(**stacked, layers=layers, gradient_norm=norms, loss=losses)


def _train(batch: Batch, at: Sequence[int], progress: Progress, done: int, total: int) -> dict[str, NDArray]:
    """Run one shard to its last epoch: ``(E, n)`` parts and ``(E, n, C)`` probabilities."""
    taken = []
    for epoch in range(1, at[-1] + 1):
        batch.step()
        if epoch in at:
            taken.append(batch.score(progress))
        progress("retrain", done + epoch, total)
    fields = zip(LeftOutScores._fields, zip(*taken, strict=True), strict=True)
    return {name: torch.stack(values).cpu().numpy() for name, values in fields if values[0] is not None}
