"""Estimators: what they draw, what they refuse, and that looking at a bound changes nothing."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D
from torch.distributions import Distribution, Independent

from agree import assert_close, refused
from lowerbound.core import (
    ELBO,
    IWAE,
    STL,
    AnalyticELBO,
    Batch,
    Bernoulli,
    Distortion,
    DReG,
    Enumerate,
    Estimator,
    Latent,
    LogMeanExp,
    Mean,
    OneHot,
    Pathwise,
    Rate,
    Score,
    Trace,
    enumerated_log_marginal,
    leave_one_out,
    no_control,
    total,
)
from lowerbound.core.certain import PointMass
from lowerbound.core.distributions import LogScaleNormal, StandardNormal
from lowerbound.core.estimators import detached, support
from toys import Affine, LinearGaussian, TwoLatents, gradient, one_hot

pytestmark = pytest.mark.usefixtures("double")


def traced(estimator: Estimator, particles: int = 3) -> tuple[Latent, Trace]:
    toy = LinearGaussian()
    model = toy.model(0.5, 0.5)
    return model, model.trace(toy.data(5), particles, estimator)


@pytest.mark.parametrize("estimator", [Pathwise(), STL(), DReG()])
def test_a_discrete_posterior_cannot_be_reparameterised(estimator: Estimator) -> None:
    with refused("OneHotCategorical cannot be reparameterised; use the estimator Score or Enumerate"):
        estimator.draw(OneHot(nn.Identity())(torch.zeros(2, 3)), 1)


def test_score_draws_carry_no_gradient() -> None:
    _, trace = traced(Score())
    assert not trace.z.requires_grad
    assert trace.log_q.requires_grad


@pytest.mark.parametrize("estimator", [Pathwise(), STL(), DReG()])
def test_reparameterised_draws_carry_one(estimator: Estimator) -> None:
    assert traced(estimator)[1].z.requires_grad


def parametric() -> list[Distribution]:
    loc, scale = torch.randn(4, 2, requires_grad=True), (torch.rand(4, 2) + 0.5).requires_grad_()
    return [
        LogScaleNormal(loc, scale),
        D.Normal(loc, scale),
        D.Laplace(loc, scale),
        D.MultivariateNormal(loc, scale_tril=torch.diag_embed(scale)),
        PointMass(loc),
        StandardNormal(torch.zeros(4, 2)),
        Independent(LogScaleNormal(loc, scale), 1),
    ]


@pytest.mark.parametrize("which", range(7))
def test_a_detached_posterior_is_the_same_without_gradient(which: int) -> None:
    q = parametric()[which]
    z = torch.randn(4, 2)
    assert torch.equal(detached(q).log_prob(z), q.log_prob(z))
    assert not detached(q).log_prob(z).requires_grad
    assert (detached(q).batch_shape, detached(q).event_shape) == (q.batch_shape, q.event_shape)


@pytest.mark.parametrize("estimator", [STL(), DReG()])
def test_an_unknown_posterior_is_refused_with_the_remedy(estimator: Estimator) -> None:
    q = D.Gamma(torch.ones(2), torch.ones(2))
    sentence = "STL and DReG do not know how to detach Gamma; register it with detached"
    with refused(sentence, NotImplementedError):
        estimator.log_q(q, torch.ones(3, 2))


@pytest.mark.parametrize("bound", [Mean(), LogMeanExp()])
def test_leave_one_out_is_the_bound_with_one_value_replaced(bound: Mean | LogMeanExp) -> None:
    values, log_measure = torch.randn(4, 3), torch.full((4, 1), -torch.tensor(4.0).log())
    for k in range(4):
        others = values[[i for i in range(4) if i != k]].mean(0)
        replaced = values.clone()
        replaced[k] = others
        assert_close(leave_one_out(values, log_measure, bound)[k], bound(replaced, log_measure))


def test_leave_one_out_needs_two() -> None:
    sentence = "a leave-one-out control needs at least 2 particles; ask for more, or use Score(no_control)"
    _, trace = traced(Score(), particles=1)
    with refused(sentence):
        ELBO()(trace)
    with torch.no_grad():
        assert ELBO()(trace)["negative_elbo"].shape == (5,)  # nothing to control without a gradient
    assert ELBO()(traced(Score(no_control), particles=1)[1])["negative_elbo"].requires_grad


def test_particles_share_alike() -> None:
    _, trace = traced(Pathwise(), 8)
    assert_close(trace.log_measure.exp(), 1 / 8)
    assert trace.log_measure.shape == (8, 1)
    assert_close(trace.mean(trace.log_w), trace.log_w.mean(0))


def test_dreg_serves_one_bound_a_trace() -> None:
    """The gradient that reaches z is scaled for one bound; any other would be scaled wrongly and in silence."""
    sentence = "DReG scales the gradient of z for one bound; trace the model once for each, or use Pathwise"
    for objective in (IWAE() + ELBO(), 0.5 * Distortion() + IWAE()):
        with refused(sentence):
            objective(traced(DReG())[1])


def test_dreg_serves_the_same_bound_twice() -> None:
    found = []
    for objective in (2.0 * IWAE(), IWAE() + IWAE(), IWAE() + 1.0 * IWAE()):
        torch.manual_seed(0)
        model, trace = traced(DReG())
        found.append(gradient(total(objective(trace)), model))
    assert_close(found[0], found[1])
    assert_close(found[0], found[2])


def test_dreg_leaves_means_and_closed_forms_together() -> None:
    for objective in (AnalyticELBO(), ELBO() + 0.5 * Distortion(), IWAE() + Rate()):
        assert total(objective(traced(DReG())[1])).requires_grad


@pytest.mark.parametrize("estimator", [Pathwise(), STL(), DReG(), Score()])
def test_looking_at_a_bound_first_changes_no_gradient(estimator: Estimator) -> None:
    """A metric read under no_grad leaves the loss on the same trace as it was, with all of its gradient."""
    found = []
    for look in (False, True):
        torch.manual_seed(0)
        model, trace = traced(estimator)
        if look:
            with torch.no_grad():
                assert not IWAE()(trace)["negative_iwae"].requires_grad
                assert not AnalyticELBO()(trace)["distortion"].requires_grad
        found.append(gradient(total(IWAE()(trace)), model))
    assert torch.equal(*found)


def test_terms_are_computed_once() -> None:
    _, trace = traced(Pathwise())
    assert trace.log_w is trace.log_w
    assert trace.log_lik is trace.log_lik
    with torch.no_grad():
        assert trace.log_w.requires_grad
    fresh = traced(Pathwise())[1]
    with torch.no_grad():
        assert fresh.log_px is fresh.log_px
        assert not fresh.log_px.requires_grad
    assert fresh.log_px.requires_grad
    assert Trace.log_w.__doc__.startswith("log p(x|z) + log p(z)")


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 2)])
def test_the_support_of_bits_is_every_combination(shape: tuple[int, ...]) -> None:
    q = Bernoulli(nn.Identity(), len(shape))(torch.randn(5, *shape))
    values = support(q)
    count = 2 ** torch.Size(shape).numel()
    assert values.shape == (count, 5, *shape)
    assert len({tuple(each) for each in values[:, 0].flatten(1).tolist()}) == count
    assert_close(q.log_prob(values).exp().sum(0), 1.0)


def test_the_support_of_one_categorical() -> None:
    for q in (one_hot(torch.randn(5, 3)), D.Categorical(logits=torch.randn(5, 3))):
        assert_close(q.log_prob(support(q)).exp().sum(0), 1.0)
        assert support(q).shape[:2] == (3, 5)


def test_the_support_of_several_categoricals() -> None:
    """Codes, and one-hot vectors, which are values of their own and not numbers to be mixed."""
    codes = Independent(D.Categorical(logits=torch.randn(5, 2, 3)), 1)
    vectors = Independent(D.OneHotCategorical(logits=torch.randn(5, 2, 3)), 1)
    for q, event in ((codes, (2,)), (vectors, (2, 3))):
        assert support(q).shape == (9, 5, *event)
        assert_close(q.log_prob(support(q)).exp().sum(0), 1.0)


class Enumerated(TwoLatents):
    """Two bits with a joint support: every pair is a particle."""

    def trace(self, batch: Batch, particles: int = 1, estimator: Estimator | None = None) -> Trace:
        q = self.infer(batch)
        pairs = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)))
        z = {name: pairs[:, i, None, None].expand(-1, batch.size, 1) for i, name in enumerate(q)}
        prior = Independent(D.Bernoulli(logits=torch.zeros(1)), 1)
        return Trace(z, q, dict.fromkeys(q, prior), self.decode(z), batch, Enumerate())


def test_named_latents_are_enumerated_together() -> None:
    """Each pair counts for q(u) q(v), not for q of the first name alone."""
    model = Enumerated({name: Bernoulli(Affine(torch.randn(1, 1), torch.randn(1))) for name in ("u", "v")})
    b = Batch({"x": torch.randn(6, 1)})
    trace = model.trace(b)
    assert_close(trace.log_measure.exp().sum(0), 1.0)
    total_of = torch.tensor([0.0, 1.0, 1.0, 2.0])
    exact = torch.logsumexp(D.Normal(total_of, 0.5).log_prob(b.x["x"]), 1) - torch.tensor(4.0).log()
    assert_close(enumerated_log_marginal(model, b), exact)
    assert_close(-IWAE()(trace)["negative_iwae"], exact)
    assert (-ELBO()(trace)["negative_elbo"] < exact).all()


def test_controls_may_be_ones_own() -> None:
    """Any function of the values will do as a control; a constant one leaves the gradient's mean alone."""

    def constant(values: Tensor, log_measure: Tensor, bound: object) -> Tensor:
        return torch.full_like(values, 7.0)

    _, trace = traced(Score(constant))
    assert_close(ELBO()(trace)["negative_elbo"], -trace.log_w.mean(0))
