"""The variational autoencoder of several variables over one z."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from lowerbound.arguments import Count, NonNegative
from lowerbound.core import (
    IWAE,
    MVTCAE,
    Conditional,
    Encoders,
    Latent,
    MixtureOfProducts,
    Model,
    Objective,
    Pathwise,
    ProductOfExperts,
    Rate,
    Subsampled,
    powerset,
    singles,
    standard_normal,
)
from lowerbound.data.spec import DataSpec
from lowerbound.errors import InputError
from lowerbound.recipes import modalities, parts
from lowerbound.recipes.registry import Setup, recipe

ExpertsName = Literal["poe", "moe", "mopoe"]
ObjectiveName = Literal["elbo", "iwae", "subsampled", "mvtcae"]
Alpha = Annotated[float, (0.0, 1.0)]


@recipe("multimodal-vae")
def multimodal_vae(
    spec: DataSpec,
    *,
    latent: Count = 32,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    experts: ExpertsName = "mopoe",
    objective: ObjectiveName = "elbo",
    particles: Count = 1,
    beta: NonNegative = 1.0,
    alpha: Alpha = 0.5,
    weights: modalities.Weights = "equal",
) -> Setup:
    """Multimodal VAE: several variables over one z, an encoder and a decoder for each, any of them missing in a datum.

    Choose it for data of several variables, to tell one from another or to draw them together. q(z|x) is made of what
    each encoder that saw something says. Mike Wu and Noah Goodman, "Multimodal generative models for scalable
    weakly-supervised learning", 2018 (poe, subsampled); Yuge Shi et al., "Variational mixture-of-experts autoencoders
    for multi-modal deep generative models", 2019 (moe); Thomas M. Sutter, Imant Daunhawer and Julia E. Vogt,
    "Generalized multimodal ELBO", 2021 (mopoe); HyeongJoo Hwang et al., "Multi-view representation learning via total
    correlation objective", 2021 (mvtcae).

    Args:
        net: networks of pictures: a perceptron, or strided or residual convolutions; others get a perceptron.
        likelihood: p(x|z) of every variable; auto takes for each the one that fits its kind.
        experts: poe is the product of what the encoders say, moe the mixture of it, mopoe the mixture of the products
            over every set of variables. A product makes the most of what all say, and a mixture asks each encoder to
            tell the other variables too: translate with mixtures.
        objective: elbo and iwae bound log p of the data together; subsampled adds the ELBO of each variable by itself,
            without which a product's encoders do not serve alone; mvtcae, of products, weighs how far each variable's
            posterior is from that of all.
        particles: draws of z for each datum and step; of a mixture, from each of its components.
        beta: weight of the rate.
        alpha: of mvtcae, what the single variables' posteriors count for beside the prior.
        weights: what each variable's likelihood counts for in training: the same, or by size the more the fewer values
            the variable has.
    """
    chosen = {"hidden": hidden, "activation": activation, "likelihood": likelihood}
    sides = modalities.sides(spec, 2 * latent, latent, net=net, **chosen)
    posterior = _POSTERIORS[experts](sides.encoders(latent))
    model = Latent(standard_normal(latent), posterior, sides.likelihood, sides.reads)
    components = len(posterior.sets) - 1 if isinstance(posterior, MixtureOfProducts) else 1
    return Setup(
        model,
        sides.views,
        _objective(objective, experts, model, sides, beta, alpha, weights),
        Pathwise(),
        particles * components,
        start=sides.start,
    )


def _objective(
    name: ObjectiveName,
    experts: ExpertsName,
    model: Model,
    sides: modalities.Sides,
    beta: float,
    alpha: float,
    weights: modalities.Weights,
) -> Objective:
    if name == "iwae" and (beta, weights) != (1.0, "equal"):
        raise InputError("beta and weights weigh the parts of an ELBO, which the objective iwae has not; use elbo")
    if name == "mvtcae" and experts != "poe":
        raise InputError(f"the objective mvtcae is of a product of experts, not of {experts}; use experts poe, or elbo")
    if name == "iwae":
        return IWAE()
    distortion = sides.distortion(weights)
    if name == "mvtcae":
        return MVTCAE(alpha, beta, distortion)
    whole = distortion + (Rate() if beta == 1 else beta * Rate())
    return Subsampled(model, whole) if name == "subsampled" else whole


_POSTERIORS: dict[ExpertsName, Callable[[Encoders], Conditional]] = {
    "poe": ProductOfExperts,
    "moe": lambda encoders: MixtureOfProducts(encoders, singles(len(encoders.nets))),
    "mopoe": lambda encoders: MixtureOfProducts(encoders, powerset(len(encoders.nets))),
}
