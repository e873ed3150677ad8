"""``lsi export``: the cleaned subset of a run as a file, byte for byte what the dashboard's Export page writes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.table import Table

from lsi_engine.cli.console import Bars, Json, RunName, out, print_json, warn
from lsi_engine.curation import CleaningRule, write_export
from lsi_engine.curation.export import FORMATS, SUFFIX, Format, subset_of
from lsi_engine.curation.manifest import repeated
from lsi_engine.curation.tree import LAYOUTS, write_tree
from lsi_engine.runs.skill import caveat_of
from lsi_engine.runs.store import RunStore

FormatName = StrEnum("FormatName", {name: name for name in (*FORMATS, *LAYOUTS)})  # type: ignore[misc]
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
    deduplicate: Annotated[bool, typer.Option("--deduplicate", help="Keep one of near-duplicates.")] = False,
    balance: Annotated[bool, typer.Option("--balance", help="Thin every class to the smallest one's size.")] = False,
    validation: Annotated[float, typer.Option(help="Share of a validation part; groups stay whole.")] = 0.0,
    test: Annotated[float, typer.Option(help="Share of a test part; groups stay whole.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the parts.")] = 0,
    like: Annotated[
        Path | None, typer.Option("--like", help="Repeat the rule of an exported file; refused if anything changed.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy files into a folder instead of linking them.")] = False,
    list_dropped: Annotated[bool, typer.Option("--list-dropped", help="List dropped samples too.")] = False,
    as_json: Json = False,
) -> None:
    """Write the cleaned subset of a run: reviewers' decisions, then the rule you give."""
    store = RunStore()
    run = store.open(name)
    warn(caveat_of(run))
    rule = CleaningRule(
        apply_decisions=not ignore_decisions,
        unsure=unsure.value,
        drop_suspicion=drop_suspicion,
        keep_fraction=keep_fraction,
        keep_end=keep_end.value,
        deduplicate=deduplicate,
        balance=balance,
        validation=validation,
        test=test,
        seed=seed,
        list_dropped=list_dropped,
    )
    with Bars() as progress:
        subset = repeated(like, run, store.cache, progress) if like else subset_of(run, rule, store.cache, progress)
        if format.value in LAYOUTS:
            folder = to or Path(f"{run.name}.{format.value}")
            written = write_tree(subset, run, format.value, folder, copy=copy, progress=progress)
        else:
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
