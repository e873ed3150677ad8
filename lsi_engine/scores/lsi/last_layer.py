"""``score_model``: LSI of a trained network's samples from its own last layer, as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from lsi_engine.errors import InputError, LsiWarning
from lsi_engine.inputs import check_features
from lsi_engine.inputs.loaders import first_again, in_fixed_order
from lsi_engine.losses.objective import Objective
from lsi_engine.losses.softmax import Softmax
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.progress import Progress, silent
from lsi_engine.scores.lsi.objective_scores import ObjectiveScores, score_at
from lsi_engine.settings import LooPrior
from lsi_engine.training.linear_objective import linear_objective

Unpack = Callable[[Any], tuple[Any, Any]]


@dataclass(frozen=True)
class LastLayer:
    """What a network's last linear layer sees and is.

    Attributes
    ----------
    features
        ``(N, D)``: the layer's inputs, in the model's dtype, on its device.
    targets
        ``(N, …)``: what the loader gave, on the CPU.
    weight, bias
        ``(O, D)`` and ``(O,)`` or ``None``, float64.
    name
        The layer's name in ``model.named_modules()``.
    """

    features: torch.Tensor
    targets: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    name: str


def score_model(
    model: nn.Module,
    loader: Iterable[Any] | Dataset[Any],
    *,
    weight_decay: float,
    objective: str | Objective = "softmax",
    head: str | None = None,
    unpack: Unpack | None = None,
    hessian: Literal["diag", "full"] = "diag",
    prior_precision: float | Literal["weight_decay"] = "weight_decay",
    loo_prior: LooPrior = "rescaled",
    progress: Progress = silent,
) -> ObjectiveScores:
    """Laplace Sample Information at the last layer of a trained network, whose head is taken **as it is**.

    The layers below are frozen; each sample is left out by one Newton step of the head from where it stands. That is
    the leave-one-out of a head at the optimum of the mean loss + (weight_decay / 2)‖θ‖²; how far the given one is from
    it is measured, and warned about when it matters.

    Parameters
    ----------
    model
        Put into eval mode for the pass and left exactly as it was: modes, gradients, running statistics, hooks.
    loader
        Batches in a fixed order, no augmentation; row i of the result is the i-th sample that it gives. A ``Dataset``
        is read in its order. What samplers draw and what the first batch holds is looked at twice, and refused where
        it changes.
    weight_decay
        What the head was trained with (mean form: torch's ``weight_decay`` with a mean loss).
    objective
        The loss that the head was trained with: ``"softmax"`` (targets are class indices 0..C−1, some may be absent),
        ``"sigmoid"``, ``"gaussian"`` or an :class:`~lsi_engine.losses.objective.Objective`.
    head
        Name of the last linear layer; by default the ``nn.Linear`` that is called last.
    unpack
        From a batch to (model input, targets). A pair is understood without it. The input may be a tensor, a tuple
        (positional arguments) or a dictionary (keyword arguments).
    hessian, prior_precision, loo_prior
        As in :func:`lsi_engine.score`.

    Raises
    ------
    InputError
        For a loader that shuffles, a model without a linear last layer, targets that do not fit the head.

    Warns
    -----
    LsiWarning
        When the head is further from its optimum than a typical sample would move it.
    """
    if not (np.isfinite(weight_decay) and weight_decay > 0):
        raise InputError(f"weight_decay is {weight_decay}; give the positive one that the head was trained with")
    layer = last_layer(model, loader, head=head, unpack=unpack, progress=progress)
    outputs, dimension = layer.weight.shape
    scaling = FeatureScaling.identity(dimension)
    features = torch.as_tensor(check_features(layer.features))
    design = Design(features, scaling, features.device, bias=layer.bias is not None)
    theta = layer.weight if layer.bias is None else torch.cat([layer.weight, layer.bias[:, None]], dim=1)
    if objective == "softmax":
        if layer.targets.is_floating_point() or layer.targets.ndim != 1:
            raise InputError(
                f"softmax needs one class index a sample, the loader gives {layer.targets.dtype} targets of shape "
                f"{tuple(layer.targets.shape)}; is the objective 'sigmoid' or 'gaussian'?"
            )
        objective = Softmax(range(outputs))
    problem = linear_objective(design, layer.targets, objective, weight_decay)
    if problem.outputs != outputs:
        raise InputError(f"layer {layer.name!r} has {outputs} outputs, the targets {problem.outputs}")
    table = score_at(
        problem,
        theta,
        hessian=hessian,
        prior_precision=prior_precision,
        loo_prior=loo_prior,
        scaling=scaling,
        progress=progress,
    )
    away, typical = table.info["distance_to_optimum"], table.info["distance_of_a_sample"]
    notes = []
    if away > typical:
        notes.append(
            f"layer {layer.name!r} is not at its optimum for weight_decay {weight_decay:g}: gradient norm "
            f"{table.info['gradient_norm']:.2e}, {away / typical:.3g} times as far away as a sample moves it. Leaving "
            "out takes one Newton step from where it stands: give the weight_decay it was trained with, train the "
            "last layer on to convergence, fit a fresh one with score(last_layer(model, loader).features, labels), or "
            "follow the training as it stopped with score(…, method='trajectory', learning_rate=…, epochs=…)"
        )
        warnings.warn(notes[0], LsiWarning, stacklevel=2)
    table.info.update(head=layer.name, warnings=notes)
    return table


def last_layer(
    model: nn.Module,
    loader: Iterable[Any] | Dataset[Any],
    *,
    head: str | None = None,
    unpack: Unpack | None = None,
    progress: Progress = silent,
) -> LastLayer:
    """Run ``model`` over ``loader`` in eval mode without gradients and keep what its last linear layer is given.

    Arguments and errors as in :func:`score_model`.
    """
    loader = in_fixed_order(loader)
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    if head is not None and head not in linear:
        raise InputError(f"the model has no linear layer {head!r}; it has: {', '.join(linear) or 'none'}")
    watched = linear if head is None else {head: linear[head]}
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    total = len(loader) if isinstance(loader, Sized) else 0
    features: list[torch.Tensor] = []
    targets: list[torch.Tensor] = []
    name = head
    with _frozen(model), _recorded(watched) as calls, torch.no_grad():

        def read(number: int, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
            nonlocal name
            inputs, labels = (unpack or _pair)(batch)
            calls.clear()
            _call(model, _moved(inputs, device))
            if not calls.order:
                raise InputError("the model calls no nn.Linear, so it has no linear last layer to score")
            name = name or calls.order[-1]
            if calls.order.count(name) != 1:
                raise InputError(f"layer {name!r} is called {calls.order.count(name)} times a batch; it must be once")
            given, labels = calls.inputs[name], torch.as_tensor(labels)
            if given.ndim != 2 or len(given) != len(labels):
                raise InputError(
                    f"batch {number}: layer {name!r} is given {tuple(given.shape)} for {len(labels)} targets; one row "
                    "of features a sample is needed. Name another layer with head=, or say what the targets are "
                    "with unpack="
                )
            return given.detach(), labels.detach().cpu()

        for number, batch in enumerate(loader):
            for whole, part in zip((features, targets), read(number, batch), strict=True):
                whole.append(part)
            progress("features", number + 1, max(total, number + 1))
        if not features or name is None:
            raise InputError("the loader gives no batches")
        for batch in first_again(loader):
            _same_batch((features[0], targets[0]), read(0, batch))
    layer = linear[name]
    return LastLayer(
        torch.cat(features),
        torch.cat(targets),
        layer.weight.detach().to(torch.float64),
        None if layer.bias is None else layer.bias.detach().to(torch.float64),
        name,
    )


def _same_batch(first: tuple[torch.Tensor, ...], again: tuple[torch.Tensor, ...]) -> None:
    """Raise ``InputError`` unless the features and targets of a batch are what they were in another pass."""
    for before, after in zip(first, again, strict=True):
        same = before.shape == after.shape and before.dtype == after.dtype
        if same and before.dtype.is_floating_point:
            same = torch.allclose(before, after, rtol=1e-3, atol=1e-5, equal_nan=True)
        elif same:
            same = torch.equal(before, after)
        if not same:
            raise InputError(
                "the loader's first batch is another one in a second pass: it shuffles or augments, so rows could not "
                "be told apart; build it with shuffle=False and without random transforms"
            )


@dataclass
class _Calls:
    """Linear layers in the order in which one forward pass called them, and what each was given."""

    order: list[str] = field(default_factory=list)
    inputs: dict[str, torch.Tensor] = field(default_factory=dict)

    def clear(self) -> None:
        self.order.clear()
        self.inputs.clear()


@contextmanager
def _recorded(layers: dict[str, nn.Linear]) -> Iterator[_Calls]:
    calls = _Calls()

    def hook(name: str) -> Callable[..., None]:
        def record(_module: nn.Module, arguments: tuple, keywords: dict, _output: torch.Tensor) -> None:
            calls.order.append(name)
            calls.inputs[name] = arguments[0] if arguments else keywords["input"]

        return record

    handles = [layer.register_forward_hook(hook(name), with_kwargs=True) for name, layer in layers.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Eval mode, and each module's own mode back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _pair(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    found = f"{type(batch).__name__}" + (f" with {', '.join(map(str, batch))}" if isinstance(batch, dict) else "")
    raise InputError(
        f"a batch is a {found}, not a pair (inputs, targets): say where they are, for example "
        "unpack=lambda batch: (batch['image'], batch['label'])"
    )


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _moved(item, device) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_moved(item, device) for item in value)
    return value


def _call(model: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)
