"""``lsi compare``: runs side by side, from the same numbers as the dashboard's Compare page."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pandas as pd
import typer
from rich.table import Table

from lsi_engine.cli.console import Json, out, print_json
from lsi_engine.errors import InputError
from lsi_engine.runs.store import RunStore
from lsi_engine.scores.registry import columns

_MEASURES = ", ".join(column.name for column in columns().values() if column.ranks and column.compares)


def compare_runs(
    names: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two or more stored runs.")],
    measure: Annotated[str, typer.Option(help=f"The score whose shifts are listed: {_MEASURES}.")] = "lsi",
    top: Annotated[int, typer.Option(min=0, help="How many of the samples that moved most to list.")] = 10,
    as_json: Json = False,
) -> None:
    """Compare runs: rank correlations, samples and classes that moved (first against second), dataset difficulty.

    Runs on other samples are compared as datasets only.
    """
    from lsi_engine.runs.comparison import compare, difficulty, pairwise_agreement

    store = RunStore()
    runs = [store.open(name) for name in dict.fromkeys(names)]
    if len(runs) < 2:
        raise InputError("name at least two different runs")
    found: dict[str, Any] = {"difficulty": _records(difficulty(runs))}
    try:
        comparison = compare({run.name: run.scores() for run in runs})
    except InputError as error:
        found |= {"shared": 0, "note": str(error)}
    else:
        first, second = comparison.runs[:2]
        lacking = [name for name in (first, second) if measure not in comparison.frames[name]]
        if lacking:
            raise InputError(f"run {lacking[0]!r} has no score {measure!r}; scores are: {_MEASURES}")
        table = comparison.correlations()
        agreed = pairwise_agreement(table, measure)
        found |= {
            "shared": len(comparison),
            "missing": comparison.missing,
            "measure": measure,
            "spearman": [{"first": a, "second": b, "value": value} for (a, b), value in agreed.items()],
            "correlations": {
                "columns": [list(key) for key in table.index],
                "values": [[float(value) for value in row] for row in table.to_numpy()],
            },
            "classes": _records(comparison.class_shift(first, second, measure)),
            "moved": _records(comparison.shifts(first, second, measure).head(top)),
        }
    if as_json:
        print_json(found)
    else:
        _print(found)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records", double_precision=15))


def _print(found: dict[str, Any]) -> None:
    _table(found["difficulty"], ["run", "samples", "p5", "p50", "p95", "accuracy", "reliability", "settings"])
    if not found["shared"]:
        out.print(f"\n{found['note']}", markup=False)
        return
    out.print(f"\n{found['shared']:,} shared samples; Spearman of {found['measure']}:")
    _table(found["spearman"], ["first", "second", "value"])
    out.print("\nmedians by class, second / first:")
    _table(found["classes"], ["label", "n", "first", "second", "ratio", "low", "high"])
    out.print("\nmoved most in the ranking (percentiles):")
    _table(
        found["moved"],
        ["sample_id", "label_first", "label_second", "percentile_first", "percentile_second", "first", "second"],
    )


def _table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    out.print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("[", r"\[")
