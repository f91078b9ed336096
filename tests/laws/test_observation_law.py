"""What was not observed contributes nothing, variables add up, and a condition reaches every part."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D

from agree import LIMIT, assert_close, assert_mean, refused
from catalogue import LIKELIHOODS, Case, cases, likelihood, parameters
from lowerbound.core import (
    ELBO,
    AnalyticELBO,
    Batch,
    Bernoulli,
    Conditional,
    Distortion,
    Gaussian,
    Homoscedastic,
    Latent,
    OneHot,
    Poisson,
    Table,
    log_marginal,
    rows,
    standard_normal,
    total,
)
from lowerbound.core.latent import Trace
from toys import Affine, Constant, Head, LinearGaussian

pytestmark = pytest.mark.usefixtures("double")


def observed_part(name: str, mask: Tensor, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """log p (K, B) of a variable under a mask, and its gradient in the network's output."""
    h = h.clone().requires_grad_()
    part = likelihood(name, (3,))
    trace = Trace(torch.zeros(5, 4), None, None, {"x": part(h)}, Batch({"x": x}, mask={"x": mask}), None)
    log_px = trace.log_px
    log_px.sum().backward()
    return log_px.detach(), h.grad


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_masked_entries_contribute_nothing(name: str) -> None:
    """Whatever lies under the mask, and in value and gradient: as if those entries were not there."""
    part = likelihood(name, (3,))
    h, mask = parameters(part, 5, 4, 3), torch.rand(4, 3) < 0.6
    x = part(h[0]).sample()
    by_entry = part(leaf := h.clone().requires_grad_()).base_dist.log_prob(x)
    expected = (by_entry * mask).sum(-1)
    expected.sum().backward()
    for hidden in (0.0, 1.0, math.nan, math.inf, -1e30):
        value, slope = observed_part(name, mask, torch.where(mask, x, hidden), h)
        assert_close(value, expected.detach())
        assert_close(slope, leaf.grad)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_full_mask_is_no_mask_and_an_empty_one_no_data(name: str) -> None:
    part = likelihood(name, (3,))
    h = parameters(part, 5, 4, 3)
    x, everything = part(h[0]).sample(), torch.ones(4, 3, dtype=torch.bool)
    assert_close(observed_part(name, everything, x, h)[0], part(h).log_prob(x))
    value, slope = observed_part(name, ~everything, x * math.nan, h)
    assert (value == 0).all()
    assert (slope == 0).all()


@pytest.mark.parametrize("case", cases())
def test_recipes_do_not_read_what_is_masked(case: Case) -> None:
    setup = case.build()
    seen = setup.see(case.batch(4))
    mask = {name: torch.rand(x.shape) < 0.5 for name, x in seen.x.items()}
    outcomes = []
    for hidden in (math.nan, 0.0):
        x = {name: torch.where(mask[name], values, hidden) for name, values in seen.x.items()}
        masked = Batch(x, seen.c, seen.index, mask)
        torch.manual_seed(0)
        setup.model.zero_grad()
        loss = total(setup.objective(setup.model.trace(masked, 2, setup.estimator)))
        loss.backward()
        outcomes.append([loss.detach(), *(p.grad.clone() for p in setup.model.parameters() if p.grad is not None)])
    assert all(each.isfinite().all() for each in outcomes[0])
    assert all(torch.equal(a, b) for a, b in zip(*outcomes))


@pytest.mark.parametrize("case", cases())
def test_recipes_under_a_full_mask(case: Case) -> None:
    setup = case.build()
    seen = setup.see(case.batch(4))
    full = replace(seen, mask={"x": torch.ones_like(seen.x["x"], dtype=torch.bool)})
    found = []
    for b in (seen, full):
        torch.manual_seed(0)
        found.append(setup.model.trace(b, 2).log_w)
    assert_close(found[0], found[1], within=1e-10)


def test_a_likelihood_that_does_not_factorise_refuses_a_mask() -> None:
    whole = OneHot(nn.Identity())(torch.zeros(2, 3))
    b = Batch({"x": torch.eye(3)[:2]}, mask={"x": torch.ones(2, 3, dtype=torch.bool)})
    with refused("a mask needs a likelihood that factorises over its event; OneHotCategorical does not"):
        _ = Trace(torch.zeros(2), None, None, {"x": whole}, b, None).log_px


class Both(nn.Module):
    """Reads a dict of two variables."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        return self.net(torch.cat([x["counts"], x["bits"]], -1))


def two_variables() -> tuple[Latent, Batch]:
    encoder = Head(Affine(torch.randn(2, 5), torch.zeros(2)), torch.zeros(2))
    parts = {
        "counts": Poisson(Affine(torch.randn(2, 2), torch.zeros(2))),
        "bits": Bernoulli(Affine(torch.randn(3, 2), torch.zeros(3))),
    }
    model = Latent(standard_normal(2), Gaussian(Both(encoder)), parts)
    return model, Batch({"counts": torch.tensor([[1.0, 4.0], [0.0, 2.0]]), "bits": torch.eye(3)[:2]})


def test_log_likelihoods_add_over_variables() -> None:
    model, b = two_variables()
    trace = model.trace(b, 6)
    assert set(trace.log_lik) == {"counts", "bits"}
    assert_close(trace.log_px, trace.log_lik["counts"] + trace.log_lik["bits"])
    for name, d in model.decode(trace.z).items():
        assert_close(trace.log_lik[name], d.log_prob(b.x[name]))
    assert_close(trace.log_w, trace.log_px + trace.log_p - trace.log_q)


def test_a_variable_that_is_not_shown_is_not_scored() -> None:
    model, b = two_variables()
    model.reads = lambda batch: ({name: batch.x.get(name, torch.zeros(2, n)) for name, n in WIDTHS.items()}, None)
    trace = model.trace(Batch({"bits": b.x["bits"]}), 6)
    assert set(trace.log_lik) == {"bits"}
    assert set(trace.px) == {"counts", "bits"}
    assert_close(trace.log_px, trace.log_lik["bits"])


WIDTHS = {"counts": 2, "bits": 3}


def test_one_of_two_variables_may_be_masked() -> None:
    model, b = two_variables()
    torch.manual_seed(0)
    everything = model.trace(b, 6).log_lik
    mask = torch.tensor([[True, False], [True, True]])
    torch.manual_seed(0)
    some = model.trace(Batch(b.x, mask={"counts": mask}), 6)
    assert_close(some.batch.filled("counts"), torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    assert_close(some.log_lik["bits"][:, 1], everything["bits"][:, 1])
    counts = some.px["counts"].base_dist.log_prob(b.x["counts"])
    assert_close(some.log_lik["counts"], (counts * mask).sum(-1))


def test_translation_is_a_likelihood_at_posterior_draws() -> None:
    model, b = two_variables()
    torch.manual_seed(3)
    z = model.infer(b).sample((4,))
    torch.manual_seed(3)
    d = model.translate(b, "counts", particles=4)
    assert d.batch_shape == (4, 2)
    assert_close(d.mean, model.likelihood["counts"](z).mean)


class Conditioned:
    """z|c ~ N(Mc, I), x|z,c ~ N(Wz + Vc, I): given c, x is Gaussian."""

    def __init__(self) -> None:
        self.to_z, self.to_x = torch.randn(1, 2), torch.randn(3, 1 + 2)
        self.c = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, -2.0], [3.0, 1.0]])
        weight = self.to_x[:, :1]
        mean = self.c @ (weight @ self.to_z + self.to_x[:, 1:]).T
        self.given = D.MultivariateNormal(mean, weight @ weight.T + torch.eye(3))
        self.batch = Batch({"x": self.given.sample()}, self.c)

    def model(self) -> Latent:
        read = torch.cat([0.1 * torch.randn(1, 3), self.to_z], 1)
        return Latent(
            Gaussian(Head(Affine(self.to_z, torch.zeros(1)), torch.zeros(1))),
            Gaussian(Head(Affine(read, torch.zeros(1)), torch.ones(1))),
            Homoscedastic(Affine(self.to_x, torch.zeros(3)), torch.zeros(())),
        )


def test_a_condition_reaches_prior_posterior_and_likelihood() -> None:
    toy = Conditioned()
    model, b = toy.model(), toy.batch
    trace = model.trace(b, 5)
    assert_close(trace.q.mean, model.posterior(b.x["x"], b.c).mean)
    assert_close(trace.p.mean, toy.c @ toy.to_z.T)
    assert_close(trace.px["x"].mean, model.likelihood["x"](trace.z, b.c).mean)
    total(AnalyticELBO()(trace)).backward()
    assert all(p.grad.abs().sum() > 0 for name, p in model.named_parameters() if "weight" in name)
    other = Batch(b.x, b.c.flip(0))
    assert (model.infer(other).mean - model.infer(b).mean).abs().min() > 1e-3


def test_the_conditional_likelihood_is_exact() -> None:
    toy = Conditioned()
    found, exact = log_marginal(toy.model(), toy.batch, 100_000), toy.given.log_prob(toy.batch.x["x"])
    assert ((found.log_p - exact) / found.stderr).abs().max() < LIMIT
    assert found.stderr.max() < 0.05


def test_generation_follows_the_condition() -> None:
    toy = Conditioned()
    c = toy.c.repeat(20_000, 1)
    samples = toy.model().generate(len(c), c)["x"].sample().reshape(20_000, 4, 3)
    assert_mean(samples, toy.given.mean)
    assert_mean((samples - toy.given.mean).square(), toy.given.variance)


def test_generation_is_from_the_marginal() -> None:
    """First and second moments, off the diagonal too: every datum has a z of its own."""
    toy = LinearGaussian()
    samples = toy.model().generate(40_000)["x"].sample()
    exact = toy.marginal()
    assert_mean(samples, exact.mean)
    centred = samples - exact.mean
    assert_mean(centred[:, :, None] * centred[:, None], exact.covariance_matrix)


def test_a_prior_may_ignore_the_condition() -> None:
    """A fixed prior is the same whatever is given; n draws of it and n conditions make n data."""
    toy = Conditioned()
    model = Latent(standard_normal(1), toy.model().posterior, toy.model().likelihood["x"])
    assert model.trace(toy.batch, 2).log_w.shape == (2, 4)
    assert model.generate(4, toy.c)["x"].batch_shape == (4,)
    assert model.generate(7, torch.zeros(7, 2))["x"].sample().shape == (7, 3)


def test_a_table_reads_row_numbers() -> None:
    table = Table(5, 2)
    nn.init.normal_(table.rows.weight)
    model = Latent(
        standard_normal(2), table, Homoscedastic(Affine(torch.randn(3, 2), torch.zeros(3)), torch.zeros(())), rows
    )
    b = Batch({"x": torch.randn(2, 3)}, index=torch.tensor([4, 1]))
    assert_close(model.infer(b).mean, table.rows.weight[[4, 1], :2])
    total(ELBO()(model.trace(b, 2))).backward()
    gradient = table.rows.weight.grad.to_dense()
    assert (gradient[[0, 2, 3]] == 0).all()
    assert (gradient[[4, 1]] != 0).all()
    with refused("a posterior per datum needs batch.index, the data's row numbers"):
        model.trace(Batch({"x": torch.randn(2, 3)}))


def test_parts_may_be_shared() -> None:
    """The same module as prior and posterior is one set of parameters, and its KL to itself is nil."""
    shared: Conditional = Gaussian(Head(Constant(torch.randn(2)), torch.randn(2)))
    decoder = Homoscedastic(Affine(torch.randn(3, 4), torch.zeros(3)), torch.zeros(()))
    model = Latent(shared, shared, decoder, lambda batch: (batch.c,))
    trace = model.trace(Batch({"x": torch.randn(4, 3)}, torch.randn(4, 2)), 3)
    assert_close(trace.log_p, trace.log_q)
    assert_close(AnalyticELBO()(trace)["rate"], 0.0)
    assert_close(Distortion()(trace)["distortion"], ELBO()(trace)["negative_elbo"])
