"""The label issues that we export beside those that cleanlab itself finds and takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.classification import CleanLearning
from cleanlab.datalab.internal.issue_manager.label import LabelIssueManager
from sklearn.linear_model import LogisticRegression
from stored_runs import make_run

from lsi_engine.curation import CleaningRule, Decisions, clean, write_export
from lsi_engine.runs.store import RunStore

CLASSES = np.array(["ant", "bee", "cat"])


def test_the_frame_is_the_one_that_cleanlab_gives_and_takes(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    given = random.integers(0, 3, 90)
    x = np.eye(3)[given] * 2 + random.normal(size=(90, 3))
    given[:9] = (given[:9] + 1) % 3
    probabilities = LogisticRegression().fit(x, given).predict_proba(x)
    own, best = probabilities[np.arange(90), given], probabilities.argmax(axis=1)
    scores = pd.DataFrame(
        {
            "sample_id": [f"s{row:02}" for row in range(90)],
            "label": CLASSES[given],
            "lsi": 1 - own,
            "suspicion": 1 - own,
            "suggested_label": pd.Series(CLASSES[best], dtype="str").where(best != given),
            "loo_probability": own,
            "loo_predicted_label": CLASSES[best],
        }
    )
    run = make_run(RunStore(tmp_path), scores)
    subset = clean(run.scores(), Decisions(run.decisions_path).latest(), CleaningRule())
    ours = pd.read_csv(write_export(subset, run, "cleanlab", tmp_path / "issues.csv"))

    # CleanLearning calls the score by the name that cleanlab had before Datalab.
    theirs = CleanLearning().find_label_issues(labels=given, pred_probs=probabilities)
    theirs = theirs.rename(columns={"label_quality": LabelIssueManager.issue_score_key})
    theirs[["given_label", "predicted_label"]] = CLASSES[theirs[["given_label", "predicted_label"]]]
    same = ours[list(theirs.columns)]
    assert same.index.equals(theirs.index)
    assert same["is_label_issue"].dtype == theirs["is_label_issue"].dtype
    pd.testing.assert_frame_equal(same.drop(columns="is_label_issue"), theirs.drop(columns="is_label_issue"))
    assert (same["is_label_issue"] & theirs["is_label_issue"]).sum() >= 5

    learned = CleanLearning(LogisticRegression()).fit(x, given, label_issues=ours.assign(given_label=given))
    np.testing.assert_array_equal(learned.get_label_issues()["is_label_issue"], ours["is_label_issue"])
