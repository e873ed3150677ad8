"""A small stored run, written as the pipeline writes one."""

import numpy as np
import pandas as pd

from lsi_engine.files import write_json
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.store import Run, RunStatus, RunStore


def make_run(store: RunStore, frame: pd.DataFrame, name: str = "trial", fingerprint: str = "f00d") -> Run:
    folder = store.path(name)
    folder.mkdir(parents=True)
    write_json(folder / "config.json", RunConfig(name=name, source={"kind": "features"}))
    write_json(folder / "status.json", RunStatus(state="done"))
    classes = sorted(set(frame["label"]))
    write_json(
        folder / "provenance.json",
        {
            "scores_fingerprint": fingerprint,
            "dataset_fingerprint": "da7a",
            "classes": classes,
            "modality": "features",
        },
    )
    frame.to_parquet(folder / "scores.parquet")
    return store.open(name)


def make_scores(labels: list[str], names: list[str] | None = None, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    classes = sorted(set(labels))
    suggested = [str(rng.choice(classes)) for _ in labels]
    return pd.DataFrame(
        {
            "sample_id": [f"s{i:03}" for i in range(len(labels))],
            "label": labels,
            "name": names or [f"{label}/{i}.png" for i, label in enumerate(labels)],
            "lsi": rng.lognormal(size=len(labels)),
            "suspicion": rng.uniform(size=len(labels)),
            "suggested_label": [s if s != label else None for s, label in zip(suggested, labels, strict=True)],
        }
    ).astype({"suggested_label": "str"})
