"""The recipe gmvae: clusters that w bends, the component summed out, and log p(x) by quadrature."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D

from agree import LIMIT, assert_close
from catalogue import Case, batch
from lowerbound.core import Batch, Bernoulli, Chain, Gaussian, Link, MixtureGiven, log_marginal, standard_normal
from lowerbound.core.mixtures import log_joint
from lowerbound.nets import decoder
from lowerbound.recipes import Setup


def small(**more: object) -> Setup:
    return Case("gmvae", "unit", tuple(more.items())).build()


def prior_of(setup: Setup) -> MixtureGiven:
    assert isinstance(setup.model, Chain)
    link = setup.model.links["z"]
    assert isinstance(link, Link)
    assert isinstance(link.prior, MixtureGiven)
    return link.prior


@pytest.mark.usefixtures("double")
def test_the_bound_is_the_papers_with_the_exact_posterior_of_the_component() -> None:
    """log p(x|z) + E_y[log p(z|w,y)] − KL(p(y|z,w) ‖ p(y)) + log p(w) − log q(z|x) − log q(w|z): Dilokthanakul et al.,
    whose y is drawn from p(y|z,w) exactly too."""
    setup = small()
    trace = setup.model.trace(setup.see(batch("unit", 5)), 4)
    z, w, prior = trace.named_z["z"], trace.named_z["w"], prior_of(setup)
    joint = log_joint(prior(w), z)
    log_post, log_weights = joint.log_softmax(-1), prior.plain.logits.log_softmax(-1)
    expected = (log_post.exp() * (joint - log_weights)).sum(-1) - (log_post.exp() * (log_post - log_weights)).sum(-1)
    by_hand = trace.log_px + expected + D.Normal(0.0, 1.0).log_prob(w).sum(-1) - trace.log_q
    assert_close(by_hand, trace.log_w, within=1e-10)


def wide(inputs: int) -> Gaussian:
    net = nn.Sequential(nn.Linear(inputs, 2), nn.Unflatten(-1, (1, 2)))
    nn.init.constant_(net[0].bias, 2.0)
    return Gaussian(net)


def test_log_p_is_the_integral_over_both_latents() -> None:
    """4 data at 4.5 standard errors: some 1 in 40,000 to fail by chance."""
    torch.manual_seed(0)
    prior = MixtureGiven(decoder("mlp", 1, (3, 1), 2, (4,), "tanh"), components=3, dim=1)
    links = {"z": Link(prior, wide(3)), "w": Link(standard_normal(1), wide(1))}
    model, b = Chain(links, Bernoulli(nn.Linear(1, 3))), Batch({"x": torch.randint(0, 2, (4, 3)).float()})
    with torch.no_grad():
        found = log_marginal(model, b, 100_000)
        assert ((found.log_p - quadrature(model, prior, b)) / found.stderr).abs().max() < LIMIT


def quadrature(model: Chain, prior: MixtureGiven, b: Batch) -> Tensor:
    """log ∫∫ p(w) p(z|w) p(x|z) dz dw, (B,), by the trapezoidal rule."""
    line = torch.linspace(-9, 9, 501)
    step = (line[1] - line[0]).log()
    w, z = line[:, None, None], line[None, :, None]
    log_p = D.Normal(0.0, 1.0).log_prob(w[..., 0]) + prior(w.expand(-1, 501, -1)).log_prob(z.expand(501, -1, -1))
    marginal = torch.logsumexp(log_p, 0) + step
    px = model.decode({"z": line[:, None, None], "w": line})["x"]
    return torch.logsumexp(marginal[:, None] + px.log_prob(b.x["x"]), 0) + step


def test_the_meeting_puts_the_clusters_where_the_codes_are() -> None:
    setup = small(latent=2)
    b = setup.see(batch("unit", 400))
    (meet,) = setup.meet.values()
    score = lambda: setup.model.trace(b, 5).log_p.mean()  # noqa: E731
    before = score()
    meet(lambda count: b[:count], 3, 10)
    assert score() > before
    assert prior_of(setup).plain.logits.softmax(-1).min() > 0


def test_what_w_says_moves_every_cluster() -> None:
    prior = MixtureGiven(decoder("mlp", 2, (4, 3), 2, (8,), "tanh"), components=4, dim=3)
    here, there = (prior(w).component_distribution.mean for w in (torch.zeros(1, 2), torch.ones(1, 2)))
    assert here.shape == (1, 4, 3)
    assert ((here - there).abs().amax(-1) > 0).all()
