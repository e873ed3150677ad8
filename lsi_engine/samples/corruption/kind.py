"""What a corruption is, and the settings that several have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from lsi_engine.samples.sample_set import Modality, SampleSet
from lsi_engine.samples.setting import Setting

Stage = Literal["media", "labels", "features"]
#: The order in which a run carries them out: on the samples before their features, on the labels of what is left
#: once unusable samples are gone, on the feature matrix.
STAGES: tuple[Stage, ...] = ("media", "labels", "features")
#: Modalities of corruptions that any sample with a label of its own can have.
ANY: tuple[Modality, ...] = ("image", "text", "features")

RATE = Setting("rate", "share", "share of the samples (of the chosen classes) that it is done to", 0.1)
SEED = Setting("seed", "seed", "the same seed picks the same samples", 0)
CLASSES = Setting("classes", "classes", "only samples of these classes; all when none is named")
FEW = replace(RATE, default=0.05)
SEVERITY = Setting("severity", "level", "from 1, just visible, to 5, hardly recognisable", 3)


@dataclass(frozen=True)
class Corruption:
    """One kind of damage: ``apply(samples, **settings) -> SampleSet``, when it is done and to what it can be.

    ``kind`` is its name in a run's configuration, ``summary`` what it does in a few words.
    """

    kind: str
    apply: Callable[..., SampleSet]
    stage: Stage
    modalities: tuple[Modality, ...]
    summary: str
    settings: tuple[Setting, ...]
