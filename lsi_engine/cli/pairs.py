"""``lsi compute pairs``: image–caption pairs under a contrastive probe."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lsi_engine.cli.compute import Backbone, ImageSize, Weights, extractor_settings, plain
from lsi_engine.cli.console import Json
from lsi_engine.cli.corruptions import asked_for
from lsi_engine.cli.execution import carry_out, show_estimate
from lsi_engine.cli.settings import EstimateOnly, chosen_rows, prior_precision
from lsi_engine.cli.text_sources import Pooling, encoder_settings


class Captions(StrEnum):
    all = "all"
    first = "first"


class Similarity(StrEnum):
    dot = "dot"
    cosine = "cosine"


class PairHessian(StrEnum):
    diag = "diag"
    full = "full"


class PairScaling(StrEnum):
    unit = "unit"
    none = "none"


def compute_pairs(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV of file,caption, or COCO's captions_*.json.")],
    images: Annotated[Path, typer.Option(help="Folder that the file names are relative to.")],
    backbone: Backbone = "resnet18",
    weights: Weights = "default",
    image_size: ImageSize = None,
    encoder: Annotated[
        str, typer.Option(help="Text encoder: 'tfidf', 'minilm', or a transformers encoder by name or folder.")
    ] = "minilm",
    pooling: Annotated[Pooling, typer.Option(help="How an encoder's token states become one vector.")] = Pooling.mean,
    captions: Annotated[Captions, typer.Option(help="A pair for each caption of an image, or its first only.")] = (
        Captions.all
    ),
    file_column: Annotated[str | None, typer.Option(help="Column of the file names; found if usual.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Column of the captions; found if usual.")] = None,
    instances: Annotated[Path | None, typer.Option(help="COCO's instances_*.json, for labels.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Keep images that show it; again for more.")] = None,
    dimension: Annotated[int, typer.Option(help="Dimension of the shared space.")] = 16,
    temperature: Annotated[float, typer.Option(help="τ of the contrastive loss.")] = 1.0,
    similarity: Annotated[
        Similarity, typer.Option(help="'dot' has an optimum; 'cosine' is trained from initial weights.")
    ] = Similarity.dot,
    weight_decay: Annotated[float, typer.Option(help="wd in mean loss + wd/2·‖θ‖².")] = 0.3,
    learning_rate: Annotated[float, typer.Option(help="Of full-batch Nesterov descent.")] = 0.005,
    epochs: Annotated[int, typer.Option(help="Epochs of every training.")] = 1000,
    seeds: Annotated[int, typer.Option(help="Full sets of trainings; 'dot' does not depend on the seed.")] = 1,
    hessian: Annotated[PairHessian, typer.Option(help="Structure of the posterior's precision.")] = PairHessian.diag,
    feature_scaling: Annotated[
        PairScaling, typer.Option(help="'unit': each row of features divided by its root mean square.")
    ] = PairScaling.unit,
    prior: Annotated[str, typer.Option("--prior-precision", help="δ: 'weight_decay' (N·wd) or a number.")] = (
        "weight_decay"
    ),
    device: Annotated[str | None, typer.Option(help="torch device, such as cuda; the CPU when not given.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; made from the file when not given.")] = None,
    swap_captions: Annotated[float, typer.Option(help="Share of the captions to swap on purpose.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the swaps.")] = 0,
    corrupt: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND:key=value,…", help="Damage on purpose; `lsi corruptions` lists the kinds."),
    ] = None,
    rows: Annotated[
        str, typer.Option(metavar="FIRST:END|NUMBER|SHARE", help="Leave out these pairs only, as for images.")
    ] = "",
    estimate: EstimateOnly = False,
    as_json: Json = False,
) -> None:
    """Score pairs of images and captions: each is really left out of two contrastive heads and they are trained on."""
    from lsi_engine.runs.store import RunConfig

    optional: dict[str, Any] = {
        "file_column": file_column,
        "caption_column": caption_column,
        "instances": str(instances.resolve()) if instances else None,
        "categories": category or None,
    }
    source = {"kind": "image_text_pairs", "path": str(file.resolve()), "root": str(images.resolve())}
    source |= {"captions": captions.value} | {key: value for key, value in optional.items() if value is not None}
    ((_, asked),) = asked_for(0.0, seed, corrupt or [], None)
    swaps = {"kind": "swap_captions", "rate": swap_captions, "seed": seed}
    config = RunConfig(
        name=name or plain(file.name.split(".")[0]),
        source=source,
        extractor={
            "kind": "pair",
            "image": extractor_settings(backbone, weights, image_size),
            "text": encoder_settings(encoder, pooling, None),
        },
        corruption=[*([swaps] if swap_captions else []), *asked],
        feature_scaling=feature_scaling.value,
        weight_decay=weight_decay,
        hessian=hessian.value,
        method="retrain",
        prior_precision=prior_precision(prior),
        learning_rate=learning_rate,
        epochs=epochs,
        seeds=seeds,
        left_out=chosen_rows(rows),
        device=device,
        pairs={
            "dimension": dimension,
            "temperature": temperature,
            "similarity": similarity.value,
            "start": "optimum" if similarity is Similarity.dot else "initial",
        },
    )
    if estimate:
        show_estimate(config, 1, as_json)
    else:
        carry_out(config)
