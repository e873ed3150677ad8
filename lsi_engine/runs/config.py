"""What a run is asked to do, and the file of its folder that says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from lsi_engine.errors import InputError
from lsi_engine.files import write_json
from lsi_engine.scores.registry import chosen
from lsi_engine.settings import ScoreSettings, option

#: Of what a run folder holds. 1 was not written down; what is newer than this is listed, but not read.
FORMAT = 2


class RunConfig(ScoreSettings):
    """What a run was asked to do; equal configs on equal data give equal scores."""

    name: str
    source: dict[str, Any] = Field(description="how to open the samples: kind and its arguments")
    extractor: dict[str, Any] | None = Field(default=None, description="feature extractor and its arguments")
    corruption: list[dict[str, Any]] = Field(default_factory=list, description="applied in order, each with a seed")
    feature_scaling: Literal["none", "standardize", "unit"] = option(  # type: ignore[assignment]
        "standardize",
        "Feature scaling",
        "How features are scaled for the probe. Changes LSI; recorded with the run. unit: for pairs.",
    )
    left_out: tuple[int, int] | Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] | None = option(
        None,
        "Leave out",
        "Leave out these rows only, FIRST:END with END not included; or so many, or such a share (0.1), drawn at "
        "random.",
    )
    groups: Literal["none", "group", "near_duplicates"] = option(
        "none", "Also leave out whole", "Also leave out whole groups (patients, sources), or near-duplicates."
    )
    scores: list[str] = option(
        [], "Further scores", "Further scores, commas between them, or 'all'; `lsi scores` says what each is."
    )
    pairs: dict[str, Any] | None = Field(default=None, description="contrastive probe: settings of `score_pairs`")
    derived_from: str | None = Field(default=None, description="the run this one was made from, if any")
    decisions: str | None = Field(default=None, description="digest of the decisions on that run that were applied")

    @classmethod
    def options(cls) -> dict[str, FieldInfo]:
        """The fields that people set, by name; see :mod:`lsi_engine.settings` for what they carry."""
        return {name: field for name, field in cls.model_fields.items() if isinstance(field.json_schema_extra, dict)}

    @property
    def scoring(self) -> ScoreSettings:
        """The settings alone, without what is scored. Not of pairs, which scale rows and not columns."""
        return ScoreSettings.model_validate({name: getattr(self, name) for name in ScoreSettings.model_fields})

    def check(self) -> None:
        """Raise ``InputError`` for settings that exclude each other, saying what to change; see the base class."""
        if self.pairs is not None:
            if self.feature_scaling == "standardize":
                raise InputError(
                    "pairs are not standardised: a mean over all pairs would carry the left-out one into every "
                    "training; use feature_scaling 'unit' or 'none'"
                )
            if self.groups != "none" or self.hessian not in ("diag", "full"):
                raise InputError("pairs are left out one at a time, with hessian 'diag' or 'full'")
        elif self.feature_scaling == "unit":
            raise InputError("feature_scaling 'unit' is for pairs; use 'standardize' or 'none'")
        if self.groups != "none" and self.hessian not in ("diag", "full"):
            raise InputError(f"groups are scored with hessian 'diag' or 'full', not {self.hessian!r}")
        if chosen(self.scores) and self.pairs is not None:
            raise InputError("pairs have no further scores; leave --scores out")
        columns = {"feature_scaling": "none"} if self.pairs is not None else {}
        ScoreSettings.check(self.model_copy(update=columns))

    def rows(self, samples: int) -> NDArray[np.int64] | None:
        """Which of so many ``samples`` are left out and scored, ascending; ``None`` for all of them.

        A number or a share of them is drawn evenly at random, the same ones every time. Raises ``InputError`` for more
        than there are.
        """
        if self.left_out is None:
            return None
        if isinstance(self.left_out, tuple):
            return np.arange(*self.left_out)
        count = self.left_out if isinstance(self.left_out, int) else max(1, round(self.left_out * samples))
        if count > samples:
            raise InputError(f"{count:,} rows are to be left out, and there are {samples:,}")
        return np.sort(np.random.default_rng(0).choice(samples, size=count, replace=False))


def write_config(path: Path, config: RunConfig) -> None:
    """Write what the run in the folder ``path`` is asked to do, and the format of that folder."""
    write_json(path / "config.json", {"format": FORMAT, **config.model_dump(mode="json")})


def read_config(path: Path) -> RunConfig:
    """What the run in the folder ``path`` was asked to do, whichever version wrote it.

    Raises ``InputError`` where a newer version did, or where the file is no configuration.
    """
    file = path / "config.json"
    stored = read_object(file)
    version = stored.pop("format", 1)
    if version not in range(1, FORMAT + 1):
        raise InputError(
            f"run {path.name!r} was written by a newer version of this program (format {version!r}, this one reads "
            f"up to {FORMAT}): update it to read the run"
        )
    try:
        return RunConfig.model_validate_json(json.dumps(stored))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{file} cannot be read: {where!r}: {first['msg']}") from error


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in ``file``. Raises ``InputError`` for anything else."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}): restore it, or compute the run again") from error
    if not isinstance(stored, dict):
        raise InputError(f"{file} holds no JSON object: restore it, or compute the run again")
    return stored
