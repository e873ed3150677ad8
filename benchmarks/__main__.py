"""``make bench``: every benchmark that needs nothing but this repository, one after the other."""

from __future__ import annotations

import subprocess
import sys

#: Modules with the arguments that keep each at a few minutes on two cores.
RUNS = (
    ["benchmarks.closed_form", "--hessian", "full"],
    ["benchmarks.closed_form", "--hessian", "diag"],
    ["benchmarks.retrain"],
)

for command in RUNS:
    print(f"\n$ python -m {' '.join(command)}", flush=True)
    subprocess.run([sys.executable, "-m", *command], check=True)
