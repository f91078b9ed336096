"""Flows as posteriors and priors: densities on a grid, zuko's own distribution, and gradients through either way."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from agree import assert_close, assert_mean, assert_same_mean
from lowerbound.core import ELBO, STL, Batch, Bernoulli, Latent, Pathwise, Score, no_control, standard_normal, total
from lowerbound.core.estimators import detached
from lowerbound.core.flows import FlowPosterior, FlowPrior, Pushed
from lowerbound.errors import MissingExtraError
from lowerbound.nets import invertible as source
from lowerbound.nets.invertible import Flow, invertible

pytestmark = pytest.mark.usefixtures("double")

KINDS = ("autoregressive", "coupling", "spline")
LINE = torch.linspace(-16, 16, 193, dtype=torch.float64)


def bent(kind: str, dim: int = 2, context: int = 0) -> Flow:
    """A flow far from the identity."""
    flow = invertible(kind, dim, context, transforms=2)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(1.5).add_(0.1 * torch.randn_like(parameter))
    return flow


def posterior(kind: str, rows: int = 4) -> Pushed:
    q = FlowPosterior(nn.Identity(), bent(kind, 2, 3), 2, 3)(0.5 * torch.randn(rows, 7))
    assert isinstance(q, Pushed)
    return q


def integral(d: Distribution) -> Tensor:
    grid = torch.cartesian_prod(LINE, LINE).reshape(-1, *(1,) * len(d.batch_shape), 2)
    return d.log_prob(grid).exp().sum(0) * (LINE[1] - LINE[0]) ** 2


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_densities_integrate_to_one(kind: str) -> None:
    assert_close(integral(FlowPrior(bent(kind), 2)()), 1.0, within=1e-2)
    assert_close(integral(posterior(kind, 1)), 1.0, within=1e-2)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_draws_follow_the_density(kind: str) -> None:
    """The first two moments on a grid and of draws, 4.5 standard errors each."""
    for d in (FlowPrior(bent(kind), 2)(), posterior(kind, 1)):
        grid = torch.cartesian_prod(LINE, LINE).reshape(-1, *(1,) * len(d.batch_shape), 2)
        weight = d.log_prob(grid).exp().unsqueeze(-1) * (LINE[1] - LINE[0]) ** 2
        z = d.sample((5_000,))
        assert_mean(z, (weight * grid).sum(0))
        assert_mean(z.square(), (weight * grid.square()).sum(0))


@pytest.mark.parametrize("kind", KINDS)
def test_the_prior_is_zukos_flow(kind: str) -> None:
    """Density and its gradient, and draws from the same noise."""
    from zuko.distributions import DiagNormal, NormalizingFlow
    from zuko.transforms import ComposedTransform

    flow = bent(kind, 3)
    base = DiagNormal(torch.zeros(3), torch.ones(3))
    theirs = NormalizingFlow(ComposedTransform(*(step(None) for step in flow.steps)), base)
    ours, z = FlowPrior(flow, 3)(), torch.randn(5, 3, requires_grad=True)
    assert_close(ours.log_prob(z), theirs.log_prob(z))
    for one, other in zip(*(torch.autograd.grad(d.log_prob(z).sum(), [z, *flow.parameters()]) for d in (ours, theirs))):
        assert_close(one, other, within=1e-10)
    torch.manual_seed(1)
    mine = ours.sample((4,))
    torch.manual_seed(1)
    assert_close(mine, theirs.rsample((4,)), within=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_undo_each_other(kind: str) -> None:
    flow, x, context = bent(kind, 5, 3), torch.randn(6, 4, 5), torch.randn(4, 3)
    y, stretched = flow(x, context)
    back, shrunk = flow.inverse(y, context)
    assert_close(back, x, within=1e-8)
    assert_close(shrunk, -stretched, within=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_the_stretching_is_the_determinant_of_the_jacobian(kind: str) -> None:
    flow, x = bent(kind, 4), torch.randn(4)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow(v)[0], x)
    assert_close(flow(x)[1], torch.linalg.slogdet(jacobian).logabsdet, within=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_known_of_a_draw_is_its_density(kind: str) -> None:
    q = posterior(kind)
    z = q.rsample((3,))
    assert q.log_prob(z) is q.last.log_prob
    assert_close(q.log_prob(z), q.log_prob(z.clone()), within=1e-8)


def test_nothing_is_taken_for_known_of_other_values() -> None:
    q = posterior("coupling")
    first, second = q.rsample((3,)), q.rsample((3,))
    assert_close(q.log_prob(first), posterior_again(q).log_prob(first), within=1e-9)
    assert_close(q.log_prob(second + 1), posterior_again(q).log_prob(second + 1), within=1e-9)
    assert q.log_prob(first).sub(q.log_prob(second)).abs().min() > 1e-6


def posterior_again(q: Pushed) -> Pushed:
    return Pushed(q.base, q.forth, q.back, q.context)


def test_a_draw_without_gradient_does_not_stand_in_for_one_with() -> None:
    """What the score function needs: the density of a sample, differentiable in the parameters."""
    h = torch.randn(4, 7, requires_grad=True)
    q = FlowPosterior(nn.Identity(), bent("coupling", 2, 3), 2, 3)(h)
    z = Score(no_control).draw(q, 3)
    assert not z.requires_grad
    with torch.no_grad():
        assert q.log_prob(z) is q.last.log_prob
    (slope,) = torch.autograd.grad(q.log_prob(z).sum(), h)
    assert slope.abs().min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_detached_it_is_the_same_with_a_gradient_to_z_alone(kind: str) -> None:
    h, flow = torch.randn(4, 7, requires_grad=True), bent(kind, 2, 3)
    q, z = FlowPosterior(nn.Identity(), flow, 2, 3)(h), torch.randn(4, 2, requires_grad=True)
    (expected,) = torch.autograd.grad(q.log_prob(z).sum(), z)
    value = detached(q).log_prob(z)
    assert_close(value, q.log_prob(z))
    value.sum().backward()
    assert_close(z.grad, expected, within=1e-10)
    assert h.grad is None
    assert all(p.grad is None for p in flow.parameters())


def toy(kind: str) -> tuple[Latent, Batch]:
    net = nn.Linear(3, 7)
    model = Latent(standard_normal(2), FlowPosterior(net, bent(kind, 2, 3), 2, 3), Bernoulli(nn.Linear(2, 3)))
    return model, Batch({"x": torch.tensor([[1.0, 0.0, 1.0]]).expand(4000, -1)})


@pytest.mark.parametrize("kind", KINDS)
def test_sticking_the_landing_has_the_pathwise_mean(kind: str) -> None:
    """Gradients in the flow's context and base, 4 000 draws of each; 7 numbers at 4.5 standard errors."""
    model, b = toy(kind)
    draws = []
    for estimator in (Pathwise(), STL()):
        h = model.posterior.net(b.x["x"]).detach().requires_grad_()
        part = FlowPosterior(nn.Identity(), model.posterior.flow, 2, 3)
        trace = Latent(model.prior, part, model.likelihood["x"], lambda batch, h=h: (h,)).trace(b, 1, estimator)
        draws.append(torch.autograd.grad(len(h) * total(ELBO()(trace)), h)[0])
    assert_same_mean(*draws)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_moments_are_those_of_draws_and_without_chance(kind: str) -> None:
    """64 points do not find them exactly, but to a few hundredths of a standard deviation."""
    q = posterior(kind)
    z = q.sample((5_000,))
    assert ((q.mean - z.mean(0)) / z.std(0)).abs().max() < 0.1
    assert (q.variance / z.var(0) - 1).abs().max() < 0.2
    assert torch.equal(q.mean, q.mean)


def test_expanded_it_is_the_same_density() -> None:
    q, z = posterior("autoregressive", 1), torch.randn(5, 2)
    assert q.expand((5,)).batch_shape == (5,)
    assert_close(q.expand((5,)).log_prob(z), q.log_prob(z))


def test_a_fresh_flow_is_near_the_identity() -> None:
    x = torch.randn(100, 6)
    for kind in KINDS:
        assert (invertible(kind, 6, 0, 3)(x)[0] - x).abs().mean() < 0.3


def test_it_can_be_outlined_without_memory() -> None:
    with torch.device("meta"):
        assert {p.device.type for p in invertible("coupling", 4, 2, 2).parameters()} == {"meta"}


def test_torchs_distributions_still_check_their_arguments() -> None:
    """zuko switches the checks off as it is imported."""
    code = (
        "import torch\nfrom lowerbound.nets.invertible import invertible\ninvertible('coupling', 2, 0, 1)\n"
        "try: torch.distributions.Normal(0.0, torch.tensor(-1.0))\nexcept ValueError: print('refused')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "refused\n"


def test_without_zuko_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(MissingExtraError, match=r"^zuko is not installed; .* pip install 'lowerbound\[flows\]'$"):
        source.invertible("coupling", 2, 0, 1)
