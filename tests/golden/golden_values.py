"""Golden values as files: exact things in ``golden.json``, floats in ``golden.npz``, and how they are compared."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HERE = Path(__file__).parent
JSON, NPZ = HERE / "golden.json", HERE / "golden.npz"
#: Rows of an array that are kept; of a longer one so many evenly spaced ones, and sums over all of it.
ROWS = 32
#: Values of a long array of several columns that are kept.
VALUES = 64
FLOAT = "≈"  # stands in the exact part for a float that is kept with the others


@dataclass
class Recorded:
    """One scenario's result: ``exact`` (JSON-able, no float in it), and ``floats`` by name, an array a column."""

    exact: dict[str, Any] = field(default_factory=dict)
    floats: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)


def recorded(result: dict[str, Any]) -> Recorded:
    """Split what a scenario returns: arrays, frames, and any nesting of dictionaries and lists of plain values."""
    made = Recorded()
    for name, value in result.items():
        numbers: list[NDArray[np.float64]] = []
        made.exact[name] = _split(value, numbers)
        if numbers:
            made.floats[name] = _joined(numbers)
    return made


def _joined(numbers: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Single numbers that follow one another (a list of correlations, say) are one array."""
    made: list[NDArray[np.float64]] = []
    alone = False
    for values in numbers:
        if len(values) == 1 and alone:
            made[-1] = np.append(made[-1], values)
        else:
            made.append(values)
        alone = len(values) == 1
    return made


def _split(value: Any, numbers: list[NDArray[np.float64]]) -> Any:
    if isinstance(value, pd.DataFrame):
        return {
            "rows": len(value),
            "columns": {str(name): _split(_column(value[name]), numbers) for name in value.columns},
        }
    if isinstance(value, dict):
        return {str(key): _split(each, numbers) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_split(each, numbers) for each in value]
    if isinstance(value, np.ndarray) and value.ndim:
        if value.dtype.kind == "f":
            kept = thinned(value.astype(np.float64))
            numbers.append(kept)
            return f"{FLOAT} {value.dtype} {'×'.join(map(str, value.shape))}, {len(kept)} kept"
        return _thin_list(value.ravel().tolist()) | {"shape": list(value.shape)}
    if isinstance(value, np.generic | np.ndarray):
        value = value.item()
    if isinstance(value, float):
        numbers.append(np.array([value]))
        return FLOAT
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"{type(value)} cannot be kept")


def _column(values: pd.Series) -> Any:
    if pd.api.types.is_bool_dtype(values) or pd.api.types.is_integer_dtype(values):
        return values.astype("object").where(values.notna(), None).to_numpy(dtype=object)
    if pd.api.types.is_float_dtype(values):
        return values.to_numpy(dtype=values.dtype)
    return values.astype("object").where(values.notna(), None).to_numpy(dtype=object)


def _thin_list(values: list[Any]) -> dict[str, Any]:
    """Some of the values and a digest of them all."""
    whole = json.dumps(values, ensure_ascii=False, default=str)
    step = max(1, -(-len(values) // 5))
    some = [value[:80] if isinstance(value, str) else value for value in values[::step]]
    return {"digest": blake2b(whole.encode(), digest_size=8).hexdigest(), "some": some, "count": len(values)}


def thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evenly spaced rows, then two sums over everything: of magnitudes, and of magnitudes by place. NaN counts as 0."""
    flat = np.nan_to_num(np.abs(values).ravel(), nan=0.0, posinf=0.0)
    sums = np.array([flat.sum(), (flat * (1 + np.arange(len(flat)) % 7)).sum()])
    if len(values) > ROWS:
        values = values[np.linspace(0, len(values) - 1, ROWS).round().astype(int)]
    kept = values.ravel()
    if len(kept) > VALUES:
        kept = kept[np.linspace(0, len(kept) - 1, VALUES).round().astype(int)]
    return np.concatenate([kept, sums])


def differences(found: Recorded, golden: Recorded, tolerance: float) -> list[str]:
    """What tells two results apart, in words; floats may differ by ``tolerance`` times :func:`_scale`."""
    told: list[str] = []
    _compare("", found.exact, golden.exact, told)
    for name, arrays in golden.floats.items():
        given = found.floats.get(name, [])
        if [len(values) for values in given] != [len(values) for values in arrays]:
            told.append(f"{name}: floats are missing or of another number")
            continue
        for place, (new, old) in enumerate(zip(given, arrays, strict=True)):
            apart = _apart(new, old)
            wrong = np.flatnonzero(apart > tolerance)
            if len(wrong):
                worst = int(apart.argmax())
                told.append(
                    f"{name}, array {place}: {len(wrong)} of {len(old)} floats differ by more than {tolerance:g} of "
                    f"their size; number {worst} is {float(new[worst])!r}, was {float(old[worst])!r}"
                )
    return told


def largest_difference(found: Recorded, golden: Recorded) -> tuple[float, str]:
    """The least ``tolerance`` at which the floats of two results agree, and where."""
    worst, place = 0.0, ""
    for name, arrays in golden.floats.items():
        for number, (new, old) in enumerate(zip(found.floats[name], arrays, strict=True)):
            largest = float(_apart(new, old).max(initial=0.0))
            if largest > worst:
                worst, place = largest, f"{name}, array {number}"
    return worst, place


def _apart(new: NDArray[np.float64], old: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far numbers are apart as a share of their scale; 0 for equal ones, infinite where only one is finite."""
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.abs(new - old) / _scale(old)
    same = (new == old) | (np.isnan(new) & np.isnan(old))
    return np.where(same, 0.0, np.where(np.isfinite(new) & np.isfinite(old), apart, np.inf))


def _scale(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The size of each number, and a thousandth of the largest one beside it.

    A small difference of larger numbers, such as a margin, carries their rounding. The last two numbers of a thinned
    array are sums, which set no scale for the others.
    """
    beside = values[:-2] if len(values) > 3 else values
    finite = np.abs(beside[np.isfinite(beside)])
    return np.abs(values) + 1e-3 * (finite.max() if len(finite) else 0.0)


def _compare(place: str, found: Any, golden: Any, told: list[str]) -> None:
    if isinstance(golden, dict) and isinstance(found, dict):
        for key in golden.keys() | found.keys():
            if key not in found or key not in golden:
                told.append(f"{place}/{key}: {'gone' if key not in found else 'new'}")
            else:
                _compare(f"{place}/{key}", found[key], golden[key], told)
    elif isinstance(golden, list) and isinstance(found, list) and len(golden) == len(found):
        for number, (new, old) in enumerate(zip(found, golden, strict=True)):
            _compare(f"{place}/{number}", new, old, told)
    elif found != golden or type(found) is not type(golden):
        told.append(f"{place}: {_short(found)}, was {_short(golden)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else text[:300] + "…"


def save(scenarios: dict[str, Recorded], about: dict[str, Any]) -> None:
    """Write both files; all floats are one array, in the order in which ``golden.json`` names them."""
    kept = {
        name: {"exact": made.exact, "floats": {key: len(arrays) for key, arrays in made.floats.items()}}
        for name, made in scenarios.items()
    }
    text = json.dumps({"about": about, "scenarios": kept}, ensure_ascii=False, indent=0)
    # A line a value would be half of the file: short lists of plain values go on one.
    text = re.sub(r"\[[^\[\]{}]{0,400}\]", lambda found: found[0].replace("\n", ""), text)
    JSON.write_text(text + "\n", encoding="utf-8")
    arrays = [values for made in scenarios.values() for named in made.floats.values() for values in named]
    lengths = np.array([len(values) for values in arrays], dtype=np.int32)
    np.savez_compressed(NPZ, floats=np.concatenate(arrays), lengths=lengths)


def load() -> tuple[dict[str, Recorded], dict[str, Any]]:
    """What was kept, by scenario, and what it was computed with."""
    content = json.loads(JSON.read_text(encoding="utf-8"))
    with np.load(NPZ, allow_pickle=False) as archive:
        arrays = iter(np.split(archive["floats"], np.cumsum(archive["lengths"])[:-1]))
    found = {}
    for name, kept in content["scenarios"].items():
        floats = {key: [next(arrays) for _ in range(count)] for key, count in kept["floats"].items()}
        found[name] = Recorded(kept["exact"], floats)
    return found, content["about"]
