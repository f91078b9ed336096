"""A mixture learnt from 5 GB that are never in memory, beside EM on the sample that would be: memory, rate, likelihood.

    python bench/stepwise.py [--rows 20000000] [--folder FOLDER]

The rows, of 64 values in float32, are drawn from 16 Gaussians of random covariances and written to a file in FOLDER (by
default where temporary files go), which is deleted in the end. Each figure is of a process of its own: what it held in
memory at most is what Linux says of it, libraries and all. Both ways begin at the same mixture: the likeliest, after
20 steps of EM, of 16 starts on 20,000 of the rows. 20,000 further rows judge them, by the same draws.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from _harness import record

WIDTH, COMPONENTS, RESTARTS = 64, 16, 16
PIECE = 1 << 16
HELD, SAMPLE, FEW = 20_000, 200_000, 2_000_000


def main() -> None:
    """Make the data, measure, and record the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        name, folder = asked.child
        print(json.dumps(CHILDREN[name](Path(folder))))
        return
    needed = 4 * WIDTH * asked.rows
    if shutil.disk_usage(asked.folder).free < 1.2 * needed:
        sys.exit(f"{asked.folder} has no room for {needed / 1e9:.1f} GB; name another with --folder")
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        measure(Path(folder), asked.rows)


def measure(folder: Path, rows: int) -> None:
    """Every figure of a file of so many rows."""
    began = time.monotonic()
    write(folder, rows)
    written = time.monotonic() - began
    found = {name: child(name, folder) for name in CHILDREN}
    record(
        "stepwise",
        f"Stepwise EM over {4 * WIDTH * rows / 1e9:.1f} GB on disk",
        "python bench/stepwise.py",
        [row(name, found[name], found["truth"]) for name in ("walk", "sample", "step")],
        notes(rows, written, found),
    )


# ---------------------------------------------------------------------------------------------------------- the data


def write(folder: Path, rows: int) -> None:
    """A file of rows, one of rows held out, and what they were drawn from."""
    generator = np.random.default_rng(0)
    turns = np.linalg.qr(generator.standard_normal((COMPONENTS, WIDTH, WIDTH)))[0]
    scales = np.exp(generator.uniform(-1.15, 0.35, (COMPONENTS, 1, WIDTH)))
    centres = 0.4 * generator.standard_normal((COMPONENTS, WIDTH))
    np.savez(folder / "truth.npz", centres=centres, roots=turns * scales)
    roots = (turns * scales).astype(np.float32)
    for name, count in (("held", HELD), ("rows", rows)):
        with (folder / f"{name}.npy").open("wb") as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, WIDTH)}
            np.lib.format.write_array_header_1_0(stream, header)
            for done in range(0, count, PIECE):
                drawn(min(PIECE, count - done), centres.astype(np.float32), roots, generator).tofile(stream)


def drawn(count: int, centres: np.ndarray, roots: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rows of components drawn evenly."""
    which = generator.integers(COMPONENTS, size=count)
    noise = generator.standard_normal((count, WIDTH), dtype=np.float32)
    x = np.empty_like(noise)
    for k in range(COMPONENTS):
        mine = which == k
        x[mine] = centres[k] + noise[mine] @ roots[k].T
    return x


# ---------------------------------------------------------------------------------------------- one process a figure


def child(name: str, folder: Path) -> dict[str, Any]:
    """What a process of its own finds."""
    words = [sys.executable, __file__, "--child", name, str(folder)]
    run = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    print(name, {key: value for key, value in found.items() if not isinstance(value, list)}, flush=True)
    return found


def truth(folder: Path) -> dict[str, Any]:
    """log p of the rows held out under what they were drawn from."""
    import torch

    from lowerbound.mixtures.gaussian import FullGaussians
    from lowerbound.mixtures.mixture import Mixture
    from lowerbound.mixtures.weights import Proportions

    about = np.load(folder / "truth.npz")
    centres, roots = (torch.from_numpy(about[name])[None] for name in ("centres", "roots"))
    parts = FullGaussians(centres, roots @ roots.mT, torch.zeros(WIDTH, dtype=torch.float64))
    return {"log_prob": judged(Mixture(Proportions.even(1, COMPONENTS), parts), folder)}


def by_steps(folder: Path) -> dict[str, Any]:
    """Stepwise EM, one pass."""
    from lowerbound.mixtures.gaussian import Full
    from lowerbound.mixtures.stepwise import set_out, walk

    blocks, before = opened(folder), peak()
    began = time.monotonic()
    state = set_out(Full(), blocks, COMPONENTS, RESTARTS)
    set_off = time.monotonic()
    start = judged(state.mixture, folder)
    for state in walk(state, blocks):  # noqa: B007, B020 - the last is what counts
        pass
    seconds = time.monotonic() - set_off
    facts = {"rows": state.rows, "seconds": seconds, "start_seconds": set_off - began, "steps": state.steps}
    figures = {"log_prob": judged(state.mixture, folder), "start": start, "running": float(state.log_likelihood[0])}
    return {**facts, **figures, "reseeded": state.reseeded, "memory": peak(), "before": before}


def on_a_sample(folder: Path) -> dict[str, Any]:
    """EM to its end on as many rows as one would load."""
    import torch

    from lowerbound.mixtures.blocks import InMemory
    from lowerbound.mixtures.em import Until, fit
    from lowerbound.mixtures.gaussian import Full
    from lowerbound.mixtures.stepwise import set_out

    blocks, before = opened(folder), peak()
    start = set_out(Full(), blocks, COMPONENTS, RESTARTS).mixture
    began = time.monotonic()
    sample = InMemory(blocks.some(SAMPLE, torch.Generator().manual_seed(1)))
    found = fit(start, sample, Until(tolerance=1e-4, steps=200))
    facts = {"rows": SAMPLE * found.steps, "seconds": time.monotonic() - began, "steps": found.steps}
    return {**facts, "log_prob": judged(found.mixture, folder), "memory": peak(), "before": before}


def one_step(folder: Path) -> dict[str, Any]:
    """A step of EM over many of the rows where they lie."""
    from lowerbound.mixtures.em import Until, fit
    from lowerbound.mixtures.gaussian import Full
    from lowerbound.mixtures.stepwise import set_out
    from lowerbound.mixtures.streams import OnDisk

    blocks, before = opened(folder), peak()
    start = set_out(Full(), blocks, COMPONENTS, RESTARTS).mixture
    part = OnDisk(np.load(folder / "rows.npy", mmap_mode="r")[:FEW])
    began = time.monotonic()
    found = fit(start, part, Until(steps=1))
    facts = {"rows": sum(len(block.rows) for block in part), "seconds": time.monotonic() - began, "steps": 1}
    return {**facts, "log_prob": judged(found.mixture, folder), "memory": peak(), "before": before}


CHILDREN: dict[str, Callable[[Path], dict[str, Any]]] = {
    "truth": truth,
    "walk": by_steps,
    "sample": on_a_sample,
    "step": one_step,
}


def opened(folder: Path) -> Any:
    """The rows where they lie."""
    from lowerbound.mixtures.streams import OnDisk

    return OnDisk(np.load(folder / "rows.npy", mmap_mode="r"))


def judged(mixture: Any, folder: Path) -> list[float]:
    """log p of each row held out, nats."""
    import torch

    found: list[float] = mixture.log_prob(torch.from_numpy(np.load(folder / "held.npy")).double())[0].tolist()
    return found


def peak() -> float:
    """MB that this process held in memory at most; Linux counts from its own beginning, unlike getrusage."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / 1e6


# --------------------------------------------------------------------------------------------------------- the table

NAMES = {
    "walk": "stepwise EM, one pass over the file",
    "sample": f"EM on {SAMPLE:,} of the rows in memory, to its end",
    "step": f"one step of EM over {FEW:,} rows of the file",
}


def row(name: str, found: dict[str, Any], true: dict[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    below = np.array(true["log_prob"]) - np.array(found["log_prob"])
    return {
        "": NAMES[name],
        "peak memory, MB": round(found["memory"]),
        "of it before any rows": round(found["before"]),
        "seconds": round(found["seconds"]),
        "rows a second": round(found["rows"] / found["seconds"]),
        "log p, nats a row held out": round(float(np.mean(found["log_prob"])), 4),
        "below the truth": f"{below.mean():.4f} ± {below.std() / len(below) ** 0.5:.4f}",
    }


def notes(rows: int, written: float, found: dict[str, Any]) -> str:
    """What the table leaves out."""
    stepwise = found["walk"]
    return (
        f"{rows:,} rows of {WIDTH} values from {COMPONENTS} Gaussians of full covariances, written in {written:.0f} s; "
        f"log p of the rows held out is {np.mean(found['truth']['log_prob']):.4f} nats under these, and "
        f"{np.mean(stepwise['start']):.4f} where both ways begin, for which {RESTARTS} starts took "
        f"{stepwise['start_seconds']:.0f} s. {stepwise['steps']:,} mini-batches of 4,096 rows; "
        f"{stepwise['reseeded']} components were seeded anew. Log p of rows just before they were learnt from, which "
        f"costs nothing to know, came to {stepwise['running']:.4f} by the end. EM on the sample took "
        f"{found['sample']['steps']} steps. Load of the machine at the end: {os.getloadavg()[0]:.1f}."
    )


if __name__ == "__main__":
    main()
