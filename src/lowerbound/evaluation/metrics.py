"""Every figure of a model on a split of the data, in one pass and bounded memory."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.core import Batch, Marginal, Trace
from lowerbound.core.psis import RELIABLE_K
from lowerbound.data.rows import Rows
from lowerbound.data.spec import DataSpec
from lowerbound.data.text.vocabulary import is_text
from lowerbound.evaluation import perdatum
from lowerbound.evaluation.codes import Latents, matrix, means
from lowerbound.evaluation.information import Information
from lowerbound.evaluation.perdatum import Particles
from lowerbound.evaluation.rawdata import ROWS_AT_ONCE, device_of
from lowerbound.evaluation.statistics import Moments, estimate, finite, monte_carlo_error
from lowerbound.evaluation.watching import Watch
from lowerbound.randomness import derive, isolated, reseed
from lowerbound.recipes.registry import Setup

BINS = 30
"""Cells of a histogram."""

ACTIVE_VARIANCE = 0.01
"""A latent dimension whose posterior mean varies less than this over the data carries nothing."""


def evaluate(
    setup: Setup, rows: Rows, particles: Particles, seed: int = 0, watch: Watch | None = None
) -> dict[str, Any]:
    """What the model makes of these rows, as plain JSON values; nats per datum of the data as given.

    log_p: log p(x) by importance sampling with `particles` draws a datum (of auto their mean is stated), in expectation
    a lower bound that rises with them; "monte_carlo" is its error for these very rows, "stderr" for new ones (see
    `statistics.estimate`). doubtful: for how many data it is not `Marginal.believed`. ess and khat: effective sample
    size and Pareto k̂ of the importance weights, over the data. elbo = −rate − distortion; rate = KL(q(z|x) ‖ p(z)),
    distortion = −E_q log p(x|z). kl_per_dimension: null where it has no closed form, or dimensions are correlated.
    active_units: dimensions whose posterior mean has a variance over the data above 0.01 (Burda et al., 2016).
    reconstruction_mse: of the decoded posterior mean, a value, in units of the data's range; null for categories.
    bits_per_dim: −log_p / (values·log 2) where the model gives a mass to the stored levels themselves, else null.
    nats_per_symbol, perplexity: of texts alone; −log_p over the symbols, the end of a text among them, and its exp.

    A model without a bound (a point posterior: a plain autoencoder) has the distortion and the error alone; its codes
    have no scale by which a unit could be called active. What the recipe's meters found is added under their names,
    and where z is one Gaussian what it tells of x (`Information`).

    A random view (dynamic binarisation) is drawn once, by the seed alone: the same data for every model and number of
    particles. None stands for what is not finite.
    """
    tally = _Tally(setup, rows.spec)
    device = device_of(setup)
    with isolated(device), torch.no_grad():
        for number, raw in enumerate(_chunks(rows, device)):
            reseed(device, derive(seed, "view", number))
            seen = setup.see(raw)
            reseed(device, derive(seed, "particles", number))
            tally.add(raw, seen, particles)
            if watch:
                watch(tally.count, rows.count)
    return {"count": rows.count, "particles": particles, "units": "nats", **tally.figures()}


def _chunks(rows: Rows, device: torch.device) -> Iterator[Batch]:
    return rows.resident(device).batches(torch.arange(rows.count).split(ROWS_AT_ONCE))


@final
class _Tally:
    """Per-datum figures in the making."""

    def __init__(self, setup: Setup, spec: DataSpec) -> None:
        self.setup, self.spec = setup, spec
        self.count = 0
        self.columns: dict[str, list[Tensor]] = defaultdict(list)
        self.codes, self.kl = Moments(), Moments()
        self.meters = (*setup.meters(), Information(setup.model))
        self.massive, self.proper = not setup.random_views, True

    def add(self, raw: Batch, seen: Batch, particles: Particles) -> None:
        """Take in a chunk: as stored, and as the model sees it."""
        raw = replace(raw, mask=seen.mask)  # of a datum that is told in part, the rest alone is measured
        trace = perdatum.traced(self.setup, seen, particles)
        self.massive &= all(_is_discrete(d) for d in trace.px.values())
        self.proper &= trace.proper
        self._note(perdatum.terms(self.setup.model, trace, particles))
        z = means(self.setup.model.infer(seen))
        self._note(perdatum.error(self.setup, self.spec, raw, self.setup.model.decode(z, seen.c)))
        self._note({"volume": self.setup.volumes(raw), "values": perdatum.values(raw)})
        self._note_codes(trace, z)
        for meter in self.meters:
            meter.add(trace)
        self.count += raw.size

    def _note(self, columns: dict[str, Tensor]) -> None:
        for name, values in columns.items():
            self.columns[name].append(values)

    def _note_codes(self, trace: Trace, z: Latents) -> None:
        codes = matrix(z)
        self.codes.add(codes)
        if trace.proper and trace.kl is not None:
            kl = torch.cat(list(trace.kl.values()), 1)
            if kl.shape == codes.shape:  # correlated dimensions have one KL together
                self.kl.add(kl)

    def figures(self) -> dict[str, Any]:
        """The summary, as JSON values."""
        found = {name: torch.cat(parts) for name, parts in self.columns.items()}
        return {
            **(self._of_bound(found) if self.proper else {}),
            "distortion": estimate(found["distortion"] - found["volume"]),
            "latent": self.codes.mean.numel(),
            "reconstruction_mse": estimate(found["error"]) if "error" in found else None,
            **{name: value for meter in self.meters for name, value in meter.figures().items()},
        }

    def _of_bound(self, found: dict[str, Tensor]) -> dict[str, Any]:
        volume = found["volume"]
        log_p = {**estimate(found["log_p"] + volume), "monte_carlo": monte_carlo_error(found["stderr"])}
        return {
            "particles": round(found["particles"].double().mean().item()),
            "log_p": log_p,
            "doubtful": int((~Marginal(*(found[name] for name in Marginal._fields)).believed).sum()),
            "elbo": estimate(volume - found["rate"] - found["distortion"]),
            "rate": estimate(found["rate"]),
            "active_units": int((self.codes.variance > ACTIVE_VARIANCE).sum()),
            "ess": {"median": _quantile(found["ess"], 0.5), "min": _quantile(found["ess"], 0.0)},
            "khat": khat_figures(found["khat"]),
            "kl_per_dimension": self.kl.mean.tolist() if self.kl.count else None,
            "bits_per_dim": bits_per_dim(log_p, found["values"]) if self.massive else None,
            **(per_symbol(log_p, found["values"]) if is_text(self.spec.variables[0]) else {}),
        }


def khat_figures(khat: Tensor) -> dict[str, Any]:
    """Median and greatest Pareto k̂ over the data, and the share of data whose log p is not to be believed.

    histogram: how many data lie in each of `BINS` cells of equal width from low to high; null where none is finite.
    """
    share = (khat > RELIABLE_K).double().mean().item()
    quantiles = {"median": _quantile(khat, 0.5), "max": _quantile(khat, 1.0)}
    return {**quantiles, "share_above_0.7": share, "histogram": histogram(khat)}


def histogram(values: Tensor) -> dict[str, Any] | None:
    """Counts of the finite values between the least and the greatest of them; None where there are none.

    >>> histogram(torch.tensor([0.0, 1.0, math.nan]))["counts"][::BINS - 1]
    [1, 1]
    """
    found = values[values.isfinite()].double().cpu()
    if not len(found):
        return None
    counts, edges = torch.histogram(found, BINS)
    return {"low": edges[0].item(), "high": edges[-1].item(), "counts": counts.long().tolist()}


def bits_per_dim(log_p: dict[str, float | None], values: Tensor) -> dict[str, float | None]:
    """−log_p / (values · log 2): what a lossless code would need for each value there is, `values` (N,) a datum."""
    scale = math.log(2) * values.double().mean().item()
    value, stderr = log_p["value"], log_p["stderr"]
    return {"value": None if value is None else -value / scale, "stderr": None if stderr is None else stderr / scale}


def per_symbol(log_p: dict[str, float | None], values: Tensor) -> dict[str, dict[str, float | None]]:
    """What one symbol of a text costs, and among how many equally likely ones it might as well have been chosen.

    >>> found = per_symbol({"value": -8.0, "stderr": 0.4}, torch.tensor([3.0, 5.0]))
    >>> found["nats_per_symbol"], round(found["perplexity"]["value"], 3)
    ({'value': 2.0, 'stderr': 0.1}, 7.389)
    """
    bits = bits_per_dim(log_p, values)
    nats = {name: None if value is None else value * math.log(2) for name, value in bits.items()}
    value, stderr = nats["value"], nats["stderr"]
    perplexity = None if value is None else math.exp(value)
    error = None if perplexity is None or stderr is None else perplexity * stderr
    return {"nats_per_symbol": nats, "perplexity": {"value": perplexity, "stderr": error}}


def _is_discrete(d: Distribution) -> bool:
    support = d.support
    return bool(support.is_discrete) if support is not None else False


def _quantile(values: Tensor, q: float) -> float | None:
    return finite(values.double().sort().values[round(q * (len(values) - 1))].item())
