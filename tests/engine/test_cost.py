"""What a run will take: counted arithmetic grows as the methods do, and what cannot fit says so."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lsi_engine import score
from lsi_engine.errors import InputError
from lsi_engine.scores.cost import IN_PLACE, Task, cost, pair_cost
from lsi_engine.scores.speed import Speed, measured_speed
from lsi_engine.settings import METHODS, ScoreSettings

SPEED = Speed(single=1e11, double=5e10, elements=3e8)
DIGITS = Task(1797, 64, 10, 1797)


@pytest.mark.parametrize("method", METHODS)
def test_more_of_anything_takes_longer(method: str) -> None:
    base = replace(DIGITS, method=method)  # type: ignore[arg-type]
    larger = [replace(base, **{name: 2 * getattr(base, name)}) for name in ("samples", "dimension", "classes")]
    if method != "closed_form":
        larger += [replace(base, left_out=3000), replace(base, epochs=2000), replace(base, seeds=2)]
    for task in larger:
        assert cost(task, SPEED).seconds > cost(base, SPEED).seconds


def test_retraining_is_four_n_k_an_epoch_and_sample() -> None:
    task = Task(100_000, 511, 10, 1000, method="retrain", epochs=1000)
    products = 4 * 100_000 * 512 * 10 * 1000 * 1000 / SPEED.single
    assert products < cost(task, SPEED).seconds < 3 * products
    assert cost(replace(task, seeds=3), SPEED).seconds == pytest.approx(3 * cost(task, SPEED).seconds, rel=1e-3)


def test_a_diagonal_posterior_costs_more_than_the_full_one_and_a_hidden_layer_more_than_none() -> None:
    cifar = Task(50_000, 512, 10, 50_000)
    assert cost(cifar, SPEED).seconds > cost(replace(cifar, hessian="full"), SPEED).seconds
    linear = replace(DIGITS, method="retrain")
    assert cost(replace(linear, hidden=32), SPEED).seconds > cost(linear, SPEED).seconds


def test_what_does_not_fit_is_refused_with_the_figures() -> None:
    huge = Task(50_000, 2048, 1000, 50_000, hessian="full")
    found = cost(huge, SPEED)
    assert math.isnan(found.seconds)
    assert "GiB are needed" in found.refusal
    structured = cost(replace(huge, hessian="auto"), SPEED)
    assert not structured.refusal
    assert structured.seconds > 0


def test_this_machine_is_measured_once_and_multiplies_faster_in_single_precision() -> None:
    speed = measured_speed("cpu")
    assert speed is measured_speed("cpu")
    assert min(speed.single, speed.double, speed.elements) > 1e6


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "closed_form", "probe": 32}, "a hidden layer has no closed_form"),
        ({"method": "trajectory", "hessian": "auto"}, "needs one by name"),
        ({"method": "retrain", "hessian": "kron", "probe": 8}, "choose 'diag' or 'full'"),
        ({"method": "closed_form", "seeds": 3}, "depends on no seed"),
        ({"method": "trajectory", "score_epochs": [10]}, "scores the end alone"),
        ({"method": "retrain", "score_epochs": [1001]}, "epochs 1 to 1000"),
        ({"method": "retrain", "weight_decay": 0.0}, "needs a positive"),
        ({"method": "retrain", "learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"method": "closed_form", "prior_precision": -1.0}, "must be positive"),
    ],
)
def test_settings_that_exclude_each_other_are_refused_alike_with_and_without_data(
    settings: dict[str, object], said: str
) -> None:
    given = {"hessian": "diag", "probe": "linear", "weight_decay": 0.01, **settings}
    with pytest.raises(InputError, match=said):
        ScoreSettings.model_validate(given).check()
    with pytest.raises(InputError, match=said):
        score([[0.0], [1.0], [2.0]], [0, 1, 1], **given)  # type: ignore[arg-type]


def test_pairs_are_trained_in_single_precision_and_compared_in_double() -> None:
    task = Task(400, 896, 400, 400, method="retrain", epochs=1000, hessian="diag")
    found = pair_cost(task, 16, SPEED).seconds
    trained = 400 * 1000 * (4 * 400 * 898 * 16 + 6 * 400**2 * 16) / SPEED.single
    assert trained < found < 10 * trained
    doubled = pair_cost(task, 16, replace(SPEED, double=2 * SPEED.double)).seconds
    assert found - doubled == pytest.approx(400 * 400**2 * 898 * 16 / SPEED.double / IN_PLACE)
    assert pair_cost(replace(task, seeds=2), 16, SPEED).seconds == pytest.approx(2 * found, rel=1e-2)
    assert pair_cost(replace(task, hessian="full"), 16, SPEED).seconds > found
