"""How long the server takes to answer a change of filter, page by page: ``python -m benchmarks.page_response [RUN]``.

Without RUN a synthetic run of ``--samples`` rows (no pictures) is written into a temporary cache. Each page's own
script runs as it does for a browser; the first answer opens the run, the others follow new changes of the filter.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from streamlit.testing.v1 import AppTest

from dashboard.view.view import View
from lsi_engine.files import write_json
from lsi_engine.runs.config import RunConfig
from lsi_engine.runs.store import RunStatus, RunStore

PAGES = ("overview", "classes", "gallery", "review", "sample", "export")
CLASSES = [f"class {i}" for i in range(10)]


def synthetic(store: RunStore, samples: int) -> str:
    """A finished run of ``samples`` rows with a long-tailed LSI and a tenth of the labels suspected."""
    random = np.random.default_rng(0)
    labels = random.integers(0, len(CLASSES), samples)
    suspicion = random.beta(0.5, 4, samples)
    probabilities = random.dirichlet(np.ones(len(CLASSES)), samples).astype(np.float32)
    names = np.array(CLASSES)
    suggested = pd.Series(names[(labels + 1) % len(CLASSES)]).where(suspicion > 0.4)
    lsi = random.lognormal(-5, 2, samples)
    frame = pd.DataFrame(
        {
            "sample_id": [f"row-{i:07d}" for i in range(samples)],
            "label": names[labels],
            "name": [f"row {i}" for i in range(samples)],
            "lsi": lsi,
            "lsi_mean_shift": 0.9 * lsi,
            "lsi_covariance": 0.1 * lsi,
            "loo_probability": 1 - suspicion,
            "loo_predicted_label": suggested.fillna(pd.Series(names[labels])),
            "suggested_label": suggested,
            "suspicion": suspicion,
            "leverage": random.uniform(size=samples),
            "margin": 1 - 2 * suspicion,
        }
    )
    folder = store.path("synthetic")
    folder.mkdir(parents=True)
    np.save(folder / "probabilities.npy", probabilities, allow_pickle=False)
    frame[["sample_id", "label", "name"]].to_parquet(folder / "samples.parquet")
    frame[["sample_id"]].head(0).to_parquet(folder / "skipped.parquet")
    facts = {"classes": CLASSES, "samples": samples, "modality": "features", "timings": {}, "gradient_norm": 0.0}
    facts |= {"scores_fingerprint": "5" * 32, "dataset_fingerprint": "d", "extractor_key": None, "dataset": "synthetic"}
    write_json(folder / "provenance.json", facts)
    write_json(folder / "config.json", RunConfig(name="synthetic", source={"kind": "feature_file", "path": "gone.npz"}))
    write_json(folder / "status.json", RunStatus(state="done"))
    frame.to_parquet(folder / "scores.parquet")
    return "synthetic"


def script(page: str) -> None:
    """What the application runs for one page (a function of its own: it is executed from its source)."""
    import importlib

    from dashboard.components import filters, sidebar
    from dashboard.data import open_run

    view = sidebar.draw()
    filters.strip(open_run(view.run), view)
    importlib.import_module(f"dashboard.pages.{page}").render()


def answers(page: str, views: list[View]) -> list[float]:
    """Seconds for each view, one after the other in one session."""
    tab = AppTest.from_function(script, kwargs={"page": page}, default_timeout=300)
    seconds = []
    for view in views:
        tab.query_params.clear()
        for name, values in view.to_query().items():
            tab.query_params[name] = values
        started = time.perf_counter()
        tab.run()
        seconds.append(time.perf_counter() - started)
        if tab.exception:
            raise SystemExit(f"{page}: {tab.exception[0].value}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.run is None:
            os.environ["LSI_CACHE"] = folder
            arguments.run = synthetic(RunStore(Path(folder)), arguments.samples)
        scores = RunStore().open(arguments.run).scores()
        lows = np.quantile(scores["lsi"], np.linspace(0.2, 0.99, arguments.changes))
        label = str(scores["label"].iloc[0])
        views = [View(run=arguments.run)]
        views += [View(run=arguments.run, lsi=(float(low), np.inf)) for low in lows[::2]]
        views += [
            View(run=arguments.run, classes=(label,), suspicion=(0.1, 1.0 - i / 100)) for i in range(len(lows) // 2)
        ]
        print(
            f"{arguments.run}: {len(scores):,} samples; seconds of the server, {len(views) - 1} changes of the filter"
        )
        print(f"{'page':<10}{'first':>8}{'median':>8}{'p95':>8}")
        for page in PAGES:
            first, *rest = answers(page, views)
            print(f"{page:<10}{first:8.2f}{np.median(rest):8.2f}{np.quantile(rest, 0.95):8.2f}", flush=True)
        print(f"memory of this process: {psutil.Process().memory_info().rss / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
