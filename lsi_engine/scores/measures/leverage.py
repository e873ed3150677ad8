"""Leverage: the share of its own fit that a sample determines."""

from lsi_engine.scores.column import Column, Score

LEVERAGE = Score(
    "leverage",
    "the share of its own fit that the sample determines",
    (
        Column(
            "leverage",
            "Leverage",
            "leverage",
            "unusual",
            "most unusual features",
            "The share of its own fit that the sample determines, whatever its label.",
        ),
    ),
    "the closed form's by-products",
    "none of its own",
)
