"""What a person fills in to start a run: checked before anything starts, then turned into a run's configuration."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from lsi_engine.errors import InputError
from lsi_engine.features.choice import image_extractor, pair_extractor, text_extractor
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.store import RunStore
from lsi_engine.samples.class_names import read_class_names
from lsi_engine.samples.corruption import CORRUPTIONS
from lsi_engine.samples.images.archives import unpacked
from lsi_engine.samples.tables.rows import ENDINGS, ending
from lsi_engine.settings import READ

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


#: What opens each kind; see :func:`lsi_engine.samples.open_source`.
SOURCES: dict[Kind, str] = {
    "images": "image_folder",
    "pneumonia": "pneumonia",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "imagenette": "wordnet_folder",
    "imagewoof": "wordnet_folder",
    "dicom": "dicom_folder",
    "features": "feature_file",
    "digits": "digits",
    "texts": "texts",
    "demo-texts": "demo_texts",
    "table": "table",
    "breast-cancer": "breast_cancer",
    "pairs": "image_text_pairs",
}
#: The contrastive probe of pairs: its shared space, and a loss that has an optimum to start from.
PAIRS = {"dimension": 16, "temperature": 1.0, "similarity": "dot", "start": "optimum"}


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
    corruptions: tuple[dict[str, Any], ...] = ()
    #: How it is scored, by the names of :class:`lsi_engine.settings.ScoreSettings`, as typed.
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

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
            self.config().check()
        except InputError as error:
            said = str(error)
            return [said[:1].upper() + said[1:] + ("" if said.endswith(".") else ".")]
        except ValidationError as error:
            first = error.errors()[0]
            return [f"{first['loc'][0]} is {first['input']!r}: {first['msg']}."]
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

    def config(self) -> RunConfig:
        """The run that is asked for; paths made absolute. Raises ``InputError`` for what cannot be read as meant."""
        settings = {name: _read(name, value) for name, value in self.settings.items()}
        pairs = {"pairs": PAIRS, "method": "retrain"} if self.kind == "pairs" else {}
        return RunConfig(
            name=self.name.strip() or "unnamed",
            source=self._source(),
            extractor=self._extractor(),
            corruption=list(self.corruptions),
            **settings | pairs,
        )

    def _source(self) -> dict[str, Any]:
        kind, given = SOURCES[self.kind], dict[str, Any]()
        if self.kind in SPLITS:
            given["split"] = self.split or SPLITS[self.kind][0]
            if self.kind.startswith("cifar") and given["split"] == "train":
                del given["split"]  # the only one where none is named
        elif self.kind == "texts":
            given["split"] = self.split.strip()
        if self.kind in ("images", "dicom"):
            given |= {
                "label_pattern": self.label_pattern,
                "label_default": self.label_default,
                "group_pattern": self.group_pattern,
                "label_field": self.label_field.strip(),
                "labels_csv": _path(self.labels_csv),
            }
        if self.kind in ("texts", "table"):
            given |= {"text_column": self.text_column.strip() if self.kind == "texts" else ""}
            given |= {"label_column": self.label_column.strip()}
        if self.kind == "features":
            given["class_names"] = read_class_names(self.class_names) if self.class_names.strip() else ""
            given["images"] = _path(self.images)
        if self.kind == "pairs":
            given |= {"root": _path(self.images), "captions": self.captions, "instances": _path(self.instances)}
        source = {"kind": kind} | {name: value for name, value in given.items() if value}
        if self.kind in BUNDLED:
            return source
        place = _resolved(self.path)
        if self.kind in ("cifar10", "cifar100"):
            place = unpacked(place, self.kind)
        named = "path" if self.kind in ("texts", "table", "features", "pairs") else "root"
        return source | {named: str(place)}

    def _extractor(self) -> dict[str, Any] | None:
        if self.kind in WITH_FEATURES:
            return None
        if self.kind in TEXTS:
            return text_extractor(self.encoder.strip() or "tfidf", self.pooling)
        image = image_extractor(self.backbone, self.weights.strip() or "default")
        if self.kind == "pairs":
            return pair_extractor(image, text_extractor(self.encoder.strip() or "minilm", self.pooling))
        return image


def _read(name: str, typed: Any) -> Any:
    """What was typed into the field of a setting, as that setting."""
    if name not in READ:
        return typed
    try:
        return READ[name](typed.strip() if isinstance(typed, str) else typed)
    except InputError as error:
        extra = RunConfig.options()[name].json_schema_extra
        assert isinstance(extra, dict)
        raise InputError(f"{extra['label']}: {error}") from None


def _path(text: str) -> str:
    return str(_resolved(text)) if text.strip() else ""


def _resolved(text: str) -> Path:
    return Path(text.strip()).expanduser().resolve()
