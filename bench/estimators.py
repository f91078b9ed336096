"""How noisy each gradient estimator is for a continuous z, side by side on the same models, data and particles.

    python bench/estimators.py

Each gradient is that of the mean bound of one fixed batch, drawn anew many times; no parameter moves. The
signal-to-noise ratio is ‖E g‖ / √(tr Cov g), with the part of ‖mean g‖² that is noise taken out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

import lowerbound
from _harness import ROOT, record
from lowerbound.core import (
    CIWAE,
    ELBO,
    IWAE,
    MIWAE,
    PIWAE,
    STL,
    TVO,
    VR,
    Batch,
    DReG,
    Estimator,
    Gaussian,
    Homoscedastic,
    Latent,
    Objective,
    Pathwise,
    Score,
    no_control,
    standard_normal,
    total,
)
from lowerbound.data.dataset import load_data
from lowerbound.plots import write_png

COMMAND = "python bench/estimators.py"
PICTURE = ROOT / "docs" / "images" / "gradient_variance.png"
PARTICLES = (1, 2, 4, 8, 16, 32, 64)
SHOWN = (1, 8, 64)
ROWS = 16
NO_NOISE = 1e-20  # in float64: rounding
MOVED = (0.01, 0.05)
ESTIMATORS: dict[str, Estimator] = {
    "Pathwise": Pathwise(),
    "STL": STL(),
    "DReG": DReG(),
    "Score, no control": Score(no_control),
    "Score, leave-one-out": Score(),
}
BOUNDS: dict[str, Objective] = {"ELBO": ELBO(), "IWAE": IWAE()}
OTHERS: dict[str, Objective] = {
    "ELBO": ELBO(),
    "CIWAE, share 0.5": CIWAE(0.5),
    "MIWAE, 8 groups of 8": MIWAE(8),
    "Rényi, α 0.5": VR(0.5),
    "VR-max": VR(-math.inf),
    "TVO, 5 intervals": TVO(),
    "IWAE": IWAE(),
    "PIWAE, 8 groups of 8": PIWAE(8),
}
NOTES = (
    f"The gradient of the mean bound of one batch of {ROWS} data, drawn 300 times (linear-Gaussian: 12 dimensions, 4 "
    "latent, float64; moved: every parameter by noise of this size) or 100 times (784-200-200-20). Variance: the mean "
    "over the parameters. SNR: ‖E g‖ / √(tr Cov g), what the draws' own noise adds to ‖mean g‖ taken out; below 0.1 it "
    "cannot be told from none. STL is biased under IWAE and stands there to be compared with.\n\n"
    "![Variance and signal-to-noise ratio of the encoder's gradient](images/gradient_variance.png)"
)
NOTES_OF_BOUNDS = "The same half-trained VAE and batch, 100 draws each."
STYLES = (("#4269d0", "-"), ("#3ca951", "--"), ("#ff725c", "-"), ("#9c6b4e", "-"), ("#a463f2", "-"))
LEAST_SNR = 0.02


@dataclass
class Tally:
    """Sums over gradients of one part of a model."""

    count: int = 0
    square: float = 0.0
    sum: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, gradient: Tensor) -> None:
        self.count, self.sum = self.count + 1, self.sum + gradient.double()
        self.square += float(gradient.double().square().sum())

    @property
    def noise(self) -> float:
        """tr Cov g."""
        return max(0.0, self.square - float(self.sum.square().sum()) / self.count) / (self.count - 1)

    @property
    def variance(self) -> float:
        """The mean over the parameters of the variance of the gradient."""
        return self.noise / self.sum.numel()

    @property
    def snr(self) -> float:
        """Not a number where there is no noise."""
        signal = float((self.sum / self.count).square().sum()) - self.noise / self.count
        return math.sqrt(max(signal, 0.0) / self.noise) if self.noise > NO_NOISE else math.nan


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that stands still, a batch, and how often its gradient is drawn."""

    name: str
    model: Latent
    batch: Batch
    repeats: int

    def noise(self, objective: Objective, estimator: Estimator, particles: int) -> dict[str, Tally]:
        """Of the encoder and of the decoder."""
        parts = {"encoder": self.model.posterior, "decoder": self.model.likelihood}
        tallies = {name: Tally() for name in parts}
        torch.manual_seed(0)
        for _ in range(self.repeats):
            self.model.zero_grad()
            total(objective(self.model.trace(self.batch, particles, estimator))).backward()
            for name, part in parts.items():
                tallies[name].add(torch.cat([p.grad.flatten() for p in part.parameters() if p.grad is not None]))
        return tallies


class Linear(nn.Module):
    """x -> (mean, log variance) of a posterior that is linear in x."""

    def __init__(self, weight: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.weight, self.log_variance = nn.Parameter(weight), nn.Parameter(log_variance)

    def forward(self, x: Tensor) -> Tensor:
        mean = x @ self.weight
        return torch.stack([mean, self.log_variance.expand_as(mean)], -1)


def toy(name: str, moved: float, size: int = 12, latent: int = 4, scale: float = 0.5) -> Subject:
    """z ~ N(0, I), x ~ N(W z, σ² I) at the exact posterior, every parameter then moved by noise of this size."""
    torch.manual_seed(0)
    w = torch.linalg.qr(torch.randn(size, latent).double()).Q * torch.linspace(0.5, 2, latent).double()
    variance = 1 / (1 + w.square().sum(0) / scale**2)
    decoder = nn.Linear(latent, size, bias=False)
    decoder.weight.data = w.clone()
    posterior = Gaussian(Linear(w * variance / scale**2, variance.log()))
    likelihood = Homoscedastic(decoder, nn.Parameter(torch.tensor(math.log(scale), dtype=torch.float64)))
    model = Latent(standard_normal(latent), posterior, likelihood).double()
    for parameter in model.parameters():
        parameter.data += moved * torch.randn_like(parameter)
    x = MultivariateNormal(torch.zeros(size).double(), w @ w.T + scale**2 * torch.eye(size)).sample((ROWS,))
    return Subject(name, model, Batch({"x": x}), 300)


def half_trained() -> Subject:
    """784-200-200-20, three epochs of MNIST; a batch of its training pictures, binarised once."""
    data = load_data("mnist")
    fitted = lowerbound.train("vae", data, latent=20, hidden=(200, 200), epochs=3, batch_size=128)
    torch.manual_seed(0)
    batch = fitted.setup.see(data.split("train").resident().batch(torch.arange(ROWS)))
    assert isinstance(fitted.setup.model, Latent)
    return Subject("VAE on MNIST after 3 epochs", fitted.setup.model, batch, 100)


@cache
def subjects() -> tuple[Subject, ...]:
    toys = [toy("linear-Gaussian, exact posterior", 0.0), *(toy(f"linear-Gaussian, moved by {m}", m) for m in MOVED)]
    return *toys, half_trained()


def ways() -> Iterable[tuple[Subject, str, str]]:
    return [(subject, bound, name) for subject in subjects() for bound in BOUNDS for name in ESTIMATORS]


@cache
def figures(subject: Subject, bound: str, name: str) -> dict[int, dict[str, Tally]]:
    """By number of particles; leave-one-out needs two."""
    served = PARTICLES[1:] if "leave" in name else PARTICLES
    return {k: subject.noise(BOUNDS[bound], ESTIMATORS[name], k) for k in served}


def row(subject: Subject, bound: str, name: str) -> dict[str, Any]:
    found = figures(subject, bound, name)
    marked = f"{name} (biased)" if (bound, name) == ("IWAE", "STL") else name
    cells = {
        f"{part} {what}, K = {k}": shown(getattr(found[k][part], kind)) if k in found else None
        for part in ("encoder", "decoder")
        for what, kind in (("variance", "variance"), ("SNR", "snr"))
        for k in SHOWN
    }
    return {"model": subject.name, "bound": bound, "estimator": marked, **cells}


def shown(value: float) -> str:
    return "–" if math.isnan(value) else "0" if value < NO_NOISE else f"{value:.2g}"


def other(bound: str, name: str) -> dict[str, Any]:
    """One bound of 64 particles on the VAE."""
    found = subjects()[-1].noise(OTHERS[bound], ESTIMATORS[name], 64)
    cells = {
        f"{part} {what}": shown(getattr(tally, what)) for part, tally in found.items() for what in ("variance", "snr")
    }
    return {"bound": bound, "estimator": name, **cells}


def picture() -> Figure:
    """Encoder gradients: variance above, signal-to-noise ratio below; a column for each model and bound."""
    _, near, off, vae = subjects()
    panels = [(near, "IWAE"), (off, "IWAE"), (vae, "IWAE"), (vae, "ELBO")]
    drawing = Figure(figsize=(12, 5.6), layout="constrained")
    axes = drawing.subplots(2, len(panels), sharex=True)
    for column, (subject, bound) in enumerate(panels):
        for line, what in enumerate(("variance", "snr")):
            panel(axes[line][column], {name: figures(subject, bound, name) for name in ESTIMATORS}, what)
        axes[0][column].set_title(f"{subject.name}\n{bound}", fontsize=9)
        axes[1][column].set_ylim(bottom=LEAST_SNR)
        axes[1][column].set_xlabel("particles K")
    axes[0][0].set_ylabel("variance of the encoder's gradient")
    axes[1][0].set_ylabel("signal-to-noise ratio")
    drawing.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return drawing


def panel(axes: Axes, lines: Mapping[str, Mapping[int, Mapping[str, Tally]]], what: str) -> None:
    for (name, found), (colour, dash) in zip(lines.items(), STYLES):
        points = {k: getattr(each["encoder"], what) for k, each in found.items()}
        values = [value or math.nan for value in points.values()]
        axes.loglog(list(points), values, dash, label=name, color=colour, marker=".", base=2)
    axes.set_yscale("log", base=10)
    axes.set_xticks(PARTICLES, [str(k) for k in PARTICLES])
    axes.grid(axis="y", linewidth=0.4)


def main() -> None:
    rows = [row(*way) for way in ways()]
    record("estimators", "Gradient estimators of a continuous z", COMMAND, rows, NOTES)
    pairs = [(bound, name) for bound in OTHERS for name in ("Pathwise", "DReG") if serves(bound, name)]
    record("estimators_bounds", "Bounds of 64 particles", COMMAND, [other(*pair) for pair in pairs], NOTES_OF_BOUNDS)
    write_png(PICTURE, picture())


def serves(bound: str, name: str) -> bool:
    """PIWAE is for DReG alone; the largest weight is not for it."""
    return (bound, name) not in {("PIWAE, 8 groups of 8", "Pathwise"), ("VR-max", "DReG")}


if __name__ == "__main__":
    main()
