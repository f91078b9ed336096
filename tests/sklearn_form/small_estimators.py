"""One estimator of each class, small enough that a fit takes some hundredths of a second."""

from __future__ import annotations

from typing import Any

import lowerbound.sklearn as ours
from lowerbound.sklearn.covariances import FORMS

NETWORK = {"latent": 2, "hidden": [8], "epochs": 2, "device": "cpu"}
FEW = {"components": 2}
FEWEST = {"factor": {"n_factors": 1}, "ppca": {"n_factors": 1}}

SMALL: list[Any] = [
    ours.VAE(**NETWORK, draws=10),
    ours.CVAE(**NETWORK, draws=10),
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
