"""A score table kept as a run: what pages, exports and the command line open, with nothing of it lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_wine

from lsi_engine import InputError, save, score
from lsi_engine.curation.decisions import Decision, Decisions
from lsi_engine.curation.rescore import rescore
from lsi_engine.runs.sources import features_of
from lsi_engine.runs.store import RunStore
from lsi_engine.samples import open_source


@pytest.fixture(scope="module")
def wine() -> tuple[pd.DataFrame, pd.Series]:
    x, y = load_wine(return_X_y=True, as_frame=True)
    rows = np.random.default_rng(0).permutation(len(y))
    names = [f"bottle {row}" for row in rows]
    # Of 2, 10 and 30 the first in the order of numbers is not the first in that of names.
    return x.iloc[rows].set_axis(names), y.iloc[rows].set_axis(names).map({0: 2, 1: 10, 2: 30})


def test_a_saved_table_is_a_complete_run(tmp_path, wine):
    x, y = wine
    table = score(x, y, feature_scaling="standardize", hessian="full")
    folder = save(table, "wine", features=x, cache=tmp_path)
    run = RunStore(tmp_path).open("wine")
    assert folder == run.path
    assert run.complete
    assert run.status.state == "done"
    assert run.classes == ["10", "2", "30"]
    scores = run.scores()
    np.testing.assert_array_equal(scores["lsi"], table.lsi)
    assert scores["label"].tolist() == y.astype(str).tolist()
    assert scores["name"].tolist() == list(x.index)
    np.testing.assert_array_equal(scores["loo_predicted_label"], table.to_frame()["loo_predicted_label"].astype(str))
    own = [run.classes.index(label) for label in scores["label"]]
    np.testing.assert_allclose(run.probabilities()[np.arange(len(own)), own], table.loo_probability, rtol=1e-6)
    np.testing.assert_array_equal(features_of(run, tmp_path), x)
    config = run.config
    assert (config.hessian, config.feature_scaling, config.weight_decay) == ("full", "standardize", 0.01)
    again = open_source(config.source)
    assert again.table["sample_id"].tolist() == scores["sample_id"].tolist()
    assert again.table["label"].tolist() == scores["label"].tolist()


def test_it_is_reviewed_and_scored_again_like_any_other(tmp_path, wine):
    x, y = wine
    save(score(x, y, feature_scaling="standardize"), "wine", features=x, cache=tmp_path)
    store = RunStore(tmp_path)
    run = store.open("wine")
    first = run.scores().iloc[0]
    Decisions(run.decisions_path).record_all([Decision(first["sample_id"], "drop", "ada", 0, first["label"])])
    assert len(rescore(run, store).scores()) == len(x) - 1


def test_trained_tables_and_tensors_are_kept_too(tmp_path):
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    y = (x[:, 0] > 0).int()
    table = score(x, y, method="retrain", epochs=60, seeds=2, learning_rate=0.1)
    save(table, "trained", features=x, cache=tmp_path)
    run = RunStore(tmp_path).open("trained")
    assert (run.config.method, run.config.epochs, run.config.seed_list) == ("retrain", 60, [5, 6])
    assert run.scores()["lsi_high"].notna().all()


def test_what_cannot_be_saved_is_refused(tmp_path, wine):
    x, y = wine
    table = score(x, y, feature_scaling="standardize")
    save(table, "wine", features=x, cache=tmp_path)
    for name, other, features, message in [
        ("wine", table, x, "exists"),
        ("../wine", table, x, "cannot name a run"),
        ("other", table, x.iloc[:, 1:], "12 columns"),
        ("other", table, x.iloc[1:], "a table of all rows"),
        ("other", score(x, y, feature_scaling="standardize", samples=[3, 4]), x, "a table of all rows"),
    ]:
        with pytest.raises(InputError, match=message):
            save(other, name, features=features, cache=tmp_path)
    assert RunStore(tmp_path).names() == ["wine"]
