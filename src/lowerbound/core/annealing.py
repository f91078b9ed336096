"""log p(x) by annealed importance sampling, and a sandwich of it by running the same walk backwards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from lowerbound.core.batch import Batch
from lowerbound.core.certain import is_singular
from lowerbound.core.chain import Chain
from lowerbound.core.controls import no_control
from lowerbound.core.estimators import Score
from lowerbound.core.given import scored
from lowerbound.core.hmc import State, state, transition
from lowerbound.core.ladder import Ladder
from lowerbound.core.latent import Latent, Model, named, settled
from lowerbound.core.marginal import DECODES_PER_PASS, summarise

# The share of trajectories to be accepted, and how fast a step that is tuned moves towards it.
ACCEPTANCE, RATE = 0.65, 0.5
FIRST_STEP = 0.5
TUNING_SHARE, SHORTEST_TUNING = 5, 20
SCALE_DRAWS = 64


@final
class Annealed(NamedTuple):
    """An estimate of log p(x) for each datum, all (B,); see `Marginal`, whose particles are here the chains.

    acceptance: the share of Hamiltonian trajectories accepted.
    """

    log_p: Tensor
    stderr: Tensor
    ess: Tensor
    khat: Tensor
    particles: Tensor
    acceptance: Tensor


@final
class Sandwich(NamedTuple):
    """Two estimates of log p(x) for each datum, all (B,): one too low in expectation, one too high.

    Each holds but for chance: a datum's lower may come out above its upper. Their means over many data do not, and the
    difference of those is a bound on the error of both.
    """

    lower: Tensor
    upper: Tensor
    acceptance: Tensor


@final
class Schedule(NamedTuple):
    """The walk's inverse temperatures (T+1,), 0 to 1, the leapfrog step at each (T+1, B), and the scale of z (B, D)."""

    betas: Tensor
    steps: Tensor
    scale: Tensor

    def backwards(self) -> Schedule:
        """From 1 to 0."""
        return Schedule(self.betas.flip(0), self.steps.flip(0), self.scale)


@final
class Path:
    """Densities of z in geometric steps from the posterior to the joint, f_β ∝ q(z|x)^(1−β) p(x,z)^β.

    z is laid out flat, (K, B, D), all latents in a row.
    """

    @torch.no_grad()
    def __init__(self, model: Model, batch: Batch) -> None:
        self.model, self.batch, self.shapes = settled(model, batch), batch, _event_shapes(model, batch)

    def terms(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log q(z|x) and log p(x, z), (K, B) each."""
        trace = scored(self.model, self.batch, self._apart(z))
        return trace.log_q, trace.log_px + trace.log_p

    @torch.no_grad()
    def draw(self, chains: int) -> Tensor:
        """z ~ q(z|x), (K, B, D)."""
        return flat(self.model.trace(self.batch, chains, Score(no_control)).z)

    def _apart(self, z: Tensor) -> dict[str, Tensor]:
        parts = z.split([shape.numel() for shape in self.shapes.values()], -1)
        return {name: part.unflatten(-1, shape) for (name, shape), part in zip(self.shapes.items(), parts)}


def flat(z: Tensor | Mapping[str, Tensor]) -> Tensor:
    """All latents (K, B, *event) in a row, (K, B, D)."""
    return torch.cat([each.flatten(2) for each in named(z).values()], -1)


def ais(
    model: Model,
    batch: Batch,
    *,
    steps: int = 200,
    chains: int = 16,
    leapfrogs: int = 2,
    decodes: int = DECODES_PER_PASS,
) -> Annealed:
    """log p(x) of each datum by annealed importance sampling, whose chains move by Hamiltonian Monte Carlo.

    The weights' mean is p(x) exactly, so log_p is in expectation a lower bound, which rises with `steps`: intermediate
    densities, each left by one trajectory of `leapfrogs` gradients. The walk begins at the posterior q(z|x); of
    `uninformed(model)` it begins at the prior. Step sizes are tuned towards an acceptance of
    65 % on chains of their own, a fifth as long, and then kept: tuned on the way they would bias the weights.

    Radford M. Neal, "Annealed importance sampling", 2001; Yuhuai Wu, Yuri Burda, Ruslan Salakhutdinov and Roger
    Grosse, "On the quantitative analysis of decoder-based generative models", 2017.

    Raises:
        ValueError: a latent that is not a vector of real numbers with a density.
    """
    size = max(1, decodes // chains)
    parts = [_annealed(Path(model, batch[i : i + size]), steps, chains, leapfrogs) for i in range(0, batch.size, size)]
    return Annealed(*(torch.cat(field) for field in zip(*parts)))


def sandwich(
    model: Model,
    batch: Batch,
    z: Tensor | Mapping[str, Tensor],
    *,
    steps: int = 200,
    chains: int = 16,
    leapfrogs: int = 2,
    decodes: int = DECODES_PER_PASS,
) -> Sandwich:
    """A stochastic lower and upper bound on log p(x) of data that the model made from z (B, *event) itself.

    Such a z is an exact draw of the posterior p(z|x), from which the annealing can be run backwards: the weights' mean
    is then 1/p(x). Roger B. Grosse, Zoubin Ghahramani and Ryan P. Adams, "Sandwiching the marginal likelihood using
    bidirectional Monte Carlo", 2015.
    """
    size = max(1, decodes // chains)
    codes = flat({name: each.unsqueeze(0) for name, each in named(z).items()})
    parts = [
        _sandwiched(Path(model, batch[i : i + size]), codes[:, i : i + size], steps, chains, leapfrogs)
        for i in range(0, batch.size, size)
    ]
    return Sandwich(*(torch.cat(field) for field in zip(*parts)))


@torch.no_grad()
def simulated(model: Latent | Ladder | Chain, n: int, c: Tensor | None = None) -> tuple[Batch, Any]:
    """n data that the model made, x ~ p(x|z), and the z ~ p(z) that it made them from, (n, *event), or by name."""
    z: Any = model.imagine(n, c)
    return Batch({name: px.sample() for name, px in model.decode(z, c).items()}, c), z


def inverse_temperatures(steps: int, like: Tensor) -> Tensor:
    """(T+1,) from 0 to 1, a little closer together at the ends, where the densities change fastest.

    >>> inverse_temperatures(2, torch.zeros(()))
    tensor([0.0000, 0.5000, 1.0000])
    """
    sigmoid = torch.linspace(-2, 2, steps + 1, dtype=like.dtype, device=like.device).sigmoid()
    return (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])


def _annealed(path: Path, steps: int, chains: int, leapfrogs: int) -> Annealed:
    log_w, acceptance = walked(path, path.draw(chains), tuned(path, steps, chains, leapfrogs), leapfrogs)
    return Annealed(*summarise(log_w), acceptance)


def _sandwiched(path: Path, z: Tensor, steps: int, chains: int, leapfrogs: int) -> Sandwich:
    schedule = tuned(path, steps, chains, leapfrogs)
    up, acceptance = walked(path, path.draw(chains), schedule, leapfrogs)
    down, _ = walked(path, z.expand(chains, -1, -1), schedule.backwards(), leapfrogs)
    return Sandwich(summarise(up).log_p, -summarise(down).log_p, acceptance)


def walked(path: Path, z: Tensor, schedule: Schedule, leapfrogs: int) -> tuple[Tensor, Tensor]:
    """Log weights (K, B) of chains from z along the schedule, in either direction; and the acceptance (B,)."""
    here = state(path.terms, z)
    log_w, accepted = torch.zeros_like(here.values[0]), torch.zeros_like(here.values[0])
    for last, beta, step in zip(schedule.betas, schedule.betas[1:], schedule.steps[1:]):
        log_w += (beta - last) * (here.values[1] - here.values[0])
        here, accepting = _moved(path, here, beta, step[:, None] * schedule.scale, leapfrogs)
        accepted += accepting
    return log_w, accepted.mean(0) / (len(schedule.betas) - 1)


def tuned(path: Path, steps: int, chains: int, leapfrogs: int) -> Schedule:
    """A schedule whose step sizes were found on chains of their own."""
    z = path.draw(max(SCALE_DRAWS, chains))
    scale, here = z.std(0), state(path.terms, z[:chains])
    log_step, found = scale.new_full(scale.shape[:1], math.log(FIRST_STEP)), []
    short = inverse_temperatures(max(SHORTEST_TUNING, steps // TUNING_SHARE), scale)
    for beta in short:
        here, accepting = _moved(path, here, beta, log_step.exp()[:, None] * scale, leapfrogs)
        log_step = log_step + RATE * (accepting.mean(0) - ACCEPTANCE)
        found.append(log_step)
    nearest = torch.linspace(0, len(short) - 1, steps + 1).round().long()
    return Schedule(inverse_temperatures(steps, scale), torch.stack(found)[nearest].exp(), scale)


def _moved(path: Path, here: State, beta: Tensor, step: Tensor, leapfrogs: int) -> tuple[State, Tensor]:
    return transition(path.terms, here, torch.stack([1 - beta, beta]), step, leapfrogs)


def _event_shapes(model: Model, batch: Batch) -> dict[str, torch.Size]:
    q = named(model.infer(batch[:1]))
    for each in q.values():
        _require_density(each)
    return {name: each.event_shape for name, each in q.items()}


def _require_density(q: Distribution) -> None:
    if is_singular(q) or not _is_unbounded(q):
        raise ValueError(
            "annealing moves z along gradients of its densities: it needs latents that are vectors of real numbers, "
            "whose posterior is no point"
        )


def _is_unbounded(q: Distribution) -> bool:
    support = q.support
    while isinstance(support, type(constraints.real_vector)):
        support = support.base_constraint
    return support is constraints.real
