"""Estimators in scikit-learn's form."""

from lowerbound.sklearn.gaussian_mixture import GaussianMixture
from lowerbound.sklearn.networks import (
    VAE,
    Autoencoder,
    BetaVAE,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)

__all__ = [
    "VAE",
    "Autoencoder",
    "BetaVAE",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "GaussianMixture",
    "KSparseAutoencoder",
    "SparseAutoencoder",
]
