"""Estimators in scikit-learn's form."""

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
    "KSparseAutoencoder",
    "SparseAutoencoder",
]
