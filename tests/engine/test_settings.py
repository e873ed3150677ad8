"""The options of scoring are stated once: score(), runs, the command line and the form offer the same ones."""

from __future__ import annotations

import inspect
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

from dashboard.components.run_form.settings import _offered
from lsi_engine import score, score_groups, score_objective
from lsi_engine.cli import app
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.pipeline import compute
from lsi_engine.runs.store import RunStore
from lsi_engine.settings import METHODS, ScoreSettings

#: What score() takes beside settings: data, and how the work is carried out.
BESIDE = {"features", "labels", "samples", "initial_weights", "shards", "progress"}


def test_score_takes_every_setting_with_its_default() -> None:
    parameters = inspect.signature(score).parameters
    assert set(parameters) - BESIDE == set(ScoreSettings.model_fields)
    for name, field in ScoreSettings.model_fields.items():
        default = parameters[name].default
        assert (list(default) if isinstance(default, tuple) else default) == field.default, name


@pytest.mark.parametrize("function", [score_groups, score_objective])
def test_the_other_scorings_share_names_and_defaults(function: object) -> None:
    parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    shared = set(parameters) & set(ScoreSettings.model_fields) - {"tolerance"}  # a dense Newton fit goes further
    assert {"weight_decay", "hessian", "prior_precision", "loo_prior", "feature_scaling"} <= shared
    for name in shared:
        assert parameters[name].default == ScoreSettings.model_fields[name].default, name


def test_a_run_differs_from_score_in_scaling_alone() -> None:
    config = RunConfig(name="x", source={})
    differing = {name for name, field in ScoreSettings.model_fields.items() if getattr(config, name) != field.default}
    assert differing == {"feature_scaling"}
    assert set(ScoreSettings.model_fields) <= set(RunConfig.options())


def test_the_command_line_offers_every_option() -> None:
    said = {"probe": "hidden", "left_out": "rows"}
    shown = CliRunner().invoke(app, ["compute", "digits", "--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output
    for name, field in RunConfig.options().items():
        assert f"--{said.get(name, name).replace('_', '-')} " in shown, name
        assert field.description is not None
        assert field.description.split(";")[0][:40] in shown, name


@pytest.mark.parametrize("method", METHODS)
def test_the_form_offers_what_a_method_reads(method: str) -> None:
    offered = {name for name, field in RunConfig.options().items() if _offered(name, field, "images", method)}
    reads = {
        name
        for name, field in RunConfig.options().items()
        if method in field.json_schema_extra["methods"]  # type: ignore[index,call-overload,operator]
    }
    assert offered == reads - {"method"} - ({"left_out"} if method == "closed_form" else set())


def test_what_a_method_does_not_read_is_said_to() -> None:
    for field in ScoreSettings.model_fields.values():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        assert set(extra["methods"]) <= set(METHODS)  # type: ignore[arg-type]
    assert set(get_args(ScoreSettings.model_fields["method"].annotation)) == set(METHODS)


@pytest.mark.parametrize("loo_prior", ["rescaled", "fixed"])
def test_a_run_hands_every_setting_to_score(tmp_path, loo_prior: str) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(40, 3)), np.arange(40) % 2
    np.savez(tmp_path / "x.npz", features=x, labels=y)
    settings = {"hessian": "full", "weight_decay": 0.3, "prior_precision": 2.0, "loo_prior": loo_prior}
    source = {"kind": "feature_file", "path": str(tmp_path / "x.npz")}
    config = RunConfig(name="run", source=source, feature_scaling="none", **settings)
    run, _ = compute(config, RunStore(tmp_path))
    expected = score(x, y, **settings)  # type: ignore[arg-type]
    np.testing.assert_array_equal(run.scores()["lsi"], expected.lsi)
    assert run.provenance["engine"]["loo_prior"] == loo_prior
