"""A dictionary of many units: how many a datum uses and how many die, speed beside a dense one, memory at 10^6 units.

    OMP_NUM_THREADS=1 python bench/sparse_codes.py [quality] [speed] [memory]

Data: 8×8 patches of CIFAR-10's pictures with their mean taken away and their contrast evened out, and MNIST. Model: k =
32 of 16 384 units, squared error, dead units revived; Adam, float32. The dense implementation is written here, in plain
PyTorch, as one would: the same model and loss with codes (B, width), and fused Adam in a bare loop. Rates are rows a
second of processor time over whole calls; lowerbound's also validates, keeps its best weights and writes them to disk.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lowerbound
from _harness import RESULTS, alternately, paired_ratio, record
from lowerbound.core import total
from lowerbound.core.sparse_codes import UnitUse
from lowerbound.recipes import get
from lowerbound.run.settings import Settings
from lowerbound.training.loss import Loss
from lowerbound.training.optimiser import Optimiser
from lowerbound.training.progress import Silent

K, WIDTH, WIDE = 32, 16_384, 1_000_000
OVERDUE = 20 * WIDTH // K
PATCHES, BATCH, EPOCHS = 400_000, 512, 2
LOOKED_AT = 40_000
ROUNDS = 3
KEPT = RESULTS / "parts" / "sparse_codes.json"
"""What was measured last of each part."""
SPEED: dict[str, tuple[str, int, int]] = {
    "MNIST (784 values), batch 128": ("mnist", 128, 5_120),
    "patches (192 values), batch 1024": ("patches", 1024, 12_800),
}
"""What is timed: data, batch size and rows."""


def patches(count: int) -> np.ndarray:
    """Random 8×8 patches of the training pictures, (count, 192): mean 0 and contrast evened out."""
    rng = np.random.default_rng(0)
    pictures = lowerbound.load_data("cifar10").split("train").array("x")
    which, top, left = (rng.integers(0, limit, count) for limit in (len(pictures), 25, 25))
    side = np.arange(8)
    cut = pictures[which[:, None, None], (top[:, None] + side)[:, :, None], (left[:, None] + side)[:, None, :]]
    flat = cut.reshape(count, -1).astype(np.float32) / 255
    flat -= flat.mean(1, keepdims=True)
    return flat / np.sqrt(np.square(flat).mean(1, keepdims=True) + 0.01)


def mnist(count: int) -> np.ndarray:
    """Grey pictures in [0, 1], (count, 784)."""
    pictures = lowerbound.load_data("mnist").split("train").array("x")[:count]
    return pictures.reshape(count, -1).astype(np.float32) / 255


class Dense(nn.Module):
    """The model with dense codes."""

    def __init__(self, size: int, width: int, dead: bool) -> None:
        super().__init__()
        self.rows = nn.Parameter(F.normalize(torch.randn(width, size)))
        self.weight, self.bias = nn.Parameter(self.rows.detach().clone()), nn.Parameter(torch.zeros(width))
        self.mean = nn.Parameter(torch.zeros(size))
        self.register_buffer("idle", torch.zeros(width, dtype=torch.int64))
        self.idle[: width // 10] += OVERDUE * dead

    def forward(self, x: Tensor) -> Tensor:
        """The squared error, and a share of that with which dead units tell the residual."""
        h, units = F.linear(x, self.weight, self.bias), F.normalize(self.rows)
        z = largest(h)
        left = x - (z @ units + self.mean)
        loss, living = left.square().sum(1), self.idle < OVERDUE
        self.idle.add_(len(x))[(z != 0).any(0)] = 0
        if living.all():
            return loss.mean()
        spare = largest(h.masked_fill(living, 0)).relu()
        return (loss + (left.detach() - spare @ units).square().sum(1) / 32).mean()


def largest(h: Tensor) -> Tensor:
    """The K largest of each row where they are, zeros elsewhere."""
    values, index = h.topk(K, sorted=False)
    return torch.zeros_like(h).scatter(1, index, values)


def dense(x: np.ndarray, batch: int, width: int = WIDTH, dead: bool = False) -> None:
    """One epoch of the dense implementation; a tenth of the units dead at the start, or none."""
    rows, model = torch.from_numpy(x), Dense(x.shape[1], width, dead)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    for index in torch.randperm(len(rows))[: len(rows) // batch * batch].split(batch):
        model(rows.index_select(0, index)).backward()
        optimiser.step()
        optimiser.zero_grad()


def ours(x: Any, batch: int, width: int = WIDTH, epochs: int = 1) -> Any:
    """lowerbound.train; the model."""
    return lowerbound.train(
        "k-sparse-ae", x, likelihood="mse", latent=width, k=K, epochs=epochs, batch_size=batch,
        precision="fp32", device="cpu", progress=Silent(),
    )  # fmt: skip


def steps(x: np.ndarray, batch: int, width: int = WIDTH) -> None:
    """lowerbound's model and optimiser in a bare loop, nothing kept."""
    data = lowerbound.load_data(x)
    loss = Loss(get("k-sparse-ae").build(data.spec, likelihood="mse", latent=width, k=K))
    optimiser, rows, clock = Optimiser(loss.parameters(), Settings()), data.split("train").resident(), torch.zeros(())
    for index in torch.randperm(rows.count)[: rows.count // batch * batch].split(batch):
        total(loss(loss.setup.see(rows.batch(index)), clock)).backward()
        optimiser.step(1e-3)


def rate(work: Callable[[], object], rows: int) -> float:
    """Rows a second of processor time, which other processes on the machine do not use up."""
    start = time.process_time()
    work()
    return rows / (time.process_time() - start)


def quality() -> list[dict[str, Any]]:
    """Units used and dead after a training of some minutes."""
    start, data = time.process_time(), lowerbound.load_data(patches(PATCHES))
    model = ours(data, BATCH, epochs=EPOCHS)
    spent = time.process_time() - start
    rows = [measured(model, data, split) for split in ("train", "test")]
    about = (
        f"{EPOCHS} epochs of {data.spec.splits['train']:,} patches, batch {BATCH}, {spent / 60:.0f} processor minutes"
    )
    return [{"what": f"{what}, {LOOKED_AT:,} {split} patches after {about}", "figure": figure}
            for split, found in zip(("train", "test"), rows) for what, figure in found.items()]  # fmt: skip


def measured(model: Any, data: Any, split: str) -> dict[str, str]:
    """What the units do on a split, and how much of the variance they tell."""
    use, left, all_ = UnitUse(WIDTH), 0.0, 0.0
    rows = data.split(split).resident("cpu")
    with torch.no_grad():
        for batch in rows.batches(torch.arange(min(rows.count, LOOKED_AT)).split(1024)):
            seen = model.setup.see(batch)
            trace = model.setup.model.trace(seen)
            use.add(trace)
            left += (trace.px["x"].mean[0] - seen.x["x"]).square().sum().item()
            all_ += seen.x["x"].square().sum().item()
    found = use.figures()
    used = found["units_used"]
    return {
        "units used by a datum (least, mean, most)": f"{used['min']}, {used['mean']:g}, {used['max']}",
        "dead units": f"{found['dead_units']:.2%}",
        "variance told": f"{1 - left / all_:.1%}",
    }


def speed() -> list[dict[str, Any]]:
    """Rows a second of all, in turn."""
    return [row for name, settings in SPEED.items() for row in timed(name, *settings)]


def timed(name: str, source: str, batch: int, count: int) -> list[dict[str, Any]]:
    """One setting's rates. The dense loop leaves the dead units' loss out where none is dead; lowerbound never does."""
    x = {"mnist": mnist, "patches": patches}[source](count)
    data = lowerbound.load_data(x)
    trained = data.spec.splits["train"]
    work = {
        "lowerbound": lambda: rate(lambda: ours(data, batch), trained),
        "dense, no unit dead": lambda: rate(lambda: dense(x[:trained], batch), trained),
        "dense, some units dead": lambda: rate(lambda: dense(x[:trained], batch, dead=True), trained),
    }
    rates = alternately(work, ROUNDS)
    return [
        {
            "what": f"training speed, {name}: {each}",
            "figure": f"{statistics.median(found):.0f} rows a second ({min(found):.0f} to {max(found):.0f})",
            "lowerbound is faster by": round(paired_ratio(rates["lowerbound"], found), 2),
        }
        for each, found in rates.items()
    ]


def memory() -> list[dict[str, Any]]:
    """The most memory that each takes with 10^6 units, in a process of its own."""
    rows = []
    for name in WORK:
        found = subprocess.run([sys.executable, __file__, "peak", name], stdout=subprocess.PIPE, check=True)
        what = f"most memory, {WIDE:,} units, patches, batch 128: {name}"
        rows.append({"what": what, "figure": found.stdout.decode().strip().splitlines()[-1]})
    return rows


def peak(name: str) -> None:
    """Train a few steps of a wide dictionary and print what it took."""
    WORK[name](patches(640), 128, WIDE)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    print(f"{most:.1f} GiB, of which the weights are {2 * WIDE * 192 * 4 / (1 << 30):.1f}")


WORK: dict[str, Callable[[np.ndarray, int, int], object]] = {
    "lowerbound, its steps alone": steps,
    "lowerbound, a whole training (keeps the best weights, and settles on a copy)": ours,
    "dense, its steps alone": dense,
}
PARTS: dict[str, Callable[[], list[dict[str, Any]]]] = {"quality": quality, "speed": speed, "memory": memory}
NOTES = (
    "One thread each. Two things were chosen after a first run, of one epoch, on plain patches and with units dead "
    "only after an epoch unused, so that none was revived: 68 % of the units were dead. The patches are now "
    "normalised, and a unit is dead when 20 times overdue. The dense implementation's codes are (B, width); "
    "lowerbound's only array of that size is the responses it chooses from, in blocks."
)
COLUMNS = ("what", "figure", "lowerbound is faster by")


def main(chosen: list[str]) -> None:
    """Measure the parts that are asked for and keep what was measured before of the others."""
    if chosen[:1] == ["peak"]:
        return peak(chosen[1])
    for name in chosen or list(PARTS):
        rows = PARTS[name]()
        kept = {**(json.loads(KEPT.read_text()) if KEPT.exists() else {}), name: rows}
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept, indent=1))
    page()
    return None


def page() -> None:
    """Write the results from what was measured last of each part."""
    kept = json.loads(KEPT.read_text())
    rows = [{column: row.get(column) for column in COLUMNS} for part in PARTS for row in kept.get(part, [])]
    record("sparse_codes", "Sparse codes", "python bench/sparse_codes.py", rows, NOTES)


if __name__ == "__main__":
    main(sys.argv[1:])
