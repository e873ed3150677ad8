"""``lsi compute`` for texts and tables."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lsi_engine.cli.compute.commands import compute_source
from lsi_engine.cli.compute.settings import Settings, takes_settings
from lsi_engine.features.choice import text_extractor


class Pooling(StrEnum):
    mean = "mean"
    cls = "cls"


Encoder = Annotated[
    str, typer.Option(help="'tfidf', 'minilm', or a transformers encoder: its name, or a local folder.")
]
PoolingOption = Annotated[Pooling, typer.Option(help="How an encoder's token states become one vector.")]
MaxTokens = Annotated[int | None, typer.Option(help="Tokens an encoder reads of each text; 256 when not given.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the labels; found by its name if usual.")]


@takes_settings
def compute_texts(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="CSV, TSV, JSONL or Parquet, or a folder: see docs/data.md.")
    ],
    settings: Settings,
    encoder: Encoder = "tfidf",
    pooling: PoolingOption = Pooling.mean,
    max_tokens: MaxTokens = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the texts; found by its name if usual.")] = None,
    label_column: LabelColumn = None,
    split: Annotated[str | None, typer.Option(help="Keep only this split, e.g. train.")] = None,
) -> None:
    """Score texts: a file of rows, a Hugging Face dataset on disk, or a folder of .txt files for each class."""
    given = {"text_column": text_column, "label_column": label_column, "split": split}
    source = {"kind": "texts", "path": str(path.resolve())}
    source |= {key: value for key, value in given.items() if value is not None}
    name = path.resolve().name.split(".")[0]
    compute_source(source, text_extractor(encoder, pooling.value, max_tokens), name, settings)


@takes_settings
def compute_demo_texts(
    settings: Settings,
    encoder: Encoder = "tfidf",
    pooling: PoolingOption = Pooling.mean,
    max_tokens: MaxTokens = None,
) -> None:
    """Score 400 synthetic messages written for this project, some mislabelled on purpose."""
    compute_source({"kind": "demo_texts"}, text_extractor(encoder, pooling.value, max_tokens), "demo-texts", settings)


@takes_settings
def compute_table(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, TSV, JSONL or Parquet with columns of numbers.")],
    settings: Settings,
    label_column: LabelColumn = None,
) -> None:
    """Score the rows of a table of numbers with a column of labels."""
    given = {} if label_column is None else {"label_column": label_column}
    source = {"kind": "table", "path": str(path.resolve())} | given
    compute_source(source, None, path.resolve().name.split(".")[0], settings)


@takes_settings
def compute_breast_cancer(settings: Settings) -> None:
    """Score the 569 breast masses (30 measures each) that come with scikit-learn."""
    compute_source({"kind": "breast_cancer"}, None, "breast-cancer", settings)


#: Sub-commands of ``lsi compute`` by name.
COMMANDS = {
    "texts": compute_texts,
    "demo-texts": compute_demo_texts,
    "table": compute_table,
    "breast-cancer": compute_breast_cancer,
}
