"""What leaving a sample's whole group out says of it; see :mod:`lsi_engine.scores.lsi.groups`."""

from lsi_engine.scores.column import Column, Score

GROUPS = Score(
    "groups",
    "LSI and label doubt when the sample's whole group is left out",
    (
        Column(
            "group_lsi",
            "LSI of the group",
            "LSI of the group",
            "informative",
            "most informative group",
            "How much the posterior changes without the sample's whole group.",
            unit="nats",
            log=True,
            compares=False,
        ),
        Column(
            "group_suspicion",
            "Suspicion without the group",
            "suspicion without the group",
            "suspicious",
            "most doubtful label, group left out",
            "Label doubt of a probe trained without the sample's whole group: near-duplicates cannot vouch for it.",
            top=1.0,
            compares=False,
        ),
    ),
    "groups",
    "a low-rank change of |group| · C a group",
)
