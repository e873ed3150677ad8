"""Laplace Sample Information and its two parts; see :mod:`lsi_engine.scores.lsi`."""

from lsi_engine.scores.column import Column, Score

LSI = Score(
    "lsi",
    "how far the probe's posterior moves when the sample is left out",
    (
        Column(
            "lsi",
            "LSI",
            "LSI",
            "informative",
            "most informative",
            "Laplace sample information: how much the posterior changes without the sample.",
            unit="nats",
            log=True,
            filters=True,
        ),
        Column(
            "lsi_mean_shift",
            "Mean shift",
            "mean shift",
            "informative",
            "the weights move most",
            "The part of LSI that comes from shifted weights.",
            unit="nats",
            log=True,
        ),
        Column(
            "lsi_covariance",
            "Covariance part",
            "covariance",
            "informative",
            "their uncertainty changes most",
            "The part of LSI that comes from a changed uncertainty.",
            unit="nats",
            log=True,
        ),
    ),
    "features and labels",
    "one fit, one factorisation of (C·D)³ and N · (C·D)² products",
    evaluated=("lsi",),
)
