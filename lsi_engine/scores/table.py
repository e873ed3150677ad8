"""The scores of one dataset: one row a sample, in input order."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lsi_engine.errors import InputError
from lsi_engine.numerics.design import FeatureScaling
from lsi_engine.scores.registry import chosen
from lsi_engine.scores.seeds import SeedScores

#: The columns of ``ScoreTable.to_frame()``, in order.
SCORE_COLUMNS = (
    "lsi",
    "lsi_mean_shift",
    "lsi_covariance",
    "loo_probability",
    "loo_predicted_label",
    "suggested_label",
    "suspicion",
    "leverage",
    "margin",
)

#: Rows that a table shows of itself.
SHOWN_ROWS = 5


@dataclass(frozen=True)
class ScoreTable:
    """Scores and how they came about.

    Two columns rank samples and they mean different things:

    - ``lsi`` (nats, ≥ 0) is **informativeness**: how much the probe's posterior would change without the sample.
      High also for rare, atypical and useful samples; it does not say that a label is wrong.
    - ``suspicion`` (0 to 1) is **label doubt**: 1 − the probability that a probe trained without the sample gives
      to its label. It looks at the label only; an atypical sample with a plain label has low suspicion.

    Attributes
    ----------
    lsi_mean_shift, lsi_covariance
        ``(N,)`` float64 nats: the parts of LSI that come from the shifted weights and from the changed
        uncertainty; they sum to ``lsi``.
    probabilities
        ``(N, C)`` float64 leave-one-out class probabilities, columns in the order of ``classes``.
    codes
        ``(N,)`` int64: the given label of each sample as an index into ``classes``.
    classes
        The labels that occur, sorted.
    leverage
        ``(N,)`` float64, tr(F_iS_i): the share of its own fit that a sample determines. NaN for trained probes, which
        are not at an optimum.
    weight, bias
        ``(C, D)`` and ``(C,)`` float64: the probe trained on everything, in the units of the scaled features.
    scaling
        How features were scaled.
    index
        ``(N,)`` row of each scored sample in the input.
    names
        The same rows in the pandas index that features or labels came with, ``None`` where there was none.
    info
        JSON-able facts: method, hessian, conventions, gradient norm, seconds by stage, warnings.
    seed_scores
        For trained probes: LSI of each seed and each scored epoch, of which the columns are the mean and the end.
    layers
        For a probe with a hidden layer: all its layers ``(outputs, inputs + 1)``, bias last; ``weight`` and ``bias``
        are the last one's.
    """

    lsi_mean_shift: NDArray[np.float64]
    lsi_covariance: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    codes: NDArray[np.int64]
    classes: list[Any]
    leverage: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    scaling: FeatureScaling
    index: NDArray[np.int64]
    info: dict[str, Any] = field(default_factory=dict)
    seed_scores: SeedScores | None = None
    layers: list[NDArray[np.float64]] = field(default_factory=list)
    names: pd.Index | None = None

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def lsi(self) -> NDArray[np.float64]:
        """``(N,)`` float64 nats."""
        return self.lsi_mean_shift + self.lsi_covariance

    @property
    def loo_probability(self) -> NDArray[np.float64]:
        """``(N,)``: probability of the given label under the probe trained without the sample."""
        return np.take_along_axis(self.probabilities, self.codes[:, None], axis=1)[:, 0]

    @property
    def suspicion(self) -> NDArray[np.float64]:
        """``(N,)`` in 0..1: 1 − ``loo_probability``, summed over the other classes so that tiny doubts keep their
        digits."""
        others = self.probabilities.copy()
        np.put_along_axis(others, self.codes[:, None], 0.0, axis=1)
        return np.minimum(others.sum(axis=1), 1.0)

    @property
    def margin(self) -> NDArray[np.float64]:
        """``(N,)`` in −1..1: ``loo_probability`` less the largest probability of another class."""
        others = self.probabilities.copy()
        np.put_along_axis(others, self.codes[:, None], -1.0, axis=1)
        return self.loo_probability - others.max(axis=1)

    def __repr__(self) -> str:
        return f"{self._headline()}\n{self._top().to_string()}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self._headline())}</p>{self._top().to_html()}"

    def _headline(self) -> str:
        how = [str(self.info[name]).replace("_", " ") for name in ("method", "hessian") if name in self.info]
        return " · ".join([f"ScoreTable: {len(self):,} samples", f"{len(self.classes)} classes", *how])

    def _top(self) -> pd.DataFrame:
        """The rows of the largest LSI, for a look: to_frame() has them all."""
        return self.to_frame().nlargest(SHOWN_ROWS, "lsi")[["lsi", "suspicion", "suggested_label"]]

    def find_label_issues(
        self,
        return_indices_ranked_by: Literal["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
        | None = None,
        **settings: Any,
    ) -> NDArray[Any]:
        """``cleanlab.filter.find_label_issues`` on the given labels and the leave-one-out probabilities.

        By default a mask ``(N,)`` of booleans; with ``return_indices_ranked_by`` the table's row numbers, int64, worst
        label first. ``settings`` are cleanlab's: ``filter_by``, ``frac_noise`` and so on. In one process unless
        ``n_jobs`` says otherwise.

        Raises ``InputError`` where cleanlab is not installed.
        """
        try:
            from cleanlab.filter import find_label_issues
        except ImportError as error:
            raise InputError("find_label_issues asks cleanlab, which is not installed: pip install cleanlab") from error
        return find_label_issues(
            self.codes,
            np.clip(self.probabilities, 0, 1),
            return_indices_ranked_by=return_indices_ranked_by,
            **{"n_jobs": 1, **settings},
        )

    def to_frame(self, scores: Iterable[str] = ()) -> pd.DataFrame:
        """One row a sample, columns ``SCORE_COLUMNS``, indexed by the sample's row in the input, or by the pandas
        index that features or labels came with.

        ``scores`` names further ones of :data:`lsi_engine.scores.registry.SCORES` (or ``all``); their columns follow.
        Raises ``InputError`` for a score that is not to be had.

        ``suggested_label`` is missing where the leave-one-out prediction is the given label. Probes trained with
        several seeds have two columns more, ``lsi_low`` and ``lsi_high``: 95 % interval of the mean over seeds.
        """
        names = np.asarray(self.classes)
        predicted = self.probabilities.argmax(axis=1)
        suggested = pd.Series(names[predicted], dtype="object" if names.dtype.kind in "OU" else None)
        if names.dtype.kind in "OU":
            suggested = suggested.astype("str")
        elif names.dtype.kind in "iu":
            suggested = suggested.astype("Int64")
        columns = {
            "lsi": self.lsi,
            "lsi_mean_shift": self.lsi_mean_shift,
            "lsi_covariance": self.lsi_covariance,
            "loo_probability": self.loo_probability,
            "loo_predicted_label": names[predicted],
            "suggested_label": suggested.mask(predicted == self.codes).to_numpy()
            if names.dtype.kind == "b"
            else suggested.mask(predicted == self.codes).array,
            "suspicion": self.suspicion,
            "leverage": self.leverage,
            "margin": self.margin,
        }
        rows = pd.Index(self.index, name="sample") if self.names is None else self.names
        frame = pd.DataFrame(columns, index=rows)[list(SCORE_COLUMNS)]
        for score in chosen(scores):
            assert score.compute is not None
            for name, values in score.compute(self).items():
                frame[name] = np.asarray(values)
        if self.seed_scores is not None and len(self.seed_scores.seeds) > 1:
            frame["lsi_low"], frame["lsi_high"] = self.seed_scores.interval()
        return frame
