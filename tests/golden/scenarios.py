"""Small computations that together use every method, posterior, source, corruption and export of the engine.

A scenario is a function of a :class:`Workplace` that returns what it found, by name: arrays, frames and plain values.
``record.py`` keeps what today's code returns, ``test_golden.py`` compares. They reach the code through ``surface.py``.
"""

from __future__ import annotations

import json
import platform
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import lsi_engine

if __package__:
    from tests.golden import inputs
    from tests.golden.surface import Workplace, chosen, digest, files_below, sgd_settings, visible_lines
else:  # pytest puts this folder on the path
    import inputs
    from surface import Workplace, chosen, digest, files_below, sgd_settings, visible_lines

Found = dict[str, Any]
Scenario = Callable[[Workplace], Found]


def _names(text: str) -> list[str]:
    return text.split()


ENGINE = _names(
    "method hessian shift loo_prior weight_decay prior_precision feature_scaling samples left_out dimension classes "
    "precision newton_steps loss epochs learning_rate momentum seeds probe seed_spearman chance_loss objective outputs"
)
CONFIG = _names(
    "name source extractor corruption feature_scaling weight_decay hessian method prior_precision probe learning_rate "
    "momentum epochs seeds score_epochs left_out groups pairs derived_from decisions"
)
FACTS = _names("dataset modality classes samples skipped corrupted extractor_key dataset_fingerprint warnings")
#: Formats of `lsi export` that are one file; their bytes are promised to be the same for the same run and decisions.
FORMATS = ("csv", "json", "parquet", "indices", "cleanlab", "coco", "manifest")


def stored(place: Workplace, run: str, *, arrays: bool = True) -> Found:
    """Everything that a finished run says of itself."""
    shown = place.json("show", run, "--top", 5)
    known, engine = shown["provenance"], shown["provenance"]["engine"]
    listed = {row["name"]: row for row in place.json("runs")}[run]
    scores, samples = place.scores(run), place.samples(run)
    repeated = [name for name in scores if name in samples and name != "sample_id"]
    found = {
        "scores": scores.drop(columns=repeated),
        "scores repeat": repeated,
        "samples": samples,
        "config": json.loads(place.plain(json.dumps(chosen(shown["config"], CONFIG)))),
        "facts": json.loads(place.plain(json.dumps(chosen(known, FACTS)))),
        "engine": chosen(engine, ENGINE),
        "medians": shown["class_medians"],
        "highest": [
            chosen(row, ["sample_id", "label", "suggested_label", "suggested_pair"]) for row in shown["highest"]
        ],
        "listed": chosen(listed, ["name", "state", "samples", "classes", "method", "hessian"]),
        "skipped": json.loads(place.plain(json.dumps(place.json("show", run, "--skipped")))),
    }
    return {f"{run} {key}": value for key, value in (found | (place.arrays(run) if arrays else {})).items()}


def exported(place: Workplace, run: str, *rule: object, formats: tuple[str, ...] = FORMATS) -> Found:
    """Each file that `lsi export` writes under ``rule``: counts, and content or digest."""
    found: Found = {}
    for number, name in enumerate(formats):
        contents = []
        for again in ("first", "second"):
            to = place / f"{run}.{again}.{number}"
            said = place.json("export", run, "--format", name, "--to", to, *rule)
            contents.append(to.read_bytes())
        assert contents[0] == contents[1], f"{name} of the same run differs"
        found[name] = {"counts": said["counts"], **_file(place, name, to)}
    return {f"{run} export {' '.join(map(str, rule))}": found}


def _file(place: Workplace, name: str, path: Path) -> Found:
    if name == "parquet":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        origin = place.plain((table.schema.metadata or {})[b"lsi_provenance"].decode())
        return {"columns": list(map(str, table.schema.types)), "table": table.to_pandas(), "origin": digest(origin)}
    if name == "cleanlab":
        return {"table": pd.read_csv(path, keep_default_na=False), "head": path.read_text().splitlines()[0]}
    text = place.plain(path.read_text(encoding="utf-8"))
    return {"text": text} if len(text) < 3000 else {"digest": digest(text), "head": text[:300], "length": len(text)}


def exported_tree(place: Workplace, run: str, *rule: object, layouts: tuple[str, ...]) -> Found:
    found: Found = {}
    for layout in layouts:
        to = place / f"{run}.{layout}"
        said = place.json("export", run, "--format", layout, "--to", to, *rule)
        files = files_below(to)
        files["manifest.json"] = digest(place.plain((to / "manifest.json").read_text(encoding="utf-8")))
        found[layout] = {"counts": said["counts"], "files": len(files), "digest": digest(json.dumps(files))}
        found[layout]["some"] = {name: files[name] for name in list(files)[:: max(1, len(files) // 8)]}
    return {f"{run} tree {' '.join(map(str, rule))}": found}


def report(place: Workplace, run: str, conditions: str = "") -> list[str]:
    to = place / "report.html"
    place.lsi("report", run, "--filter", conditions, "-o", to)
    return [place.plain(line) for line in visible_lines(to.read_text(encoding="utf-8"))]


def head(place: Workplace, run: str, conditions: str) -> list[str]:
    """What a report says before its first figure: the conditions and how many samples meet them."""
    lines = report(place, run, conditions)
    return lines[: lines.index("The long tail")]


def told(function: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What ``function`` returns and the warnings it gives, without their figures."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", lsi_engine.LsiWarning)
        value = function()
    return value, [re.sub(r"[\d.]+(e[+-]\d+)?", "#", str(one.message)) for one in caught]


def table_of(table: Any) -> Found:
    """A ``ScoreTable``, ``PairScores`` or ``ObjectiveScores``."""
    return {"frame": table.to_frame(), "info": chosen(table.info, ENGINE)}


# --- runs by the command line -------------------------------------------------------------------------------------


def digits_run(place: Workplace) -> Found:
    """The bundled digits, a tenth of the labels flipped: scores, evaluation, report, exports, map, duplicates."""
    place.lsi("compute", "digits", "--flip-labels", 0.1, "--seed", 0, "--name", "digits-f")
    found = stored(place, "digits-f", arrays=False)
    found["evaluation"] = place.json("evaluate", "digits-f", "--resamples", 200)
    found["report"] = report(place, "digits-f", "class=3&class=8&suspicion=0.5..1.0")
    found["filters"] = {
        conditions: head(place, "digits-f", conditions)
        for conditions in ("", "class=3", "class=3&suspicion=0.5..1.0", "lsi=1.0..inf&corrupted=yes", "q=digit-0001")
    }
    found["duplicates"] = place.lsi("duplicates", "digits-f")
    found["map"] = place.lsi("map", "digits-f", "--kind", "pca")
    found |= {f"digits-f {key}": value for key, value in place.arrays("digits-f").items()}
    rule = ("--drop-suspicion", 0.9, "--keep-fraction", 0.1, "--balance", "--deduplicate", "--validation", 0.2)
    found |= exported(place, "digits-f", *rule)
    found |= exported_tree(place, "digits-f", "--keep-fraction", 0.02, layouts=("imagefolder", "huggingface"))
    found["published"] = place.json("load", "digits", "--name", "published")
    found["published scores"] = place.scores("published")
    found["listed"] = {key: facts["samples"] for key, facts in place.json("load").items()}
    found["no such run"] = place.lsi("show", "nope", code=1).splitlines()[0].replace(str(place.root), "<TMP>")
    found["corruptions"] = place.json("corruptions")
    return found


def breast_cancer_runs(place: Workplace) -> Found:
    """Two classes, every posterior, both priors; near-duplicates left out whole; runs compared."""
    base = ("compute", "breast-cancer", "--flip-labels", 0.05, "--seed", 2)
    place.lsi(*base, "--name", "bc-kron", "--hessian", "kron")
    place.lsi(*base, "--name", "bc-full", "--hessian", "full", "--groups", "near_duplicates")
    place.lsi(*base, "--name", "bc-auto", "--hessian", "auto", "--prior-precision", 1.0, "--weight-decay", 0.001)
    place.lsi(*base, "--name", "bc-raw", "--feature-scaling", "none", "--weight-decay", 1.0)
    found: Found = {}
    for name in ("bc-kron", "bc-full", "bc-auto", "bc-raw"):
        found |= stored(place, name)
    found["compare"] = place.json("compare", "bc-kron", "bc-full", "bc-auto", "--top", 4)
    found["compare suspicion"] = place.json("compare", "bc-full", "bc-raw", "--measure", "suspicion", "--top", 4)
    found["evaluation"] = place.json("evaluate", "bc-full", "--resamples", 100)
    return found


def curated_run(place: Workplace) -> Found:
    """Features with groups: reviewed, exported, compared in subsets, scored again, reported with decisions."""
    inputs.feature_npz(place / "rows.npz", samples=120, classes=3, dimension=8, copies=False)
    place.lsi("compute", "features", place / "rows.npz", "--groups", "group", "--name", "rows")
    scores = place.scores("rows").sort_values("suspicion", ascending=False, kind="stable")
    doubtful = scores[scores["suggested_label"].notna()].head(4)
    ids, suggested = doubtful["sample_id"].tolist(), doubtful["suggested_label"].tolist()
    found = stored(place, "rows")
    found["decisions"] = place.decide(
        "rows",
        (ids[0], "relabel", suggested[0], "=SUM(1)"),
        (ids[1], "relabel", suggested[1], ""),
        (ids[2], "drop", None, "blurred"),
        (ids[3], "keep", None, ""),
        (scores["sample_id"].iloc[-1], "unsure", None, "ask"),
    )
    found |= exported(place, "rows")
    rule = ("--unsure", "drop", "--drop-suspicion", 0.8, "--validation", 0.15, "--test", 0.15, "--seed", 3)
    found |= exported(place, "rows", *rule, "--list-dropped")
    found |= exported(
        place, "rows", "--ignore-decisions", "--keep-fraction", 0.4, "--keep-end", "lowest", formats=("csv",)
    )
    manifest = place / "again.json"
    place.lsi("export", "rows", "--format", "manifest", "--to", manifest, *rule)
    like = place.json("export", "rows", "--format", "indices", "--like", manifest, "--to", place / "like.json")
    found["like"] = {"counts": like["counts"], "digest": digest(place.plain((place / "like.json").read_text()))}
    subsets = place.json("subsets", "rows", "--repeats", 2, "--seed", 1)
    subsets["facts"] = {
        key: value for key, value in subsets["facts"].items() if key not in ("seconds", "table", "scores_fingerprint")
    }
    found["subsets"] = subsets
    found["duplicates"] = place.lsi("duplicates", "rows")
    rescored = place.json("rescore", "rows")
    found["rescored"] = rescored
    found |= stored(place, rescored["run"])
    found["report"] = report(place, "rows", "decision=relabel&decision=drop&decision=undecided&split=train")
    found["filters"] = {
        conditions: head(place, "rows", conditions)
        for conditions in ("decision=undecided", "decision=keep&decision=unsure", "split=val&suspicion=0.2..1.0")
    }
    found["compare"] = place.json("compare", "rows", rescored["run"], "--top", 3)
    return found


def feature_corruptions(place: Workplace) -> Found:
    """Noise on features as a sweep; copies, near copies and pairwise flips of feature rows; a chosen share of rows."""
    file = inputs.feature_npz(place / "f.npz", samples=90, classes=4, dimension=6)
    noise = "feature_noise:rate=0.5,classes=ant|bee,seed=4"
    place.lsi("compute", "features", file, "--name", "noisy", "--corrupt", noise, "--sweep", "sigma=0.5,2")
    planted = ("exact_duplicates:rate=0.1,seed=1", "near_duplicates:rate=0.1,severity=3,seed=2", "flip_pairs:rate=0.2")
    steps = [part for step in planted for part in ("--corrupt", step)]
    place.lsi("compute", "features", file, "--name", "planted", *steps, "--groups", "near_duplicates")
    to = ("--corrupt", "flip_pairs:rate=0.3,to=ant>cow|cow>ant,seed=5")
    place.lsi("compute", "features", file, "--name", "some", "--rows", 0.3, "--hessian", "full", *to)
    x, labels = inputs.blobs(64, 5, 4)
    np.save(place / "plain.npy", x.astype(np.float16))
    np.save(place / "plain.labels.npy", labels)
    place.lsi("compute", "features", place / "plain.npy", "--name", "npy", "--class-names", "a,b,c,d")
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(5)]).assign(label=labels)
    frame.loc[7, "x2"] = np.nan
    frame.to_parquet(place / "wide.parquet")
    place.lsi("compute", "features", place / "wide.parquet", "--name", "wide")
    found: Found = {"compare": place.json("compare", "noisy-sigma0.5", "noisy-sigma2", "--top", 3)}
    for name in ("noisy-sigma0.5", "noisy-sigma2", "planted", "some", "npy", "wide"):
        found |= stored(place, name)
    return found


def trained_runs(place: Workplace) -> Found:
    """Linear and hidden probes really retrained, and trajectories: seeds, epochs, chosen rows; the paper's flags."""
    file = inputs.feature_npz(place / "t.npz", samples=60, classes=3, dimension=8)
    base = ("compute", "features", file, "--learning-rate", 0.1)
    retrain = ("--method", "retrain", "--epochs", 50)
    place.lsi(*base, *retrain, "--seeds", 2, "--score-epochs", "10,30", "--name", "retrained")
    place.lsi(*base, *retrain, "--hessian", "full", "--rows", "5:25", "--name", "retrained-full")
    place.lsi(*base, *retrain, "--hessian", "kron", "--rows", 12, "--name", "retrained-kron")
    place.lsi(*base, *retrain, "--hidden", 5, "--seeds", 2, "--rows", "0:20", "--name", "hidden")
    place.lsi(*base, "--method", "trajectory", "--epochs", 90, "--name", "trajectory")
    full = ("--method", "trajectory", "--epochs", 120, "--hessian", "full", "--rows", "0:30")
    place.lsi(*base, *full, "--name", "trajectory-full")
    flags = ("--dataset", "cifar10", "--data_path", file, "--subset", 40, "--range1", 2, "--range2", 12)
    said = place.reference(*flags, "--epochs", 40, "--corrupt_label", 0.2, "--name", "paper")
    found: Found = {"said": place.plain(said).split("run paper:")[0].splitlines()}
    runs = ("retrained", "retrained-full", "retrained-kron", "hidden", "trajectory", "trajectory-full", "paper")
    for name in runs:
        found |= stored(place, name)
    found["compare"] = place.json("compare", "retrained", "trajectory", "--top", 3)
    return found


def image_runs(place: Workplace) -> Found:
    """A folder of images of every kind; every damage to images; a backbone; labels and groups by pattern and CSV."""
    root = inputs.image_folder(place / "shapes")
    strangers = inputs.image_folder(place / "strangers", 4, ("x", "y", "z"))
    pixels = ("compute", "images", root, "--backbone", "pixels", "--image-size", 6)
    kinds = ("gaussian_noise", "blur", "exposure", "crop", "occlusion", "jpeg")
    steps = [f"{kind}:rate=0.2,severity={1 + number % 5},seed={number}" for number, kind in enumerate(kinds)]
    steps += ["exact_duplicates:rate=0.05", "near_duplicates:rate=0.05,severity=4", "flip_labels:rate=0.1,classes=disc"]
    steps += [f"outliers:folder={strangers},rate=0.08"]
    place.lsi(*pixels, "--name", "damaged", *[part for step in steps for part in ("--corrupt", step)])
    patterns = ("--label-pattern", "_(di|sl)_", "--label-default", "other", "--group-pattern", r"(case\d+)")
    place.lsi(*pixels, *patterns, "--groups", "group", "--hessian", "full", "--name", "patterns")
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    rows = [f"{path},{'even' if int(path[-5]) % 2 == 0 else 'odd'}" for path in files if "broken" not in path]
    (place / "labels.csv").write_text("\n".join(["path,label", *rows, "gone.png,odd"]), encoding="utf-8")
    place.lsi(*pixels, "--labels-csv", place / "labels.csv", "--name", "by-csv")
    weights = inputs.squeezenet_weights(place / "w.safetensors")
    backbone = ("--backbone", "squeezenet1_1", "--weights", weights, "--image-size", 32)
    place.lsi("compute", "images", root, *backbone, "--hessian", "kron", "--name", "backbone")
    found: Found = {}
    for name in ("damaged", "patterns", "by-csv", "backbone"):
        found |= stored(place, name)
    found["report"] = report(place, "damaged", "corrupted=yes")
    found |= exported(place, "damaged", "--drop-suspicion", 0.9, formats=("csv", "coco", "indices"))
    layouts = ("imagefolder", "huggingface")
    found |= exported_tree(place, "damaged", "--keep-fraction", 0.4, "--test", 0.3, "--copy", layouts=layouts)
    return found


def published_runs(place: Workplace) -> Found:
    """CIFAR-10 and -100 records, Imagenette's and the films' folders, in their published layouts."""
    ten = inputs.cifar10_folder(place / "ten")
    hundred = inputs.cifar100_folder(place / "hundred")
    nette, films = inputs.published_folders(place / "published")
    people = inputs.human_labels(place / "people.npz", inputs.cifar_labels(30) * 2)
    (place / "matrix.csv").write_text(
        ",airplane,cat,ship\nairplane,0,0.2,0.1\ncat,0,1,0.3\nship,0,0,1\n", encoding="utf-8"
    )
    pixels = ("--backbone", "pixels", "--image-size", 5)
    place.lsi(
        "compute", "cifar10", ten, *pixels, "--name", "ten", "--corrupt", f"human_labels:file={people},which=worse"
    )
    confused = ("--corrupt", f"flip_by_confusion:matrix={place / 'matrix.csv'},seed=3")
    place.lsi("compute", "cifar10", ten, "--split", "test", *pixels, "--name", "ten-test", *confused)
    place.lsi("compute", "cifar100", hundred, *pixels, "--name", "hundred", "--hessian", "full")
    place.lsi("compute", "imagenette", nette, *pixels, "--name", "nette")
    place.lsi("compute", "pneumonia", films, *pixels, "--name", "films", "--groups", "group")
    np.savez(place / "beside.npz", features=inputs.blobs(60, 7, 3)[0], labels=inputs.cifar_labels(30) * 2)
    place.lsi("compute", "features", place / "beside.npz", "--images", ten, "--name", "beside")
    found: Found = {}
    for name in ("ten", "ten-test", "hundred", "nette", "films", "beside"):
        found |= stored(place, name)
    found |= exported_tree(place, "beside", "--keep-fraction", 0.3, layouts=("imagefolder",))
    return found


def dicom_runs(place: Workplace) -> Found:
    """DICOM: windows, inverted, rescaled, compressed, several frames; labels by field; patients left out whole."""
    root = inputs.dicom_folder(place / "films")
    base = ("compute", "dicom", root, "--label-field", "ViewPosition", "--backbone", "pixels", "--image-size", 6)
    place.lsi(*base, "--groups", "group", "--name", "views")
    place.lsi(*base, "--corrupt", "blur:rate=0.2,severity=4", "--flip-labels", 0.15, "--name", "views-damaged")
    found = stored(place, "views") | stored(place, "views-damaged")
    found["evaluation"] = place.json("evaluate", "views-damaged", "--resamples", 100)
    return found | exported(place, "views", formats=("csv", "manifest"))


def text_runs(place: Workplace) -> Found:
    """Texts from rows and from folders, and the demo's, by TF-IDF; pseudo-Latin in their place and beside them."""
    rows, folder = inputs.text_csv(place / "rows.csv"), inputs.text_folder(place / "folder")
    replaced = ("--corrupt", "lorem_ipsum:rate=0.1,seed=2")
    added = ("--corrupt", "lorem_ipsum:rate=0.15,mode=add,seed=3", "--corrupt", "exact_duplicates:rate=0.1")
    place.lsi(
        "compute", "texts", rows, "--label-column", "topic", "--split", "train", "--name", "texts-rows", *replaced
    )
    place.lsi("compute", "texts", folder, "--hessian", "full", "--name", "texts-folder", *added)
    place.lsi("compute", "demo-texts", "--name", "demo")
    found: Found = {}
    for name in ("texts-rows", "texts-folder", "demo"):
        found |= stored(place, name)
    found["evaluation"] = place.json("evaluate", "demo", "--resamples", 100)
    found["report"] = head(place, "demo", "suspicion=0.5..1.0&q=the")
    return found


def table_runs(place: Workplace) -> Found:
    """A table with cells and columns that cannot be used, closed form next to a training that stops short."""
    file = inputs.table_csv(place / "wines.csv")
    base = ("compute", "table", file, "--label-column", "cultivar")
    place.lsi(*base, "--hessian", "full", "--name", "wines")
    place.lsi(*base, "--epochs", 20, "--learning-rate", 0.01, "--name", "wines-short")
    found = stored(place, "wines") | stored(place, "wines-short")
    found["wines-short facts"]["warnings"] = [
        re.sub(r"[\d.]+(e[+-]\d+)?", "#", one) for one in found["wines-short facts"]["warnings"]
    ]
    return found


def pair_runs(place: Workplace) -> Found:
    """Image–caption pairs under contrastive heads: from the command line and by ``score_pairs``."""
    folder = inputs.caption_pairs(place / "captions")
    base = ("compute", "pairs", folder / "captions.csv", "--images", folder, "--backbone", "pixels", "--image-size", 4)
    small = ("--encoder", "tfidf", "--dimension", 4, "--epochs", 40)
    place.lsi(*base, *small, "--swap-captions", 0.2, "--name", "squares")
    cosine = ("--similarity", "cosine", "--captions", "first", "--seeds", 2, "--rows", "0:8")
    place.lsi(*base, *small, *cosine, "--hessian", "full", "--name", "cosine")
    random = np.random.default_rng(8)
    shared = random.normal(size=(14, 3))
    images = shared @ random.normal(size=(3, 6)) + 0.3 * random.normal(size=(14, 6))
    texts = shared @ random.normal(size=(3, 5)) + 0.3 * random.normal(size=(14, 5))
    groups = [f"g{row // 2}" for row in range(14)]
    settings: dict[str, Any] = {"dimension": 3, "epochs": 30, "precision": "float64"}
    asked: dict[str, dict[str, Any]] = {
        "full": {"hessian": "full", "samples": [0, 3, 9]},
        "groups": {"groups": groups, "prior_precision": 2.0},
        "initial": {"start": "initial", "seeds": [5, 9], "feature_scaling": "none"},
        "cosine": {"start": "initial", "similarity": "cosine", "temperature": 0.5, "samples": range(5)},
    }
    found = stored(place, "squares") | stored(place, "cosine")
    found |= exported(place, "squares", "--drop-suspicion", 0.5, formats=("csv", "cleanlab"))
    found["report"] = head(place, "squares", "")
    for name, more in asked.items():
        table, notes = told(lambda m=more: lsi_engine.score_pairs(images, texts, **settings, **m))
        found[f"score_pairs {name}"] = table_of(table) | {"matches": table.matches, "heads": list(table.heads)}
        found[f"score_pairs {name} warnings"] = notes
    return found


# --- the library's functions --------------------------------------------------------------------------------------


def wine() -> tuple[Any, Any]:
    from sklearn.datasets import load_wine

    return load_wine(return_X_y=True)


def score_settings(_: Workplace) -> Found:
    """``score`` in closed form: every posterior under both priors, scalings and precisions; K above N."""
    x, y = wine()
    found: Found = {}
    for hessian in ("diag", "kron", "full", "auto"):
        for loo_prior in ("rescaled", "fixed"):
            table = lsi_engine.score(x, y, hessian=hessian, loo_prior=loo_prior, feature_scaling="standardize")
            found[f"{hessian} {loo_prior}"] = table_of(table) | {"probabilities": table.probabilities}
    for name, settings in {
        "number": {"prior_precision": 1.0, "weight_decay": 0.05},
        "raw": {"feature_scaling": "none", "weight_decay": 0.5},
        "float32": {"precision": "float32", "hessian": "full"},
        "some": {"samples": [5, 3, 170], "hessian": "full"},
    }.items():
        found[name] = table_of(lsi_engine.score(x, y, **({"feature_scaling": "standardize"} | settings)))
    wide, labels = inputs.blobs(40, 60, 4, seed=1, spread=0.4)
    text = np.array(["a", "b", "c", "d"])[labels]
    for hessian in ("diag", "kron", "full"):
        table = lsi_engine.score(wide, text, hessian=hessian, weight_decay=0.1)
        found[f"wide {hessian}"] = table_of(table) | {"weight": table.weight, "bias": table.bias}
    alone, notes = told(lambda: lsi_engine.score(wide[:20], ["x"] * 10 + ["y"] * 9 + ["z"], weight_decay=0.1))
    found["a class of one"] = table_of(alone) | {"warnings": notes}
    return found


def score_trained(_: Workplace) -> Found:
    """``score`` by training: given initial weights, hidden layers, float64; the prior that training cannot have."""
    x, y = inputs.blobs(45, 6, 3, seed=9)
    random = np.random.default_rng(4)
    settings: dict[str, Any] = {"epochs": 40, "learning_rate": 0.1, "samples": range(0, 45, 4)}
    found: Found = {}
    for method in ("retrain", "trajectory"):
        found[method] = table_of(lsi_engine.score(x, y, method=method, **(settings | {"epochs": 80})))
        try:
            lsi_engine.score(x, y, method=method, loo_prior="fixed", **settings)
        except lsi_engine.InputError as error:
            found[f"{method} fixed"] = str(error)
    start = [random.normal(size=(3, 6)), random.normal(size=3)]
    started = lsi_engine.score(x, y, method="retrain", initial_weights=start, precision="float64", **settings)
    found["initial weights"] = table_of(started) | {"weight": started.weight}
    hidden, found["hidden warnings"] = told(
        lambda: lsi_engine.score(x, y, method="retrain", probe=4, seeds=[5, 7], hessian="full", **settings)
    )
    found["hidden"] = table_of(hidden) | {"layers": hidden.layers, "seeds": hidden.seed_scores.mean_shift}
    return found


def group_scores(_: Workplace) -> Found:
    """``score_groups`` with small, large and single groups, refined or not; ``near_duplicate_groups``."""
    x, y = inputs.blobs(72, 5, 3, seed=6)
    groups = [f"g{min(row // 3, 12)}" for row in range(72)]
    found: Found = {}
    for hessian in ("diag", "full"):
        for loo_prior in ("rescaled", "fixed"):
            for refine in (False, True):
                table = lsi_engine.score_groups(x, y, groups, hessian=hessian, loo_prior=loo_prior, refine=refine)
                found[f"{hessian} {loo_prior} {refine}"] = {"groups": table.to_frame(), "samples": table.sample_frame()}
    number = lsi_engine.score_groups(x, y, np.arange(72) // 2, prior_precision=1.0, feature_scaling="standardize")
    found["number"] = number.sample_frame()
    found["near"] = lsi_engine.near_duplicate_groups(x)
    found["nearer"] = lsi_engine.near_duplicate_groups(x, tolerance=0.0)
    found["farther"] = lsi_engine.near_duplicate_groups(x, tolerance=0.6)
    return found


class Poisson(lsi_engine.Objective):
    """Counts with a log-linear rate: a loss of the user's own, derivatives by autograd."""

    name = "poisson"

    def encode(self, targets: Any, samples: int) -> torch.Tensor:
        return torch.as_tensor(np.asarray(targets), dtype=torch.float64).view(samples, -1)

    def outputs(self, targets: torch.Tensor) -> int:
        return targets.shape[1]

    def values(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (logits.exp() - targets * logits).sum(dim=1)


def objective_scores(_: Workplace) -> Found:
    """``score_objective``: softmax, sigmoid, Gaussian with one and several variances, and a loss of one's own."""
    x, y = inputs.blobs(60, 4, 3, seed=2)
    random = np.random.default_rng(3)
    outputs = x @ random.normal(size=(4, 2)) + random.normal(size=(60, 2))
    present = pd.DataFrame((outputs + random.normal(size=(60, 2)) > 0).astype(int), columns=["wet", "dry"])
    problems: dict[str, tuple[Any, Any]] = {
        "softmax": (y, "softmax"),
        "sigmoid": (present, "sigmoid"),
        "gaussian": (outputs[:, 0], "gaussian"),
        "gaussian of two": (outputs, lsi_engine.Gaussian([0.5, 2.0])),
        "poisson": (random.poisson(np.exp(0.3 * outputs)), Poisson()),
        "named": (np.array(["u", "v"])[y % 2], lsi_engine.Softmax(["v", "u", "w"])),
        "one label": (present["wet"].to_numpy(), lsi_engine.Sigmoid(["wet"])),
    }
    found: Found = {}
    for name, (targets, objective) in problems.items():
        for hessian in ("diag", "full"):
            for loo_prior in ("rescaled", "fixed"):
                table = lsi_engine.score_objective(
                    x, targets, objective=objective, hessian=hessian, loo_prior=loo_prior, weight_decay=0.05
                )
                found[f"{name} {hessian} {loo_prior}"] = table_of(table) | {"prediction": table.loo_prediction}
    scaled = {"feature_scaling": "standardize", "prior_precision": 3.0}
    found["scaled"] = table_of(lsi_engine.score_objective(x, y, objective="softmax", **scaled))
    return found


def _filled(model: nn.Module, seed: int, scale: float = 0.4) -> nn.Module:
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.as_tensor(scale * random.standard_normal(tuple(weight.shape))))
    return model


def model_scores(_: Workplace) -> Found:
    """``score_model`` and ``last_layer``: heads with and without bias, three losses, far from and near the optimum."""
    x, y = inputs.blobs(48, 6, 3, seed=7)
    batches = [(torch.as_tensor(x[k : k + 16]), torch.as_tensor(y[k : k + 16])) for k in range(0, 48, 16)]
    body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)).double()
    model = _filled(body, 1)
    layer = lsi_engine.last_layer(model, batches)
    found: Found = {"layer": {"features": layer.features.numpy(), "weight": layer.weight.numpy(), "name": layer.name}}
    for hessian in ("diag", "full"):
        for loo_prior in ("rescaled", "fixed"):
            table, notes = told(
                lambda h=hessian, p=loo_prior: lsi_engine.score_model(
                    model, batches, weight_decay=0.05, hessian=h, loo_prior=p
                )
            )
            found[f"far {hessian} {loo_prior}"] = table_of(table) | {"warnings": notes}
    fitted = lsi_engine.score_objective(layer.features, y, objective="softmax", weight_decay=0.05)
    with torch.no_grad():
        model[3].weight.copy_(torch.as_tensor(fitted.weight))  # type: ignore[union-attr]
        model[3].bias.copy_(torch.as_tensor(fitted.bias))  # type: ignore[union-attr]
    table, notes = told(lambda: lsi_engine.score_model(model, batches, weight_decay=0.05, head="3"))
    found["at the optimum"] = table_of(table) | {"warnings": notes}
    unbiased = _filled(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2, bias=False)).double(), 2)
    present = [(one, torch.stack([two % 2, (two > 0).long()], dim=1).double()) for one, two in batches]
    for name, objective in (("sigmoid", "sigmoid"), ("gaussian", lsi_engine.Gaussian(0.5))):
        table, notes = told(
            lambda o=objective: lsi_engine.score_model(
                unbiased, present, weight_decay=0.1, objective=o, prior_precision=1.0, hessian="full"
            )
        )
        found[name] = table_of(table) | {"warnings": notes}
    return found


def network_scores(_: Workplace) -> Found:
    """``network_ggn`` and ``retrain_network``: a small convolutional network retrained whole."""
    random = np.random.default_rng(0)
    labels = torch.arange(18) % 3
    images = torch.as_tensor(random.normal(size=(18, 1, 6, 6)))
    images[:, 0, :2, :2] += labels.double()[:, None, None] - 1
    layers = (nn.Conv2d(1, 3, 3, stride=2), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, 3))
    model = _filled(nn.Sequential(*layers).double(), 3)
    found: Found = {
        "ggn diag": lsi_engine.network_ggn(model, images, labels).numpy(),
        "ggn full": lsi_engine.network_ggn(model, images, labels, structure="full").numpy(),
        "ggn head": lsi_engine.network_ggn(model, images, labels, weights=["5.weight"], structure="full").numpy(),
    }
    settings = sgd_settings(learning_rate=0.1, momentum=0.9, epochs=25, weight_decay=0.02)
    for hessian in ("diag", "full"):
        table = lsi_engine.retrain_network(
            model,
            images,
            labels,
            settings,
            samples=[3, 11, 0, 17],
            hessian=hessian,
            posteriors={"last_layer": ["5.weight", "5.bias"]},
            models=3,
        )
        found[hessian] = {"frame": table.to_frame(), "loss": table.loss, "norm": table.gradient_norm}
        found[f"{hessian} weights"] = {name: value.numpy() for name, value in table.weights.items()}
    targets = images.mean(dim=(1, 2, 3))
    single = _filled(nn.Sequential(nn.Flatten(), nn.Linear(36, 2), nn.Tanh(), nn.Linear(2, 1)).double(), 5)
    regression = lsi_engine.retrain_network(
        single, images, targets, settings, samples=[1, 2], objective=lsi_engine.Gaussian(0.5), prior_precision=1.0
    )
    found["regression"] = regression.to_frame()
    return found


# --- a run folder as version 0.1 wrote it -------------------------------------------------------------------------

OLD_RUN = "run_v1"


def make_old_run(place: Workplace) -> Path:
    """The folder that is kept as ``run_v1/``: flipped labels, features of its own, and all that is made on demand."""
    file = inputs.feature_npz(place / "rows.npz", samples=60, classes=3, dimension=6, copies=False)
    damage = ("--corrupt", "feature_noise:sigma=0.1,rate=0.2,seed=1", "--flip-labels", 0.1, "--seed", 4)
    place.lsi("compute", "features", file, "--groups", "group", "--name", OLD_RUN, *damage)
    place.lsi("duplicates", OLD_RUN)
    place.lsi("map", OLD_RUN, "--kind", "pca")
    place.lsi("subsets", OLD_RUN, "--repeats", 2)
    scores = place.scores(OLD_RUN).sort_values("suspicion", ascending=False, kind="stable")
    doubtful = scores[scores["suggested_label"].notna()].head(3)
    ids, suggested = doubtful["sample_id"].tolist(), doubtful["suggested_label"].tolist()
    place.decide(
        OLD_RUN,
        (ids[0], "relabel", suggested[0], "plainly"),
        (ids[1], "drop", None, "not usable"),
        (ids[2], "keep", None, ""),
    )
    folder = place.folder(OLD_RUN)
    (folder / ".lock").unlink(missing_ok=True)
    for name, mine, yours in (
        ("config.json", str(place.root), "/data"),
        ("provenance.json", json.dumps(platform.platform()), '"Linux"'),
    ):
        file = folder / name
        file.write_text(file.read_text(encoding="utf-8").replace(mine, yours), encoding="utf-8")
    return folder


def old_run_folder(place: Workplace) -> Found:
    """What the public commands say of the kept folder, which ``place`` has a copy of."""
    found = stored(place, OLD_RUN)
    found["bytes"] = {}
    for name in ("csv", "json", "indices", "coco", "manifest"):
        to = place / f"old.{name}"
        place.lsi("export", OLD_RUN, "--format", name, "--to", to, "--test", 0.2)
        # The scores are the kept file's, so their fingerprint is part of what must stay; the version is not.
        found["bytes"][name] = digest(re.sub(r'(version\W+)[0-9][^"\\]*', r"\1", to.read_text(encoding="utf-8")))
    found |= exported(place, OLD_RUN)
    found["runs"] = [chosen(row, ["name", "state", "samples", "classes", "created"]) for row in place.json("runs")]
    found["evaluation"] = place.json("evaluate", OLD_RUN, "--resamples", 100)
    found["duplicates"] = place.lsi("duplicates", OLD_RUN)
    found["map"] = place.lsi("map", OLD_RUN, "--kind", "pca")
    found["report"] = report(place, OLD_RUN, "decision=undecided&suspicion=0.3..1.0")
    found["rescored"] = place.json("rescore", OLD_RUN, "--name", "again")
    found |= stored(place, "again")
    found["compare"] = place.json("compare", OLD_RUN, "again", "--top", 3)
    return found


SCENARIOS: dict[str, Scenario] = {
    function.__name__: function
    for function in (
        digits_run,
        breast_cancer_runs,
        curated_run,
        feature_corruptions,
        trained_runs,
        image_runs,
        published_runs,
        dicom_runs,
        text_runs,
        table_runs,
        pair_runs,
        score_settings,
        score_trained,
        group_scores,
        objective_scores,
        model_scores,
        network_scores,
    )
}
