"""True leave-one-out retraining against a plain loop over torch.optim.SGD, one model at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch_reference
from dense_reference import blobs

from lsi_engine.errors import Cancelled, InputError, NotConverged
from lsi_engine.numerics.design import Design, FeatureScaling
from lsi_engine.scores.lsi import retrain as module
from lsi_engine.scores.lsi.retrain import ProbeTask, retrain
from lsi_engine.training.batches import linear as linear_batch
from lsi_engine.training.descent import SgdSettings, check_training, initial_layers

SETTINGS = {"learning_rate": 0.04, "momentum": 0.9, "epochs": 60, "weight_decay": 0.01}
SAMPLES = np.array([3, 17, 0, 24])


def _run(problem, **options):
    settings = SgdSettings(**(SETTINGS | options.pop("settings", {})))
    design = Design(problem.features, FeatureScaling.identity(problem.features.shape[1]))
    options = {"samples": SAMPLES, "seeds": [5], "prior_precision": 1.0, "dtype": torch.float64} | options
    of_task = {name: options.pop(name) for name in list(options) if name in ProbeTask.__dataclass_fields__}
    return retrain(ProbeTask(design, torch.from_numpy(problem.labels), problem.classes, settings, **of_task), **options)


@pytest.mark.parametrize("hessian", ["diag", "full"])
@pytest.mark.parametrize("shape", [(30, 4, 2), (25, 6, 3), (28, 20, 4)])
@pytest.mark.parametrize("hidden", [None, 5])
def test_equals_a_loop_over_torch_sgd(shape, hidden, hessian):
    problem = blobs(3, *shape)
    sizes = [shape[1], shape[2]] if hidden is None else [shape[1], hidden, shape[2]]
    expected = torch_reference.leave_one_out(
        problem.features, problem.labels, sizes, 5, SAMPLES.tolist(), SETTINGS, hessian, 1.0
    )
    result = _run(problem, hidden=hidden, hessian=hessian)
    np.testing.assert_allclose(result.mean_shift[0, 0], expected["mean_shift"], rtol=1e-8, atol=1e-13)
    np.testing.assert_allclose(result.covariance[0, 0], expected["covariance"], rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(result.probabilities[0, 0], expected["probabilities"], rtol=1e-9)
    layers = [part for layer in result.layers[0] for part in (layer[:, :-1].ravel(), layer[:, -1])]
    np.testing.assert_allclose(np.concatenate(layers), expected["theta"], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("settings", [{"momentum": 0.0}, {"weight_decay": 0.0}, {"learning_rate": 0.3, "epochs": 7}])
def test_other_training_settings(settings):
    problem = blobs(8, 26, 3, 3)
    expected = torch_reference.leave_one_out(
        problem.features, problem.labels, [3, 3], 6, SAMPLES.tolist(), SETTINGS | settings, "diag", 0.5
    )
    result = _run(problem, settings=settings, prior_precision=0.5, seeds=[6])
    np.testing.assert_allclose(result.mean_shift[0, 0], expected["mean_shift"], rtol=1e-8)
    np.testing.assert_allclose(result.covariance[0, 0], expected["covariance"], rtol=1e-7, atol=1e-12)


def test_float32_differences_keep_their_digits():
    """Δ is about 1/N of θ; in delta form single precision still gives it to six digits."""
    problem = blobs(1, 400, 8, 4)
    exact, single = (_run(problem, dtype=dtype, settings={"epochs": 300}) for dtype in (torch.float64, torch.float32))
    np.testing.assert_allclose(single.mean_shift, exact.mean_shift, rtol=2e-5)
    np.testing.assert_allclose(single.covariance, exact.covariance, rtol=2e-5)
    np.testing.assert_allclose(single.probabilities, exact.probabilities, atol=1e-6)


@pytest.mark.parametrize("size", [1e-6, 1e-2, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probability_changes_of_any_size(size, dtype):
    """From a millionth of a logit, where softmax − softmax has no digits, to thousands, where expm1 overflows."""
    problem = blobs(2, 40, 5, 3)
    batch = linear_batch.LinearBatch(
        torch.from_numpy(problem.design),
        torch.from_numpy(problem.labels),
        initial_layers([5, 3], 0),
        torch.arange(6),
        SgdSettings(),
        hessian="diag",
        prior_precision=1.0,
        dtype=dtype,
    )
    batch.difference = size * torch.randn(6, 3, 6, generator=torch.Generator().manual_seed(0), dtype=dtype)
    (_, changes), *none = batch._probability_changes()
    assert not none
    f = torch.einsum("mcd,nd->mcn", batch.difference.double(), batch.x64)
    p = batch.probabilities.T
    expected = torch.softmax(p.log() + f, dim=1) - p
    if size == 1e-6:  # first order is all there is
        expected = p * (f - (p * f).sum(dim=1, keepdim=True))
    # Single precision rounds the logits themselves, to 6e-8 of their size.
    relative = max(2e-5, 2e-7 * size) if dtype == torch.float32 or size == 1e-6 else 1e-9
    assert float((changes - expected).abs().max()) <= relative * float(expected.abs().max())


@pytest.mark.parametrize("hidden", [None, 4])
def test_blocks_and_shards_change_nothing(monkeypatch, hidden):
    problem = blobs(4, 30, 4, 3)
    samples = np.arange(30)
    whole = _run(problem, samples=samples, hidden=hidden)
    monkeypatch.setattr(module, "CPU_MODELS", 7)
    monkeypatch.setattr(linear_batch, "CPU_ELEMENTS", 200)
    monkeypatch.setattr("lsi_engine.training.batches.hidden.CPU_ELEMENTS", 300)
    pieces = _run(problem, samples=samples, hidden=hidden)
    np.testing.assert_allclose(pieces.mean_shift, whole.mean_shift, rtol=1e-9)
    np.testing.assert_allclose(pieces.probabilities, whole.probabilities, rtol=1e-9)


def test_several_epochs_in_one_pass_equal_separate_runs():
    problem = blobs(4, 30, 4, 3)
    together = _run(problem, score_epochs=[10, 25])
    assert together.mean_shift.shape == (1, 3, 4)
    for k, epochs in enumerate([10, 25, 60]):
        alone = _run(problem, settings={"epochs": epochs})
        np.testing.assert_allclose(together.mean_shift[:, k], alone.mean_shift[:, 0], rtol=1e-12)
        np.testing.assert_allclose(together.covariance[:, k], alone.covariance[:, 0], rtol=1e-9)


def test_finished_shards_are_resumed_and_never_mistaken(monkeypatch):
    problem = blobs(4, 30, 4, 3)
    monkeypatch.setattr(module, "CPU_MODELS", 2)
    shards: dict = {}
    calls = 0

    def stop_in_the_second_shard(stage: str, done: int, total: int) -> None:
        nonlocal calls
        calls += stage == "retrain"
        assert done <= total
        if calls > 90:
            raise Cancelled

    with pytest.raises(Cancelled):
        _run(problem, shards=shards, progress=stop_in_the_second_shard)
    assert len(shards) == 1
    stages: list[str] = []
    resumed = _run(problem, shards=shards, progress=lambda stage, done, total: stages.append(stage))
    assert len(shards) == 2
    assert stages.count("retrain") == SETTINGS["epochs"]
    np.testing.assert_array_equal(resumed.mean_shift, _run(problem).mean_shift)
    # Another setting, other labels and another seed each find nothing to reuse.
    _run(problem, shards=shards, settings={"weight_decay": 0.02})
    _run(type(problem)(problem.features, (problem.labels + 1) % 3, 3), shards=shards)
    _run(problem, shards=shards, seeds=[6])
    assert len(shards) == 8


def test_seeds_are_torch_default_initialisations():
    weights = initial_layers([4, 6, 3], 11)
    model = torch_reference.make_model([4, 6, 3], 11)
    state = torch.random.get_rng_state()
    initial_layers([4, 6, 3], 11)
    assert torch.equal(torch.random.get_rng_state(), state)
    for layer, linear in zip(weights, [model[0], model[2]], strict=True):
        torch.testing.assert_close(layer.double(), torch.cat([linear.weight, linear.bias[:, None]], dim=1))


def test_given_weights_are_where_every_run_starts():
    problem = blobs(4, 30, 4, 3)
    given = [torch.full((3, 5), 0.1, dtype=torch.float64)]
    first, second = (_run(problem, initial=given, seeds=[seed]) for seed in (1, 2))
    np.testing.assert_array_equal(first.mean_shift, second.mean_shift)
    assert not np.allclose(first.mean_shift, _run(problem, seeds=[1]).mean_shift, rtol=1e-3)
    assert torch.equal(given[0], torch.full((3, 5), 0.1, dtype=torch.float64))


@pytest.mark.parametrize("hidden", [None, 6])
def test_diverging_training_is_refused(hidden):
    problem = blobs(4, 30, 4, 3)
    wild = type(problem)(problem.features * 300, problem.labels, 3)
    with pytest.raises(NotConverged, match=r"lower learning_rate \(now 50\)"):
        _run(wild, hidden=hidden, settings={"learning_rate": 50.0, "weight_decay": 1.0})


def test_oscillation_is_told_from_convergence():
    settings = SgdSettings()
    falling = [2.0 * 0.95**t + 0.1 for t in range(100)]
    check_training(falling, settings)
    ringing = [value + 0.01 * (-1) ** t for t, value in enumerate(falling)]
    with pytest.raises(NotConverged, match="oscillates"):
        check_training(ringing, settings)
    check_training([value + 1e-9 * (-1) ** t for t, value in enumerate(falling)], settings)
    with pytest.raises(NotConverged, match="the loss is nan at epoch 2"):
        check_training([1.0, 0.5, float("nan")], settings)
    with pytest.raises(NotConverged, match="rose from 1 to 3"):
        check_training([1.0, 0.5, 3.0], settings)


def test_a_hidden_layer_that_died_is_refused():
    problem = blobs(4, 30, 4, 3)
    dead = [torch.cat([torch.zeros(6, 4), torch.full((6, 1), -5.0)], dim=1), initial_layers([6, 3], 0)[0]]
    with pytest.raises(NotConverged, match="every hidden unit is off"):
        _run(problem, hidden=6, initial=dead)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
    ],
)
def test_unusable_training_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        SgdSettings(**(SETTINGS | settings))
