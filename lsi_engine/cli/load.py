"""``lsi load``: scores that were computed elsewhere, joined to the dataset on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lsi_engine.cli.console import Bars, Json, notes, out, print_json
from lsi_engine.runs.store import RunStore


def load_scores(
    scores: Annotated[str | None, typer.Argument(metavar="[SCORES]", help="Which; without it they are listed.")] = None,
    path: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Where your copy of the dataset lies.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; that of the scores when not given.")] = None,
    as_json: Json = False,
) -> None:
    """Open published scores on your own copy of a dataset, without computing anything."""
    from lsi_engine.runs.published import available, facts_of, load

    store = RunStore()
    if scores is None:
        found = {key: facts_of(file) for key, file in available(store).items()}
        if as_json:
            print_json(found)
            return
        table = Table("scores", "dataset", "samples", "computed", "licence", box=None)
        for key, facts in found.items():
            table.add_row(key, facts["title"], f"{facts['samples']:,}", facts["how"], facts["licence"])
        out.print(table)
        return
    with Bars() as progress:
        run = load(scores, path, store, run_name=name, progress=progress)
    facts = run.provenance
    if as_json:
        print_json(
            {"name": run.name, "samples": facts["samples"], "skipped": facts["skipped"], "notes": facts["warnings"]}
        )
        return
    out.print(
        f"run [bold]{run.name}[/]: {facts['samples']:,} samples, {len(facts['classes'])} classes; `lsi dashboard`"
    )
    if facts["skipped"]:
        out.print(f"{facts['skipped']:,} item(s) could not be used: `lsi show {run.name} --skipped` lists them")
    for note in facts["warnings"]:
        notes.print(f"note: {note}", markup=False)
