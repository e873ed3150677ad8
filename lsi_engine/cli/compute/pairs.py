"""``lsi compute pairs``: image–caption pairs under a contrastive probe."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lsi_engine.cli.compute.commands import Backbone, ImageSize, Weights, plain
from lsi_engine.cli.compute.corruptions import asked_for
from lsi_engine.cli.compute.execution import carry_out, show_estimate
from lsi_engine.cli.compute.settings import Settings, takes_settings
from lsi_engine.cli.compute.text_sources import Pooling
from lsi_engine.features.choice import image_extractor, pair_extractor, text_extractor


class Captions(StrEnum):
    all = "all"
    first = "first"


class Similarity(StrEnum):
    dot = "dot"
    cosine = "cosine"


@takes_settings(
    defaults={"method": "retrain", "weight_decay": 0.3, "learning_rate": 0.005, "feature_scaling": "unit"},
    choices={"hessian": ("diag", "full"), "feature_scaling": ("unit", "none")},
    without=(
        *("method", "momentum", "probe", "loo_prior", "score_epochs", "groups", "scores", "precision", "tolerance"),
        *("flip_labels", "sweep"),
    ),
)
def compute_pairs(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV of file,caption, or COCO's captions_*.json.")],
    images: Annotated[Path, typer.Option(help="Folder that the file names are relative to.")],
    settings: Settings,
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
    swap_captions: Annotated[float, typer.Option(help="Share of the captions to swap on purpose.")] = 0.0,
) -> None:
    """Score pairs of images and captions: each is really left out of two contrastive heads and they are trained on."""
    from lsi_engine.runs.config import RunConfig

    optional: dict[str, Any] = {
        "file_column": file_column,
        "caption_column": caption_column,
        "instances": str(instances.resolve()) if instances else None,
        "categories": category or None,
    }
    source = {"kind": "image_text_pairs", "path": str(file.resolve()), "root": str(images.resolve())}
    source |= {"captions": captions.value} | {key: value for key, value in optional.items() if value is not None}
    ((_, asked),) = asked_for(0.0, settings.seed, settings.corrupt, None)
    swaps = {"kind": "swap_captions", "rate": swap_captions, "seed": settings.seed}
    config = RunConfig(
        name=settings.name or plain(file.name.split(".")[0]),
        source=source,
        extractor=pair_extractor(
            image_extractor(backbone, weights, image_size), text_extractor(encoder, pooling.value)
        ),
        corruption=[*([swaps] if swap_captions else []), *asked],
        method="retrain",
        pairs={
            "dimension": dimension,
            "temperature": temperature,
            "similarity": similarity.value,
            "start": "optimum" if similarity is Similarity.dot else "initial",
        },
        **settings.scoring,
    )
    if settings.estimate:
        show_estimate(config, 1, settings.as_json)
    else:
        carry_out(config)
