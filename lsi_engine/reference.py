"""``python -m lsi_engine.reference``: the flags of the paper's own program, carried out by this engine.

The paper's program (``LSI_compute.py``) trains the probe again for each sample. So does this, where that ends in
reasonable time; otherwise, for the linear probe, the closed form stands in, and what is printed says so. The result
is an ordinary run that the dashboard opens.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lsi_engine.cli.compute.execution import carry_out
from lsi_engine.cli.console import notes, out
from lsi_engine.errors import Cancelled, InputError, LsiError
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.store import cache_folder
from lsi_engine.samples import SampleSet, open_source
from lsi_engine.samples.images.archives import ARCHIVES
from lsi_engine.scores.cost import Task, work
from lsi_engine.scores.speed import Speed

DATASETS = ("cifar10", "cifar100", "imagenette", "imagewoof", "pneumonia", "imdb")
#: The reference's models: one linear layer, or a hidden ReLU layer of this width before it.
MODELS: dict[str, Any] = {"TinyModel": "linear", "MiddleModel": 32, "LargerModel": 256}
#: What a processor of today does a second, so that the same flags choose the same method on every machine.
SPEED = Speed(single=1e11, double=5e10, elements=1e9)
#: Retraining that would take longer than this (seconds) is not started unasked.
PATIENCE = 3600.0
#: Features a sample, for the estimate; those of the backbones here have 512 to 2048.
DIMENSION = 512


def _truth(text: str) -> bool:
    """``--human_label_noise True``, as the reference's examples write it, and ``False`` too."""
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return text.lower() in ("true", "1", "yes")


def parser() -> argparse.ArgumentParser:
    """The reference's flags under their own names, and a few of ours."""
    made = argparse.ArgumentParser(
        prog="python -m lsi_engine.reference",
        description="The flags of the paper's own program, carried out by this engine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    theirs = made.add_argument_group("as in the reference")
    theirs.add_argument("--dataset", choices=DATASETS, default="cifar10", help="which data")
    theirs.add_argument("--data_path", type=Path, help="its folder, or a .npz of features and labels")
    theirs.add_argument("--model", choices=list(MODELS), default="TinyModel", help="linear, 32 or 256 hidden units")
    theirs.add_argument("--laptype", choices=["diag", "full", "kron"], default="diag", help="the posterior's precision")
    theirs.add_argument(
        "--n_seeds", type=int, default=1, help="trainings from different initial weights: seeds 5, 6, …"
    )
    theirs.add_argument("--epochs", type=int, default=1000, help="full-batch steps")
    theirs.add_argument("--lr", type=float, default=0.004, help="learning rate (the paper says 0.04)")
    theirs.add_argument("--wd", type=float, default=1e-4, help="weight decay (the paper says 0.01)")
    theirs.add_argument("--mom", type=float, default=0.9, help="Nesterov momentum")
    theirs.add_argument("--subset", type=int, default=0, help="only the first so many samples; 0: all (reference: 50)")
    theirs.add_argument("--range1", type=int, default=0, help="first sample that is left out in turn")
    theirs.add_argument("--range2", type=int, default=0, help="the one after the last; 0: to the end")
    theirs.add_argument("--corrupt_label", type=float, default=0.0, help="share of labels flipped to another class")
    theirs.add_argument("--corrupt_data", type=float, default=0.0, help="σ of noise on features; share of texts (imdb)")
    theirs.add_argument("--corrupt_data_label", type=int, nargs="+", default=[1, 2], help="classes that get the noise")
    theirs.add_argument(
        "--human_label_noise", type=_truth, default=False, metavar="True|False", help="CIFAR-N's labels"
    )
    theirs.add_argument("--noisy_label_location", type=Path, help="the CIFAR-N file; beside the data when not given")
    ours = made.add_argument_group("ours")
    ours.add_argument("--name", help="name of the run")
    ours.add_argument("--method", choices=["auto", "retrain", "trajectory", "closed_form"], default="auto", help="how")
    ours.add_argument("--backbone", default="resnet18", help="frozen features of images")
    ours.add_argument("--weights", default="default", help="torchvision's, or a local file")
    ours.add_argument("--feature_scaling", choices=["none", "standardize"], default="none", help="reference: none")
    ours.add_argument(
        "--prior_precision", type=float, default=1.0, help="δ of the posterior, whatever the weight decay"
    )
    ours.add_argument("--dry_run", action="store_true", help="say what would be done, and stop")
    return made


def _source(given: argparse.Namespace) -> dict[str, Any]:
    """The source that ``--dataset`` and ``--data_path`` name."""
    path = (given.data_path or cache_folder() / "datasets").expanduser().resolve()
    first = {"first": given.subset} if given.subset > 0 else {}
    if path.suffix in (".npz", ".parquet") and path.is_file():
        return {"kind": "feature_file", "path": str(path), **first}
    if given.dataset == "imdb":
        return {"kind": "texts", "path": str(path), **first}
    if given.dataset in ("imagenette", "imagewoof"):
        return {"kind": "wordnet_folder", "root": str(path), **first}
    return {"kind": given.dataset, "root": str(path), **first}


def _extractor(given: argparse.Namespace, source: dict[str, Any]) -> dict[str, Any] | None:
    if source["kind"] == "feature_file":
        return None
    if source["kind"] == "texts":
        return {"kind": "tfidf"}
    if given.backbone == "pixels":
        return {"kind": "pixels"}
    weights = given.weights if given.weights == "default" else str(Path(given.weights).expanduser().resolve())
    return {"kind": "torchvision", "backbone": given.backbone, "weights": weights}


def _corruptions(given: argparse.Namespace, source: dict[str, Any], classes: list[str]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if given.human_label_noise:
        name = {"cifar10": "CIFAR-10_human.pt", "cifar100": "CIFAR-100_human.pt"}.get(given.dataset)
        if name is None:
            raise InputError(f"there are no human labels for {given.dataset}; they exist for cifar10 and cifar100")
        place = Path(source.get("root") or Path(source["path"]).parent)
        file = (given.noisy_label_location or place / name).expanduser().resolve()
        which = "aggre" if given.dataset == "cifar10" else "noisy"
        steps.append({"kind": "human_labels", "file": str(file), "which": which})
    if given.corrupt_label:
        steps.append({"kind": "flip_labels", "rate": given.corrupt_label, "seed": 5})
    if given.corrupt_data and source["kind"] == "texts":
        steps.append({"kind": "lorem_ipsum", "rate": given.corrupt_data, "mode": "add", "seed": 5})
    elif given.corrupt_data:
        unknown = [number for number in given.corrupt_data_label if not 0 <= number < len(classes)]
        if unknown:
            raise InputError(f"--corrupt_data_label {unknown[0]}: {given.dataset} has classes 0 to {len(classes) - 1}")
        names = [classes[number] for number in given.corrupt_data_label]
        steps.append({"kind": "feature_noise", "sigma": given.corrupt_data, "classes": names, "seed": 5})
    return steps


def plan(given: argparse.Namespace) -> tuple[RunConfig, list[str]]:
    """The run that ``given`` asks for, and what to say about it, line by line.

    Raises ``InputError`` for data that cannot be read or flags that do not fit them.
    """
    source = _source(given)
    samples: SampleSet = open_source(source)
    labels = samples.table["label"]
    # Numbers in front count as numbers do: class 10 comes after class 9.
    classes = sorted(labels.unique(), key=lambda name: (0, int(name), "") if name.isdecimal() else (1, 0, name))
    end = given.range2 if given.range2 > 0 else len(samples)
    if not 0 <= given.range1 < end <= len(samples):
        raise InputError(f"--range1 {given.range1} --range2 {given.range2}: there are {len(samples)} samples")
    rows = end - given.range1
    probe = MODELS[given.model]
    task = Task(
        samples=len(samples),
        dimension=DIMENSION,
        classes=len(classes),
        left_out=rows,
        method="retrain",
        hessian=given.laptype,
        hidden=None if probe == "linear" else probe,
        epochs=given.epochs,
        seeds=given.n_seeds,
    )
    seconds = work(task).seconds(SPEED)
    method, why = given.method, "as asked"
    if method == "auto":
        fits = seconds <= PATIENCE or probe != "linear" or given.laptype == "kron"
        method = "retrain" if fits else "closed_form"
        why = "as in the reference" if fits else f"retraining would take about {seconds / 3600:,.0f} h here"
    steps = _corruptions(given, source, classes)
    config = RunConfig(
        name=given.name
        or "-".join(["reference", given.dataset, given.model, given.laptype, *(s["kind"] for s in steps)]),
        source=source,
        extractor=_extractor(given, source),
        corruption=steps,
        feature_scaling=given.feature_scaling,
        weight_decay=given.wd,
        hessian=given.laptype,
        method=method,
        prior_precision=given.prior_precision,
        probe=probe,
        learning_rate=given.lr,
        momentum=given.mom,
        epochs=given.epochs,
        seeds=given.n_seeds if method != "closed_form" else 1,
        left_out=None if rows == len(samples) else (given.range1, end),
    )
    return config, _told(config, samples, len(classes), rows, why, seconds, given)


def _told(
    config: RunConfig,
    samples: SampleSet,
    classes: int,
    rows: int,
    why: str,
    seconds: float,
    given: argparse.Namespace,
) -> list[str]:
    lines = [
        f"data       {samples.name}: {len(samples):,} samples, {classes} classes"
        + (f", the first {given.subset:,}" if given.subset > 0 else " (--subset 0: all; the reference takes 50)"),
        f"left out   {rows:,} of them, one at a time",
        f"features   {config.extractor or 'those of the file'}, scaling {config.feature_scaling}",
        f"probe      {given.model}: {config.probe if config.probe == 'linear' else f'{config.probe} hidden units'}",
        f"posterior  {config.hessian}, prior precision {config.prior_precision:g}",
        f"method     {config.method}, {why}",
    ]
    if config.method == "closed_form":
        lines.append(
            f"           at the optimum of weight decay {config.weight_decay:g}: learning rate, momentum, epochs and "
            "seeds play no part, and a training that stops short of it differs (docs/methods.md); --method retrain "
            "insists"
        )
    else:
        lines.append(
            f"           {config.epochs} epochs, learning rate {config.learning_rate:g}, momentum {config.momentum:g}, "
            f"weight decay {config.weight_decay:g}, {config.seeds} seed(s)"
            + (f"; about {math.ceil(seconds / 60):,} min" if config.method == "retrain" else "")
        )
    for step in config.corruption:
        told = ", ".join(f"{key} {value}" for key, value in step.items() if key != "kind")
        lines.append(f"corruption {step['kind']}: {told}")
        if step["kind"] == "feature_noise":
            lines.append("           σ in units of each feature's own spread; the reference takes one spread for all")
    return lines


def main() -> None:
    """Carry out the command line; a problem the user can mend is one line on standard error and exit code 1."""
    given = parser().parse_args()
    try:
        config, lines = plan(given)
        for line in lines:
            out.print(line, markup=False)
        out.print(f"run        {config.name}", markup=False)
        if not given.dry_run:
            carry_out(config)
            out.print("`lsi dashboard` opens it", markup=False)
    except (Cancelled, KeyboardInterrupt) as error:
        notes.print(f"cancelled: {error}", markup=False)
        sys.exit(130)
    except (LsiError, ValidationError) as error:
        notes.print(f"error: {error}", markup=False)
        if given.data_path is None and given.dataset in ARCHIVES:
            notes.print(f"`lsi compute {given.dataset} --download` fetches the data", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
