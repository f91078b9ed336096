"""Steps of stochastic variational inference beside Pyro's: the same model, guide, batches and optimiser.

    python bench/svi.py

Model: z of 50, a decoder 50-400-784 with softplus, Bernoulli; guide: a Gaussian a datum, its parameters a row of a
table, or an encoder 784-400-2·50. One draw, the KL in closed form, Adam, float32. Pyro comes at what was quickest of
it (`TraceMeanField_ELBO`, validation off) in three forms: with its own optimiser, whose gradient of the table is as
large as the table; with the fused Adam of torch on its differentiable loss; and, for the table, with what a user of
it would have to write by hand, an `nn.Embedding` of sparse gradient under `SparseAdam`. A step of lowerbound's is that
of its training loop: norm of the gradient, steps left out where it is not finite, rows stepped one by one.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, TraceMeanField_ELBO
from pyro.optim import Adam
from torch import Tensor, nn

from _harness import alternately, paired_ratio, record
from lowerbound.core import (
    AnalyticELBO,
    Batch,
    Bernoulli,
    Gaussian,
    Latent,
    Pathwise,
    Table,
    observed,
    rows,
    standard_normal,
    total,
)
from lowerbound.run.settings import Settings
from lowerbound.training.optimiser import Optimiser

LATENT, WIDTH, PIXELS, LR = 50, 400, 784, 1e-3
ROUNDS, SECONDS, PICTURES, BATCH = 5, 0.15, 4096, 128
SIZES = [(1_000, 128), (60_000, 1), (60_000, 32), (60_000, 128), (60_000, 1024), (250_000, 128), (1_000_000, 128)]
BATCHES = [32, 128, 1024]

Step = Callable[[Tensor, Tensor], object]
"""Pictures (B, 784) and their row numbers (B,) -> one step."""


def decoder() -> nn.Module:
    return nn.Sequential(nn.Linear(LATENT, WIDTH), nn.Softplus(), nn.Linear(WIDTH, PIXELS))


def encoder() -> nn.Module:
    return nn.Sequential(nn.Linear(PIXELS, WIDTH), nn.Softplus(), nn.Linear(WIDTH, 2 * LATENT))


def ours(count: int | None) -> Step:
    """A step of lowerbound's, with a table of so many rows or, for None, an encoder."""
    amortised = Gaussian(nn.Sequential(encoder(), nn.Unflatten(-1, (LATENT, 2))))
    posterior = amortised if count is None else Table(count, LATENT)
    model = Latent(standard_normal(LATENT), posterior, Bernoulli(decoder()), observed if count is None else rows)
    tables = [posterior] if isinstance(posterior, Table) else []
    optimiser, objective = Optimiser(model.parameters(), Settings(lr=LR), tables), AnalyticELBO()

    def step(x: Tensor, index: Tensor) -> object:
        total(objective(model.trace(Batch({"x": x}, index=index), 1, Pathwise()))).backward()
        return optimiser.step(LR)

    return step


class Guided(nn.Module):
    """Pyro's model and guide over shared networks; `rows` gives (μ, log σ²) of the guide."""

    def __init__(self, rows: nn.Module | None) -> None:
        super().__init__()
        self.decoder, self.rows = decoder(), rows

    def model(self, x: Tensor, given: Tensor) -> None:
        """z ~ N(0, I), x ~ Bernoulli(decoder(z))."""
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), LATENT), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z)).to_event(1), obs=x)

    def guide(self, x: Tensor, given: Tensor) -> None:
        """z ~ N(μ, σ²) of the datum."""
        loc, log_variance = self.read(given).chunk(2, -1)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1))

    def read(self, given: Tensor) -> Tensor:
        """The rows, of the module or of a parameter of Pyro's own."""
        if self.rows is None:
            return pyro.param("rows")[given]
        pyro.module("rows", self.rows)
        return self.rows(given)


def given_to(count: int | None, x: Tensor, index: Tensor) -> Tensor:
    return x if count is None else index


def pyro_step(count: int | None) -> Step:
    """Pyro's own way: `SVI.step` and its optimiser. The store of parameters is this arm's own."""
    store = own_store(count)
    guided = Guided(encoder() if count is None else None)
    svi = SVI(guided.model, guided.guide, Adam({"lr": LR}), TraceMeanField_ELBO())

    def step(x: Tensor, index: Tensor) -> object:
        with store_of(store):
            return svi.step(x, given_to(count, x, index))

    return step


def pyro_torch_step(count: int | None) -> Step:
    """The loss of Pyro, torch's fused Adam."""
    store = own_store(count)
    guided = Guided(encoder() if count is None else None)
    elbo, found = TraceMeanField_ELBO(), []

    def step(x: Tensor, index: Tensor) -> object:
        with store_of(store):
            loss = elbo.differentiable_loss(guided.model, guided.guide, x, given_to(count, x, index))
        loss.backward()
        if not found:
            table = [] if count is None else [store["params"]["rows"]]
            found.append(torch.optim.Adam([*guided.parameters(), *table], LR, fused=True))
        found[0].step()
        found[0].zero_grad()
        return loss

    return step


def pyro_sparse_step(count: int) -> Step:
    """The loss of Pyro over an embedding of sparse gradient, stepped by `SparseAdam`; the weights by the fused Adam."""
    guided = Guided(nn.Embedding.from_pretrained(torch.zeros(count, 2 * LATENT), freeze=False, sparse=True))
    elbo, store = TraceMeanField_ELBO(), own_store(None)
    adams = [
        torch.optim.Adam(guided.decoder.parameters(), LR, fused=True),
        torch.optim.SparseAdam(guided.rows.parameters(), LR),
    ]

    def step(x: Tensor, index: Tensor) -> object:
        with store_of(store):
            loss = elbo.differentiable_loss(guided.model, guided.guide, x, index)
        loss.backward()
        for adam in adams:
            adam.step()
            adam.zero_grad()
        return loss

    return step


def own_store(count: int | None) -> dict[str, Any]:
    """A store of parameters by itself, with a table of so many rows in it."""
    pyro.clear_param_store()
    if count is not None:
        pyro.param("rows", torch.zeros(count, 2 * LATENT))
    state: dict[str, Any] = pyro.get_param_store().get_state()
    pyro.clear_param_store()
    return state


class store_of:  # noqa: N801 - a context
    """Pyro's global store holding these parameters and what is added to them for a while."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __enter__(self) -> None:
        store = pyro.get_param_store()
        store._params, store._constraints = self.state["params"], self.state["constraints"]
        store._param_to_name = {parameter: name for name, parameter in store._params.items()}

    def __exit__(self, *_: object) -> None:
        pyro.clear_param_store()


def rate(step: Step, count: int | None, batch: int, x: Tensor) -> float:
    """Steps a second, over batches drawn beforehand."""
    drawn = [torch.randint(count or len(x), (batch,)).unique() for _ in range(50)]
    start, done = time.perf_counter(), 0
    while done < 3 or time.perf_counter() - start < SECONDS:
        index = drawn[done % len(drawn)]
        step(x[index % len(x)], index)
        done += 1
    return done / (time.perf_counter() - start)


def compared(count: int | None, batch: int, x: Tensor) -> dict[str, Any]:
    """One row of the table."""
    steps: dict[str, Step] = {"lowerbound": ours(count), "pyro": pyro_step(count), "fused": pyro_torch_step(count)}
    if count is not None:
        steps["sparse"] = pyro_sparse_step(count)
    for step in steps.values():
        rate(step, count, batch, x)
    rates = alternately({name: (lambda s=s: rate(s, count, batch, x)) for name, s in steps.items()}, ROUNDS)
    faster = {name: paired_ratio(rates["lowerbound"], each) for name, each in rates.items()}
    row = {
        "guide": "encoder" if count is None else f"table of {count:,} rows",
        "batch": batch,
        "lowerbound, steps a second (median)": round(statistics.median(rates["lowerbound"])),
        "Pyro's SVI.step": round(statistics.median(rates["pyro"]), 1),
        "faster than that by": round(faster["pyro"], 2),
        "than Pyro's loss with torch's fused Adam by": round(faster["fused"], 2),
        "than Pyro's loss with a sparse table by hand by": round(faster["sparse"], 2) if count else None,
    }
    steps.clear()
    gc.collect()
    return row


def slowed(x: Tensor) -> float:
    """How many times longer a step takes with a thousand times the rows."""
    steps = {count: ours(count) for count in (1_000, 1_000_000)}
    work = {str(count): (lambda c=count, s=step: rate(s, c, BATCH, x)) for count, step in steps.items()}
    alternately(work, 1)
    few, many = alternately(work, 2 * ROUNDS).values()
    return paired_ratio(few, many)


def main() -> None:
    torch.manual_seed(0)
    pyro.enable_validation(False)
    dist.enable_validation(False)
    x = (torch.rand(PICTURES, PIXELS) < 0.3).float()
    cases: list[tuple[int | None, int]] = [*SIZES, *((None, batch) for batch in BATCHES)]
    found = [compared(count, batch, x) for count, batch in cases]
    slower = slowed(x)
    notes = (
        f"{torch.get_num_threads()} threads each; {ROUNDS} rounds in turn of {SECONDS} s or three steps; ratios are "
        "medians of paired rounds. Pyro's dense forms step every row of the table each time, lowerbound and the "
        "form by hand those of the batch. Side by side, a step of lowerbound's with a table of 1,000,000 rows takes "
        f"{slower:.2f} times one with 1,000, batch {BATCH}."
    )
    record("svi", "SVI beside Pyro", "python bench/svi.py", found, notes)


if __name__ == "__main__":
    main()
