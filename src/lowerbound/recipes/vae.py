"""The variational autoencoder."""

from __future__ import annotations

from lowerbound.arguments import Count, NonNegative, NonNegativeInt
from lowerbound.data.spec import DataSpec
from lowerbound.recipes import bounds, lagging, latents, parts
from lowerbound.recipes.registry import Setup, recipe


@recipe("vae")
def vae(
    spec: DataSpec,
    *,
    latent: Count = 50,
    net: parts.NetName = "mlp",
    hidden: parts.Widths = None,
    activation: str = "silu",
    likelihood: parts.LikelihoodName = "auto",
    bound: bounds.BoundName = "elbo",
    estimator: bounds.EstimatorName = "pathwise",
    particles: Count = 1,
    beta: NonNegative = 1.0,
    anneal: NonNegativeInt = 0,
    cycles: Count = 1,
    free_bits: NonNegative = 0.0,
    lag: NonNegativeInt = 0,
    lag_steps: Count = 2000,
    groups: bounds.Groups = None,
    share: bounds.Share = None,
    alpha: bounds.Order = None,
    intervals: bounds.Intervals = None,
    first: bounds.First = None,
    prior: latents.PriorName = "normal",
    posterior: latents.PosteriorName = "diagonal",
    components: Count = 100,
    transforms: Count = 4,
) -> Setup:
    """Variational autoencoder: N(0, I) prior and Gaussian encoder, or richer ones; any likelihood.

    Choose it first: it encodes, samples and gives a bound on log p(x), and the others are measured against it. Diederik
    P. Kingma and Max Welling, "Auto-encoding variational Bayes", 2014; with the bound iwae, Yuri Burda, Roger Grosse
    and Ruslan Salakhutdinov, "Importance weighted autoencoders", 2016.

    Args:
        bound: elbo has its KL in closed form, elbo-mc by Monte Carlo; iwae is the importance-weighted bound, miwae its
            mean over groups of particles, ciwae its mixture with the ELBO, piwae itself for the decoder and miwae for
            the encoder; vr is Rényi's, vr-max the largest weight's; tvo is the thermodynamic objective.
        estimator: how gradients reach the encoder; dreg where the bound weighs particles.
        particles: draws of z for each datum and step.
        beta: weight of the rate.
        anneal: steps over which that weight rises from 0.
        cycles: how often it rises, held in between for as many steps.
        free_bits: nats of each latent dimension that cost nothing to use.
        lag: steps of the encoder alone before each one of the decoder, lest z collapse while the encoder lags behind.
        lag_steps: steps after which both move in each.
        groups: of miwae and piwae, the equal groups that the particles are in, 2 where not given.
        share: of ciwae, what the ELBO counts for, 0.5 where not given.
        alpha: of vr, its order from 0 (iwae) by 1 (elbo-mc) up, 0.5 where not given.
        intervals: of tvo, the pieces of the path from q to the posterior, 5 where not given.
        first: of tvo, where on that path from 0 to 1 the first piece ends, 0.1 where not given.
        prior: normal is N(0, I), mixture a learned one of Gaussians, vamp the mean posterior of learned pseudo-inputs;
            maf (autoregressive), realnvp (coupling) and spline are learned flows.
        posterior: a diagonal, full or low-rank Gaussian; iaf (inverse autoregressive), realnvp and spline bend one by a
            flow that the encoder steers.
        components: Gaussians of the prior mixture, or pseudo-inputs of vamp.
        transforms: steps of each flow.
    """
    own = {"groups": groups, "share": share, "alpha": alpha, "intervals": intervals, "first": first}
    setup = parts.gaussian_vae(
        spec,
        latent,
        bounds.objective(bound, beta, anneal, free_bits, particles, cycles, **own),
        net=net,
        hidden=hidden,
        activation=activation,
        likelihood=likelihood,
        estimator=bounds.estimator(estimator, bound, particles),
        particles=particles,
        latents=latents.chosen(prior, posterior, components, transforms, free_bits),
    )
    return lagging.ahead(setup, lag, lag_steps) if lag else setup
