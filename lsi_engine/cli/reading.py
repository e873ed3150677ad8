"""``lsi runs``, ``lsi show``, ``lsi evaluate``: what the stored runs say."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pandas as pd
import typer
from rich.table import Table

from lsi_engine.cli.console import Json, RunName, notes, out, print_json, warn
from lsi_engine.runs.skill import caveat_of, skill_of
from lsi_engine.runs.store import Run, RunStore
from lsi_engine.scores.skill import curve_sentence


def list_runs(as_json: Json = False) -> None:
    """List the stored runs, newest first."""
    store = RunStore()
    rows, unreadable = [_row(run) for run in store.runs()], store.unreadable()
    if as_json:
        print_json([*rows, *({"name": name, "state": "unreadable", "why": why} for name, why in unreadable.items())])
        return
    if not rows and not unreadable:
        out.print(f"no runs in {store.folder} yet; `lsi compute digits` makes one")
        return
    table = Table("run", "state", "samples", "classes", "method", "seconds", "created", box=None)
    for row in rows:
        cells = {**row, "method": f"{row['method']} {row['hessian']}"}
        del cells["hessian"]
        table.add_row(*("" if cell is None else str(cell) for cell in cells.values()))
    if rows:
        out.print(table)
    for why in unreadable.values():
        notes.print(f"not listed: {why}", markup=False)


def _row(run: Run) -> dict[str, Any]:
    status, facts = run.status, run.provenance if run.complete else {}
    return {
        "name": run.name,
        "state": "stalled" if status.stalled else status.state,
        "samples": facts.get("samples"),
        "classes": len(facts["classes"]) if facts else None,
        "method": run.config.method,
        "hessian": run.config.hessian,
        "seconds": round(sum(facts.get("timings", {}).values()), 1) if facts else None,
        "created": facts.get("created"),
    }


def show_run(
    name: RunName,
    top: Annotated[int, typer.Option(min=0, help="How many of the highest-LSI samples to list.")] = 10,
    skipped: Annotated[bool, typer.Option("--skipped", help="List what could not be used, and why.")] = False,
    as_json: Json = False,
) -> None:
    """Show one run: settings, class medians, the most informative samples."""
    run = RunStore().open(name)
    if skipped:
        _show_skipped(run, as_json)
    elif not run.complete:
        _show_status(run, as_json)
    else:
        _show_scores(run, top, as_json)


def _show_skipped(run: Run, as_json: bool) -> None:
    items = run.skipped().to_dict("records")
    if as_json:
        print_json(items)
        return
    for row in items:
        out.print(f"{row['item']}: {row['reason']}", markup=False)


def _show_status(run: Run, as_json: bool) -> None:
    status = run.status
    if as_json:
        print_json({"name": run.name, "status": status.model_dump(), "config": run.config.model_dump()})
        return
    state = "stalled; the same `lsi compute` resumes it" if status.stalled else status.state
    out.print(f"run {run.name}: {state} {status.stage} {status.done}/{status.total} {status.message}", markup=False)


def _show_scores(run: Run, top: int, as_json: bool) -> None:
    scores, facts, skill = run.scores(), run.provenance, skill_of(run)
    warn(skill.caveat if skill else None)
    second = "suggested_pair" if "suggested_pair" in scores else "suggested_label"
    medians = scores.groupby("label", observed=True)["lsi"].agg(["size", "median"]).sort_values("median")
    highest = scores.nlargest(top, "lsi")[["sample_id", "name", "label", second, "lsi", "suspicion"]]
    if as_json:
        print_json(
            {
                "name": run.name,
                "config": run.config.model_dump(),
                "provenance": facts,
                "skill": None if skill is None else skill.to_dict(),
                "class_medians": medians["median"].to_dict(),
                "highest": json.loads(highest.to_json(orient="records")),
            }
        )
        return
    out.print(
        f"[bold]{run.name}[/] · {facts['samples']:,} samples · {run.config.method}, {run.config.hessian} · "
        f"|g| {facts['gradient_norm']:.1e} · {sum(facts['timings'].values()):.1f} s · {facts['created']}"
    )
    if skill is not None:
        out.print(skill.summary, markup=False)
    if curve := facts["engine"].get("weight_decay_curve"):
        out.print(curve_sentence(curve, facts["engine"]["weight_decay_samples"]), markup=False)
    classes = Table("class", "n", "median LSI", box=None)
    for label, size, median in medians.reset_index().to_numpy().tolist():
        classes.add_row(_literal(label), f"{size:,}", f"{median:.4g}")
    out.print(classes)
    table = Table("sample", "name", "label", "suggested", "LSI", "label doubt", box=None)
    for sample, name, label, suggested, lsi, suspicion in highest.to_numpy().tolist():
        shown = "" if pd.isna(suggested) else _literal(suggested)
        table.add_row(sample, _literal(name), _literal(label), shown, f"{lsi:.4g}", f"{suspicion:.3f}")
    out.print()
    out.print(table)


def _literal(text: object) -> str:
    """A label or file name that looks like markup is shown, not obeyed."""
    return str(text).replace("[", r"\[")


def evaluate_run(
    name: RunName,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples behind the intervals.")] = 1000,
    as_json: Json = False,
) -> None:
    """For a run with known corruption: how well do LSI and label doubt find it? With 95 % bootstrap intervals."""
    from lsi_engine.runs.evaluation import evaluate

    run = RunStore().open(name)
    frame = evaluate(run.scores(), resamples=resamples).table()
    warn(caveat_of(run))
    if as_json:
        print_json(json.loads(frame.to_json(orient="records")))
        return
    table = Table("measure", "metric", "value", "95 % interval", box=None)
    for row in frame.to_dict("records"):
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        table.add_row(str(row["measure"]), str(row["metric"]), f"{row['value']:.3f}", interval)
    out.print(table)
