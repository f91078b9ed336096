"""Rows of symbols, each of which depends on those before it: scored in one pass, drawn symbol by symbol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, final

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from lowerbound.core.categorical import log_mass
from lowerbound.core.conditionals import Conditional
from lowerbound.core.distributions import Shape, widened

END, UNKNOWN = 0, 1
"""The codes of a text's end and of a symbol that is not known."""

Choice = Callable[[int, Tensor], Tensor]
"""From a place and the logits (N, V) there to the codes (N,) that it is to hold."""


class Causal(Protocol):
    """A network that tells what comes next in a row, given a vector and all that came before."""

    places: int

    def __call__(self, symbols: Tensor, given: Tensor) -> Tensor:
        """Symbols (N, P) and (N, G) to logits (N, P, V), those of a place without its symbol or later ones."""

    def begin(self, given: Tensor) -> Any:
        """What is kept before the first symbol."""

    def next(self, last: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """Logits (N, V) of the next place after the symbol `last` (N,), and what is kept then."""


@final
class Autoregressive(Conditional):
    """p(x|z,c) = Π_i p(x_i | x_1 … x_{i−1}, z, c) of rows of symbols, by a network that reads z, c and the row so far.

    word_dropout: in training, each symbol is hidden from those after it with this probability: they read that it is
    unknown, and it is scored all the same. Which are hidden is drawn whatever the row is, and for each draw d the
    p_d(x|z,c) is a density, so that E_d of a bound on log p_d is one on log E_d p_d: a bound still, if a lower one. In
    eval mode nothing is hidden.
    ends: whether a row may end before its last place, at the code `END`.

    Samuel R. Bowman et al., "Generating sentences from a continuous space", 2016, who hide words lest a network that
    reads them do without z.

    >>> from lowerbound.nets.sequence import Sizes
    >>> from lowerbound.nets.sequence_causal import GRUWriter
    >>> part = Autoregressive(GRUWriter(Sizes(symbols=9, places=7, width=4, layers=1, embedding=2), inputs=3))
    >>> d = part(torch.zeros(5, 2, 3))
    >>> d.sample().shape, d.log_prob(torch.zeros(2, 7)).shape
    (torch.Size([5, 2, 7]), torch.Size([5, 2]))
    """

    def __init__(self, net: nn.Module, word_dropout: float = 0.0, ends: bool = False) -> None:
        super().__init__()
        self.net, self.word_dropout, self.ends = net, word_dropout, ends

    def forward(self, *given: object) -> Distribution:
        told = joined([g for g in given if isinstance(g, Tensor)])
        return Written(self.net, told, self._hidden(told), self.ends)  # type: ignore[arg-type]

    def _hidden(self, told: Tensor) -> Tensor | None:
        if not (self.training and self.word_dropout):
            return None
        places: int = self.net.places  # type: ignore[assignment]
        return torch.rand(*told.shape[:-1], places, device=told.device) < self.word_dropout


def joined(given: list[Tensor]) -> Tensor:
    """Vectors (..., n) side by side, whatever their leading dimensions broadcast to."""
    lead = torch.broadcast_shapes(*(each.shape[:-1] for each in given))
    return torch.cat([each.expand(*lead, -1) for each in given], -1)


def flat(rows: Tensor) -> Tensor:
    """(..., n) to (N, n)."""
    return rows.reshape(-1, rows.shape[-1])


@final
class Written(Distribution):
    """A mass over rows of P codes: log p(x) = Σ_i log p(x_i | x_1 … x_{i−1}).

    NaN are gaps, which are not scored. Beyond a row's end a gap is nothing: what comes before it does not depend on it,
    and log p is that of the row without it. A gap before a symbol that is scored is read as the unknown symbol. Then
    log p is that of what was observed under a model which reads it so, and sums to one; it is not the marginal of p(x),
    which no single pass gives, and of which `fill` makes an unbiased estimate.

    net: what tells the next symbol. given: (*batch, G). hidden: (*batch, P), which symbols are read as unknown.

    value: (..., n) of n ≤ P; more are refused by the network.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    takes_gaps: ClassVar[bool] = True
    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(self, net: Causal, given: Tensor, hidden: Tensor | None = None, ends: bool = False) -> None:
        self.net, self.given, self.hidden, self.ends = net, given, hidden, ends
        super().__init__(given.shape[:-1], Size((net.places,)), validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Written:
        hidden = None if self.hidden is None else self.hidden.expand(*batch_shape, -1)
        return Written(self.net, self.given.expand(*batch_shape, -1), hidden, self.ends)

    def log_prob(self, value: Tensor) -> Tensor:
        wide = self.expand(torch.broadcast_shapes(value.shape[:-1], self.batch_shape))
        found: Tensor = wide._scored(value.expand(*wide.batch_shape, -1)).sum(-1)
        return found

    def _scored(self, value: Tensor) -> Tensor:
        gap = value.isnan()
        codes = torch.where(gap, UNKNOWN, value).long()
        logits = self.net(flat(self._read(codes)), flat(self.given))
        return torch.where(gap, 0, log_mass(logits, flat(codes)).reshape(codes.shape))

    def _read(self, codes: Tensor) -> Tensor:
        return codes if self.hidden is None else torch.where(self.hidden[..., : codes.shape[-1]], UNKNOWN, codes)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = Size()) -> Tensor:  # noqa: B008
        wide = self.expand((*sample_shape, *self.batch_shape))
        return wide.written(lambda place, logits: drawn(logits)).to(widened(self.given).dtype)

    @property
    def mode(self) -> Tensor:
        """The likeliest symbol at each place given those chosen before it; the likeliest row need not be this."""
        return self.written(lambda place, logits: logits.argmax(-1)).to(widened(self.given).dtype)

    @torch.no_grad()
    def fill(self, value: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (..., P) that hold what was told, their gaps drawn from left to right, and log weights (...).

        A weight has Σ_gaps p(x), the marginal of what was told, for its mean over the draws: a gap's symbol is drawn
        given what comes before it, and each symbol told counts for its probability there. Where rows may end, no end is
        put before what was told, which a row that had ended would not have; so the weight counts for the probability
        that there was none. The log of a mean of weights is, on average, a lower bound on log p(x_told|z).

        value: (..., P) codes; those not told (False) are not read.
        """
        lead = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        rows, known = (flat(each.expand(*lead, -1)) for each in (value, told))
        filling = Filling(torch.where(known, rows, END).long(), known, self.ends)
        codes = self.expand(lead).written(filling)
        return codes.to(value.dtype), filling.log_weight.reshape(lead)

    def completed(self, value: Tensor) -> Tensor:
        """Rows (..., P) with each gap (NaN) drawn given what comes before it; see `fill` for what that is worth."""
        return self.fill(value, ~value.isnan())[0]

    def filled(self, value: Tensor, shares: Tensor) -> Tensor:
        """Rows (B, P) with each gap at its likeliest symbol given what comes before it, under the weightiest particle.

        shares: (K, B), the weight of each particle; the batch shape of this is (K, B).
        """
        index = shares.argmax(0)
        given = self.given[index, torch.arange(len(index), device=index.device)]
        gap, codes = value.isnan(), value.nan_to_num().long()
        best = Written(self.net, given).written(
            lambda place, logits: torch.where(gap[:, place], logits.argmax(-1), codes[:, place])
        )
        return best.to(value.dtype)

    @torch.no_grad()
    def written(self, choose: Choice) -> Tensor:
        """Codes (*batch, P), place after place, each as it is chosen from the logits there."""
        state, last, row = self.net.begin(flat(self.given)), None, []
        hidden = None if self.hidden is None else flat(self.hidden)
        for place in range(self.net.places):
            logits, state = self.net.next(last, state)
            row.append(choose(place, widened(logits)))
            last = row[-1] if hidden is None else torch.where(hidden[:, place], UNKNOWN, row[-1])
        return torch.stack(row, -1).reshape(*self.batch_shape, -1)


@final
class Filling:
    """A choice of symbols that keeps to what was told of rows (N, P), and the weight of having done so."""

    def __init__(self, codes: Tensor, told: Tensor, ends: bool) -> None:
        self.codes, self.told = codes, told
        later = told.flip(-1).cumsum(-1).flip(-1) > told.long()
        self.open = later & ~told if ends else torch.zeros_like(told)
        self.log_weight = torch.zeros(len(codes), device=codes.device)

    def __call__(self, place: int, logits: Tensor) -> Tensor:
        told, here = self.told[:, place], self.codes[:, place]
        allowed = logits.clone()
        allowed[:, END].masked_fill_(self.open[:, place], -torch.inf)
        counted = torch.where(told, logits.gather(-1, here.unsqueeze(-1)).squeeze(-1), allowed.logsumexp(-1))
        self.log_weight = self.log_weight + counted - logits.logsumexp(-1)
        return torch.where(told, here, drawn(allowed))


def drawn(logits: Tensor) -> Tensor:
    """A code for each row of logits (N, V), (N,)."""
    return torch.multinomial(F.softmax(logits, -1), 1).squeeze(-1)
