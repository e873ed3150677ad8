"""Are wrong labels and meaningless texts told apart? Quantiles of LSI of each, as in the paper's Figure 6.

    python -m benchmarks.text_corruption RUN [RUN …]

RUN is a stored run with flipped labels, lorem ipsum, or both (`lsi compute texts … --flip-labels 0.1
--corrupt lorem_ipsum:rate=0.1`). Samples that both befell are left out.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from lsi_engine.runs.store import RunStore

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def groups(name: str) -> dict[str, NDArray[np.float64]]:
    """LSI of the clean, the flipped and the lorem samples of one run."""
    scores = RunStore().open(name).scores()
    done = scores["corruption"] if "corruption" in scores else scores["sample_id"].map(lambda _: "")
    kinds = done.map(lambda text: {part.split(" ")[0] for part in text.split(" + ") if part})
    named = {"clean": set(), "flipped": {"flip_labels"}, "lorem": {"lorem_ipsum"}}
    lsi = scores["lsi"].to_numpy()
    found = {group: lsi[[kind == wanted for kind in kinds]] for group, wanted in named.items()}
    return {group: values for group, values in found.items() if len(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    for name in parser.parse_args().runs:
        found = groups(name)
        print(f"{name}: LSI at the quantiles {', '.join(map(str, QUANTILES))}; p95/p5")
        for group, values in found.items():
            cuts = np.quantile(values, QUANTILES)
            print(f"  {group:8} n {len(values):5}  {'  '.join(f'{cut:.3g}' for cut in cuts)}  {cuts[-1] / cuts[0]:.0f}")
        for higher, lower in (("flipped", "clean"), ("lorem", "clean"), ("flipped", "lorem")):
            if higher in found and lower in found:
                truth = np.r_[np.ones(len(found[higher])), np.zeros(len(found[lower]))]
                area = roc_auc_score(truth, np.r_[found[higher], found[lower]])
                print(f"  {higher} above {lower}: AUROC {area:.3f}")


if __name__ == "__main__":
    main()
