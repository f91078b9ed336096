"""Law 3: ELBO ≤ IWAE_K ≤ log p(x), rising with K, equal where q is the exact posterior; every other bound beside them.

What is below log p(x) in mean is shown without a draw, by sums over every combination of particles of a discrete z.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from agree import LIMIT, assert_close, assert_mean, z_scores
from catalogue import Case, batch, cases
from exact import expected, support
from lowerbound.core import (
    CIWAE,
    ELBO,
    IWAE,
    MIWAE,
    PIWAE,
    TVO,
    VR,
    AnalyticELBO,
    Batch,
    Enumerate,
    Estimator,
    Gaussian,
    Latent,
    LogMeanExp,
    Model,
    Objective,
    Score,
    Trace,
    enumerated_log_marginal,
    log_marginal,
    renyi,
    thermodynamic,
    thermodynamic_upper,
)
from lowerbound.core.latent import named
from lowerbound.core.objectives import OfWeights
from lowerbound.core.psis import RELIABLE_K
from toys import Affine, Bits, LinearGaussian, Mixture, Same, TwoLatents, expected_elbo

pytestmark = pytest.mark.usefixtures("double")

LOWER = [ELBO(), AnalyticELBO(), IWAE(), MIWAE(2), CIWAE(0.3), PIWAE(2), VR(0.5), VR(3.0), TVO(3, 0.2)]
"""Whatever is in mean at most log p(x), of a number of particles that two divides."""
NAMES = ["elbo", "analytic-elbo", "iwae", "miwae", "ciwae", "piwae", "vr", "vr-beyond", "tvo"]


ORDERED: dict[str, OfWeights] = {
    "elbo": ELBO(),
    "miwae": MIWAE(2),
    "ciwae": CIWAE(0.3),
    "iwae": IWAE(),
    "vr": VR(0.5),
    "vr-beyond": VR(3.0),
    "vr-max": VR(-math.inf),
    "tvo": TVO(3, 0.2),
}


def value(
    objective: Objective, model: Model, b: Batch, particles: int = 1, estimator: Estimator | None = None
) -> Tensor:
    """The bound, (B,): minus the sum of the objective's terms."""
    with torch.no_grad():
        return -torch.stack(list(objective(model.trace(b, particles, estimator)).values())).sum(0)


def many(objective: Objective, model: Model, b: Batch, particles: int, repeats: int) -> Tensor:
    """Independent estimates of the bound, (repeats, B), in one pass over repeated data."""
    repeated = b.map(lambda t: t.repeat(repeats, *(1,) * (t.dim() - 1)))
    return value(objective, model, repeated, particles).reshape(repeats, b.size)


def test_the_weights_are_constant_at_the_exact_posterior() -> None:
    toy = LinearGaussian()
    b = toy.data(16)
    exact, trace = toy.log_p(b), toy.model().trace(b, 7)
    assert_close(trace.log_w, exact)
    for objective in (*LOWER[:1], *LOWER[2:], VR(-2.0), VR(-math.inf)):
        assert_close(value(objective, toy.model(), b, 6), exact)
    found = log_marginal(toy.model(), b, 50)
    assert_close(found.log_p, exact)
    assert_close(found.ess, 50.0, within=1e-9)
    assert found.stderr.max() < 1e-7
    assert (found.khat == -math.inf).all()


def test_the_mean_of_the_elbo_is_its_closed_form() -> None:
    toy = LinearGaussian()
    b, model = toy.data(5), toy.model(shrink=0.6, widen=0.5)
    exact = torch.stack([expected_elbo(model, x) for x in b.x["x"]]).detach()
    for objective in (ELBO(), AnalyticELBO()):
        assert_mean(many(objective, model, b, 1, 40_000), exact)


def test_bounds_rise_with_particles_towards_log_p() -> None:
    """16 data × 4 steps; the gaps are 10 to 100 standard errors wide, so that order by luck is out of the question."""
    toy = LinearGaussian()
    b, model = toy.data(16), toy.model(shrink=0.5, widen=0.8)
    exact, below = toy.log_p(b), many(ELBO(), model, b, 1, 20_000)
    for particles in (1, 2, 8, 64, 1024):
        above = many(IWAE(), model, b, particles, 20_000 // particles + 100)
        error = (above.var(0) / len(above) + below.var(0) / len(below)).sqrt()
        assert (above.mean(0) > below.mean(0) - LIMIT * error).all()
        assert (z_scores(above, exact) < LIMIT).all()
        if particles > 1:
            assert above.mean() > below.mean()
        below = above
    assert (below.mean(0) - exact).abs().max() < 0.02


def test_one_particle_is_the_elbo() -> None:
    toy = LinearGaussian()
    trace = toy.model(0.5, 0.5).trace(toy.data(8))
    assert torch.equal(ELBO()(trace)["negative_elbo"], IWAE()(trace)["negative_iwae"])


@pytest.mark.parametrize("objective", LOWER, ids=NAMES)
def test_an_enumerated_mixture_is_exact(objective: Objective) -> None:
    """A mixture is the discrete case of the same `Latent`: with q by Bayes' rule every bound is log p(x)."""
    toy = Mixture(components=4)
    b = toy.data(16)
    assert_close(value(objective, toy.exact(), b, 1, Enumerate()), toy.log_p(b))


@pytest.mark.parametrize("objective", LOWER, ids=NAMES)
def test_an_enumerated_product_of_bits_is_exact(objective: Objective) -> None:
    toy = Bits()
    b = toy.data(16)
    assert_close(value(objective, toy.model(), b, 1, Enumerate()), toy.log_p(b))


def test_a_sum_over_z_needs_no_good_posterior() -> None:
    """The enumerated marginal, and IWAE under `Enumerate`, are log p(x) whatever q is; the ELBO is below it."""
    toy, bits = Mixture(), Bits()
    amortised = toy.amortised(Affine(torch.randn(3, 2), torch.randn(3)))
    for exact, model, b in ((toy, amortised, toy.data(9)), (bits, bits.model(shift=1.5), bits.data(9))):
        assert_close(enumerated_log_marginal(model, b), exact.log_p(b))
        assert_close(value(IWAE(), model, b, 1, Enumerate()), exact.log_p(b))
        assert (value(ELBO(), model, b, 1, Enumerate()) < exact.log_p(b) - 1e-3).all()


def toys() -> list[tuple[Latent, Tensor, Tensor]]:
    """Models of a discrete z with poor posteriors, a datum of each, and its exact log p(x)."""
    mixture, bits = Mixture(), Bits(2)
    models = (mixture.amortised(Affine(torch.randn(3, 2), torch.randn(3))), bits.model(shift=1.5))
    batches = (mixture.data(1), bits.data(1))
    return [(model, b.x["x"][0], toy.log_p(b)[0]) for toy, model, b in zip((mixture, bits), models, batches)]


@torch.no_grad()
def test_bounds_in_mean_lie_in_their_order() -> None:
    """ELBO < MIWAE < IWAE < log p(x), and the others between, exactly: 4 particles, all 81 or 256 combinations."""
    for model, x, log_p in toys():
        mean = {name: expected(each.bound, *support(model, x), 4) for name, each in ORDERED.items()}
        elbo, miwae, iwae = mean["elbo"], mean["miwae"], mean["iwae"]
        assert elbo < miwae < iwae < log_p
        assert_close(miwae, expected(LogMeanExp(), *support(model, x), 2))
        assert_close(mean["ciwae"], 0.3 * elbo + 0.7 * iwae)
        assert elbo < mean["vr"] < iwae
        assert mean["vr-beyond"] < elbo
        assert elbo < mean["tvo"] < iwae
        assert mean["vr-max"] > iwae


@torch.no_grad()
def test_renyis_bounds_are_lower_for_every_order_from_zero_up_and_for_none_below() -> None:
    """At every K. They rise with K below order 1 and fall beyond; orders below 0 pass log p(x)."""
    for model, x, log_p in toys():
        for alpha in (0.0, 0.5, 0.99, 1.5, 4.0):
            found = torch.stack([expected(renyi(alpha), *support(model, x), k) for k in (1, 2, 4)])
            assert (found < log_p).all()
            assert ((found.diff() > 0) == (alpha < 1)).all()
        assert expected(renyi(-20.0), *support(model, x), 4) > log_p
        assert expected(renyi(-math.inf), *support(model, x), 4) > log_p


@torch.no_grad()
def test_thermodynamic_sums_hold_log_p_between_them_and_close_in() -> None:
    """Over the whole support: below and above, an eighth as far apart with eight times the points."""
    for model, x, log_p in toys():
        log_w, log_q = (each[:, None] for each in support(model, x))
        gaps = []
        for intervals in (1, 8, 64, 512):
            points = tuple(i / intervals for i in range(intervals + 1))
            low, high = (make(points)(log_w, log_q).squeeze() for make in (thermodynamic, thermodynamic_upper))
            assert low < log_p < high
            gaps.append(high - low)
        assert_close(torch.stack(gaps[:-1]) / torch.stack(gaps[1:]), 8.0, within=1e-9)
        assert_close(low, log_p, within=0.02)


def test_every_bound_is_below_log_p_on_a_linear_gaussian_model() -> None:
    """9 bounds × 8 data at 4.5 standard errors: by chance once in 2000."""
    toy = LinearGaussian()
    b, model = toy.data(8), toy.model(shrink=0.5, widen=0.8)
    for objective in LOWER:
        assert (z_scores(many(objective, model, b, 4, 5000), toy.log_p(b)) < LIMIT).all()


def test_a_posterior_that_rules_out_the_truth_does_not_spoil_the_sum() -> None:
    toy = Mixture()
    certain = toy.amortised(nn.Sequential(Affine(torch.zeros(3, 2), torch.tensor([0.0, -math.inf, -1e4]))))
    b = toy.data(5)
    assert_close(enumerated_log_marginal(certain, b), toy.log_p(b))


def test_sampled_bounds_of_a_discrete_latent_agree_with_enumeration() -> None:
    toy = Bits()
    b, model = toy.data(4), toy.model(shift=0.7)
    repeated = Batch({"x": b.x["x"].repeat(20_000, 1)})
    sampled = value(ELBO(), model, repeated, 2, Score()).reshape(20_000, 4)
    assert_mean(sampled, value(ELBO(), model, b, 1, Enumerate()))


def test_named_latents_add_up() -> None:
    """log w over two latents is the sum of their terms, and importance sampling finds the exact log p(x)."""
    parts = {name: Gaussian(Same(torch.tensor([0.4, -0.3]))) for name in ("u", "v")}
    model, b = TwoLatents(parts), Batch({"x": torch.randn(3, 1)})
    trace = model.trace(b, 4)
    by_hand = sum(
        torch.distributions.Normal(0.0, 1.0).log_prob(z) - parts[name](b.x["x"]).base_dist.log_prob(z)
        for name, z in trace.named_z.items()
    )
    lik = torch.distributions.Normal(trace.z["u"] + trace.z["v"], 0.5).log_prob(b.x["x"])
    assert_close(trace.log_w, (by_hand + lik).squeeze(-1))
    exact = torch.distributions.Normal(0.0, 2.25**0.5).log_prob(b.x["x"]).squeeze(-1)
    found = log_marginal(model, b, 100_000)
    assert ((found.log_p - exact) / found.stderr).abs().max() < LIMIT
    assert_mean(many(ELBO(), model, b, 1, 40_000) - many(AnalyticELBO(), model, b, 1, 40_000), 0.0)


def is_line(trace: Trace) -> bool:
    """Whether z is one real number, with a density, and the only latent."""
    q = named(trace.q).get("z")
    alone = trace.proper and q is not None and len(trace.named_z) == 1
    return alone and q.event_shape == (1,) and not q.support.is_discrete


def quadrature(model: Model, b: Batch) -> Tensor:
    """log ∫ p(x|z) p(z) dz over a latent of one dimension, (B,)."""
    z = torch.linspace(-12, 12, 4001)
    trace = model.trace(b)
    (name,) = trace.named_z
    prior = named(trace.p)[name].log_prob(z[:, None, None].expand(-1, b.size, 1))
    px = model.decode(z[:, None, None].expand(-1, b.size, 1), b.c)
    lik = torch.stack([d.log_prob(b.x[name]) for name, d in px.items()]).sum(0)
    return torch.logsumexp(prior + lik, 0) + (z[1] - z[0]).log()


def gives(case: Case, wanted: Callable[[Trace], bool], **arguments: int) -> bool:
    """Whether a law speaks of the traces of this case."""
    setup = case.build((3,), **arguments)
    return wanted(setup.model.trace(setup.see(batch(case.kind, 3, (3,)))))


LINES = [each for each in cases() if gives(each.values[0], is_line, latent=1)]
TWO_FORMS = [each for each in cases() if gives(each.values[0], lambda trace: trace.proper and trace.kl is not None)]


@pytest.mark.parametrize("case", LINES)
@torch.no_grad()
def test_recipes_bound_log_p_from_below(case: Case) -> None:
    """With one latent dimension log p(x) is a one-dimensional integral, for every likelihood.

    Some 40 cases × 3 data × 4 comparisons at 4.5 standard errors: some 1 in 600 to fail by chance.
    """
    setup = case.build((3,), latent=1)
    b = setup.see(batch(case.kind, 3, (3,)))
    exact = quadrature(setup.model, b)
    below = many(ELBO(), setup.model, b, 1, 4000)
    for particles in (4, 64):
        above = many(IWAE(), setup.model, b, particles, 4000 // particles + 50)
        error = (above.var(0) / len(above) + below.var(0) / len(below)).sqrt()
        assert (above.mean(0) > below.mean(0) - LIMIT * error).all()
        assert (z_scores(above, exact) < LIMIT).all()
        below = above
    found = log_marginal(setup.model, b, 20_000)
    near = (found.log_p - exact).abs() < LIMIT * found.stderr + 1e-9
    assert (near | (found.khat > RELIABLE_K)).all()  # an untrained encoder may miss, and k̂ must then say so


@pytest.mark.parametrize("case", TWO_FORMS)
@torch.no_grad()
def test_both_forms_of_the_elbo_agree_in_mean(case: Case) -> None:
    """On the same particles they differ by log q − log p against its mean, the KL."""
    setup = case.build((3,))
    b = setup.see(batch(case.kind, 3, (3,)))
    trace = setup.model.trace(b, 20_000)
    analytic = -sum(AnalyticELBO()(trace).values()) + trace.mean(trace.log_px).neg()
    assert_mean(trace.log_p - trace.log_q, analytic)
