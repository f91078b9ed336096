"""Mixtures of Gaussians that are believed rather than known, as an estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, final

import torch

from lowerbound.arguments import NonNegative, conformed
from lowerbound.errors import InputError
from lowerbound.mixtures.bayes import Bayesian
from lowerbound.mixtures.blocks import InMemory
from lowerbound.mixtures.em import begin
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.starts import Start
from lowerbound.mixtures.weights import Dirichlet, StickBreaking
from lowerbound.sklearn.base import plain
from lowerbound.sklearn.covariances import Believable, finite
from lowerbound.sklearn.gaussian_mixture import GaussianEstimator
from lowerbound.sklearn.rows import Array

WEIGHTINGS = {"dirichlet_process": StickBreaking.even, "dirichlet_distribution": Dirichlet.even}
"""weight_concentration_prior_type -> what is believed of the weights."""


@final
@dataclass(kw_only=True, eq=False, repr=False)
class BayesianGaussianMixture(GaussianEstimator):
    """Variational Bayes for a mixture of Gaussians, in the place of scikit-learn's: components not needed fade out.

    n_components: at most how many. weight_concentration_prior_type: dirichlet_process or dirichlet_distribution, of
    concentration weight_concentration_prior, 1/K by default. mean_precision_prior, mean_prior,
    degrees_of_freedom_prior, covariance_prior: of the Normal-Wishart prior, by default 1, the mean of the rows, D, and
    their covariance. reg_covar: added once, to the variances of that prior, which then keeps all covariances from
    collapsing. The others: see `GaussianEstimator` and `MixtureEstimator`.

    lower_bound_ is the whole variational bound on the log probability of all rows, nats a row, and tol is of it.
    score_samples and sample are of the mixture at the mean of weights, means and precisions, which has a density;
    responsibilities are those under the belief. Fitted besides: mean_precision_, degrees_of_freedom_, n_used_, the
    components that count for half a row or more.

    >>> from sklearn.datasets import load_iris
    >>> X, _ = load_iris(return_X_y=True)
    >>> BayesianGaussianMixture(n_components=10, max_iter=500, random_state=0).fit(X).n_used_ < 10
    True
    """

    n_components: int = 1
    reg_covar: float = 1e-6
    weight_concentration_prior_type: Literal["dirichlet_process", "dirichlet_distribution"] = "dirichlet_process"
    weight_concentration_prior: float | None = None
    mean_precision_prior: float | None = None
    mean_prior: Any = None
    degrees_of_freedom_prior: float | None = None
    covariance_prior: Any = None

    @property
    def mean_precision_(self) -> Array:
        """β_k: how many rows each mean is known from, the prior's among them; (K,)."""
        found: Array = self._belief.precision[0].cpu().numpy()
        return found

    @property
    def degrees_of_freedom_(self) -> Array:
        """ν_k of the precisions, (K,), or (1,) where components share one."""
        found: Array = self._belief.degrees[0].cpu().numpy()
        return found

    @property
    def n_used_(self) -> int:
        """How many components count for half a row or more."""
        weights: Any = self.mixture_.weights
        return int(weights.used[0])

    @property
    def _belief(self) -> Any:
        return self.mixture_.components

    def _begun(self, rows: InMemory, restarts: int, start: Start, generator: torch.Generator) -> Mixture:
        if self.weight_concentration_prior_type not in WEIGHTINGS:
            raise InputError(f"weight_concentration_prior_type must be one of {', '.join(WEIGHTINGS)}")
        weights = WEIGHTINGS[self.weight_concentration_prior_type](self._number("weight_concentration_prior"))
        return begin(self._family(), rows, plain(self.n_components), restarts, start, generator, weights)

    def _family(self) -> Bayesian:
        width, form = self.n_features_in_, self._form
        if not isinstance(form, Believable):
            raise InputError(
                f"there is no belief of covariance_type {self.covariance_type}; take another, such as full"
            )
        return Bayesian(
            form.belief,
            self._number("mean_precision_prior") or 1.0,
            self._number("degrees_of_freedom_prior"),
            None if self.mean_prior is None else finite("mean_prior", self.mean_prior, (width,)),
            None if self.covariance_prior is None else form.scale(self.covariance_prior, width),
            conformed("reg_covar", plain(self.reg_covar), NonNegative),
        )

    def _number(self, name: str) -> float | None:
        found: float | None = conformed(name, plain(getattr(self, name)), float | None, (1e-300, 1e300))
        return found
