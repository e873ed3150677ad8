"""Samples about which people disagree: reviewers with each other, blinded readers with each other or the label."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd

from lsi_engine.agreement.kappa import raters, to_adjudicate
from lsi_engine.curation.decisions import Decisions
from lsi_engine.curation.readings import Readings


def disputes(log: Decisions, readings: Readings, given: pd.Series) -> pd.Series:
    """Sample id → whether its dispute is still open, for every sample about which there has been one.

    Two reviewers dispute a sample when one decides it otherwise than another before; whoever decides it after that
    settles it. Of a study's readings the disputed samples are those that :func:`agreement.to_adjudicate` lists, once
    every reader who began has finished; a decision in the review log settles them.

    ``given`` are the given labels by sample id.
    """
    found: dict[str, bool] = {}
    decided = log.standing()
    for sample, events in decided[decided["sample_id"].duplicated(keep=False)].groupby("sample_id", sort=False):
        said = list(zip(events["reviewer"], events["action"], events["new_label"].fillna(""), strict=True))
        raised = open_ = False
        for (before, *first), (after, *second) in pairwise(said):
            # The word after a disagreement settles it, even where it repeats one side.
            open_ = not open_ and before != after and first != second
            raised = raised or open_
        if raised:
            found[str(sample)] = open_
    known = set(decided["sample_id"])
    for study in readings.studies():
        answers = readings.answers(study)
        read = answers.groupby(["reader", "round"]).size()
        if answers.empty or (read < len(study.sample_ids)).any():
            continue
        for sample in to_adjudicate(raters(answers, given)).index:
            found.setdefault(str(sample), str(sample) not in known)
    return pd.Series(found, dtype=bool)
