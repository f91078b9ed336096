"""A model told in words: a nested linear-Gaussian one whose log p is known, and who hears what in the recipe."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D

from agree import LIMIT, assert_close, assert_mean
from catalogue import Case
from lowerbound.core import (
    ELBO,
    Batch,
    Chain,
    Conditional,
    Gaussian,
    Homoscedastic,
    Link,
    Unaided,
    foresight,
    standard_normal,
    total,
)
from lowerbound.data.spec import DataSpec, Variable
from lowerbound.errors import InputError
from lowerbound.nets.hearing import Forgetting, Hearing
from lowerbound.recipes import get
from toys import Affine, Head

pytestmark = pytest.mark.usefixtures("double")

SIZE = 3


class Nested:
    """u ~ N(0, I), z|u,l ~ N(Au + l, r²), a|z,s ~ N(Bz + s, t²), A and B diagonal: log p(a|s,l) factorises."""

    r, t = 0.5, 0.7

    def __init__(self) -> None:
        self.a, self.b = torch.linspace(0.6, -1.1, SIZE), torch.linspace(1.4, 0.7, SIZE)
        self.variance_of_z = self.a.square() + self.r**2

    def data(self, n: int) -> Batch:
        c = torch.randn(n, 2 * SIZE)
        return Batch({"x": self.marginal(c).sample()}, c)

    def marginal(self, c: Tensor) -> D.Independent:
        state, words = c.split(SIZE, -1)
        scale = (self.b.square() * self.variance_of_z + self.t**2).sqrt()
        return D.Independent(D.Normal(self.b * words + state, scale.expand_as(state)), 1)

    def log_p(self, batch: Batch) -> Tensor:
        assert batch.c is not None
        return self.marginal(batch.c).log_prob(batch.x["x"])

    def model(self, attentive: bool) -> Chain:
        """With the exact q(z|a,s,l) q(u|z,l); or with the best q(z|a,s), for l ~ N(0, I), that hears no word."""
        spread = self.variance_of_z + (0.0 if attentive else 1.0)
        up = 1 / (1 / spread + self.b.square() / self.t**2)
        gain, top = up * self.b / self.t**2, 1 / (1 + self.a.square() / self.r**2)
        lead = up / spread * float(attentive)
        back = top * self.a / self.r**2
        first = told(torch.cat([gain.diag(), -gain.diag(), lead.diag()], 1), up.log())
        second = hearing(torch.cat([back.diag(), -back.diag()], 1), top.log())
        prior = hearing(torch.cat([self.a.diag(), torch.eye(SIZE)], 1), torch.full((SIZE,), 2 * math.log(self.r)))
        seen = Hearing(affine(torch.cat([self.b.diag(), torch.eye(SIZE)], 1)), 0, SIZE)
        links = {"z": Link(prior, first), "u": Link(standard_normal(SIZE), second)}
        return Chain(links, Homoscedastic(seen, torch.tensor(math.log(self.t))))


def affine(weight: Tensor) -> Affine:
    return Affine(weight, torch.zeros(len(weight)))


def told(weight: Tensor, log_variance: Tensor) -> Conditional:
    return Gaussian(Head(affine(weight), log_variance))


def hearing(weight: Tensor, log_variance: Tensor) -> Conditional:
    return Gaussian(Hearing(Head(affine(weight), log_variance), SIZE, 2 * SIZE))


def test_the_nested_bound_is_log_p_where_q_is_exact() -> None:
    toy = Nested()
    b = toy.data(16)
    assert_close(toy.model(attentive=True).trace(b, 5).log_w, toy.log_p(b))


def test_the_nested_bound_is_below_log_p_where_the_encoder_hears_no_word() -> None:
    toy = Nested()
    b = toy.data(6)
    repeated = b.map(lambda t: t.repeat(4000, 1))
    with torch.no_grad():
        bound = -ELBO()(toy.model(attentive=False).trace(repeated))["negative_elbo"].reshape(4000, 6)
    gap = toy.log_p(b) - bound.mean(0)
    assert (gap > LIMIT * bound.std(0) / math.sqrt(4000)).all()


CASE = Case.of("told-act", "real", ("net", "mlp"), ("outer", 2), ("drop", 0.0))


def built(**arguments: object) -> tuple[Chain, Tensor, Tensor, Tensor]:
    """The recipe's model, told two numbers of a state and one of an instruction; a, c, and what of a was observed."""
    model = CASE.build((5, 3), **arguments).model
    assert isinstance(model, Chain)
    return model, torch.randn(7, 5, 3), torch.randn(7, 3), torch.rand(7, 5, 3) > 0.2


def style(model: Chain, u: Tensor, c: Tensor) -> Tensor:
    """The mean of p(z|u,c)."""
    link = model.links["z"]
    assert isinstance(link, Link)
    mean: Tensor = link.prior(u, c).mean
    return mean


def louder(c: Tensor, part: slice) -> Tensor:
    """The condition with a part of it changed."""
    other = c.clone()
    other[:, part] += 1.0
    return other


@pytest.mark.parametrize("net", ["mlp", "transformer"])
def test_words_reach_the_actions_through_z_alone(net: str) -> None:
    model, x, c, mask = built(net=net)
    other, z, u = louder(c, slice(2, 3)), {"z": torch.randn(7, 2)}, torch.randn(7, 2)
    assert torch.equal(model.decode(z, c)["x"].mean, model.decode(z, other)["x"].mean)
    one, same = (model.infer(Batch({"x": x}, told, mask={"x": mask}))["z"].mean for told in (c, other))
    assert torch.equal(one, same)
    assert not torch.equal(style(model, u, c), style(model, u, other))


@pytest.mark.parametrize(("hears", "deaf"), [("words", True), ("all", False)])
def test_the_state_reaches_the_outer_model_only_if_it_is_to(hears: str, deaf: bool) -> None:
    model, _, c, _ = built(outer_hears=hears)
    u = torch.randn(7, 2)
    assert torch.equal(style(model, u, c), style(model, u, louder(c, slice(0, 2)))) == deaf


def test_what_lies_beyond_an_end_is_read_by_nothing() -> None:
    model, x, c, mask = built()
    weights = []
    for beyond in (0.0, 1e3):
        torch.manual_seed(0)
        weights.append(model.trace(Batch({"x": torch.where(mask, x, beyond)}, c, mask={"x": mask})).log_w)
    assert torch.equal(*weights)


def test_words_alone_are_forgotten_and_in_training_alone() -> None:
    hears = Forgetting(nn.Identity(), last=1000, share=0.25)
    c = torch.ones(1005)
    assert torch.equal(hears.eval()(c), c)
    kept = hears.train()(c) > 0
    assert kept[:5].all()
    assert abs(kept[5:].double().mean() - 0.75) < LIMIT * math.sqrt(0.75 * 0.25 / 1000)


def test_what_is_done_at_the_mean_of_the_prior_is_what_was_said() -> None:
    """One state, two words, and actions that go one way or the other by the word."""
    torch.manual_seed(0)
    setup = CASE.build((4, 1), hidden=(32,), between=(8,), latent=2, likelihood="gaussian-learned", forget=0.0)
    setup.model.train()
    adam = torch.optim.Adam(setup.model.parameters(), 1e-2)
    for _ in range(120):
        said = torch.randint(0, 2, (64, 1)).double() * 2 - 1
        done = 0.5 + 2 * said[:, :, None] + 0.2 * torch.randn(64, 4, 1)
        seen = setup.see(Batch({"x": done}, torch.cat([torch.zeros(64, 2), said], 1)))
        adam.zero_grad()
        total(setup.objective(setup.model.trace(seen))).backward()
        adam.step()
    setup.model.eval()
    c = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]])
    assert isinstance(setup.model, Chain)
    z = style(setup.model, torch.zeros(2, 2), c)
    done = setup.model.decode({"z": z}, c)["x"].mean.mean((1, 2))
    assert_close(done, torch.tensor([-1.0, 1.0]), within=0.1)


def test_data_without_instructions_are_refused() -> None:
    x = Variable("action", "real", (5, 3), -3, 3, mean=(0.0,) * 3, std=(1.0,) * 3)
    state = Variable("condition", "real", (4,), -3, 3, mean=(0.0,) * 4, std=(1.0,) * 4, form="state:4")
    spec = DataSpec("toy", (x,), state, 10, "0" * 64, {"train": 8, "validation": 1, "test": 1}, 0)
    with pytest.raises(InputError, match="text the encoder"):
        get("told-act").build(spec)


def test_what_is_told_unaided_is_the_mean_log_likelihood_under_the_prior() -> None:
    """E log N(a; Bz + s, t²) over z ~ N(l, A² + r²) is log N(a; Bl + s, t²) − B² (A² + r²) / 2t²; below log p."""
    toy = Nested()
    b = toy.data(5)
    assert b.c is not None
    state, words = b.c.split(SIZE, -1)
    at_mean = D.Normal(toy.b * words + state, toy.t).log_prob(b.x["x"]).sum(-1)
    expected = at_mean - (toy.b.square() * toy.variance_of_z).sum() / (2 * toy.t**2)
    model, repeated = toy.model(attentive=True), b.map(lambda t: t.repeat(4000, 1))
    with torch.no_grad():
        told = -Unaided(foresight(model))(model.trace(repeated))["unaided_distortion"].reshape(4000, 5)
    assert_mean(told, expected)
    assert (expected < toy.log_p(b)).all()
