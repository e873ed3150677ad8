"""``lsi subsets``: which part of a run's data trains best, for the engineer who exports one."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Annotated, Any

import typer
from rich.table import Table

from lsi_engine.cli.console import Bars, Json, RunName, notes, out, print_json, said_seconds
from lsi_engine.runs.artefacts.subsets import HELD_OUT, MOST_ROWS, REPEATS
from lsi_engine.runs.store import RunStore

NAMES = {
    "majority": "always the commonest class",
    "all": "all",
    "low": "third with the lowest LSI",
    "mid": "third in the middle",
    "high": "third with the highest LSI",
    "highest_lsi": "highest LSI dropped",
    "lowest_lsi": "lowest LSI dropped",
    "highest_suspicion": "highest suspicion dropped",
    "lowest_leverage": "lowest leverage dropped",
    "highest_margin": "highest margin dropped",
    "random": "random dropped",
}


def compare_subsets_of_run(
    name: RunName,
    repeats: Annotated[int, typer.Option(min=1, help="How often another part is held out.")] = REPEATS,
    held_out: Annotated[float, typer.Option(help="Share held out, at most 0.5.")] = HELD_OUT,
    rows: Annotated[int, typer.Option(min=10, help="Of more samples, so many are drawn, class by class.")] = MOST_ROWS,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn and held out.")] = 0,
    as_json: Json = False,
) -> None:
    """Train on thirds by LSI and on what pruning rules keep, test on a held-out part, and keep the result."""
    from lsi_engine.runs.artefacts.subsets import compare_subsets, subsets_folder
    from lsi_engine.runs.reporting import StatusReporter

    store = RunStore()
    run = store.open(name)
    folder = subsets_folder(run)
    folder.mkdir(exist_ok=True)
    with Bars() as bars, StatusReporter(folder, bars) as progress:
        found = compare_subsets(
            run, store.cache, repeats=repeats, held_out=held_out, rows=rows, seed=seed, progress=progress
        )
    summary, facts = found.summary(), found.facts
    if as_json:
        print_json({"facts": facts, "subsets": [_without_nan(row) for row in summary.to_dict("records")]})
        return
    table = Table(box=None, pad_edge=False)
    for title in ("Trained on", "share", "samples", "train", "test", "against random"):
        table.add_column(title, justify="left" if title == "Trained on" else "right", no_wrap=True)
    for row in summary.to_dict("records"):
        against = "" if math.isnan(row["against_random"]) else f"{100 * row['against_random']:+.1f} points"
        accuracies = f"{row['train_accuracy']:.1%}", f"{row['test_accuracy']:.1%}"
        table.add_row(NAMES[row["rule"]], f"{row['share']:.0%}", f"{row['rows']:,}", *accuracies, against)
    out.print(table)
    truth = "the true labels" if facts["truth"] == "true_label" else "the given labels"
    drawn = f"{facts['rows']:,} drawn of {facts['samples']:,} samples" if facts["rows"] < facts["samples"] else ""
    whole = "groups kept whole" if facts["grouped"] else ""
    said = "; ".join(filter(None, [f"{repeats} repeats, tested against {truth}", whole, drawn]))
    notes.print(f"{said}; {said_seconds(facts['seconds'])}")
    for note in facts["notes"]:
        notes.print(f"note: {note}", markup=False)


def _without_nan(row: dict[Hashable, Any]) -> dict[Hashable, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
