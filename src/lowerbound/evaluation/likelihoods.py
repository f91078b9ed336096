"""log p(x) of each row by every method, and the figures of each row that an evaluation averages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lowerbound.core import Batch, Marginal
from lowerbound.core.marginal import joined
from lowerbound.evaluation import codes, perdatum, rawdata
from lowerbound.evaluation.annealing import Walk
from lowerbound.evaluation.annealing import annealed as walked
from lowerbound.evaluation.asking import Asking
from lowerbound.evaluation.perdatum import Particles
from lowerbound.evaluation.rawdata import Array, Values
from lowerbound.evaluation.refining import refined_marginal
from lowerbound.evaluation.watching import Watch, watched

ANNEALED = ("log_p", "stderr", "ess", "acceptance")


def marginal(asking: Asking, x: Values, particles: Particles, seed: int, watch: Watch | None) -> dict[str, Array]:
    """By importance sampling from the encoder's posterior; columns of `core.Marginal`, and `believed`."""
    model = asking.setup.model
    with asking.drawing(seed, "log_prob"):
        return _believed(asking, lambda seen: perdatum.marginal(model, seen, particles), asking.bounded(x, seed, watch))


def refined(asking: Asking, x: Values, particles: Particles, seed: int, watch: Watch | None) -> dict[str, Array]:
    """The same, from a posterior fitted to each row by itself."""
    model = asking.setup.model
    with asking.drawing(seed, "refined"):
        return _believed(asking, lambda seen: refined_marginal(model, seen, particles), asking.bounded(x, seed, watch))


def annealed(asking: Asking, x: Values, walk: Walk, seed: int, watch: Watch | None) -> dict[str, Array]:
    """By annealed importance sampling; columns of `core.Annealed`."""
    walk.check()
    with asking.drawing(seed, "annealed"):
        every = [(walked(asking.setup.model, seen, walk), seen) for seen in asking.bounded(x, seed, watch)]
    found = {name: torch.cat([getattr(part, name) for part, _ in every]) for name in ANNEALED}
    return _columns(asking, found, [seen for _, seen in every])


def volumes(asking: Asking, x: Values) -> Tensor:
    """What is added to log p of each row as the model sees it for that of the row as given, (N,) nats."""
    return torch.cat([asking.setup.volumes(batch) for batch in asking.batches(x)])


def figures(
    asking: Asking, x: Values, particles: Particles, seed: int = 0, watch: Watch | None = None
) -> dict[str, Tensor]:
    """The figures of each datum that `evaluate` averages, (N,) each."""
    with asking.drawing(seed, "figures"):
        parts = [_figures_of(asking, batch, particles) for batch in watched(asking.batches(x), watch)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _figures_of(asking: Asking, stored: Batch, particles: Particles) -> dict[str, Tensor]:
    setup, raw = asking.setup, stored.to(asking.device)
    trace = perdatum.traced(setup, asking.seen(raw), particles)
    px = setup.model.decode(codes.means(setup.model.infer(trace.batch)), trace.batch.c)
    terms = {**perdatum.terms(setup.model, trace, particles), "volume": setup.volumes(trace.batch)}
    return {**terms, **perdatum.error(setup, asking.spec, replace(raw, mask=trace.batch.mask), px)}


def _believed(asking: Asking, measure: Callable[[Batch], Marginal], batches: Iterable[Batch]) -> dict[str, Array]:
    every = [(measure(seen), seen) for seen in batches]
    whole = joined([found for found, _ in every])
    return _columns(asking, {**whole._asdict(), "believed": whole.believed}, [seen for _, seen in every])


def _columns(asking: Asking, found: Mapping[str, Tensor], batches: Sequence[Batch]) -> dict[str, Array]:
    """Figures of each row as arrays, log p in nats of the data as given: of a row that is told in part, of the rest."""
    given = {**found, "log_p": found["log_p"] + torch.cat([asking.setup.volumes(seen) for seen in batches])}
    return {name: rawdata.to_array(values) for name, values in given.items()}
