"""``lsi rescore``: the decisions of a round of review applied, and everything scored again."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from lsi_engine.cli.console import Bars, Json, RunName, out, print_json
from lsi_engine.curation import Decisions
from lsi_engine.runs.store import RunStore


def rescore_run(
    name: RunName,
    to: Annotated[str | None, typer.Option("--name", help="Name of the new run; RUN-r2, -r3 … when not given.")] = None,
    as_json: Json = False,
) -> None:
    """Apply what reviewers relabelled and dropped, and score again from cached features, as a new run."""
    from lsi_engine.curation.rescore import rescore
    from lsi_engine.curation.rounds import round_changes

    store = RunStore()
    run = store.open(name)
    with Bars() as progress:
        made = rescore(run, store, name=to, progress=progress)
    changes = round_changes(run.scores(), made.scores(), Decisions(made.decisions_path).latest())
    if as_json:
        facts = {"run": made.name, "derived_from": run.name, "decisions": made.config.decisions}
        print_json(facts | asdict(changes) | {"finished": changes.finished})
        return
    spent = sum(made.provenance["timings"].values())
    out.print(
        f"run [bold]{made.name}[/]: {changes.relabelled:,} relabelled, {changes.dropped:,} dropped, scored again in "
        f"{spent:.1f} s"
    )
    out.print(f"suspected labels: {changes.suspects_before:,} before, {changes.suspects_after:,} now")
    out.print(f"above LSI {changes.tail_threshold:.3g}: {changes.tail_before:,} before, {changes.tail_after:,} now")
    if changes.finished:
        out.print("nothing undecided is doubtful any more")
    else:
        out.print(f"still to look at: {len(changes.waiting):,}, {len(changes.new_suspects):,} of them new")
