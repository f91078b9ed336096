"""Steps of EM on mixtures of Gaussians beside scikit-learn's: the same rows, start, number of steps and of threads.

    python bench/mixture.py

scikit-learn comes as it is by default (float64), in float32, and through its array API on torch's tensors. Its `fit`
closes with another E-step, so that its time is divided by half a step more. Rows: 16 Gaussian clouds of any covariance
that overlap, 100,000 x 32; and the 70,000 pictures of MNIST in their first 32 principal components. Then 1,000,000 x
64 with 64 components, in a process of its own for each contender, for its peak of memory.
"""

from __future__ import annotations

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # read once, when SciPy is first imported

import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

from _harness import alternately, paired_ratio, record
from lowerbound.data.sources import SOURCES
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.gaussian import COVARIANCES
from lowerbound.mixtures.mixture import Mixture

STEPS, ROUNDS, COMPONENTS = 5, 3, 16
THREADS = sorted({1, len(os.sched_getaffinity(0))})
LARGE = (1_000_000, 64, 64)
"""Rows, entries, components."""
DEFAULT, SINGLE, ARRAY = "scikit-learn, float64 (default)", "scikit-learn, float32", "scikit-learn, torch float32"
DOUBLE, OURS = "lowerbound, float64", "lowerbound, float32"
NOTES = (
    f"Milliseconds a step, {STEPS} steps a fit, median of {ROUNDS} rounds in turn; ratios are medians round by round, "
    "on equally many threads. Best is the quickest of scikit-learn's three; default is its float64. The difference is "
    "that of the log-likelihood of float32 rows, relative to scikit-learn's in float64, before the last M-step."
)
LARGE_NOTES = (
    "Full covariances, one step after the start, which is the same. Memory is the peak of a process that does nothing "
    "else, before and after; the rows are 256 MB in float32 and 512 MB in float64."
)

Run = Callable[[], float]
"""A fit; the log-likelihood a row before its last M-step."""


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(CHILDREN[sys.argv[1]](Path(sys.argv[2]))))
        return
    data = {"clouds": clouds(100_000, 32, COMPONENTS), "MNIST": components_of_mnist()}
    asked = [("clouds", kind) for kind in COVARIANCES] + [("MNIST", "diag"), ("MNIST", "full")]
    rows = [row for name, kind in asked for row in compared(name, kind, data[name])]
    record("mixture", "Mixtures of Gaussians beside scikit-learn", "python bench/mixture.py", rows, NOTES)
    record("mixture_large", "A mixture of a million rows", "python bench/mixture.py", in_large(), LARGE_NOTES)


# ------------------------------------------------------------------------------------------------------------ the data


def clouds(count: int, width: int, components: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Rows of Gaussian clouds that overlap, each with a covariance of its own (condition about a hundred)."""
    generator = torch.Generator().manual_seed(0)
    centres = 0.7 * torch.randn(components, width, generator=generator)
    turns = torch.randn(components, width, width, generator=generator) / width**0.5 + torch.eye(width)
    rows = torch.empty(count, width, dtype=dtype)
    for part in rows.split(50_000):
        which = torch.randint(components, (len(part),), generator=generator).sort().values
        for k, size in enumerate(which.bincount(minlength=components).tolist()):
            part[which == k] = (centres[k] + torch.randn(size, width, generator=generator) @ turns[k].T).to(dtype)
        part.copy_(part[torch.randperm(len(part), generator=generator)])
    return rows


def components_of_mnist(width: int = 32) -> Tensor:
    """The pictures in their first principal components."""
    x = torch.from_numpy(next(iter(SOURCES["mnist"].read().arrays.values())).reshape(-1, 784) / 255.0)
    x -= x.mean(0)
    return x @ torch.linalg.eigh(x.mT @ x).eigenvectors.flip(-1)[:, :width]


# --------------------------------------------------------------------------------------------------------- contenders


def ours(start: Mixture, x: Tensor, steps: int) -> Run:
    return lambda: fit(start, InMemory(x), Until(0, steps)).bound


def theirs(start: dict[str, Any], kind: str, x: Tensor, steps: int, array_api: bool = False) -> Run:
    """scikit-learn's fit from the same start, on NumPy's arrays or on torch's tensors."""
    given = {name: torch.as_tensor(each).to(x.dtype) for name, each in start.items()}
    rows: Any = x if array_api else x.numpy()
    words: Any = given if array_api else {name: each.numpy() for name, each in given.items()}

    def run() -> float:
        components = len(start["weights_init"])
        model = GaussianMixture(components, covariance_type=kind, tol=0, max_iter=steps, init_params="random", **words)
        with warnings.catch_warnings(), sklearn.config_context(array_api_dispatch=array_api):
            warnings.simplefilter("ignore")
            return float(model.fit(rows).lower_bound_)

    return run


def as_given(start: Mixture, kind: str) -> dict[str, Tensor]:
    """A start as scikit-learn takes it."""
    kept = start.components.tensors()
    inverses: dict[str, Callable[[], Tensor]] = {
        "full": lambda: symmetric(kept["covariance"][0].inverse()),
        "tied": lambda: symmetric(kept["covariance"][0, 0].inverse()),
        "diag": lambda: 1 / kept["variance"][0],
        "spherical": lambda: 1 / kept["variance"][0, :, 0],
    }
    precisions = inverses[kind]()
    return {"weights_init": start.weights.mean[0], "means_init": kept["loc"][0], "precisions_init": precisions}


def symmetric(matrices: Tensor) -> Tensor:
    return (matrices + matrices.mT) / 2


def compared(name: str, kind: str, x: Tensor) -> list[dict[str, Any]]:
    """All contenders from one start, a row for each number of threads."""
    start = begin(COVARIANCES[kind](), InMemory(x), COMPONENTS)
    given, single = as_given(start, kind), x.float()
    runs = {
        DEFAULT: theirs(given, kind, x, STEPS),
        SINGLE: theirs(given, kind, single, STEPS),
        ARRAY: theirs(given, kind, single, STEPS, array_api=True),
        DOUBLE: ours(start, x, STEPS),
        OURS: ours(start, single, STEPS),
    }
    return [compared_on(threads, {"rows": name, "covariance": kind}, runs) for threads in THREADS]


def compared_on(threads: int, about: dict[str, Any], runs: dict[str, Run]) -> dict[str, Any]:
    """All contenders on so many threads."""
    bounds: dict[str, float] = {}
    torch.set_num_threads(threads)
    with threadpool_limits(threads):
        times = alternately({name: timed(name, run, bounds) for name, run in runs.items()}, ROUNDS)
    best = min((DEFAULT, SINGLE, ARRAY), key=lambda name: statistics.median(times[name]))
    difference = abs(bounds[OURS] / bounds[DEFAULT] - 1)
    row = {
        **about,
        "threads": threads,
        **{name: 1e3 * statistics.median(each) for name, each in times.items()},
        "float64 over default": paired_ratio(times[DEFAULT], times[DOUBLE]),
        "float32 over default": paired_ratio(times[DEFAULT], times[OURS]),
        "float32 over best": paired_ratio(times[best], times[OURS]),
        "difference": f"{difference:.0e}",
    }
    print(row, flush=True)
    assert difference < 1e-4
    return row


def timed(name: str, run: Run, bounds: dict[str, float]) -> Run:
    """Seconds a step; scikit-learn's fit closes with another E-step, which counts as half of one."""
    steps = STEPS if name in (OURS, DOUBLE) else STEPS + 0.5

    def once() -> float:
        began = time.perf_counter()
        bounds[name] = run()
        return (time.perf_counter() - began) / steps

    return once


# ------------------------------------------------------------------------------------------------- a million rows


def in_large() -> list[dict[str, Any]]:
    """A row for each contender, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return [{"contender": name, **child(name, folder)} for name in CHILDREN]


def child(name: str, folder: str) -> dict[str, Any]:
    words = [sys.executable, __file__, name, folder]
    run = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    print(name, found, flush=True)
    return found


def large_ours(folder: Path) -> dict[str, Any]:
    """Begins, leaves the start for the others, and takes a step."""
    N, D, K = LARGE
    x = clouds(N, D, K, torch.float32)
    before, began = peak(), time.perf_counter()
    start = begin(COVARIANCES["full"](), InMemory(x), K)
    start_seconds = time.perf_counter() - began
    np.savez(folder / "start.npz", **{name: each.numpy() for name, each in as_given(start, "full").items()})
    figures = measured(ours(start, x, 1), before, 1)
    return {**figures, "start s": start_seconds}


def large_theirs(folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    N, D, K = LARGE
    x = clouds(N, D, K, dtype)
    with np.load(folder / "start.npz") as kept:
        return measured(theirs(dict(kept), "full", x, 1), peak(), 1.5)


def measured(run: Run, before: float, steps: float) -> dict[str, Any]:
    began = time.perf_counter()
    bound = run()
    seconds = (time.perf_counter() - began) / steps
    return {"step s": seconds, "log p a row": bound, "MB before": before, "MB at most": peak()}


def peak() -> float:
    """MB that this process held in memory at most."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / 1e6


CHILDREN: dict[str, Callable[[Path], dict[str, Any]]] = {
    OURS: large_ours,
    SINGLE: lambda folder: large_theirs(folder, torch.float32),
    DEFAULT: lambda folder: large_theirs(folder, torch.float64),
}


if __name__ == "__main__":
    main()
