"""Training speed beside pythae and beside a plain hand-written loop: the same model on the same data.

    python bench/train_throughput.py

Model: 784-512-z16 and back, ReLU, Bernoulli, Adam. Data: MNIST's training pictures at a threshold, as 0 and 1. Rates
are rows a second over whole calls, set-up and saving included; lowerbound also validates and keeps its best weights.
The plain loop comes twice: bare, and on equal settings, that is with what lowerbound does in each step and epoch (the
gradient's norm, steps left out where it is not finite, the bound on held-out rows, a copy of the best weights).
"""

from __future__ import annotations

import contextlib
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn
from torch.nn import functional as F

import lowerbound
from _harness import alternately, paired_ratio, record

ROWS, EPOCHS, ROUNDS = 20_000, 10, 3
BATCH, BATCHES = 128, (128, 512, 2048)
WIDTH, LATENT, LR = 512, 16, 1e-3


def pictures() -> np.ndarray:
    """Binary pictures, (ROWS, 784)."""
    grey = lowerbound.load_data("mnist").split("train").array("x")[:ROWS]
    return (grey.reshape(len(grey), -1) > 127).astype(np.uint8)


def pythae(x: np.ndarray, batch: int) -> float:
    """Rows a second of pythae's own trainer."""
    data = BaseDataset(torch.from_numpy(x).float(), torch.zeros(len(x)))
    with tempfile.TemporaryDirectory() as folder, silence():
        model = VAE(VAEConfig(input_dim=(784,), latent_dim=LATENT, reconstruction_loss="bce"))
        config = BaseTrainerConfig(
            output_dir=folder, num_epochs=EPOCHS, per_device_train_batch_size=batch, learning_rate=LR, no_cuda=True
        )
        trainer = BaseTrainer(model, train_dataset=data, training_config=config)
        return rate(trainer.train, len(x))


def ours(x: np.ndarray, batch: int, precision: str = "fp32") -> float:
    """Rows a second of lowerbound.train; the split leaves a tenth of the rows to validation and test."""
    data = lowerbound.load_data(x)
    fit = lambda: lowerbound.train(  # noqa: E731
        "vae", data, hidden=(WIDTH,), latent=LATENT, activation="relu",
        epochs=EPOCHS, batch_size=batch, lr=LR, precision=precision, device="cpu",
    )  # fmt: skip
    return rate(fit, data.spec.splits["train"])


class Plain(nn.Module):
    """The model, written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(784, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2 * LATENT))
        self.decode = nn.Sequential(nn.Linear(LATENT, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 784))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """The negative bound, summed over the rows."""
        mean, log_variance = self.encode(seen).chunk(2, -1)
        z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        distortion = F.binary_cross_entropy_with_logits(self.decode(z), seen, reduction="sum")
        return distortion + 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum()


def plain(x: np.ndarray, batch: int, guarded: bool = False) -> float:
    """Rows a second of a loop written for this one model: data in memory, fused Adam, nothing else.

    guarded: with as many held-out rows as lowerbound's, validated each epoch, and its guard over each step.
    """
    kept = len(x) // 10 if guarded else 0
    rows, held_out = torch.from_numpy(x[kept:]), torch.from_numpy(x[:kept])
    model = Plain()
    optimiser = torch.optim.Adam(model.parameters(), LR, fused=True)

    def fit() -> None:
        best = float("inf")
        for _ in range(EPOCHS):
            for index in torch.randperm(len(rows))[: len(rows) // batch * batch].split(batch):
                (model(rows.index_select(0, index).float()) / batch).backward()
                if guarded:
                    norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])
                    optimiser.found_inf = (~norm.isfinite()).float()
                optimiser.step()
                optimiser.zero_grad()
            best = validated(model, held_out, batch, best) if guarded else best

    return rate(fit, len(rows))


@torch.no_grad()
def validated(model: Plain, held_out: torch.Tensor, batch: int, best: float) -> float:
    """The best score so far; where this one is, the weights are copied."""
    score = sum(float(model(part.float())) for part in held_out.split(4 * batch))
    if score < best:
        [p.clone() for p in model.parameters()]
    return min(score, best)


def rate(fit: Callable[[], object], rows: int) -> float:
    """Rows a second."""
    start = time.perf_counter()
    fit()
    return rows * EPOCHS / (time.perf_counter() - start)


@contextlib.contextmanager
def silence():
    """pythae's progress bars and logs, left out."""
    logging.disable(logging.INFO)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), contextlib.redirect_stdout(nowhere):
        yield
    logging.disable(logging.NOTSET)


def at_best(run: Callable[[int], float]) -> tuple[int, float]:
    """The best batch size and its median rate over three calls."""
    rates = {batch: statistics.median(run(batch) for _ in range(3)) for batch in BATCHES}
    best = max(rates, key=lambda batch: rates[batch])
    return best, rates[best]


def main() -> None:
    x = pictures()
    work = {
        "lowerbound": lambda: ours(x, BATCH, "auto"),
        "lowerbound, precision fp32": lambda: ours(x, BATCH),
        "plain loop": lambda: plain(x, BATCH),
        "plain loop, equal settings": lambda: plain(x, BATCH, guarded=True),
        "pythae": lambda: pythae(x, BATCH),
    }
    for run in work.values():
        run()
    rates = alternately(work, ROUNDS)
    rows = [
        {
            "what": f"{name}, batch {BATCH}",
            "rows a second (median)": round(statistics.median(each)),
            "range": f"{min(each):.0f} to {max(each):.0f}",
            "lowerbound is faster by": round(paired_ratio(rates["lowerbound"], each), 3),
        }
        for name, each in rates.items()
    ]
    mine, theirs = at_best(lambda batch: ours(x, batch, "auto")), at_best(lambda batch: pythae(x, batch))
    for name, (batch, best) in {"lowerbound": mine, "pythae": theirs}.items():
        rows.append(
            {
                "what": f"{name}, its best batch {batch}" + (", precision auto" if name == "lowerbound" else ""),
                "rows a second (median)": round(best),
                "range": "",
                "lowerbound is faster by": round(mine[1] / best, 3),
            }
        )
    fp32 = paired_ratio(rates["lowerbound, precision fp32"], rates["plain loop, equal settings"])
    notes = (
        f"{torch.get_num_threads()} threads each; {ROUNDS} rounds in turn; ratios are medians of paired rounds. "
        "lowerbound is at its defaults (precision auto) unless said, everything else in float32. Equal settings: the "
        "plain loop with the same guard over each step and the same validation each epoch; lowerbound in float32, too, "
        f"then has {fp32:.2f} of its rate."
    )
    record("train_throughput", "Training speed", "python bench/train_throughput.py", rows, notes)


if __name__ == "__main__":
    main()
