"""Estimators in scikit-learn's form."""

from lowerbound.sklearn.anomaly import AnomalyDetector
from lowerbound.sklearn.bayesian_mixture import BayesianGaussianMixture
from lowerbound.sklearn.gaussian_mixture import GaussianMixture
from lowerbound.sklearn.imputer import Imputer
from lowerbound.sklearn.networks import (
    CVAE,
    VAE,
    Autoencoder,
    BetaVAE,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    SparseAutoencoder,
)

__all__ = [
    "CVAE",
    "VAE",
    "AnomalyDetector",
    "Autoencoder",
    "BayesianGaussianMixture",
    "BetaVAE",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "GaussianMixture",
    "Imputer",
    "KSparseAutoencoder",
    "SparseAutoencoder",
]
