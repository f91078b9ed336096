"""How many components, and of which family: every candidate is fitted, and the best by a criterion is chosen."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

import torch

from lowerbound.mixtures.blocks import Blocks
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.em import Fit, Until, begin, fit
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.starts import KMeans, Start
from lowerbound.mixtures.stepwise import BATCH, Pace, set_out, walk
from lowerbound.randomness import derive


class Fitting(ABC):
    """A way of fitting a mixture of some family and size to rows."""

    @abstractmethod
    def __call__(self, family: Family, blocks: Blocks, components: int) -> Fit:
        """The fit; the same for the same arguments."""


@final
@dataclass(frozen=True)
class ByEM(Fitting):
    """EM over all rows, from several starts side by side."""

    restarts: int = 4
    until: Until = field(default=Until())
    start: Start = field(default=KMeans())
    seed: int = 0

    def __call__(self, family: Family, blocks: Blocks, components: int) -> Fit:
        generator = torch.Generator().manual_seed(derive(self.seed, "select", components))
        return fit(begin(family, blocks, components, self.restarts, self.start, generator), blocks, self.until)


@final
@dataclass(frozen=True)
class BySteps(Fitting):
    """Stepwise EM: so many passes over all rows, from the likeliest of several starts on a sample.

    The bound and its history are the running means of log p(x) of rows before they were learnt from; a walk ends where
    the rows end, and counts as converged.
    """

    restarts: int = 4
    size: int = BATCH
    passes: int = 1
    pace: Pace = field(default=Pace())
    start: Start = field(default=KMeans())
    seed: int = 0

    def __call__(self, family: Family, blocks: Blocks, components: int) -> Fit:
        first = set_out(family, blocks, components, self.restarts, self.start, seed=self.seed)
        state, history = first, []
        for state in walk(first, blocks, self.size, self.passes, self.pace, self.seed):
            history.append(float(state.log_likelihood[0]))
        return Fit(state.mixture, history[-1], [history], True, state.steps, state.reseeded)


class Account(NamedTuple):
    """What a mixture makes of rows: weight N = Σ w, log-likelihood Σ w log p(x), and Σ w H(responsibilities), nats."""

    weight: float
    log_likelihood: float
    entropy: float


def account(mixture: Mixture, blocks: Blocks) -> Account:
    """The log-likelihood of rows under the first of the mixtures, and how undecided it is between its components."""
    total = torch.zeros(3, dtype=torch.float64)
    for rows, weights in blocks:
        log_prob, responsibilities = mixture.shares(rows)
        undecided = torch.special.entr(responsibilities[0].double()).sum(-1)
        each = torch.stack([torch.ones_like(undecided), log_prob[0].double(), undecided])
        total += (each @ weights.double()).cpu()
    return Account(*total.tolist())


@final
@dataclass(frozen=True, eq=False)
class Candidate:
    """A mixture that was fitted, and how it stands to the rows it was fitted to; of all criteria less is better.

    held_out: the mean of log p(x) over rows that it has not met, nats a row, if there are such.
    """

    family: str
    components: int
    fit: Fit
    account: Account
    held_out: float | None = None

    @property
    def free(self) -> int:
        """Free parameters."""
        return self.fit.mixture.free

    @property
    def aic(self) -> float:
        """2 · free − 2 log-likelihood. Hirotugu Akaike, "A new look at the statistical model identification", 1974."""
        return 2 * self.free - 2 * self.account.log_likelihood

    @property
    def bic(self) -> float:
        """log N · free − 2 log-likelihood. Gideon Schwarz, "Estimating the dimension of a model", 1978."""
        return math.log(self.account.weight) * self.free - 2 * self.account.log_likelihood

    @property
    def icl(self) -> float:
        """BIC + twice the entropy of the responsibilities: clusters are to be told apart, too.

        Christophe Biernacki, Gilles Celeux and Gérard Govaert, "Assessing a mixture model for clustering with the
        integrated completed likelihood", 2000.
        """
        return self.bic + 2 * self.account.entropy

    @property
    def surprise(self) -> float:
        """−held_out."""
        return math.inf if self.held_out is None else -self.held_out

    def row(self) -> dict[str, Any]:
        """The candidate as a line of a table, in plain values; log-likelihoods in nats a row."""
        mean = self.account.log_likelihood / self.account.weight
        of_fit = {"steps": self.fit.steps, "converged": self.fit.converged, "reseeded": self.fit.reseeded}
        criteria = {"bic": self.bic, "aic": self.aic, "icl": self.icl}
        named = {"family": self.family, "components": self.components, "parameters": self.free}
        return {**named, "log_likelihood": mean, "held_out": self.held_out, **criteria, **of_fit}


CRITERIA: dict[str, Callable[[Candidate], float]] = {
    "bic": lambda candidate: candidate.bic,
    "aic": lambda candidate: candidate.aic,
    "icl": lambda candidate: candidate.icl,
    "held-out": lambda candidate: candidate.surprise,
}
"""What candidates are chosen by: the one with the least."""


@final
@dataclass(frozen=True, eq=False)
class Selection:
    """Candidates, and the criterion that chooses among them."""

    candidates: list[Candidate]
    criterion: str = "bic"

    @property
    def best(self) -> Candidate:
        """The one with the least criterion; of equals the first."""
        return min(self.candidates, key=CRITERIA[self.criterion])

    @property
    def table(self) -> list[dict[str, Any]]:
        """A line a candidate."""
        return [candidate.row() for candidate in self.candidates]

    @property
    def curves(self) -> dict[str, dict[float, float]]:
        """The criterion by the number of components, for each family; for `plots.selection`."""
        found: dict[str, dict[float, float]] = {each.family: {} for each in self.candidates}
        for each in self.candidates:
            found[each.family][each.components] = CRITERIA[self.criterion](each)
        return found


def candidates(
    families: Mapping[str, Family],
    components: Iterable[int],
    blocks: Blocks,
    held: Blocks | None = None,
    fitting: Fitting = ByEM(),
) -> Iterator[Candidate]:
    """Every family with every number of components, each fitted when it is asked for."""
    for count in components:
        for name, family in families.items():
            found = fitting(family, blocks, count)
            yield Candidate(name, count, found, account(found.mixture, blocks), _held_out(found.mixture, held))


def select(
    families: Mapping[str, Family],
    components: Iterable[int],
    blocks: Blocks,
    criterion: str = "bic",
    held: Blocks | None = None,
    fitting: Fitting = ByEM(),
) -> Selection:
    """Fit every family with every number of components, and choose.

    criterion: bic, aic, icl, or held-out, for which `held` holds rows that are not fitted to. Rows count as their
    weights say, also in BIC's log N.

    >>> from lowerbound.mixtures.blocks import InMemory
    >>> from lowerbound.mixtures.gaussian import Diagonal, Full
    >>> generator = torch.Generator().manual_seed(0)
    >>> rows = torch.cat([torch.randn(200, 2, generator=generator) + at for at in (-4.0, 4.0)])
    >>> found = select({"full": Full(), "diag": Diagonal()}, (1, 2, 3), InMemory(rows))
    >>> found.best.family, found.best.components
    ('diag', 2)

    Raises:
        ValueError: no such criterion, or held-out without rows that are held out.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"there is no criterion {criterion!r}; choose one of: {', '.join(CRITERIA)}")
    if criterion == "held-out" and held is None:
        raise ValueError("to choose by rows held out, say which these are (held)")
    return Selection(list(candidates(families, components, blocks, held, fitting)), criterion)


def _held_out(mixture: Mixture, held: Blocks | None) -> float | None:
    if held is None:
        return None
    found = account(mixture, held)
    return found.log_likelihood / found.weight
