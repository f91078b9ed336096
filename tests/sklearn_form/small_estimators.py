"""One estimator of each class, small enough that a fit takes some hundredths of a second."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator

import lowerbound.sklearn as ours

NETWORK = {"latent": 2, "hidden": [8], "epochs": 2, "device": "cpu"}
FEW = {"components": 2}

SMALL: list[Any] = [
    ours.VAE(**NETWORK, draws=10),
    ours.BetaVAE(**NETWORK, draws=10),
    ours.Autoencoder(**NETWORK, **FEW),
    ours.DenoisingAutoencoder(**NETWORK, **FEW),
    ours.SparseAutoencoder(**NETWORK, **FEW),
    ours.KSparseAutoencoder(latent=8, k=2, epochs=2, device="cpu"),
    ours.ContractiveAutoencoder(**NETWORK, **FEW),
]

EXPECTED_FAILURES: dict[str, dict[str, str]] = {}
"""Class -> check of scikit-learn's suite -> why it cannot pass."""


def expected_failures(estimator: BaseEstimator) -> dict[str, str]:
    """Of one estimator, as scikit-learn asks for them."""
    return EXPECTED_FAILURES.get(type(estimator).__name__, {})
