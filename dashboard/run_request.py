"""What a person fills in to start a run: checked before anything starts, then turned into ``lsi compute`` arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lsi_engine.errors import InputError
from lsi_engine.runs.store import RunStore

Kind = Literal["images", "features", "digits"]


@dataclass(frozen=True)
class RunRequest:
    """The form's fields as typed; empty strings are fields left empty."""

    kind: Kind
    name: str
    path: str = ""
    label_pattern: str = ""
    label_default: str = ""
    group_pattern: str = ""
    labels_csv: str = ""
    backbone: str = "resnet18"
    weights: str = "default"
    hessian: str = "diag"
    weight_decay: float = 0.01
    feature_scaling: str = "standardize"
    flip_labels: float = 0.0
    seed: int = 0

    def problems(self, store: RunStore) -> list[str]:
        """What is wrong with the request, one sentence each, naming the field; empty when it can start."""
        found = [*self._path_problems(), *self._pattern_problems(), *self._name_problems(store)]
        if not self.weight_decay > 0:
            found.append("Weight decay must be above 0: without it the probe has no optimum to stand at.")
        if not 0 <= self.flip_labels < 1:
            found.append("The share of labels to flip lies between 0 and 1.")
        return found

    def _path_problems(self) -> list[str]:
        if self.kind == "digits":
            return []
        what = "Folder of images" if self.kind == "images" else "Feature file"
        if not self.path.strip():
            return [f"{what}: give a path on the machine that runs the dashboard."]
        path = _resolved(self.path)
        if self.kind == "images" and not path.is_dir():
            return [f"{what}: {path} is {'a file, not a folder' if path.exists() else 'not there'}."]
        if self.kind == "features":
            if not path.is_file():
                return [f"{what}: {path} is {'a folder, not a file' if path.exists() else 'not there'}."]
            if path.suffix not in (".npz", ".parquet"):
                return [f"{what}: {path.name} is neither .npz nor .parquet."]
        if self.weights.strip() not in ("", "default") and not _resolved(self.weights).is_file():
            return [f"Weights: {_resolved(self.weights)} is not there; leave 'default' for torchvision's download."]
        if self.labels_csv.strip() and not _resolved(self.labels_csv).is_file():
            return [f"Labels CSV: {_resolved(self.labels_csv)} is not there."]
        return []

    def _pattern_problems(self) -> list[str]:
        found = []
        for field, pattern in (("Label pattern", self.label_pattern), ("Group pattern", self.group_pattern)):
            if not pattern:
                continue
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                found.append(f"{field}: {pattern!r} is not a regular expression ({error}).")
                continue
            if not groups:
                found.append(f"{field}: {pattern!r} has no (group) to take the value from.")
        return found

    def _name_problems(self, store: RunStore) -> list[str]:
        if not self.name.strip():
            return ["Name: give the run a name."]
        try:
            path = store.path(self.name.strip())
        except InputError as error:
            return [f"Name: {error}."]
        if (path / "scores.parquet").is_file():
            return [f"Name: there is a finished run called {self.name.strip()!r}; choose another."]
        return []

    def arguments(self) -> list[str]:
        """The arguments of ``lsi compute``; paths made absolute."""
        options = {
            "--name": self.name.strip(),
            "--hessian": self.hessian,
            "--weight-decay": repr(self.weight_decay),
            "--feature-scaling": self.feature_scaling,
        }
        if self.flip_labels:
            options |= {"--flip-labels": repr(self.flip_labels), "--seed": str(self.seed)}
        if self.kind == "images":
            weights = self.weights.strip() or "default"
            options["--backbone"] = self.backbone
            options["--weights"] = weights if weights == "default" else str(_resolved(weights))
            patterns = {
                "--label-pattern": self.label_pattern,
                "--label-default": self.label_default,
                "--group-pattern": self.group_pattern,
                "--labels-csv": str(_resolved(self.labels_csv)) if self.labels_csv.strip() else "",
            }
            options |= {name: value for name, value in patterns.items() if value}
        # `--name=value` keeps a value that begins with a dash from being read as an option.
        given = [part for name, value in options.items() for part in _option(name, value)]
        return [self.kind, *given, *([] if self.kind == "digits" else ["--", str(_resolved(self.path))])]


def _option(name: str, value: str) -> list[str]:
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def _resolved(text: str) -> Path:
    return Path(text.strip()).expanduser().resolve()
