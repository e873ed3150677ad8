"""Where a figure's numbers and categories lie: its axes, their ticks, and the area between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard import words


@dataclass(frozen=True)
class Axis:
    """Data from ``low`` to ``high``, marked at ``ticks``; ``places`` are the positions of categories."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    title: str
    places: dict[Any, int] | None = None

    def number(self, value: Any) -> float:
        if self.places is not None:
            return float(self.places[value])
        return math.nan if value is None else float(value)


@dataclass(frozen=True)
class Frame:
    x: Axis
    y: Axis
    left: float
    top: float
    width: float
    height: float
    x_above: bool

    def across(self, value: Any) -> float:
        share = (self.x.number(value) - self.x.low) / (self.x.high - self.x.low)
        return round(self.left + share * self.width, 1)

    def down(self, value: Any) -> float:
        share = (self.y.number(value) - self.y.low) / (self.y.high - self.y.low)
        return round(self.top + (1 - share) * self.height, 1)


def axis_of(axis: Any, values: list[Any]) -> Axis:
    title = axis.title.text or ""
    if any(isinstance(value, str) for value in values):
        names = list(dict.fromkeys(values))
        places = {name: place for place, name in enumerate(names)}
        return Axis(-0.5, len(names) - 0.5, [(at, name) for name, at in places.items()], title, places)
    numbers = np.array([value for value in values if value is not None], dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
    if axis.range is not None:
        low, high = (float(end) for end in axis.range)
    else:
        margin = 0.04 * (high - low) or 0.5
        low, high = low - margin if axis.rangemode != "tozero" else min(low, 0.0), high + margin
    if axis.showticklabels is False:
        return Axis(low, high, [], title)
    if axis.tickvals is not None:
        return Axis(low, high, list(zip(map(float, axis.tickvals), axis.ticktext, strict=True)), title)
    return Axis(low, high, _even_ticks(low, high, axis.tickformat or ""), title)


def _even_ticks(low: float, high: float, form: str) -> list[tuple[float, str]]:
    """Ticks at steps of 1, 2 or 5 times a power of ten, about five of them."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.99)
    at = [step * n for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    write = (lambda value: f"{value:.0%}") if form.endswith("%") else (lambda value: words.number(value))
    return [(value, write(value)) for value in at]


def spread(trace: Any, letter: str) -> list[Any]:
    """The positions that a trace takes on one axis, the ends of its bars and of its error bars included."""
    values = [] if trace[letter] is None else list(trace[letter])
    if trace.type == "bar":  # how tall they stand is `heights`' business
        half = trace.width / 2
        return [] if letter == "y" else [end for value in values for end in (value - half, value + half)]
    if letter == "y" and trace.error_y.array is not None:
        up, down = np.asarray(trace.error_y.array, float), np.asarray(trace.error_y.arrayminus, float)
        centre = np.asarray(values, float)
        values += [*(centre + up), *(centre - down)]
    return [*values, 0.0] if letter == "y" and trace.fill == "tozeroy" else values


def heights(traces: Sequence[Any]) -> list[float]:
    bars = [np.asarray(trace.y, float) for trace in traces if trace.type == "bar"]
    return [0.0, float(np.sum(bars, axis=0).max())] if bars else []
