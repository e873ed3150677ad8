"""Carrying out a configured run from the command line, or saying what it would take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from rich.table import Table

from lsi_engine.cli.console import Bars, notes, out, print_json, said_seconds

if TYPE_CHECKING:
    from lsi_engine.runs.config import RunConfig

_planned: ContextVar[list[RunConfig] | None] = ContextVar("_planned", default=None)


@contextmanager
def planning() -> Iterator[list[RunConfig]]:
    """Within, runs are collected in the list and not carried out."""
    collected: list[RunConfig] = []
    token = _planned.set(collected)
    try:
        yield collected
    finally:
        _planned.reset(token)


def show_estimate(config: RunConfig, runs: int, as_json: bool) -> None:
    """What ``config`` would take, each method a line; of a sweep, what each of its runs would."""
    from lsi_engine.runs.estimate import estimate
    from lsi_engine.runs.store import RunStore

    found = estimate(config, RunStore())
    if as_json:
        print_json({"runs": runs, **found.to_dict()})
        return
    known = {"samples": found.sizes.samples, "features": found.sizes.dimension, "classes": found.sizes.classes}
    listed = ", ".join(f"{value:,} {name}" if value else f"{name} unknown" for name, value in known.items())
    out.print(f"{listed} ({found.sizes.said})" + (f"; each of {runs} runs:" if runs > 1 else ""), markup=False)
    said = "unknown" if found.features.seconds is None else said_seconds(found.features.seconds)
    out.print(f"features   {said} ({found.features.said})", markup=False)
    if not found.costs:
        notes.print("how long each method takes cannot be said before the data are read")
        return
    table = Table("method", "about", "memory", "", box=None)
    for name, each in found.costs.items():
        marked = f"{name} ←" if name == found.chosen else name
        if each.refusal:
            table.add_row(marked, "–", "", each.refusal.replace("[", r"\["))
        else:
            memory = f"{each.needed / 2**30:.1f} of {each.free / 2**30:.1f} GiB free"
            table.add_row(marked, said_seconds(each.seconds), memory, "")
    out.print(table)


def carry_out(config: RunConfig) -> bool:
    """Compute the run, with bars, and say what came out; ``False`` where it was only planned."""
    if (planned := _planned.get()) is not None:
        planned.append(config)
        return False
    from lsi_engine.runs.pipeline import compute
    from lsi_engine.runs.store import RunStore

    with Bars() as progress:
        run, computed = compute(config, RunStore(), progress)
    facts = run.provenance
    if not computed:
        out.print(f"run [bold]{run.name}[/] is complete since {facts['created']}; nothing to do")
        return True
    timings = facts["timings"]
    out.print(
        f"run [bold]{run.name}[/]: {facts['samples']:,} samples, {len(facts['classes'])} classes, "
        f"{sum(timings.values()):.1f} s ({', '.join(f'{stage} {spent:.1f}' for stage, spent in timings.items())}), "
        f"peak memory {facts['peak_memory_bytes'] / 2**30:.1f} GiB"
    )
    agreement = facts["engine"].get("seed_spearman")
    if agreement:
        out.print(f"seed-to-seed Spearman {agreement['mean']:.3f} (lowest {agreement['lowest']:.3f})")
    if facts["skipped"]:
        out.print(f"{facts['skipped']:,} item(s) could not be used: `lsi show {run.name} --skipped` lists them")
    for warning in facts["warnings"]:
        notes.print(f"warning: {warning}", markup=False)
    return True
