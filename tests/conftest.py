"""What every test process and its children have in common."""

import os

# Read when transformers is imported: a model that is not here is then refused at once, not after retries.
os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch or numpy is imported: two workers with two threads each would wait for one another on two cores.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
