"""What a round of review changed: a run against the one it was derived from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Label doubt above this, with another class more likely, counts as a suspected mislabel.
DOUBT = 0.5
#: Samples at the head of each ranking that are followed from round to round.
HEAD = 100
#: The tail: samples above this percentile of the LSI before the round.
TAIL_PERCENTILE = 99


def suspected(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """``(N,)`` bool: suspicion above ``DOUBT`` and a suggested label that differs from the given one.

    A pair, which competes with all others, is suspected when its two sides match less than chance would have it.
    """
    if "suggested_pair" in frame:
        return frame["loo_probability"].to_numpy() < 1 / len(frame)
    return (frame["suspicion"].to_numpy() > DOUBT) & frame["suggested_label"].notna().to_numpy()


@dataclass(frozen=True)
class RoundChanges:
    """Sample ids throughout, each list in the order of the ranking it comes from.

    Attributes
    ----------
    relabelled, dropped
        What was applied.
    suspects_before, suspects_after
        How many labels were, and are, suspected.
    settled
        Suspects that no longer are, without a person having touched them.
    new_suspects
        Suspected now, not before, and decided by nobody: what the next round would look at.
    waiting
        Suspected now and decided by nobody, new or not.
    tail_threshold
        LSI in nats, the ``TAIL_PERCENTILE`` before the round.
    tail_before, tail_after
        How many samples lie above it.
    entered, left
        By measure (``lsi``, ``suspicion``): who came into the first ``HEAD`` of its ranking, and who went out of it,
        dropped samples among them.
    """

    relabelled: int
    dropped: int
    suspects_before: int
    suspects_after: int
    settled: list[str]
    new_suspects: list[str]
    waiting: list[str]
    tail_threshold: float
    tail_before: int
    tail_after: int
    entered: dict[str, list[str]]
    left: dict[str, list[str]]

    @property
    def finished(self) -> bool:
        """Nothing undecided is doubtful: the loop has come to its end."""
        return not self.waiting


def round_changes(before: pd.DataFrame, after: pd.DataFrame, decided: pd.DataFrame) -> RoundChanges:
    """Compare ``Run.scores()`` of a run (``before``) with those of one derived from it.

    ``decided`` is :meth:`Decisions.latest` of the derived run.
    """
    doubtful_before, doubtful_after = _by_suspicion(before, suspected(before)), _by_suspicion(after, suspected(after))
    untouched = ~pd.Index(after["sample_id"]).isin(decided["sample_id"])
    undecided = set(after.loc[untouched, "sample_id"])
    still, were = set(doubtful_after), set(doubtful_before)
    waiting = [sample for sample in doubtful_after if sample in undecided]
    common = pd.Index(before["sample_id"]).get_indexer(pd.Index(after["sample_id"]))
    labels_before = before["label"].astype("str").to_numpy()[common]
    threshold = float(np.percentile(before["lsi"], TAIL_PERCENTILE))
    heads = {measure: (_head(before, measure), _head(after, measure)) for measure in ("lsi", "suspicion")}
    return RoundChanges(
        relabelled=int((labels_before != after["label"].astype("str").to_numpy()).sum()),
        dropped=len(before) - len(after),
        suspects_before=len(doubtful_before),
        suspects_after=len(doubtful_after),
        settled=[sample for sample in doubtful_before if sample in undecided and sample not in still],
        new_suspects=[sample for sample in waiting if sample not in were],
        waiting=waiting,
        tail_threshold=threshold,
        tail_before=int((before["lsi"] > threshold).sum()),
        tail_after=int((after["lsi"] > threshold).sum()),
        entered={measure: [s for s in new if s not in set(old)] for measure, (old, new) in heads.items()},
        left={measure: [s for s in old if s not in set(new)] for measure, (old, new) in heads.items()},
    )


def _by_suspicion(frame: pd.DataFrame, mask: NDArray[np.bool_]) -> list[str]:
    return frame[mask].sort_values("suspicion", ascending=False, kind="stable")["sample_id"].tolist()


def _head(frame: pd.DataFrame, measure: str) -> list[str]:
    return frame.sort_values(measure, ascending=False, kind="stable")["sample_id"].head(HEAD).tolist()
