"""Latents from a finite codebook: quantisers, the point posterior over their codes, and a prior mass over the codes.

A datum's z is a grid of vectors, each one of the codebook's, so that a decoder reads it as it is; which codes they are
can be told from the vectors alone. The posterior puts all mass on one z out of finitely many. That is a probability
mass and not a density, log q(z|x) = 0, so log p(x|z) + log p(z) is a lower bound on log p(x) with nothing left out.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, final

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from lowerbound.core.certain import Certain
from lowerbound.core.conditionals import Conditional
from lowerbound.core.distributions import Shape, widened
from lowerbound.core.estimators import summed, with_value
from lowerbound.core.latent import Trace, named
from lowerbound.core.meters import Meter
from lowerbound.core.objectives import Objective
from lowerbound.distributed import World
from lowerbound.precision import exact_products

DECAY = 0.95
"""Of the moving averages over batches that a learned codebook follows. The papers have 0.99; with a shorter memory a
codebook keeps up with an encoder that learns fast, and more of it is used."""

DEAD_BELOW = 1 / 32
"""A code that is used less than this share of the mean use is dead."""

MOST_LEVELS = 8
"""Levels of a dimension in finite scalar quantisation, unless one dimension is all there is."""


class Quantiser(nn.Module, ABC):
    """A finite set of vectors ("codes") and the map from any vector to one of them.

    codes: how many there are. width: numbers in each.
    """

    codes: int
    width: int

    @abstractmethod
    def forward(self, h: Tensor) -> Tensor:
        """The code for each vector h (..., width): exactly that code, with the gradient passed straight to h.

        Yoshua Bengio, Nicholas Léonard and Aaron Courville, "Estimating or propagating gradients through stochastic
        neurons for conditional computation", 2013.
        """

    @abstractmethod
    def index(self, z: Tensor) -> Tensor:
        """Which code lies nearest, (..., width) -> (...) of 0 … codes−1."""

    @abstractmethod
    def vectors(self, index: Tensor) -> Tensor:
        """The codes of these numbers, (...) -> (..., width)."""


@final
class EMACodebook(Quantiser):
    """Codes that follow the vectors they stand for: no gradient, and nothing for an optimiser to tune.

    For each code, with n its vectors in a batch and S their sum, N ← γN + (1−γ)n and e ← e + (1−γ)(S − n·e)/N: online
    k-means. A code whose N falls below 1/32 of the mean is dead and is put on a vector of the batch; since all start
    with N = 0, the first batch places them. Vectors that are not finite are left out, so a step that the optimiser
    skips does no harm. Processes add up their batches, and keep one codebook.

    Aäron van den Oord, Oriol Vinyals and Koray Kavukcuoglu, "Neural discrete representation learning", 2017,
    appendix A.1; Ali Razavi, Aäron van den Oord and Oriol Vinyals, "Generating diverse high-fidelity images with
    VQ-VAE-2", 2019.

    >>> book = EMACodebook(codes=4, width=2).eval()
    >>> book.index(book.codebook).tolist()
    [0, 1, 2, 3]
    """

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.codes, self.width = codes, width
        self.codebook: Tensor
        self.usage: Tensor
        self.register_buffer("codebook", torch.randn(codes, width))
        self.register_buffer("usage", torch.zeros(codes))

    def forward(self, h: Tensor) -> Tensor:
        index = self.index(h)
        if self.training:
            self.follow(h.detach().reshape(-1, self.width), index.reshape(-1))
        return with_value(self.vectors(index), h)

    def index(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False), exact_products(), torch.no_grad():
            # argmin ‖z − e‖² = argmax z·e − ½‖e‖². On a CPU `max` takes half of `argmax`'s time.
            nearness = z.reshape(-1, self.width) @ self.codebook.T - 0.5 * self.codebook.square().sum(-1)
            return nearness.max(-1).indices.reshape(z.shape[:-1])

    def vectors(self, index: Tensor) -> Tensor:
        return self.codebook[index]

    @torch.no_grad()
    def follow(self, h: Tensor, index: Tensor) -> None:
        """Move the codes towards the vectors h (N, width) that were assigned to them, and revive the dead."""
        with torch.autocast(h.device.type, enabled=False), exact_products():
            counts, sums, spare = self._statistics(h, index)
        usage = torch.lerp(self.usage, counts, 1 - DECAY)
        step = (1 - DECAY) / usage.clamp_min(torch.finfo(usage.dtype).tiny)
        moved = self.codebook + step[:, None] * (sums - counts[:, None] * self.codebook)
        # A code in use in this very batch is left where it is: the batch's z must not turn into another vector.
        dead = (usage < DEAD_BELOW * usage.mean()) & (counts == 0)
        self.codebook.copy_(torch.where(dead[:, None], spare, moved))
        self.usage.copy_(torch.where(dead, usage.mean(), usage))

    def _statistics(self, h: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each code's count, the sum of its vectors, and some vector it could be put on, over all processes."""
        finite = h.isfinite().all(-1, keepdim=True)
        h = torch.where(finite, h, 0)
        # A product of matrices, since sums by index come in no fixed order on a GPU.
        numbers = torch.arange(self.codes, device=h.device)
        chosen = ((index[:, None] == numbers) & finite).to(h.dtype)
        world = World.joined()
        row = torch.randint(len(h), (self.codes,), device=h.device)
        drawn = torch.where(finite[row], h[row], self.codebook)
        mine = numbers % world.size == world.rank
        found = torch.cat([chosen.sum(0)[:, None], chosen.T @ h, drawn * mine[:, None]], 1)
        counts, sums, spare = world.sum(found).split([1, self.width, self.width], 1)
        return counts.squeeze(1), sums, spare


@final
class FSQ(Quantiser):
    """Finite scalar quantisation: each dimension is bounded and rounded to one of a few levels; nothing is learned.

    With L levels, u = (L−1)·(1 + tanh h)/2 is rounded, and the levels are spread over [−1, 1]. The codes are the
    product of the levels. Fabian Mentzer, David Minnen, Eirikur Agustsson and Michael Tschannen, "Finite scalar
    quantization: VQ-VAE made simple", 2023.

    >>> fsq = FSQ((3, 2))
    >>> fsq.codes, fsq(torch.tensor([[0.1, 0.1], [-9.0, -9.0]])).tolist()
    (6, [[0.0, 1.0], [-1.0, -1.0]])
    """

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.codes, self.width = math.prod(levels), len(levels)
        self.levels: Tensor
        self.place_values: Tensor
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        values = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("place_values", torch.tensor(values), persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        bounded = (self.levels - 1) * (1 + torch.tanh(h)) / 2
        return with_value(self._spread(bounded.detach().round()), self._spread(bounded))

    def index(self, z: Tensor) -> Tensor:
        level = ((z.detach() + 1) * (self.levels - 1) / 2).round().long()
        return (torch.minimum(level.clamp_min(0), self.levels - 1) * self.place_values).sum(-1)

    def vectors(self, index: Tensor) -> Tensor:
        level = index.unsqueeze(-1) // self.place_values % self.levels
        return self._spread(level.to(torch.get_default_dtype()))

    def _spread(self, level: Tensor) -> Tensor:
        return level * (2 / (self.levels - 1)) - 1


def levels_for(codes: int) -> tuple[int, ...]:
    """Levels for `FSQ` that make at most this many codes and nearly as many: up to 8 each, as equal as they can be.

    >>> levels_for(512), levels_for(1000), levels_for(2)
    ((8, 8, 8), (8, 5, 5, 5), (2,))
    """
    dims = max(1, math.ceil(math.log(codes, MOST_LEVELS) - 1e-9))
    levels = [max(2, math.floor(codes ** (1 / dims) + 1e-9))] * dims
    for i in range(dims):
        while levels[i] < MOST_LEVELS and math.prod(levels) // levels[i] * (levels[i] + 1) <= codes:
            levels[i] += 1
    return tuple(levels)


@final
class AmongCodes(constraints.Constraint):
    """Vectors of a codebook: finitely many, so probabilities are masses."""

    is_discrete = True

    def __init__(self, event_dim: int) -> None:
        self._event_dim = event_dim

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self._event_dim

    def check(self, value: Tensor) -> Tensor:
        return value.isfinite().flatten(-self._event_dim).all(-1)


@final
class QuantisedPoint(Certain):
    """All mass on one grid of codes: log q(z) = 0 there and −∞ at any other.

    value: (*batch, *event), of codes. raw: the same shape, what was quantised. event_dims: of the grid and the vector.
    Unlike a point mass on a continuous variable it has an entropy, 0, and a KL to a prior mass, −log p(z).
    """

    def __init__(self, value: Tensor, raw: Tensor, event_dims: int) -> None:
        self.value, self.raw = value, raw
        split = value.dim() - event_dims
        super().__init__(value.shape[:split], value.shape[split:], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return AmongCodes(len(self.event_shape))

    def expand(self, batch_shape: Shape, _instance: Any = None) -> QuantisedPoint:
        shape = (*batch_shape, *self.event_shape)
        return QuantisedPoint(self.value.expand(shape), self.raw.expand(shape), len(self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        here = (value == self.value).flatten(-len(self.event_shape)).all(-1)
        return torch.where(here, 0.0, -math.inf).to(self.value.dtype)

    def entropy(self) -> Tensor:
        return self.value.new_zeros(self.batch_shape)

    @property
    def error(self) -> Tensor:
        """‖raw − value‖², with no gradient to the codes; (*batch,)."""
        return (self.raw - self.value.detach()).square().flatten(-len(self.event_shape)).sum(-1)


@final
class Quantised(Conditional):
    """All mass on the quantised output of a network, which gives (..., *event) with the quantiser's width last."""

    def __init__(self, net: nn.Module, quantiser: Quantiser, event_dims: int) -> None:
        super().__init__()
        self.net, self.quantiser, self.event_dims = net, quantiser, event_dims

    def forward(self, *given: object) -> Distribution:
        raw = widened(self.net(*(g for g in given if g is not None)))
        return QuantisedPoint(self.quantiser(raw), raw, self.event_dims)


class Causal(Protocol):
    """A network that knows what comes next; see `nets.autoregressive`."""

    @property
    def places(self) -> int:
        """The length of a row of symbols."""

    def __call__(self, symbols: Tensor) -> Tensor:
        """Symbols (..., P) to logits (..., P, symbols), each place's from the symbols before it alone."""

    def next(self, last: Tensor | None, kept: Any, rows: int) -> tuple[Tensor, Any]:
        """Logits (rows, symbols) of the next place, and what to keep for the one after."""


@final
class AutoregressiveCodes(Distribution):
    """A mass over grids of codes, row by row: log p(z) = Σ_i log p(k_i | k_1 … k_{i−1}), k_i the code at place i.

    z (..., *grid, width) goes in and comes out as vectors. Indices carry no gradient, so log p(z) trains the network
    and neither what made z nor the codebook. A vector between codes counts as the code nearest to it.

    index, vectors: the quantiser's.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        net: Causal,
        grid: tuple[int, ...],
        width: int,
        index: Callable[[Tensor], Tensor],
        vectors: Callable[[Tensor], Tensor],
    ) -> None:
        self.net, self.grid, self.index, self.vectors = net, grid, index, vectors
        super().__init__(Size(), Size((*grid, width)), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return AmongCodes(len(self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        index = self.index(value).flatten(-len(self.grid))
        logits = widened(self.net(index))
        return -F.cross_entropy(logits.flatten(0, -2), index.flatten(), reduction="none").reshape(index.shape).sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        index = drawn_codes(self.net, math.prod(sample_shape))
        return self.vectors(index).reshape(self._extended_shape(sample_shape))


def drawn_codes(net: Causal, rows: int) -> Tensor:
    """Codes (rows, P) drawn one place after another."""
    last: Tensor | None = None
    kept: Any = []
    row = []
    for _ in range(net.places):
        logits, kept = net.next(last, kept, rows)
        last = torch.multinomial(logits.softmax(-1), 1).squeeze(-1)
        row.append(last)
    return torch.stack(row, 1)


@final
class CodePrior(Conditional):
    """`AutoregressiveCodes` over a quantiser's codes, learned beside the model that makes them.

    The quantiser belongs to the posterior; only its two maps are held here, so its buffers are kept and saved once.
    """

    def __init__(self, net: nn.Module, grid: tuple[int, ...], quantiser: Quantiser) -> None:
        super().__init__()
        self.net, self.grid, self.width = net, grid, quantiser.width
        self.index, self.vectors = quantiser.index, quantiser.vectors

    def forward(self, *given: object) -> Distribution:
        return AutoregressiveCodes(self.net, self.grid, self.width, self.index, self.vectors)  # type: ignore[arg-type]


@final
class Commitment(Objective):
    """‖h − e‖² of each datum, summed over its vectors: what keeps an encoder near the codes that are chosen for it.

    No gradient to the codes. van den Oord et al., "Neural discrete representation learning", 2017, who weigh it by ¼
    and say that the weight depends on the scale of the reconstruction error; beside nats a larger one serves better.
    """

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        errors = [q.error for q in named(trace.q).values() if isinstance(q, QuantisedPoint)]
        return {"commitment": summed(errors)}


@final
class CodebookUse(Meter):
    """How much of a codebook is used, over the data.

    codes: how many there are; used: the share of them that any datum has. perplexity: exp of the entropy of the codes'
    frequencies, `codes` if all are used alike. bits_per_code: −log2 p(z) a place; log2 of the perplexity is what a
    prior that knew the frequencies alone would need.
    """

    def __init__(self, quantiser: Quantiser) -> None:
        self.quantiser = quantiser
        self.counts = torch.zeros(quantiser.codes, dtype=torch.int64)
        self.nats, self.places = 0.0, 0

    def add(self, trace: Trace) -> None:
        index = self.quantiser.index(trace.named_z["z"][0])
        self.counts += torch.bincount(index.flatten(), minlength=self.quantiser.codes).cpu()
        self.nats -= float(trace.log_p[0].double().sum())
        self.places += index.numel()

    def figures(self) -> dict[str, Any]:
        share = self.counts.double() / self.counts.sum()
        entropy = -float(torch.special.xlogy(share, share).sum())
        return {
            "codebook": {
                "codes": self.quantiser.codes,
                "used": float((self.counts > 0).double().mean()),
                "perplexity": math.exp(entropy),
                "bits_per_code": self.nats / self.places / math.log(2),
            }
        }
