"""What a person fills in to start a run: checked before anything starts, then turned into ``lsi compute`` arguments."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lsi_engine.cli.compute import plan
from lsi_engine.errors import InputError
from lsi_engine.runs.checks import check_config
from lsi_engine.runs.store import RunStore
from lsi_engine.samples.corruption import CORRUPTIONS
from lsi_engine.samples.tables.rows import ENDINGS, ending

Kind = Literal[
    "images", "pneumonia", "cifar10", "cifar100", "imagenette", "imagewoof", "dicom", "features", "digits",
    "texts", "demo-texts", "table", "breast-cancer", "pairs",
]  # fmt: skip
#: Kinds that come with the product; all others need a path.
BUNDLED: frozenset[Kind] = frozenset({"digits", "demo-texts", "breast-cancer"})
#: Kinds whose features are computed by a text encoder, and kinds that bring their own.
TEXTS: frozenset[Kind] = frozenset({"texts", "demo-texts"})
WITH_FEATURES: frozenset[Kind] = frozenset({"features", "digits", "table", "breast-cancer"})
#: What each kind's path is called, and the splits it has, the usual one first.
PATHS: dict[Kind, str] = {
    "images": "Folder of images",
    "pneumonia": "Folder chest_xray",
    "cifar10": "Folder of CIFAR-10",
    "cifar100": "Folder of CIFAR-100",
    "imagenette": "Folder of Imagenette",
    "imagewoof": "Folder of Imagewoof",
    "dicom": "Folder of DICOM files",
    "features": "Feature file",
    "texts": "File or folder of texts",
    "table": "Table",
    "pairs": "File of captions",
}
SPLITS: dict[Kind, tuple[str, ...]] = {
    "pneumonia": ("train", "val", "test"),
    "cifar10": ("train", "test"),
    "cifar100": ("train", "test"),
    "imagenette": ("train", "val"),
    "imagewoof": ("train", "val"),
}


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
    label_field: str = ""
    split: str = ""
    backbone: str = "resnet18"
    weights: str = "default"
    encoder: str = "tfidf"
    pooling: str = "mean"
    text_column: str = ""
    label_column: str = ""
    images: str = ""
    class_names: str = ""
    captions: str = "all"
    instances: str = ""
    method: str = "closed_form"
    hessian: str = "diag"
    weight_decay: float = 0.01
    feature_scaling: str = "standardize"
    prior_precision: str = "weight_decay"
    hidden: int = 0
    learning_rate: float | None = None
    epochs: int = 1000
    seeds: int = 1
    score_epochs: str = ""
    rows: str = ""
    groups: str = "none"
    device: str = ""
    corruptions: tuple[dict[str, Any], ...] = ()

    def problems(self, store: RunStore, *, named: bool = True) -> list[str]:
        """What is wrong with the request, one sentence each, naming the field; empty when it can start.

        Without ``named`` the name does not matter: nothing is to be stored.
        """
        found = [*self._path_problems(), *self._pattern_problems()]
        found += self._name_problems(store) if named else []
        return [*found, *self._corruption_problems(), *self._setting_problems()]

    def _setting_problems(self) -> list[str]:
        """What the engine says of the settings before it sees any data."""
        try:
            for config in plan(self.arguments()):
                check_config(config)
        except InputError as error:
            said = str(error)
            return [said[:1].upper() + said[1:] + ("" if said.endswith(".") else ".")]
        return []

    def _path_problems(self) -> list[str]:
        if self.kind in BUNDLED:
            return []
        what = PATHS[self.kind]
        if not self.path.strip():
            return [f"{what}: give a path on the machine that runs the dashboard."]
        path = _resolved(self.path)
        if self.kind in ("texts", "table"):
            return self._rows_problems(what, path)
        if self.kind == "pairs":
            return [*self._rows_problems(what, path), *self._pair_problems()]
        if self.kind != "features" and not path.is_dir():
            return [f"{what}: {path} is {'a file, not a folder' if path.exists() else 'not there'}."]
        if self.kind == "features":
            if not path.is_file():
                return [f"{what}: {path} is {'a folder, not a file' if path.exists() else 'not there'}."]
            if path.suffix not in (".npz", ".npy", ".parquet"):
                return [f"{what}: {path.name} is neither .npz, .npy nor .parquet."]
            if self.images.strip() and not _resolved(self.images).is_dir():
                return [f"Pictures: {_resolved(self.images)} is no folder on the machine that runs the dashboard."]
        if self.labels_csv.strip() and self.label_field.strip():
            return ["Labels come from a CSV or from a header field: leave one of the two empty."]
        if self.weights.strip() not in ("", "default") and not _resolved(self.weights).is_file():
            return [f"Weights: {_resolved(self.weights)} is not there; leave 'default' for torchvision's download."]
        if self.labels_csv.strip() and not _resolved(self.labels_csv).is_file():
            return [f"Labels CSV: {_resolved(self.labels_csv)} is not there."]
        return []

    def _rows_problems(self, what: str, path: Path) -> list[str]:
        if not path.exists():
            return [f"{what}: {path} is not there."]
        if self.kind in ("table", "pairs") and path.is_dir():
            return [f"{what}: {path} is a folder, not a file."]
        if path.is_file() and not ending(path):
            return [f"{what}: {path.name} is none of {', '.join(ENDINGS)}."]
        return []

    def _pair_problems(self) -> list[str]:
        found = []
        if not self.images.strip():
            found.append("Folder of images: give the folder that the file names are relative to.")
        elif not _resolved(self.images).is_dir():
            found.append(f"Folder of images: {_resolved(self.images)} is not there.")
        if self.instances.strip() and not _resolved(self.instances).is_file():
            found.append(f"Instances: {_resolved(self.instances)} is not there.")
        if self.weights.strip() not in ("", "default") and not _resolved(self.weights).is_file():
            found.append(
                f"Weights: {_resolved(self.weights)} is not there; leave 'default' for torchvision's download."
            )
        return found

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

    def _corruption_problems(self) -> list[str]:
        found = []
        for step in self.corruptions:
            known = {setting.name: setting for setting in CORRUPTIONS[step["kind"]].settings}
            for name, setting in known.items():
                value = step.get(name)
                if setting.form == "path" and not value:
                    found.append(f"{step['kind']}: {name} is missing: {setting.help}.")
                elif setting.form == "path" and not _resolved(str(value)).exists():
                    found.append(f"{step['kind']}: {_resolved(str(value))} is not there.")
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
            "--name": self.name.strip() or "unnamed",
            "--hessian": self.hessian,
            "--weight-decay": repr(self.weight_decay),
            "--feature-scaling": self.feature_scaling,
            **self._method_options(),
        }
        if self.kind in SPLITS:
            options["--split"] = self.split or SPLITS[self.kind][0]
        options |= self._text_options()
        if self.kind not in WITH_FEATURES | TEXTS:
            weights = self.weights.strip() or "default"
            options["--backbone"] = self.backbone
            options["--weights"] = weights if weights == "default" else str(_resolved(weights))
            patterns = {
                "--label-pattern": self.label_pattern,
                "--label-default": self.label_default,
                "--group-pattern": self.group_pattern,
                "--label-field": self.label_field.strip(),
                "--labels-csv": str(_resolved(self.labels_csv)) if self.labels_csv.strip() else "",
            }
            options |= {name: value for name, value in patterns.items() if value}
        # `--name=value` keeps a value that begins with a dash from being read as an option.
        given = [part for name, value in options.items() for part in _option(name, value)]
        for step in self.corruptions:
            given += ["--corrupt", json.dumps(step)]
        return [self.kind, *given, *([] if self.kind in BUNDLED else ["--", str(_resolved(self.path))])]

    def _method_options(self) -> dict[str, str]:
        """Options of the method that are not at their defaults, so that a stored command reads well."""
        options = {
            "--prior-precision": self.prior_precision.strip().removeprefix("weight_decay"),
            "--device": self.device.strip(),
            "--rows": _share(self.rows.strip()),
            "--epochs": "" if self.epochs == 1000 else str(self.epochs),
            "--seeds": "" if self.seeds == 1 else str(self.seeds),
            "--learning-rate": "" if self.learning_rate is None else repr(self.learning_rate),
        }
        if self.kind != "pairs":
            options |= {
                "--method": self.method.removeprefix("closed_form"),
                "--hidden": str(self.hidden) if self.hidden else "",
                "--score-epochs": self.score_epochs.strip(),
                "--groups": self.groups.removeprefix("none"),
            }
        return {name: value for name, value in options.items() if value}

    def _text_options(self) -> dict[str, str]:
        """Options of texts, tables, pairs and feature files that are filled in."""
        options = {}
        if self.kind == "features":
            options = {"--class-names": self.class_names.strip()}
            options["--images"] = str(_resolved(self.images)) if self.images.strip() else ""
        if self.kind in TEXTS:
            options = {"--encoder": self.encoder.strip() or "tfidf", "--pooling": self.pooling}
        if self.kind == "texts":
            options |= {"--text-column": self.text_column.strip(), "--split": self.split.strip()}
        if self.kind == "pairs":
            options = {"--encoder": self.encoder.strip() or "minilm", "--pooling": self.pooling}
            options |= {"--images": str(_resolved(self.images)), "--captions": self.captions}
            options["--instances"] = str(_resolved(self.instances)) if self.instances.strip() else ""
        if self.kind in ("texts", "table"):
            options["--label-column"] = self.label_column.strip()
        return {name: value for name, value in options.items() if value}


def _option(name: str, value: str) -> list[str]:
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def _share(text: str) -> str:
    """``5 %`` as the share ``0.05`` that the command line reads; anything else as it is."""
    try:
        return repr(float(text.removesuffix("%")) / 100) if text.endswith("%") else text
    except ValueError:
        return text


def _resolved(text: str) -> Path:
    return Path(text.strip()).expanduser().resolve()
