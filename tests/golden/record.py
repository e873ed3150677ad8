"""``python -m tests.golden.record``: write the golden values of the code as it is.

``--old-run`` writes the folder ``run_v1/`` first; that is for the version that it is named after, and was done once.
``--measure [N]`` writes nothing and prints how far results lie from the kept ones, each scenario run with N threads.
"""

from __future__ import annotations

import os
import shutil
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

import lsi_engine  # noqa: E402
from tests.golden import golden_values  # noqa: E402
from tests.golden.scenarios import OLD_RUN, SCENARIOS, make_old_run, old_run_folder  # noqa: E402
from tests.golden.surface import Workplace, arithmetic, threads  # noqa: E402

KEPT = Path(__file__).parent / OLD_RUN


def main() -> None:
    print("of", Path(lsi_engine.__file__).parent)
    if "--old-run" in sys.argv:
        with tempfile.TemporaryDirectory() as folder, threads(1):
            shutil.copytree(make_old_run(Workplace(Path(folder))), KEPT)
    measured = "--measure" in sys.argv
    count = int(sys.argv[-1]) if measured and sys.argv[-1].isdecimal() else 1
    golden = golden_values.load()[0] if measured else {}
    made = {}
    for name, scenario in {**SCENARIOS, old_run_folder.__name__: old_run_folder}.items():
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder, threads(count):
            place = Workplace(Path(folder))
            if scenario is old_run_folder:
                shutil.copytree(KEPT, place.folder(OLD_RUN))
            made[name] = golden_values.recorded(scenario(place))
        print(f"{name:<22}{time.perf_counter() - started:6.1f} s", end="  ", flush=True)
        if measured:
            apart, where = golden_values.largest_difference(made[name], golden[name])
            exact = golden_values.differences(made[name], golden[name], float("inf"))
            print(f"{apart:.1e} {where}", *exact[:5], sep="\n    " if exact else " ")
        else:
            print()
    if not measured:
        golden_values.save(made, {"arithmetic": arithmetic()})
        print(*(f"{file.name} {file.stat().st_size:,} bytes" for file in (golden_values.JSON, golden_values.NPZ)))


if __name__ == "__main__":
    main()
