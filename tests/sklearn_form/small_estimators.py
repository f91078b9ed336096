"""One estimator of each class, small enough that a fit takes some hundredths of a second."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator

import lowerbound.sklearn as ours
from lowerbound.sklearn.covariances import FORMS
from lowerbound.sklearn.mixture_base import MixtureEstimator

NETWORK = {"latent": 2, "hidden": [8], "epochs": 2, "device": "cpu"}
FEW = {"components": 2}
FEWEST = {"factor": {"n_factors": 1}, "ppca": {"n_factors": 1}}

SMALL: list[Any] = [
    ours.VAE(**NETWORK, draws=10),
    ours.BetaVAE(**NETWORK, draws=10),
    ours.Autoencoder(**NETWORK, **FEW),
    ours.DenoisingAutoencoder(**NETWORK, **FEW),
    ours.SparseAutoencoder(**NETWORK, **FEW),
    ours.KSparseAutoencoder(latent=8, k=2, epochs=2, device="cpu"),
    ours.ContractiveAutoencoder(**NETWORK, **FEW),
    *(ours.GaussianMixture(count, covariance_type=kind, **FEWEST.get(kind, {})) for count in (1, 2) for kind in FORMS),
    *(ours.BayesianGaussianMixture(n_components=count) for count in (1, 2)),
    ours.AnomalyDetector(ours.GaussianMixture()),
    ours.AnomalyDetector(ours.VAE(**NETWORK, draws=10)),
    ours.Imputer(ours.GaussianMixture()),
    ours.Imputer(ours.VAE(**NETWORK), particles=10),
]

STARTS_AT_RANDOM = {
    "check_sample_weight_equivalence_on_dense_data": (
        "EM starts at rows drawn at random, and others are drawn when rows come in another order, or twice; from one "
        "and the same start a weight is as many rows, to which a test of our own holds it, and with one component this "
        "check too"
    )
}


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    """Check of scikit-learn's suite -> why this estimator cannot pass it."""
    several = isinstance(estimator, MixtureEstimator) and estimator.n_components > 1
    return STARTS_AT_RANDOM if several else {}
