"""What the probe knows: how well it names the class of samples that it was trained without.

Every leave-one-out number rests on it. Label doubt from a probe that guesses worse than the class frequencies do says
something about the probe, not about the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Bins of equal width for the calibration error, as in Guo et al. 2017, "On Calibration of Modern Neural Networks".
BINS = 15
#: Probabilities are cut here before their logarithm is taken: a single certain error costs 27.6 nats, not infinity.
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class ProbeSkill:
    """Leave-one-out performance on the given labels, beside what needs no features.

    Attributes
    ----------
    accuracy, balanced_accuracy
        Share of samples whose most probable class is the given one; the mean of that share over classes.
    log_loss
        Mean −log p(given label), nats.
    commonest_accuracy, commonest_balanced_accuracy, frequency_log_loss
        The same for naming the commonest class always, and for predicting the class frequencies.
    calibration_error
        Expected calibration error of the most probable class, over ``BINS`` bins of equal width.
    reliability
        ``(bins, 3)`` of the bins that hold samples: mean confidence, accuracy, samples.
    """

    accuracy: float
    balanced_accuracy: float
    log_loss: float
    commonest_accuracy: float
    commonest_balanced_accuracy: float
    frequency_log_loss: float
    calibration_error: float
    reliability: list[list[float]]

    @property
    def knows_something(self) -> bool:
        """Better than the baselines by both measures."""
        return self.accuracy > self.commonest_accuracy and self.log_loss < self.frequency_log_loss

    @property
    def caveat(self) -> str | None:
        """One sentence for people where suspicion cannot be trusted; ``None`` where it can."""
        if self.knows_something:
            return None
        if self.accuracy <= self.commonest_accuracy:
            own, guess = f"accuracy {self.accuracy:.1%}", f"{self.commonest_accuracy:.1%} for the commonest class"
        else:
            own, guess = f"log loss {self.log_loss:.3g}", f"{self.frequency_log_loss:.3g} for the class frequencies"
        return (
            f"The probe does not beat guessing ({own}, {guess}): suspicion and suggested labels say little about these "
            "labels. Use better features, or a larger weight decay."
        )

    @property
    def summary(self) -> str:
        """One line for people: every measure beside what it is without features."""
        return (
            f"leave-one-out accuracy {self.accuracy:.1%} (commonest class {self.commonest_accuracy:.1%}), "
            f"balanced {self.balanced_accuracy:.1%} ({self.commonest_balanced_accuracy:.1%}) · "
            f"log loss {self.log_loss:.3g} (class frequencies {self.frequency_log_loss:.3g}) · "
            f"calibration error {self.calibration_error:.3f} (class frequencies 0)"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, ``knows_something`` and ``caveat`` included."""
        return {**asdict(self), "knows_something": self.knows_something, "caveat": self.caveat}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ProbeSkill:
        """What :meth:`to_dict` gave; what follows from the measures is worked out anew."""
        return cls(**{field.name: stored[field.name] for field in fields(cls)})


def probe_skill(probabilities: ArrayLike, codes: ArrayLike) -> ProbeSkill:
    """Skill of leave-one-out ``probabilities (n, C)`` for the given labels ``codes (n,)`` in 0…C−1.

    Ties between classes go to the first. Classes without a sample among the ``n`` do not count in the balanced
    accuracy.
    """
    p: NDArray[np.float64] = np.asarray(probabilities, dtype=np.float64)
    given = np.asarray(codes, dtype=np.int64)
    named = p.argmax(axis=1)
    right = named == given
    counts = np.bincount(given, minlength=p.shape[1])
    present = counts > 0
    by_class = np.bincount(given, weights=right, minlength=p.shape[1])[present] / counts[present]
    frequencies = counts[present] / len(given)
    confidence = p[np.arange(len(p)), named]
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    sizes = np.bincount(bins, minlength=BINS)
    filled = sizes > 0
    mean_confidence = np.bincount(bins, weights=confidence, minlength=BINS)[filled] / sizes[filled]
    accuracies = np.bincount(bins, weights=right, minlength=BINS)[filled] / sizes[filled]
    return ProbeSkill(
        accuracy=float(right.mean()),
        balanced_accuracy=float(by_class.mean()),
        log_loss=float(-np.log(np.maximum(p[np.arange(len(p)), given], LEAST_PROBABILITY)).mean()),
        commonest_accuracy=float(frequencies.max()),
        commonest_balanced_accuracy=1 / int(present.sum()),
        frequency_log_loss=float(-(frequencies * np.log(frequencies)).sum()),
        calibration_error=float((np.abs(mean_confidence - accuracies) * sizes[filled]).sum() / len(given)),
        reliability=np.column_stack([mean_confidence, accuracies, sizes[filled]]).tolist(),
    )


def curve_sentence(curve: Sequence[Sequence[float]], samples: int) -> str:
    """``[[weight decay, leave-one-out log loss], …]`` over so many ``samples`` in one line, the lowest named first."""
    best = min(curve, key=lambda point: point[1])[0]
    points = ", ".join(f"{decay:g} → {loss:.3g}" for decay, loss in curve)
    return f"weight decay {best:g}, by the leave-one-out log loss of {samples:,} samples: {points}"
