"""Codebooks on CIFAR-10: how much of them is used, what pictures come back, and bits per dimension.

    python bench/vq.py [--out FOLDER] [NAME ...]       (default: all)

Trained from the command line as a user would; all 10,000 test pictures. With --out the runs are kept there, and with
them samples.png and reconstructions.png.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from _harness import COMMAND, RESULTS, record, seconds

NET = (
    "--net conv --hidden 32 64 64 --likelihood discretized-logistic --codes 512 --prior-width 96 --prior-layers 1 "
    "--batch-size 64 --lr 0.004 --lr-warmup 100"
)
MODELS = {"ema": f"--quantiser ema {NET} --epochs 4", "fsq": f"--quantiser fsq {NET} --epochs 2"}
VALUES = 32 * 32 * 3
NOTES = (
    "Discretised logistic likelihood, 32 x 32 x 3 bytes to 8 x 8 codes. The bound is log p(x|codes) + log p(codes), "
    "nothing left out; the prior is the causal transformer trained along. PSNR is that of the mean squared error over "
    "all test values. The codebook's decay, the commitment, the length of the vectors and the rate were chosen on the "
    "validation split by trainings of 300 steps with ema; fsq took them over and had half the epochs, so the two rows "
    "are no contest. One seed each; the trainings shared two cores with other work."
)


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Train and evaluate one model; the row of the table."""
    options, run = MODELS[name], folder / name
    training = seconds(lambda: call("train", "vq-vae", "--data", "cifar10", "--out", str(run), *options.split()))
    figures = call("evaluate", str(run), "--particles", "1")
    for verb, count in (("sample", "64"), ("reconstruct", "32")):
        call(verb, str(run), "--count", count, "--out", str(run / f"{verb}.png"))
    epochs = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["epoch"]
    return {**row(name, figures), "epochs": epochs, "training": f"{training / 60:.0f} min", **setting(options)}


def row(name: str, figures: dict[str, Any]) -> dict[str, Any]:
    """What the table says of one model's figures."""
    book, bits = figures["codebook"], 1 / (VALUES * math.log(2))
    return {
        "quantiser": name,
        "codes": book["codes"],
        "used on test": f"{100 * book['used']:.1f} %",
        "perplexity": round(book["perplexity"], 1),
        "PSNR, dB": round(-10 * math.log10(figures["reconstruction_mse"]["value"]), 2),
        "bits a code": f"{book['bits_per_code']:.2f} (log2 of the perplexity {math.log2(book['perplexity']):.2f})",
        "prior, bits/dim": round(figures["rate"]["value"] * bits, 4),
        "x given codes, bits/dim": round(figures["distortion"]["value"] * bits, 3),
        "bound, bits/dim": f"{-figures['elbo']['value'] * bits:.3f} ± {figures['elbo']['stderr'] * bits:.3f}",
    }


def setting(options: str) -> dict[str, Any]:
    """How it was trained."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    return {"threads": threads, "options": f"`{options}`"}


def call(*words: str) -> dict[str, Any]:
    """One lowerbound command; its JSON."""
    run = subprocess.run([str(COMMAND), *words, "--json"], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    kept = RESULTS / "vq.json"
    rows = {row["quantiser"]: row for row in (json.loads(kept.read_text())["rows"] if kept.exists() else [])}
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.names:
            rows[name] = measure(name, given.out or Path(scratch))
            record("vq", "CIFAR-10, codes from a codebook", "python bench/vq.py", list(rows.values()), NOTES)


if __name__ == "__main__":
    main()
