"""A density of codes, fitted after training, so that an autoencoder without a prior of its own can be sampled."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import final

import torch
from torch import Tensor
from torch import distributions as D
from torch.distributions import Distribution

from lowerbound.core.batch import Batch
from lowerbound.core.conditionals import Conditional
from lowerbound.core.latent import Latent

FITTED_ROWS = 20_000
"""At most this many codes are looked at; a mixture of a few Gaussians has no use for more."""


@final
class CodeDensity(Conditional):
    """Σ_k π_k N(μ_k, Σ_k) with full covariances over vectors of `width` numbers; N(0, I) until it is fitted.

    It keeps buffers, not parameters: training leaves it alone, and it is saved with the weights. Partha Ghosh et al.,
    "From variational to deterministic autoencoders", 2020, call it an ex-post density.

    >>> density = CodeDensity(components=2, width=3)
    >>> density().log_prob(torch.zeros(3))
    tensor(-2.7568)
    >>> density.fit(5 + torch.randn(500, 3))
    >>> bool((density().mean - 5).abs().max() < 0.3)
    True
    """

    logits: Tensor
    loc: Tensor
    scale_tril: Tensor

    def __init__(self, components: int, width: int) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(components))
        self.register_buffer("loc", torch.zeros(components, width))
        self.register_buffer("scale_tril", torch.eye(width).repeat(components, 1, 1))

    def forward(self, *given: object) -> Distribution:
        weights = D.Categorical(logits=self.logits, validate_args=False)
        parts = D.MultivariateNormal(self.loc, scale_tril=self.scale_tril, validate_args=False)
        return D.MixtureSameFamily(weights, parts, validate_args=False)

    @torch.no_grad()
    def fit(self, codes: Tensor) -> None:
        """Fit to codes (N, width) by expectation maximisation; with fewer codes than components, some stay unused."""
        from sklearn.mixture import GaussianMixture

        rows = codes[torch.linspace(0, len(codes) - 1, min(len(codes), FITTED_ROWS)).long()].double().cpu().numpy()
        found = GaussianMixture(min(len(self.logits), len(rows)), random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it stopped before it stood still does not matter here
            found.fit(rows)
        self.logits.fill_(-torch.inf)
        used = slice(len(found.weights_))
        self.logits[used] = torch.from_numpy(found.weights_).log().to(self.logits)
        self.loc[used] = torch.from_numpy(found.means_).to(self.loc)
        self.scale_tril[used] = torch.linalg.cholesky(torch.from_numpy(found.covariances_)).to(self.loc)


def fitted_to_codes(density: CodeDensity, model: Latent) -> Callable[[Callable[[], Iterator[Batch]]], None]:
    """What a recipe does once it is trained: fit the density to the codes of the training rows."""

    def settle(rows: Callable[[], Iterator[Batch]]) -> None:
        density.fit(torch.cat([model.infer(batch).mean for batch in rows()]))

    return settle
