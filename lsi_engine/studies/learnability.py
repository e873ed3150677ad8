"""Which part of the data trains best: probes trained on thirds by LSI and on what pruning rules leave.

The paper's experiment on learnability (section 4.3, Figure 8), with the pruning curves that a person asks for before
exporting a subset. Each repeat holds a part out first and scores the rest without it, so no score has seen a sample
that it is judged by.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from lsi_engine.errors import InputError, LsiWarning
from lsi_engine.inputs import encode_labels
from lsi_engine.numerics.design import Design
from lsi_engine.progress import Progress, silent
from lsi_engine.scores.score import score
from lsi_engine.settings import Hessian
from lsi_engine.studies.subset_choice import RULES, SHARES, THIRDS, drawn, kept, parts, thirds
from lsi_engine.training.newton import fit_linear_probe
from lsi_engine.training.softmax_objective import SoftmaxObjective, as_targets

#: Of the fits on subsets: a gradient of a 100,000th of one sample's moves the weights by less than a thousandth.
TOLERANCE = 1e-5
#: Of those fits, too: weights whose whole Hessian is worth factorising when the start is so near.
FACTORISED = 2000
#: A class needs so many samples to train on, one for each third.
FEWEST = 3
#: Fits of one repeat; the whole part's comes with its scores.
FITS = len(THIRDS) + len(RULES) * len(SHARES)
#: Columns of :attr:`Learnability.table`.
COLUMNS = ("repeat", "family", "rule", "share", "rows", "train_accuracy", "test_accuracy")


@dataclass(frozen=True)
class Learnability:
    """``table``: one row a training, columns ``COLUMNS``. ``facts``: JSON-able, how it came about.

    ``family`` is ``all`` (the whole training part), ``majority`` (always the commonest class), ``third`` (``rule`` is
    low, mid or high) or ``kept`` (``rule`` of :data:`~lsi_engine.studies.subset_choice.RULES`, ``share`` of each
    class). ``train_accuracy`` counts the given labels of the samples trained on, ``test_accuracy`` the held-out ones.
    """

    table: pd.DataFrame
    facts: dict[str, Any]


class _Part(NamedTuple):
    """One repeat: the training part with its whole probe, and what is held out."""

    design: Design
    codes: NDArray[np.int64]
    scores: dict[str, NDArray[np.float64]]
    theta: torch.Tensor
    test_design: Design
    test_codes: NDArray[np.int64]


def learnability(
    features: NDArray | torch.Tensor,
    labels: Any,
    *,
    truth: Any = None,
    groups: NDArray[np.integer] | None = None,
    weight_decay: float = 0.01,
    hessian: Hessian = "diag",
    prior_precision: float | Literal["weight_decay"] = "weight_decay",
    feature_scaling: Literal["none", "standardize"] = "none",
    device: str | None = None,
    repeats: int = 3,
    held_out: float = 0.2,
    rows: int = 20_000,
    seed: int = 0,
    progress: Progress = silent,
) -> Learnability:
    """Train the linear probe on subsets of the data and test it on a held-out part, ``repeats`` times.

    Every probe has the same ``weight_decay`` of the mean form, which is per sample and so means the same for a subset
    of any size, and sees features scaled as the whole training part's. Scores are the closed form's.

    Parameters
    ----------
    features, labels, weight_decay, hessian, prior_precision, feature_scaling, device
        As for :func:`lsi_engine.score`.
    truth
        ``(N,)`` labels that held-out predictions are compared with; the given ``labels`` when ``None``. Held-out
        samples whose truth is missing, or none of the classes, are not counted.
    groups
        ``(N,)`` whole numbers: samples of one group (a patient's films) are never on both sides.
    held_out
        Share held out; 1 / (a whole number) is met exactly, others by the nearest such share.
    rows
        More samples than this are thinned first, the same share of each class.

    Raises
    ------
    InputError
        For data that ``score`` refuses, and where fewer than two classes have enough samples on both sides.
    """
    if repeats < 1 or rows < 10:
        raise InputError(f"repeats is {repeats} and rows {rows}: at least 1 and 10 are needed")
    started, count = time.perf_counter(), len(features)
    codes, classes = encode_labels(labels, count)
    true = codes if truth is None else np.asarray(pd.Categorical(truth, categories=classes).codes, dtype=np.int64)
    used = drawn(codes, rows, seed)
    codes, true, picked_groups = codes[used], true[used], None if groups is None else groups[used]
    notes: set[str] = set()
    found: list[tuple[Any, ...]] = []
    sizes: list[tuple[int, int]] = []
    for repeat in range(repeats):
        train, test = parts(codes, picked_groups, held_out, repeat, seed)
        train, test, known, lost = _enough(codes, true, train, test)
        if lost:
            named = ", ".join(str(classes[code]) for code in lost[:5]) + ("…" if len(lost) > 5 else "")
            notes.add(f"left out for want of {FEWEST} samples to train on: {named}")
        step = repeat * (FITS + 1)

        def report(done: int, step: int = step) -> Progress:
            return lambda *_: progress("subsets", step + done, repeats * (FITS + 1))

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", LsiWarning)
            table = score(
                features[used[train]],
                codes[train],
                weight_decay=weight_decay,
                hessian=hessian,
                prior_precision=prior_precision,
                feature_scaling=feature_scaling,
                device=device,
                progress=report(0),
            )
        notes.update(str(one.message) for one in caught if issubclass(one.category, LsiWarning))
        place = torch.device(table.info["device"])
        part = _Part(
            Design(features[used[train]], table.scaling, place),
            table.codes,
            {name: np.asarray(getattr(table, name)) for name in ("lsi", "suspicion", "leverage", "margin")}
            | {"random": np.random.default_rng((seed, repeat)).random(len(train))},
            torch.as_tensor(np.column_stack([table.weight, table.bias]), device=place),
            Design(features[used[test]], table.scaling, place),
            np.searchsorted(known, true[test]),
        )
        found += [(repeat, *row) for row in _trainings(part, weight_decay, report)]
        sizes.append((len(train), len(test)))
    progress("subsets", repeats * (FITS + 1), repeats * (FITS + 1))
    facts = {
        "samples": count,
        "rows": len(used),
        "classes": len(classes),
        "repeats": repeats,
        "held_out": held_out,
        "seed": seed,
        "train_rows": [size for size, _ in sizes],
        "test_rows": [size for _, size in sizes],
        "grouped": groups is not None,
        "truth": "label" if truth is None else "true_label",
        "weight_decay": weight_decay,
        "hessian": table.info["hessian"],
        "prior_precision": prior_precision,
        "feature_scaling": feature_scaling,
        "notes": sorted(notes),
        "seconds": round(time.perf_counter() - started, 1),
    }
    return Learnability(pd.DataFrame(found, columns=list(COLUMNS)), facts)


def _enough(
    codes: NDArray[np.int64], true: NDArray[np.int64], train: NDArray[np.intp], test: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], list[int]]:
    """Both parts without the classes that have fewer than ``FEWEST`` samples to train on; those kept, those lost."""
    sizes = np.bincount(codes[train], minlength=int(codes.max()) + 1)
    known, lost = np.flatnonzero(sizes >= FEWEST), np.setdiff1d(codes, np.flatnonzero(sizes >= FEWEST))
    train, test = train[np.isin(codes[train], known)], test[np.isin(true[test], known)]
    if len(known) < 2 or not len(test):
        raise InputError(
            f"{len(known)} class(es) have {FEWEST} samples to train on and {len(test)} held-out samples belong to "
            "them: two classes and one sample are needed; the groups may be too large for the share held out"
        )
    return train, test, known, lost.tolist()


def _trainings(part: _Part, weight_decay: float, report: Any) -> Iterator[tuple[Any, ...]]:
    """Family, rule, share, rows and both accuracies of each training; ``report(k)`` is the progress of the k-th."""
    classes, codes, everything = part.theta.shape[0], part.codes, np.arange(len(part.codes))

    def outcome(family: str, rule: str, share: float, rows: NDArray[np.intp], theta: torch.Tensor) -> tuple[Any, ...]:
        train = np.mean(_predicted(part.design, theta)[rows] == codes[rows])
        test = np.mean(_predicted(part.test_design, theta) == part.test_codes)
        return family, rule, share, len(rows), float(train), float(test)

    commonest = int(np.bincount(codes).argmax())
    guesses = float(np.mean(codes == commonest)), float(np.mean(part.test_codes == commonest))
    yield "majority", "majority", 1.0, len(codes), *guesses
    yield outcome("all", "all", 1.0, everything, part.theta)
    chosen = [("third", name, 1 / 3, rows) for name, rows in thirds(codes, part.scores["lsi"]).items()]
    for rule, (column, highest_first) in RULES.items():
        for share in SHARES:
            rows = kept(codes, part.scores[column], share, highest_first=highest_first)
            chosen.append(("kept", rule, share, rows))
    for number, (family, rule, share, rows) in enumerate(chosen, start=1):
        report(number)("fit", 0, 1)
        objective = SoftmaxObjective(
            part.design.subset(rows), as_targets(codes[rows], part.design.device), classes, weight_decay
        )
        probe = fit_linear_probe(
            objective, tolerance=TOLERANCE, start=part.theta, factorised=FACTORISED, progress=report(number)
        )
        yield outcome(family, rule, share, rows, probe.theta)


def _predicted(design: Design, theta: torch.Tensor) -> NDArray[np.int64]:
    """``(N,)`` the likeliest class of each row."""
    best = [(design.block(rows, torch.float64) @ theta.T).argmax(dim=1) for rows in design.row_blocks()]
    return torch.cat(best).cpu().numpy()
