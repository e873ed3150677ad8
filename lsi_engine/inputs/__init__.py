"""Checking what a caller hands to ``score`` and its kin before anything is computed.

Whatever the container, a value is taken for what it is or refused by its row: nothing is merged, rounded or dropped on
the way in.
"""

from lsi_engine.inputs.features import check_features
from lsi_engine.inputs.labels import class_counts, encode_labels, numeric_targets
from lsi_engine.inputs.rows import check_groups, check_samples, row_names

__all__ = [
    "check_features",
    "check_groups",
    "check_samples",
    "class_counts",
    "encode_labels",
    "numeric_targets",
    "row_names",
]
