"""log p(x) by importance sampling: right, calibrated, bounded in memory, and honest about its error."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from agree import LIMIT, assert_close
from lowerbound.core import (
    Batch,
    Estimator,
    Gaussian,
    Latent,
    Model,
    Score,
    Trace,
    adaptive_log_marginal,
    log_marginal,
    log_weights,
    marginal,
    naive_log_marginal,
    standard_normal,
    summarise,
    uninformed,
)
from toys import Affine, Bits, Head, LinearGaussian, Mixture

pytestmark = pytest.mark.usefixtures("double")


def test_summary_is_the_direct_computation() -> None:
    """log mean w; sd(w)/(√K mean w); (Σw)²/Σw²."""
    log_w = torch.randn(200, 5) - 30
    w = log_w.exp()
    found = summarise(log_w)
    assert_close(found.log_p, w.mean(0).log())
    assert_close(found.stderr, w.std(0) / 200**0.5 / w.mean(0))
    assert_close(found.ess, w.sum(0).square() / w.square().sum(0))
    assert found.particles.tolist() == [200] * 5


def test_equal_weights_are_certain_and_one_weight_knows_nothing() -> None:
    equal = summarise(torch.full((64, 2), -1e4))
    assert_close(equal.log_p, -1e4)
    assert_close(equal.ess, 64.0)
    assert (equal.stderr == 0).all()
    one = summarise(torch.randn(1, 2))
    assert_close(one.ess, 1.0)
    assert one.stderr.isnan().all()
    assert (one.khat == math.inf).all()


def test_weights_of_any_size_neither_overflow_nor_vanish() -> None:
    log_w = torch.randn(100, 3)
    for shift in (-1e6, 1e6):
        moved = summarise(log_w + shift)
        assert_close(moved.log_p - shift, summarise(log_w).log_p, within=1e-8)
        assert_close(moved.stderr, summarise(log_w).stderr, within=1e-8)


def test_equals_the_exact_answer_within_its_own_error() -> None:
    """400 data: z-scores have mean 0 and sd 1, so the standard error is neither too small nor too large."""
    toy = LinearGaussian()
    b = toy.data(400)
    found = log_marginal(toy.model(shrink=0.85, widen=0.4), b, 2000)
    z = (found.log_p - toy.log_p(b)) / found.stderr
    assert abs(z.mean()) < LIMIT / 400**0.5
    assert abs(z.std() - 1) < LIMIT / 800**0.5
    assert (found.khat < 0.7).all()
    assert found.stderr.mean() < 0.05


@pytest.mark.parametrize("latent", ["one-hot", "bits"])
def test_discrete_latents_are_sampled_too(latent: str) -> None:
    toy = Mixture() if latent == "one-hot" else Bits()
    b = toy.data(200)
    model = toy.exact() if latent == "one-hot" else toy.model(shift=0.4)
    found, exact = log_marginal(model, b, 2000), toy.log_p(b)
    if latent == "one-hot":
        assert_close(found.log_p, exact)
    else:
        z = (found.log_p - exact) / found.stderr
        assert abs(z.std() - 1) < LIMIT / 400**0.5


def test_a_bad_posterior_is_owned_up_to() -> None:
    """Too narrow by far: the estimate is off, and k̂ says that it is not to be believed."""
    toy = LinearGaussian()
    b = toy.data(100)
    found = log_marginal(toy.model(shrink=1.0, widen=-3.0), b, 2000)
    assert (found.khat > 0.7).double().mean() > 0.8
    assert (found.log_p - toy.log_p(b)).mean() < -0.05


def test_particles_are_added_only_where_they_are_wanted() -> None:
    """A posterior that is exact for half of the data and far too narrow for the rest: 200 and 12 800 particles."""
    toy = LinearGaussian()
    b = Batch({"x": toy.data(40).x["x"]}, index=torch.arange(40))
    counting = Counting(Alternating(toy.model(), toy.model(widen=-3.0)))
    found = adaptive_log_marginal(counting, b)
    assert (found.particles[::2] == 200).all()
    assert found.believed[::2].all()
    assert (found.particles[1::2] == 12_800).double().mean() > 0.6
    assert torch.equal(found.believed, (found.khat <= 0.7) & (found.stderr <= 0.1))
    assert_close(found.log_p[::2], toy.log_p(b)[::2])
    # What is spent on the choice: 200 each, and of those grown to 12 800 also 3 200 on the way.
    assert sum(k * size for k, size in counting.passes) <= 2 * found.particles.sum()


def test_the_choice_of_particles_does_not_bias_the_estimate() -> None:
    """The mean over 500 data is low by the logarithm alone; were the draws kept that chose, it would be by 0.12."""
    toy = LinearGaussian()
    b, model = toy.data(500), toy.model(shrink=0.8, widen=-1.0)
    found = adaptive_log_marginal(model, b, least=50, most=3200)
    assert set(found.particles.tolist()) == {50, 200, 800, 3200}
    off = found.log_p - toy.log_p(b)
    assert -0.08 < off.mean() < LIMIT * off.std() / 500**0.5


def test_growth_stays_within_its_limit() -> None:
    toy = LinearGaussian()
    found = adaptive_log_marginal(toy.model(widen=-4.0), toy.data(7), least=30, most=100)
    assert set(found.particles.tolist()) <= {30, 100}
    assert 100 in found.particles


def test_naive_monte_carlo_averages_the_likelihood() -> None:
    toy = LinearGaussian(scale=1.5)
    b, model = toy.data(300), toy.model()
    found = naive_log_marginal(model, b, 2000)
    z = (found.log_p - toy.log_p(b)) / found.stderr
    assert abs(z.mean()) < LIMIT / 300**0.5
    assert abs(z.std() - 1) < LIMIT / 600**0.5
    trace = uninformed(model).trace(b, 3)
    assert_close(trace.log_w, trace.log_px, within=1e-12)


def test_the_prior_in_the_posteriors_place_reads_the_condition() -> None:
    """p(z|c) where there is a condition, and any number of data where there is none."""
    prior = Gaussian(Head(Affine(torch.eye(2), torch.zeros(2)), torch.zeros(2)))
    likelihood = Gaussian(Head(First(), torch.zeros(2)))
    c = torch.randn(5, 2)
    q = uninformed(Latent(prior, prior, likelihood)).infer(Batch({"x": torch.zeros(5, 2)}, c))
    assert_close(q.mean, c)
    plain = uninformed(Latent(standard_normal(2), prior, likelihood)).infer(Batch({"x": torch.zeros(5, 2)}))
    assert plain.batch_shape == (5,)


class First(torch.nn.Module):
    """The first of what is given."""

    def forward(self, *given: Tensor) -> Tensor:
        return given[0]


class Alternating(Model):
    """One model for data of even row numbers, another for the odd ones."""

    def __init__(self, even: Latent, odd: Latent) -> None:
        super().__init__()
        self.even, self.odd = even, odd

    def trace(self, batch: Batch, particles: int = 1, estimator: Estimator | None = None) -> Trace:
        assert estimator is not None
        q = self.infer(batch)
        z = estimator.draw(q, particles)
        return Trace(z, q, self.even.prior(), self.decode(z), batch, estimator)

    def infer(self, batch: Batch) -> torch.distributions.Distribution:
        assert batch.index is not None
        even, odd = (model.infer(batch).base_dist for model in (self.even, self.odd))
        scale = torch.where(batch.index[:, None] % 2 == 0, even.log_scale, odd.log_scale)
        return torch.distributions.Independent(torch.distributions.Normal(even.mean, scale.exp()), 1)

    def decode(self, z: Tensor, c: Tensor | None = None) -> dict[str, torch.distributions.Distribution]:
        return self.even.decode(z, c)

    def generate(self, n: int, c: Tensor | None = None) -> dict[str, torch.distributions.Distribution]:
        return self.even.generate(n, c)


class Counting(Model):
    """Notes the size of each pass through a model."""

    def __init__(self, inner: Model) -> None:
        super().__init__()
        self.inner = inner
        self.passes: list[tuple[int, int]] = []

    def trace(self, batch: Batch, particles: int = 1, estimator: Estimator | None = None) -> Trace:
        self.passes.append((particles, batch.size))
        assert isinstance(estimator, Score)
        assert not torch.is_grad_enabled()
        return self.inner.trace(batch, particles, estimator)

    def infer(self, batch: Batch) -> torch.distributions.Distribution:
        return self.inner.infer(batch)

    def decode(self, z: Tensor, c: Tensor | None = None) -> dict[str, torch.distributions.Distribution]:
        return self.inner.decode(z, c)

    def generate(self, n: int, c: Tensor | None = None) -> dict[str, torch.distributions.Distribution]:
        return self.inner.generate(n, c)


@pytest.mark.parametrize(
    ("data", "particles", "decodes"),
    [(5, 100, 7), (5, 100, 1), (5, 1, 4096), (1, 1000, 64), (50, 3, 20), (7, 100, 10_000)],
)
def test_passes_are_bounded_and_every_particle_is_drawn(data: int, particles: int, decodes: int) -> None:
    toy = LinearGaussian()
    b, counting = toy.data(data), Counting(toy.model())
    found = log_marginal(counting, b, particles, decodes)
    assert all(k * size <= max(decodes, size) for k, size in counting.passes)
    assert all(size <= max(1, decodes) for _, size in counting.passes)
    assert sum(k * size for k, size in counting.passes) == data * particles
    assert [len(field) for field in found] == [data] * 5
    assert_close(found.log_p, toy.log_p(b))


def test_weights_held_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marginal, "WEIGHTS_HELD", 1000)
    toy = LinearGaussian()
    b, counting = toy.data(11), Counting(toy.model())
    found = log_marginal(counting, b, 300)
    assert {size for _, size in counting.passes} == {3, 2}
    assert_close(found.log_p, toy.log_p(b))
    counting.passes.clear()
    log_marginal(counting, b, 5000)
    assert {size for _, size in counting.passes} == {1}


def test_groups_keep_condition_mask_and_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data are grouped with everything that is theirs: reversed data give reversed answers."""
    monkeypatch.setattr(marginal, "WEIGHTS_HELD", 40)
    toy = LinearGaussian()
    x, mask = toy.data(9).x["x"], torch.rand(9, 4) < 0.7
    found = []
    for order in (torch.arange(9), torch.arange(9).flip(0)):
        b = Batch({"x": torch.where(mask, x, math.nan)}, mask={"x": mask})[order]
        torch.manual_seed(0)
        found.append(log_marginal(toy.model(widen=1.0), b, 20_000).log_p)
    assert_close(found[0], found[1].flip(0), within=0.2)
    assert found[0].std() > 0.5


def test_log_weights_are_those_of_the_trace() -> None:
    toy = LinearGaussian()
    b, model = toy.data(3), toy.model(0.5, 0.5)
    torch.manual_seed(0)
    found = log_weights(model, b, 10)
    torch.manual_seed(0)
    trace = model.trace(b, 10)
    assert found.shape == (10, 3)
    assert not found.requires_grad
    assert_close(found, trace.log_w.detach())


def test_one_seed_is_one_answer() -> None:
    toy = LinearGaussian()
    b, model, found = toy.data(3), toy.model(0.5, 0.5), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(log_marginal(model, b, 10).log_p)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
