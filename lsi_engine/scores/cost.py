"""What a method will take before it is started: its arithmetic, counted, at the speed measured on this machine.

Three rates decide: matrix products in single and in double precision, and passes over single numbers (an exponential
and what goes with it). How each method spends them is said in docs/methods.md and in its own module; a count leaves out
whatever does not grow with the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from lsi_engine.curvature.class_blocks import RESIDENT_BYTES, inverse_bytes
from lsi_engine.errors import InputError
from lsi_engine.numerics.grams import PANEL
from lsi_engine.numerics.memory import free_memory, require_memory, training_bytes
from lsi_engine.scores.lsi.closed_form import DOUBLE_PRECISION_WORK, FOLLOW, FOLLOW_WORK
from lsi_engine.scores.lsi.many_classes import DELTA_ELEMENTS, REFINED
from lsi_engine.scores.lsi.retrain import CPU_MODELS, GPU_MODELS
from lsi_engine.scores.lsi.trajectory import EXACT_EPOCHS, planned
from lsi_engine.scores.speed import Speed, measured_speed
from lsi_engine.scores.structure import choose_for
from lsi_engine.settings import Hessian, Method
from lsi_engine.training.conjugate_gradients import PRECONDITIONER_COLUMNS, PRECONDITIONER_ROWS, PRECONDITIONER_SHARE
from lsi_engine.training.row_space import SHARE

#: What a fit takes on the data tried so far: Newton steps, products with the Hessian, preconditioners from a sample.
NEWTON_STEPS, HESSIAN_PRODUCTS, PRECONDITIONERS = 8, 30, 1
#: Products within a method run at this share of the rate of a large square one (measured on digits, films, CIFAR-10).
IN_PLACE = 0.6
#: What small data take anyway (seconds).
FIXED_SECONDS = 0.3
#: Of all pairs of a sample and a class, those that class blocks multiply out (assumed; no data were counted).
MEMBERS = 0.25
#: A symmetric eigendecomposition takes 9 K³ operations, at this share of the rate of a matrix product.
EIGEN_RATE = 0.2


@dataclass(frozen=True)
class Task:
    """What is to be computed: N ``samples`` of D ``dimension`` in C ``classes``, ``left_out`` of them one at a time.

    ``hidden`` is the width of a hidden layer, ``None`` for the linear probe; ``epochs``, ``seeds`` and ``taken`` (at
    how many epochs LSI is taken) belong to the methods that train; ``unequal_prior`` says that δ is not N·wd.
    """

    samples: int
    dimension: int
    classes: int
    left_out: int
    method: Method = "closed_form"
    hessian: Hessian = "diag"
    hidden: int | None = None
    epochs: int = 1000
    seeds: int = 1
    taken: int = 1
    unequal_prior: bool = False
    device: str = "cpu"

    @property
    def columns(self) -> int:
        return self.dimension + 1

    @property
    def weights(self) -> int:
        """Weights of one probe, bias included."""
        if self.hidden is None:
            return self.columns * self.classes
        return self.columns * self.hidden + (self.hidden + 1) * self.classes


@dataclass(frozen=True)
class Arithmetic:
    """Floating-point operations of products in ``single`` and ``double`` precision, and ``elements`` gone over."""

    single: float = 0.0
    double: float = 0.0
    elements: float = 0.0

    def __add__(self, other: Arithmetic) -> Arithmetic:
        return Arithmetic(self.single + other.single, self.double + other.double, self.elements + other.elements)

    def __mul__(self, times: float) -> Arithmetic:
        return Arithmetic(self.single * times, self.double * times, self.elements * times)

    def seconds(self, speed: Speed) -> float:
        products = self.single / speed.single + self.double / speed.double
        return products / IN_PLACE + self.elements / speed.elements


@dataclass(frozen=True)
class Cost:
    """``seconds`` on this machine, ``needed`` and ``free`` bytes of memory, and why it cannot run (``""``: it can)."""

    seconds: float
    needed: float
    free: float
    refusal: str = ""


def cost(task: Task, speed: Speed | None = None) -> Cost:
    """What ``task`` will take; ``speed`` is measured here (half a second, once a process) when not given.

    The time leaves out reading the samples, extracting features and starting the program.
    """
    return _cost(_COUNTED[task.method], task, speed)


def pair_cost(task: Task, shared: int, speed: Speed | None = None) -> Cost:
    """:func:`cost` of image–text pairs under two heads into a space of ``shared`` dimensions.

    ``task.dimension`` is D of both sides together; ``classes`` plays no part.
    """
    return _cost(lambda task, device: _pairs(task, shared), task, speed)


def _cost(count: Callable[[Task, torch.device], tuple[float, Arithmetic]], task: Task, speed: Speed | None) -> Cost:
    device = torch.device(task.device)
    try:
        needed, arithmetic = count(task, device)
        require_memory(needed, device, "this method", "Choose another, or hessian 'kron' or 'auto'")
    except InputError as error:
        return Cost(float("nan"), float("nan"), free_memory(device), str(error))
    seconds = FIXED_SECONDS + arithmetic.seconds(speed or measured_speed(task.device))
    return Cost(seconds, needed, free_memory(device))


def work(task: Task) -> Arithmetic:
    """What ``task`` computes, whether or not it fits into this machine."""
    return _COUNTED[task.method](task, torch.device(task.device))[1]


def against_retraining(task: Task) -> float:
    """Products of a trajectory over those of true retraining, for the same samples left out."""
    linear, trained = (work(replace(task, method=method)) for method in ("trajectory", "retrain"))
    return (linear.single + linear.double) / (trained.single + trained.double)


def _block_row(task: Task) -> float:
    """Flop of one row in the Hessian, or in its quadratic form: symmetric blocks, panels on and above the diagonal."""
    columns, size = task.columns, task.classes - 1
    block = sum(min(PANEL, columns - start) * (columns - start) for start in range(0, columns, PANEL))
    return size * (size + 1) * block


def _closed_form(task: Task, device: torch.device) -> tuple[float, Arithmetic]:
    n, classes, size = task.samples, task.classes, task.classes - 1
    if n <= SHARE * task.columns:
        task = replace(task, dimension=n - 1)  # everything lies in the span of the rows
    columns = task.columns
    unknowns = float(size * columns)
    choice = choose_for(task.classes, columns, task.hessian, task.unequal_prior, device)
    single = choice.exact_shift and n * unknowns**2 > DOUBLE_PRECISION_WORK

    def products(flop: float, in_single: bool = single) -> Arithmetic:
        return Arithmetic(single=flop) if in_single else Arithmetic(double=flop)

    row, forward = _block_row(task), 2.0 * n * classes * columns
    work = products(2 * forward * HESSIAN_PRODUCTS, n > PRECONDITIONER_ROWS)
    work += Arithmetic(double=3 * forward * (NEWTON_STEPS + 1), elements=n * classes * (NEWTON_STEPS + 1))
    if unknowns <= PRECONDITIONER_COLUMNS:
        rows = min(n, max(PRECONDITIONER_ROWS, PRECONDITIONER_SHARE * n))
        work += products(rows * row + unknowns**3 / 3, n > PRECONDITIONER_ROWS) * PRECONDITIONERS
    if not choice.exact_shift:
        needed, rest = _class_by_class(task, choice.hessian)
        return needed, work + rest
    needed = choice.matrices + 8.0 * n * classes * 4 + min(8.0 * n * columns, 2**29)
    work += products(2 * n * row) + Arithmetic(double=unknowns**3)
    work += Arithmetic(elements=n * size * (size + 1) / 2 * columns / 8)  # the forms' last sums
    if choice.hessian == "full" and task.unequal_prior:
        work += products(2 * n * row) + Arithmetic(double=3 * unknowns**3)
    if choice.hessian in ("diag", "kron"):
        work += products(2 * n * unknowns**2) + Arithmetic(elements=2.0 * n * classes * columns)
    if choice.hessian == "diag":
        follow = float(n) * classes * size * columns**2
        if follow <= FOLLOW_WORK or n <= FOLLOW * unknowns:
            work += products(2 * follow + 2 * n * unknowns * classes * columns)
            work += Arithmetic(elements=2.0 * n * classes * columns)
    return needed, work


def _class_by_class(task: Task, hessian: str) -> tuple[float, Arithmetic]:
    """Blocks summed and solved with, and the highest samples refined; see lsi_engine/scores/lsi/many_classes.py."""
    n, columns, classes = float(task.samples), task.columns, task.classes
    inverses, some = inverse_bytes(classes, columns), MEMBERS * classes * columns**2
    needed = 4 * n * columns + 40 * n * classes + 40.0 * columns**2 + inverses * (inverses <= RESIDENT_BYTES)
    work = Arithmetic((n + task.left_out) * some, (classes + 9 / EIGEN_RATE) * columns**3, 5 * n * classes)
    if hessian == "kron":
        needed += 16.0 * DELTA_ELEMENTS
        work += Arithmetic(single=2 * task.left_out * (some + classes**2 * columns))
    if inverses <= RESIDENT_BYTES:
        gradients = min(task.left_out, 2 * REFINED) * 4
        work += Arithmetic(single=4 * n * classes * columns, elements=n * classes) * gradients
    return needed, work


def _retrain(task: Task, device: torch.device) -> tuple[float, Arithmetic]:
    n, columns, classes = float(task.samples), task.columns, task.classes
    each = _epoch(task) * (task.epochs + task.taken) + _posterior(task) * task.taken
    # The full run alone goes first, the linear one in double precision.
    full = Arithmetic(double=4 * n * classes * columns, elements=3 * n * classes) * task.epochs
    models = min(task.left_out, GPU_MODELS if device.type == "cuda" else CPU_MODELS)
    shards = -(-task.left_out // models)
    needed = training_bytes(task.samples, columns, classes, task.weights, models, "retrain", task.hessian, _size(task))
    return needed, (each * task.left_out + full * (shards + 1)) * task.seeds


def _size(task: Task) -> int:
    """Bytes of a number in the trainings: whole models need double precision, differences do not."""
    return 4 if task.hidden is None else 8


def _epoch(task: Task) -> Arithmetic:
    """One epoch of one left-out training."""
    n, columns, classes = float(task.samples), task.columns, task.classes
    if task.hidden is None:
        return Arithmetic(single=4 * n * classes * columns, elements=n * classes)
    products = 4 * n * task.hidden * columns + 6 * n * (task.hidden + 1) * classes
    return Arithmetic(double=products, elements=2 * n * (task.hidden + classes))


def _posterior(task: Task) -> Arithmetic:
    """The divergence of one left-out training, beside another forward pass."""
    n, weights = float(task.samples), float(task.weights)
    if task.hessian == "full":
        unknowns = weights if task.hidden is not None else float((task.classes - 1) * task.columns)
        rows = 2 * n * task.classes * unknowns**2 if task.hidden is not None else n * _block_row(task)
        return Arithmetic(double=rows + 3 * unknowns**3)
    if task.hessian == "kron":
        return Arithmetic(double=8 * n * task.classes * task.columns, elements=n * task.columns)
    if task.hidden is not None:
        return Arithmetic(double=4 * n * weights)
    return Arithmetic(elements=4 * weights)


def _trajectory(task: Task, device: torch.device) -> tuple[float, Arithmetic]:
    n, columns, classes, out = float(task.samples), task.columns, task.classes, task.left_out
    unknowns = float((classes - 1) * columns)
    exact = min(EXACT_EPOCHS, task.epochs)
    windows, bases = planned(exact, task.epochs)
    work = _epoch(task) * (out * (exact + windows + 1)) + _posterior(task) * out
    work += Arithmetic(double=4 * n * classes * columns, elements=3 * n * classes) * task.epochs
    basis = Arithmetic(single=n * _block_row(task) + 9 * unknowns**3 / EIGEN_RATE)
    work += (basis + Arithmetic(single=6 * out * unknowns**2)) * bases
    work += Arithmetic(single=4 * out * unknowns**2, elements=20 * out * unknowns) * windows
    needed = training_bytes(task.samples, columns, classes, task.weights, out, "trajectory", task.hessian, 4)
    return needed, work * task.seeds


def _pairs(task: Task, shared: int) -> tuple[float, Arithmetic]:
    n, columns = float(task.samples), task.dimension + 2
    weights = float(columns * shared)
    # Both heads forwards and backwards, the similarities of all pairs and their gradient on either side; then what is
    # gone over: masks and softmaxes of all pairs, both ways, and the weights as they descend (measured on 80 to 400).
    epoch = Arithmetic(single=4 * n * weights + 6 * n**2 * shared, elements=5 * n**2 + 2 * weights)
    posterior = Arithmetic(double=2 * n**2 * weights, elements=8 * n**2 * shared + 1.5 * n * weights)
    if task.hessian == "full":
        posterior += Arithmetic(double=2 * n**2 * weights + 3 * weights**3)
    work = (epoch * task.epochs + posterior) * (task.left_out * task.seeds)
    return 24 * weights * min(task.left_out, CPU_MODELS) + 64 * n**2 + 16 * n * columns, work


_COUNTED: dict[Method, Callable[[Task, torch.device], tuple[float, Arithmetic]]] = {
    "closed_form": _closed_form,
    "retrain": _retrain,
    "trajectory": _trajectory,
}
