"""Mixtures p(x) = Σ_k π_k p_k(x), fitted by expectation and maximisation."""

from lowerbound.mixtures.blocks import Blocks, InMemory
from lowerbound.mixtures.em import Fit, Until, begin, fit
from lowerbound.mixtures.fitting import gaussian_mixture
from lowerbound.mixtures.gaussian import Diagonal, Full, Spherical, Tied
from lowerbound.mixtures.mixture import Mixture
from lowerbound.mixtures.starts import Given, KMeans, PlusPlus, RandomRows

__all__ = [
    "Blocks",
    "Diagonal",
    "Fit",
    "Full",
    "Given",
    "InMemory",
    "KMeans",
    "Mixture",
    "PlusPlus",
    "RandomRows",
    "Spherical",
    "Tied",
    "Until",
    "begin",
    "fit",
    "gaussian_mixture",
]
