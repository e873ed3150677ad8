"""What the session's view selects from the open run, computed once for every script run that needs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.data import RunData, current_run, frame_with_decisions
from dashboard.view.view import View, current_view
from lsi_engine.curation.rounds import DOUBT, suspected

__all__ = ["DOUBT", "Selection", "current_selection"]


@dataclass(frozen=True)
class Selection:
    """The open run, the view, and the rows it keeps; ``frame`` has every row and the column ``decision``."""

    data: RunData
    view: View
    frame: pd.DataFrame

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """``(N,)`` bool: rows that meet every condition."""
        return self.view.mask(self.frame)

    @cached_property
    def mask_any_lsi(self) -> NDArray[np.bool_]:
        """``(N,)`` bool: the same, the range of LSI left open; what a figure shows in which that range is drawn."""
        return replace(self.view, lsi=None).mask(self.frame)

    @property
    def lsi(self) -> NDArray[np.float64]:
        return self.frame["lsi"].to_numpy()

    @property
    def codes(self) -> NDArray[np.integer]:
        """``(N,)`` position of each sample's given label in ``data.classes``."""
        return self.frame["label"].cat.codes.to_numpy()

    @cached_property
    def suspected(self) -> NDArray[np.bool_]:
        """``(N,)`` bool: suspicion above ``DOUBT`` and a suggested label that differs from the given one."""
        return suspected(self.frame)


def current_selection() -> Selection:
    data = current_run()
    return Selection(data, current_view(), frame_with_decisions(data))
