"""Completion: what is hidden of a datum, drawn several times given the rest, and how probable it is given the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from lowerbound.arguments import Count, conformed
from lowerbound.core import Batch, Enumerate, Latent, Marginal, Trace, log_marginal, posed, refined, summarise
from lowerbound.core.autoregressive import Written
from lowerbound.core.gibbs import Rule, always, metropolis, start, walked
from lowerbound.core.latent import Model
from lowerbound.core.observation import observed_log_prob
from lowerbound.core.refinement import coordinates, richest
from lowerbound.data.masks import told
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.errors import InputError
from lowerbound.evaluation import imputation
from lowerbound.evaluation.annealing import refusals
from lowerbound.evaluation.asking import Asking
from lowerbound.evaluation.imputation import VALUES_HELD, of_trace, unweighed, weights
from lowerbound.evaluation.rawdata import Values
from lowerbound.evaluation.watching import Watch, watched
from lowerbound.recipes.registry import Setup

Method = Literal["importance", "refined", "gibbs", "metropolis"]
"""Whence z is drawn: from the encoder's q(z | x_observed), weighed; from one fitted to each datum's observed part,
weighed; or by a chain that goes on from there, or where none can be fitted from the first: pseudo-Gibbs or Metropolis
within Gibbs."""

RULES: Mapping[str, Rule] = {"gibbs": always, "metropolis": metropolis}

STEPS, CLIMBERS = 500, 8
"""Of the climb from the encoder's posterior to the datum's own, and draws in each."""

Tensors = Mapping[str, Tensor]
Columns = dict[str, Tensor]


@final
@dataclass(frozen=True)
class Completing:
    """How data are completed.

    draws: completions of each datum. particles: draws of z, weighed, for each of them and for each likelihood. sweeps:
    of a chain.
    """

    draws: int = 5
    particles: int = 1000
    method: Method = "refined"
    sweeps: int = 100

    def check(self) -> None:
        """Refuse what is no manner."""
        conformed("method", self.method, Method)
        conformed("draws", self.draws, Count)
        for name in ("particles", "sweeps"):
            conformed(name, getattr(self, name), Count)


USUAL_COMPLETION = Completing()


@final
class Completed(NamedTuple):
    """Rows completed, one variable's or by name.

    draws: whole data, each with all that was hidden of a row drawn together. mean: the same with each hidden value at
    its mean, or its most probable code. log_p: of each draw, by the name of an estimate (M, N); see `log_conditional`.
    truth: the same of what was hidden, (N,), None where that is not known. ess, khat: (N,), the effective sample size
    of the particles that were drawn from, and the Pareto k̂ of their weights; above 0.7, distrust the row.
    """

    draws: Any
    mean: Any
    log_p: dict[str, Any]
    truth: dict[str, Any] | None
    ess: Any
    khat: Any


@final
class Part(NamedTuple):
    """Data as a model sees them, whole, with what is observed of them; and the model that it is asked of."""

    setup: Setup
    seen: Batch
    observed: Tensors

    @property
    def hidden(self) -> dict[str, Tensor]:
        """name -> (B, *event), True where a value is known but not observed."""
        return {name: ~each & _known(self.seen, name) for name, each in self.observed.items()}

    @property
    def shown(self) -> dict[str, Tensor]:
        """name -> (B, *event), True where a value is known and observed."""
        return {name: each & _known(self.seen, name) for name, each in self.observed.items()}

    def of(self, x: Tensors) -> Part:
        """The same with other values in place of what is hidden."""
        whole = {name: torch.where(each, self.seen.x[name], x[name]) for name, each in self.observed.items()}
        return self._replace(seen=replace(self.seen, x=whole, mask=None))


def inferring(part: Part, method: Method) -> tuple[Model, Batch]:
    """A model and a batch whose traces are weighed by what is observed alone.

    Of a model of the hidden given the observed, z is drawn from its own p(z | x_observed), and all weigh alike.
    """
    model = part.setup.model
    if part.setup.hiding is not None:
        return unweighed(part.setup, conditioned(part))
    batch = replace(part.seen, mask=part.shown)
    exact = isinstance(part.setup.estimator, Enumerate)  # every z is summed over, and none drawn
    plain = exact or method == "importance" or (method in RULES and not _fits(model, batch))
    return (model, batch) if plain else fitted_to(model, batch)


def _fits(model: Model, batch: Batch) -> bool:
    """Whether a posterior can be fitted to each datum: where there is one latent, and q is Gaussian."""
    if not isinstance(model, Latent):
        return False
    try:
        coordinates(model.infer(batch[:1]))
    except ValueError:
        return False
    return True


def conditioned(part: Part) -> Batch:
    """The data as a model of what is hidden of one variable is to see them."""
    ((name, observed),) = part.observed.items()
    return told(part.seen, name, observed)


def fitted_to(model: Model, batch: Batch) -> tuple[Model, Batch]:
    """The model with the best Gaussian found for each datum of the batch for its posterior."""
    if not isinstance(model, Latent):
        raise InputError(
            "a posterior is fitted where there is one latent, and this model has several; use the method metropolis"
        )
    with refusals("complete takes other models with the method metropolis"):
        found = refined(model, batch, richest(model.infer(batch)), steps=STEPS, particles=CLIMBERS)
    return posed(model, batch, found.q)


def log_conditional(part: Part, manner: Completing) -> Columns:
    """log p(x_hidden | x_observed) of each datum, (B,) nats of the data as given, by several estimates.

    Of a model made for it, log_p is by importance sampling from q(z | x_observed, x_hidden), in expectation a lower
    bound, with its stderr and k̂. Of any other it is the difference of two, each of them a lower bound of its own:

        log p(x_hidden | x_observed) = log p(x) − log p(x_observed)          whole, part

    The difference is a bound on nothing: it is too high by what `part` lacks, which is much where an encoder that never
    saw a datum in part is asked for z (method importance), and little where a posterior was fitted to that part
    (refined). stderr is of chance alone. by_weights is log Σ_k w_k p(x_hidden | z_k), w_k being the self-normalised
    weights of z_k given what is observed: what draws of a completion are worth. It errs to the other side, and by much
    where few z_k explain what is hidden.
    """
    return _log_conditional(part, None if part.setup.hiding else traced(part, manner), manner)


def _log_conditional(part: Part, trace: Trace | None, manner: Completing) -> Columns:
    """The same of a trace of what is observed, which several data that differ in what is hidden may share."""
    if trace is None:
        found = log_marginal(part.setup.model, conditioned(part), manner.particles)
        columns = {"log_p": found.log_p, "stderr": found.stderr, "khat": found.khat}
    else:
        columns = _difference(part, trace, manner)
    spoken_of = {"log_p": part.hidden, "by_weights": part.hidden, "part": part.shown, "whole": part.seen.mask}
    volume = {name: part.setup.volumes(replace(part.seen, mask=mask)) for name, mask in spoken_of.items()}
    return {name: each + volume.get(name, 0) for name, each in columns.items()}


def _difference(part: Part, trace: Trace, manner: Completing) -> Columns:
    """Of the whole, an encoder's own posterior is asked for z: it is what the encoder was trained for."""
    everything = part.setup.model.trace(part.seen, manner.particles, part.setup.estimator)
    whole, some = estimated(everything), estimated(trace)
    return {
        "log_p": whole.log_p - some.log_p,
        "stderr": (whole.stderr.square() + some.stderr.square()).sqrt(),
        "khat": torch.maximum(whole.khat, some.khat),
        "whole": whole.log_p,
        "whole_stderr": whole.stderr,
        "part": some.log_p,
        "part_stderr": some.stderr,
        **by_weights(trace, part),
    }


def traced(part: Part, manner: Completing) -> Trace:
    """Particles weighed by what is observed.

    Raises:
        InputError: the posterior is a point, so there are no draws of z to weigh; or what is hidden is not summed over.
    """
    if not part.setup.model.trace(part.seen[:1], 1, part.setup.estimator).proper:
        raise InputError("the model encodes to points, which say nothing of what is hidden; train one such as vae")
    model, batch = inferring(part, manner.method)
    trace = model.trace(batch, manner.particles, part.setup.estimator)
    if any(isinstance(px, Written) for px in trace.px.values()):
        raise InputError(
            "what is written symbol by symbol is not summed over gaps in one pass; fill them with the verb infill (in "
            "Python: infill), or train a text-vae with decoder parallel"
        )
    return trace


def estimated(trace: Trace) -> Marginal:
    """log p of what the trace's batch shows; exact where all values of z are summed over."""
    found = summarise(weights(trace) + math.log(len(trace.log_w)))
    if not isinstance(trace.estimator, Enumerate):
        return found
    return found._replace(stderr=torch.zeros_like(found.stderr), khat=torch.full_like(found.khat, -torch.inf))


def by_weights(trace: Trace, part: Part) -> Columns:
    """log Σ_k w_k p(x_hidden | z_k) and its standard error, by the delta method."""
    hidden, x = part.hidden, part.seen.x
    explained = torch.stack([observed_log_prob(d, x[name], hidden[name]) for name, d in trace.px.items()]).sum(0)
    before = torch.log_softmax(weights(trace), 0)
    after = before + explained
    error = (torch.softmax(after, 0) - before.exp()).square().sum(0).sqrt()
    return {"by_weights": torch.logsumexp(after, 0), "by_weights_stderr": error}


def complete(
    asking: Asking,
    x: Values,
    observed: Any,
    manner: Completing = USUAL_COMPLETION,
    seed: int = 0,
    watch: Watch | None = None,
) -> Completed:
    """Rows with part of them hidden, completed several times; see `Completed`.

    observed: booleans of the rows' shape, or of one row's for all; where there are several variables, by name. What is
    under a False is used for nothing but the likelihood of the truth.

    Raises:
        InputError: a mask of another shape, a manner that is none, or a model that encodes to points.
    """
    manner.check()
    batches, done = asking.batches(x), 0
    kept = _masks(asking.spec, observed, sum(batch.size for batch in batches), asking.device)
    found = list[Completed]()
    with asking.drawing(seed, "complete"):
        for raw in watched(batches, watch):
            cut = {name: mask[done : done + raw.size] for name, mask in kept.items()}
            found += completions(asking.setup, asking.spec, raw.to(asking.device), cut, manner)
            done += raw.size
    return joined(found)


def _masks(spec: DataSpec, observed: Any, rows: int, device: torch.device) -> dict[str, Tensor]:
    """The masks of all variables, one a row; a variable that none is given for is observed."""
    given = observed if isinstance(observed, Mapping) else {spec.variables[0].name: observed}
    return {v.name: _mask(v, given.get(v.name, True), rows).to(device) for v in spec.variables}


def _mask(variable: Variable, observed: Any, rows: int) -> Tensor:
    array = np.asarray(observed)
    if array.dtype != np.bool_:
        raise InputError(f"the mask of {variable.name!r} must be of booleans, True where observed, not {array.dtype}")
    if array.shape not in ((), variable.shape, (rows, *variable.shape)):
        raise InputError(
            f"the mask of {variable.name!r} has shape {array.shape}; give one of {variable.shape} for all rows, or "
            f"one for each of the {rows:,}"
        )
    return torch.from_numpy(np.array(np.broadcast_to(array, (rows, *variable.shape))))


def completions(setup: Setup, spec: DataSpec, raw: Batch, observed: Tensors, manner: Completing) -> list[Completed]:
    """The rows of a batch of stored values completed, some at a time; tensors, and values by variable.

    observed: name -> (B, *shape), True for what is to stay. What is missing is hidden too, and where something is, what
    was hidden is not known.
    """
    size = sum(variable.size for variable in spec.variables)
    rows = max(1, VALUES_HELD // (manner.particles * size))
    whole = raw.mask is None or all(bool(mask.all()) for mask in raw.mask.values())
    cuts = [slice(first, first + rows) for first in range(0, raw.size, rows)]
    parts = (Part(setup, raw[cut], {name: each[cut] for name, each in observed.items()}) for cut in cuts)
    return [_completed(spec, part, manner, whole) for part in parts]


def _completed(spec: DataSpec, stored: Part, manner: Completing, whole: bool) -> Completed:
    setup, raw = stored.setup, stored.seen
    part = stored._replace(seen=replace(replace(setup, hiding=None).see(raw), shown=None))
    kept = replace(raw, mask=stored.shown)
    trace = traced(part, manner)
    found = of_trace(setup, spec, kept, trace, imputation.Manner(manner.particles, manner.draws))
    filled = [part.of(_viewed(setup, draw)) for draw in found.draws]
    if manner.method in RULES and setup.hiding is None:
        filled = [_walked(each, manner) for each in filled]
    weighed = None if setup.hiding else trace
    likelihoods = [_log_conditional(each, weighed, manner) for each in filled]
    truth = _log_conditional(part, weighed, manner) if whole else None
    draws = [imputation.filled(kept, _stored(each)) for each in filled]
    return Completed(_stacked(draws), found.values, _stacked(likelihoods), truth, found.ess, found.khat)


def _walked(part: Part, manner: Completing) -> Part:
    """The data as a chain leaves them that begins where they are."""
    begun = start(part.setup.model, part.seen)
    return part._replace(seen=walked(part.setup.model, begun, part.observed, manner.sweeps, RULES[manner.method]).batch)


def _viewed(setup: Setup, values: Tensors) -> dict[str, Tensor]:
    """Completed data as the model sees them; of stored values that a view gave, the view makes what they were."""
    return {name: setup.views[name](each) for name, each in values.items()}


def _stored(part: Part) -> dict[str, Tensor]:
    return {name: part.setup.views[name].inverse(each) for name, each in part.seen.x.items()}


def _known(batch: Batch, name: str) -> Tensor:
    mask = batch.mask_of(name)
    return torch.ones_like(batch.x[name], dtype=torch.bool) if mask is None else mask


def _stacked(each: Sequence[Tensors]) -> dict[str, Tensor]:
    """By name, the draws in front; of no draws, nothing."""
    return {name: torch.stack([one[name] for one in each]) for name in (each[0] if each else ())}


def joined(parts: Sequence[Completed]) -> Completed:
    """Some rows after others, as arrays; a variable alone without its name."""
    draws, log_p = (_columns([getattr(part, name) for part in parts], 1) for name in ("draws", "log_p"))
    truth = None if parts[0].truth is None else _columns([part.truth or {} for part in parts])
    ess, khat = (torch.cat([getattr(part, name) for part in parts]).cpu().numpy() for name in ("ess", "khat"))
    return Completed(_alone(draws), _alone(_columns([part.mean for part in parts])), log_p, truth, ess, khat)


def _columns(parts: Sequence[Tensors], dim: int = 0) -> dict[str, Any]:
    return {name: torch.cat([part[name] for part in parts], dim).cpu().numpy() for name in parts[0]}


def _alone(whole: dict[str, Any]) -> Any:
    return next(iter(whole.values())) if len(whole) == 1 else whole
