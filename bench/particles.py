"""Steps on the importance-weighted bound beside a plain hand-written loop and beside pythae's IWAE: the same model.

    python bench/particles.py

Model: 784-200-200-z50 and back, tanh, Bernoulli, Adam, batches of 100 (Burda et al., 2016). Data: MNIST's training
pictures at a threshold. A step is rows, forward, backward and Adam; lowerbound's also takes the gradient's norm and
leaves out what is not finite. Of pythae only the model is timed, in the plain loop's step and not in its own trainer.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from itertools import pairwise

import torch
from pythae.data.datasets import DatasetOutput
from pythae.models import IWAE, IWAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor, nn
from torch.nn import functional as F

import lowerbound
from _harness import alternately, paired_ratio, record, seconds
from _step import training_step
from lowerbound.recipes import registry
from train_throughput import pictures

BATCH, LATENT, HIDDEN, LR, ROUNDS = 100, 50, (200, 200), 1e-3, 5
STEPS = {1: 120, 5: 50, 50: 8}

Step = Callable[[Tensor], object]


def ours(data: lowerbound.Dataset, particles: int, estimator: str, precision: str = "auto") -> Step:
    """A training step as `lowerbound train` takes it, given row numbers."""
    setup = registry.get("vae").build(
        data.spec, hidden=HIDDEN, latent=LATENT, activation="tanh",
        bound="iwae" if particles > 1 else "elbo-mc", estimator=estimator, particles=particles,
    )  # fmt: skip
    return training_step(setup, data, precision, LR, BATCH)


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers with tanh between them."""
    layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


class Plain(nn.Module):
    """The model, written by hand."""

    def __init__(self, particles: int) -> None:
        super().__init__()
        self.particles = particles
        self.encode = perceptron(784, *HIDDEN, 2 * LATENT)
        self.decode = perceptron(LATENT, *HIDDEN, 784)

    def forward(self, x: Tensor) -> Tensor:
        """The negative importance-weighted bound, its mean over the rows."""
        mean, log_variance = self.encode(x).chunk(2, -1)
        noise = torch.randn(self.particles, *mean.shape)
        z = mean + noise * (0.5 * log_variance).exp()
        logits = self.decode(z)
        log_lik = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        log_ratio = 0.5 * (log_variance + noise.square() - z.square()).sum(-1)
        return (math.log(self.particles) - torch.logsumexp(log_lik + log_ratio, 0)).mean()


class Encoder(BaseEncoder):
    """The same encoder in pythae's form."""

    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron(784, *HIDDEN, 2 * LATENT)

    def forward(self, x: Tensor) -> ModelOutput:
        """Mean and log-variance."""
        mean, log_variance = self.body(x).chunk(2, -1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    """The same decoder in pythae's form, whose Bernoulli takes probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron(LATENT, *HIDDEN, 784)

    def forward(self, z: Tensor) -> ModelOutput:
        """Probabilities."""
        return ModelOutput(reconstruction=self.body(z).sigmoid())


def stepper(model: nn.Module, loss: Callable[[Tensor], Tensor], x: Tensor) -> Step:
    """The plain loop's step: data in memory, fused Adam, nothing else."""
    optimiser = torch.optim.Adam(model.parameters(), LR, fused=True)

    def step(index: Tensor) -> None:
        loss(x.index_select(0, index).float()).backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def plain(x: Tensor, particles: int) -> Step:
    """The hand-written model."""
    model = Plain(particles)
    return stepper(model, model, x)


def pythae(x: Tensor, particles: int) -> Step:
    """pythae's model."""
    config = IWAEConfig(
        input_dim=(784,), latent_dim=LATENT, reconstruction_loss="bce", number_samples=particles,
        uses_default_encoder=False, uses_default_decoder=False,
    )  # fmt: skip
    model = IWAE(config, Encoder(), Decoder())
    return stepper(model, lambda seen: model(DatasetOutput(data=seen)).loss, x)


def rate(step: Step, particles: int, rows: int) -> float:
    """Rows a second over some steps."""
    batches = torch.randperm(rows)[: STEPS[particles] * BATCH].split(BATCH)
    return BATCH * len(batches) / seconds(lambda: [step(index) for index in batches])


def compared(data: lowerbound.Dataset, x: Tensor, particles: int) -> list[dict[str, object]]:
    """Rows of the table for one number of particles."""
    steps = {
        "lowerbound": ours(data, particles, "pathwise"),
        "lowerbound, estimator dreg": ours(data, particles, "dreg"),
        "lowerbound, precision fp32": ours(data, particles, "pathwise", "fp32"),
        "plain loop": plain(x, particles),
        "pythae's model": pythae(x, particles),
    }
    rows = data.spec.splits["train"]
    work = {name: lambda step=step: rate(step, particles, rows) for name, step in steps.items()}
    alternately(work, 1)
    rates = alternately(work, ROUNDS)
    return [
        {
            "particles": particles,
            "what": name,
            "rows a second (median)": round(statistics.median(each)),
            "range": f"{min(each):.0f} to {max(each):.0f}",
            "lowerbound is faster by": round(paired_ratio(rates["lowerbound"], each), 3),
        }
        for name, each in rates.items()
    ]


def main() -> None:
    torch.manual_seed(0)
    pixels = pictures()
    data = lowerbound.load_data(pixels)
    rows = [row for particles in STEPS for row in compared(data, torch.from_numpy(pixels), particles)]
    notes = (
        f"{torch.get_num_threads()} threads each; {ROUNDS} rounds in turn; ratios are medians of paired rounds. "
        "lowerbound is at its defaults (precision auto) unless said, everything else in float32; gradients pathwise "
        "unless said. With one particle the bound is the ELBO by Monte Carlo."
    )
    record("particles", "Steps on the importance-weighted bound", "python bench/particles.py", rows, notes)


if __name__ == "__main__":
    main()
