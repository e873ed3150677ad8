"""``lsi export``: the cleaned subset of a run as a file, byte for byte what the dashboard's Export page writes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.table import Table

from lsi_engine.cli.console import Json, RunName, out, print_json
from lsi_engine.curation import CleaningRule, Decisions, clean, write_export
from lsi_engine.curation.export import FORMATS, SUFFIX, Format
from lsi_engine.runs.store import RunStore

FormatName = StrEnum("FormatName", {name: name for name in FORMATS})  # type: ignore[misc]
DEFAULT_FORMAT = FormatName("csv")


class Unsure(StrEnum):
    keep = "keep"
    drop = "drop"


class End(StrEnum):
    highest = "highest"
    lowest = "lowest"


def export_run(
    name: RunName,
    format: Annotated[FormatName, typer.Option("--format", help="What to write.")] = DEFAULT_FORMAT,
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write; made from the run's name when not given.")
    ] = None,
    ignore_decisions: Annotated[bool, typer.Option("--ignore-decisions", help="Leave the reviews aside.")] = False,
    unsure: Annotated[Unsure, typer.Option(help="What happens to samples marked unsure.")] = Unsure.keep,
    drop_suspicion: Annotated[
        float | None, typer.Option(min=0, help="Drop undecided samples at least this doubtful that have a suggestion.")
    ] = None,
    keep_fraction: Annotated[
        float | None, typer.Option(help="Keep this share of each class, by LSI; above 0, at most 1.")
    ] = None,
    keep_end: Annotated[End, typer.Option(help="Which end of LSI that share comes from.")] = End.highest,
    list_dropped: Annotated[bool, typer.Option("--list-dropped", help="List dropped samples too.")] = False,
    as_json: Json = False,
) -> None:
    """Write the cleaned subset of a run: reviewers' decisions, then the rule you give."""
    run = RunStore().open(name)
    rule = CleaningRule(
        apply_decisions=not ignore_decisions,
        unsure=unsure.value,
        drop_suspicion=drop_suspicion,
        keep_fraction=keep_fraction,
        keep_end=keep_end.value,
        list_dropped=list_dropped,
    )
    subset = clean(run.scores(), Decisions(run.decisions_path).latest(), rule)
    chosen = cast(Format, format.value)
    written = write_export(subset, run, chosen, to or Path(run.name + SUFFIX[chosen]))
    counts = subset.counts()
    if as_json:
        print_json({"path": str(written), "counts": counts.to_dict("index")})
        return
    table = Table("class", *counts.columns, box=None)
    for label, row in counts.iterrows():
        table.add_row(str(label).replace("[", r"\["), *(f"{value:,}" for value in row))
    out.print(table)
    out.print(f"wrote {written}", markup=False)
