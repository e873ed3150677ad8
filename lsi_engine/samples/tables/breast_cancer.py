"""Measures of breast masses that come with scikit-learn, and so are there wherever the engine is installed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lsi_engine.samples.sample_set import SampleSet
from lsi_engine.samples.source import Source


def breast_cancer() -> SampleSet:
    """569 breast masses (Wolberg, Street, Mangasarian 1995, UCI; bundled with scikit-learn), in its own order.

    Features are 30 measures of cell nuclei, ``(569, 30)`` float32: mean, standard error and worst of radius, texture
    and eight more, each in a unit of its own. The labels are "malignant" (212) and "benign" (357).
    """
    from sklearn.datasets import load_breast_cancer

    bundle = load_breast_cancer()
    count = len(bundle.target)
    table = pd.DataFrame(
        {
            "sample_id": [f"mass-{index:04d}" for index in range(count)],
            "label": bundle.target_names[bundle.target].astype(str),
            "name": [f"breast mass {index}" for index in range(count)],
        },
        dtype="str",
    )
    return SampleSet(
        "breast-cancer",
        "features",
        table,
        {"kind": "breast_cancer"},
        features=bundle.data.astype(np.float32),
        feature_names=tuple(str(name) for name in bundle.feature_names),
    )


BREAST_CANCER = Source(
    breast_cancer,
    "scikit-learn's breast-cancer data",
    group="Table",
    command="breast-cancer",
    modality="features",
    with_features=True,
)
