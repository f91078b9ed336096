"""The forms of log p(x) against the exact value, where that is known.

    python bench/linear_gaussian.py

z ~ N(0, I), x = W z + noise: log p(x) = log N(x; 0, W Wᵀ + σ² I). Importance sampling proposes from posteriors that are
exact, a little too wide, and far off; annealing begins at the one that is far off. Below, a z of finitely many values,
where all that can be estimated can be summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib as mpl
import torch
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
)

from _harness import ROOT, record
from lowerbound.core import (
    Annealed,
    Batch,
    Conditional,
    Fixed,
    Gaussian,
    Homoscedastic,
    Latent,
    Marginal,
    ais,
    enumerated_log_marginal,
    log_marginal,
    naive_log_marginal,
    standard_normal,
)

COMMAND = "python bench/linear_gaussian.py"
PICTURE = ROOT / "docs" / "images" / "log_p_forms.png"
LATENT, OBSERVED, NOISE, DATA = 6, 16, 0.5, 200
PARTICLES = (1, 10, 100, 1_000, 10_000, 100_000)
WALKS, CHAINS, LEAPFROGS = (3, 30, 300, 3_000), 16, 2
COMPONENTS = 30
AT_ONCE = 1 << 16

Estimate = Marginal | Annealed


class Known(NamedTuple):
    """A model under three posteriors, data, and log p(x) of each."""

    exact: Latent
    wide: Latent
    far: Latent
    batch: Batch
    log_p: Tensor


class Linear(nn.Module):
    """x -> (mean, log variance) of a posterior that is linear in x."""

    def __init__(self, weight: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.weight, self.log_variance = weight, log_variance

    def forward(self, x: Tensor) -> Tensor:
        mean = x @ self.weight
        return torch.stack([mean, self.log_variance.expand_as(mean)], -1)


def linear_gaussian() -> Known:
    """With orthogonal columns in W the posterior factorises, so a diagonal Gaussian can be exact."""
    torch.manual_seed(0)
    w = torch.linalg.qr(torch.randn(OBSERVED, LATENT)).Q * torch.linspace(0.5, 2, LATENT)
    variance = 1 / (1 + w.square().sum(0) / NOISE**2)
    decode = nn.Linear(LATENT, OBSERVED, bias=False)
    decode.weight.data = w

    def model(shrink: float, scale: float) -> Latent:
        posterior = Linear(shrink * w * variance / NOISE**2, (variance * scale**2).log())
        return Latent(standard_normal(LATENT), Gaussian(posterior), likelihood)

    likelihood = Homoscedastic(decode, torch.tensor(math.log(NOISE)))
    marginal = MultivariateNormal(torch.zeros(OBSERVED), w @ w.T + NOISE**2 * torch.eye(OBSERVED))
    x = marginal.sample((DATA,))
    return Known(model(1, 1), model(1, 1.2), model(0.8, 0.6), Batch({"x": x}), marginal.log_prob(x))


def forms(known: Known) -> list[dict[str, Any]]:
    """A row for each form and number of particles."""
    batch = known.batch

    def sampled(model: Latent, naive: bool = False) -> Callable[[int], Estimate]:
        form = naive_log_marginal if naive else log_marginal
        return lambda k: form(model, batch, k, AT_ONCE)

    def annealed(steps: int) -> Estimate:
        return ais(known.far, batch, steps=steps, chains=CHAINS, leapfrogs=LEAPFROGS, decodes=AT_ONCE)

    curves = [
        ("naive", sampled(known.exact, naive=True), PARTICLES),
        ("importance, posterior 1.2 × too wide", sampled(known.wide), PARTICLES),
        ("importance, posterior far off", sampled(known.far), PARTICLES),
        ("annealed from the one far off", annealed, WALKS),
        ("importance, exact posterior", sampled(known.exact), PARTICLES[:1]),
    ]
    return [row(name, size, estimate(size), known.log_p) for name, estimate, sizes in curves for size in sizes]


def row(name: str, size: int, found: Estimate, exact: Tensor) -> dict[str, Any]:
    """Error and diagnostics; `size` is the number of particles, or of an annealed estimate of densities."""
    annealed, off = isinstance(found, Annealed), found.log_p - exact
    many = size > 1 and not name.endswith("exact posterior")
    return {
        "estimate": name,
        "decodes a datum": size * CHAINS * LEAPFROGS if annealed else size,
        "root mean square error": f"{off.square().mean().sqrt():.2g}",
        "mean error": f"{off.mean():.1e}",
        "stated standard error": f"{found.stderr.square().mean().sqrt():.2g}" if many else None,
        "ESS / K": f"{float((found.ess / found.particles).mean()):.2g}" if many else None,
        "median k̂": f"{found.khat.median():.2f}" if many and not annealed and size > 25 else None,
        "k̂ > 0.7": f"{(found.khat > 0.7).double().mean():.0%}" if many and not annealed and size > 25 else None,
    }


class Tempered(Conditional):
    """p(z|x) by Bayes' rule for a one-hot z, its logits halved: a posterior that is right about the order alone."""

    def __init__(self, prior: Conditional, likelihood: Conditional, classes: int) -> None:
        super().__init__()
        self.prior, self.likelihood, self.classes = prior, likelihood, classes

    def forward(self, *given: object) -> Distribution:
        z = torch.eye(self.classes)[:, None]
        joint = self.prior().log_prob(z) + self.likelihood(z).log_prob(given[0])
        return OneHotCategorical(logits=joint.T / 2, validate_args=False)


def mixture() -> tuple[Latent, Batch, Tensor]:
    """A Gaussian mixture as a model of a one-hot z, data, and their exact log-density."""
    torch.manual_seed(0)
    logits, means = torch.randn(COMPONENTS), 3 * torch.randn(2, COMPONENTS)
    prior = Fixed(lambda logits: OneHotCategorical(logits=logits, validate_args=False), logits=logits)
    decode = nn.Linear(COMPONENTS, 2, bias=False)
    decode.weight.data = means
    likelihood = Homoscedastic(decode, torch.zeros(()))
    density = MixtureSameFamily(Categorical(logits=logits), Independent(Normal(means.T, 1.0), 1))
    x = density.sample((DATA,))
    return Latent(prior, Tempered(prior, likelihood, COMPONENTS), likelihood), Batch({"x": x}), density.log_prob(x)


def discrete() -> list[dict[str, Any]]:
    """The rows of the second table."""
    model, batch, exact = mixture()
    summed = enumerated_log_marginal(model, batch) - exact
    first = {
        "estimate": f"enumeration of all {COMPONENTS} values",
        "decodes a datum": COMPONENTS,
        "root mean square error": f"{summed.square().mean().sqrt():.2g}",
        "mean error": f"{summed.mean():.1e}",
    }
    rows = [
        row(name, k, form(model, batch, k, AT_ONCE), exact)
        for name, form in (("naive", naive_log_marginal), ("importance, logits halved", log_marginal))
        for k in PARTICLES[1:-1]
    ]
    # Weights of so few values are ties for the most part: they have no tail from which k̂ could be told.
    return [{name: each.get(name) for name in rows[0] if "k̂" not in name} for each in (first, *rows)]


def draw(rows: list[dict[str, Any]]) -> None:
    """The error of each form as decodes are added, log-log."""
    mpl.use("agg")
    from matplotlib import pyplot as plt  # after the choice of a backend

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name in dict.fromkeys(each["estimate"] for each in rows):
        points = [each for each in rows if each["estimate"] == name]
        if len(points) > 1:
            errors = [float(each["root mean square error"]) for each in points]
            axes.loglog([each["decodes a datum"] for each in points], errors, marker="o", label=name)
    most = PARTICLES[-1]
    axes.loglog([1, most], [1, most**-0.5], color="0.7", linestyle="--", zorder=0, label="1 / √decodes")
    axes.set(xlabel="decodes a datum", ylabel="root mean square error of log p(x), nats")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)


def main() -> None:
    torch.set_default_dtype(torch.float64)
    rows = forms(linear_gaussian())
    draw(rows)
    notes = (
        f"z of {LATENT} dimensions, x of {OBSERVED}, noise {NOISE}, {DATA} data, float64; errors in nats. An annealed "
        f"estimate has {CHAINS} chains and {LEAPFROGS} gradients of the decoder a density, counted as decodes; a fifth "
        "more goes into tuning. Far off: the posterior's mean shrunk to 0.8, its scale to 0.6 of the exact ones.\n\n"
        "![Error of the forms of log p(x)](images/log_p_forms.png)"
    )
    record("linear_gaussian", "log p(x) where it is known", COMMAND, rows, notes)
    words = f"A mixture of {COMPONENTS} Gaussians in two dimensions as a model of a one-hot z, {DATA} data."
    record("linear_gaussian_discrete", "log p(x) of a finite z, where it can be summed", COMMAND, discrete(), words)


if __name__ == "__main__":
    main()
