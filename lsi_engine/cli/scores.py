"""``lsi scores``: what can be said of each sample."""

from __future__ import annotations

from rich.table import Table

from lsi_engine.cli.console import Json, out, print_json
from lsi_engine.scores.registry import SCORES


def list_scores(as_json: Json = False) -> None:
    """List every score: its columns, what a high value says, what it is computed from and what it costs."""
    if as_json:
        print_json(
            {
                name: {
                    "summary": score.summary,
                    "optional": score.optional,
                    "needs": score.needs,
                    "cost": score.cost,
                    "columns": {each.name: {"high": each.high, "unit": each.unit} for each in score.columns},
                }
                for name, score in SCORES.items()
            }
        )
        return
    table = Table("score", "column", "high is", "what it says", "needs", box=None)
    for name, score in SCORES.items():
        for number, each in enumerate(score.columns):
            asked = f"{name} (--scores)" if score.optional else name
            table.add_row("" if number else asked, each.name, each.high, each.help, score.needs)
    out.print(table)
