"""Objectives: their algebra, β, free bits, and what each term is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from agree import assert_close, refused
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
    BetaELBO,
    Cyclical,
    Distortion,
    DReG,
    Enumerate,
    Fixed,
    Gaussian,
    Latent,
    Objective,
    Pathwise,
    Point,
    Rate,
    Trace,
    WarmUp,
    flat,
    kl_per_dimension,
    squared_error,
    standard_normal,
    total,
)
from toys import Affine, Bits, Constant, Head, LinearGaussian

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture
def trace() -> Trace:
    toy = LinearGaussian()
    return toy.model(0.5, 0.5).trace(toy.data(6), 3)


class Two(Objective):
    """Two constant terms."""

    def forward(self, trace: Trace, step: Tensor | None = None) -> dict[str, Tensor]:
        return {"rate": torch.full((6,), 2.0), "other": torch.full((6,), 3.0)}


def test_a_sum_has_the_terms_of_both(trace: Trace) -> None:
    terms = (Distortion() + Rate())(trace)
    assert list(terms) == ["distortion", "rate"]
    assert torch.equal(terms["rate"], Rate()(trace)["rate"])


def test_terms_of_one_name_are_added(trace: Trace) -> None:
    terms = (Rate() + Two() + Two())(trace)
    assert set(terms) == {"rate", "other"}
    assert_close(terms["rate"], Rate()(trace)["rate"] + 4)
    assert_close(terms["other"], 6.0)


def test_a_weight_multiplies_and_renames(trace: Trace) -> None:
    """A weighted number must not pose as nats of the bound."""
    for weighted in (0.5 * Rate(), Rate() * 0.5):
        assert_close(weighted(trace)["weighted_rate"], 0.5 * Rate()(trace)["rate"])
        assert list(weighted(trace)) == ["weighted_rate"]
    assert list((2.0 * (0.5 * Two()))(trace)) == ["weighted_weighted_rate", "weighted_weighted_other"]


def test_a_whole_and_its_weighted_part_stay_apart(trace: Trace) -> None:
    terms = (ELBO() + 0.5 * Rate() + Rate())(trace)
    assert set(terms) == {"negative_elbo", "weighted_rate", "rate"}
    assert_close(total(terms), (ELBO()(trace)["negative_elbo"] + 1.5 * Rate()(trace)["rate"]).mean())


def test_a_schedule_is_a_weight(trace: Trace) -> None:
    objective = Distortion() + WarmUp(10, 2.0) * Rate() + Rate() * Cyclical(4)
    rate = Rate()(trace)["rate"]
    for step, weight in ((None, 3.0), (0, 0.0), (1, 0.7), (2, 1.4), (5, 1.5)):
        terms = objective(trace, None if step is None else torch.tensor(step))
        assert_close(terms["weighted_rate"], weight * rate, within=1e-6)
        assert_close(terms["distortion"], Distortion()(trace)["distortion"])


def test_the_total_is_the_sum_of_means() -> None:
    assert total({"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([10.0])}) == 12.0


def test_the_elbo_is_minus_distortion_minus_rate(trace: Trace) -> None:
    """On the same particles, with the rate by Monte Carlo."""
    rate = trace.mean(trace.log_q - trace.log_p)
    assert_close(ELBO()(trace)["negative_elbo"], Distortion()(trace)["distortion"] + rate)
    assert_close(ELBO()(trace)["negative_elbo"], -trace.mean(trace.log_w))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0])
def test_beta_weighs_the_rate(trace: Trace, beta: float) -> None:
    expected = Distortion()(trace)["distortion"] + beta * Rate()(trace)["rate"]
    assert_close(sum(BetaELBO(beta)(trace).values()), expected)


def test_beta_of_one_is_the_analytic_elbo(trace: Trace) -> None:
    assert_close(sum(BetaELBO()(trace).values()), sum(AnalyticELBO()(trace).values()))


def test_the_analytic_elbo_keeps_both_parts_in_nats(trace: Trace) -> None:
    assert set(AnalyticELBO()(trace)) == {"distortion", "rate"}


def test_iwae_is_the_log_of_the_mean_weight(trace: Trace) -> None:
    assert_close(IWAE()(trace)["negative_iwae"], -trace.log_w.exp().mean(0).log())


def test_terms_are_called_by_their_bound() -> None:
    """The value of PIWAE is that of IWAE, and it is called so."""
    toy = LinearGaussian()
    trace = toy.model(0.5, 0.5).trace(toy.data(6), 4, DReG())
    with torch.no_grad():
        for objective, name in (
            (MIWAE(2), "negative_miwae"),
            (CIWAE(), "negative_ciwae"),
            (PIWAE(), "negative_iwae"),
            (VR(), "negative_vr"),
            (TVO(), "negative_tvo"),
        ):
            assert list(objective(trace)) == [name]
            assert_close(objective(trace)[name], -objective.bound(trace.log_w, trace.log_measure))


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_is_one_of_the_whole(share: float) -> None:
    with refused(f"the ELBO's share is a number from 0 to 1, not {share}"):
        CIWAE(share)


def test_two_bounds_of_one_kind_are_two_to_dreg() -> None:
    """Their weights differ, and the gradient of z can be scaled for one of them alone."""
    sentence = "DReG scales the gradient of z for one bound; trace the model once for each, or use Pathwise"
    toy = LinearGaussian()
    for both in (IWAE() + MIWAE(2), MIWAE(2) + MIWAE(4), VR(0.5) + VR(0.4), PIWAE(2) + IWAE()):
        with refused(sentence):
            both(toy.model().trace(toy.data(2), 4, DReG()))
    assert total((TVO(3) + TVO(3))(toy.model().trace(toy.data(2), 4, DReG()))).requires_grad


def latent_with(kl: Tensor) -> tuple[nn.Module, Latent]:
    """A model whose posterior is the same for all data, with N(0, 1) dimensions moved by √(2·KL)."""
    head = Head(Constant((2 * kl).sqrt()), torch.zeros(len(kl)))
    return head, Latent(
        standard_normal(len(kl)), Gaussian(head), squared_error(Affine(torch.ones(1, len(kl)), torch.zeros(1)))
    )


def test_free_bits_charge_a_floor_and_press_no_further() -> None:
    """A dimension below the floor costs the floor and gets no gradient from the rate; one above is untouched."""
    kl = torch.tensor([0.1, 0.7, 0.3])
    head, model = latent_with(kl)
    trace = model.trace(Batch({"x": torch.zeros(4, 1)}), 1)
    charged = Rate(free_bits=0.5)(trace)["charged_rate"]
    assert_close(charged, 0.5 + 0.7 + 0.5)
    charged.mean().backward()
    slope = head.mean.value.grad
    assert slope[0] == slope[2] == 0
    assert_close(slope[1], (2 * kl[1]).sqrt())
    assert head.log_variance.grad[[0, 2]].eq(0).all()


def test_free_bits_look_at_the_mean_over_the_batch() -> None:
    """A datum below the floor is charged its own KL as long as the batch's mean is above."""
    q = Gaussian(nn.Identity())(torch.tensor([[[0.0, 0.0]], [[2.0, 0.0]]]))
    trace = Trace(torch.zeros(1, 2, 1), q, standard_normal(1)(), {}, Batch({"x": torch.zeros(2)}), Pathwise())
    assert_close(Rate(free_bits=0.9)(trace)["charged_rate"], torch.tensor([0.0, 2.0]))
    assert_close(Rate(free_bits=1.1)(trace)["charged_rate"], torch.tensor([1.1, 1.1]))


def test_no_free_bits_are_no_floor(trace: Trace) -> None:
    kl = kl_per_dimension(trace.q, trace.p)
    assert_close(Rate(0.0)(trace)["rate"], kl.sum(-1))
    assert_close(sum(BetaELBO(1.0, free_bits=1e-9)(trace).values()), sum(AnalyticELBO()(trace).values()))


def test_free_bits_refuse_what_they_cannot_do(trace: Trace) -> None:
    with refused("free bits are a number of nats, zero or more, not -0.5"):
        Rate(-0.5)
    no_closed_form = Trace(trace.z, trace.q, flat(2)(), trace.px, trace.batch, trace.estimator)
    with refused("free bits need a posterior and a prior whose KL is known per dimension"):
        Rate(0.5)(no_closed_form)


def test_a_rate_without_a_closed_form_is_by_monte_carlo(trace: Trace) -> None:
    mixture = Fixed(two_bumps, means=torch.tensor([[-1.0, 0.0], [1.0, 0.5]]))
    other = Trace(trace.z, trace.q, mixture(), trace.px, trace.batch, trace.estimator)
    assert_close(Rate()(other)["rate"], other.mean(other.log_q - other.log_p))


def two_bumps(means: Tensor) -> torch.distributions.Distribution:
    parts = torch.distributions.Independent(torch.distributions.Normal(means, 1.0), 1)
    return torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=torch.zeros(2)), parts)


def test_a_plain_autoencoder_has_distortion_alone() -> None:
    """A point posterior and a flat prior: every bound is the log-likelihood at the code."""
    x = torch.randn(5, 3)
    encoder, decoder = Affine(torch.randn(2, 3), torch.zeros(2)), Affine(torch.randn(3, 2), torch.zeros(3))
    trace = Latent(flat(2), Point(encoder), squared_error(decoder)).trace(Batch({"x": x}), 1)
    error = (x - decoder(encoder(x))).square().sum(-1) + 1.5 * torch.tensor(torch.pi).log()
    assert_close(Distortion()(trace)["distortion"], error)
    assert_close(Rate()(trace)["rate"], 0.0)
    for objective in (ELBO(), AnalyticELBO(), IWAE()):
        assert_close(sum(objective(trace).values()), error)


def test_a_point_under_a_proper_prior_is_a_map_estimate() -> None:
    x, encoder = torch.randn(5, 3), Affine(torch.randn(2, 3), torch.zeros(2))
    model = Latent(standard_normal(2), Point(encoder), squared_error(Affine(torch.randn(3, 2), torch.zeros(3))))
    trace = model.trace(Batch({"x": x}), 1)
    assert_close(Rate()(trace)["rate"], -standard_normal(2)().log_prob(encoder(x)))


def test_rates_of_bits_and_of_several_latents_are_summed() -> None:
    toy = Bits()
    trace = toy.model(0.5).trace(toy.data(4), 1, Enumerate())
    assert_close(Rate()(trace)["rate"], trace.mean(trace.log_q - trace.log_p))


def test_objectives_are_modules() -> None:
    """They move and save with what they hold, and print what they are."""
    objective = Distortion() + WarmUp(10) * Rate(0.1)
    assert isinstance(objective, nn.Module)
    assert len(list(objective.modules())) == 5
    assert "Rate" in repr(objective)
    assert repr(VR(0.5)) == "VR(Renyi(alpha=0.5))"
