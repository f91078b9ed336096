"""What an encoder loses of log p(x), and why: its family of posteriors, or that one network serves all data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.arguments import Count, NonNegativeInt, conformed
from lowerbound.core import (
    Annealed,
    Batch,
    Latent,
    Marginal,
    ais,
    correlated,
    log_weights,
    posed,
    refined,
    summarise,
)
from lowerbound.core.psis import RELIABLE_K
from lowerbound.core.refinement import coordinates, may_be_richer
from lowerbound.data.rows import Rows
from lowerbound.errors import InputError
from lowerbound.evaluation.rawdata import device_of
from lowerbound.evaluation.statistics import estimate, monte_carlo_error
from lowerbound.evaluation.watching import Watch
from lowerbound.randomness import derive, isolated, reseed
from lowerbound.recipes.registry import Setup

ROWS_AT_ONCE = 100
"""Data climbed in one go: enough to use the machine well, few enough to tell how far it is."""

ENCODER, LOCAL, FULL, ANNEALED = "encoder", "local", "full", "annealed"

SAMPLERS = {
    ENCODER: "importance sampling from the encoder's posterior",
    LOCAL: "importance sampling from the refined posterior",
    FULL: "importance sampling from the refined posterior of any covariance",
    ANNEALED: "annealed importance sampling from the refined posterior",
}
"""What may have given the greatest log p(x), in words."""

Columns = dict[str, Tensor]


@final
@dataclass(frozen=True)
class Effort:
    """How much is spent on each datum.

    steps, draws: of the climb to its own posterior (see `core.refined`). particles: draws of each posterior, for
    its ELBO and for importance sampling. anneal: intermediate densities of annealed importance sampling by `chains`
    chains; 0 for none.
    """

    steps: int = 500
    draws: int = 8
    particles: int = 1000
    anneal: int = 200
    chains: int = 16

    def check(self) -> None:
        """Refuse what is no effort at all."""
        for name in ("steps", "draws", "particles", "chains"):
            conformed(name, getattr(self, name), Count)
        conformed("anneal", self.anneal, NonNegativeInt)


USUAL = Effort()


def gap(setup: Setup, rows: Rows, effort: Effort = USUAL, seed: int = 0, watch: Watch | None = None) -> dict[str, Any]:
    """Where the encoder's bound falls short of log p(x), as plain JSON values; nats per datum of the data as given.

    inference_gap = log p(x) − ELBO(encoder) = approximation_gap + amortisation_gap, where approximation_gap =
    log p(x) − ELBO(q*), q* being the best posterior of the family for this datum alone, and amortisation_gap =
    ELBO(q*) − ELBO(encoder). q* is sought from the encoder's q with the model fixed; `rise` is what the climb still
    gained in its last quarter, so many nats may be missing from the one gap and be counted to the other.

    elbo: of the "encoder", of q* ("local") and of the best Gaussian of any covariance ("full"), which tells what a
    richer family would win. nll: −log p(x) by importance sampling, from the encoder's q ("before") and from q*
    ("after"). log_p: the greatest mean of four estimates, each of them in expectation a lower bound, and whose it is
    ("by"); what it still lacks, the inference and the approximation gap lack too. "stderr" is the error for new data,
    "monte_carlo" for these.

    Chris Cremer, Xuechen Li and David Duvenaud, "Inference suboptimality in variational autoencoders", 2018.

    Raises:
        InputError: a model without such a bound, or whose posterior is no Gaussian of one latent.
    """
    effort.check()
    model, device = fit_for_gaps(setup, rows), device_of(setup)
    columns: dict[str, list[Tensor]] = defaultdict(list)
    done = 0
    with isolated(device), torch.no_grad():
        for number, raw in enumerate(_chunks(rows, device)):
            reseed(device, derive(seed, "view", number))
            seen = setup.see(raw)
            reseed(device, derive(seed, "gap", number))
            for name, values in per_datum(model, seen, effort).items():
                columns[name].append(values.double())
            columns["volume"].append(setup.volumes(seen))
            done += raw.size
            if watch:
                watch(done, rows.count)
    found = {name: torch.cat(parts) for name, parts in columns.items()}
    return {"count": rows.count, **vars(effort), "units": "nats", **summary(found, found["volume"])}


def fit_for_gaps(setup: Setup, rows: Rows) -> Latent:
    """The model, if its posterior is a Gaussian that can be refined."""
    model = setup.model
    if not isinstance(model, Latent):
        raise InputError(
            "gaps are measured of models with one latent, and this one's latents depend on each other; evaluate says "
            "what its bound is, and log-prob how far that is from log p(x)"
        )
    first = next(_chunks(rows.where(slice(1)), device_of(setup)))
    q = model.infer(setup.steady(first))
    try:
        coordinates(q)
    except ValueError as error:
        raise InputError(f"{error}; gaps are measured of models whose posterior is Gaussian, such as vae's") from None
    return model


def _chunks(rows: Rows, device: torch.device) -> Iterator[Batch]:
    return rows.resident(device).batches(torch.arange(rows.count).split(ROWS_AT_ONCE))


def per_datum(model: Latent, batch: Batch, effort: Effort) -> Columns:
    """Of each posterior, ELBO, log p(x) and its error, (B,) each, under the names "encoder elbo" and so on."""
    q = model.infer(batch)
    local = refined(model, batch, q, steps=effort.steps, particles=effort.draws)
    found = {**_measured(ENCODER, model, batch, q, effort), **_measured(LOCAL, model, batch, local.q, effort)}
    richest, rises = local.q, {"local rise": local.rise}
    if may_be_richer(q):
        full = refined(model, batch, correlated(richest), steps=effort.steps, particles=effort.draws)
        found |= _measured(FULL, model, batch, full.q, effort)
        richest, rises = full.q, {**rises, "full rise": full.rise}
    return {**found, **rises, **(_annealed(model, batch, richest, effort) if effort.anneal else {})}


def _measured(name: str, model: Latent, batch: Batch, q: Distribution, effort: Effort) -> Columns:
    log_w = log_weights(*posed(model, batch, q), effort.particles)
    return {f"{name} elbo": log_w.mean(0), **_estimates(name, summarise(log_w))}


def _annealed(model: Latent, batch: Batch, q: Distribution, effort: Effort) -> Columns:
    return _estimates(ANNEALED, ais(*posed(model, batch, q), steps=effort.anneal, chains=effort.chains))


def _estimates(name: str, found: Marginal | Annealed) -> Columns:
    return {f"{name} log_p": found.log_p, f"{name} stderr": found.stderr, f"{name} khat": found.khat}


def summary(found: Columns, log_volume: float | Tensor = 0.0) -> dict[str, Any]:
    """The figures from each datum's; see `gap`."""
    names = [name for name in SAMPLERS if f"{name} log_p" in found]
    best = max(names, key=lambda name: found[f"{name} log_p"].mean().item())
    log_p, elbo = found[f"{best} log_p"], {name: found[f"{name} elbo"] for name in names if name != ANNEALED}
    return {
        "log_p": {**_log_p(found, best, log_volume), "by": best},
        "elbo": {name: estimate(values + log_volume) for name, values in elbo.items()},
        "inference_gap": estimate(log_p - elbo[ENCODER]),
        "approximation_gap": estimate(log_p - elbo[LOCAL]),
        "amortisation_gap": estimate(elbo[LOCAL] - elbo[ENCODER]),
        "full_covariance": _of_richer(log_p, elbo) if FULL in elbo else None,
        "nll": {
            "before": _minus(_log_p(found, ENCODER, log_volume)),
            "after": _minus(_log_p(found, LOCAL, log_volume)),
        },
        "estimates": {name: {**_log_p(found, name, log_volume), **_doubt(found, name)} for name in names},
        "rise": {name: estimate(found[f"{name} rise"]) for name in elbo if name != ENCODER},
    }


def _of_richer(log_p: Tensor, elbo: Columns) -> dict[str, Any]:
    return {"approximation_gap": estimate(log_p - elbo[FULL]), "gain": estimate(elbo[FULL] - elbo[LOCAL])}


def _log_p(found: Columns, name: str, log_volume: float | Tensor) -> dict[str, Any]:
    error = monte_carlo_error(found[f"{name} stderr"])
    return {**estimate(found[f"{name} log_p"] + log_volume), "monte_carlo": error}


def _minus(log_p: dict[str, Any]) -> dict[str, Any]:
    return {**log_p, "value": None if log_p["value"] is None else -log_p["value"]}


def _doubt(found: Columns, name: str) -> dict[str, Any]:
    """The share of data whose estimate is not to be believed; a few chains show no tail to judge by."""
    return {} if name == ANNEALED else {"khat_above_0.7": (found[f"{name} khat"] > RELIABLE_K).double().mean().item()}
