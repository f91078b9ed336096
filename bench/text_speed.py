"""Training speed of text-vae beside a plain PyTorch loop of the same networks: characters a second.

    python bench/text_speed.py

Poem-sized data: rows of 28 codes of 5 000 symbols, drawn at random, batches of 128. The plain loop is what one would
write first: `torch.utils.data.DataLoader`, `nn.Conv1d` and `nn.GRU`, `F.cross_entropy`, Adam; in float32, and again
under autocast to bfloat16, which lowerbound turns on by itself where it pays. A step is rows, forward, backward and
Adam; lowerbound's also takes the gradient's norm and leaves out what is not finite. Time is that of the one thread that
works, not the wall's, so that others on the machine count for less.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lowerbound
from _harness import alternately, paired_ratio, record
from _step import training_step
from lowerbound.recipes import registry

SYMBOLS, PLACES, ROWS, BATCH, STEPS, ROUNDS = 5000, 28, 1280, 128, 2, 4
LATENT, WIDTH, LAYERS, EMBEDDING, NARROW, LR = 64, 256, 3, 128, 32, 1e-3
DILATIONS = (1, 2, 4)

Step = Callable[[], None]


def poems() -> np.ndarray:
    """Codes (ROWS, PLACES), the common ones commoner, every symbol there."""
    rng = np.random.default_rng(0)
    codes = (SYMBOLS * rng.random((ROWS, PLACES)) ** 3).astype(np.int64)
    codes.reshape(-1)[:SYMBOLS] = np.arange(SYMBOLS)
    return codes


def ours(codes: np.ndarray, decoder: str, precision: str) -> Step:
    """A step of lowerbound's on the rows that come next."""
    data = lowerbound.load_data(codes, kind="category")
    setup = registry.get("text-vae").build(
        data.spec, decoder=decoder, latent=LATENT, width=WIDTH, layers=LAYERS, embedding=EMBEDDING
    )
    step = training_step(setup, data, precision, LR, BATCH)
    order = cycle(torch.randperm(data.spec.splits["train"])[: 7 * BATCH].split(BATCH))
    return lambda: step(next(order))


class Block(nn.Module):
    """x + GLU(convolution(norm(x)))."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.conv = nn.Conv1d(WIDTH, 2 * WIDTH, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.glu(self.conv(self.norm(x).transpose(1, 2)), 1).transpose(1, 2)


def blocks() -> nn.Sequential:
    return nn.Sequential(*(Block(dilation) for dilation in DILATIONS))


class Encoder(nn.Module):
    """Codes to the mean and log variance of z."""

    def __init__(self) -> None:
        super().__init__()
        self.symbol, self.inward = nn.Embedding(SYMBOLS, EMBEDDING), nn.Linear(EMBEDDING, WIDTH)
        self.place = nn.Parameter(torch.randn(PLACES, WIDTH) * 0.02)
        self.body = nn.Sequential(blocks(), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, NARROW), nn.Flatten())
        self.out = nn.Sequential(nn.Linear(PLACES * NARROW, 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, 2 * LATENT))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.body(self.inward(self.symbol(x)) + self.place))
        return out


class Parallel(nn.Module):
    """z to the logits of all places."""

    def __init__(self) -> None:
        super().__init__()
        self.inward, self.body = nn.Linear(LATENT, PLACES * WIDTH), blocks()
        self.out = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, EMBEDDING), nn.Linear(EMBEDDING, SYMBOLS))

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.body(self.inward(z).reshape(-1, PLACES, WIDTH)))
        return out


class Recurrent(nn.Module):
    """z and the symbols before each place to its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.table = nn.Parameter(torch.randn(1, 1, EMBEDDING)), nn.Embedding(SYMBOLS, EMBEDDING)
        self.symbol, self.given = nn.Linear(EMBEDDING, WIDTH), nn.Linear(LATENT, WIDTH, bias=False)
        self.body = nn.GRU(WIDTH, WIDTH, LAYERS, batch_first=True)
        self.out = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, EMBEDDING))
        self.bias = nn.Parameter(torch.zeros(SYMBOLS))

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        before = torch.cat([self.start.expand(len(x), 1, -1), self.table(x[:, :-1])], 1)
        h, _ = self.body(self.symbol(before) + self.given(z).unsqueeze(1))
        return F.linear(self.out(h), self.table.weight, self.bias)


DECODERS: dict[str, Callable[[], nn.Module]] = {"parallel": Parallel, "gru": Recurrent}


def plain(codes: np.ndarray, decoder: str, rough: bool) -> Step:
    """A step of a loop written for this model alone."""
    encode, decode = Encoder(), DECODERS[decoder]()
    optimiser = torch.optim.Adam([*encode.parameters(), *decode.parameters()], LR)
    batches = endless(DataLoader(TensorDataset(torch.from_numpy(codes)), BATCH, shuffle=True, drop_last=True))

    def step() -> None:
        (x,) = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=rough):
            loss = bound(encode, decode, x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def endless(loader: DataLoader) -> Iterator[list[Tensor]]:
    """Epoch after epoch."""
    while True:
        yield from loader


def bound(encode: nn.Module, decode: nn.Module, x: Tensor) -> Tensor:
    """The negative ELBO, nats a poem."""
    mean, log_variance = encode(x).float().chunk(2, -1)
    z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    distortion = F.cross_entropy(decode(z, x).reshape(-1, SYMBOLS), x.reshape(-1), reduction="sum")
    rate = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum()
    return (distortion + rate) / len(x)


def rate(step: Step) -> float:
    """Characters a second of the processor."""
    start = time.process_time()
    for _ in range(STEPS):
        step()
    return STEPS * BATCH * PLACES / (time.process_time() - start)


def main() -> None:
    torch.set_num_threads(1)
    codes, load = poems(), os.getloadavg()[0]
    steps = {
        (decoder, what): make(codes, decoder, how)
        for decoder in DECODERS
        for what, make, how in (
            ("lowerbound", ours, "auto"),
            ("plain loop, autocast to bfloat16", plain, True),
            ("lowerbound, precision fp32", ours, "fp32"),
            ("plain loop, float32", plain, False),
        )
    }
    for step in steps.values():
        step()
    rates = alternately({name: partial(rate, step) for name, step in steps.items()}, ROUNDS)  # type: ignore[misc]
    rows = [
        {
            "decoder": decoder,
            "what": what,
            "characters a second (median)": round(statistics.median(each)),
            "range": f"{min(each):.0f} to {max(each):.0f}",
            "lowerbound is faster by": round(paired_ratio(rates[decoder, "lowerbound"], each), 3),
        }
        for (decoder, what), each in rates.items()
    ]
    notes = (
        f"One thread, of whose own time this is; {ROUNDS} rounds of {STEPS} steps in turn after one to warm up; ratios "
        f"are medians of paired rounds. Load average of the machine from {load:.1f} at the start to "
        f"{os.getloadavg()[0]:.1f} at the end. At precision auto lowerbound chooses by the machine and the model; on a "
        "processor with units for bfloat16, as here, this is autocast."
    )
    record("text_speed", "Training speed on texts", "python bench/text_speed.py", rows, notes)


if __name__ == "__main__":
    main()
