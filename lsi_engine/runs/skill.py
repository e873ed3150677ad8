"""What the probe of a stored run knows."""

from __future__ import annotations

import pandas as pd

from lsi_engine.runs.store import Run
from lsi_engine.scores.skill import ProbeSkill, probe_skill


def skill_of(run: Run) -> ProbeSkill | None:
    """Leave-one-out performance of the run's probe on the labels it was given.

    ``None`` for pairs, which have no class, and for a folder that keeps no probabilities to measure it by. Runs of
    earlier versions have it too: it follows from what they stored.
    """
    if run.modality == "pairs":
        return None
    stored = run.provenance.get("skill")
    if stored is not None:
        return ProbeSkill.from_dict(stored)
    if not (run.path / "probabilities.npy").is_file():
        return None
    labels = pd.read_parquet(run.path / "scores.parquet", columns=["label"])["label"].astype("str")
    return probe_skill(run.probabilities(), pd.Index(run.classes).get_indexer(pd.Index(labels)))


def caveat_of(run: Run) -> str | None:
    """One sentence for people where the run's suspicion cannot be trusted; ``None`` where it can."""
    skill = skill_of(run)
    return None if skill is None else skill.caveat
