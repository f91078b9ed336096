"""Private latents: the model's own bound when measured; in training a bound where stand-ins come from the prior."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D

from agree import assert_close, assert_mean, refused
from lowerbound.core import Batch, Encoders, Homoscedastic, Private, Score, log_marginal
from toys import Affine
from two_sides import NAMES, reads

pytestmark = pytest.mark.usefixtures("double")

SIZES = {"x": 3, "y": 2}
SHARED, OWN = 2, 1


def model() -> tuple[Private, D.MultivariateNormal]:
    """x and y linear in z and their own w, with encoders that are not the posterior; and p(x, y)."""
    weights = {name: 0.6 * torch.randn(size, SHARED + OWN) for name, size in SIZES.items()}
    encoders = {
        name: nn.Sequential(Affine(0.3 * torch.randn(2 * (SHARED + OWN), size), torch.zeros(2 * (SHARED + OWN))))
        for name, size in SIZES.items()
    }
    for net in encoders.values():
        net.append(nn.Unflatten(-1, (SHARED + OWN, 2)))
    likelihood = {name: Homoscedastic(Affine(w, torch.zeros(len(w))), torch.zeros(1)) for name, w in weights.items()}
    rows = [
        torch.cat([w[:, :SHARED], *(w[:, SHARED:] if name == each else torch.zeros(len(w), OWN) for each in NAMES)], 1)
        for name, w in weights.items()
    ]
    whole = torch.cat(rows)
    joint = D.MultivariateNormal(torch.zeros(len(whole)), whole @ whole.T + torch.eye(len(whole)))
    return Private(Encoders(encoders), likelihood, SHARED, OWN, reads), joint


def batch(joint: D.MultivariateNormal, n: int) -> Batch:
    rows = joint.sample((n,))
    return Batch({"x": rows[:, :3], "y": rows[:, 3:]})


def exact(joint: D.MultivariateNormal, b: Batch) -> Tensor:
    return joint.log_prob(torch.cat([b.x["x"], b.x["y"]], -1))


def repeated(b: Batch, repeats: int) -> Batch:
    return b.map(lambda t: t.repeat(repeats, *(1,) * (t.dim() - 1)))


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_the_mean_weight_is_p(training: bool) -> None:
    """Measured as trained, where stand-ins come from the prior; 3 data for both at 4.5: by chance once in 25 000."""
    private, joint = model()
    b = batch(joint, 3)
    log_w = private.train(training).trace(repeated(b, 40_000), 2).log_w.unflatten(1, (40_000, 3))
    assert_mean((log_w - exact(joint, b)).exp().mean(0), 1.0)


@torch.no_grad()
def test_other_stand_ins_bound_something_else_in_training_and_change_nothing_measured() -> None:
    private, joint = model()
    b = batch(joint, 3)
    private.spreads.fill_(2.0)
    found = log_marginal(private.eval(), b, 50_000)
    assert ((found.log_p - exact(joint, b)).abs() < 4.5 * found.stderr).all()
    log_w = private.train().trace(repeated(b, 20_000), 2).log_w.unflatten(1, (20_000, 3))
    ratio = (log_w - exact(joint, b)).exp().mean(0)
    z = (ratio.mean(0) - 1) / (ratio.std(0) / len(ratio) ** 0.5)
    assert (z.abs() > 10).any()


def test_an_expert_goes_with_its_own_and_stand_ins_say_nothing_of_x() -> None:
    private, joint = model()
    b = batch(joint, 4)
    trace = private.train().trace(b, 6)
    q, p = trace.pairs["w_x"]
    own = (q.mean != 0).squeeze(-1)
    assert_close(own.double().sum(0), 3.0)  # evenly: of six draws three by each expert
    stands_in = q.log_prob(trace.named_z["w_x"]) - p.log_prob(trace.named_z["w_x"])
    assert_close(stands_in[~own], 0.0)
    assert (stands_in[own] != 0).all()


def test_what_was_not_observed_is_at_its_prior() -> None:
    private, joint = model()
    b = batch(joint, 2)
    hidden = Batch(b.x, mask={"y": torch.zeros(2, 2) > 0})
    q = private.eval().infer(hidden)
    assert_close(q["w_y"].mean, 0.0)
    assert_close(q["w_y"].variance, 1.0)
    assert_close(q["z"].active.int().sum(0), 1.0)


def test_every_parameter_learns_and_only_through_draws() -> None:
    private, joint = model()
    private.train().trace(batch(joint, 4), 4).log_w.mean().backward()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in private.parameters())
    with refused("private latents are trained through their draws, unlike Score's"):
        private.trace(batch(joint, 4), 4, Score())
