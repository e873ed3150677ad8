"""Parts of the work on cores of their own: all of them, in order, with the same numbers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from lsi_engine import score
from lsi_engine.errors import Cancelled
from lsi_engine.numerics.parallel import cores_of, in_parallel

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 3])
def cores(request: pytest.FixtureRequest) -> Iterator[int]:
    with threadpool_limits(request.param, user_api="blas"):
        yield request.param


def test_results_come_in_the_order_of_the_parts(cores):
    assert cores_of(CPU) == cores
    first_may_end = threading.Event()

    def square(part: int) -> int:
        # The first part is the last to be finished, where there is more than one core.
        if cores > 1 and part == 0:
            assert first_may_end.wait(30)
        if part == 1:
            first_may_end.set()
        return part * part

    assert list(in_parallel(square, range(40), CPU)) == [part * part for part in range(40)]


def test_each_part_multiplies_alone_and_all_threads_come_back_after(cores):
    seen = [
        max(library["num_threads"] for library in found if library["user_api"] == "blas")
        for found in in_parallel(lambda _: threadpool_info(), range(4), CPU)
    ]
    assert seen == [1] * 4
    assert cores_of(CPU) == cores


def test_what_fails_in_a_part_is_raised_and_nothing_more_is_begun(cores):
    begun = []

    def work(part: int) -> int:
        begun.append(part)
        if part == 2:
            raise ValueError("part two")
        return part

    with pytest.raises(ValueError, match="part two"):
        list(in_parallel(work, range(1000), CPU))
    assert len(begun) < 20


@pytest.mark.parametrize("hessian", ["diag", "kron", "full"])
def test_scores_on_several_cores_are_those_on_one(hessian):
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 5000)
    features = random.normal(size=(5000, 12)) + labels[:, None] * 0.3
    with threadpool_limits(1, user_api="blas"):
        alone = score(features, labels, hessian=hessian)
    with threadpool_limits(3, user_api="blas"):
        together = score(features, labels, hessian=hessian)
    np.testing.assert_allclose(together.lsi, alone.lsi, rtol=1e-9)
    np.testing.assert_allclose(together.weight, alone.weight, rtol=1e-9, atol=1e-12)


def test_a_run_on_several_cores_can_be_cancelled():
    random = np.random.default_rng(0)
    asked = []

    def cancel(stage: str, done: int, total: int) -> None:
        asked.append(stage)
        if stage == "scores":
            raise Cancelled

    with threadpool_limits(3, user_api="blas"), pytest.raises(Cancelled):
        score(random.normal(size=(9000, 5)), random.integers(0, 3, 9000), progress=cancel)
    assert asked.count("scores") == 1
