"""The law of mixtures: as latent-variable models their enumerated bounds are log p(x), whatever the components are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lowerbound.core import IWAE, Batch, Enumerate, Score
from lowerbound.core.bounds import LogMeanExp
from lowerbound.core.estimators import Estimator
from lowerbound.core.objectives import ELBO
from lowerbound.mixtures.bayes import Bayesian, point
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.components import Family
from lowerbound.mixtures.discrete import Categorical, Poisson
from lowerbound.mixtures.em import Until, begin, fit
from lowerbound.mixtures.gaussian import Diagonal, Full
from lowerbound.mixtures.latent import as_latent
from lowerbound.mixtures.product import Product
from lowerbound.mixtures.scales import NegativeBinomial, Student

FAMILIES: dict[str, Family] = {
    "full": Full(),
    "diagonal": Diagonal(),
    "bayesian": Bayesian(),
    "student": Student(),
    "categorical": Categorical((2, 3, 4)),
    "poisson": Poisson(),
    "negative": NegativeBinomial(),
    "mixed": Product((((0, 2), Full()), ((1,), Poisson()))),
}


def rows() -> Tensor:
    """Rows that are codes, counts and numbers at once."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack([torch.randint(n, (60,), generator=generator) for n in (2, 3, 4)], -1).double()


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_bound_is_log_p(name: str, missing: float) -> None:
    x = rows()
    gaps = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < missing
    x = torch.where(gaps, torch.nan, x)
    found = fit(begin(FAMILIES[name], InMemory(x), 3), InMemory(x), Until(0, 5)).mixture
    model, exact = as_latent(found), point(found).log_prob(x)[0]
    ways: list[tuple[Estimator, int]] = [(Enumerate(), 1), (Score(), 5)]
    for estimator, particles in ways:
        trace = model.trace(Batch({"x": x}), particles, estimator)
        for objective in (ELBO(), IWAE()):
            (loss,) = objective(trace).values()
            assert (loss + exact).abs().max() < 1e-10
        assert (LogMeanExp()(trace.log_w, trace.log_measure) - exact).abs().max() < 1e-10


def test_a_mask_is_as_good_as_gaps() -> None:
    x = rows()
    mixture = fit(begin(Full(), InMemory(x), 3), InMemory(x), Until(0, 5)).mixture
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    trace = as_latent(mixture).trace(Batch({"x": x}, mask={"x": mask}), estimator=Enumerate())
    exact = mixture.log_prob(torch.where(mask, x, torch.nan))[0]
    assert (trace.mean(trace.log_w) - exact).abs().max() < 1e-10


def test_what_is_generated_is_what_the_mixture_samples() -> None:
    torch.manual_seed(0)
    x = rows()
    mixture = fit(begin(Categorical((2, 3, 4)), InMemory(x), 2), InMemory(x), Until(0, 5)).mixture
    drawn = as_latent(mixture).generate(20_000)["x"].sample()
    shares = (mixture.weights.mean[0] @ mixture.components.tensors()["log_shares"][0].exp())[:2]
    assert (drawn[:, 0] == 1).double().mean().item() == pytest.approx(shares[1].item(), abs=0.018)  # five errors
