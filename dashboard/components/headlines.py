"""The numbers at the head of the Overview page and of a report."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard import words
from dashboard.charts.ecdf import top_share
from dashboard.view.selection import DOUBT, Selection
from lsi_engine.runs.comparison import reliability


@dataclass(frozen=True)
class Headline:
    """One number: ``note`` says what it counts."""

    key: str
    name: str
    value: str
    note: str


def headlines(selection: Selection) -> list[Headline]:
    """What the view keeps, in four or five numbers."""
    frame, mask = selection.frame, selection.mask
    shown, total = int(mask.sum()), len(frame)
    reviewed = int((mask & (frame["decision"] != "undecided").to_numpy()).sum())
    suspected = words.count(int((mask & selection.suspected).sum()))
    kept = "all of them" if shown == total else f"of {words.count(total)}"
    top = f"{top_share(selection.lsi[mask]):.0%}" if shown else "–"
    numbers = [
        Headline("n", selection.data.nouns[1].capitalize(), words.count(shown), kept),
        Headline("top", "Held by the top 1 %", top, "of the sum of all LSI"),
        Headline("suspects", "Suspected mismatches", suspected, "matched less than by chance")
        if selection.data.pairs
        else Headline("suspects", "Suspected mislabels", suspected, f"suspicion > {DOUBT}, another label suggested"),
        Headline("reviewed", "Reviewed", words.count(reviewed), f"{words.count(shown - reviewed)} undecided"),
    ]
    agreed = reliability(selection.data.run)
    if agreed is not None:
        note = "rank agreement between seeds"
        numbers.insert(3, Headline("reliability", "Reliability", words.number(agreed, 2), note))
    return numbers
