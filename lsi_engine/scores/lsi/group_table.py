"""The scores of groups as tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class GroupTable:
    """Scores of groups, and of each sample with its whole group left out.

    ``names`` are the groups in order of first occurrence, ``groups (N,)`` index into them; ``codes`` and ``classes``
    are the given labels, ``probabilities (N, C)`` those of the probe trained without the sample's group.
    """

    names: list[Any]
    groups: NDArray[np.int64]
    lsi_mean_shift: NDArray[np.float64]
    lsi_covariance: NDArray[np.float64]
    codes: NDArray[np.int64]
    classes: list[Any]
    probabilities: NDArray[np.float64]

    def to_frame(self) -> pd.DataFrame:
        """One row a group: ``group, samples, lsi, lsi_mean_shift, lsi_covariance, suspicion`` (mean of its samples)."""
        return pd.DataFrame(
            {
                "group": self.names,
                "samples": np.bincount(self.groups),
                "lsi": self.lsi_mean_shift + self.lsi_covariance,
                "lsi_mean_shift": self.lsi_mean_shift,
                "lsi_covariance": self.lsi_covariance,
                "suspicion": np.bincount(self.groups, 1 - self._of_given_label()) / np.bincount(self.groups),
            }
        )

    def sample_frame(self) -> pd.DataFrame:
        """One row a sample, in input order: ``group, group_lsi, group_probability`` (of the given label),
        ``group_suspicion, group_predicted_label``, all with the sample's whole group left out."""
        given = self._of_given_label()
        return pd.DataFrame(
            {
                "group": [self.names[group] for group in self.groups],
                "group_lsi": (self.lsi_mean_shift + self.lsi_covariance)[self.groups],
                "group_probability": given,
                "group_suspicion": 1 - given,
                "group_predicted_label": np.asarray(self.classes)[self.probabilities.argmax(axis=1)],
            }
        )

    def _of_given_label(self) -> NDArray[np.float64]:
        return np.take_along_axis(self.probabilities, self.codes[:, None], axis=1)[:, 0]
