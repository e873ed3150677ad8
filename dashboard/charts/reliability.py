"""Whether the probe's certainty is worth anything: how often it is right, by how sure it says it is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dashboard import theme
from dashboard.charts.chart import Chart, base
from lsi_engine.scores.skill import ProbeSkill


def reliability_curve(skill: ProbeSkill, *, noun: str = "samples", height: int = 260) -> Chart:
    """Accuracy against mean confidence of the bins that hold samples, beside the diagonal of a probe to be believed."""
    figure = base(height)
    confidence, accuracy, sizes = np.asarray(skill.reliability, dtype=np.float64).reshape(-1, 3).T
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        name="as sure as it is right",
        mode="lines",
        line={"color": theme.NEUTRAL, "width": 1, "dash": "dash"},
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=confidence,
        y=accuracy,
        name="this probe",
        mode="lines+markers",
        line={"color": theme.ACCENT, "width": 2},
        marker={"size": 8, "color": theme.ACCENT},
        customdata=sizes,
        hovertemplate="%{customdata:,} " + noun + ": said %{x:.1%}, right %{y:.1%}<extra></extra>",
    )
    figure.update_xaxes(title="how sure the probe is", tickformat=".0%", range=[0, 1.04])
    figure.update_yaxes(title="how often it is right", tickformat=".0%", range=[0, 1.06])
    figure.update_layout(showlegend=True)
    table = pd.DataFrame({"said": confidence, "right": accuracy, noun: sizes.astype(np.int64)})
    surest = table.iloc[-1]
    alt = (
        f"Where the probe is surest it says {surest['said']:.0%} and is right in {surest['right']:.0%} of "
        f"{int(surest[noun]):,} {noun}; on average the two differ by {skill.calibration_error:.1%}."
    )
    return Chart(figure, table, alt)
