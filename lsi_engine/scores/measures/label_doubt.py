"""Doubt about the given label, from the class probabilities of the probe trained without the sample."""

from lsi_engine.scores.column import Column, Score

LABEL_DOUBT = Score(
    "label_doubt",
    "how little a probe trained without the sample believes its label",
    (
        Column(
            "loo_probability",
            "Probability of the label",
            "probability of the label",
            "safe",
            "safest given label",
            "Probability of the given label under the probe trained without the sample.",
            top=1.0,
            ranks=False,
        ),
        Column(
            "suspicion",
            "Suspicion",
            "suspicion",
            "suspicious",
            "most doubtful label",
            "Label doubt: how little a probe trained without the sample believes the given label.",
            top=1.0,
            filters=True,
        ),
        Column(
            "margin",
            "Margin",
            "margin",
            "safe",
            "safest given label",
            "Probability of the given label less that of the best other.",
            low=-1.0,
            top=1.0,
        ),
    ),
    "the closed form's by-products",
    "none of its own",
    evaluated=("suspicion",),
)
