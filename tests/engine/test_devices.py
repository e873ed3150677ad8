"""Everything that computes keeps to the device it is given, found out on a machine that has only one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import torch
from other_device import DEVICE, Elsewhere, OtherDevice

from lsi_engine import Gaussian, InputError, score, score_groups, score_model, score_objective, score_pairs
from lsi_engine.features.near_duplicates import near_duplicate_groups
from lsi_engine.scores.lsi.many_classes import leave_one_out_class_blocks
from lsi_engine.scores.problem import Problem
from lsi_engine.studies.learnability import learnability
from lsi_engine.training.newton import fit_linear_probe

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, 60)
FEATURES = RANDOM.normal(size=(60, 4)) + 1.5 * RANDOM.normal(size=(3, 4))[LABELS]
TARGETS = (RANDOM.random((60, 2)) < 0.5).astype(float)
TRAINED = {"epochs": 60, "samples": [3, 1, 40], "precision": "float64"}


def _class_blocks(device: object, structure: Literal["blocks", "kron"]) -> np.ndarray:
    problem = Problem.from_data(
        FEATURES, LABELS, weight_decay=0.01, prior_precision=1.0, feature_scaling="none", device=device
    )
    probe = fit_linear_probe(problem.objective)
    left_out = leave_one_out_class_blocks(problem.objective, probe, structure=structure, prior_precision=1.0)
    return (left_out.mean_shift + left_out.covariance).cpu().numpy()


def _last_layer(device: object, **settings: Any) -> np.ndarray:
    torch.manual_seed(0)
    head = torch.nn.Linear(4, 3, bias=False, dtype=torch.float64)
    weight = torch.nn.Parameter(head.weight.detach().to(device))
    head.weight = weight
    batches = [(torch.as_tensor(FEATURES), torch.as_tensor(LABELS))]
    return score_model(head, batches, weight_decay=0.01, **settings).lsi


def _scores(function: Callable[..., Any], /, *data: Any, **settings: Any) -> Callable[[object], np.ndarray]:
    return lambda device: function(*data, device=device, **settings).to_frame().select_dtypes("number").to_numpy(float)


CASES: dict[str, Callable[[object], np.ndarray]] = {
    **{
        f"closed form, {hessian}": _scores(score, FEATURES, LABELS, hessian=hessian)
        for hessian in ("diag", "kron", "full")
    },
    "closed form, some rows": _scores(score, FEATURES, LABELS, hessian="full", prior_precision=1.0, samples=[5, 2]),
    "closed form, float32": _scores(
        score, FEATURES.astype(np.float32), LABELS, precision="float32", feature_scaling="standardize"
    ),
    "closed form, checked by a training": _scores(score, FEATURES, LABELS, epochs=30),
    **{f"class blocks, {name}": partial(_class_blocks, structure=name) for name in ("blocks", "kron")},
    **{
        f"{method}, {hessian}": _scores(score, FEATURES, LABELS, method=method, hessian=hessian, **TRAINED)
        for method in ("retrain", "trajectory")
        for hessian in ("diag", "kron", "full")
    },
    **{
        f"retrain hidden, {hessian}": _scores(
            score, FEATURES, LABELS, method="retrain", probe=3, hessian=hessian, **TRAINED
        )
        for hessian in ("diag", "full")
    },
    **{
        f"{name}, {hessian}": _scores(
            score_objective, FEATURES, targets, objective=objective, hessian=hessian, prior_precision=2.0
        )
        for name, objective, targets in (
            ("softmax", "softmax", LABELS),
            ("sigmoid", "sigmoid", TARGETS),
            ("gaussian", Gaussian([0.5, 2.0]), TARGETS),
        )
        for hessian in ("diag", "full")
    },
    **{
        f"pairs, {hessian}": _scores(
            score_pairs, FEATURES[:20], TARGETS[:20], hessian=hessian, dimension=2, epochs=20, samples=[4, 1]
        )
        for hessian in ("diag", "full")
    },
    **{
        f"groups, {hessian}": _scores(
            score_groups, FEATURES, LABELS, np.minimum(np.arange(60) // 3, 12), hessian=hessian, refine=True
        )
        for hessian in ("diag", "full")
    },
    "last layer": _last_layer,
    "learnability": lambda device: (
        learnability(FEATURES, LABELS, repeats=1, device=device).table.select_dtypes("number").to_numpy(float)
    ),
    "near duplicates": lambda device: near_duplicate_groups(
        FEATURES if device == "cpu" else torch.as_tensor(FEATURES).to(device), tolerance=0.4
    ),
}


@pytest.mark.parametrize(
    ("function", "data", "settings"),
    [
        (score, (FEATURES, LABELS), {}),
        (score_objective, (FEATURES, LABELS), {"objective": "softmax"}),
        (score_groups, (FEATURES, LABELS, np.arange(60) // 3), {}),
        (score_pairs, (FEATURES[:20], TARGETS[:20]), {"dimension": 2, "epochs": 20, "samples": [4, 1]}),
    ],
)
def test_tensors_are_scored_where_they_are(function: Any, data: tuple[np.ndarray, ...], settings: dict) -> None:
    expected = _scores(function, *data, **settings)("cpu")
    with OtherDevice():
        moved = [torch.as_tensor(part).to(DEVICE) for part in data[:2]]
        found = _scores(function, *moved, *data[2:], **settings)(None)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
@pytest.mark.parametrize("function", [score, score_pairs])
def test_a_device_that_is_not_there_is_named(function: Any, name: str) -> None:
    with pytest.raises(InputError, match=f"device '{name}' is"):
        function(FEATURES[:20], LABELS[:20] if function is score else TARGETS[:20], device=name)


@pytest.mark.parametrize("case", CASES)
def test_scores_do_not_depend_on_the_device_and_keep_to_it(case: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = CASES[case]("cpu")
        with OtherDevice():
            found = CASES[case](DEVICE)
    # Other libraries multiply and factorise there.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_other_device_is_as_strict_as_a_gpu() -> None:
    with OtherDevice():
        there, here = torch.ones(3, device=DEVICE), torch.arange(3.0)
        assert isinstance(there, Elsewhere)
        assert there.device == DEVICE
        assert (there + 1).sum().item() == 6
        assert (there + torch.tensor(1.0)).cpu().tolist() == [2, 2, 2]
        for mixed in (lambda: there + here, lambda: there @ here, lambda: torch.cat([there, here])):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        with pytest.raises((TypeError, RuntimeError)):
            there.numpy()
