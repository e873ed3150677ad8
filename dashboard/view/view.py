"""The one filter object. It lives in the URL, so a reload or a colleague's link opens the same view.

A page reads it with :func:`current_view` and changes it with :func:`update_view`; nothing else holds filters.
The session remembers the view's query string only, because changing pages drops the URL's parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import words
from dashboard.view import lasso
from dashboard.view.lasso import Lasso
from lsi_engine.errors import InputError
from lsi_engine.scores.column import Column
from lsi_engine.scores.registry import column, columns

#: What a person can have decided about a sample; ``undecided`` where nobody has.
DECISIONS = ("undecided", "keep", "relabel", "drop", "unsure")

Range = tuple[float, float]

_MANY = {"classes": "class", "split": "split", "decisions": "decision"}
#: Scores whose range is a field of the view; ranges of all others stand in ``scores``.
_RANGES = ("lsi", "suspicion")
#: The URL parameters that belong to the view; pages may use others beside them.
_OTHERS = tuple(name for name in columns() if name not in _RANGES)
PARAMETERS = ("run", *_MANY.values(), *_RANGES, *_OTHERS, "corrupted", "lasso", "q")


@dataclass(frozen=True)
class Chip:
    """One removable condition: ``text`` for people, ``without`` the view once it is removed."""

    text: str
    without: View


@dataclass(frozen=True)
class View:
    """Which run is open and which of its samples are looked at.

    ``lsi``, ``suspicion`` and ``scores`` (by name) are closed ranges in the score's units (∞ is an end); empty
    tuples, ``None`` and ``""`` mean "no condition". ``search`` matches, ignoring case, any part of a
    sample's id or name, and of its text where the run stores one.
    """

    run: str = ""
    classes: tuple[str, ...] = ()
    lsi: Range | None = None
    suspicion: Range | None = None
    corrupted: bool | None = None
    split: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    search: str = ""
    lasso: Lasso | None = None
    scores: tuple[tuple[str, Range], ...] = ()

    def to_query(self) -> dict[str, list[str]]:
        """The view as URL parameters, conditions that are not set left out."""
        query: dict[str, list[str]] = {parameter: list(getattr(self, name)) for name, parameter in _MANY.items()}
        for name in _RANGES:
            limits = getattr(self, name)
            query[name] = [f"{limits[0]!r}..{limits[1]!r}"] if limits is not None else []
        query |= {name: [f"{low!r}..{high!r}"] for name, (low, high) in self.scores}
        query["run"] = [self.run] if self.run else []
        query["corrupted"] = [] if self.corrupted is None else ["yes" if self.corrupted else "no"]
        query["q"] = [self.search] if self.search else []
        query["lasso"] = [] if self.lasso is None else [lasso.written(self.lasso)]
        return {name: values for name, values in query.items() if values}

    @classmethod
    def from_query(cls, params: Mapping[str, str | Iterable[str]]) -> View:
        """The view that a URL describes; a value nobody could have set is treated as no condition."""

        def all_of(name: str) -> tuple[str, ...]:
            value = params.get(name, ())
            return (value,) if isinstance(value, str) else tuple(value)

        def last_of(name: str) -> str:
            return (all_of(name) or ("",))[-1]

        return cls(
            run=last_of("run"),
            classes=_unique(all_of("class")),
            lsi=_parse_range(last_of("lsi")),
            suspicion=_parse_range(last_of("suspicion")),
            corrupted={"yes": True, "no": False}.get(last_of("corrupted")),
            split=_unique(all_of("split")),
            decisions=_unique(decision for decision in all_of("decision") if decision in DECISIONS),
            search=last_of("q"),
            lasso=lasso.parsed(last_of("lasso")),
            scores=tuple((name, limits) for name in _OTHERS if (limits := _parse_range(last_of(name))) is not None),
        )

    @classmethod
    def of_link(cls, run: str, text: str) -> View:
        """The view of ``run`` under the conditions in ``text``: a page's whole address, or its part after the ``?``.

        Raises ``InputError`` for a condition that means nothing, which a page would pass over.
        """
        _, mark, after = text.partition("?")
        given = {name: values for name, values in parse_qs(after if mark else text).items() if name != "run"}
        unknown = [] if mark else sorted(set(given) - set(PARAMETERS))  # pages have parameters of their own
        view = replace(cls.from_query(given), run=run)
        empty = [name for name in PARAMETERS if name in given and name not in view.to_query()]
        if unknown or empty or (text and not mark and not given):
            wrong = ", ".join([*unknown, *empty]) or text
            raise InputError(
                f"the filter {text!r} holds no condition called or worth {wrong}: write it as a page's address does, "
                "for example 'class=cat&lsi=0.1..inf&suspicion=0.5..1.0'"
            )
        return view

    @property
    def conditions(self) -> int:
        """How many conditions are set; zero shows every sample."""
        empty = View(run=self.run)
        return sum(getattr(self, f.name) != getattr(empty, f.name) for f in fields(self))

    def mask(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """``(N,)`` bool: which rows of a run's frame meet every condition.

        ``frame`` has the columns of ``scores.parquet`` and ``decision``, and with a lasso ``map_x`` and ``map_y``.
        A condition on a column that the run lacks is met by no sample. A missing score (NaN) lies in no range.
        """
        keep = np.ones(len(frame), dtype=bool)
        for name, wanted in (("label", self.classes), ("split", self.split), ("decision", self.decisions)):
            if wanted:
                keep &= _is_one_of(frame, name, wanted)
        for name, limits in (*((name, getattr(self, name)) for name in _RANGES), *self.scores):
            if limits is None:
                continue
            if name not in frame:
                return np.zeros(len(frame), dtype=bool)
            values = frame[name].to_numpy()
            keep &= (values >= limits[0]) & (values <= limits[1])
        if self.corrupted is not None:
            if "corrupted" not in frame:
                return np.zeros(len(frame), dtype=bool)
            keep &= frame["corrupted"].to_numpy(dtype=bool) == self.corrupted
        if self.search:
            found = np.zeros(len(frame), dtype=bool)
            for name in ("sample_id", "name", "text"):
                if name in frame:
                    found |= frame[name].str.contains(self.search, case=False, regex=False).to_numpy(dtype=bool)
            keep &= found
        if self.lasso is not None:
            if "map_x" not in frame:
                return np.zeros(len(frame), dtype=bool)
            keep &= lasso.inside(frame[["map_x", "map_y"]].to_numpy(dtype=np.float64), self.lasso[1])
        return keep

    def chips(self) -> list[Chip]:
        """The conditions in plain words, each with the view that remains when it is taken away."""
        chips: list[Chip] = []

        def add(text: str, **change: Any) -> None:
            chips.append(Chip(text, replace(self, **change)))

        for name, word in (("classes", "Class"), ("split", "Split"), ("decisions", "Decision")):
            for value in getattr(self, name):
                add(f"{word} {value}", **{name: tuple(v for v in getattr(self, name) if v != value)})
        for name in _RANGES:
            if getattr(self, name) is not None:
                add(_range_words(column(name), getattr(self, name)), **{name: None})
        for name, limits in self.scores:
            rest = tuple(each for each in self.scores if each[0] != name)
            add(_range_words(column(name), limits), scores=rest)
        if self.corrupted is not None:
            add("Corrupted only" if self.corrupted else "Uncorrupted only", corrupted=None)
        if self.search:
            add(f"Contains “{self.search}”", search="")
        if self.lasso is not None:
            add(f"Area on the {self.lasso[0].upper()} map", lasso=None)
        return chips

    def on_run(self, run: str, frame: pd.DataFrame, *, same_samples: bool) -> View:
        """The view after switching to ``run``: conditions that mean the same there stay.

        LSI has no common unit across runs, so its range goes, and so does an area of a map. Suspicion is a
        probability and stays. The search stays where the samples are the same ones.
        """
        return View(
            run=run,
            classes=_present(self.classes, frame, "label"),
            suspicion=self.suspicion,
            corrupted=self.corrupted if "corrupted" in frame else None,
            split=_present(self.split, frame, "split"),
            decisions=self.decisions,
            search=self.search if same_samples else "",
        )


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _parse_range(text: str) -> Range | None:
    low, dots, high = text.partition("..")
    try:
        limits = float(low), float(high)
    except ValueError:
        return None
    return limits if dots and limits[0] <= limits[1] else None  # NaN compares false


def _range_words(about: Column, limits: Range) -> str:
    """A range of a score, ends that say nothing left out."""
    low, high = limits
    if high >= about.top:
        return f"{about.title} ≥ {words.number(low)}"
    if low <= about.low:
        return f"{about.title} ≤ {words.number(high)}"
    return f"{about.title} {words.number(low)} to {words.number(high)}"


def _is_one_of(frame: pd.DataFrame, column: str, wanted: tuple[str, ...]) -> NDArray[np.bool_]:
    if column not in frame:
        return np.zeros(len(frame), dtype=bool)
    return frame[column].isin(wanted).to_numpy(dtype=bool)


def _present(values: tuple[str, ...], frame: pd.DataFrame, column: str) -> tuple[str, ...]:
    if not values or column not in frame:
        return ()
    known = set(frame[column].unique())
    return tuple(value for value in values if value in known)


def _url() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in PARAMETERS if name in st.query_params}


def current_view() -> View:
    """The view of this session: the URL's, or the one before the last change of pages."""
    url = _url()
    if "run" not in url and "view" in st.session_state:
        return View.from_query(st.session_state["view"])
    return View.from_query(url)


def set_view(view: View) -> None:
    """Make ``view`` the session's view and write it into the URL, other parameters untouched."""
    query = view.to_query()
    st.session_state["view"] = query
    url = _url()
    if url == query:
        return
    for name in PARAMETERS:
        if name in query:
            if url.get(name) != query[name]:
                st.query_params[name] = query[name]
        elif name in url:
            del st.query_params[name]


def update_view(**changes: Any) -> None:
    """Change some of the view's fields. Takes effect from the next script run: call it in a widget's
    callback, or follow it with ``st.rerun()``."""
    set_view(replace(current_view(), **changes))
