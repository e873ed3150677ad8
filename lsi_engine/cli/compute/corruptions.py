"""``lsi corruptions``, and the options of ``lsi compute`` that damage a dataset on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from lsi_engine.cli.console import Json, out, print_json


def asked_for(
    flip_labels: float, seed: int, corrupt: Sequence[str], sweep: str | None
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Each variant that ``--flip-labels``, ``--corrupt`` and ``--sweep`` ask for: its name's ending and its steps."""
    from lsi_engine.samples.corruption.specification import parse, swept

    steps = [{"kind": "flip_labels", "rate": flip_labels, "seed": seed}] if flip_labels else []
    steps += [parse(text) for text in corrupt]
    return [("", steps)] if sweep is None else swept(steps, sweep)


def show_sweep(name: str) -> None:
    """Print the median LSI of each class at each value of the sweep that the run ``name`` belongs to."""
    from lsi_engine.runs.store import RunStore
    from lsi_engine.runs.sweep import sweep_of

    store = RunStore()
    found = sweep_of(store.open(name), store)
    if found is None:
        return
    medians = found.table.pivot(index="label", columns="value", values="median")
    table = Table(f"median LSI by {found.setting}", *map(str, medians.columns), box=None)
    for label, row in medians.iterrows():
        table.add_row(str(label).replace("[", r"\["), *(f"{value:.4g}" for value in row))
    out.print(table)


def list_corruptions(as_json: Json = False) -> None:
    """List every --corrupt KIND, its settings and what they are when not given."""
    from lsi_engine.samples.corruption import CORRUPTIONS

    if as_json:
        print_json(
            {
                kind: {
                    "summary": corruption.summary,
                    "stage": corruption.stage,
                    "modalities": list(corruption.modalities),
                    "settings": {setting.name: setting.default for setting in corruption.settings},
                }
                for kind, corruption in CORRUPTIONS.items()
            }
        )
        return
    table = Table("kind", "for", "what it does", "settings", box=None)
    for kind, corruption in CORRUPTIONS.items():
        settings = ", ".join(
            setting.name if setting.default is None else f"{setting.name}={setting.default}"
            for setting in corruption.settings
        )
        table.add_row(kind, ", ".join(corruption.modalities), corruption.summary, settings)
    out.print(table)
