"""Autoencoders and variational autoencoders as estimators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from lowerbound.sklearn.base import DensityEstimator, Reconstructor
from lowerbound.sklearn.conditional import ConditionalDensityEstimator


@final
@dataclass(kw_only=True, eq=False, repr=False)
class VAE(DensityEstimator):
    """Variational autoencoder; arguments are those of the recipe `vae` and of `RecipeEstimator`.

    Diederik P. Kingma and Max Welling, "Auto-encoding variational Bayes", 2014.

    >>> from sklearn.datasets import load_iris
    >>> X, _ = load_iris(return_X_y=True)
    >>> vae = VAE(latent=2, hidden=[16], epochs=5, random_state=0).fit(X)
    >>> vae.transform(X).shape, vae.inverse_transform(vae.transform(X)).shape, vae.sample(3).shape
    ((150, 2), (150, 4), (3, 4))
    """

    recipe: ClassVar[str] = "vae"
    latent: int = 50
    hidden: Sequence[int] | None = None
    activation: str = "silu"
    likelihood: str = "auto"
    bound: str = "elbo"
    particles: int = 1
    beta: float = 1.0
    anneal: int = 0
    free_bits: float = 0.0
    prior: str = "normal"
    posterior: str = "diagonal"
    components: int = 100
    transforms: int = 4


@final
@dataclass(kw_only=True, eq=False, repr=False)
class CVAE(ConditionalDensityEstimator):
    """Conditional variational autoencoder; arguments are those of the recipe `cvae` and of `RecipeEstimator`.

    Kihyuk Sohn, Honglak Lee and Xinchen Yan, "Learning structured output representation using deep conditional
    generative models", 2015.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> cvae = CVAE(latent=2, hidden=[16], epochs=5, draws=20, random_state=0).fit(X, y)
    >>> cvae.sample(3, y=2).shape, cvae.score_samples(X[:5], y[:5]).shape, cvae.classes_.tolist()
    ((3, 4), (5,), ['0', '1', '2'])
    """

    recipe: ClassVar[str] = "cvae"
    latent: int = 50
    hidden: Sequence[int] | None = None
    activation: str = "silu"
    likelihood: str = "auto"
    bound: str = "elbo"
    particles: int = 1
    beta: float = 1.0
    anneal: int = 0
    free_bits: float = 0.0
    prior: str = "learned"
    prior_hidden: Sequence[int] | None = None
    drop: float = 0.1


@final
@dataclass(kw_only=True, eq=False, repr=False)
class BetaVAE(DensityEstimator):
    """β-VAE; arguments are those of the recipe `beta-vae` and of `RecipeEstimator`.

    Irina Higgins et al., "beta-VAE: learning basic visual concepts with a constrained variational framework", 2017.
    """

    recipe: ClassVar[str] = "beta-vae"
    latent: int = 10
    hidden: Sequence[int] | None = None
    activation: str = "silu"
    likelihood: str = "auto"
    beta: float = 4.0
    anneal: int = 0


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Autoencoder(Reconstructor):
    """Autoencoder; arguments are those of the recipe `ae` and of `RecipeEstimator`.

    Geoffrey E. Hinton and Ruslan R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", 2006.

    >>> from sklearn.datasets import load_iris
    >>> X, _ = load_iris(return_X_y=True)
    >>> Autoencoder(latent=2, hidden=[16], epochs=5, random_state=0).fit(X).get_feature_names_out()
    array(['autoencoder0', 'autoencoder1'], dtype=object)
    """

    recipe: ClassVar[str] = "ae"
    latent: int = 32
    hidden: Sequence[int] | None = None
    activation: str = "silu"
    likelihood: str = "auto"
    components: int = 10


@final
@dataclass(kw_only=True, eq=False, repr=False)
class DenoisingAutoencoder(Reconstructor):
    """Denoising autoencoder; arguments are those of the recipe `dae` and of `RecipeEstimator`.

    Rows are corrupted in training alone. Pascal Vincent, Hugo Larochelle, Yoshua Bengio and Pierre-Antoine Manzagol,
    "Extracting and composing robust features with denoising autoencoders", 2008.
    """

    recipe: ClassVar[str] = "dae"
    latent: int = 32
    hidden: Sequence[int] | None = None
    activation: str = "silu"
    likelihood: str = "auto"
    corruption: str = "masking"
    amount: float = 0.5
    components: int = 10


@final
@dataclass(kw_only=True, eq=False, repr=False)
class SparseAutoencoder(Reconstructor):
    """Sparse autoencoder; arguments are those of the recipe `sparse-ae` and of `RecipeEstimator`.

    Andrew Ng, "Sparse autoencoder", lecture notes of CS294A, 2011.
    """

    recipe: ClassVar[str] = "sparse-ae"
    latent: int = 32
    hidden: Sequence[int] | None = None
    activation: str = "silu"
    likelihood: str = "auto"
    penalty: str = "kl"
    rho: float = 0.05
    weight: float = 5.0
    layers: Sequence[int] | None = None
    components: int = 10


@final
@dataclass(kw_only=True, eq=False, repr=False)
class KSparseAutoencoder(Reconstructor):
    """k-sparse autoencoder; arguments are those of the recipe `k-sparse-ae` and of `RecipeEstimator`.

    Codes are as wide as the dictionary, and all but k of their numbers are 0. Alireza Makhzani and Brendan Frey,
    "k-sparse autoencoders", 2013; Leo Gao et al., "Scaling and evaluating sparse autoencoders", 2024.
    """

    recipe: ClassVar[str] = "k-sparse-ae"
    latent: int = 16_384
    k: int = 32
    activation: str = "topk"
    likelihood: str = "auto"
    dead_after: int | None = None
    revive: float = 1 / 32
    pull: float = 10.0


@final
@dataclass(kw_only=True, eq=False, repr=False)
class ContractiveAutoencoder(Reconstructor):
    """Contractive autoencoder; arguments are those of the recipe `contractive-ae` and of `RecipeEstimator`.

    Salah Rifai, Pascal Vincent, Xavier Muller, Xavier Glorot and Yoshua Bengio, "Contractive auto-encoders: explicit
    invariance during feature extraction", 2011.
    """

    recipe: ClassVar[str] = "contractive-ae"
    latent: int = 32
    hidden: Sequence[int] | None = None
    activation: str = "tanh"
    likelihood: str = "auto"
    weight: float = 0.1
    decay: float = 1e-4
    probes: int | None = None
    components: int = 10
